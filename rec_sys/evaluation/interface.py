"""What every model of the evaluation gets and gives; see nothing else, leak nothing else.

Models get flat arrays of the edges that may be known, never the graph with its targets.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.segments import rows_to_pointers


@dataclass(frozen=True)
class Reviews:
    """n reviews, by user and, inside a user, from the oldest to the newest.

    Attributes:
        user: int64 [n], 0...num_users - 1, ascending.
        product: int64 [n], index of the product.
        rating: float32 [n], 1...5, NaN if missing.
        time: int64 [n], seconds since 1970, `rec_sys.graph.review_graph.NO_TIME` if missing.
        text: int64 [n], row of the review in the text vectors.
        num_users: Number of users, those without a review included.
    """

    user: np.ndarray
    product: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    text: np.ndarray
    num_users: int

    @classmethod
    def of(cls, graph: ReviewGraph, users: np.ndarray, edges: np.ndarray) -> "Reviews":
        """The reviews of some users that may be seen.

        Args:
            graph: The graph.
            users: int64 [U], ascending; counted anew from 0 in this order.
            edges: bool [E], the edges that may be seen.
        """
        kept = graph.edges_of(users)
        kept = kept[edges[kept]]
        return cls(
            user=np.searchsorted(users, graph.edge_user[kept]),
            product=graph.edge_product[kept],
            rating=graph.edge_rating[kept],
            time=graph.edge_time[kept],
            text=graph.edge_text[kept],
            num_users=len(users),
        )

    @property
    def user_ptr(self) -> np.ndarray:
        """int64 [num_users + 1], the reviews of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``."""
        return rows_to_pointers(self.user, self.num_users)

    @property
    def steps_back(self) -> np.ndarray:
        """int64 [n], how many reviews the same user wrote later; 0 is the newest."""
        return self.user_ptr[1:][self.user] - 1 - np.arange(len(self.user))


@dataclass(frozen=True)
class Catalogue:
    """P products and their texts.

    Attributes:
        num_products: P.
        name_text: int64 [P], row of the name in `vectors`; the zero vector if there is none.
        info_text: int64 [P], row of the description.
        vectors: float16 [N, D], text vectors of reviews, names and descriptions, unit length or
            zero; may be memory-mapped, so gather rows before computing.
    """

    num_products: int
    name_text: np.ndarray
    info_text: np.ndarray
    vectors: np.ndarray


class RankingModel(Protocol):
    """Ranks all products for people given by their histories.

    Attributes:
        name: Its row in the leaderboard.
    """

    name: str

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Learns from the training reviews."""

    def score(self, histories: Reviews) -> np.ndarray:
        """float32 [histories.num_users, P], finite, higher is better; history not masked.

        The people need not be among the training users, and a history may be empty.
        """


class RatingModel(Protocol):
    """Predicts stars, the review of the target not seen.

    Attributes:
        name: Its row in the leaderboard.
    """

    name: str

    def fit(self, train: Reviews, catalogue: Catalogue) -> None:
        """Learns from the training reviews."""

    def rate(self, histories: Reviews, user: np.ndarray, product: np.ndarray) -> np.ndarray:
        """float32 [T], stars 1...5 (0...5 for cosine models) of pairs.

        Args:
            histories: Of the people.
            user: int64 [T], counted as in `histories`.
            product: int64 [T].
        """
