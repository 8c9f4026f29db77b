"""Whether a model shows the whole shop or only its front window."""

import numpy as np


def beyond_accuracy(exposure: np.ndarray, popularity: np.ndarray) -> dict[str, float]:
    """How recommendations spread over the products.

    Args:
        exposure: float64 [P], how many people are shown each product.
        popularity: float [P], training reviews per product.

    Returns:
        "coverage": share of the products that are shown to anyone, 0...1; "gini": inequality of the
        exposure, 0 (all alike) ... 1 - 1/P (always the same); "mean_popularity": training reviews
        of a recommended product, on average.
    """
    total = exposure.sum()
    return {
        "coverage": float((exposure > 0).mean()),
        "gini": _gini(exposure),
        "mean_popularity": float(exposure @ popularity / total),
    }


def _gini(values: np.ndarray) -> float:
    """Mean absolute difference over twice the mean, from the sorted values."""
    size = len(values)
    weights = 2 * np.arange(1, size + 1) - size - 1
    return float(weights @ np.sort(values) / (size * values.sum()))
