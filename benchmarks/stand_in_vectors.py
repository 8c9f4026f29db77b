"""Vectors that stand in for those of the text encoder, where only time and memory are measured.

The encoder manages a hundred texts per second; everything after it is measured on vectors of the
same shape, type and length that mean nothing.
"""

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

_BATCH_TEXTS = 8192
_SEED_BYTES = 8


class StandInEncoder:
    """Gives pseudo-random unit vectors, always the same ones for the same texts in the same order.

    Has what the project asks of a `TextEncoder`.
    """

    dimension = 384
    model_fingerprint = hashlib.sha256(b"stand-in vectors").hexdigest()
    fingerprint = model_fingerprint
    precision = "stand-in"

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """float32 [n, dimension]."""
        batches = [vectors for _, vectors in self.encode_in_batches(texts)]
        return np.concatenate([np.empty((0, self.dimension), np.float32), *batches])

    def encode_in_batches(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows in `texts` and their vectors, batch after batch."""
        for first in range(0, len(texts), _BATCH_TEXTS):
            rows = np.arange(first, min(first + _BATCH_TEXTS, len(texts)))
            text = texts[first].encode("utf-8", "surrogatepass")
            seed = hashlib.blake2b(text, digest_size=_SEED_BYTES).digest()
            rng = np.random.default_rng(int.from_bytes(seed))
            vectors = rng.standard_normal((len(rows), self.dimension), dtype=np.float32)
            yield rows, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
