"""Ratings explained by who gives them and who gets them, without a word: what must be beaten."""

from dataclasses import dataclass

import numpy as np

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.segments import segment_sum

# Pseudo-counts of the shrinkage; a user's own mean says more than a product's.
_USER_SHRINKAGE = 5.0
_PRODUCT_SHRINKAGE = 10.0


@dataclass(frozen=True)
class RatingBias:
    """Mean rating, plus how much better than that each product is rated.

    Attributes:
        mean: Mean of the known ratings.
        product_bias: float32 [P], stars, shrunk towards 0; 0 for a product without a rating.
        majority_rating: The most frequent known rating.
    """

    mean: float
    product_bias: np.ndarray
    majority_rating: float

    @classmethod
    def of(cls, graph: ReviewGraph, edges: np.ndarray) -> "RatingBias":
        """Fits to the ratings of some edges (the training edges).

        Args:
            graph: The graph.
            edges: int [n]; those without a rating do not count.

        Raises:
            ValueError: None of the edges has a rating.
        """
        edges = edges[~np.isnan(graph.edge_rating[edges])]
        if not len(edges):
            raise ValueError("no edge has a rating")
        rating = graph.edge_rating[edges].astype(np.float64)
        values, counts = np.unique(rating, return_counts=True)
        mean = float(rating.mean())
        product = graph.edge_product[edges]
        sums = segment_sum(rating - mean, product, graph.num_products)
        numbers = np.bincount(product, minlength=graph.num_products)
        bias = (sums / (numbers + _PRODUCT_SHRINKAGE)).astype(np.float32)
        return cls(mean, bias, float(values[counts.argmax()]))

    def predict(self, graph: ReviewGraph, target: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Mean + product bias + the bias of the target's user, from the user's other ratings.

        Args:
            graph: The graph.
            target: bool [E], the edges to predict.
            hidden: bool [E], edges that must not be looked at either.

        Returns:
            float32 [number of targets], in the order of the edges.
        """
        known = ~target & ~hidden & ~np.isnan(graph.edge_rating)
        user, product = graph.edge_user, graph.edge_product
        rest = graph.edge_rating[known] - self.mean - self.product_bias[product[known]]
        sums = segment_sum(rest.astype(np.float64), user[known], graph.num_users)
        numbers = np.bincount(user[known], minlength=graph.num_users)
        user_bias = sums / (numbers + _USER_SHRINKAGE)
        predicted = self.mean + self.product_bias[product[target]] + user_bias[user[target]]
        return predicted.astype(np.float32)
