"""Files that somebody else has made on purpose: refused, and nothing beyond them is read."""

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, processors

from rec_sys.foundation.errors import InputError, told_as_unfit
from rec_sys.foundation.files import (
    MANIFEST,
    read_json,
    read_manifest,
    sealed,
    sha256_of,
    write_json,
    write_manifest,
)
from rec_sys.foundation.torch_file import read_torch_file
from rec_sys.modules.checkpoint import read_checkpoint
from rec_sys.reviews.records import require_readable

STORAGE = object()


class Tensor:
    """Written as PyTorch's are, but of any numbers, shape and stride."""

    def __init__(self, numbers, shape, stride):
        self.parts = numbers, 0, shape, stride, False, OrderedDict()

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.parts


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return ("storage", torch.FloatStorage, "0", "cpu", 1000) if value is STORAGE else None


def written(path, content):
    data = io.BytesIO()
    Pickler(data, protocol=2).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", data.getvalue())
        archive.writestr("x/data/0", np.arange(1000, dtype=np.float32).tobytes())
    return path


def test_what_pytorch_would_write_is_read(tmp_path):
    tensors = [Tensor(STORAGE, (2, 5), (5, 1)), Tensor(STORAGE, (10,), (1,))]
    table, row = read_torch_file(written(tmp_path / "a.ckpt", tensors))
    assert table.tolist() == np.arange(10).reshape(2, 5).tolist() and row.tolist() == [*range(10)]


@pytest.mark.parametrize(
    "hostile",
    [
        Tensor(Tensor(STORAGE, (1 << 20, 0), (0, 1)), (1 << 20,), (1,)),
        Tensor(Tensor(STORAGE, (10,), (1,)), (10,), (1,)),
        Tensor([1.0] * 10, (10,), (1,)),
        Tensor(STORAGE, (1001,), (1,)),
        Tensor(STORAGE, (500,), (3,)),
        Tensor(STORAGE, (-1,), (1,)),
        [Tensor(STORAGE, (1000,), (1,)) for _ in range(1000)],
    ],
    ids=["rows without bytes", "of a tensor", "of a list", "longer", "wider", "negative", "many"],
)
def test_a_tensor_is_of_the_numbers_of_its_file(hostile, tmp_path):
    path = written(tmp_path / "a.ckpt", hostile)
    with pytest.raises((ValueError, AttributeError, TypeError)):
        read_torch_file(path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret"])
def test_a_manifest_names_files_of_its_folder_alone(name, tmp_path):
    folder = tmp_path / "index"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "a").mkdir()
    write_manifest(folder, {"format": 1})
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["sha256"][name] = sha256_of(folder / name)
    write_json(folder / MANIFEST, sealed(manifest))
    with pytest.raises(InputError, match="outside of its folder"):
        read_manifest(folder, 1, {}, (), "build it again")


def test_whatever_goes_wrong_is_one_line():
    said = r"^a: cannot be used \(KeyError: 'x'\); make it again$"
    with pytest.raises(InputError, match=said), told_as_unfit("a", "make it again"):
        {}["x"]
    with pytest.raises(OSError), told_as_unfit("a", "make it again", OSError):
        raise OSError("mine")


def test_what_a_library_in_rust_panics_at_is_one_line():
    """A tokenizer that puts a token around texts which it does not have; that is no Exception."""
    made = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    made.post_processor = processors.TemplateProcessing("b $A", special_tokens=[("b", 1)])
    forged = json.loads(made.to_str())
    forged["post_processor"]["special_tokens"] = {}
    said = "a: cannot be used .*PanicException"
    with pytest.raises(InputError, match=said), told_as_unfit("a", "make it again"):
        Tokenizer.from_str(json.dumps(forged)).encode_batch(["a"])
    for ends in (KeyboardInterrupt, SystemExit):
        with pytest.raises(ends), told_as_unfit("a", "make it again"):
            raise ends


@pytest.mark.parametrize("name", ["pipe", "link", "/dev/zero", "/proc/kmsg", "/proc/self/mem"])
def test_what_has_no_end_is_not_read(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/proc/kmsg")
    path = tmp_path / name
    for read in (sha256_of, read_json, read_checkpoint, require_readable):
        with pytest.raises(InputError, match=f"{name}: is no regular file"):
            read(path)
