"""How many stars a review's own words stand for: ANOTHER QUESTION than all other models answer.

These models read the very review whose stars they tell ("review known"): they answer what this
text said, not what a person will think of a product that they have not reviewed yet. Their numbers
belong into a table of their own and must never stand beside those of a `RatingModel`: reading
the verdict is far easier than foreseeing it. They are of use as a ceiling, and to see whether the
text vectors carry sentiment at all.
"""

from typing import Protocol

import numpy as np

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_baselines.known_ratings import as_stars, training_ratings
from rec_sys.evaluation.rating_baselines.ridge import drawn_examples
from rec_sys.foundation.errors import InputError
from rec_sys.graph.rating_bias import predict_each_from_the_others

_PAIRS_AT_ONCE = 16_384


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
        if not penalty > 0 or max_examples < 1:
            raise InputError(
                f"penalty={penalty} (above 0), max_examples={max_examples} (1 or more)"
            )
        self.penalty = penalty
        self.with_bias = with_bias
        self.max_examples = max_examples
        self.seed = seed
        self.name = "ridge on the review itself" + (" + bias" if with_bias else "")

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `ReviewKnownModel`.

        Raises:
            InputError: No training review has a rating.
        """
        from sklearn.linear_model import Ridge

        rated = training_ratings(train)
        self._vectors = catalogue.vectors
        self._bias = Bias()
        self._bias.fit(train, catalogue)
        bias = predict_each_from_the_others(rated.user, rated.product, rated.rating)
        drawn = drawn_examples(len(rated.rating), self.max_examples, self.seed)
        inputs = self._inputs(bias[drawn], rated.text[drawn])
        self._ridge = Ridge(alpha=self.penalty).fit(inputs, rated.rating[drawn])

    def rate_known(
        self, histories: Reviews, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        """See `ReviewKnownModel`."""
        bias = self._bias.unclipped(histories, user, product)
        stars = np.empty(len(text), dtype=np.float32)
        for start in range(0, len(text), _PAIRS_AT_ONCE):
            block = slice(start, start + _PAIRS_AT_ONCE)
            stars[block] = as_stars(self._ridge.predict(self._inputs(bias[block], text[block])))
        return stars

    def _inputs(self, bias: np.ndarray, text: np.ndarray) -> np.ndarray:
        bias = (bias if self.with_bias else np.zeros(len(text)))[:, None].astype(np.float32)
        return np.concatenate([bias, self._vectors[text].astype(np.float32)], axis=1)
