"""The lists that people are shown, and how often that shows each product."""

import numpy as np


def top_lists(scores: np.ndarray, k: int) -> np.ndarray:
    """The k best products of each person.

    Args:
        scores: float32 [n, P]; -inf is never shown.
        k: Length of the lists.

    Returns:
        int64 [n, k], best first; -1 where there are not so many. Of equal scores, the product with
        the lower index comes first: only for these lists does the numbering of products matter.
    """
    length = min(k, scores.shape[1])
    lists = np.full((len(scores), k), -1, dtype=np.int64)
    above, tied, places = _at_the_edge(scores, length)
    shown = above | (tied & (np.cumsum(tied, axis=1, dtype=np.int32) <= places[:, None]))
    candidates = np.nonzero(shown)[1].reshape(len(scores), length)
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.take_along_axis(candidates, order, axis=1)
    missing = np.isneginf(np.take_along_axis(values, order, axis=1))
    lists[:, :length] = np.where(missing, -1, best)
    return lists


def exposure(scores: np.ndarray, k: int) -> np.ndarray:
    """How many people are shown each product, on average over the order of equal scores.

    Args:
        scores: float32 [n, P]; -inf is never shown.
        k: Length of the lists.

    Returns:
        float64 [P]; sums up to n * min(k, P) if nothing is hidden.
    """
    above, tied, places = _at_the_edge(scores, min(k, scores.shape[1]))
    tied &= ~np.isneginf(scores)
    chance = places / np.maximum(tied.sum(axis=1), 1)
    return (above.sum(axis=0) + chance @ tied).astype(np.float64)


def _at_the_edge(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Surely among the first k, bool [n, P]; tied with the k-th; places left for those, [n]."""
    edge = np.partition(scores, scores.shape[1] - k, axis=1)[:, scores.shape[1] - k, None]
    above = scores > edge
    return above, scores == edge, k - above.sum(axis=1)
