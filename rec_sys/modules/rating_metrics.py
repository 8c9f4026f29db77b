"""How good predicted ratings are."""

import math

import torch
from torch import Tensor, nn
from torchmetrics import SumMetric
from torchmetrics.classification import (
    BinaryAccuracy,
    BinaryAUROC,
    BinaryF1Score,
    MulticlassF1Score,
)
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from rec_sys.reviews.schema import MAX_RATING


class RatingMetrics(nn.Module):
    """Metrics of a stream of predicted and true ratings.

    A rating above the threshold means "liked". ``f1`` and ``accuracy`` judge this yes or no;
    ``macro_f1`` is the mean of the F1 of both answers, so that always saying yes gains nothing;
    ``auc`` judges the order of the predictions alone; ``mae`` and ``mse`` are in stars.

    Args:
        liked_above: The threshold, in stars.
        of_all_processes: Whether `compute` speaks of what all processes that train together have
            seen; then all of them have to call it.
    """

    def __init__(self, liked_above: float, of_all_processes: bool = True) -> None:
        super().__init__()
        self.liked_above = liked_above
        options = {"sync_on_compute": of_all_processes}
        self.decisions = nn.ModuleDict(
            {
                "f1": BinaryF1Score(**options),
                "accuracy": BinaryAccuracy(**options),
                "macro_f1": MulticlassF1Score(num_classes=2, average="macro", **options),
            }
        )
        self.distances = nn.ModuleDict(
            {"mae": MeanAbsoluteError(**options), "mse": MeanSquaredError(**options)}
        )
        self.auc = BinaryAUROC(**options)
        self.seen = nn.ModuleList(SumMetric(**options) for _ in range(2))  # not liked, liked
        self._given: list[tuple[Tensor, Tensor]] = []

    def update(self, predicted: Tensor, true: Tensor) -> None:
        """Adds some targets.

        Args:
            predicted: float32 [T], stars 0...5.
            true: float32 [T], stars 1...5; NaN does not count.
        """
        # Judged when asked: eight small metrics after every step would cost a tenth of it.
        self._given.append((predicted.detach(), true))

    @torch.no_grad()
    def compute(self) -> dict[str, float]:
        """The metrics of everything since the last reset; NaN where they are not defined."""
        if self._given:
            self._judge(*(torch.cat(each) for each in zip(*self._given, strict=True)))
            self._given = []
        seen = [metric.compute().item() for metric in self.seen]
        if not sum(seen):
            return dict.fromkeys([*self.decisions, *self.distances, "auc"], math.nan)
        values = {
            name: metric.compute().item()
            for name, metric in [*self.decisions.items(), *self.distances.items()]
        }
        values["auc"] = self.auc.compute().item() if all(seen) else math.nan
        return values

    def reset(self) -> None:
        """Forgets everything."""
        self._given = []
        for metric in [*self.seen, *self.decisions.values(), *self.distances.values(), self.auc]:
            metric.reset()

    def _judge(self, predicted: Tensor, true: Tensor) -> None:
        rated = ~torch.isnan(true)
        predicted, true = predicted[rated], true[rated]
        liked = (true > self.liked_above).long()
        for answer, seen in enumerate(self.seen):
            seen.update((liked == answer).sum())
        if not len(true):
            return
        for metric in self.decisions.values():
            metric.update((predicted > self.liked_above).long(), liked)
        for metric in self.distances.values():
            metric.update(predicted, true)
        # Scaled into 0...1, or torchmetrics would take the stars for logits.
        self.auc.update(predicted / MAX_RATING, liked)


def rating_metrics(predicted: Tensor, true: Tensor, liked_above: float) -> dict[str, float]:
    """The metrics of `RatingMetrics` for ratings that are all at hand."""
    metrics = RatingMetrics(liked_above, of_all_processes=False)
    metrics.update(predicted, true)
    return metrics.compute()
