"""What the graph model takes and returns: a batch of users, what is known, what is predicted."""

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from rec_sys.graph.review_graph import ReviewGraph, read_vectors, segment_sum, vector_sums
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING, NO_TIME, SECONDS_PER_DAY

MIDDLE_RATING = (MIN_RATING + MAX_RATING) / 2
HALF_RANGE = (MAX_RATING - MIN_RATING) / 2
NUM_RATING_FEATURES = 3
#: So many imaginary ratings stand against the real ones: a single one does not say much. Users
#: differ more from each other than products do, so theirs count sooner.
USER_SHRINKAGE = 5.0
PRODUCT_SHRINKAGE = 10.0
# log(1 + reviews) of a very popular product: the feature comes out between 0 and about 1.
_LOG_MANY_REVIEWS = 7.0
_NONE = np.empty(0, dtype=np.int64)

#: Where the exported model tells which model it is.
MODEL_FINGERPRINT_KEY = "rec_sys.model_fingerprint"


class GraphOutputs(NamedTuple):
    """What the graph model returns, as arrays or as tensors; the names of the ONNX model's outputs.

    The cosine of two embeddings is a rating, see `predicted_rating`: how much this user would like
    this product. The inner product of a query and a key ranks: how likely this user turns to this
    product next. One vector cannot say both: nearly everybody would give most products five stars.

    Attributes:
        user_embeddings: float32 [U, d], unit length; `product_embeddings` [P, d] likewise.
        user_queries: float32 [U, d + 1].
        product_keys: float32 [P, d + 1]; the last number is the product's own bias.
        attention: float32 [E, heads], sums to 1 over a user's edges: what propagated the embedding.
    """

    user_embeddings: Any
    product_embeddings: Any
    user_queries: Any
    product_keys: Any
    attention: Any


def predicted_rating(cosine: Any) -> Any:
    """Rating 0...5 from the cosine of a user and a product: ``5/2 * (cosine + 1)``."""
    return MAX_RATING / 2 * (cosine + 1)


def rating_sums(rating: ndarray, segment: ndarray, num_segments: int) -> tuple[ndarray, ndarray]:
    """Adds up the known ratings, float32 [n], NaN if missing, of each user or product. Returns the
    sum of the distances from the middle of the scale, -1...1 each, float64, and how many, int64."""
    known = ~np.isnan(rating)
    distance = (rating[known].astype(np.float64) - MIDDLE_RATING) / HALF_RANGE
    sums = segment_sum(distance, segment[known], num_segments)
    return sums, np.bincount(segment[known], minlength=num_segments)


def rating_features(sums: ndarray, counts: ndarray, reviews: ndarray, shrinkage: float) -> ndarray:
    """Turns sums and numbers of ratings, see `rating_sums`, into features, float32 [n, 3]. With s
    the sum, n the number and k imaginary ratings, `shrinkage`: s/(n+k) and n/(n+k). The mean shrunk
    towards any value m is a linear function of both, s/(n+k) + m·k/(n+k), so that the network finds
    the m that fits, and no statistic over other ratings is needed. The third number is the
    logarithm of the number of `reviews`, rated or not: how popular, or how active."""
    total = counts + shrinkage
    activity = np.log1p(reviews) / _LOG_MANY_REVIEWS
    return np.stack([sums / total, counts / total, activity], axis=1).astype(np.float32)


class ReviewSummary(NamedTuple):
    """The known reviews of n products: the mean vector of the texts, float32 [n, D], zero without a
    review, and `rating_features`, float32 [n, 3]."""

    texts: ndarray
    ratings: ndarray

    def summary_without(self, products: ndarray, *_: object) -> "ReviewSummary":
        """Of some products, int64 [n], all that is known: no edge of the graph at hand is in it."""
        return ReviewSummary(*(each[products] for each in self))

    def unknown(self, names: ndarray, infos: ndarray) -> ndarray:
        """Which products have neither a review nor a text, bool [n]; `names` and `infos`: the
        vectors of their texts, float [n, D]."""
        unknown = self.ratings[:, -1] == 0
        rows = np.flatnonzero(unknown)
        unknown[rows] = ~(names[rows].any(axis=1) | infos[rows].any(axis=1))
        return unknown


