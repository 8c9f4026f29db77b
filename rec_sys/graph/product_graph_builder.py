"""The product graph in closed form: solved, not trained, from reviews and texts at once."""

from dataclasses import dataclass, fields

import numpy as np
import scipy.linalg
import scipy.sparse

from rec_sys.foundation.checks import is_number, is_whole
from rec_sys.foundation.errors import InputError
from rec_sys.graph.brands import brand_columns
from rec_sys.graph.item_weights import add_inner_products, inverse_to_ease, ridge_inverse
from rec_sys.graph.partial_histories import partial_histories
from rec_sys.graph.product_graph import ProductGraph
from rec_sys.graph.product_reviews import ProductReviews
from rec_sys.graph.review_graph import NO_TIME, SECONDS_PER_DAY, ReviewGraph
from rec_sys.graph.segments import read_vectors
from rec_sys.graph.unreviewed_products import UnreviewedProducts

_ROWS_AT_ONCE = 2048
_NOT_NEGATIVE = (
    "name_weight",
    "info_weight",
    "review_weight",
    "brand_weight",
    "order_share",
    "half_life_days",
    "new_product_boost",
)


@dataclass(frozen=True)
class ProductGraphBuilder:
    """Solves for the weights between products.

    Text-regularised EASE: minimises |X - X B|^2 + |T - T B|^2 + l2 |B|^2 over all B with a zero
    diagonal, where a row of X is a person (reviewed or not) and a row of T one dimension of the
    products' texts, or a brand: what a product is bought with and what it says must both be
    explained by other products (Steck, "Embarrassingly Shallow Autoencoders", WWW 2019, with
    side information as in Ning & Karypis, "Sparse Linear Methods with Side Information",
    RecSys 2012).

    To these weights, `order_share` of a second ridge regression is added: from every beginning of
    a history to what came after, so that the order counts.

    A product that nobody reviewed has no column in X. As the solution without the zeros that it
    would have there, its weights follow from its text alone, with the inverse that is known
    already; they come out small, for nothing in X agrees with them, and are scaled up.

    Attributes:
        l2: Strength of the ridge, in reviewers.
        name_weight: How much the products' names count against the reviewers.
        info_weight: The same for their descriptions.
        review_weight: The same for the mean of what was written about them.
        brand_weight: The same for their brands.
        half_life_days: A review that is so much older than the newest counts half; 0: all the
            same, as do reviews without a time.
        order_share: Weight of the second regression; 0 leaves it out.
        past_decay: In it, the weight of each earlier review before the cut, 0...1.
        future_decay: The weight of each later one behind the cut, 0...1.
        longest_history: In it, only so many of a person's newest reviews are cut.
        history_decay: See `ProductGraph`.
        disliked_weight: See `ProductGraph`.
        liked_above: See `ProductGraph`.
        neighbours: Edges that leave each product, the heaviest; 0 leaves the graph empty.
        new_product_boost: How long the weights of unreviewed products are made, as a multiple of
            those of the others: more of them are recommended, at the cost of the others.
        max_products: So many products, the most reviewed, enter the equations, whose cost grows
            with the third power; others count as if nobody had reviewed them.

    Raises:
        InputError: A setting is out of its range.
    """

    l2: float
    name_weight: float
    info_weight: float
    review_weight: float
    half_life_days: float
    order_share: float
    past_decay: float
    future_decay: float
    longest_history: int
    history_decay: float
    disliked_weight: float
    liked_above: float
    neighbours: int
    new_product_boost: float
    max_products: int
    brand_weight: float = 0.0  # recorded settings of older trainings have none

    def __post_init__(self) -> None:
        """Checks the settings."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not is_number(value):
                raise InputError(f"product_graph.{field.name}={value}: must be a number")
        if self.l2 <= 0:
            raise InputError(f"product_graph.l2={self.l2}: must be above 0")
        for name in _NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise InputError(f"product_graph.{name}={getattr(self, name)}: must be at least 0")
        for name in ("past_decay", "future_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"product_graph.{name}={getattr(self, name)}: must be from 0 to 1")
        for name, least in (("longest_history", 2), ("neighbours", 0), ("max_products", 1)):
            value = getattr(self, name)
            if not is_whole(value, least):
                raise InputError(
                    f"product_graph.{name}={value}: must be a whole number from {least} up"
                )

    def build(self, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray) -> ProductGraph:
        """Learns from some reviews.

        Args:
            graph: The graph.
            vectors: The vector store's rows, float [N, D].
            edges: int64 [n], the edges that may be known, ascending.
        """
        if not self.neighbours or not len(edges):
            return ProductGraph.without_edges(graph.num_products)
        counts = np.bincount(graph.edge_product[edges], minlength=graph.num_products)
        most_reviewed = np.argsort(-counts, kind="stable")[
            : min(self.max_products, np.sum(counts > 0))
        ]
        solved = np.sort(most_reviewed)
        others = np.setdiff1d(np.arange(graph.num_products), solved)
        features = self._features(graph, vectors, edges, solved)
        own, foreign = features[solved], features[others]
        edges = edges[np.isin(graph.edge_product[edges], solved)]
        product = np.searchsorted(solved, graph.edge_product[edges])

        # A matrix of all pairs of products is the largest thing in memory: no copy of any.
        together = self._reviewed_together(graph, edges, product)
        add_inner_products(together, own)
        inverse = ridge_inverse(together, self.l2, overwrite=True)
        del together
        unreviewed = UnreviewedProducts.of(inverse, own, self.l2)
        inverse_to_ease(inverse)
        weights = inverse  # by this name from here on
        if self.order_share:
            self._add_before_to_after(weights, graph.edge_user[edges], product, own)
        scale = self.new_product_boost * unreviewed.scale_to(weights, foreign)

        edges_of = []
        for start in range(0, len(solved), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            to_others = scale * unreviewed.columns(foreign, rows)
            edges_of.append(self._heaviest(np.hstack([weights[rows], to_others])))
        for start in range(0, len(others), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            to_solved = unreviewed.rows(foreign[rows])
            edges_of.append(
                self._heaviest(
                    np.hstack([to_solved, np.zeros((len(to_solved), len(others)), np.float32)])
                )
            )
        order = np.argsort(np.concatenate([solved, others]))
        matrix = scipy.sparse.vstack(edges_of, format="csr")[order][:, order].tocsr()
        return ProductGraph.of(
            matrix,
            float(self.history_decay),
            float(self.disliked_weight),
            float(self.liked_above),
        )

    def _heaviest(self, weights: np.ndarray) -> scipy.sparse.csr_array:
        """Keeps the `neighbours` weights of each row that are furthest from zero."""
        kept = min(self.neighbours, weights.shape[1])
        columns = np.argpartition(-np.abs(weights), kept - 1, axis=1)[:, :kept]
        values = np.take_along_axis(weights, columns, axis=1)
        rows = np.repeat(np.arange(len(weights)), kept)
        matrix = scipy.sparse.csr_array((values.ravel(), (rows, columns.ravel())), weights.shape)
        matrix.eliminate_zeros()
        return matrix

    def _features(
        self, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray, solved: np.ndarray
    ) -> np.ndarray:
        """What is known of the products beside their reviewers, float32 [P, 3 D + brands].

        Each source is centred on its mean; a product of which it says nothing has the mean.
        """
        sources = (
            (self.name_weight, read_vectors(vectors, graph.product_name_text)),
            (self.info_weight, read_vectors(vectors, graph.product_info_text)),
            (self.review_weight, ProductReviews.of(graph, vectors, edges).summary().texts),
            (self.brand_weight, brand_columns(graph.product_brand)),
        )
        parts = []
        for weight, source in sources:
            given = (source != 0).any(axis=1)
            known = given[solved]
            mean = source[solved][known].mean(axis=0) if known.any() else 0.0
            parts.append(np.sqrt(np.float32(weight)) * np.where(given[:, None], source - mean, 0))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def _reviewed_together(
        self, graph: ReviewGraph, edges: np.ndarray, product: np.ndarray
    ) -> np.ndarray:
        time = graph.edge_time[edges]
        weight = np.ones(len(edges))
        known = time != NO_TIME
        if self.half_life_days and known.any():
            age = (time[known].max() - time[known]) / SECONDS_PER_DAY
            weight[known] = 0.5 ** (age / self.half_life_days)
        entries = np.sqrt(weight).astype(np.float32), (graph.edge_user[edges], product)
        reviewed = scipy.sparse.csr_array(entries, (graph.num_users, product.max() + 1))
        return (reviewed.T @ reviewed).toarray()

    def _add_before_to_after(
        self, weights: np.ndarray, user: np.ndarray, product: np.ndarray, features: np.ndarray
    ) -> None:
        past, future = partial_histories(
            user, product, len(features), self.past_decay, self.future_decay, self.longest_history
        )
        system = (past.T @ past).toarray(order="F")
        add_inner_products(system, features)
        system[np.diag_indices_from(system)] += self.l2
        # In place: LAPACK wants columns that lie one after the other.
        factor = scipy.linalg.cho_factor(system, overwrite_a=True, check_finite=False)
        future = future.tocsc()
        for start in range(0, len(features), _ROWS_AT_ONCE):
            columns = slice(start, start + _ROWS_AT_ONCE)
            after = (past.T @ future[:, columns]).toarray(order="F")
            after = scipy.linalg.cho_solve(factor, after, overwrite_b=True, check_finite=False)
            weights[:, columns] += np.float32(self.order_share) * after
