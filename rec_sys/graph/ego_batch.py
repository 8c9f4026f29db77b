"""A batch of people: what each has reviewed, and what is to be predicted."""

from dataclasses import dataclass

import numpy as np

from rec_sys.graph.product_reviews import KnownReviews
from rec_sys.graph.rating_features import USER_SHRINKAGE, rating_features, rating_sums
from rec_sys.graph.review_graph import NO_TIME, SECONDS_PER_DAY, ReviewGraph
from rec_sys.graph.segments import read_vectors, segment_sum

_NO_PRODUCTS = np.empty(0, dtype=np.int64)

#: What the graph model takes, in this order; the exported ONNX model has the same inputs.
MODEL_INPUTS = (
    "user_features",
    "user_rating_features",
    "product_name_features",
    "product_info_features",
    "product_review_features",
    "product_rating_features",
    "edge_index",
    "edge_attr",
    "edge_rating",
    "edge_age",
    "edge_step",
)


#: Where the exported model tells which model it is.
MODEL_FINGERPRINT_KEY = "rec_sys.model_fingerprint"


@dataclass(frozen=True)
class EgoBatch:
    """The neighbourhoods of U users over P products, E history edges and T targets.

    Only history edges carry messages. Arrays are NumPy; training turns them into tensors.

    Attributes:
        user_features: float32 [U, D], mean of the user's history reviews; zero without history.
        user_rating_features: float32 [U, 3], the user's history ratings, see
            `rec_sys.graph.rating_features`.
        product_name_features: float32 [P, D].
        product_info_features: float32 [P, D].
        product_review_features: float32 [P, D], mean of the known reviews of the product, the
            batch's targets left out; zero if there are none.
        product_rating_features: float32 [P, 3], their ratings, likewise.
        edge_index: int64 [2, E], row 0 the product, row 1 the user, both counted in the batch.
        edge_attr: float32 [E, D], the review.
        edge_rating: float32 [E], 1...5, 0 if missing.
        edge_age: float32 [E], days before the user's newest history review; 0 if unknown.
        edge_step: float32 [E], how many reviews the same user's history has that are newer.
        target_user: int64 [T], counted in the batch.
        target_product: int64 [T], counted in the batch.
        target_rating: float32 [T].
        users: int64 [U], index in the graph.
        products: int64 [P], index in the graph.
    """

    user_features: np.ndarray
    user_rating_features: np.ndarray
    product_name_features: np.ndarray
    product_info_features: np.ndarray
    product_review_features: np.ndarray
    product_rating_features: np.ndarray
    edge_index: np.ndarray
    edge_attr: np.ndarray
    edge_rating: np.ndarray
    edge_age: np.ndarray
    edge_step: np.ndarray
    target_user: np.ndarray
    target_product: np.ndarray
    target_rating: np.ndarray
    users: np.ndarray
    products: np.ndarray

    def model_inputs(self) -> dict[str, np.ndarray]:
        """The arrays that the graph model takes, by name, in the model's order."""
        return {name: getattr(self, name) for name in MODEL_INPUTS}


@dataclass(frozen=True)
class EgoBatchBuilder:
    """Cuts batches out of a graph with a few whole-array operations.

    Attributes:
        graph: All reviews.
        vectors: The vector store's rows, float [N, D]; may be memory-mapped.
        product_reviews: The reviews that may be known about products.
    """

    graph: ReviewGraph
    vectors: np.ndarray
    product_reviews: KnownReviews

    def build(
        self,
        users: np.ndarray,
        target: np.ndarray,
        hidden: np.ndarray,
        others: np.ndarray = _NO_PRODUCTS,
    ) -> EgoBatch:
        """Builds the batch of some users.

        An edge of these users is a target if ``target[edge]``, otherwise hidden if
        ``hidden[edge]``, otherwise history: an edge cannot be both history and target.

        Args:
            users: int64 [U], distinct.
            target: bool [E of the graph], the edges to be predicted.
            hidden: bool [E of the graph], edges that are neither shown nor predicted.
            others: int64, further products to embed, whether or not they occur in an edge.

        Raises:
            ValueError: A user occurs twice (one's targets could be the other's history).
        """
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
        edge_attr = self._vectors(graph.edge_text[history])
        lengths = np.bincount(history_user, minlength=len(users))
        sums = segment_sum(edge_attr, history_user, len(users))
        rating = graph.edge_rating[history]
        known = self.product_reviews.summary_without(products, graph, self.vectors, targets)
        return EgoBatch(
            user_features=sums / np.maximum(lengths, 1)[:, None].astype(np.float32),
            user_rating_features=rating_features(
                *rating_sums(rating, history_user, len(users)), lengths, USER_SHRINKAGE
            ),
            product_name_features=self._vectors(graph.product_name_text[products]),
            product_info_features=self._vectors(graph.product_info_text[products]),
            product_review_features=known.texts,
            product_rating_features=known.ratings,
            edge_index=np.stack([local_product[: len(history)], history_user]).astype(np.int64),
            edge_attr=edge_attr,
            edge_rating=np.nan_to_num(rating, nan=0.0),
            edge_age=_age_in_days(graph.edge_time[history], history_user, len(users)),
            edge_step=(np.cumsum(lengths)[history_user] - 1 - np.arange(len(history))).astype(
                np.float32
            ),
            target_user=local_user[is_target].astype(np.int64),
            target_product=local_product[len(history) :].astype(np.int64),
            target_rating=graph.edge_rating[targets],
            users=np.asarray(users, dtype=np.int64),
            products=products,
        )

    def _vectors(self, rows: np.ndarray) -> np.ndarray:
        return read_vectors(self.vectors, rows)


def _age_in_days(time: np.ndarray, user: np.ndarray, num_users: int) -> np.ndarray:
    newest = np.full(num_users, NO_TIME)
    np.maximum.at(newest, user, time)
    known = time != NO_TIME
    age = np.zeros(len(time), dtype=np.float32)
    age[known] = (newest[user][known] - time[known]) / SECONDS_PER_DAY
    return age
