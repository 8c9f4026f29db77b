"""EASE, one ridge regression per product, solved for all at once; alone and with texts."""

from dataclasses import field

import numpy as np
import scipy.sparse

from rec_sys.foundation.settings import Decay, NotNegative, Positive, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.baselines.base import (
    history_matrix,
    popular_for_strangers,
    popularity,
    product_text_vectors,
)
from rec_sys.modules.ease import co_occurrence, ease_weights


@settings_of("Ease", frozen=False)
class Ease:
    """Scores by the history times the weights of `ease_weights` (Steck, WWW 2019). With a
    `history_decay` of 1 (see `history_matrix`) this is the published model."""

    score_settings = ("history_decay",)

    l2: Positive
    history_decay: Decay
    name: str = "EASE"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        self._popularity = popularity(train)
        self._weights = ease_weights(self._gram(train, vectors), self.l2)

    def score(self, histories: ReviewGraph, asked: np.ndarray) -> np.ndarray:
        scores = history_matrix(histories, self.history_decay) @ self._weights
        return popular_for_strangers(scores, histories, self._popularity)

    def _gram(self, train: ReviewGraph, vectors: np.ndarray) -> np.ndarray | scipy.sparse.sparray:
        """What is inverted: float32 [P, P], symmetric."""
        return co_occurrence(
            train.edge_user, train.edge_product, train.num_users, train.num_products
        )


@settings_of("TextEase", frozen=False)
class TextEase(Ease):
    """EASE with `text_weight` * V V^T added to its Gram matrix, V = `product_text_vectors`: each
    dimension of the texts counts as so many "users", who like some products and dislike others (the
    collective form of side information, Jeunen, Van Balen & Goethals, "Closed-Form Models for
    Collaborative Filtering with Side-Information", RecSys 2020)."""

    text_weight: NotNegative = field(kw_only=True)
    name: str = "text EASE"

    def _gram(self, train: ReviewGraph, vectors: np.ndarray) -> np.ndarray:
        texts = product_text_vectors(train, vectors) * np.float32(np.sqrt(self.text_weight))
        return texts @ texts.T + super()._gram(train, vectors)
