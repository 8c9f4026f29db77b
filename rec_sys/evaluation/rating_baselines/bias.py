"""Who rates kindly, and what is rated well."""

import numpy as np

from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.known_ratings import as_stars, training_ratings
from rec_sys.graph.rating_bias import PRODUCT_SHRINKAGE, USER_SHRINKAGE, RatingBias


class Bias:
    """Mean + product bias + user bias, see `rec_sys.graph.rating_bias.RatingBias`, clipped.

    Source: Koren, Bell, Volinsky, "Matrix Factorization Techniques for Recommender Systems",
    2009, equation 3; here with shrunk means instead of a joint fit.

    Args:
        user_shrinkage: Imaginary ratings of each user, at the mean.
        product_shrinkage: Imaginary ratings of each product, at the mean.
    """

    name = "user + product bias"

    def __init__(
        self,
        user_shrinkage: float = USER_SHRINKAGE,
        product_shrinkage: float = PRODUCT_SHRINKAGE,
    ) -> None:
        self.user_shrinkage = user_shrinkage
        self.product_shrinkage = product_shrinkage

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`.

        Raises:
            InputError: No training review has a rating.
        """
        rated = training_ratings(train)
        self.bias = RatingBias.fit(
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
        user_bias = self.bias.user_bias(
            histories.user, histories.product, histories.rating, histories.num_users
        )
        return self.bias.mean + self.bias.product_bias[product] + user_bias[user]
