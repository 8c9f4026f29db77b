"""Product-product edges: which products a review of one product speaks for."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.sparse

from rec_sys.foundation.errors import InputError


class Carried(NamedTuple):
    """What the history of U people carries to P products, for the pairs that are connected.

    Attributes:
        user: int64 [n], ascending.
        product: int64 [n], ascending inside a user.
        score: float32 [n].
    """

    user: np.ndarray
    product: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class ProductGraph:
    """A sparse graph between products; a history walks one step along its edges.

    The score of product p for a person is the sum over their reviews of
    ``history_decay ** steps * weight(reviewed product -> p)``, where `steps` counts the reviews
    that the person wrote later. A disliked product counts ``disliked_weight`` times as much.

    Attributes:
        pointers: int64 [P + 1]; the edges that leave product i are ``pointers[i]:pointers[i+1]``.
        neighbours: int32 [n], the products that they reach, ascending for each product.
        weights: float32 [n].
        history_decay: Above 0, at most 1.
        disliked_weight: 0...1.
        liked_above: Stars; a higher rating, and a missing one, is no dislike.
    """

    pointers: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray
    history_decay: float
    disliked_weight: float
    liked_above: float

    def __post_init__(self) -> None:
        """Checks the two numbers.

        Raises:
            InputError: One is out of its range.
        """
        if not 0 < self.history_decay <= 1:
            raise InputError(
                f"product_graph.history_decay={self.history_decay}: must be above 0 and at most 1"
            )
        if not 0 <= self.disliked_weight <= 1:
            raise InputError(
                f"product_graph.disliked_weight={self.disliked_weight}: must be from 0 to 1"
            )

    @property
    def num_products(self) -> int:
        """P."""
        return len(self.pointers) - 1

    @classmethod
    def without_edges(cls, num_products: int) -> "ProductGraph":
        """A graph that says nothing."""
        return cls(
            np.zeros(num_products + 1, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.float32),
            history_decay=1.0,
            disliked_weight=1.0,
            liked_above=0.0,
        )

    @classmethod
    def of(
        cls,
        matrix: scipy.sparse.csr_array,
        history_decay: float,
        disliked_weight: float,
        liked_above: float,
    ) -> "ProductGraph":
        """A graph of the weights from row to column.

        Args:
            matrix: [P, P]; its entries are put in order.
            history_decay: See the class, as the others.
            disliked_weight: See the class.
            liked_above: See the class.
        """
        matrix.sort_indices()
        return cls(
            matrix.indptr.astype(np.int64),
            matrix.indices.astype(np.int32),
            matrix.data.astype(np.float32),
            history_decay,
            disliked_weight,
            liked_above,
        )

    def carry(self, user_ptr: np.ndarray, product: np.ndarray, rating: np.ndarray) -> Carried:
        """Walks one step from each review.

        Args:
            user_ptr: int64 [U + 1], the reviews of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``,
                oldest first.
            product: int64 [n], below 0 where the graph does not know the product: it counts as a
                step but leads nowhere.
            rating: float32 [n], stars, NaN or 0 if missing.
        """
        scores = self._history(user_ptr, product, rating) @ self._matrix
        scores.sort_indices()
        user = np.repeat(np.arange(len(user_ptr) - 1), np.diff(scores.indptr))
        return Carried(user, scores.indices.astype(np.int64), scores.data)

    def contributions(
        self, product: np.ndarray, rating: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """What each review of one person carries to some products.

        Args:
            product: int64 [n], see `carry`.
            rating: float32 [n], see `carry`.
            targets: int64 [m], rows of products.

        Returns:
            float32 [n, m]; the sum of a column is the product's score.
        """
        found = np.zeros((len(product), len(targets)), dtype=np.float32)
        for row, source in enumerate(product):
            if source >= 0:
                edges = slice(self.pointers[source], self.pointers[source + 1])
                neighbours = self.neighbours[edges]
                place = np.searchsorted(neighbours, targets)
                there = place < len(neighbours)
                there[there] = neighbours[place[there]] == targets[there]
                found[row, there] = self.weights[edges][place[there]]
        return found * self._review_weights(np.array([0, len(product)]), rating)[:, None]

    def score(self, user_ptr: np.ndarray, product: np.ndarray, rating: np.ndarray) -> np.ndarray:
        """Like `carry`, for all pairs: float32 [U, P], zero where nothing leads."""
        return (self._history(user_ptr, product, rating) @ self._matrix).toarray()

    @cached_property
    def _matrix(self) -> scipy.sparse.csr_array:
        shape = (self.num_products, self.num_products)
        return scipy.sparse.csr_array((self.weights, self.neighbours, self.pointers), shape=shape)

    def _history(
        self, user_ptr: np.ndarray, product: np.ndarray, rating: np.ndarray
    ) -> scipy.sparse.csr_array:
        user = np.repeat(np.arange(len(user_ptr) - 1), np.diff(user_ptr))
        weight = self._review_weights(user_ptr, rating)
        known = product >= 0
        shape = (len(user_ptr) - 1, self.num_products)
        return scipy.sparse.csr_array((weight[known], (user[known], product[known])), shape=shape)

    def _review_weights(self, user_ptr: np.ndarray, rating: np.ndarray) -> np.ndarray:
        """float32 [n]: how much each review counts, wherever it leads."""
        steps = np.repeat(user_ptr[1:], np.diff(user_ptr)) - 1 - np.arange(len(rating))
        disliked = (rating > 0) & (rating <= self.liked_above)
        weight = self.history_decay**steps * np.where(disliked, self.disliked_weight, 1.0)
        return weight.astype(np.float32)
