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
    import torch

    length = min(k, scores.shape[1])
    # Only the value of the last place, because PyTorch takes any of equal scores. NumPy's partition
    # needs 30 times as long (1 ms a person) where most of 10,000 scores are 0.
    best = torch.topk(
        torch.from_numpy(np.ascontiguousarray(scores)), length, dim=1, sorted=False
    ).values
    edge = best.amin(dim=1, keepdim=True).numpy()
    shown = scores >= edge
    # Where the edge cuts through equal scores, those with a higher index do not fit in.
    crowded = np.flatnonzero(shown.sum(axis=1) > length)
    tied = scores[crowded] == edge[crowded]
    places = length - (shown[crowded].sum(axis=1) - tied.sum(axis=1))
    shown[crowded] &= ~tied | (np.cumsum(tied, axis=1, dtype=np.int32) <= places[:, None])

    candidates = np.nonzero(shown)[1].reshape(len(scores), length)
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    best = np.take_along_axis(candidates, order, axis=1)
    best[np.isneginf(np.take_along_axis(values, order, axis=1))] = -1
    return np.pad(best, ((0, 0), (0, k - length)), constant_values=-1)


def exposure(scores: np.ndarray, lists: np.ndarray, k: int) -> np.ndarray:
    """How many people are shown each product, on average over the order of equal scores.

    Args:
        scores: float32 [n, P]; -inf is never shown.
        lists: int64 [n, k or more], of `top_lists`.
        k: Length of the lists that are shown.

    Returns:
        float64 [P]; sums up to n * min(k, P) if nothing is hidden.
    """
    length = min(k, scores.shape[1])
    last = lists[:, length - 1]
    edge = scores[np.arange(len(scores)), last][:, None]
    crowded = (last >= 0) & ((scores >= edge).sum(axis=1) > length)
    listed = lists[~crowded, :length]
    shown = np.bincount(listed[listed >= 0], minlength=scores.shape[1]).astype(np.float64)
    rest, edge = scores[crowded], edge[crowded]
    above, tied = rest > edge, rest == edge
    chance = (length - above.sum(axis=1)) / tied.sum(axis=1)
    return shown + above.sum(axis=0) + chance @ tied
