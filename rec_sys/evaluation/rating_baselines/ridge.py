"""Stars from the bias and the mean review vectors of both sides, by one ridge regression."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.base import as_stars, training_ratings
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.foundation.errors import InputError
from rec_sys.graph.csr import vector_sums
from rec_sys.modules.rating_bias import predict_each_from_the_others


@dataclass(frozen=True)
class MeanVectors:
    """Sums of review vectors, by user or by product.

    Attributes:
        sums: float32 [S, D].
        counts: int64 [S], reviews in each sum.
    """

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(
        cls, vectors: np.ndarray, text: np.ndarray, segment: np.ndarray, num_segments: int
    ) -> "MeanVectors":
        """Adds up.

        Args:
            vectors: float [N, D]; may be memory-mapped.
            text: int64 [n], rows of `vectors`.
            segment: int64 [n], the user or product of each review.
            num_segments: S.
        """
        return cls(
            vector_sums(vectors, text, segment, num_segments),
            np.bincount(segment, minlength=num_segments),
        )

    def of_rows(self, segment: np.ndarray) -> np.ndarray:
        """Means of some users or products, float32 [t, D]; zero without a review."""
        return self.sums[segment] / np.maximum(self.counts[segment], 1)[:, None].astype(np.float32)

    def without(self, segment: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Means as if a review of each did not exist.

        Args:
            segment: int64 [t].
            own: float32 [t, D], vector of the review to leave out; it is part of the sum.

        Returns:
            float32 [t, D]; zero if no other review is left.
        """
        left = self.counts[segment] - 1
        # Subtraction leaves rounding dust where nothing is left.
        rest = np.where(left[:, None] > 0, self.sums[segment] - own, np.float32(0))
        return rest / np.maximum(left, 1)[:, None].astype(np.float32)


_PREDICTED_AT_ONCE = 16_384


class StarRidge:
    """Inputs -> stars.

    Args:
        penalty: Ridge penalty.
        max_examples: So many training ratings are drawn at most.
        seed: Seeds the draw.

    Raises:
        InputError: A penalty that is not above 0, or fewer than one example.
    """

    def __init__(self, penalty: float, max_examples: int, seed: int) -> None:
        if not penalty > 0 or max_examples < 1:
            raise InputError(
                f"penalty={penalty} (above 0), max_examples={max_examples} (1 or more)"
            )
        self.penalty = penalty
        self.max_examples = max_examples
        self.seed = seed

    def draw(self, number: int) -> np.ndarray:
        """All of 0...number - 1, or `max_examples`, drawn without return; int64, ascending."""
        if number <= self.max_examples:
            return np.arange(number)
        rng = np.random.default_rng(self.seed)
        return np.sort(rng.choice(number, self.max_examples, replace=False))

    def fit(self, inputs: np.ndarray, rating: np.ndarray) -> None:
        """Learns.

        Args:
            inputs: float32 [n, f].
            rating: float32 [n], stars.
        """
        from sklearn.linear_model import Ridge

        self._ridge = Ridge(alpha=self.penalty).fit(inputs, rating)

    def predict(self, number: int, inputs_of: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Stars, float32 [number].

        Args:
            number: Of rows.
            inputs_of: Gives the inputs of some rows, float32 [rows, f].
        """
        stars = np.empty(number, dtype=np.float32)
        for start in range(0, number, _PREDICTED_AT_ONCE):
            rows = slice(start, start + _PREDICTED_AT_ONCE)
            stars[rows] = as_stars(self._ridge.predict(inputs_of(rows)))
        return stars


class TextRidge:
    """Ridge on [bias prediction, mean vector of the user's and of the product's reviews].

    A training example must look like what comes later, where the target's review is not known:
    its own rating and text are left out of the bias and of both means.

    Args:
        penalty: Ridge penalty.
        max_examples: So many training ratings are drawn at most; bounds the memory, a row of
            float32 inputs takes about 3 kB with vectors of 384 numbers.
        seed: Seeds the draw.
        bias: Settings of the bias, or None for its defaults.

    Raises:
        InputError: A penalty that is not above 0, or fewer than one example.
    """

    name = "ridge on mean texts + bias"

    def __init__(
        self,
        penalty: float = 1.0,
        max_examples: int = 200_000,
        seed: int = 0,
        bias: Bias | None = None,
    ) -> None:
        self._ridge = StarRidge(penalty, max_examples, seed)
        self.bias = bias or Bias()

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`.

        Raises:
            InputError: No training review has a rating.
        """
        rated = training_ratings(train)
        self.bias.fit(train, catalogue)
        vectors = self._vectors = catalogue.vectors
        # Of all reviews, those without a rating too: their words are known.
        users = MeanVectors.of(vectors, train.text, train.user, train.num_users)
        self._products = MeanVectors.of(vectors, train.text, train.product, catalogue.num_products)
        bias = predict_each_from_the_others(
            rated.user,
            rated.product,
            rated.rating,
            self.bias.user_shrinkage,
            self.bias.product_shrinkage,
        )
        drawn = self._ridge.draw(len(rated.rating))
        own = vectors[rated.text[drawn]].astype(np.float32)
        inputs = _inputs(
            bias[drawn],
            users.without(rated.user[drawn], own),
            self._products.without(rated.product[drawn], own),
        )
        self._ridge.fit(inputs, rated.rating[drawn])

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        bias = self.bias.unclipped(histories, user, product)
        users = MeanVectors.of(self._vectors, histories.text, histories.user, histories.num_users)
        return self._ridge.predict(
            len(user),
            lambda rows: _inputs(
                bias[rows], users.of_rows(user[rows]), self._products.of_rows(product[rows])
            ),
        )


def _inputs(bias: np.ndarray, user_texts: np.ndarray, product_texts: np.ndarray) -> np.ndarray:
    return np.concatenate([bias[:, None].astype(np.float32), user_texts, product_texts], axis=1)
