"""EASE that also reads: texts count as if further people had reviewed products alike in them."""

from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.baselines.base import product_text_vectors, require_not_negative
from rec_sys.evaluation.baselines.ease import Ease
from rec_sys.evaluation.protocol import Catalogue, Reviews


@dataclass(kw_only=True)
class TextEase(Ease):
    """EASE with `text_weight` * V V^T added to its Gram matrix, V = `product_text_vectors`.

    That is EASE on the reviews with 2 D rows sqrt(text_weight) * V^T below them: each dimension of
    the texts is one more "person", who likes some products and dislikes others (the collective
    form of side information, Jeunen, Van Balen & Goethals, "Closed-Form Models for Collaborative
    Filtering with Side-Information", RecSys 2020).

    Attributes:
        text_weight: In reviewers; 0 is EASE.
        l2: See `Ease`.
        history_decay: See `Ease`.
        name: See `RankingModel`.

    Raises:
        InputError: A setting is out of its range.
    """

    text_weight: float
    name: str = "text EASE"

    def __post_init__(self) -> None:
        """Refuses settings out of range."""
        super().__post_init__()
        require_not_negative("text_weight", self.text_weight)

    def _gram(self, train: Reviews, catalogue: Catalogue) -> np.ndarray:
        texts = product_text_vectors(catalogue) * np.float32(np.sqrt(self.text_weight))
        return texts @ texts.T + super()._gram(train, catalogue)
