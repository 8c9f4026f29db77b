"""Whether one model is better than another, or only luckier with these users."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.foundation.errors import InputError

# Numbers drawn at once: some 50 MB with the values they pick, however many users there are.
_NUMBERS_AT_ONCE = 2_000_000
# So many draws are multiplied at once: a block of counts of 25,000 users takes 6 MB.
_DRAWS_AT_ONCE = 32


@dataclass(frozen=True)
class Interval:
    """What was measured, and where it may well be."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bootstrap:
    """Draws users with replacement (Efron, 1979), `resamples` times. Intervals are percentiles:
    over a thousand users a correction for bias or skewness would change nothing that is printed."""

    resamples: int
    confidence: float
    seed: int

    def compare(self, model: np.ndarray, baseline: np.ndarray) -> dict[str, Interval]:
        """Compares a metric of each user, float [n > 1], of two models, both values drawn together:
        "difference" of the means and "ratio", NaN or infinite if the baseline's is 0."""
        import scipy.stats

        if len(model) < 2:
            raise InputError("a comparison needs at least two users")
        values = (np.asarray(model, dtype=np.float64), np.asarray(baseline, dtype=np.float64))
        # A resample without any hit of the baseline has no ratio; then the interval says so.
        with np.errstate(divide="ignore", invalid="ignore"):
            low, high = scipy.stats.bootstrap(
                values,
                _difference_and_ratio,
                paired=True,
                vectorized=True,
                method="percentile",
                n_resamples=self.resamples,
                confidence_level=self.confidence,
                batch=max(1, _NUMBERS_AT_ONCE // len(model)),
                rng=np.random.default_rng(self.seed),
            ).confidence_interval
            found = np.stack([_difference_and_ratio(*values), low, high], axis=1)
        difference, ratio = (Interval(*each) for each in found.tolist())
        return {"difference": difference, "ratio": ratio}

    def means(self, values: np.ndarray) -> list[Interval]:
        """Means of the columns of a float64 [n, m], n users and m quantities."""
        number = len(values)
        rng = np.random.default_rng(self.seed)
        means = np.empty((self.resamples, values.shape[1]))
        for start in range(0, self.resamples, _DRAWS_AT_ONCE):
            block = range(start, min(start + _DRAWS_AT_ONCE, self.resamples))
            drawn = [rng.integers(number, size=number) for _ in block]
            counts = np.stack([np.bincount(users, minlength=number) for users in drawn])
            means[block.start : block.stop] = counts @ values / number
        outside = (1 - self.confidence) / 2
        ends = np.quantile(means, [outside, 1 - outside], axis=0)
        return [Interval(*each) for each in np.stack([values.mean(axis=0), *ends], axis=1).tolist()]


def _difference_and_ratio(model: np.ndarray, baseline: np.ndarray, axis: int = -1) -> np.ndarray:
    means = model.mean(axis=axis), baseline.mean(axis=axis)
    return np.stack([means[0] - means[1], means[0] / means[1]])


def average_over_seeds(
    users: Sequence[np.ndarray], values: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each user over the runs that they were in, float64, after all users, ascending: a
    user measured thrice is drawn once. Each run has distinct users."""
    everyone, index = np.unique(np.concatenate(users), return_inverse=True)
    sums = np.bincount(index, weights=np.concatenate(values), minlength=len(everyone))
    return everyone, sums / np.bincount(index, minlength=len(everyone))
