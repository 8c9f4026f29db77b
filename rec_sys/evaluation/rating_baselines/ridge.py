"""Stars from the bias and the mean review vectors of both sides, by one linear formula."""

import numpy as np

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_baselines.known_ratings import training_ratings
from rec_sys.evaluation.rating_baselines.mean_vectors import MeanVectors
from rec_sys.evaluation.rating_baselines.star_ridge import StarRidge
from rec_sys.graph.rating_bias import predict_each_from_the_others


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
