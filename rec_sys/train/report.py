"""What training ends with: the baselines beside the model, and a table of both."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from hydra.core.hydra_config import HydraConfig

from rec_sys.foundation.console import note, show_table
from rec_sys.graph.csr import read_vectors
from rec_sys.graph.review_graph import ReviewGraph
from rec_sys.graph.task import Split, Task
from rec_sys.modules.combiner import GROUPS, Combiner
from rec_sys.modules.full_catalogue import FullCatalogue
from rec_sys.modules.metrics import TargetPositions, ndcg, rating_metrics, recall
from rec_sys.modules.objectives import Distance
from rec_sys.modules.rating_bias import RatingBias
from rec_sys.modules.recommender_module import K
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

    Returns:
        For each baseline the loss, by `distance`, and the metrics of `RatingMetrics`; NaN if
        nothing is rated.
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
}


def score_rankings(
    catalogue: FullCatalogue, graph: ReviewGraph, task: Task, users: np.ndarray, liked_above: float
) -> dict[str, dict[str, float]]:
    """Ranks all products for users of a task, int64: all evidences together, and some alone.

    Returns:
        For the model and for popularity, co-reviewing and order alone: ``ndcg10``,
        ``ndcg10_liked`` (of the targets that were liked, or have no rating, alone) and
        ``disliked_at_10``, how many disliked targets stand among the first ten.
    """
    history = graph.histories(users, task.history)
    situation = catalogue.situation(history, task.asked(graph, users))
    known = (history.edge_user, history.edge_product)
    target = graph.edges_of(users)
    target = target[task.target[target]]
    owner, product = np.searchsorted(users, graph.edge_user[target]), graph.edge_product[target]
    liked = ~(graph.edge_rating[target] <= liked_above)
    scores = {"model": catalogue.combiner.score(catalogue.features, situation)}
    for feature in catalogue.features:
        if feature.evidence in _SHOWN_ALONE and feature.evidence not in scores:
            values = feature.values(situation)
            values = values.toarray() if scipy.sparse.issparse(values) else values
            scores[feature.evidence] = np.broadcast_to(values, scores["model"].shape).copy()
    rows = {}
    for name, values in scores.items():
        values[known] = -np.inf
        own, others = values[owner, product][:, None], values[owner]
        above, tied = (others > own).sum(axis=1), (others == own).sum(axis=1)

        def mean_ndcg(
            kept: np.ndarray, above: np.ndarray = above, tied: np.ndarray = tied
        ) -> float:
            if not kept.any():
                return math.nan
            who, user = np.unique(owner[kept], return_inverse=True)
            positions = TargetPositions(user, above[kept], tied[kept], len(who))
            return float(ndcg(positions, K).mean())

        rows[name] = {
            f"ndcg{K}": mean_ndcg(np.ones_like(liked)),
            f"ndcg{K}_liked": mean_ndcg(liked),
            f"disliked_at_{K}": int((above[~liked] < K).sum()),
        }
    return rows


def score_wishes(
    catalogue: FullCatalogue, graph: ReviewGraph, task: Task, users: np.ndarray
) -> dict[str, dict[str, float]]:
    """Finds the products of a task's reviews by their words, for some of its users, int64.

    Returns:
        For the model and for the nearest product names: ``wishes_recall10``; nothing if nobody
        says anything.
    """
    told = task.told(graph)
    told = told[np.isin(graph.edge_user[told], users)]
    if not len(told):
        return {}
    users, wish, target = graph.edge_user[told], graph.edge_text[told], graph.edge_product[told]
    nothing = graph.histories(users, np.zeros(graph.num_edges, dtype=bool))
    names = read_vectors(catalogue.vectors, graph.product_name_text)
    scores = {
        "model": catalogue.score(nothing, task.asked(graph, users), wish),
        "nearest names": read_vectors(catalogue.vectors, wish) @ names.T,
    }
    rows = {}
    for name, values in scores.items():
        own = np.take_along_axis(values, target[:, None], axis=1)
        above, tied = (values > own).sum(axis=1), (values == own).sum(axis=1)
        positions = TargetPositions(np.arange(len(told)), above, tied, len(told))
        rows[name] = {f"wishes_recall{K}": float(recall(positions, K).mean())}
    return rows


_SHOWN_ALONE = ("popularity", "co-reviewing", "order")


def show_rankings(
    rows: Mapping[str, Mapping[str, float]],
    wishes: Mapping[str, Mapping[str, float]],
    combiner: Combiner,
) -> None:
    """Prints how well the validation is ranked and found, and which evidence decides."""
    show_table(
        "ranking, validation (to which the weights of the evidences are fitted)",
        ["", f"NDCG@{K}", f"NDCG@{K}, liked targets", f"disliked targets in the top {K}"],
        [
            [name if name == "model" else f"{name} alone", *row.values()]
            for name, row in rows.items()
        ],
    )
    if wishes:
        show_table(
            "products found by what their reviews say, validation",
            ["", f"recall@{K}"],
            [[name, *row.values()] for name, row in wishes.items()],
        )
    groups = range(len(GROUPS))
    decides = [combiner.decides(group) for group in groups]
    names = list(decides[GROUPS.index("several reviews")])
    show_table(
        "what decides the order, for users with ...",
        ["evidence", *GROUPS],
        [[name, *(f"{100 * decides[group][name]:.0f} %" for group in groups)] for name in names],
    )


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
    if any(row[-3] is not None and math.isnan(row[-3]) for row in rows):
        note("nan: AUC needs both liked and disliked targets, the others at least one rating")
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
