import errno
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import (
    read_json,
    read_kept,
    read_whole,
    replacing,
    write_json,
    write_kept,
    write_manifest,
)


def test_a_failing_block_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"kept": 1})
    with pytest.raises(RuntimeError), replacing(path) as draft:
        draft.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"kept": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_full_disk_is_told_by_the_folder_that_was_to_be(tmp_path):
    """`shutil` has errors of its own, without a number."""
    with pytest.raises(OSError) as caught, replacing(tmp_path / "folder") as draft:
        draft.mkdir()
        raise shutil.Error([("a", str(draft / "a"), "[Errno 28] No space left on device")])
    assert (caught.value.errno, caught.value.filename) == (28, str(tmp_path / "folder"))


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


@pytest.mark.parametrize(
    "damaged", ["[]", "null", "5", '{"kept": [1]}', '{"sha256": "x", "kept": 1}', "{", ""]
)
def test_what_was_kept_is_had_again_unless_it_is_damaged(damaged, tmp_path):
    path, value = tmp_path / "folder" / "kept.json", {"a": [0.1, float("inf"), None, "é"]}
    assert read_kept(path) is None
    write_kept(path, value)
    assert read_kept(path) == value
    path.write_text(path.read_text().replace("0.1", "0.2"))
    assert read_kept(path) is None
    path.write_text(damaged)
    assert read_kept(path) is None


def killed_while_replacing(path, between):
    """The folder of a writer of `path` whose process was killed, a minute and more ago."""
    program = f"""
import os, signal, sys
from rec_sys.foundation import files
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
with files.replacing({str(path)!r}) as draft:
    draft.mkdir()
    (draft / "half").touch()
    if {between}:
        sys.platform = "one that cannot swap folders"
        move = os.replace
        os.replace = lambda old, new: die() if old == draft else move(old, new)
    else:
        die()
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = path.parent.glob(f".{path.name}.*")
    os.utime(left, (0, 0))
    return left


def test_the_next_writer_takes_away_what_a_killed_one_left(tmp_path):
    left = killed_while_replacing(tmp_path / "folder", between=False)
    kept = tmp_path / ".folder.12345678"  # as long a name, and nobody's draft
    kept.mkdir()
    os.utime(kept, (0, 0))
    with replacing(tmp_path / "other"):
        (tmp_path / "x").touch()
        os.rename(tmp_path / "x", next(tmp_path.glob(".other.*")) / "other")
    assert left.is_dir()
    with replacing(tmp_path / "folder") as draft:
        draft.mkdir()
    assert not left.exists() and kept.is_dir()


def test_a_folder_that_a_killed_writer_had_stepped_aside_comes_back(tmp_path):
    path = tmp_path / "folder"
    with replacing(path) as draft:
        draft.mkdir()
        (draft / "old").touch()
    killed_while_replacing(path, between=True)
    assert not path.exists()
    with pytest.raises(RuntimeError), replacing(path):
        raise RuntimeError
    assert [each.name for each in path.iterdir()] == ["old"]


@pytest.mark.parametrize("platform", [sys.platform, "one that cannot swap folders"])
@pytest.mark.parametrize("moves", range(3))
def test_an_interrupted_writer_leaves_the_old_folder_or_the_new_one(
    platform, moves, tmp_path, monkeypatch
):
    path, move, left = tmp_path / "folder", os.replace, [moves]

    def interrupted(old, new):
        left[0] -= 1
        if left[0] == -1:
            raise KeyboardInterrupt
        move(old, new)

    with replacing(path) as draft:
        draft.mkdir()
        (draft / "old").touch()
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(os, "replace", interrupted)
    with suppress(KeyboardInterrupt), replacing(path) as draft:
        draft.mkdir()
        (draft / "new").touch()
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
    is_new = left[0] >= 0
    assert [each.name for each in path.iterdir()] == ["new" if is_new else "old"]


def test_a_folder_that_is_replaced_amid_reading_is_read_again(tmp_path):
    folder = tmp_path / "index"

    def write(content):
        with replacing(folder) as draft:
            draft.mkdir()
            (draft / "one").write_text(content)
            (draft / "two").write_text(content)
            write_manifest(draft, {"format": 1, "content": content})

    read_at = []

    def read(folder):
        one = (folder / "one").read_text()
        read_at.append(one)
        if len(read_at) <= 2:  # somebody else, twice
            write(f"{len(read_at)}")
        two = (folder / "two").read_text()
        if len(read_at) == 2:
            raise InputError("damaged")
        return one, two

    write("0")
    assert read_whole(folder, read) == ("2", "2") and read_at == ["0", "1", "2"]

    def damaged(folder):
        raise InputError("damaged")

    with pytest.raises(InputError, match="damaged"):
        read_whole(folder, damaged)


def test_a_writer_that_lives_keeps_its_draft(tmp_path):
    with replacing(tmp_path / "a") as draft:
        os.utime(draft.parent, (0, 0))
        with replacing(tmp_path / "a") as other:
            other.write_text("other")
        draft.write_text("last")
    assert (tmp_path / "a").read_text() == "last"


@pytest.mark.parametrize(("free", "number"), [(0, errno.ENOSPC), (10**12, errno.EIO)])
def test_a_library_does_not_tell_why_it_could_not_write(tmp_path, monkeypatch, free, number):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(OSError) as told, replacing(tmp_path / "a"):
        raise RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed")
    assert (told.value.errno, told.value.filename) == (number, str(tmp_path / "a"))
