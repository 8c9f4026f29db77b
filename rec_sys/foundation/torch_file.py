"""What ``torch.save`` wrote, read without PyTorch: plain values, and arrays instead of tensors."""

import math
import pickle
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_whole_text

# As PyTorch calls the types of numbers in a file.
_STORAGES = {"ByteStorage": np.uint8, "BoolStorage": np.bool_, "ShortStorage": np.int16}
_STORAGES |= {"IntStorage": np.int32, "LongStorage": np.int64, "HalfStorage": np.float16}
_STORAGES |= {"FloatStorage": np.float32, "DoubleStorage": np.float64}
# Tensors may share numbers, as tied weights do.
_MOST_SHARED = 4
# Ids of people are among them.
_MOST_VALUES = 5_000_000


def read_torch_file(path: str | Path) -> Any:
    """Reads a file; no code in it is run, as with ``torch.load(weights_only=True)``. InputError for
    too many values; if damaged or holding anything else, such as bfloat16, OSError or what reading
    raises (`zipfile.BadZipFile`, `pickle.UnpicklingError`, EOFError, ValueError and others)."""
    with zipfile.ZipFile(path) as archive:
        # PyTorch stores: what unpacks to more than the file holds is of somebody else.
        if any(each.compress_type != zipfile.ZIP_STORED for each in archive.infolist()):
            raise zipfile.BadZipFile("packed, as PyTorch's files are not")
        (index,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = index.removesuffix("data.pkl")
        # Of the file: what its entries say of their sizes may be as wrong as anything else in it.
        most = _MOST_SHARED * Path(path).stat().st_size
        content = _Unpickler(archive, folder, archive.read(index), most).load()
        _require_few(content, path)
        return content


def _require_few(content: Any, path: str | Path) -> None:
    """InputError for half of a character, or for too many values, each counted as often as it
    stands somewhere: a list may hold another one many times, and that a third, without end."""
    left, number = [content], 1
    while left:
        each = left.pop()
        if isinstance(each, str) and not is_whole_text(each):
            raise InputError(f"{path}: holds half of a character; train again")
        parts = (*each, *each.values()) if isinstance(each, dict) else each
        if isinstance(parts, list | tuple):
            number += len(parts)
            if number > _MOST_VALUES:
                raise InputError(f"{path}: holds too many values, some many times; train again")
            left += parts


# What PyTorch writes, by the codes of `pickletools`: PROTO, STOP, GLOBAL, REDUCE, BUILD, BINPERSID,
# GET, PUT, MARK, tuples, lists, dicts, constants, text and numbers. Others make room for what a few
# bytes say, or walk through far more.
_OPCODES = b"\x80.cRbQhjqr()t\x85\x86\x87]ae}suN\x88\x89XGJMK\x8a\x8b"


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined]
    """Knows the few names that tensors, ordered dictionaries and sizes are written with. It is the
    one in Python: that in C makes room for as many values as a few bytes say."""

    dispatch = {c: pickle._Unpickler.dispatch[c] for c in _OPCODES}  # type: ignore[attr-defined]

    def __init__(self, archive: zipfile.ZipFile, folder: str, content: bytes, most: int) -> None:
        super().__init__(BytesIO(content))
        self._archive, self._folder, self._room = archive, folder, most  # bytes
        self._storages: dict[str, np.ndarray] = {}

    def load_build(self) -> None:
        """Drops what a dictionary is told beside its values, which could stand for its methods."""
        self.stack.pop()

    def load_setitems(self) -> None:
        _require_plain(self.stack[::2])
        super().load_setitems()

    def load_setitem(self) -> None:
        _require_plain(self.stack[-2:-1])
        super().load_setitem()

    dispatch |= {pickle.SETITEMS[0]: load_setitems, pickle.SETITEM[0]: load_setitem}
    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return name
        known = {
            ("collections", "OrderedDict"): lambda: OrderedDict(),  # and nothing to begin with
            ("torch._utils", "_rebuild_tensor_v2"): self._array,
            ("torch", "Size"): tuple,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{module}.{name} is neither a tensor nor a plain value")
        return known[module, name]

    def persistent_load(self, told: Any) -> np.ndarray:
        _, kind, key, *_ = told
        _require_plain((kind, key))
        if key not in self._storages:
            content = self._archive.read(f"{self._folder}data/{key}")
            kind = np.dtype(_STORAGES[kind]).newbyteorder("<")
            self._storages[key] = np.frombuffer(content, kind)
        return self._storages[key]

    def _array(self, numbers: np.ndarray, offset: int, shape: Any, stride: Any, *_: Any) -> Any:
        # No tensor of a tensor, which may have rows without any bytes.
        if not any(numbers is each for each in self._storages.values()):
            raise ValueError("a tensor of something else than numbers of the file")
        if any(type(each) is not int for each in (offset, *shape, *stride)):
            raise ValueError("a tensor whose sizes are no numbers")
        steps = [step * numbers.itemsize for step in stride]
        last = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))
        if min((offset, *shape, *stride)) < 0 or math.prod(shape) > len(numbers):
            raise ValueError("a tensor of other numbers than its own")
        if all(shape) and last >= len(numbers):
            raise ValueError("a tensor goes beyond its numbers")
        self._room -= math.prod(shape) * numbers.itemsize
        if self._room < 0:
            raise ValueError("tensors of many times what the file holds")
        view = np.lib.stride_tricks.as_strided(numbers[offset:], shape, steps, writeable=False)
        return view.copy()  # in one piece, and of this machine's byte order


def _require_plain(keys: Sequence[Any]) -> None:
    """ValueError for keys that are more than one value: to look one up, all in it is looked at; and
    for numbers of which many may have one hash."""
    is_plain = all(isinstance(each, str | int | None) for each in keys)
    numbers = [abs(each) for each in keys if isinstance(each, int)]
    if not is_plain or max(numbers, default=0) >= sys.hash_info.modulus:
        raise ValueError("keys that are neither texts nor numbers")
