"""Ratings from texts by one ridge regression: from what others wrote, or from the review itself."""

from collections.abc import Callable

import numpy as np

from rec_sys.evaluation.rating_baselines.bias import Bias, as_stars, training_ratings
from rec_sys.foundation.settings import Count, Positive, PositiveCount, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.rating_bias import MeanVectors, predict_each_from_the_others

_PREDICTED_AT_ONCE = 16_384


@settings_of("Ridge", frozen=False)
class Ridge:
    """A ridge regression from inputs to ratings, for the models below. So many `max_examples` of
    the training ratings are drawn at most, which bounds the memory: a row of float32 inputs takes
    about 3 kB with vectors of 384 numbers."""

    penalty: Positive = 1.0
    max_examples: PositiveCount = 200_000
    seed: Count = 0

    def _examples(
        self, train: ReviewGraph, vectors: np.ndarray
    ) -> tuple[ReviewGraph, np.ndarray, np.ndarray]:
        """Fits the bias; reviews with a rating, those of them that are drawn, int64, ascending, and
        what the bias makes of each of these by all others."""
        rated = training_ratings(train)
        self._vectors, self._bias = vectors, Bias()
        self._bias.fit(train, vectors)
        bias = predict_each_from_the_others(rated.edge_user, rated.edge_product, rated.edge_rating)
        drawn = np.arange(len(bias))
        if len(bias) > self.max_examples:
            rng = np.random.default_rng(self.seed)
            drawn = np.sort(rng.choice(len(bias), self.max_examples, replace=False))
        return rated, drawn, bias[drawn]

    def _regress(self, inputs: np.ndarray, rating: np.ndarray) -> None:
        """Learns from float32 [n, f] and float32 [n]."""
        from sklearn import linear_model

        self._ridge = linear_model.Ridge(alpha=self.penalty).fit(inputs, rating)

    def _predict(self, number: int, inputs_of: Callable[[slice], np.ndarray]) -> np.ndarray:
        """Ratings of all rows, float32 [number]; `inputs_of` gives some rows, float32 [n, f]."""
        predicted = np.empty(number, dtype=np.float32)
        for start in range(0, number, _PREDICTED_AT_ONCE):
            rows = slice(start, start + _PREDICTED_AT_ONCE)
            predicted[rows] = as_stars(self._ridge.predict(inputs_of(rows)))
        return predicted


@settings_of("TextRidge", frozen=False)
class TextRidge(Ridge):
    """Ridge on [bias prediction, mean vector of the user's and of the product's reviews]. A
    training example must look like what comes later, where the target's review is not known: its
    own rating and text are left out of the bias and of both means."""

    name = "ridge on mean texts + bias"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated, drawn, bias = self._examples(train, vectors)
        # Of all reviews, those without a rating too: their words are known.
        users = MeanVectors.of_users(vectors, train)
        self._products = MeanVectors.of_products(vectors, train)
        own = vectors[rated.edge_text[drawn]].astype(np.float32)
        inputs = _side_by_side(
            bias,
            users.without(rated.edge_user[drawn], own),
            self._products.without(rated.edge_product[drawn], own),
        )
        self._regress(inputs, rated.edge_rating[drawn])

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        bias = self._bias.unclipped(histories, user, product)
        users = MeanVectors.of_users(self._vectors, histories)
        return self._predict(
            len(user),
            lambda rows: _side_by_side(
                bias[rows], users.of_rows(user[rows]), self._products.of_rows(product[rows])
            ),
        )


@settings_of("ReviewText", frozen=False)
class ReviewText(Ridge):
    """Ridge on the review's own vector and, if `with_bias`, on who rates and what is rated.

    A `ReviewKnownModel`: it reads the very review whose rating it tells. A ceiling, and a test
    whether the text vectors carry sentiment. In training the review's own rating is left out of the
    bias.
    """

    with_bias: bool = True

    @property
    def name(self) -> str:
        return "ridge on the review itself" + (" + bias" if self.with_bias else "")

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated, drawn, bias = self._examples(train, vectors)
        self._regress(self._inputs(bias, rated.edge_text[drawn]), rated.edge_rating[drawn])

    def rate_known(
        self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        bias = self._bias.unclipped(histories, user, product)
        return self._predict(len(text), lambda rows: self._inputs(bias[rows], text[rows]))

    def _inputs(self, bias: np.ndarray, text: np.ndarray) -> np.ndarray:
        bias = bias if self.with_bias else np.zeros(len(text))
        return _side_by_side(bias, self._vectors[text].astype(np.float32))


def _side_by_side(bias: np.ndarray, *vectors: np.ndarray) -> np.ndarray:
    return np.concatenate([bias[:, None].astype(np.float32), *vectors], axis=1)
