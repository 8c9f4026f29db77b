"""Ratings explained by user and product bias, without a word of the texts: what must be beaten."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rec_sys.graph.csr import read_vectors, segment_sum, vector_sums
from rec_sys.graph.ego_batch import MIDDLE_RATING, PRODUCT_SHRINKAGE, USER_SHRINKAGE
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split


@dataclass(frozen=True)
class RatingBias:
    """Mean rating, plus how much better than that each product is rated. `product_bias`: float32
    [P], stars, shrunk towards 0, and 0 without a rating; `majority_rating`: the most frequent known
    rating; `user_shrinkage`: so many imaginary ratings say that a user is like all others."""

    mean: float
    product_bias: np.ndarray
    majority_rating: float
    user_shrinkage: float = USER_SHRINKAGE

    @classmethod
    def of(cls, graph: ReviewGraph, edges: np.ndarray) -> "RatingBias":
        """Fits to the ratings of some edges, int [n]; ValueError if none of them has a rating."""
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
        """Fits to ratings that are given as flat arrays. `product`: int64 [n]; `rating`: float32
        [n], stars, NaN does not count. The shrinkages are imaginary ratings of each user and each
        product. Raises ValueError if there is no rating."""
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
        """How much better than others each user rates: float64 [U], stars, shrunk towards 0. `user`
        and `product`: int64 [n]; `rating`: float32 [n], stars, NaN does not count. 0 for a user
        without a rating."""
        known = ~np.isnan(rating)
        user, product = user[known], product[known]
        rest = rating[known] - self.mean - self.product_bias[product]
        sums = segment_sum(rest.astype(np.float64), user, num_users)
        return sums / (np.bincount(user, minlength=num_users) + self.user_shrinkage)

    def predict(self, graph: ReviewGraph, target: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Mean + product bias + the bias of the target's user, from the user's other ratings.
        `target`: bool [E], the edges to predict; `hidden`: bool [E], edges that must not be looked
        at either. Returns float32 [number of targets], in the order of the edges."""
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
    product, and, through m alone, the biases of the user's other products. With S and n the sum and
    number of a product's ratings and k its shrinkage, such a bias is (S - m n) / (n + k), so that
    what is left of rating j is a_j - m b_j, a_j = r_j - S / (n + k), b_j = k / (n + k).

    `user` and `product`: int64 [n], a user rates a product once; `rating`: float32 [n], stars, none
    missing. Returns float64 [n], stars, not clipped.
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


class RatingStart(NamedTuple):
    """Stars: ``bias_weight * r + user_mean @ user + product_mean @ product + intercept``. With r
    what the biases predict, `RatingBias` around `mean`; `user` and `product` are float32 [D]."""

    mean: float
    user_shrinkage: float
    product_shrinkage: float
    bias_weight: float
    user: np.ndarray
    product: np.ndarray
    intercept: float


_SHRINKAGES = (2.0, 5.0, 10.0, 20.0)
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
# Of float32 inputs of two vectors of 384 numbers: 600 MB.
_MOST_EXAMPLES = 200_000


def fit_rating_start(
    graph: ReviewGraph, vectors: np.ndarray, split: Split, seed: int
) -> RatingStart | None:
    """A ridge regression from biases and the mean texts of user and product to ratings.

    A training rating is explained by the other reviews of its user and its product. Shrinkages and
    penalty are chosen on the validation. `vectors`: float [N, D], the vector store's rows; `seed`
    draws training ratings if there are very many. None without ratings to learn from and choose by.
    """
    from sklearn.linear_model import Ridge  # takes a second

    rated = ~np.isnan(graph.edge_rating)
    train, target = split.train, np.flatnonzero(split.validation.target & rated)
    examples = np.flatnonzero(train & rated)
    if not len(examples) or not len(target):
        return None
    user, product, rating = graph.edge_user, graph.edge_product, graph.edge_rating
    everybody, history = np.arange(graph.num_users), split.validation.history
    tried = []
    for shrinkages in itertools.product(_SHRINKAGES, _SHRINKAGES):
        biases = RatingBias.fit(
            product[examples], rating[examples], graph.num_products, *shrinkages
        )
        foreseen = biases.predict(graph, graph.edge_mask(target), hidden=~history)
        error = float(np.square(foreseen - rating[target]).mean())
        tried.append((error, shrinkages, biases.mean, foreseen))
    _, shrinkages, mean, foreseen = min(tried, key=lambda each: each[0])
    bias = predict_each_from_the_others(
        user[examples], product[examples], rating[examples], *shrinkages
    )
    if len(examples) > _MOST_EXAMPLES:
        drawn = np.random.default_rng(seed).choice(len(examples), _MOST_EXAMPLES, replace=False)
        examples, bias = examples[np.sort(drawn)], bias[np.sort(drawn)]
    known, shown = graph.histories(everybody, train), graph.histories(everybody, history)
    of_users = MeanVectors.of_users(vectors, known)
    of_products = MeanVectors.of_products(vectors, known)
    own = read_vectors(vectors, graph.edge_text[examples])
    means = of_users.without(user[examples], own), of_products.without(product[examples], own)
    inputs = np.column_stack([bias, *means])
    of_users = MeanVectors.of_users(vectors, shown)
    means = of_users.of_rows(user[target]), of_products.of_rows(product[target])
    asked = np.column_stack([foreseen, *means])
    best, least = None, np.inf
    for penalty in _PENALTIES:
        ridge = Ridge(alpha=penalty).fit(inputs, rating[examples])
        error = float(np.square(ridge.predict(asked) - rating[target]).mean())
        if error < least:
            best, least = ridge, error
    of_user, of_product = np.split(best.coef_[1:].astype(np.float32), 2)
    bias_weight, intercept = float(best.coef_[0]), float(best.intercept_)
    return RatingStart(mean, *shrinkages, bias_weight, of_user, of_product, intercept)


@dataclass(frozen=True)
class MeanVectors:
    """Means of review vectors by user or product; `sums`: float32 [S, D], `counts`: int64 [S]."""

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of_users(cls, vectors: np.ndarray, reviews: ReviewGraph) -> "MeanVectors":
        """Adds up the texts of each user's reviews; `vectors`: the vector store's rows."""
        sums = vector_sums(vectors, reviews.edge_text, reviews.edge_user, reviews.num_users)
        return cls(sums, reviews.degrees)

    @classmethod
    def of_products(cls, vectors: np.ndarray, reviews: ReviewGraph) -> "MeanVectors":
        """Likewise of each product's."""
        product, size = reviews.edge_product, reviews.num_products
        sums = vector_sums(vectors, reviews.edge_text, product, size)
        return cls(sums, np.bincount(product, minlength=size))

    def of_rows(self, segment: np.ndarray) -> np.ndarray:
        """Means of some users or products, float32 [t, D]; zero without a review."""
        return self.sums[segment] / np.maximum(self.counts[segment], 1)[:, None].astype(np.float32)

    def without(self, segment: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Means without one review of each, float32 [t, D]; zero if no other review is left.
        `segment`: int64 [t]; `own`: float32 [t, D], the review to leave out, a part of the sum."""
        left = self.counts[segment] - 1
        # Subtraction leaves rounding dust where nothing is left.
        rest = np.where(left[:, None] > 0, self.sums[segment] - own, np.float32(0))
        return rest / np.maximum(left, 1)[:, None].astype(np.float32)
