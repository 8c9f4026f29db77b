"""Which of a person's reviews speak for a product."""

import numpy as np

from rec_sys.graph.product_graph import ProductGraph
from rec_sys.inference.histories import UNKNOWN, Histories
from rec_sys.inference.recommendation import Reason
from rec_sys.vector_database.vectorbase import Vectorbase

_EXCERPT_CHARACTERS = 160


def reason_weights(
    product_graph: ProductGraph,
    product: np.ndarray,
    rating: np.ndarray,
    attention: np.ndarray,
    targets: np.ndarray,
) -> np.ndarray:
    """How much each review of one person speaks for each of some products.

    Where the product graph speaks for a product, a review's weight is its share in what speaks
    for it; elsewhere it is the network's attention, the same for all products.

    Args:
        product_graph: Between the products.
        product: int64 [n], the reviewed products, see `ProductGraph.carry`.
        rating: float32 [n].
        attention: float32 [n], sums to 1.
        targets: int64 [m], the recommended products.

    Returns:
        float32 [n, m], not negative; columns sum to 1.
    """
    speaking_for = np.maximum(product_graph.contributions(product, rating, targets), 0)
    total = speaking_for.sum(axis=0)
    connected = total > 0
    shares = speaking_for / np.where(connected, total, 1)
    return np.where(connected, shares, attention[:, None])


def heaviest_reasons(
    histories: Histories,
    vectorbase: Vectorbase,
    reviews: np.ndarray,
    weights: np.ndarray,
    most: int,
) -> tuple[Reason, ...]:
    """Names the reviews that weigh most, the heaviest first; none that weighs nothing.

    Args:
        histories: Has the reviews.
        vectorbase: Has the names of the products it knows.
        reviews: int64 [n], counted as in `Histories`.
        weights: float32 [n].
        most: How many to name, at most.
    """
    heaviest = np.argsort(-weights, kind="stable")[:most]
    return tuple(
        Reason(
            review_id=histories.review_ids[reviews[position]],
            product_name=_product_name(histories, vectorbase, reviews[position]),
            text=_excerpt(histories.texts[reviews[position]]),
            weight=float(weights[position]),
            rating=_stars(histories.rating[reviews[position]]),
        )
        for position in heaviest
        if weights[position] > 0
    )


def _product_name(histories: Histories, vectorbase: Vectorbase, review: int) -> str:
    row = histories.catalogue_row[review]
    if row == UNKNOWN:
        return histories.product_names[histories.product[review]]
    return vectorbase.names[row]


def _stars(rating: np.float32) -> float | None:
    return float(rating) if rating > 0 else None  # neither 0 nor NaN


def _excerpt(text: str) -> str:
    if len(text) <= _EXCERPT_CHARACTERS:
        return text
    return text[: _EXCERPT_CHARACTERS - 1].rstrip() + "…"
