"""The same list for everyone: the most reviewed products."""

from dataclasses import dataclass, field

import numpy as np

from rec_sys.evaluation.baselines.base import popularity
from rec_sys.evaluation.protocol import Catalogue, Reviews


@dataclass(kw_only=True)
class Popularity:
    """Scores a product by its number of training reviews.

    Attributes:
        name: See `RankingModel`.
    """

    name: str = "popularity"
    _popularity: np.ndarray = field(init=False, repr=False, compare=False)

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RankingModel`."""
        self._popularity = popularity(train, catalogue.num_products)

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        return np.tile(self._popularity, (histories.num_users, 1))
