import os
import shutil

import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.modules.checkpoint import (
    RECORD_KEY,
    find_checkpoint,
    last_checkpoints,
    load_trained,
    read_checkpoint,
)


def test_a_checkpoint_gives_the_same_model(checkpoint, model):
    trained = load_trained(checkpoint)
    assert not trained.model.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained.model.state_dict()[name])
    assert trained.fingerprint == load_trained(checkpoint).fingerprint


def test_other_weights_other_fingerprint(checkpoint, tmp_path):
    content = read_checkpoint(checkpoint)
    content["state_dict"]["model.product_head.bias"] += 1e-6
    torch.save(content, tmp_path / "other.ckpt")
    assert load_trained(tmp_path / "other.ckpt").fingerprint != load_trained(checkpoint).fingerprint


def test_settings_of_other_dimensions_are_refused(checkpoint, settings):
    with pytest.raises(InputError, match=r"tiny.ckpt: its weights do not fit .*expected"):
        load_trained(checkpoint, settings | {"hidden_dim": 32})


def test_what_is_no_checkpoint_of_ours_is_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match=r"a.ckpt: not a readable checkpoint"):
        read_checkpoint(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(InputError, match="not a checkpoint of this version"):
        read_checkpoint(path)
    torch.save({RECORD_KEY: {"format": -1}}, path)
    with pytest.raises(InputError, match="not a checkpoint of this version"):
        read_checkpoint(path)
    with pytest.raises(InputError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.ckpt")


class Hostile:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({RECORD_KEY: Hostile()}, "evil.ckpt")
    with pytest.raises(InputError, match="not a readable checkpoint") as caught:
        read_checkpoint("evil.ckpt")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_the_newest_best_checkpoint_is_found(checkpoint, tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    with pytest.raises(InputError, match="holds no checkpoint; train first"):
        find_checkpoint(None, folder)
    for age, name in enumerate(["b.ckpt", "a.ckpt", "c.last.ckpt"]):
        shutil.copy(checkpoint, folder / name)
        os.utime(folder / name, (1000 + age, 1000 + age))
    assert find_checkpoint(None, folder).name == "a.ckpt"
    assert find_checkpoint(folder / "b.ckpt", folder).name == "b.ckpt"
    assert [path.name for path in last_checkpoints(folder)] == ["c.last.ckpt"]
    with pytest.raises(InputError, match=r"d.ckpt: no such checkpoint; .* holds a.ckpt, b.ckpt"):
        find_checkpoint(folder / "d.ckpt", folder)
    with pytest.raises(InputError, match="no interrupted training"):
        last_checkpoints(tmp_path / "empty")


def test_a_class_of_somebody_elses_is_not_built(checkpoint, tmp_path):
    content = read_checkpoint(checkpoint)
    content[RECORD_KEY]["config"]["model"]["conv"]["_target_"] = "os.mkdir"
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="'os.mkdir', which is not a part of rec_sys"):
        load_trained(tmp_path / "other.ckpt")
