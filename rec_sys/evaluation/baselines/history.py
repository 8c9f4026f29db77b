"""Histories as the linear models see them."""

import numpy as np
import scipy.sparse

from rec_sys.evaluation.interface import Reviews


def popularity(reviews: Reviews, num_products: int) -> np.ndarray:
    """Number of reviews per product, float32 [P]."""
    return np.bincount(reviews.product, minlength=num_products).astype(np.float32)


def history_matrix(histories: Reviews, num_products: int, decay: float) -> scipy.sparse.csr_array:
    """People as weighted sums of their products.

    Args:
        histories: Of U people.
        num_products: P.
        decay: A review counts `decay` to the power of the number of later ones of the same person.

    Returns:
        float32 [U, P], the newest review of each person weighs 1.
    """
    weights = (decay**histories.steps_back).astype(np.float32)
    return scipy.sparse.csr_array(
        (weights, histories.product, histories.user_ptr),
        shape=(histories.num_users, num_products),
    )


def popular_for_strangers(
    scores: np.ndarray, histories: Reviews, popularity: np.ndarray
) -> np.ndarray:
    """Ranks by popularity for people without a history, as a shop would: in place.

    A linear model gives them 0 everywhere, a random order; beating that would prove nothing.

    Args:
        scores: float32 [U, P], changed.
        histories: Of the U people.
        popularity: float32 [P].

    Returns:
        `scores`.
    """
    scores[np.diff(histories.user_ptr) == 0] = popularity
    return scores
