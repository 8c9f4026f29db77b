"""What others said about a product, with the reviews to be predicted taken out."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from rec_sys.graph.rating_features import PRODUCT_SHRINKAGE, rating_features, rating_sums
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.segments import read_vectors, segment_sum, vector_sums


class ReviewSummary(NamedTuple):
    """The known reviews of n products.

    Attributes:
        texts: float32 [n, D], mean review vector; zero without a review.
        ratings: float32 [n, 3], see `rec_sys.graph.rating_features`.
    """

    texts: np.ndarray
    ratings: np.ndarray


class KnownReviews(Protocol):
    """Tells what may be known about products."""

    def summary_without(
        self, products: np.ndarray, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray
    ) -> ReviewSummary:
        """Summary of some products as if some edges did not exist.

        Args:
            products: int64 [n], ascending and distinct.
            graph: The graph of the products and edges.
            vectors: The vector store's rows.
            edges: int64 [m], edges to leave out; their products are among `products`.
        """


@dataclass(frozen=True)
class FixedReviews:
    """A summary made elsewhere, of which no edge of the graph at hand is a part.

    Attributes:
        summary: Of all products of the graph.
    """

    summary: ReviewSummary

    def summary_without(
        self, products: np.ndarray, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray
    ) -> ReviewSummary:
        """See `KnownReviews`."""
        return ReviewSummary(*(each[products] for each in self.summary))


@dataclass(frozen=True)
class ProductReviews:
    """Sum and number of the known reviews of each product.

    Attributes:
        sums: float32 [P, D], sum of the review vectors.
        counts: int64 [P], number of reviews in the sum.
        rating_sums: float64 [P], see `rec_sys.graph.rating_features`.
        rating_counts: int64 [P], number of ratings in the sum.
        member: bool [E], which edges of the graph are in the sums.
    """

    sums: np.ndarray
    counts: np.ndarray
    rating_sums: np.ndarray
    rating_counts: np.ndarray
    member: np.ndarray

    @classmethod
    def of(cls, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray) -> "ProductReviews":
        """Sums over some edges.

        Args:
            graph: The graph.
            vectors: The vector store's rows, float [N, D].
            edges: int [n], the edges that may be known (the training edges).
        """
        member = np.zeros(graph.num_edges, dtype=bool)
        member[edges] = True
        product = graph.edge_product[edges]
        sums = vector_sums(vectors, graph.edge_text[edges], product, graph.num_products)
        counts = np.bincount(product, minlength=graph.num_products)
        ratings = rating_sums(graph.edge_rating[edges], product, graph.num_products)
        return cls(sums, counts, *ratings, member)

    def summary(self) -> ReviewSummary:
        """Of all products, nothing left out."""
        return self._whole

    def summary_without(
        self, products: np.ndarray, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray
    ) -> ReviewSummary:
        """See `KnownReviews`; edges that are not in the sums need not be left out."""
        texts, ratings = (each[products] for each in self._whole)
        edges = edges[self.member[edges]]
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
    def _sums(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return self.sums, self.counts, self.rating_sums, self.rating_counts

    @cached_property
    def _whole(self) -> ReviewSummary:
        return _summary(*self._sums)


def _summary(
    sums: np.ndarray, counts: np.ndarray, rating_sums: np.ndarray, rating_counts: np.ndarray
) -> ReviewSummary:
    means = sums / np.maximum(counts, 1).astype(np.float32)[:, None]
    means[counts == 0] = 0.0  # subtraction leaves rounding dust where nothing is left
    return ReviewSummary(
        means,
        rating_features(
            np.where(rating_counts > 0, rating_sums, 0.0), rating_counts, counts, PRODUCT_SHRINKAGE
        ),
    )
