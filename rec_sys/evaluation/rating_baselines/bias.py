"""The same rating for everybody; who rates kindly, and what is rated well."""

from typing import Literal

import numpy as np

from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.base import as_stars, training_ratings
from rec_sys.foundation.settings import Positive, settings_of
from rec_sys.modules.rating_bias import PRODUCT_SHRINKAGE, USER_SHRINKAGE, RatingBias


@settings_of("Constant", frozen=False)
class Constant:
    """Always the most frequent training rating, or always the mean.

    The majority is the best constant for accuracy, the mean for the squared error.
    """

    kind: Literal["majority", "mean"] = "majority"

    @property
    def name(self) -> str:
        """See `RatingModel`."""
        return f"{self.kind} rating"

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`."""
        rating = training_ratings(train).rating.astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        self._rating = values[counts.argmax()] if self.kind == "majority" else rating.mean()

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        return as_stars(np.full(len(user), self._rating))


@settings_of("Bias", frozen=False)
class Bias:
    """Mean + product bias + user bias, see `rec_sys.modules.rating_bias.RatingBias`, clipped.

    Source: Koren, Bell, Volinsky, "Matrix Factorization Techniques for Recommender Systems",
    2009, equation 3; here with shrunk means instead of a joint fit.

    Attributes:
        user_shrinkage: Imaginary ratings of each user, at the mean.
        product_shrinkage: Imaginary ratings of each product, at the mean.
    """

    name = "user + product bias"

    user_shrinkage: Positive = USER_SHRINKAGE
    product_shrinkage: Positive = PRODUCT_SHRINKAGE

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`."""
        rated = training_ratings(train)
        self._bias = RatingBias.fit(
            rated.product,
            rated.rating,
            catalogue.num_products,
            self.user_shrinkage,
            self.product_shrinkage,
        )

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`; a user's bias comes from their history."""
        return as_stars(self.unclipped(histories, user, product))

    def unclipped(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """The sum itself, float64 [T]: a feature for other models."""
        user_bias = self._bias.user_bias(
            histories.user, histories.product, histories.rating, histories.num_users
        )
        return self._bias.mean + self._bias.product_bias[product] + user_bias[user]
