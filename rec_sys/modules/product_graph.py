"""Linear item-to-item models in closed form: EASE; edges from reviewers, order, texts, brands."""

from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from numpy import ndarray
from pydantic import Field
from scipy.linalg import cho_factor, cho_solve
from scipy.linalg.lapack import spotrf, spotri
from scipy.sparse import csr_array, issparse, sparray, vstack

from rec_sys.foundation import settings
from rec_sys.foundation.distributed import all_threads
from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph, brand_columns, read_vectors, rows_to_pointers
from rec_sys.reviews.schema import NO_TIME, SECONDS_PER_DAY

# Rows handled at once while one triangle is copied to the other; small enough for the cache.
_MIRROR_ROWS = 256
#: So many rows, or columns, of all pairs of products are worked on at once.
ROWS_AT_ONCE = 2048


def co_occurrence(user: ndarray, product: ndarray, num_users: int, num_products: int) -> csr_array:
    """How many users reviewed both products: the Gram matrix X^T X, float32 [P, P], reviewers on
    its diagonal. `user` and `product`: int64 [n], in any order; equal pairs count once."""
    ones = np.ones(len(user), dtype=np.float32)
    reviewed = csr_array((ones, (user, product)), shape=(num_users, num_products))
    reviewed.sum_duplicates()
    reviewed.data[:] = 1
    return (reviewed.T @ reviewed).tocsr()


def ease_weights(gram: ndarray | sparray, l2: float) -> ndarray:
    """The weights of EASE: each product predicted from all others by one ridge regression.
    Minimises |X - X B|^2 + l2 |B|^2 over all B with a zero diagonal, where gram = X^T X, float [P,
    P], dense or sparse (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019, eq.
    8): with K = (gram + l2 I)^-1, B_ij = -K_ij / K_jj, float32 [P, P]. Users are scored by their
    rows of X times B. InputError if `l2`, in reviewers, is not positive, or too small to invert."""
    return inverse_to_ease(ridge_inverse(gram, l2))


def inverse_to_ease(inverse: ndarray) -> ndarray:
    """Turns `ridge_inverse`, float32 [P, P], into `ease_weights` in place: there is one copy."""
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0)
    return inverse


def add_inner_products(gram: ndarray, features: ndarray) -> None:
    """Adds features @ features.T, features float32 [P, D], to a float32 [P, P] matrix in place."""
    with all_threads(len(gram)):
        for start in range(0, len(gram), ROWS_AT_ONCE):
            columns = slice(start, start + ROWS_AT_ONCE)
            gram[:, columns] += features @ features[columns].T


def ridge_inverse(gram: ndarray | sparray, l2: float, overwrite: bool = False) -> ndarray:
    """The inverse of gram + l2 I, float32 [P, P]; raises as `ease_weights`. It is made in place by
    a Cholesky factorisation, half the work of a general inverse and one matrix of memory. float32
    is enough: on the 9,922 products of the 2018 Musical Instruments no weight of EASE differs from
    float64's by more than 7e-7, both give NDCG@10 .102508, and it takes half the time (22 s against
    45 s on two busy cores) and half the memory (0.4 GB). `overwrite`: `gram` may be destroyed."""
    if not 0 < l2 < np.inf:
        raise InputError(f"l2={l2}: must be a positive number")
    dense = gram.toarray() if issparse(gram) else gram
    # LAPACK wants columns one after the other; a symmetric matrix is its own transpose.
    columns = dense if dense.flags.f_contiguous else dense.T
    system = np.array(columns, dtype=np.float32, order="F", copy=None if overwrite else True)
    system[np.diag_indices_from(system)] += l2
    with all_threads(len(system)):
        factor, failed = spotrf(system, lower=False, overwrite_a=True, clean=False)
        if not failed:
            inverse, failed = spotri(factor, lower=False, overwrite_c=True)
    if failed:
        raise InputError(f"l2={l2}: too small for these reviews, the weights cannot be solved for")
    for start in range(0, len(inverse), _MIRROR_ROWS):
        stop = start + _MIRROR_ROWS
        inverse[stop:, start:stop] = inverse[start:stop, stop:].T
        block = inverse[start:stop, start:stop]
        block[:] = np.triu(block) + np.triu(block, 1).T
    return inverse.T  # the same values, rows one after the other


