"""Products whose name and description resemble those of the history."""

from dataclasses import dataclass, field

import numpy as np

from rec_sys.evaluation.baselines.base import (
    history_matrix,
    popular_for_strangers,
    popularity,
    product_text_vectors,
    require_decay,
    unit_length,
)
from rec_sys.evaluation.protocol import Catalogue, Reviews


@dataclass(kw_only=True)
class TextKNN:
    """Scores by the cosine between a product's text and the decayed mean text of the history.

    Attributes:
        history_decay: See `history_matrix`.
        name: See `RankingModel`.

    Raises:
        InputError: The decay is out of its range.
    """

    score_settings = ("history_decay",)

    history_decay: float
    name: str = "text kNN"
    _texts: np.ndarray = field(init=False, repr=False, compare=False)
    _popularity: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        require_decay("history_decay", self.history_decay)

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RankingModel`."""
        self._popularity = popularity(train, catalogue.num_products)
        self._texts = product_text_vectors(catalogue)

    def score(self, histories: Reviews) -> np.ndarray:
        """See `RankingModel`."""
        history = history_matrix(histories, len(self._texts), self.history_decay)
        # A cosine does not ask for the length, so the sum does as well as the mean.
        scores = unit_length(history @ self._texts) @ self._texts.T
        return popular_for_strangers(scores, histories, self._popularity)
