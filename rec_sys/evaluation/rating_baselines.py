"""Rating models that any other model has to beat."""

from collections.abc import Callable
from typing import Literal

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, Positive, PositiveCount, settings_of
from rec_sys.graph.ego_batch import PRODUCT_SHRINKAGE, USER_SHRINKAGE
from rec_sys.graph.review_graph import ReviewGraph, rows_to_pointers
from rec_sys.modules.rating_bias import MeanVectors, RatingBias, predict_each_from_the_others
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

_PREDICTED_AT_ONCE = 16_384


def with_rating(reviews: ReviewGraph) -> ReviewGraph:
    """The reviews that have a rating; the users stay."""
    return reviews.histories(np.arange(reviews.num_users), ~np.isnan(reviews.edge_rating))


def training_ratings(train: ReviewGraph) -> ReviewGraph:
    """The reviews that have a rating; an `InputError` if there is none."""
    rated = with_rating(train)
    if not rated.num_edges:
        raise InputError("no review has a rating: nothing can predict stars; rank instead")
    return rated


def as_stars(values: np.ndarray) -> np.ndarray:
    """Predictions as float32, clipped to the scale: what is beyond it is wrong for certain."""
    return np.clip(values, MIN_RATING, MAX_RATING).astype(np.float32)


@settings_of("Constant", frozen=False)
class Constant:
    """Always the most frequent rating, best for accuracy, or the mean, for the squared error."""

    kind: Literal["majority", "mean"] = "majority"

    @property
    def name(self) -> str:
        return f"{self.kind} rating"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rating = training_ratings(train).edge_rating.astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        self._rating = values[counts.argmax()] if self.kind == "majority" else rating.mean()

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        return as_stars(np.full(len(user), self._rating))


@settings_of("Bias", frozen=False)
class Bias:
    """`RatingBias`, clipped (Koren, Bell & Volinsky, "Matrix Factorization Techniques for
    Recommender Systems", 2009, equation 3): means, shrunk by imaginary ratings, no joint fit."""

    name = "user + product bias"

    user_shrinkage: Positive = USER_SHRINKAGE
    product_shrinkage: Positive = PRODUCT_SHRINKAGE

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated = training_ratings(train)
        shrinkage = (self.user_shrinkage, self.product_shrinkage)
        self._bias = RatingBias.of(rated, np.arange(rated.num_edges), *shrinkage)

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        return as_stars(self._bias.rate(histories, user, product))


@settings_of("MatrixFactorisation", frozen=False)
class MatrixFactorisation:
    """Ratings as mean + user bias + product bias + inner product of two factors. Minimises the
    squared error with ridge penalties on factors and biases by `sweeps` of alternating least
    squares: with the products fixed, each user is one small ridge regression, by which `rate` folds
    in users, too (Koren, Bell & Volinsky, "Matrix Factorization Techniques for Recommender
    Systems", 2009, equations 4 and 5 and the section on alternating least squares)."""

    name = "matrix factorisation"

    rank: PositiveCount = 8
    factor_penalty: Positive = 5.0
    bias_penalty: Positive = 5.0
    sweeps: PositiveCount = 15
    seed: Count = 0

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated = training_ratings(train)
        num_products = train.num_products
        rating = rated.edge_rating.astype(np.float64)
        self._mean = rating.mean()
        of_users = rated.edge_user, rated.edge_product, rating
        order = np.argsort(rated.edge_product, kind="stable")
        of_products = rated.edge_product[order], rated.edge_user[order], rating[order]
        rng = np.random.default_rng(self.seed)
        # Of length about 1, so that the first users' vectors are neither tiny nor huge.
        start = rng.normal(scale=self.rank**-0.5, size=(num_products, self.rank))
        self._products = np.hstack([start, np.zeros((num_products, 1))])
        for _ in range(self.sweeps):
            users = self._solve(*of_users, self._products, rated.num_users)
            # The products last: one without a rating ends as zero instead of as a random start.
            self._products = self._solve(*of_products, users, num_products)

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        rated = with_rating(histories)
        of_users = rated.edge_user, rated.edge_product, rated.edge_rating.astype(np.float64)
        users = self._solve(*of_users, self._products, rated.num_users)
        left, right = users[user], self._products[product]
        products = np.einsum("td,td->t", left[:, :-1], right[:, :-1])
        return as_stars(self._mean + left[:, -1] + right[:, -1] + products)

    def _solve(
        self, own: np.ndarray, other: np.ndarray, rating: np.ndarray, others: np.ndarray, size: int
    ) -> np.ndarray:
        """A ridge regression for each row of one side, the other side fixed: float64 [size, rank +
        1], zero without a rating. `own`: int64 [n], ascending, whose rating, float64 [n], it is;
        `other`: int64 [n], row of `others`, float64 [m, rank + 1], vectors, then the bias."""
        penalties = np.diag([self.factor_penalty] * self.rank + [self.bias_penalty])
        solved, pointers = np.zeros((size, self.rank + 1)), rows_to_pointers(own, size)
        for row in np.flatnonzero(np.diff(pointers)):
            rows = slice(pointers[row], pointers[row + 1])
            known = others[other[rows]]
            inputs = np.column_stack([known[:, :-1], np.ones(len(known))])
            rest = rating[rows] - self._mean - known[:, -1]
            solved[row] = np.linalg.solve(inputs.T @ inputs + penalties, inputs.T @ rest)
        return solved


