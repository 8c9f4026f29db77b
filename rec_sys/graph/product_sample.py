"""Which products a batch ranks its targets against."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Between drawing all products alike (0) and by their reviews (1); Mikolov et al., NIPS 2013.
_POPULARITY_POWER = 0.75


@dataclass(frozen=True)
class ProductSample:
    """All products if there are few, otherwise a sample that prefers the popular ones.

    Attributes:
        counts: int64 [P], training reviews of each product.
        size: Products to draw; all if there are not more.
    """

    counts: np.ndarray
    size: int

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Distinct products, int64, ascending."""
        if len(self.counts) <= self.size:
            return np.arange(len(self.counts))
        # As `rng.choice` with these probabilities, which adds them up anew in every batch.
        drawn = self._cumulated.searchsorted(rng.random(self.size), side="right")
        return np.flatnonzero(np.bincount(drawn, minlength=len(self.counts)))

    def log_share(self, products: np.ndarray, shown: int) -> np.ndarray:
        """Logarithm of the probability that a batch holds each product.

        Args:
            products: int64 [n], the products of the batch.
            shown: How many edges the batch shows: each brings a product in by its popularity.

        Returns:
            float32 [n]; zeros if every batch holds all products.
        """
        if len(self.counts) <= self.size:
            return np.zeros(len(products), dtype=np.float32)
        popularity = (self.counts[products] + 1) / (self.counts.sum() + len(self.counts))
        left_out = self.size * np.log1p(-self._drawn[products]) + shown * np.log1p(-popularity)
        return np.log(-np.expm1(left_out)).astype(np.float32)

    @cached_property
    def _cumulated(self) -> np.ndarray:
        cumulated = self._drawn.cumsum()
        return cumulated / cumulated[-1]

    @cached_property
    def _drawn(self) -> np.ndarray:
        weights = (self.counts + 1.0) ** _POPULARITY_POWER
        return weights / weights.sum()
