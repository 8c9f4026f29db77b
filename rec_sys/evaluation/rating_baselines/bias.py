"""The same stars for everybody; who rates kindly, and what is rated well."""

import numpy as np

from rec_sys.evaluation.protocol import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.base import as_stars, training_ratings
from rec_sys.foundation.errors import InputError
from rec_sys.modules.rating_bias import PRODUCT_SHRINKAGE, USER_SHRINKAGE, RatingBias

_KINDS = ("majority", "mean")


class Constant:
    """Always the most frequent training rating, or always the mean.

    The majority is the best constant for accuracy, the mean for the squared error.

    Args:
        kind: ``majority`` or ``mean``.

    Raises:
        InputError: Another kind.
    """

    def __init__(self, kind: str = "majority") -> None:
        if kind not in _KINDS:
            raise InputError(f"kind={kind}: must be one of {', '.join(_KINDS)}")
        self.kind = kind
        self.name = "majority rating" if kind == "majority" else "mean rating"

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """See `RatingModel`.

        Raises:
            InputError: No training review has a rating.
        """
        rating = training_ratings(train).rating.astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        self._stars = values[counts.argmax()] if self.kind == "majority" else rating.mean()

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """See `RatingModel`."""
        return as_stars(np.full(len(user), self._stars))


class Bias:
    """Mean + product bias + user bias, see `rec_sys.modules.rating_bias.RatingBias`, clipped.

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
