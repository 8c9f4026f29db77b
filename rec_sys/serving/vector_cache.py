"""Vectors of the texts seen last, so that nobody's text is encoded twice in a row."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from rec_sys.inference.history_batch import VECTOR_DTYPE, Encode

_DIGEST_BYTES = 16


class VectorCache:
    """Remembers the newest vectors by a hash of their text; no text is kept.

    Args:
        size: So many vectors at most; 0 remembers nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def encode(
        self, texts: Sequence[str], encode: Encode, known: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Finds the vectors of texts and has those encoded that are nowhere.

        Args:
            texts: Distinct and not empty.
            encode: Gives the vectors of the others.
            known: Vectors that the caller has already, by text.

        Returns:
            For each text its vector, float16 [D].
        """
        keys = {text: _key(text) for text in texts if text not in known}
        with self._lock:
            remembered = {text: self._vectors.get(key) for text, key in keys.items()}
            for text, vector in remembered.items():
                if vector is not None:
                    self._vectors.move_to_end(keys[text])
        missing = [text for text, vector in remembered.items() if vector is None]
        if missing:
            found = np.asarray(encode(missing)).astype(VECTOR_DTYPE)
            remembered.update(zip(missing, found, strict=True))
            self._remember({keys[text]: remembered[text] for text in missing})
        return {text: known[text] if text in known else remembered[text] for text in texts}

    def _remember(self, vectors: Mapping[bytes, np.ndarray]) -> None:
        with self._lock:
            # Copies: a row would keep the whole batch that it is a view of.
            self._vectors.update((key, vector.copy()) for key, vector in vectors.items())
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


def _key(text: str) -> bytes:
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES
    ).digest()