@dataclass(frozen=True)
class ProductReviews:
    """Sum and number of the known reviews of each product.

    Attributes:
        sums: float32 [P, D], of the review vectors; `counts`: int64 [P], of the reviews.
        rating_sums: float64 [P]; `rating_counts`: int64 [P]; see `rating_sums`.
        member: bool [E], which edges of the graph are in the sums.
    """

    sums: ndarray
    counts: ndarray
    rating_sums: ndarray
    rating_counts: ndarray
    member: ndarray

    @classmethod
    def of(cls, graph: ReviewGraph, vectors: ndarray, edges: ndarray) -> "ProductReviews":
        """Sums over the edges that may be known, int [n]."""
        product = graph.edge_product[edges]
        sums = vector_sums(vectors, graph.edge_text[edges], product, graph.num_products)
        counts = np.bincount(product, minlength=graph.num_products)
        ratings = rating_sums(graph.edge_rating[edges], product, graph.num_products)
        return cls(sums, counts, *ratings, graph.edge_mask(edges))

    @cached_property
    def summary(self) -> ReviewSummary:
        """Of all products, nothing left out."""
        return _summary(*self._sums)

    def summary_without(
        self, products: ndarray, graph: ReviewGraph, vectors: ndarray, edges: ndarray
    ) -> ReviewSummary:
        """Summary of some products, int64 [n] ascending and distinct, as if some edges of theirs,
        int64 [m], did not exist; `vectors`: the vector store's rows, float [N, D]."""
        texts, ratings = (each[products] for each in self.summary)
        edges = edges[self.member[edges]]  # others are not in the sums
        # A batch leaves out reviews of a few of its products: only those are summed up anew.
        changed, local = np.unique(graph.edge_product[edges], return_inverse=True)
        left_out = (
            segment_sum(read_vectors(vectors, graph.edge_text[edges]), local, len(changed)),
            np.bincount(local, minlength=len(changed)),
            *rating_sums(graph.edge_rating[edges], local, len(changed)),
        )
        rest = (each[changed] - part for each, part in zip(self._sums, left_out, strict=True))
        place = np.searchsorted(products, changed)
        texts[place], ratings[place] = _summary(*rest)
        return ReviewSummary(texts, ratings)

    @property
    def _sums(self) -> tuple[ndarray, ndarray, ndarray, ndarray]:
        return self.sums, self.counts, self.rating_sums, self.rating_counts


def _summary(
    sums: ndarray, counts: ndarray, rating_sums: ndarray, rating_counts: ndarray
) -> ReviewSummary:
    means = sums / np.maximum(counts, 1).astype(np.float32)[:, None]
    means[counts == 0] = 0.0  # subtraction leaves rounding dust where nothing is left
    rated = np.where(rating_counts > 0, rating_sums, 0.0)
    return ReviewSummary(means, rating_features(rated, rating_counts, counts, PRODUCT_SHRINKAGE))


@dataclass(frozen=True)
class EgoBatch:
    """The neighbourhoods of U users over P products, E history edges and T targets.

    Only history edges carry messages. Arrays are NumPy; training turns them into tensors.

    Attributes:
        user_features: float32 [U, D], mean of the user's history reviews; zero without history.
        user_rating_features: float32 [U, 3], of their ratings, see `rating_features`.
        product_name_features: float32 [P, D]; `product_info_features` likewise.
        product_review_features: float32 [P, D], mean of the known reviews of the product, the
            batch's targets left out; zero if there are none.
        product_rating_features: float32 [P, 3], of their ratings.
        edge_index: int64 [2, E], row 0 the product, row 1 the user, both counted in the batch.
        edge_attr: float32 [E, D], the review.
        edge_rating: float32 [E], 1...5, 0 if missing.
        edge_age: float32 [E], days before the user's newest history review; 0 if unknown.
        edge_step: float32 [E], how many reviews the same user's history has that are newer.
        target_user: int64 [T], counted in the batch, as is `target_product`.
        target_rating: float32 [T].
        users: int64 [U], index in the graph; `products`: int64 [P], likewise.
    """

    user_features: ndarray
    user_rating_features: ndarray
    product_name_features: ndarray
    product_info_features: ndarray
    product_review_features: ndarray
    product_rating_features: ndarray
    edge_index: ndarray
    edge_attr: ndarray
    edge_rating: ndarray
    edge_age: ndarray
    edge_step: ndarray
    target_user: ndarray
    target_product: ndarray
    target_rating: ndarray
    users: ndarray
    products: ndarray

    def model_inputs(self) -> dict[str, ndarray]:
        return {name: getattr(self, name) for name in MODEL_INPUTS}


