"""Weights of products that are outside the equations: known by their texts and brands only."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class UnreviewedProducts:
    """Adds products, each by itself, to a solved system of R products.

    With K the inverse of the system, t what is known of a new product (texts, brand) and T the same
    of the solved ones, the block inverse gives its column y = K T t, and with its pivot
    s = |t|^2 + l2 - t'T'y its row y_j / (s K_jj). Neither needs another solution.

    Attributes:
        projected: float32 [R, D], K T.
        explained: float32 [D, D], T' K T.
        diagonal: float32 [R], of K.
        l2: The ridge of the system.
    """

    projected: np.ndarray
    explained: np.ndarray
    diagonal: np.ndarray
    l2: float

    @classmethod
    def of(cls, inverse: np.ndarray, features: np.ndarray, l2: float) -> "UnreviewedProducts":
        """Prepares for any number of new products.

        Args:
            inverse: float32 [R, R].
            features: float32 [R, D].
            l2: The ridge of the system.
        """
        projected = inverse @ features
        return cls(projected, features.T @ projected, np.diag(inverse).copy(), l2)

    def columns(self, features: np.ndarray, rows: slice) -> np.ndarray:
        """From solved products to new ones.

        Args:
            features: float32 [N, D], of the new products.
            rows: Which of the solved products.

        Returns:
            float32 [rows, N].
        """
        return self.projected[rows] @ features.T

    def rows(self, features: np.ndarray) -> np.ndarray:
        """From new products to the solved ones, float32 [N, R]."""
        own = np.einsum("nd,nd->n", features, features)
        explained = np.einsum("nd,nd->n", features @ self.explained, features)
        pivot = np.maximum(own - explained, 0) + self.l2
        return self.columns(features, slice(None)).T / (pivot[:, None] * self.diagonal)

    def scale_to(self, weights: np.ndarray, features: np.ndarray) -> np.float32:
        """How much longer the columns of solved products are than those of new ones.

        Args:
            weights: float32 [R, R].
            features: float32 [N, D], of the new products.

        Returns:
            Ratio of the median lengths; 1 where one of them has none.
        """
        squares = np.einsum("nd,nd->n", features @ (self.projected.T @ self.projected), features)
        lengths = np.sqrt(np.maximum(squares, 0))
        solved = np.sqrt(np.einsum("ij,ij->j", weights, weights))
        if not (lengths > 0).any() or not (solved > 0).any():
            return np.float32(1)
        return np.float32(np.median(solved[solved > 0]) / np.median(lengths[lengths > 0]))
