"""Intervals of many means at once: the same people are drawn for all models and metrics."""

import numpy as np

# So many draws are multiplied at once: a block of counts of 25,000 people takes 6 MB.
_DRAWS_AT_ONCE = 32


def mean_intervals(
    values: np.ndarray, resamples: int, confidence: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap (Efron, 1979) of column means.

    Args:
        values: float64 [n, m], n people and m quantities.
        resamples: How often people are drawn.
        confidence: 0.95 for intervals that hold the truth in 95 of 100 such experiments.
        seed: Seeds the draw.

    Returns:
        Lower and upper ends, float64 [m] each.
    """
    number = len(values)
    rng = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for start in range(0, resamples, _DRAWS_AT_ONCE):
        block = range(start, min(start + _DRAWS_AT_ONCE, resamples))
        counts = [np.bincount(rng.integers(number, size=number), minlength=number) for _ in block]
        means[block.start : block.stop] = np.stack(counts) @ values / number
    outside = (1 - confidence) / 2
    low, high = np.quantile(means, [outside, 1 - outside], axis=0)
    return low, high