#: What the graph model takes, in this order: all of a batch but the targets and who and what is in
#: it. The exported ONNX model has the same inputs.
MODEL_INPUTS = tuple(
    each.name for each in fields(EgoBatch) if each.name.startswith(("user_", "product_", "edge_"))
)
#: Those of them that are of products alone.
PRODUCT_INPUTS = tuple(name for name in MODEL_INPUTS if name.startswith("product_"))


def silent_inputs(vector_dim: int, reviews: int = 0) -> dict[str, ndarray]:
    """`MODEL_INPUTS` of one user and one product, joined by so many reviews that say nothing."""
    texts, ratings = (1, vector_dim), (1, NUM_RATING_FEATURES)
    shapes = [texts, ratings, texts, texts, texts, ratings]
    shapes += [(2, reviews), (reviews, vector_dim), (reviews,), (reviews,), (reviews,)]
    inputs = {n: np.zeros(shape, np.float32) for n, shape in zip(MODEL_INPUTS, shapes, strict=True)}
    return inputs | {"edge_index": np.zeros((2, reviews), np.int64)}


@dataclass(frozen=True)
class EgoBatchBuilder:
    """Cuts batches out of a graph by whole-array operations; for `vectors` see `read_vectors`."""

    graph: ReviewGraph
    vectors: ndarray
    product_reviews: ProductReviews | ReviewSummary

    def build(
        self, users: ndarray, target: ndarray, hidden: ndarray, others: ndarray = _NONE
    ) -> EgoBatch:
        """Builds the batch of some users, int64 [U]; ValueError if one occurs twice. An edge of
        theirs is a target if ``target[edge]``, otherwise neither shown nor predicted if
        ``hidden[edge]``, otherwise history. `others`: int64, further products to embed."""
        if len(np.unique(users)) != len(users):
            raise ValueError("a user occurs twice in one batch")
        graph = self.graph
        edges = graph.edges_of(users)
        local_user = np.repeat(np.arange(len(users)), graph.degrees[users])
        is_target = target[edges]
        is_history = ~is_target & ~hidden[edges]
        targets, history = edges[is_target], edges[is_history]
        history_user = local_user[is_history]

        shown = graph.edge_product[np.concatenate([history, targets])]
        present = np.zeros(graph.num_products, dtype=bool)
        present[shown] = present[others] = True
        products = np.flatnonzero(present)
        local_product = np.searchsorted(products, shown)
        edge_attr = read_vectors(self.vectors, graph.edge_text[history])
        lengths = np.bincount(history_user, minlength=len(users))
        sums = segment_sum(edge_attr, history_user, len(users))
        newer = np.cumsum(lengths)[history_user] - 1 - np.arange(len(history))
        time, newest = graph.edge_time[history], np.full(len(users), NO_TIME)
        np.maximum.at(newest, history_user, time)
        age = np.where(time == NO_TIME, 0, newest[history_user] - time) / SECONDS_PER_DAY
        rating = graph.edge_rating[history]
        rated = rating_sums(rating, history_user, len(users))
        known = self.product_reviews.summary_without(products, graph, self.vectors, targets)
        return EgoBatch(
            user_features=sums / np.maximum(lengths, 1)[:, None].astype(np.float32),
            user_rating_features=rating_features(*rated, lengths, USER_SHRINKAGE),
            product_name_features=read_vectors(self.vectors, graph.product_name_text[products]),
            product_info_features=read_vectors(self.vectors, graph.product_info_text[products]),
            product_review_features=known.texts,
            product_rating_features=known.ratings,
            edge_index=np.stack([local_product[: len(history)], history_user]).astype(np.int64),
            edge_attr=edge_attr,
            edge_rating=np.nan_to_num(rating, nan=0.0),
            edge_age=age.astype(np.float32),
            edge_step=newer.astype(np.float32),
            target_user=local_user[is_target].astype(np.int64),
            target_product=local_product[len(history) :].astype(np.int64),
            target_rating=graph.edge_rating[targets],
            users=np.asarray(users, dtype=np.int64),
            products=products,
        )
