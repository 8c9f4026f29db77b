"""Vectors on disk, each distinct text once; only what is new is encoded."""

import hashlib
import os
import zlib
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from rec_sys.foundation.console import note, progress
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, require_regular, write_json
from rec_sys.text.encoder import TextEncoder

#: Row of the empty text in every store: the zero vector, "nothing was said".
EMPTY_TEXT_ROW = 0

_DTYPE = np.dtype(np.float16)
_KEY_BYTES = 16
_SUM_DTYPE = np.dtype("<u4")


class VectorStore:
    """float16 [N, dimension] in a folder, found by text; InputError if it is another encoder's.
    Three files grow side by side, ``vectors.f16``, ``sums.u32`` (a CRC-32 per vector) and
    ``keys.bin`` (a 128-bit hash per text). Keys are written after their vectors, so that rows with
    a key are whole after any interruption; the next append overwrites a torn tail. Damaged rows
    count as missing. Several processes may use one folder: appending takes a lock."""

    def __init__(self, folder: str | Path, fingerprint: str, dimension: int) -> None:
        self.folder, self.dimension = Path(folder), dimension
        self.folder.mkdir(parents=True, exist_ok=True)
        self._vectors_path = self.folder / "vectors.f16"
        self._sums_path = self.folder / "sums.u32"
        self._keys_path = self.folder / "keys.bin"
        self._lock = FileLock(self.folder / "lock")
        self._row_of_key: dict[bytes, int] = {}
        self._rows = 0
        manifest_path = self.folder / "manifest.json"
        identity = {"encoder_fingerprint": fingerprint, "dimension": dimension}
        with self._lock:
            if not manifest_path.exists():
                write_json(manifest_path, identity)
            elif read_json(manifest_path) != identity:
                why = "holds vectors of another text encoder; use another paths.cache_dir"
                raise InputError(f"{self.folder}: {why}")
            self._read_new_rows()
            if not self._rows:
                self._write([key_of("")], np.zeros((1, dimension), dtype=_DTYPE))

    def __len__(self) -> int:
        """Number of rows, the one for the empty text and damaged ones included."""
        return self._rows

    @property
    def vectors(self) -> np.ndarray:
        """All vectors, float16 [N, dimension], memory-mapped and read-only."""
        return np.memmap(self._vectors_path, _DTYPE, "r", shape=(len(self), self.dimension))

    def rows_of(self, texts: Collection[str]) -> np.ndarray:
        """The row of each text, int64 [len(texts)], -1 where it is not stored yet."""
        find = self._row_of_key.get
        return np.fromiter((find(key_of(text), -1) for text in texts), np.int64, len(texts))

    def append(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Stores texts that are new, with their vectors, float [n, dimension]."""
        if vectors.shape != (len(texts), self.dimension):
            raise ValueError(f"expected {(len(texts), self.dimension)}, got {vectors.shape}")
        with self._lock:
            self._read_new_rows()
            keys = enumerate(map(key_of, texts))
            new = {key: position for position, key in keys if key not in self._row_of_key}
            self._write(list(new), vectors[list(new.values())].astype(_DTYPE))

    def _read_new_rows(self) -> None:
        """Learns the rows that this or another process has added since the last look."""
        first, size = self._rows, self.dimension
        keys = _read_from(self._keys_path, first, np.dtype((np.void, _KEY_BYTES)))
        vectors = _read_from(self._vectors_path, first * size, _DTYPE)
        vectors = vectors[: len(vectors) // size * size].reshape(-1, size)[: len(keys)]
        sums = _read_from(self._sums_path, first, _SUM_DTYPE)[: len(vectors)]
        is_good = np.zeros(len(keys), dtype=bool)
        is_good[: len(sums)] = sums == _sums_of(vectors[: len(sums)])
        if len(vectors) and not is_good[0] and not first:  # the empty text's
            vectors[0], is_good[0] = 0, True
            _write_at(self._vectors_path, 0, vectors[0].tobytes(), is_end=False)
            _write_at(self._sums_path, 0, _sums_of(vectors[:1]).tobytes(), is_end=False)
        for row in np.flatnonzero(is_good).tolist():
            self._row_of_key[keys[row].tobytes()] = first + row
        # One that was encoded again has a good row further down.
        if damaged := sum(key.tobytes() not in self._row_of_key for key in keys[~is_good]):
            note(f"{self.folder}: {damaged} damaged vectors; their texts are encoded again")
        self._rows = first + len(vectors)

    def _write(self, keys: list[bytes], vectors: np.ndarray) -> None:
        rows = self._rows
        _write_at(self._vectors_path, rows * self.dimension * _DTYPE.itemsize, vectors.tobytes())
        _write_at(self._sums_path, rows * _SUM_DTYPE.itemsize, _sums_of(vectors).tobytes())
        _write_at(self._keys_path, rows * _KEY_BYTES, b"".join(keys))
        self._rows += len(keys)
        self._row_of_key.update(zip(keys, range(rows, rows + len(keys)), strict=True))


def _read_from(path: Path, first: int, dtype: np.dtype) -> np.ndarray:
    """The whole elements of a file from one on."""
    require_regular(path)
    if not path.exists():
        return np.empty(0, dtype=dtype)
    return np.fromfile(path, dtype, offset=min(first * dtype.itemsize, path.stat().st_size))


def _sums_of(vectors: np.ndarray) -> np.ndarray:
    return np.fromiter(map(zlib.crc32, np.ascontiguousarray(vectors)), _SUM_DTYPE, len(vectors))


def _write_at(path: Path, offset: int, content: bytes, is_end: bool = True) -> None:
    """Writes to a file and waits until it is on disk; what came behind is cut off at the end."""
    try:
        with open(path, "r+b" if path.exists() else "w+b") as file:
            file.seek(offset)
            if is_end:
                file.truncate()
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:  # of a full disk, without a name
        raise OSError(error.errno, error.strerror, str(path)) from None


def key_of(text: str) -> bytes:
    """A hash that stands for a text."""
    # A review may hold lone surrogates (broken emoji in JSON); they are part of the text.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def open_store(cache_dir: str | Path, encoder: TextEncoder, has_texts: bool = True) -> VectorStore:
    """The encoder's store below `cache_dir`. Without texts the encoder is not measured for it."""
    identity = encoder.fingerprint if has_texts else "no texts"
    name = identity[:16] if has_texts else f"no_texts_{encoder.dimension}"
    return VectorStore(Path(cache_dir) / "text_vectors" / name, identity, encoder.dimension)


def distinct_texts(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Finds what has to be encoded of n texts: the distinct ones but the empty one, as they first
    occur; and int64 [n], the row of each, 0 for the empty text and i + 1 for the i-th of them."""
    row_of = {"": EMPTY_TEXT_ROW}
    rows = np.fromiter((row_of.setdefault(t, len(row_of)) for t in texts), np.int64, len(texts))
    return list(row_of)[1:], rows


def encode_texts(
    texts: Sequence[str], encoder: TextEncoder, store: VectorStore
) -> tuple[np.ndarray, int]:
    """Stores a vector of every text; repetitions and empty ones are welcome. Each batch is stored
    as soon as it is encoded. If nothing is new, the encoder's weights are not loaded. Returns where
    the vectors of n texts are, rows of the store, int64 [n], and how many texts were new."""
    distinct, row_of_text = distinct_texts(texts)
    rows = store.rows_of(["", *distinct])
    if new_texts := [distinct[row - 1] for row in np.flatnonzero(rows < 0)]:
        found = f"{1 - len(new_texts) / len(distinct):.0%} found in the store"
        with progress(len(new_texts), f"encoding texts ({found})", "text") as bar:
            for batch, vectors in encoder.encode_in_batches(new_texts):
                store.append([new_texts[row] for row in batch], vectors)
                bar.advance(len(batch))
        rows[rows < 0] = store.rows_of(new_texts)
    return rows[row_of_text], len(new_texts)
