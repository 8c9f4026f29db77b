"""Edges between products in closed form, from shared reviewers, order, texts and brands."""

from functools import cached_property
from typing import Annotated

import numpy as np
import scipy.linalg
from pydantic import Field
from scipy.sparse import csr_array, vstack

from rec_sys.foundation import settings
from rec_sys.graph.csr import read_vectors
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import SECONDS_PER_DAY, ReviewGraph, brand_columns
from rec_sys.modules import ease
from rec_sys.reviews.schema import NO_TIME


@settings.settings_of("product_graph")
class ProductGraph:
    """A sparse graph between products; a history walks one step along its edges.

    The score of product p for a user is the sum over their reviews of ``history_decay ** steps *
    weight(reviewed product -> p)``, where `steps` counts the reviews that the user wrote later,
    times ``liked_weight`` or ``disliked_weight``. A decay of 0 looks at the newest review alone; a
    rating above `liked_above` stars, and a missing one, is no dislike.

    `pointers`: int64 [P + 1]; the edges that leave product i are ``pointers[i]:pointers[i+1]``.
    `neighbours`: int32 [n], the products that they reach, ascending for each product. `weights`:
    float32 [n]. Raises InputError if a number is out of its range.
    """

    pointers: np.ndarray
    neighbours: np.ndarray
    weights: np.ndarray
    history_decay: settings.Share
    disliked_weight: settings.Share
    liked_above: float
    liked_weight: settings.Share = 1.0

    @property
    def num_products(self) -> int:
        return len(self.pointers) - 1

    @classmethod
    def without_edges(cls, num_products: int) -> "ProductGraph":
        nothing = csr_array((num_products, num_products))
        return cls.of(nothing, history_decay=1.0, disliked_weight=1.0, liked_above=0.0)

    @classmethod
    def of(
        cls, matrix: csr_array, history_decay: float, disliked_weight: float, liked_above: float
    ) -> "ProductGraph":
        """A graph of the weights, [P, P], from row to column; the entries are put in order."""
        matrix.sort_indices()
        pointers, neighbours = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32)
        weights = matrix.data.astype(np.float32)
        return cls(pointers, neighbours, weights, history_decay, disliked_weight, liked_above)

    def walk(
        self,
        user_ptr: np.ndarray,
        product: np.ndarray,
        rating: np.ndarray,
        links: csr_array | None = None,
    ) -> csr_array:
        """Walks one step from each review: float32 [U, P], the propagated scores where something
        leads, in order of the products. For the arguments see `Situation`: an unknown product
        counts as a step but leads nowhere, unless `links` tell from where its review walks."""
        user = np.repeat(np.arange(len(user_ptr) - 1), np.diff(user_ptr))
        weight = self._review_weights(user_ptr, rating)
        known = product >= 0
        shape = (len(user_ptr) - 1, self.num_products)
        history = csr_array((weight[known], (user[known], product[known])), shape)
        if links is not None:
            reviews = np.arange(len(product)), user_ptr
            of_user = (np.where(known, 0, weight), *reviews), (shape[0], len(product))
            history = history + csr_array(*of_user) @ links
        scores = history @ self.matrix
        scores.sort_indices()
        return scores

    def contributions(
        self,
        product: np.ndarray,
        rating: np.ndarray,
        targets: np.ndarray,
        links: csr_array | None = None,
    ) -> np.ndarray:
        """What each review of one user propagates to some products, rows int64 [m], see `walk`.
        Returns float32 [n, m]; the sum of a column is the product's score."""
        known, found = product >= 0, np.zeros((len(product), len(targets)), dtype=np.float32)
        found[known] = self.matrix[product[known]][:, targets].toarray()
        if links is not None:
            found[~known] = (links[~known] @ self.matrix)[:, targets].toarray()
        return found * self._review_weights(np.array([0, len(product)]), rating)[:, None]

    @cached_property
    def matrix(self) -> csr_array:
        """The weights, float32 [P, P], from row to column."""
        shape = (self.num_products, self.num_products)
        return csr_array((self.weights, self.neighbours, self.pointers), shape=shape)

    def _review_weights(self, user_ptr: np.ndarray, rating: np.ndarray) -> np.ndarray:
        """float32 [n]: how much each review counts, wherever it leads."""
        steps = np.repeat(user_ptr[1:], np.diff(user_ptr)) - 1 - np.arange(len(rating))
        disliked = (rating > 0) & (rating <= self.liked_above)
        liking = np.where(disliked, self.disliked_weight, self.liked_weight)
        return (self.history_decay**steps * liking).astype(np.float32)


#: So many rows of all pairs of products are in memory at once.
ROWS_AT_ONCE = 2048


def heaviest(weights: np.ndarray, most: int) -> csr_array:
    """Keeps the `most` weights of each row, float [n, P], that are furthest from zero."""
    kept = min(most, weights.shape[1])
    columns = np.argpartition(-np.abs(weights), kept - 1, axis=1)[:, :kept]
    values = np.take_along_axis(weights, columns, axis=1)
    rows = np.repeat(np.arange(len(weights)), kept)
    matrix = csr_array((values.ravel(), (rows, columns.ravel())), weights.shape)
    matrix.eliminate_zeros()
    return matrix


