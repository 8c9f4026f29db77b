"""Files of ``torch.save`` without PyTorch, beside what PyTorch reads."""

import pickle
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.torch_file import read_torch_file


def test_tensors_become_arrays_of_the_same_numbers(tmp_path):
    whole = torch.arange(24.0).reshape(2, 3, 4)
    tensors = {
        "whole": whole,
        "turned": whole.transpose(0, 2),
        "part": whole[1, :, 1:3],
        "one": torch.tensor(7),
        "none": torch.zeros(0, 4),
        **{
            str(kind): torch.tensor([0, 1, 2]).to(kind)
            for kind in (torch.uint8, torch.int32, torch.int64, torch.half, torch.double)
        },
        "flags": torch.tensor([True, False]),
    }
    plain = {"text": "é", "none": None, "list": [1, 2.5, (True, {"a": "x"})]}
    torch.save({"tensors": tensors, "plain": plain}, tmp_path / "a.ckpt")
    found = read_torch_file(tmp_path / "a.ckpt")
    assert found["plain"] == plain
    for name, tensor in tensors.items():
        array = found["tensors"][name]
        assert array.dtype == tensor.numpy().dtype and array.flags.c_contiguous, name
        np.testing.assert_array_equal(array, tensor.numpy())


@pytest.mark.parametrize(
    "value", [print, np.ones(2), torch.device("cpu"), torch.ones(1).bfloat16()]
)
def test_what_is_neither_a_tensor_nor_a_plain_value_is_refused(tmp_path, value):
    torch.save({"value": value}, tmp_path / "a.ckpt")
    with pytest.raises(pickle.UnpicklingError, match="neither a tensor nor a plain value"):
        read_torch_file(tmp_path / "a.ckpt")


@pytest.mark.parametrize(
    ("shape", "stride"),
    [((1000,), (1,)), ((10**12,), (0,)), ((2, 2), (3, -3)), ((2, 2), (3, 1)), ((-1,), (1,))],
)
def test_a_tensor_that_goes_beyond_its_numbers_is_refused(tmp_path, shape, stride):
    rebuild = torch._utils._rebuild_tensor_v2

    class Larger:
        def __reduce_ex__(self, _):
            storage = torch.ones(4).storage()
            return rebuild, (storage, 0, shape, stride, False, {})

    torch.save(Larger(), tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="a tensor"):
        read_torch_file(tmp_path / "a.ckpt")


def test_a_packed_file_is_refused(tmp_path):
    torch.save({"a": torch.ones(4)}, tmp_path / "a.ckpt")
    stored = zipfile.ZipFile(tmp_path / "a.ckpt")
    with stored, zipfile.ZipFile(tmp_path / "b.ckpt", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    with pytest.raises(zipfile.BadZipFile, match="packed"):
        read_torch_file(tmp_path / "b.ckpt")


@pytest.mark.parametrize("double", [lambda each: [each, each], lambda each: {"a": each, "b": each}])
def test_lists_in_lists_many_times_are_refused(tmp_path, double):
    value = 0
    for _ in range(60):
        value = double(value)
    torch.save({"value": value}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="a.ckpt: holds too many values"):
        read_torch_file(tmp_path / "a.ckpt")


def test_a_dictionary_keeps_its_methods(tmp_path):
    """What stands beside the values of a dictionary, as `_metadata` does, is dropped."""
    value = 0
    for _ in range(60):
        value = [value, value]
    state = OrderedDict(a=value)
    state.values = OrderedDict
    torch.save(state, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="a.ckpt: holds too many values"):
        read_torch_file(tmp_path / "a.ckpt")
    state["a"] = 1
    torch.save(state, tmp_path / "a.ckpt")
    found = read_torch_file(tmp_path / "a.ckpt")
    assert list(found.values()) == [1] and not vars(found)


def test_what_a_file_says_of_its_size_makes_no_room_for_many_tensors_of_one(tmp_path):
    shared = torch.ones(100_000)
    torch.save([shared[:].clone().set_(shared) for _ in range(100)], tmp_path / "a.ckpt")
    content = (tmp_path / "a.ckpt").read_bytes()
    at = content.rindex(b"PK\x01\x02")  # the last entry of the index: of nothing that is read
    size = at + 24
    (tmp_path / "a.ckpt").write_bytes(content[:size] + b"\xff\xff\xff\x7f" + content[size + 4 :])
    with pytest.raises(ValueError, match="many times what the file holds"):
        read_torch_file(tmp_path / "a.ckpt")


def _whole(number):
    content = number.to_bytes(number.bit_length() // 8 + 1, "little")
    return b"\x8a" + bytes([len(content)]) + content


# A pair of a pair twice, 60 times over, which has 2 ** 60 values.
_PAIRS = b")q\x00" + b"".join(b"(h%ch%ctq%c" % (n, n, n + 1) for n in range(60))


@pytest.mark.parametrize(
    "content",
    [
        b"}" + _PAIRS + b"K\x01s.",
        b"}(" + _PAIRS + b"K\x01u.",
        b"(" + _PAIRS + b"\x91.",
        b"(X\x07\0\0\0storagectorch\nFloatStorage\n" + _PAIRS + b"K\x01tQ.",
        b"}(" + b"".join(_whole(n * (2**61 - 1)) + b"N" for n in range(1, 20_000)) + b"u.",
        b"ccollections\nOrderedDict\n](" + _PAIRS + b"K\x01ta\x85R.",
        b"\x96" + (2**33).to_bytes(8, "little") + b".",
    ],
)
def test_what_pytorch_does_not_write_is_refused_at_once(tmp_path, content):
    """Keys to be hashed value by value, or of one hash; arrays of as many bytes as a few say."""
    path = tmp_path / "odd.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("odd/data.pkl", b"\x80\x02" + content)
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_torch_file(path)


def test_a_few_bytes_make_no_room_for_many_values(tmp_path):
    """The place in the memo that they name; the reader of the standard library in C takes 8 GiB."""
    path = tmp_path / "few.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("few/data.pkl", b"\x80\x02}r" + (2**29).to_bytes(4, "little") + b".")
    tracemalloc.start()
    assert read_torch_file(path) == {}
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**20
