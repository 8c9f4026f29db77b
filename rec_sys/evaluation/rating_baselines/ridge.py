"""Stars from the bias and the mean review vectors of both sides, by one linear formula."""

import numpy as np

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_baselines.known_ratings import as_stars, training_ratings
from rec_sys.evaluation.rating_baselines.mean_vectors import MeanVectors
from rec_sys.foundation.errors import InputError
from rec_sys.graph.rating_bias import predict_each_from_the_others

_PAIRS_AT_ONCE = 16_384


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
        if not penalty > 0 or max_examples < 1:
            raise InputError(
                f"penalty={penalty} (above 0), max_examples={max_examples} (1 or more)"
            )
        self.penalty = penalty
        self.max_examples = max_examples
        self.seed = seed
        self.bias = bias or Bias()

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`.

        Raises:
            InputError: No training review has a rating.
        """
        from sklearn.linear_model import Ridge

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
        drawn = drawn_examples(len(rated.rating), self.max_examples, self.seed)
        own = vectors[rated.text[drawn]].astype(np.float32)
        inputs = _inputs(
            bias[drawn],
            users.without(rated.user[drawn], own),
            self._products.without(rated.product[drawn], own),
        )
        self._ridge = Ridge(alpha=self.penalty).fit(inputs, rated.rating[drawn])

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        bias = self.bias.unclipped(histories, user, product)
        users = MeanVectors.of(self._vectors, histories.text, histories.user, histories.num_users)
        stars = np.empty(len(user), dtype=np.float32)
        for start in range(0, len(user), _PAIRS_AT_ONCE):
            block = slice(start, start + _PAIRS_AT_ONCE)
            inputs = _inputs(
                bias[block], users.of_rows(user[block]), self._products.of_rows(product[block])
            )
            stars[block] = as_stars(self._ridge.predict(inputs))
        return stars


def drawn_examples(number: int, most: int, seed: int) -> np.ndarray:
    """All of 0...number - 1, or `most` of them, drawn without return; int64, ascending."""
    if number <= most:
        return np.arange(number)
    return np.sort(np.random.default_rng(seed).choice(number, most, replace=False))


def _inputs(bias: np.ndarray, user_texts: np.ndarray, product_texts: np.ndarray) -> np.ndarray:
    return np.concatenate([bias[:, None].astype(np.float32), user_texts, product_texts], axis=1)
