"""Whether one model is better than another, or only luckier with these people."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from rec_sys.foundation.errors import InputError

# Numbers drawn at once: some 50 MB with the values they pick, however many people there are.
_NUMBERS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Comparison:
    """A model beside a baseline, each mean over the same people.

    Attributes:
        difference: Mean of the model minus mean of the baseline.
        difference_interval: Lower and upper end.
        ratio: Mean of the model over mean of the baseline; NaN or infinite if the latter is 0.
        ratio_interval: Lower and upper end.
        num_users: People compared.
    """

    difference: float
    difference_interval: tuple[float, float]
    ratio: float
    ratio_interval: tuple[float, float]
    num_users: int


def paired_bootstrap(
    model: np.ndarray, baseline: np.ndarray, resamples: int, confidence: float, seed: int
) -> Comparison:
    """Draws people with replacement, both values of a person together (Efron, 1979).

    The intervals are percentiles of the resampled means: of a mean over more than a thousand
    people, a correction for bias or skewness would change nothing that is printed.

    Args:
        model: float [n], a metric of each person.
        baseline: float [n], the same metric of the same people.
        resamples: How often people are drawn.
        confidence: 0.95 for intervals that hold the truth in 95 of 100 such experiments.
        seed: Seeds the draw.

    Raises:
        InputError: Fewer than two people, no resamples, or a confidence not between 0 and 1.
        ValueError: The people do not match.
    """
    if model.shape != baseline.shape or model.ndim != 1:
        raise ValueError("a paired comparison needs one value of each model for each person")
    if len(model) < 2:
        raise InputError("a comparison needs at least two people")
    if resamples < 1 or not 0 < confidence < 1:
        raise InputError(f"resamples={resamples}, confidence={confidence}: cannot draw with that")
    values = (np.asarray(model, dtype=np.float64), np.asarray(baseline, dtype=np.float64))
    # A resample without any hit of the baseline has no ratio; then the interval says so.
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = scipy.stats.bootstrap(
            values,
            _difference_and_ratio,
            paired=True,
            vectorized=True,
            method="percentile",
            n_resamples=resamples,
            confidence_level=confidence,
            batch=max(1, _NUMBERS_AT_ONCE // len(model)),
            rng=np.random.default_rng(seed),
        ).confidence_interval
        difference, ratio = _difference_and_ratio(*values)
    return Comparison(
        difference=float(difference),
        difference_interval=(float(low[0]), float(high[0])),
        ratio=float(ratio),
        ratio_interval=(float(low[1]), float(high[1])),
        num_users=len(model),
    )


def average_over_seeds(
    users: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """One value per person from several runs, so that a person measured thrice is drawn once.

    Args:
        users: Of each run, [n_s], distinct; the runs may have held out different people.
        values: Of each run, float [n_s].

    Returns:
        All people of any run, ascending, and float64 means over the runs that a person was in.
    """
    everyone, index = np.unique(np.concatenate(users), return_inverse=True)
    sums = np.bincount(index, weights=np.concatenate(values), minlength=len(everyone))
    return everyone, sums / np.bincount(index, minlength=len(everyone))


def _difference_and_ratio(model: np.ndarray, baseline: np.ndarray, axis: int = -1) -> np.ndarray:
    means = model.mean(axis=axis), baseline.mean(axis=axis)
    return np.stack([means[0] - means[1], means[0] / means[1]])


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
