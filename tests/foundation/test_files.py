import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, replacing, write_json


def test_a_failing_block_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"kept": 1})
    with pytest.raises(RuntimeError), replacing(path) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"kept": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_is_replaced_whole(tmp_path):
    for content in ("one", "two"):
        with replacing(tmp_path / "folder") as draft:
            draft.mkdir()
            (draft / content).write_text(content)
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["two"]


def test_unusable_json_is_named(tmp_path):
    with pytest.raises(InputError, match=r"missing\.json: no such file"):
        read_json(tmp_path / "missing.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(InputError, match=r"bad\.json: not valid JSON"):
        read_json(tmp_path / "bad.json")
