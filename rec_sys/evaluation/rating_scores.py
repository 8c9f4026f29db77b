"""How good predicted ratings are: one row of the rating table."""

from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.protocol import Queries, RatingModel, ReviewKnownModel
from rec_sys.foundation.errors import InputError


@dataclass(frozen=True)
class RatingScores:
    """`rec_sys.modules.metrics` and ``macro_f1_tuned``, where "liked" is above `threshold`; for a
    bootstrap that draws users, of rated targets: `user` int64 [T], `squared_error` float64 [T]."""

    metrics: dict[str, float]
    threshold: float
    user: np.ndarray
    squared_error: np.ndarray


def predict(model: RatingModel | ReviewKnownModel, queries: Queries) -> np.ndarray:
    """Ratings of the targets, float32 [T]; a model of known reviews reads the targets' texts."""
    histories, targets = queries.histories, queries.targets
    pairs = targets.edge_user, targets.edge_product
    if hasattr(model, "rate_known"):
        return model.rate_known(histories, *pairs, targets.edge_text)
    return model.rate(histories, *pairs)


def score_ratings(
    predicted: np.ndarray, true: np.ndarray, user: np.ndarray, liked_above: float, threshold: float
) -> RatingScores:
    """Measures predictions of the test, float32 [T], 0...5, by true ratings; NaN does not count.
    Those above `liked_above` count as liked, predictions above the `threshold` of `best_threshold`,
    so that a careful model near the mean is not punished for where the scale is cut. InputError if
    no target has a rating, ValueError if a prediction is not finite."""
    import torch

    from rec_sys.modules.metrics import rating_metrics

    rated = _rated(predicted, true)
    predicted, true, user = predicted[rated], true[rated], user[rated]
    both = (torch.from_numpy(each.astype(np.float32)) for each in (predicted, true))
    metrics = rating_metrics(*both, liked_above)
    metrics["macro_f1_tuned"] = macro_f1(predicted > threshold, true > liked_above)
    return RatingScores(metrics, threshold, user, (predicted.astype(np.float64) - true) ** 2)


def macro_f1(answer: np.ndarray, liked: np.ndarray) -> float:
    """Mean F1 of "liked" and "not liked", bool [T], without one that occurs nowhere."""
    return float(_macro_f1(answer.sum(), (answer & liked).sum(), len(liked), liked.sum()))


def best_threshold(predicted: np.ndarray, true: np.ndarray, liked_above: float) -> float:
    """The threshold on predicted ratings with the best macro-F1, chosen on the validation task.
    Tries one threshold between any two neighbouring predictions, one below all and one above all;
    of equally good ones, it takes the one nearest to `liked_above`. Raises as `score_ratings`."""
    rated = _rated(predicted, true)
    values, place = np.unique(predicted[rated].astype(np.float64), return_inverse=True)
    liked = true[rated] > liked_above
    # Those that a threshold after the k-th value calls not liked, for k = 0...number of values.
    below = np.r_[0, np.cumsum(np.bincount(place))]
    liked_below = np.r_[0, np.cumsum(np.bincount(place, weights=liked))]
    number, positives = len(liked), liked.sum()
    scores = _macro_f1(number - below, positives - liked_below, number, positives)
    thresholds = np.r_[values[0] - 1, (values[1:] + values[:-1]) / 2, values[-1]]
    best = np.flatnonzero(np.isclose(scores, scores.max(), rtol=0, atol=1e-12))
    return float(thresholds[best[np.abs(thresholds[best] - liked_above).argmin()]])


def _macro_f1(said: np.ndarray, right: np.ndarray, number: int, liked: np.ndarray) -> np.ndarray:
    """From counts: said "liked", of these right, all targets, liked ones. F1 = 2 TP / (n1 + n2)."""
    said, right = np.asarray(said, dtype=float), np.asarray(right, dtype=float)
    rejected, rejected_right = number - said, number - liked - (said - right)
    totals = np.stack([said + liked, rejected + number - liked])
    hits = np.stack([2 * right, 2 * rejected_right])
    exists = totals > 0
    f1 = np.where(exists, hits / np.where(exists, totals, 1), 0)
    return f1.sum(axis=0) / exists.sum(axis=0)


def _rated(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    if not np.isfinite(predicted).all():
        raise ValueError("a predicted rating is not finite")
    rated = ~np.isnan(true)
    if not rated.any():
        raise InputError("no target has a rating: nothing to compare predicted stars with")
    return rated
