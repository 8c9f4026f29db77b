"""The rows that stand beside the model: what needs no text and no training."""

import numpy as np
import torch

from rec_sys.graph.datamodule import ReviewDataModule
from rec_sys.graph.rating_bias import RatingBias
from rec_sys.modules.objectives import Distance
from rec_sys.modules.rating_metrics import rating_metrics

#: Always the most frequent rating.
MAJORITY = "majority"
BIAS = "user + product bias"


def score_baselines(
    datamodule: ReviewDataModule, distance: Distance, liked_above: float
) -> dict[str, dict[str, float]]:
    """Predicts the validation targets without reading a word.

    Args:
        datamodule: Knows the targets; statistics come from the training edges' ratings only, and
            the bias of a user from the history that the model sees too.
        distance: The loss of the objective.
        liked_above: Ratings above count as liked, in stars.

    Returns:
        For each baseline the loss and the metrics of `RatingMetrics`; NaN if nothing is rated.
    """
    graph, split = datamodule.graph, datamodule.split
    rated = ~np.isnan(graph.edge_rating)
    target = split.validation.target & rated
    if (split.train & rated).any():
        bias = RatingBias.of(graph, np.flatnonzero(split.train))
        predictions = {
            MAJORITY: np.full(target.sum(), bias.majority_rating, dtype=np.float32),
            BIAS: bias.predict(graph, target, hidden=~split.validation.history),
        }
    else:
        target = np.zeros_like(target)  # nothing to learn a rating from
        predictions = dict.fromkeys((MAJORITY, BIAS), np.zeros(0, dtype=np.float32))
    true = torch.from_numpy(graph.edge_rating[target])
    rows = {}
    for name, values in predictions.items():
        predicted = torch.from_numpy(values)
        loss = distance(predicted, true).item()
        rows[name] = {"loss": loss, **rating_metrics(predicted, true, liked_above)}
    return rows
