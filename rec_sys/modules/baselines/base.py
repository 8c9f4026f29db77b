"""What several baselines share: popularity, histories as matrices, texts of the products."""

import numpy as np
import scipy.sparse

from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.modules.match import unit


def popularity(train: ReviewGraph) -> np.ndarray:
    """Number of reviews per product, float32 [P]."""
    return np.bincount(train.edge_product, minlength=train.num_products).astype(np.float32)


def history_matrix(histories: ReviewGraph, decay: float) -> scipy.sparse.csr_array:
    """Users as weighted sums of their products, float32 [U, P]; a review counts `decay` to the
    power of the number of later ones of the same user, the newest 1."""
    weights = (decay**histories.steps_back).astype(np.float32)
    return scipy.sparse.csr_array(
        (weights, histories.edge_product, histories.user_ptr),
        shape=(histories.num_users, histories.num_products),
    )


def popular_for_strangers(
    scores: np.ndarray, histories: ReviewGraph, popularity: np.ndarray
) -> np.ndarray:
    """Ranks by popularity for users without a history, as a shop would: in place. A linear model
    gives them 0 everywhere, a random order; beating that would prove nothing."""
    scores[histories.degrees == 0] = popularity
    return scores


def product_text_vectors(products: ReviewGraph, vectors: np.ndarray) -> np.ndarray:
    """The vectors of name and description, side by side, without their means: float32 [P, 2 D] of
    length one, zero for a product without any text.

    All names of a shop resemble each other; without the mean, 0 means "as similar as any two". The
    common length lets products without a description, a quarter of them in the 2014 Musical
    Instruments, weigh as much as the others (NDCG@10 of text EASE there .078 instead of .070).
    """
    halves = []
    for rows in (products.product_name_text, products.product_info_text):
        half = vectors[rows].astype(np.float32)
        known = half.any(axis=1)
        if known.any():
            half[known] -= half[known].mean(axis=0)
        halves.append(half)
    return unit(np.concatenate(halves, axis=1))