def partial_histories(
    user: ndarray, product: ndarray, size: int, past_decay: float, future_decay: float, longest: int
) -> tuple[csr_array, csr_array]:
    """Cuts the `longest` newest reviews of each user between any two neighbours: the weighted past
    and the weighted future of each cut, float32 [cuts, P]. `user`, `product`: int64 [n], by user,
    inside a user from the oldest to the newest. The decays are for each step away from the cut."""
    pointers = rows_to_pointers(user, int(user[-1]) + 1 if len(user) else 0)
    stops, lengths = pointers[1:], np.minimum(np.diff(pointers), longest)
    past, future, cuts = [], [], 0
    # Users with equally many reviews have cuts of the same shape.
    for length in np.unique(lengths[lengths > 1]):
        first = stops[lengths == length] - length
        cut, place = np.nonzero(np.ones((length - 1, length), dtype=bool))
        distance = place - cut - 1  # the cut is behind place `cut`: 0 is the first review after it
        is_past = distance < 0
        for entries, kept, weight in (
            (past, is_past, past_decay ** -(distance[is_past] + 1)),
            (future, ~is_past, future_decay ** distance[~is_past]),
        ):
            rows = cuts + np.add.outer((length - 1) * np.arange(len(first)), cut[kept])
            columns = product[np.add.outer(first, place[kept])]
            weights = np.broadcast_to(weight.astype(np.float32), rows.shape)
            entries.append((rows.ravel(), columns.ravel(), weights.ravel()))
        cuts += (length - 1) * len(first)
    return _stack(past, cuts, size), _stack(future, cuts, size)


def _stack(entries: list[tuple[ndarray, ...]], rows: int, columns: int) -> csr_array:
    if not entries:
        return csr_array((rows, columns), dtype=np.float32)
    row, column, weight = (np.concatenate(each) for each in zip(*entries, strict=True))
    return csr_array((weight, (row, column)), shape=(rows, columns))


class UnreviewedProducts(NamedTuple):
    """Adds products, each by itself, to a solved system of R products.

    With K the inverse of the system, t what is known of a new product (texts, brand) and T the same
    of the solved ones, the block inverse gives its column y = K T t, and with its pivot
    s = |t|^2 + l2 - t'T'y its row y_j / (s K_jj). Neither needs another solution.

    `projected`: float32 [R, D], K T; `explained`: float32 [D, D], T' K T; `diagonal`: float32 [R],
    of K; `l2`: the ridge of the system."""

    projected: ndarray
    explained: ndarray
    diagonal: ndarray
    l2: float

    @classmethod
    def of(cls, inverse: ndarray, features: ndarray, l2: float) -> "UnreviewedProducts":
        """Prepares for new products: `ridge_inverse` float32 [R, R], features float32 [R, D]."""
        projected = inverse @ features
        return cls(projected, features.T @ projected, np.diag(inverse).copy(), l2)

    def rows(self, features: ndarray) -> ndarray:
        """From new products to the solved ones, float32 [N, R]."""
        own = np.einsum("nd,nd->n", features, features)
        explained = np.einsum("nd,nd->n", features @ self.explained, features)
        pivot = np.maximum(own - explained, 0) + self.l2
        return (self.projected @ features.T).T / (pivot[:, None] * self.diagonal)

    def scale_to(self, weights: ndarray, features: ndarray) -> np.float32:
        """Ratio of the median lengths of the columns of solved products, float32 [R, R], and of new
        ones, by features float32 [N, D]; 1 without any."""
        squares = np.einsum("nd,nd->n", features @ (self.projected.T @ self.projected), features)
        lengths = np.sqrt(np.maximum(squares, 0))
        solved = np.sqrt(np.einsum("ij,ij->j", weights, weights))
        if not (lengths > 0).any() or not (solved > 0).any():
            return np.float32(1)
        return np.float32(np.median(solved[solved > 0]) / np.median(lengths[lengths > 0]))


