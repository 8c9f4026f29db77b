"""The same rating for everybody; who rates kindly, and what is rated well."""

from typing import Literal

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Positive, settings_of
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.rating_bias import PRODUCT_SHRINKAGE, USER_SHRINKAGE, RatingBias
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING


def with_rating(reviews: ReviewGraph) -> ReviewGraph:
    """The reviews that have a rating; the users stay."""
    return reviews.histories(np.arange(reviews.num_users), ~np.isnan(reviews.edge_rating))


def training_ratings(train: ReviewGraph) -> ReviewGraph:
    """The training reviews that have a rating; an `InputError` if there is none."""
    rated = with_rating(train)
    if not rated.num_edges:
        raise InputError("no training review has a rating: nothing can predict stars; rank instead")
    return rated


def as_stars(values: np.ndarray) -> np.ndarray:
    """Predictions as float32, clipped to the scale: what is beyond it is wrong for certain."""
    return np.clip(values, MIN_RATING, MAX_RATING).astype(np.float32)


@settings_of("Constant", frozen=False)
class Constant:
    """Always the most frequent training rating, the best constant for accuracy, or always the mean,
    the best for the squared error."""

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
    """Mean + product bias + user bias, see `rec_sys.modules.rating_bias.RatingBias`, clipped.

    Source: Koren, Bell, Volinsky, "Matrix Factorization Techniques for Recommender Systems",
    2009, equation 3; here with shrunk means instead of a joint fit: each user and each product has
    so many imaginary ratings at the mean.
    """

    name = "user + product bias"

    user_shrinkage: Positive = USER_SHRINKAGE
    product_shrinkage: Positive = PRODUCT_SHRINKAGE

    def fit(self, train: ReviewGraph, vectors: np.ndarray) -> None:
        rated = training_ratings(train)
        shrinkage = (self.user_shrinkage, self.product_shrinkage)
        self._bias = RatingBias.fit(
            rated.edge_product, rated.edge_rating, train.num_products, *shrinkage
        )

    def rate(self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        return as_stars(self.unclipped(histories, user, product))

    def unclipped(
        self, histories: ReviewGraph, user: np.ndarray, product: np.ndarray
    ) -> np.ndarray:
        """The sum itself, float64 [T]: a feature for other models."""
        user_bias = self._bias.user_bias(
            histories.edge_user, histories.edge_product, histories.edge_rating, histories.num_users
        )
        return self._bias.mean + self._bias.product_bias[product] + user_bias[user]