@settings_of("Ridge", frozen=False)
class Ridge:
    """A ridge regression on at most `max_examples`: two vectors of 384 numbers take 3 kB each."""

    penalty: Positive = 1.0
    max_examples: PositiveCount = 200_000
    seed: Count = 0

    def _examples(self, train: ReviewGraph, vectors: np.ndarray) -> tuple[ReviewGraph, np.ndarray]:
        """Fits the bias; reviews with a rating, and what it makes of each by all others."""
        rated = training_ratings(train)
        self._vectors, self._bias = vectors, RatingBias.of(rated, np.arange(rated.num_edges))
        bias = predict_each_from_the_others(rated.edge_user, rated.edge_product, rated.edge_rating)
        rng, most = np.random.default_rng(self.seed), min(len(bias), self.max_examples)
        drawn = rated.edge_mask(rng.choice(len(bias), most, replace=False))
        return rated.histories(np.arange(rated.num_users), drawn), bias[drawn]

    def _regress(self, inputs: np.ndarray, rating: np.ndarray) -> None:
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
    """Ridge on [bias prediction, mean vector of the user's and of the product's reviews]. Of a
    training example, rating and text are left out of all three, as if it were not yet written."""

    name = "ridge on mean texts + bias"

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated, bias = self._examples(train, vectors)
        # Of all reviews, those without a rating too: their words are known.
        users = MeanVectors.of(vectors, train, train.edge_user, train.num_users)
        self._products = MeanVectors.of(vectors, train, train.edge_product, train.num_products)
        own = vectors[rated.edge_text].astype(np.float32)
        means = users.without(rated.edge_user, own), self._products.without(rated.edge_product, own)
        self._regress(_side_by_side(bias, *means), rated.edge_rating)

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        bias = self._bias.rate(histories, user, product)
        users = MeanVectors.of(self._vectors, histories, histories.edge_user, histories.num_users)

        def inputs(rows: slice) -> np.ndarray:
            means = users.of_rows(user[rows]), self._products.of_rows(product[rows])
            return _side_by_side(bias[rows], *means)

        return self._predict(len(user), inputs)


@settings_of("ReviewText", frozen=False)
class ReviewText(Ridge):
    """Ridge on the review's own vector and, if `with_bias`, on who rates and what is rated: a
    ceiling, and a test whether text vectors carry sentiment. In training no bias has the rating."""

    with_bias: bool = True

    @property
    def name(self) -> str:
        return "ridge on the review itself" + (" + bias" if self.with_bias else "")

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated, bias = self._examples(train, vectors)
        self._regress(self._inputs(bias, rated.edge_text), rated.edge_rating)

    def rate_known(
        self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray, text: np.ndarray
    ) -> np.ndarray:
        bias = self._bias.rate(histories, user, product)
        return self._predict(len(text), lambda rows: self._inputs(bias[rows], text[rows]))

    def _inputs(self, bias: np.ndarray, text: np.ndarray) -> np.ndarray:
        bias = bias if self.with_bias else np.zeros(len(text))
        return _side_by_side(bias, self._vectors[text].astype(np.float32))


def _side_by_side(bias: np.ndarray, *vectors: np.ndarray) -> np.ndarray:
    return np.concatenate([bias[:, None].astype(np.float32), *vectors], axis=1)
