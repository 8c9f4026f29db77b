"""Runs of equal keys in flat arrays, found and added up without a Python loop over them."""

import numpy as np

# Vectors are added in blocks, so that their float32 copy stays small.
_VECTORS_AT_ONCE = 65_536
# So many NumPy widens in less time than PyTorch takes to import.
_FEW_VECTORS = 100_000


def rows_to_pointers(segment: np.ndarray, num_segments: int) -> np.ndarray:
    """CSR pointers of a key, int [n], ascending from 0: int64 [num_segments + 1]. Segment ``s``,
    which may be empty, occupies ``pointers[s]:pointers[s + 1]``."""
    return np.searchsorted(segment, np.arange(num_segments + 1)).astype(np.int64)


def segment_sum(values: np.ndarray, segment: np.ndarray, num_segments: int) -> np.ndarray:
    """Sums the rows of values, float [n, ...], that share a key, int [n] in any order:
    [num_segments, ...]; zero where a segment has no row."""
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


def members_of(pointers: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """The rows, int64, of segments, int64 [n], one after the other; see `rows_to_pointers`."""
    lengths = np.diff(pointers)[segments]
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(pointers[segments] - starts, lengths)


def read_vectors(vectors: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Some rows, int64 [n], of the stored vectors, float [N, D]: float32 [n, D]."""
    chosen = vectors[rows]
    # As in serving, where there is no PyTorch, or not worth its import.
    if chosen.dtype == np.float32 or len(chosen) < _FEW_VECTORS:
        return chosen.astype(np.float32, copy=False)
    import torch  # widens many numbers at once, NumPy one after the other: six times the time

    return torch.from_numpy(chosen).float().numpy()


def vector_sums(vectors: np.ndarray, row: np.ndarray, segment: np.ndarray, size: int) -> np.ndarray:
    """Sums of stored vectors, float [N, D], perhaps memory-mapped, that share a key, int64 [n] in
    any order; `row`: int64 [n], those of the vectors. float32 [size, D], block by block."""
    sums = np.zeros((size, vectors.shape[1]), dtype=np.float32)
    # In the order of the segments, so that a block touches few of them.
    order = np.argsort(segment, kind="stable")
    for start in range(0, len(order), _VECTORS_AT_ONCE):
        block = order[start : start + _VECTORS_AT_ONCE]
        touched, local = np.unique(segment[block], return_inverse=True)
        sums[touched] += segment_sum(read_vectors(vectors, row[block]), local, len(touched))
    return sums
