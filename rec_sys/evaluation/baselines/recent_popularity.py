"""The same list for everyone: what was reviewed most lately."""

from dataclasses import dataclass, field

import numpy as np

from rec_sys.evaluation.baselines.base import require_positive
from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.graph.review_graph import NO_TIME, SECONDS_PER_DAY


@dataclass(kw_only=True)
class RecentPopularity:
    """Scores a product by its training reviews, newer ones counting more.

    A review weighs 0.5 ** (age / half-life). Its age is counted from the newest training review;
    a review without a time is taken to be as old as the oldest with one. If no review has a time,
    the age is the number of later reviews by the same person.

    Attributes:
        half_life_days: Half-life in days.
        half_life_steps: Half-life in reviews of the same person, if nothing has a time.
        name: See `RankingModel`.

    Raises:
        InputError: A half-life is not positive.
    """

    half_life_days: float
    half_life_steps: float
    name: str = "recent popularity"
    _popularity: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        require_positive("half_life_days", self.half_life_days)
        require_positive("half_life_steps", self.half_life_steps)

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RankingModel`."""
        weights = 0.5 ** self._half_lives(train)
        counts = np.bincount(train.product, weights=weights, minlength=catalogue.num_products)
        self._popularity = counts.astype(np.float32)

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        return np.tile(self._popularity, (histories.num_users, 1))

    def _half_lives(self, train: Reviews) -> np.ndarray:
        """How often each review has lost half its weight, float64 [n]."""
        known = train.time != NO_TIME
        if not known.any():
            return train.steps_back / self.half_life_steps
        time = np.where(known, train.time, train.time[known].min())
        return (time.max() - time) / (self.half_life_days * SECONDS_PER_DAY)
