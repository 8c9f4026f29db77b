"""Ratings explained by user and product bias, without a word of the texts: what must be beaten."""

import itertools
from typing import NamedTuple, Self

import numpy as np
import scipy.linalg

from rec_sys.graph.ego_batch import MIDDLE_RATING, PRODUCT_SHRINKAGE, USER_SHRINKAGE
from rec_sys.graph.review_graph import ReviewGraph, read_vectors, segment_sum, vector_sums
from rec_sys.graph.task import Split


class RatingBias(NamedTuple):
    """How much better than the mean each product is rated, `product_bias`, float32 [P], stars,
    shrunk; `majority_rating`: the most frequent; `user_shrinkage`: imaginary ratings of a user."""

    mean: float
    product_bias: np.ndarray
    majority_rating: float
    user_shrinkage: float = USER_SHRINKAGE

    @classmethod
    def of(
        cls,
        graph: ReviewGraph,
        edges: np.ndarray,
        user_shrinkage: float = USER_SHRINKAGE,
        product_shrinkage: float = PRODUCT_SHRINKAGE,
    ) -> "RatingBias":
        """Fits to the ratings of some edges, int64 [n]; the shrinkages are imaginary ratings of
        each user and each product. ValueError if none of the edges has a rating."""
        known = edges[~np.isnan(graph.edge_rating[edges])]
        if not len(known):
            raise ValueError("no edge has a rating")
        product, rating = graph.edge_product[known], graph.edge_rating[known].astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        mean = float(rating.mean())
        sums = segment_sum(rating - mean, product, graph.num_products)
        numbers = np.bincount(product, minlength=graph.num_products)
        bias = (sums / (numbers + product_shrinkage)).astype(np.float32)
        return cls(mean, bias, float(values[counts.argmax()]), user_shrinkage)

    def user_bias(self, reviews: ReviewGraph) -> np.ndarray:
        """How much better than others each user rates: float64 [U], stars, shrunk; 0 if unrated."""
        known = ~np.isnan(reviews.edge_rating)
        user, product = reviews.edge_user[known], reviews.edge_product[known]
        rest = reviews.edge_rating[known] - self.mean - self.product_bias[product]
        sums = segment_sum(rest.astype(np.float64), user, reviews.num_users)
        return sums / (np.bincount(user, minlength=reviews.num_users) + self.user_shrinkage)

    def rate(self, reviews: ReviewGraph, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Mean + biases of T pairs, float64 [T], not clipped; `user`: int64, index in `reviews`."""
        return self.mean + self.product_bias[product] + self.user_bias(reviews)[user]

    def predict(self, graph: ReviewGraph, target: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """`rate` for `target`, bool [E], by a user's other ratings, without `hidden`: float32."""
        others = graph.histories(np.arange(graph.num_users), ~target & ~hidden)
        pairs = graph.edge_user[target], graph.edge_product[target]
        return self.rate(others, *pairs).astype(np.float32)


def predict_each_from_the_others(
    user: np.ndarray,
    product: np.ndarray,
    rating: np.ndarray,
    user_shrinkage: float = USER_SHRINKAGE,
    product_shrinkage: float = PRODUCT_SHRINKAGE,
) -> np.ndarray:
    """What `RatingBias` predicts of each rating when fitted to all ratings but this one, float64
    [n], not clipped. `user`, `product`: int64 [n], each pair once; `rating`: float32 [n], no NaN.

    Exact, without a fit per rating: taking rating i out changes the mean m, the bias of its
    product, and, through m alone, the biases of the user's other products. With S and n the sum and
    number of a product's ratings and k its shrinkage, such a bias is (S - m n) / (n + k), so that
    what is left of rating j is a_j - m b_j, a_j = r_j - S / (n + k), b_j = k / (n + k)."""
    rating = rating.astype(np.float64)
    others = len(rating) - 1
    # A lone rating is predicted from nothing: the middle of the scale.
    mean = (rating.sum() - rating) / others if others else np.full(len(rating), MIDDLE_RATING)
    sums, numbers = np.bincount(product, weights=rating)[product], np.bincount(product)[product]
    product_bias = (sums - rating - mean * (numbers - 1)) / (numbers - 1 + product_shrinkage)
    a = rating - sums / (numbers + product_shrinkage)
    b = product_shrinkage / (numbers + product_shrinkage)
    others_a, others_b = (np.bincount(user, weights=each)[user] - each for each in (a, b))
    user_bias = (others_a - mean * others_b) / (np.bincount(user)[user] - 1 + user_shrinkage)
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
_PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)
_FREE = 1.0  # for what is the same for all, which nothing else would bind
# Of float32 inputs of two vectors of 384 numbers: 600 MB.
_MOST_EXAMPLES = 200_000