@settings.settings_of("product_graph")
class ProductGraphBuilder:
    """Solves for the weights between products; ``config/product_graph`` explains the settings.

    Text-regularised EASE: minimises |X - X B|^2 + |T - T B|^2 + l2 |B|^2 over all B with a zero
    diagonal, where a row of X is a user (reviewed or not) and a row of T one dimension of the
    products' texts, or a brand: what a product is bought with and what it says must both be
    explained by other products (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019, with side
    information as in Ning & Karypis, "Sparse Linear Methods with Side Information", RecSys 2012).
    The cost grows with the third power of the products that enter.

    To these weights, `order_share` of a second ridge regression is added: from every beginning of a
    history to what came after, so that the order counts.

    A product that nobody reviewed has no column in X. As the solution without the zeros that it
    would have there, its weights follow from its text alone, with the inverse that is known
    already; they come out small, for nothing in X agrees with them, and are scaled up.
    """

    l2: settings.Positive
    name_weight: settings.NotNegative
    info_weight: settings.NotNegative
    review_weight: settings.NotNegative
    brand_weight: settings.NotNegative
    half_life_days: settings.NotNegative
    order_share: settings.NotNegative
    past_decay: settings.Share
    future_decay: settings.Share
    longest_history: Annotated[int, Field(ge=2)]
    history_decay: settings.Share
    disliked_weight: settings.Share
    liked_above: float
    neighbours: settings.Count
    new_product_boost: settings.NotNegative
    max_products: settings.PositiveCount

    def build(self, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray) -> ProductGraph:
        """Learns from the edges that may be known, int64 [n] ascending; `vectors`: float [N, D]."""
        if not self.neighbours or not len(edges):
            return ProductGraph.without_edges(graph.num_products)
        counts = np.bincount(graph.edge_product[edges], minlength=graph.num_products)
        most = min(self.max_products, np.sum(counts > 0))
        solved = np.sort(np.argsort(-counts, kind="stable")[:most])  # the most reviewed ones
        others = np.setdiff1d(np.arange(graph.num_products), solved)
        features = self._features(graph, vectors, edges, solved)
        own, foreign = features[solved], features[others]
        edges = edges[np.isin(graph.edge_product[edges], solved)]
        product = np.searchsorted(solved, graph.edge_product[edges])

        # A matrix of all pairs of products is the largest thing in memory: no copy of any.
        together = self._gram(graph, edges, product)
        ease.add_inner_products(together, own)
        inverse = ease.ridge_inverse(together, self.l2, overwrite=True)
        del together
        unreviewed = ease.UnreviewedProducts.of(inverse, own, self.l2)
        weights = ease.inverse_to_ease(inverse)  # by this name from here on
        if self.order_share:
            self._add_before_to_after(weights, graph.edge_user[edges], product, own)
        scale = self.new_product_boost * unreviewed.scale_to(weights, foreign)

        edges_of = []
        for start in range(0, len(solved), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            to_others = scale * unreviewed.columns(foreign, rows)
            edges_of.append(heaviest(np.hstack([weights[rows], to_others]), self.neighbours))
        for start in range(0, len(others), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            to_solved = unreviewed.rows(foreign[rows])
            nowhere = np.zeros((len(to_solved), len(others)), np.float32)
            edges_of.append(heaviest(np.hstack([to_solved, nowhere]), self.neighbours))
        order = np.argsort(np.concatenate([solved, others]))
        matrix = vstack(edges_of, format="csr")[order][:, order].tocsr()
        return ProductGraph.of(matrix, self.history_decay, self.disliked_weight, self.liked_above)

    def _features(
        self, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray, solved: np.ndarray
    ) -> np.ndarray:
        """What is known of the products beside their reviewers, float32 [P, 3 D + brands]. Each
        source is centred on its mean; a product of which it says nothing has the mean."""
        sources = (
            (self.name_weight, read_vectors(vectors, graph.product_name_text)),
            (self.info_weight, read_vectors(vectors, graph.product_info_text)),
            (self.review_weight, ProductReviews.of(graph, vectors, edges).summary.texts),
            (self.brand_weight, brand_columns(graph.product_brand)),
        )
        parts = []
        for weight, source in sources:
            given = (source != 0).any(axis=1)
            known = given[solved]
            mean = source[solved][known].mean(axis=0) if known.any() else 0.0
            parts.append(np.sqrt(np.float32(weight)) * np.where(given[:, None], source - mean, 0))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _gram(self, graph: ReviewGraph, edges: np.ndarray, product: np.ndarray) -> np.ndarray:
        time, weight = graph.edge_time[edges], np.ones(len(edges))
        known = time != NO_TIME
        if self.half_life_days and known.any():
            age = (time[known].max() - time[known]) / SECONDS_PER_DAY
            weight[known] = 0.5 ** (age / self.half_life_days)
        entries = np.sqrt(weight).astype(np.float32), (graph.edge_user[edges], product)
        reviewed = csr_array(entries, (graph.num_users, product.max() + 1))
        return (reviewed.T @ reviewed).toarray()

    def _add_before_to_after(
        self, weights: np.ndarray, user: np.ndarray, product: np.ndarray, features: np.ndarray
    ) -> None:
        how = self.past_decay, self.future_decay, self.longest_history
        past, future = ease.partial_histories(user, product, len(features), *how)
        system = (past.T @ past).toarray(order="F")
        ease.add_inner_products(system, features)
        system[np.diag_indices_from(system)] += self.l2
        # In place: LAPACK wants columns that lie one after the other.
        factor = scipy.linalg.cho_factor(system, overwrite_a=True, check_finite=False)
        future = future.tocsc()
        for start in range(0, len(features), ROWS_AT_ONCE):
            columns = slice(start, start + ROWS_AT_ONCE)
            after = (past.T @ future[:, columns]).toarray(order="F")
            after = scipy.linalg.cho_solve(factor, after, overwrite_b=True, check_finite=False)
            weights[:, columns] += np.float32(self.order_share) * after
