"""How many stars a review's own words stand for: ANOTHER QUESTION than all other models answer.

These models read the very review whose stars they tell ("review known"): they answer what this
text said, not what a person will think of a product that they have not reviewed yet. Their numbers
belong into a table of their own and must never stand beside those of a `RatingModel`: reading
the verdict is far easier than foreseeing it. They are of use as a ceiling, and to see whether the
text vectors carry sentiment at all.
"""

from typing import Protocol

import numpy as np

from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.base import training_ratings
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_baselines.ridge import StarRidge
from rec_sys.modules.rating_bias import predict_each_from_the_others


class ReviewKnownModel(Protocol):
    """Tells the stars of a review that it reads. Not a `RatingModel`, on purpose.

    Attributes:
        name: Its row in the table "review known".
    """

    name: str

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Learns from the training reviews."""

    def rate_known(
        self, histories: Reviews, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        """float32 [T], stars 1...5 of reviews.

        Args:
            histories: Of the people.
            user: int64 [T], counted as in `histories`.
            product: int64 [T].
            text: int64 [T], row of the review itself in the text vectors.
        """


class ReviewText:
    """Ridge on the review's own vector and, if wanted, the bias prediction.

    Args:
        penalty: Ridge penalty.
        with_bias: Also tell it who rates and what is rated; in training the review's own rating
            is left out of the bias.
        max_examples: So many training ratings are drawn at most.
        seed: Seeds the draw.

    Raises:
        InputError: A penalty that is not above 0, or fewer than one example.
    """

    def __init__(
        self,
        penalty: float = 1.0,
        with_bias: bool = True,
        max_examples: int = 200_000,
        seed: int = 0,
    ) -> None:
        self._ridge = StarRidge(penalty, max_examples, seed)
        self.with_bias = with_bias
        self.name = "ridge on the review itself" + (" + bias" if with_bias else "")

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `ReviewKnownModel`.

        Raises:
            InputError: No training review has a rating.
        """
        rated = training_ratings(train)
        self._vectors = catalogue.vectors
        self._bias = Bias()
        self._bias.fit(train, catalogue)
        bias = predict_each_from_the_others(rated.user, rated.product, rated.rating)
        drawn = self._ridge.draw(len(rated.rating))
        inputs = self._inputs(bias[drawn], rated.text[drawn])
        self._ridge.fit(inputs, rated.rating[drawn])

    def rate_known(
        self, histories: Reviews, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        """See `ReviewKnownModel`."""
        bias = self._bias.unclipped(histories, user, product)
        return self._ridge.predict(len(text), lambda rows: self._inputs(bias[rows], text[rows]))

    def _inputs(self, bias: np.ndarray, text: np.ndarray) -> np.ndarray:
        bias = (bias if self.with_bias else np.zeros(len(text)))[:, None].astype(np.float32)
        return np.concatenate([bias, self._vectors[text].astype(np.float32)], axis=1)
