"""The rows that stand beside the model: what needs no text and no training."""

import numpy as np
import torch

from rec_sys.graph.datamodule import ReviewDataModule
from rec_sys.graph.rating_bias import RatingBias
from rec_sys.modules.objectives import Distance
from rec_sys.modules.rating_metrics import rating_metrics

MAJORITY = "majority (always the most frequent rating)"
BIAS = "user + product bias"


def score_baselines(
    datamodule: ReviewDataModule, distance: Distance, liked_above: float
) -> dict[str, dict[str, float]]:
    """Predicts the validation targets without reading a word.

    Args:
        datamodule: Knows the targets; statistics come from the training users' ratings only,
            and the bias of a held-out user from the history that the model sees too.
        distance: The loss of the objective.
        liked_above: Ratings above count as liked, in stars.

    Returns:
        For each baseline the loss and the metrics of `RatingMetrics`.
    """
    graph, target = datamodule.graph, datamodule.validation_target
    bias = RatingBias.of(graph, graph.edges_of(datamodule.split.train))
    predictions = {
        MAJORITY: np.full(target.sum(), bias.majority_rating, dtype=np.float32),
        BIAS: bias.predict(graph, target, datamodule.validation_hidden),
    }
    true = torch.from_numpy(graph.edge_rating[target])
    rows = {}
    for name, values in predictions.items():
        predicted = torch.from_numpy(values)
        loss = distance(predicted, true).item()
        rows[name] = {"loss": loss, **rating_metrics(predicted, true, liked_above)}
    return rows
