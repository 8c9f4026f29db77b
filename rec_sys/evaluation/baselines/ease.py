"""EASE, one ridge regression per product, solved for all at once; alone and with texts."""

from dataclasses import field

import numpy as np
import scipy.sparse

from rec_sys.evaluation.baselines.base import (
    history_matrix,
    popular_for_strangers,
    popularity,
    product_text_vectors,
)
from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.foundation.settings import Decay, NotNegative, Positive, settings_of
from rec_sys.modules.ease import co_occurrence, ease_weights


@settings_of("Ease", frozen=False)
class Ease:
    """Scores by the history times the weights of `ease_weights` (Steck, WWW 2019).

    With a `history_decay` of 1 (see `history_matrix`) this is the published model.
    """

    score_settings = ("history_decay",)

    l2: Positive
    history_decay: Decay
    name: str = "EASE"

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        self._popularity = popularity(train, catalogue.num_products)
        self._weights = ease_weights(self._gram(train, catalogue), self.l2)

    def score(self, histories: Reviews) -> np.ndarray:
        scores = history_matrix(histories, len(self._weights), self.history_decay) @ self._weights
        return popular_for_strangers(scores, histories, self._popularity)

    def _gram(self, train: Reviews, catalogue: Catalogue) -> np.ndarray | scipy.sparse.sparray:
        """What is inverted: float32 [P, P], symmetric."""
        return co_occurrence(train.user, train.product, train.num_users, catalogue.num_products)


@settings_of("TextEase", frozen=False)
class TextEase(Ease):
    """EASE with `text_weight` * V V^T added to its Gram matrix, V = `product_text_vectors`.

    That is EASE on the reviews with 2 D rows sqrt(text_weight) * V^T below them: each dimension of
    the texts is one more "user", who likes some products and dislikes others (the collective
    form of side information, Jeunen, Van Balen & Goethals, "Closed-Form Models for Collaborative
    Filtering with Side-Information", RecSys 2020). `text_weight` counts in reviewers.
    """

    text_weight: NotNegative = field(kw_only=True)
    name: str = "text EASE"

    def _gram(self, train: Reviews, catalogue: Catalogue) -> np.ndarray:
        texts = product_text_vectors(catalogue) * np.float32(np.sqrt(self.text_weight))
        return texts @ texts.T + super()._gram(train, catalogue)
