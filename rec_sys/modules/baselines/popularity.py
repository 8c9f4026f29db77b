"""The same list for everyone: the most reviewed products, ever or lately."""

from dataclasses import field

import numpy as np

from rec_sys.foundation.settings import Positive, settings_of
from rec_sys.graph.review_graph import NO_TIME, SECONDS_PER_DAY, ReviewGraph
from rec_sys.modules.baselines.base import popularity


@settings_of("Popularity", frozen=False)
class Popularity:
    """Scores a product by its number of training reviews."""

    name: str = "popularity"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        return np.tile(self._popularity, (histories.num_users, 1))


@settings_of("RecentPopularity", frozen=False)
class RecentPopularity(Popularity):
    """Scores a product by its training reviews, each weighing 0.5 ** (age / half-life): in days
    from the newest one, where a review without a time is as old as the oldest with one; if none has
    a time, in steps, the number of later reviews by the same user."""

    half_life_days: Positive = field(kw_only=True)
    half_life_steps: Positive = field(kw_only=True)
    name: str = "recent popularity"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        weights = 0.5 ** self._half_lives(train)
        counts = np.bincount(train.edge_product, weights=weights, minlength=train.num_products)
        self._popularity = counts.astype(np.float32)

    def _half_lives(self, train: ReviewGraph) -> np.ndarray:
        """How often each review has lost half its weight, float64 [n]."""
        known = train.edge_time != NO_TIME
        if not known.any():
            return train.steps_back / self.half_life_steps
        time = np.where(known, train.edge_time, train.edge_time[known].min())
        return (time.max() - time) / (self.half_life_days * SECONDS_PER_DAY)
