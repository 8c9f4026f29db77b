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
        by_text: float32 [R, D], K T.
        explained: float32 [D, D], T' K T.
        diagonal: float32 [R], of K.
        l2: The ridge of the system.
    """

    by_text: np.ndarray
    explained: np.ndarray
    diagonal: np.ndarray
    l2: float

    @classmethod
    def of(cls, inverse: np.ndarray, texts: np.ndarray, l2: float) -> "UnreviewedProducts":
        """Prepares for any number of new products.

        Args:
            inverse: float32 [R, R].
            texts: float32 [R, D].
            l2: The ridge of the system.
        """
        by_text = inverse @ texts
        return cls(by_text, texts.T @ by_text, np.diag(inverse).copy(), l2)

    def columns(self, texts: np.ndarray, rows: slice) -> np.ndarray:
        """From solved products to new ones.

        Args:
            texts: float32 [N, D], of the new products.
            rows: Which of the solved products.

        Returns:
            float32 [rows, N].
        """
        return self.by_text[rows] @ texts.T

    def rows(self, texts: np.ndarray) -> np.ndarray:
        """From new products to the solved ones, float32 [N, R]."""
        own = np.einsum("nd,nd->n", texts, texts)
        explained = np.einsum("nd,nd->n", texts @ self.explained, texts)
        pivot = np.maximum(own - explained, 0) + self.l2
        return self.columns(texts, slice(None)).T / (pivot[:, None] * self.diagonal)

    def scale_to(self, weights: np.ndarray, texts: np.ndarray) -> np.float32:
        """How much longer the columns of solved products are than those of new ones.

        Args:
            weights: float32 [R, R].
            texts: float32 [N, D], of the new products.

        Returns:
            Ratio of the median lengths; 1 where one of them has none.
        """
        squares = np.einsum("nd,nd->n", texts @ (self.by_text.T @ self.by_text), texts)
        lengths = np.sqrt(np.maximum(squares, 0))
        solved = np.sqrt(np.einsum("ij,ij->j", weights, weights))
        if not (lengths > 0).any() or not (solved > 0).any():
            return np.float32(1)
        return np.float32(np.median(solved[solved > 0]) / np.median(lengths[lengths > 0]))
