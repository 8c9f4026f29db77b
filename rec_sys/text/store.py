"""Vectors on disk, each distinct text once; only what is new is encoded."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from rec_sys.foundation.console import progress
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, write_json
from rec_sys.text.encoder import TextEncoder

#: Row of the empty text in every store: the zero vector, "nothing was said".
EMPTY_TEXT_ROW = 0

_DTYPE = np.dtype(np.float16)
_KEY_BYTES = 16


class VectorStore:
    """float16 [N, dimension] in a folder, found by text.

    Two files grow side by side, ``vectors.f16`` and ``keys.bin`` (a 128-bit hash per text). Keys
    are written after their vectors, so whatever an interruption leaves behind, the rows that
    have a key are whole; a torn tail is overwritten by the next append. Several processes may
    use one folder: appending takes a lock.

    Args:
        folder: Created if missing. One folder holds the vectors of one encoder.
        fingerprint: Identity of the encoder (`TextEncoder.fingerprint`).
        dimension: Length of a vector.

    Raises:
        InputError: The folder belongs to another encoder.
    """

    def __init__(self, folder: str | Path, fingerprint: str, dimension: int) -> None:
        self.folder = Path(folder)
        self.dimension = dimension
        self.folder.mkdir(parents=True, exist_ok=True)
        self._vectors_path = self.folder / "vectors.f16"
        self._keys_path = self.folder / "keys.bin"
        self._lock = FileLock(self.folder / "lock")
        self._row_of_key: dict[bytes, int] = {}
        with self._lock:
            self._check_identity(fingerprint)
            self._read_new_keys()
            if not self._row_of_key:
                empty = np.zeros((1, dimension), dtype=_DTYPE)
                self._write([_key_of("")], empty)

    def __len__(self) -> int:
        """Number of rows, the one for the empty text included."""
        return len(self._row_of_key)

    @property
    def vectors(self) -> np.ndarray:
        """All vectors, float16 [N, dimension], memory-mapped and read-only."""
        return np.memmap(
            self._vectors_path, dtype=_DTYPE, mode="r", shape=(len(self), self.dimension)
        )

    def rows_of(self, texts: Sequence[str]) -> np.ndarray:
        """The row of each text, int64 [len(texts)], -1 where it is not stored yet."""
        find = self._row_of_key.get
        return np.fromiter((find(_key_of(text), -1) for text in texts), np.int64, len(texts))

    def append(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Stores texts that are new, with their vectors, float [n, dimension]."""
        if vectors.shape != (len(texts), self.dimension):
            raise ValueError(f"expected {(len(texts), self.dimension)}, got {vectors.shape}")
        with self._lock:
            self._read_new_keys()
            keys = enumerate(map(_key_of, texts))
            new = {key: position for position, key in keys if key not in self._row_of_key}
            self._write(list(new), vectors[list(new.values())].astype(_DTYPE))

    def _check_identity(self, fingerprint: str) -> None:
        manifest_path = self.folder / "manifest.json"
        identity = {"encoder_fingerprint": fingerprint, "dimension": self.dimension}
        if not manifest_path.exists():
            write_json(manifest_path, identity)
        elif read_json(manifest_path) != identity:
            raise InputError(
                f"{self.folder}: holds vectors of another text encoder; use another paths.cache_dir"
            )

    def _read_new_keys(self) -> None:
        """Learns the rows that this or another process has added since the last look."""
        if not self._keys_path.exists():
            return
        known = len(self._row_of_key)
        with open(self._keys_path, "rb") as file:
            file.seek(known * _KEY_BYTES)
            tail = file.read()
        for row in range(len(tail) // _KEY_BYTES):
            self._row_of_key[tail[row * _KEY_BYTES : (row + 1) * _KEY_BYTES]] = known + row

    def _write(self, keys: list[bytes], vectors: np.ndarray) -> None:
        rows = len(self._row_of_key)
        _write_at(self._vectors_path, rows * self.dimension * _DTYPE.itemsize, vectors.tobytes())
        _write_at(self._keys_path, rows * _KEY_BYTES, b"".join(keys))
        self._row_of_key.update(zip(keys, range(rows, rows + len(keys)), strict=True))


def _write_at(path: Path, offset: int, content: bytes) -> None:
    with open(path, "r+b" if path.exists() else "w+b") as file:
        file.seek(offset)
        file.truncate()
        file.write(content)


def _key_of(text: str) -> bytes:
    # A review may hold lone surrogates (broken emoji in JSON); they are part of the text.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_KEY_BYTES).digest()


def open_store(cache_dir: str | Path, encoder: TextEncoder, has_texts: bool = True) -> VectorStore:
    """Opens the store below `cache_dir` that belongs to `encoder`.

    Where nobody says anything it holds the empty text's vector, and no encoder is measured for it.
    """
    identity = encoder.fingerprint if has_texts else "no texts"
    name = identity[:16] if has_texts else f"no_texts_{encoder.dimension}"
    return VectorStore(Path(cache_dir) / "text_vectors" / name, identity, encoder.dimension)


def distinct_texts(texts: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Finds what has to be encoded of n texts.

    Returns:
        The distinct texts but the empty one, in the order of their first occurrence; and
        int64 [n], the row of each text where row 0 is the empty text and row i + 1 the i-th
        distinct one.
    """
    row_of = {"": EMPTY_TEXT_ROW}
    rows = np.fromiter((row_of.setdefault(t, len(row_of)) for t in texts), np.int64, len(texts))
    return list(row_of)[1:], rows


@dataclass(frozen=True)
class EncodedTexts:
    """Where the vectors of some texts are: `rows` of the store, int64 [n].

    `newly_encoded`: how many distinct texts had to be encoded for it.
    """

    rows: np.ndarray
    newly_encoded: int


def encode_texts(
    texts: Sequence[str], encoder: TextEncoder, store: VectorStore, show_progress: bool = True
) -> EncodedTexts:
    """Makes sure that every text has a vector in the store; repetitions and empty ones are welcome.

    Each batch is stored as soon as it is encoded: an interruption loses only the few that are under
    way. If nothing is new, the encoder's weights are not even loaded. A progress bar shows texts/s,
    the time left and the share of the distinct texts that the store held already.
    """
    distinct, row_of_text = distinct_texts(texts)
    rows = store.rows_of(["", *distinct])
    new_texts = [distinct[row - 1] for row in np.flatnonzero(rows < 0)]
    if new_texts:
        found = f"{1 - len(new_texts) / len(distinct):.0%} found in the store"
        with progress(len(new_texts), f"encoding texts ({found})", "text", show_progress) as bar:
            for batch, vectors in encoder.encode_in_batches(new_texts):
                store.append([new_texts[row] for row in batch], vectors)
                bar.advance(len(batch))
        rows[rows < 0] = store.rows_of(new_texts)
    return EncodedTexts(rows[row_of_text], len(new_texts))