def fit_rating_start(
    graph: ReviewGraph, vectors: np.ndarray, split: Split, seed: int
) -> RatingStart | None:
    """A ridge regression from biases and the mean texts of user and product, without the review
    itself, to training ratings. Shrinkages and penalty are chosen on the validation. `vectors`:
    float [N, D]; `seed` draws ratings if there are very many. None without any in either part."""
    rated = ~np.isnan(graph.edge_rating)
    train, target = split.train, np.flatnonzero(split.validation.target & rated)
    examples = np.flatnonzero(train & rated)
    if not len(examples) or not len(target):
        return None
    user, product, rating = graph.edge_user, graph.edge_product, graph.edge_rating
    everybody, history = np.arange(graph.num_users), split.validation.history
    shrinkages, mean, foreseen = _best_biases(graph, examples, target, ~history)
    told = user[examples], product[examples], rating[examples]
    bias = predict_each_from_the_others(*told, *shrinkages)
    if len(examples) > _MOST_EXAMPLES:
        drawn = np.random.default_rng(seed).choice(len(examples), _MOST_EXAMPLES, replace=False)
        examples, bias = examples[np.sort(drawn)], bias[np.sort(drawn)]
    known, shown = graph.histories(everybody, train), graph.histories(everybody, history)
    of_users = MeanVectors.of(vectors, known, known.edge_user, known.num_users)
    of_products = MeanVectors.of(vectors, known, known.edge_product, known.num_products)
    own = read_vectors(vectors, graph.edge_text[examples])
    means = of_users.without(user[examples], own), of_products.without(product[examples], own)
    inputs = np.column_stack([bias, *means])
    of_users = MeanVectors.of(vectors, shown, shown.edge_user, shown.num_users)
    means = of_users.of_rows(user[target]), of_products.of_rows(product[target])
    asked = np.column_stack([foreseen, *means])
    centre, level = inputs.mean(axis=0), rating[examples].mean()
    inputs -= centre
    gram, moments = inputs.T @ inputs, inputs.T @ (rating[examples] - level)
    # The biases stay free: where texts tell nothing, they are still to count as much as they do.
    texts, free = np.arange(len(gram)) > 0, np.eye(len(gram), dtype=gram.dtype)
    ridges = [gram + free * np.where(texts, each, _FREE).astype(gram.dtype) for each in _PENALTIES]
    fits = [scipy.linalg.solve(each, moments, assume_a="pos") for each in ridges]
    errors = [np.square((asked - centre) @ each + level - rating[target]).mean() for each in fits]
    best = fits[int(np.argmin(errors))]
    of_user, of_product = np.split(best[1:].astype(np.float32), 2)
    bias_weight, intercept = float(best[0]), float(level - centre @ best)
    return RatingStart(mean, *shrinkages, bias_weight, of_user, of_product, intercept)


def _best_biases(
    graph: ReviewGraph, examples: np.ndarray, target: np.ndarray, hidden: np.ndarray
) -> tuple[tuple[float, float], float, np.ndarray]:
    """Shrinkages, mean and predicted targets, float32 [T], of the best `RatingBias`, of equals the
    one with the most usual shrinkages. `examples`, `target`: edges, int64; `hidden`: bool [E]."""
    tried = []
    for shrinkages in itertools.product(_SHRINKAGES, repeat=2):
        biases = RatingBias.of(graph, examples, *shrinkages)
        foreseen = biases.predict(graph, graph.edge_mask(target), hidden)
        errors = np.square(foreseen - graph.edge_rating[target])
        tried.append((errors, shrinkages, biases.mean, foreseen))
    best = min((errors for errors, *_ in tried), key=np.mean)

    def rank(each: tuple) -> tuple[bool, float]:
        """What cannot be told from the best first, of that the nearest to what is usual."""
        behind, usual = each[0] - best, (USER_SHRINKAGE, PRODUCT_SHRINKAGE)
        is_near = behind.mean() <= behind.std() / np.sqrt(len(target))
        return not is_near, float(np.abs(np.log(np.divide(each[1], usual))).sum())

    return min(tried, key=rank)[1:]


class MeanVectors(NamedTuple):
    """Means of review vectors by user or product; `sums`: float32 [S, D], `counts`: int64 [S]."""

    sums: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, reviews: ReviewGraph, of: np.ndarray, size: int) -> Self:
        """Adds up the texts, rows of the vector store, of reviews `of` so many, int64 [n]."""
        sums = vector_sums(vectors, reviews.edge_text, of, size)
        return cls(sums, np.bincount(of, minlength=size))

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
