"""What others said about a product, with the reviews to be predicted taken out."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from rec_sys.graph.rating_features import PRODUCT_SHRINKAGE, rating_features, rating_sums
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.segments import segment_sum, vector_sums


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
        return _summary(self.sums, self.counts, self.rating_sums, self.rating_counts)

    def summary_without(
        self, products: np.ndarray, graph: ReviewGraph, vectors: np.ndarray, edges: np.ndarray
    ) -> ReviewSummary:
        """See `KnownReviews`; edges that are not in the sums need not be left out."""
        kept = [
            each[products]
            for each in (self.sums, self.counts, self.rating_sums, self.rating_counts)
        ]
        edges = edges[self.member[edges]]
        if len(edges):
            local = np.searchsorted(products, graph.edge_product[edges])
            texts = vectors[graph.edge_text[edges]].astype(np.float32)
            left_out = (
                segment_sum(texts, local, len(products)),
                np.bincount(local, minlength=len(products)),
                *rating_sums(graph.edge_rating[edges], local, len(products)),
            )
            kept = [all_of - part for all_of, part in zip(kept, left_out, strict=True)]
        return _summary(*kept)


def _summary(
    sums: np.ndarray, counts: np.ndarray, rating_sums: np.ndarray, rating_counts: np.ndarray
) -> ReviewSummary:
    # Subtraction leaves rounding dust where nothing is left.
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 0.0)
    return ReviewSummary(
        means.astype(np.float32),
        rating_features(
            np.where(rating_counts > 0, rating_sums, 0.0), rating_counts, counts, PRODUCT_SHRINKAGE
        ),
    )
