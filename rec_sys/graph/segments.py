"""Sums over runs of equal keys, without a Python loop."""

import numpy as np


def rows_to_pointers(segment: np.ndarray, num_segments: int) -> np.ndarray:
    """CSR pointers of a sorted key.

    Args:
        segment: int [n], ascending, 0 ... num_segments - 1.
        num_segments: Number of segments, empty ones included.

    Returns:
        int64 [num_segments + 1]; segment ``s`` occupies ``pointers[s]:pointers[s + 1]``.
    """
    return np.searchsorted(segment, np.arange(num_segments + 1)).astype(np.int64)


def segment_sum(values: np.ndarray, segment: np.ndarray, num_segments: int) -> np.ndarray:
    """Sums the rows that share a key.

    Args:
        values: float [n, ...].
        segment: int [n], in any order.
        num_segments: Number of rows of the result.

    Returns:
        float [num_segments, ...]; zero where a segment has no row.
    """
    result = np.zeros((num_segments, *values.shape[1:]), dtype=values.dtype)
    if not len(values):
        return result
    if (segment[1:] < segment[:-1]).any():
        order = np.argsort(segment, kind="stable")
        values, segment = values[order], segment[order]
    starts = np.flatnonzero(np.r_[True, segment[1:] != segment[:-1]])
    # reduceat over the non-empty runs only: an empty run would copy its neighbour.
    result[segment[starts]] = np.add.reduceat(values, starts, axis=0)
    return result
