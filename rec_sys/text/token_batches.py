"""Texts of similar length in one batch: next to nothing is padded."""

import numpy as np


def cut_batches(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Sorts texts by length and cuts them where a batch, padding included, is full.

    Args:
        lengths: int64 [n], tokens of each text; n may be 0.
        budget: Tokens per batch, at most. A text that is longer than that is a batch of its own.

    Returns:
        The rows of each batch, int64 [B], the longest texts first. Every row is in one batch.
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    first = 0
    while first < len(order):
        longest = max(1, int(lengths[order[first]]))
        last = first + max(1, budget // longest)
        batches.append(order[first:last])
        first = last
    return batches


def padding_share(lengths: np.ndarray, batches: list[np.ndarray]) -> float:
    """Which part of all computed tokens is padding.

    Args:
        lengths: int64 [n], tokens of each text.
        batches: Rows of each batch, int64 [B].

    Returns:
        0 (none) to below 1; 0 if there is no batch.
    """
    computed = sum(len(rows) * int(lengths[rows].max()) for rows in batches)
    return 1 - sum(int(lengths[rows].sum()) for rows in batches) / computed if computed else 0.0
