"""What training ends with: the baselines beside the model, and a table of both."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig

from rec_sys.foundation.console import note, show_table
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split
from rec_sys.modules.metrics import rating_metrics
from rec_sys.modules.objectives import Distance
from rec_sys.modules.rating_bias import RatingBias
from rec_sys.train.tracking import Tracking

#: Always the most frequent rating.
MAJORITY = "majority"
BIAS = "user + product bias"


def score_baselines(
    graph: ReviewGraph, split: Split, distance: Distance, liked_above: float
) -> dict[str, dict[str, float]]:
    """Predicts the validation targets without reading a word.

    Statistics come from the training edges' ratings only, and the bias of a user from the history
    that the model sees too.

    Args:
        graph: All reviews.
        split: Of these.
        distance: The loss of the objective.
        liked_above: Ratings above count as liked, in stars.

    Returns:
        For each baseline the loss and the metrics of `RatingMetrics`; NaN if nothing is rated.
    """
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


_COLUMNS = {
    "loss": "loss",
    "f1": "F1",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "auc": "AUC",
    "mae": "MAE",
    "mse": "MSE",
    "ndcg10": "NDCG@10",
}


def show_summary(
    best: Mapping[str, float],
    baselines: Mapping[str, Mapping[str, float]],
    checkpoint: Path,
    tracking: Tracking,
) -> None:
    """Prints the metrics of the best epoch and of the baselines, and what can be done next."""
    rows = [
        ["model, training", *(best.get(f"train/{name}") for name in _COLUMNS)],
        ["model, validation", *(best.get(f"val/{name}") for name in _COLUMNS)],
    ]
    rows += [
        [f"{name}, validation", *(values.get(metric) for metric in _COLUMNS)]
        for name, values in baselines.items()
    ]
    show_table(f"best epoch: {int(best['epoch']) + 1}", ["", *_COLUMNS.values()], rows)
    note(f"checkpoint: {checkpoint}")
    note(f"MLflow run: {tracking.run_name} ({tracking.run_id}) in {tracking.uri}")
    if not tracking.uri.startswith("http"):
        note(f"            uv run mlflow ui --backend-store-uri {tracking.uri}")
    note("next:       uv run -m rec_sys.vector_database.create_vectorbase")
    note("            uv run -m rec_sys.inference.infer")
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    note(
        f"            uv run python -m rec_sys.modules.model_export {checkpoint}"
        f" ./config/model/{choices.get('model', '<name>')}.yaml"
    )
