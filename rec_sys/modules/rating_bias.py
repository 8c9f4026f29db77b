"""Ratings explained by user and product bias, without a word of the texts: what must be beaten."""

from dataclasses import dataclass

import numpy as np

from rec_sys.graph.csr import segment_sum
from rec_sys.graph.ego_batch import MIDDLE_RATING, PRODUCT_SHRINKAGE, USER_SHRINKAGE
from rec_sys.graph.review_graph import ReviewGraph


@dataclass(frozen=True)
class RatingBias:
    """Mean rating, plus how much better than that each product is rated.

    Attributes:
        mean: Mean of the known ratings.
        product_bias: float32 [P], stars, shrunk towards 0; 0 for a product without a rating.
        majority_rating: The most frequent known rating.
        user_shrinkage: So many imaginary ratings say that a user is like all others.
    """

    mean: float
    product_bias: np.ndarray
    majority_rating: float
    user_shrinkage: float = USER_SHRINKAGE

    @classmethod
    def of(cls, graph: ReviewGraph, edges: np.ndarray) -> "RatingBias":
        """Fits to the ratings of some edges, int [n] (the training edges).

        Raises:
            ValueError: None of the edges has a rating.
        """
        return cls.fit(graph.edge_product[edges], graph.edge_rating[edges], graph.num_products)

    @classmethod
    def fit(
        cls,
        product: np.ndarray,
        rating: np.ndarray,
        num_products: int,
        user_shrinkage: float = USER_SHRINKAGE,
        product_shrinkage: float = PRODUCT_SHRINKAGE,
    ) -> "RatingBias":
        """Fits to ratings that are given as flat arrays.

        Args:
            product: int64 [n].
            rating: float32 [n], stars; NaN does not count.
            num_products: P.
            user_shrinkage: Imaginary ratings of each user.
            product_shrinkage: Imaginary ratings of each product.

        Raises:
            ValueError: There is no rating.
        """
        known = ~np.isnan(rating)
        if not known.any():
            raise ValueError("no edge has a rating")
        product, rating = product[known], rating[known].astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        mean = float(rating.mean())
        sums = segment_sum(rating - mean, product, num_products)
        numbers = np.bincount(product, minlength=num_products)
        bias = (sums / (numbers + product_shrinkage)).astype(np.float32)
        return cls(mean, bias, float(values[counts.argmax()]), user_shrinkage)

    def user_bias(
        self, user: np.ndarray, product: np.ndarray, rating: np.ndarray, num_users: int
    ) -> np.ndarray:
        """How much better than others each user rates, from the ratings of their history.

        Args:
            user: int64 [n], 0...num_users - 1.
            product: int64 [n].
            rating: float32 [n], stars; NaN does not count.
            num_users: U.

        Returns:
            float64 [U], stars, shrunk towards 0; 0 for a user without a rating.
        """
        known = ~np.isnan(rating)
        user, product = user[known], product[known]
        rest = rating[known] - self.mean - self.product_bias[product]
        sums = segment_sum(rest.astype(np.float64), user, num_users)
        return sums / (np.bincount(user, minlength=num_users) + self.user_shrinkage)

    def predict(self, graph: ReviewGraph, target: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Mean + product bias + the bias of the target's user, from the user's other ratings.

        Args:
            graph: All reviews.
            target: bool [E], the edges to predict.
            hidden: bool [E], edges that must not be looked at either.

        Returns:
            float32 [number of targets], in the order of the edges.
        """
        shown = ~target & ~hidden
        user, product = graph.edge_user, graph.edge_product
        user_bias = self.user_bias(
            user[shown], product[shown], graph.edge_rating[shown], graph.num_users
        )
        predicted = self.mean + self.product_bias[product[target]] + user_bias[user[target]]
        return predicted.astype(np.float32)


def predict_each_from_the_others(
    user: np.ndarray,
    product: np.ndarray,
    rating: np.ndarray,
    user_shrinkage: float = USER_SHRINKAGE,
    product_shrinkage: float = PRODUCT_SHRINKAGE,
) -> np.ndarray:
    """What `RatingBias` predicts of each rating when fitted to all ratings but this one.

    Exact, and without a fit per rating: taking rating i out changes the mean m, the bias of its
    product, and, through m alone, the biases of the user's other products. With S and n the sum
    and number of a product's ratings and k its shrinkage, such a bias is (S - m n) / (n + k), so
    that what is left of rating j is a_j - m b_j, a_j = r_j - S / (n + k), b_j = k / (n + k).

    Args:
        user: int64 [n].
        product: int64 [n]; a user rates a product once.
        rating: float32 [n], stars, none missing.
        user_shrinkage: As in `RatingBias.fit`.
        product_shrinkage: As in `RatingBias.fit`.

    Returns:
        float64 [n], stars, not clipped.
    """
    rating = rating.astype(np.float64)
    others = len(rating) - 1
    # A lone rating is predicted from nothing: the middle of the scale.
    mean = (rating.sum() - rating) / others if others else np.full(len(rating), MIDDLE_RATING)
    sums, numbers = np.bincount(product, weights=rating)[product], np.bincount(product)[product]
    product_bias = (sums - rating - mean * (numbers - 1)) / (numbers - 1 + product_shrinkage)
    a = rating - sums / (numbers + product_shrinkage)
    b = product_shrinkage / (numbers + product_shrinkage)
    rest = (np.bincount(user, weights=a)[user] - a) - mean * (
        np.bincount(user, weights=b)[user] - b
    )
    user_bias = rest / (np.bincount(user)[user] - 1 + user_shrinkage)
    return mean + product_bias + user_bias
