"""Keys brought to one length, so that an approximate index finds high inner products."""

from dataclasses import dataclass

import numpy as np

#: What it takes a key longer: the number that fills up its length.
EXTRA_DIMENSIONS = 1


@dataclass(frozen=True)
class EqualLengths:
    """Moves keys to their centre and adds a number that makes all of them equally long.

    Graphs and inverted lists lead to what lies near, and near is not the same as a high inner
    product where some keys are longer than others. Of keys of one length the nearest are those
    with the highest inner product. A query gets a zero there, so its inner products are as before
    but for what it has with the centre, which is the same for all keys.

    Attributes:
        centre: float32 [d].
        radius: The longest distance of a key from the centre.
        width: Length of what goes into the index, at least ``d + EXTRA_DIMENSIONS``; zeros fill
            it up.

    References:
        Bachrach et al., Speeding Up the Xbox Recommender System Using a Euclidean Transformation
        for Inner-Product Spaces, RecSys 2014.
    """

    centre: np.ndarray
    radius: float
    width: int

    @classmethod
    def of(cls, keys: np.ndarray, chunk_size: int, width: int) -> "EqualLengths":
        """Measures keys, chunk by chunk.

        Args:
            keys: float32 [P, d], at least one; may be memory-mapped.
            chunk_size: Keys at once.
            width: See `EqualLengths`.
        """
        starts = range(0, len(keys), chunk_size)
        total = sum(
            keys[start : start + chunk_size].sum(axis=0, dtype=np.float64) for start in starts
        )
        centre = (total / len(keys)).astype(np.float32)
        radius = max(_lengths(keys[start : start + chunk_size] - centre).max() for start in starts)
        return cls(centre, float(radius), width)

    def of_keys(self, keys: np.ndarray) -> np.ndarray:
        """What goes into the index, float32 [n, width].

        A key that is longer than the radius, one that came later, stays longer than the others:
        its inner products are right, it may only be found less surely.

        Args:
            keys: float32 [n, d].
        """
        moved = keys - self.centre
        missing = np.sqrt(np.maximum(self.radius**2 - _lengths(moved) ** 2, 0))
        return self._filled_up(np.column_stack([moved, missing]))

    def of_queries(self, queries: np.ndarray) -> np.ndarray:
        """What is searched for, float32 [n, width].

        Args:
            queries: float32 [n, d].
        """
        return self._filled_up(queries)

    def scores(self, found: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """The inner products of queries and keys, float32 [n, k].

        Args:
            found: float32 [n, k], as the index tells them.
            queries: float32 [n, d].
        """
        return found + (queries @ self.centre)[:, None]

    def _filled_up(self, vectors: np.ndarray) -> np.ndarray:
        filled = np.zeros((len(vectors), self.width), dtype=np.float32)
        filled[:, : vectors.shape[1]] = vectors
        return filled


def _lengths(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors.astype(np.float64), axis=1)
