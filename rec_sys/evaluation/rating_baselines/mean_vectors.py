"""Mean review vectors of users and products, with or without the review at hand."""

from dataclasses import dataclass

import numpy as np

from rec_sys.graph.segments import vector_sums


@dataclass(frozen=True)
class MeanVectors:
    """Sums of review vectors, by user or by product.

    Attributes:
        sums: float32 [S, D].
        counts: int64 [S], reviews in each sum.
    """

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls, vectors: np.ndarray, text: np.ndarray, segment: np.ndarray, num_segments: int
    ) -> "MeanVectors":
        """Adds up.

        Args:
            vectors: float [N, D]; may be memory-mapped.
            text: int64 [n], rows of `vectors`.
            segment: int64 [n], the user or product of each review.
            num_segments: S.
        """
        return cls(
            vector_sums(vectors, text, segment, num_segments),
            np.bincount(segment, minlength=num_segments),
        )

    def of_rows(self, segment: np.ndarray) -> np.ndarray:
        """Means of some users or products, float32 [t, D]; zero without a review."""
        return self.sums[segment] / np.maximum(self.counts[segment], 1)[:, None].astype(np.float32)

    def without(self, segment: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Means as if a review of each did not exist.

        Args:
            segment: int64 [t].
            own: float32 [t, D], vector of the review to leave out; it is part of the sum.

        Returns:
            float32 [t, D]; zero if no other review is left.
        """
        left = self.counts[segment] - 1
        # Subtraction leaves rounding dust where nothing is left.
        rest = np.where(left[:, None] > 0, self.sums[segment] - own, np.float32(0))
        return rest / np.maximum(left, 1)[:, None].astype(np.float32)
