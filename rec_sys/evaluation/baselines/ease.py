"""EASE: one ridge regression per product, solved for all at once."""

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse

from rec_sys.evaluation.baselines.base import (
    history_matrix,
    popular_for_strangers,
    popularity,
    require_decay,
    require_positive,
)
from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.modules.ease import co_occurrence, ease_weights


@dataclass(kw_only=True)
class Ease:
    """Scores by the history times the weights of `ease_weights` (Steck, WWW 2019).

    Attributes:
        l2: See `ease_weights`.
        history_decay: See `history_matrix`; 1 is the published model.
        name: See `RankingModel`.

    Raises:
        InputError: A setting is out of its range.
    """

    score_settings = ("history_decay",)

    l2: float
    history_decay: float
    name: str = "EASE"
    _weights: np.ndarray = field(init=False, repr=False, compare=False)
    _popularity: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        require_positive("l2", self.l2)
        require_decay("history_decay", self.history_decay)

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RankingModel`."""
        self._popularity = popularity(train, catalogue.num_products)
        self._weights = ease_weights(self._gram(train, catalogue), self.l2)

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        scores = history_matrix(histories, len(self._weights), self.history_decay) @ self._weights
        return popular_for_strangers(scores, histories, self._popularity)

    def _gram(self, train: Reviews, catalogue: Catalogue) -> np.ndarray | scipy.sparse.sparray:
        """What is inverted: float32 [P, P], symmetric."""
        return co_occurrence(train.user, train.product, train.num_users, catalogue.num_products)
