"""How good rankings and predicted ratings are; for training and evaluation."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional import classification, mean_absolute_error, mean_squared_error
from torchmetrics.utilities import dim_zero_cat

from rec_sys.graph.review_graph import segment_sum
from rec_sys.reviews.schema import MAX_RATING

_Values = np.ndarray | Tensor


@dataclass(frozen=True)
class TargetPositions:
    """Where T targets of n users, each with one or more, stand. `user`: int64 [T], in any order;
    products with a higher score, `above`, and with the same, itself included, `tied`: int64 [T]."""

    user: np.ndarray
    above: np.ndarray
    tied: np.ndarray
    num_users: int

    @classmethod
    def of(cls, scores: _Values, user: _Values, product: _Values) -> "TargetPositions":
        """Of targets by `scores`, float [n, P]; `product`: int64 [T]; tensors may be on a GPU."""
        scores, user, product = map(torch.as_tensor, (scores, user, product))
        own, others = scores[user, product][:, None], scores[user]
        found = user, (others > own).sum(dim=1), (others == own).sum(dim=1)
        return cls(*(each.cpu().numpy() for each in found), len(scores))

    @property
    def count(self) -> np.ndarray:
        """Number of targets per user, int64 [n]."""
        return np.bincount(self.user, minlength=self.num_users)

    def per_user(self, values: np.ndarray) -> np.ndarray:
        """Sums over the targets of each user, float64 [n]."""
        return segment_sum(values, self.user, self.num_users)


def hit_chance(positions: TargetPositions, k: int) -> np.ndarray:
    """Probability that a target is among the first k, float64 [T]: HR@k if it were the only one."""
    return np.clip(k - positions.above, 0, positions.tied) / positions.tied


def discounted_gain(positions: TargetPositions, k: int) -> np.ndarray:
    """Expected 1 / log2(1 + position), 0 after k, float64 [T]: NDCG@k if it were the only target.
    Järvelin & Kekäläinen, TOIS 2002, with the usual discount that also counts at position 1."""
    return _mean_over_tie(positions, np.r_[0, np.cumsum(1 / np.log2(np.arange(2, k + 2)))])


def reciprocal_position(positions: TargetPositions) -> np.ndarray:
    """Expected 1 / position, float64 [T]: the reciprocal rank if it were the only target."""
    last = int((positions.above + positions.tied).max(initial=0))
    return _mean_over_tie(positions, np.r_[0, np.cumsum(1 / np.arange(1, last + 1))])


def recall(positions: TargetPositions, k: int) -> np.ndarray:
    """Expected share of a user's targets that are among the first k, float64 [n]."""
    return positions.per_user(hit_chance(positions, k)) / positions.count


def hit_rate(positions: TargetPositions, k: int) -> np.ndarray:
    """Probability that at least one target of a user is among the first k, float64 [n]. Of a tie of
    E products, m of them targets, r = clip(k - G, 0, E) are: that none is a target is
    hypergeometric, the product over i < m of (E - r - i) / (E - i); the ties of a user multiply."""
    ties = pd.DataFrame({"user": positions.user, "above": positions.above})
    order, tied = ties.groupby(["user", "above"]).cumcount().to_numpy(), positions.tied
    shown = np.clip(k - positions.above, 0, tied)
    missed = np.clip((tied - shown - order) / (tied - order), 0, 1)
    none = np.ones(positions.num_users)
    np.multiply.at(none, positions.user, missed)
    return 1 - none


def ndcg(positions: TargetPositions, k: int) -> np.ndarray:
    """Expected NDCG@k of each user, float64 [n]; ideal are min(k, targets) hits at the top."""
    ideal = np.r_[0, np.cumsum(1 / np.log2(np.arange(2, k + 2)))]
    return positions.per_user(discounted_gain(positions, k)) / ideal[np.minimum(positions.count, k)]


def ndcg_of(positions: TargetPositions, kept: np.ndarray, k: int) -> np.ndarray:
    """`ndcg` were the targets `kept`, bool [T], the only ones; NaN for a user without any."""
    users, user = np.unique(positions.user[kept], return_inverse=True)
    some = TargetPositions(user, positions.above[kept], positions.tied[kept], len(users))
    found = np.full(positions.num_users, np.nan)
    found[users] = ndcg(some, k)
    return found