@settings.settings_of("product_graph")
class ProductGraph:
    """A sparse graph between products; a history walks one step along its edges.

    The score of product p for a user is the sum over their reviews of ``history_decay ** steps *
    weight(reviewed product -> p)``, where `steps` counts the reviews that the user wrote later,
    times ``liked_weight`` or ``disliked_weight``. A decay of 0 looks at the newest review alone; a
    rating above `liked_above` stars, and a missing one, is no dislike.

    `pointers`: int64 [P + 1]; the edges that leave product i are ``pointers[i]:pointers[i+1]``.
    `neighbours`: int32 [n], the products that they reach, ascending for each product. `weights`:
    float32 [n]. Raises InputError if a number is out of its range."""

    pointers: ndarray
    neighbours: ndarray
    weights: ndarray
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
        self, user_ptr: ndarray, product: ndarray, rating: ndarray, links: csr_array | None = None
    ) -> csr_array:
        """One step from each review: propagated scores, float32 [U, P], in order of the products.
        See `Situation`: an unknown product is a step, too, but leads nowhere without `links`."""
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
        self, product: ndarray, rating: ndarray, targets: ndarray, links: csr_array | None = None
    ) -> ndarray:
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
        return csr_array((self.weights, self.neighbours, self.pointers), (self.num_products,) * 2)

    def _review_weights(self, user_ptr: ndarray, rating: ndarray) -> ndarray:
        """float32 [n]: how much each review counts, wherever it leads."""
        steps = np.repeat(user_ptr[1:], np.diff(user_ptr)) - 1 - np.arange(len(rating))
        disliked = (rating > 0) & (rating <= self.liked_above)
        liking = np.where(disliked, self.disliked_weight, self.liked_weight)
        return (self.history_decay**steps * liking).astype(np.float32)


def heaviest(weights: ndarray, most: int) -> csr_array:
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
    already; they come out small, for nothing in X agrees with them, and are scaled up."""

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
    history_decay: settings.Decay
    disliked_weight: settings.Share
    liked_above: float
    neighbours: settings.Count
    new_product_boost: settings.NotNegative
    max_products: settings.PositiveCount

    def build(self, graph: ReviewGraph, vectors: ndarray, edges: ndarray) -> ProductGraph:
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
        add_inner_products(together, own)
        inverse = ridge_inverse(together, self.l2, overwrite=True)
        del together
        unreviewed = UnreviewedProducts.of(inverse, own, self.l2)
        weights = inverse_to_ease(inverse)  # by this name from here on
        if self.order_share:
            self._add_before_to_after(weights, graph.edge_user[edges], product, own)
        scale = self.new_product_boost * unreviewed.scale_to(weights, foreign)

        edges_of = []
        for start in range(0, len(solved), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            to_others = scale * (unreviewed.projected[rows] @ foreign.T)
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
        self, graph: ReviewGraph, vectors: ndarray, edges: ndarray, solved: ndarray
    ) -> ndarray:
        """What is known of products beside their reviewers, float32 [P, 3 D + brands]. Each source
        is centred; a product without it has the mean."""
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

    def _gram(self, graph: ReviewGraph, edges: ndarray, product: ndarray) -> ndarray:
        time, weight = graph.edge_time[edges], np.ones(len(edges))
        known = time != NO_TIME
        if self.half_life_days and known.any():
            age = (time[known].max() - time[known]) / SECONDS_PER_DAY
            weight[known] = 0.5 ** (age / self.half_life_days)
        entries = np.sqrt(weight).astype(np.float32), (graph.edge_user[edges], product)
        reviewed = csr_array(entries, (graph.num_users, product.max() + 1))
        return (reviewed.T @ reviewed).toarray()

    def _add_before_to_after(
        self, weights: ndarray, user: ndarray, product: ndarray, features: ndarray
    ) -> None:
        how = self.past_decay, self.future_decay, self.longest_history
        past, future = partial_histories(user, product, len(features), *how)
        system = (past.T @ past).toarray(order="F")
        add_inner_products(system, features)
        system[np.diag_indices_from(system)] += self.l2
        # In place: LAPACK wants columns that lie one after the other.
        with all_threads(len(system)):
            factor = cho_factor(system, overwrite_a=True, check_finite=False)
            future = future.tocsc()
            for start in range(0, len(features), ROWS_AT_ONCE):
                columns = slice(start, start + ROWS_AT_ONCE)
                after = (past.T @ future[:, columns]).toarray(order="F")
                after = cho_solve(factor, after, overwrite_b=True, check_finite=False)
                weights[:, columns] += np.float32(self.order_share) * after
