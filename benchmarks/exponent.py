"""How something grows with the size of the data."""

from collections.abc import Sequence

import numpy as np


def fitted_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The b of ``value = a * size ** b``, by least squares of the logarithms.

    Args:
        sizes: At least two different ones, above 0.
        values: One for each, above 0.

    Raises:
        ValueError: There is nothing to fit.
    """
    if len(set(sizes)) < 2 or min(*sizes, *values) <= 0:
        raise ValueError(f"no exponent through sizes {[*sizes]} and values {[*values]}")
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