def reciprocal_rank(positions: TargetPositions) -> np.ndarray:
    """Expected 1 / position of a user's first target, float64 [n]; its mean is the MRR, uncut."""
    best = np.full(positions.num_users, np.iinfo(np.int64).max)
    np.minimum.at(best, positions.user, positions.above)
    first = positions.above == best[positions.user]
    values = np.zeros(positions.num_users)
    values[positions.user[first]] = reciprocal_position(positions)[first]
    # Several targets at the best score: the first of them comes earlier than one alone would.
    number = np.bincount(positions.user[first], minlength=positions.num_users)
    size = np.zeros(positions.num_users, dtype=np.int64)
    size[positions.user[first]] = positions.tied[first]
    # It is at place j of the tie with P(1) = m / E, P(j + 1) = P(j) (E - m - j + 1) / (E - j).
    for user in np.flatnonzero(number > 1):
        tied, targets = size[user], number[user]
        place = np.arange(1, tied - targets + 2)
        steps = (tied - targets - place[:-1] + 1) / (tied - place[:-1])
        chance = targets / tied * np.r_[1, np.cumprod(steps)]
        values[user] = (chance / (best[user] + place)).sum()
    return values


def _mean_over_tie(positions: TargetPositions, sums: np.ndarray) -> np.ndarray:
    """Mean gain over the positions of each tie; ``sums[i]``: of the first i positions."""
    last = len(sums) - 1
    end = np.minimum(positions.above + positions.tied, last)
    return (sums[end] - sums[np.minimum(positions.above, last)]) / positions.tied


def rating_metrics(predicted: Tensor, true: Tensor, liked_above: float) -> dict[str, float]:
    """How good predicted ratings, float32 [T], 0...5, are by true ones, float32 [T], 1...5, NaN
    does not count; NaN where a metric is not defined. More than `liked_above` stars mean "liked",
    which ``f1`` and ``accuracy`` judge; ``macro_f1`` is the mean of the F1 of both answers, so that
    always saying yes gains nothing; ``auc`` judges the order alone; ``mae`` is in stars."""
    rated = ~torch.isnan(true)
    predicted, true = predicted[rated], true[rated]
    if not len(true):
        return dict.fromkeys(("f1", "accuracy", "macro_f1", "mae", "mse", "auc"), math.nan)
    liked, said = (true > liked_above).long(), (predicted > liked_above).long()
    values = {
        "f1": classification.binary_f1_score(said, liked),
        "accuracy": classification.binary_accuracy(said, liked),
        "macro_f1": classification.multiclass_f1_score(said, liked, num_classes=2, average="macro"),
        "mae": mean_absolute_error(predicted, true),
        "mse": mean_squared_error(predicted, true),
        "auc": torch.tensor(torch.nan),
    }
    if 0 < liked.sum() < len(liked):
        # Scaled into 0...1, or torchmetrics would take the ratings for logits.
        values["auc"] = classification.binary_auroc(predicted / MAX_RATING, liked)
    return {name: value.item() for name, value in values.items()}


class RatingMetrics(Metric):
    """`rating_metrics` of a stream of predicted and true ratings, of all processes that train."""

    def __init__(self, liked_above: float) -> None:
        super().__init__()
        self.liked_above = liked_above
        self.add_state("predicted", default=[], dist_reduce_fx="cat")
        self.add_state("true", default=[], dist_reduce_fx="cat")

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Adds targets: predicted float32 [T], 0...5; true float32 [T], 1...5, NaN if missing."""
        # Judged when asked: small metrics after every step would cost a tenth of it.
        self.predicted.append(predicted.detach())
        self.true.append(true)

    def compute(self) -> dict[str, float]:
        nothing = torch.empty(0, device=self.device)
        states = (self.predicted, self.true)
        predicted, true = (dim_zero_cat(each) if len(each) else nothing for each in states)
        return rating_metrics(predicted, true, self.liked_above)
