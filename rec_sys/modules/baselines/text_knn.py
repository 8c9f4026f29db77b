"""Products whose name and description resemble those of the history."""

import numpy as np

from rec_sys.foundation.settings import Decay, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.baselines.base import (
    history_matrix,
    popular_for_strangers,
    popularity,
    product_text_vectors,
)
from rec_sys.modules.match import unit


@settings_of("TextKNN", frozen=False)
class TextKNN:
    """Scores by the cosine between a product's text and the decayed mean text of the history."""

    score_settings = ("history_decay",)

    history_decay: Decay
    name: str = "text kNN"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)
        self._texts = product_text_vectors(train, vectors)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        history = history_matrix(histories, self.history_decay)
        # A cosine does not ask for the length, so the sum does as well as the mean.
        scores = unit(history @ self._texts) @ self._texts.T
        return popular_for_strangers(scores, histories, self._popularity)
