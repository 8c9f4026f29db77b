"""What others wrote about a product, with the reviews to be predicted taken out."""

from dataclasses import dataclass

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.segments import segment_sum

# Reviews are summed in blocks so that the float32 copy of their vectors stays small.
_EDGES_AT_ONCE = 65_536


@dataclass(frozen=True)
class ProductReviews:
    """Sum and number of the known reviews of each product.

    Attributes:
        sums: float32 [P, D], sum of the review vectors.
        counts: int64 [P], number of reviews in the sum.
        member: bool [E], which edges of the graph are in the sums.
    """

    sums: np.ndarray
    counts: np.ndarray
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
        sums = np.zeros((graph.num_products, vectors.shape[1]), dtype=np.float32)
        # In the order of products, so that a block touches few of them.
        by_product = edges[np.argsort(graph.edge_product[edges], kind="stable")]
        for start in range(0, len(by_product), _EDGES_AT_ONCE):
            block = by_product[start : start + _EDGES_AT_ONCE]
            touched, segment = np.unique(graph.edge_product[block], return_inverse=True)
            block_vectors = vectors[graph.edge_text[block]].astype(np.float32)
            sums[touched] += segment_sum(block_vectors, segment, len(touched))
        counts = np.bincount(graph.edge_product[edges], minlength=graph.num_products)
        return cls(sums, counts, member)

    @classmethod
    def from_means(cls, means: np.ndarray) -> "ProductReviews":
        """Means that were computed elsewhere, for a graph whose own edges are not in them."""
        return cls(
            sums=means.astype(np.float32),
            counts=np.any(means != 0, axis=1).astype(np.int64),
            member=np.zeros(0, dtype=bool),
        )

    def means(self) -> np.ndarray:
        """Mean review vector of every product, float32 [P, D]; zero without a review."""
        return self.sums / np.maximum(self.counts, 1)[:, None]

    def means_without(
        self,
        products: np.ndarray,
        graph: ReviewGraph,
        vectors: np.ndarray,
        edges: np.ndarray,
    ) -> np.ndarray:
        """Means of some products as if some edges did not exist.

        Args:
            products: int [n], ascending and distinct.
            graph: The graph of the edges.
            vectors: The vector store's rows.
            edges: int [m], edges to leave out; their products are among `products`.

        Returns:
            float32 [n, D]; zero where no review is left.
        """
        sums, counts = self.sums[products], self.counts[products]
        edges = edges[self.member[edges]] if len(self.member) else edges[:0]
        if len(edges):
            local = np.searchsorted(products, graph.edge_product[edges])
            left_out = vectors[graph.edge_text[edges]].astype(np.float32)
            sums = sums - segment_sum(left_out, local, len(products))
            counts = counts - np.bincount(local, minlength=len(products))
        # Subtraction leaves rounding dust where nothing is left.
        return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], 0.0).astype(
            np.float32
        )
