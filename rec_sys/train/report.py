"""The end of a training: baselines, tables and a model card (Mitchell et al., FAT* 2019)."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from hydra.core.hydra_config import HydraConfig
from torch import Tensor

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.console import markdown_list, markdown_table, note, show_table
from rec_sys.foundation.files import code_fingerprint, read_kept, sha256_of_json, write_kept
from rec_sys.foundation.settings import flat
from rec_sys.graph.review_graph import PreparedReviews, ReviewGraph, read_vectors
from rec_sys.graph.splits import split_fingerprint
from rec_sys.graph.task import Queries, Split, Task
from rec_sys.modules.baselines import search_grid
from rec_sys.modules.combiner import GROUPS, MANY, Combiner
from rec_sys.modules.full_catalogue import FullCatalogue
from rec_sys.modules.metrics import TargetPositions, ndcg_of, rating_metrics, recall
from rec_sys.modules.objectives import Distance
from rec_sys.modules.rating_bias import RatingBias
from rec_sys.modules.recommender_module import K
from rec_sys.text.encoder import EMBEDDED
from rec_sys.train.tracking import Row, Tracking

#: A label, of a model or of a baseline, to its metrics.
Rows = Mapping[str, Row]

#: Always the most frequent rating.
MAJORITY = "majority"
BIAS = "user + product bias"
_CARD = Path(__file__).with_name("model_card.md")
_SHOWN = 3  # of a list


def score_baselines(
    graph: ReviewGraph, split: Split, distance: Distance, liked_above: float
) -> dict[str, Row]:
    """Predicts the validation targets without reading a word: for each baseline the loss, by
    `distance`, and the metrics of `RatingMetrics`; NaN if nothing is rated. Learns from the
    training edges' ratings only, and a user's bias from the history that the model sees too."""
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
    judged = torch.from_numpy(graph.edge_rating[target]), distance, liked_above
    return {name: rating_row(torch.from_numpy(each), *judged) for name, each in predictions.items()}


def rating_row(predicted: Tensor, true: Tensor, distance: Distance, liked_above: float) -> Row:
    """The loss and the metrics of `RatingMetrics`, of ratings float32 [T]; NaN without any."""
    loss = distance(predicted, true).item()
    return {"loss": loss, **rating_metrics(predicted, true, liked_above)}


_COLUMNS = {"loss": "loss", "f1": "F1", "accuracy": "accuracy", "macro_f1": "macro-F1"}
_COLUMNS |= {"auc": "AUC", "mae": "MAE", "mse": "MSE"}


@dataclass(frozen=True)
class RankingTask:
    """Users who are asked what comes next; they like what has more than `liked_above` stars."""

    queries: Queries
    liked_above: float

    def rank(self, score: Callable[..., np.ndarray]) -> "Ranked":
        """Ranks by `score`: of histories and `Task.asked`, int64, new scores, float32 [n, P]."""
        return Ranked(self.measure(score(self.queries.histories, self.queries.asked)))

    def measure(self, scores: np.ndarray) -> dict[str, list[float]]:
        """Ranks all products but the history by `scores`, float32 [n, P], which it changes:
        ``ndcg10`` of each user, ``ndcg10_liked``, of targets that were liked or have no rating
        alone, NaN for none, and ``disliked_at_10``, how many others are among the first ten."""
        history, targets = self.queries.histories, self.queries.targets
        liked = ~(targets.edge_rating <= self.liked_above)
        scores[history.edge_user, history.edge_product] = -np.inf
        positions = TargetPositions.of(scores, targets.edge_user, targets.edge_product)
        disliked = targets.edge_user[~liked & (positions.above < K)]
        return {
            f"ndcg{K}": ndcg_of(positions, np.ones_like(liked), K).tolist(),
            f"ndcg{K}_liked": ndcg_of(positions, liked, K).tolist(),
            f"disliked_at_{K}": np.bincount(disliked, minlength=targets.num_users).tolist(),
        }


class Ranked(NamedTuple):
    """How well a model ranks: what `RankingTask.measure` gives, and the settings chosen for it."""

    per_user: dict[str, list[float]]
    settings: dict[str, Any] = {}

    @property
    def means(self) -> dict[str, float]:
        """Means over the users who have the metric; disliked targets are counted."""
        means = {name: pd.Series(values).mean() for name, values in self.per_user.items()}
        return means | {f"disliked_at_{K}": sum(self.per_user[f"disliked_at_{K}"])}


def rank_baselines(
    entries: Mapping[str, Mapping[str, Any]],
    prepared: PreparedReviews,
    split: Split,
    task: RankingTask,
    cache: Path,
) -> dict[str, Ranked]:
    """Baselines, ``config/baselines``, each tuned to NDCG@10 of these users; by name. What was
    found in the folder `cache` belongs to reviews, split, users, settings and source code."""
    graph, users = prepared.graph, task.queries.users
    known = (graph.fingerprint, split_fingerprint(split), users.tolist(), task.liked_above)
    vectors = prepared.encoder.model_fingerprint
    path = cache / f"{sha256_of_json([*known, vectors, entries, code_fingerprint()])}.json"
    if kept := read_kept(path):
        return {name: Ranked(*values) for name, values in kept.items()}
    train = graph.histories(np.arange(graph.num_users), split.train)
    found = {}
    missing = left_out(entries, graph.num_products)
    for entry in (each for key, each in entries.items() if key not in missing):
        model, settings = search_grid(
            entry, train, prepared.vectors, lambda model: task.rank(model.score).means[f"ndcg{K}"]
        )
        found[model.name] = task.rank(model.score)._replace(settings=settings)
    write_kept(path, found)
    return found


def left_out(entries: Mapping[str, Mapping[str, Any]], num_products: int) -> dict[str, int]:
    """Baselines that would take too long for so many products, and how many they are for."""
    limits = {name: entry.get("max_products", num_products) for name, entry in entries.items()}
    return {name: limit for name, limit in limits.items() if limit < num_products}


def verdict(
    model: Ranked, simple: Mapping[str, Ranked], best: Row, baselines: Rows, wishes: Rows
) -> str:
    """How the model compares with the best baselines, equal within two standard errors of the
    paired difference, and what to do where it loses; nothing of few people. See `score_wishes`."""
    metric, parts = f"ndcg{K}", []
    if simple:
        name, rival = max(simple.items(), key=lambda each: each[1].means[metric])
        ours, theirs = (np.array(each.per_user[metric]) for each in (model, rival))
        difference, best_known = ours - theirs, theirs.mean()
        gain, noise = difference.mean(), 2 * difference.std() / math.sqrt(len(difference))
        how_much = f"(NDCG@{K} {gain:.3f} ± {noise:.3f} where it has 0)"  # all products are new
        if best_known:
            how_much = f"({gain / best_known:+.0%} ± {noise / best_known:.0%})"
        people = f"{len(difference):,} people"
        against = f"the best simple baseline, {name}, on the next product of {people} {how_much}"
        if len(difference) < _FEW_PEOPLE:
            return f"{people} of the validation are too few to tell rec_sys from {name}"
        if gain > noise:
            parts.append(f"rec_sys beats {against}")
        elif gain >= -noise:
            parts.append(f"rec_sys cannot be told from {against}")
        else:
            advice = "try train.tune=true, with more train.tuning_trials"
            parts.append(f"rec_sys is behind {against}: {advice}")
    more = best.get("val/mse", math.nan) / (baselines[BIAS].get("mse") or math.nan) - 1
    if not math.isnan(more):
        where = "above" if more > 0 else "below"
        parts.append(f"its squared error in stars is {abs(more):.1%} {where} that of {BIAS}")
        parts[-1] += ": try objective=rating" if more > _SAME_MSE else ""
    if wishes:
        ours, theirs = (row[f"wishes_recall{K}"] for row in wishes.values())
        found = f"of the products that people describe it has {ours:.0%} among the first {K}"
        parts.append(f"{found}, nearest names {theirs:.0%}")
    return "; ".join(parts) or "nothing to compare with"


_FEW_PEOPLE = 20
_SAME_MSE = 0.01  # more of it is nothing to do something about


def score_wishes(
    catalogue: FullCatalogue, graph: ReviewGraph, task: Task, users: np.ndarray
) -> dict[str, dict[str, float]]:
    """``wishes_recall10`` of a task's products by the words of their reviews, for some users,
    int64: by the model, with weights learned without them, and by nearest names."""
    asked = Queries.wishes(graph, task, with_history=False)
    asked = asked.of_users(np.flatnonzero(np.isin(asked.users, users)))
    if not len(asked.users):
        return {}
    names = read_vectors(catalogue.vectors, graph.product_name_text)
    validated = np.searchsorted(task.users(graph), asked.users)
    scores = {
        "model": catalogue.score(asked.histories, asked.asked, asked.wish, validated),
        "nearest names": read_vectors(catalogue.vectors, asked.wish) @ names.T,
    }
    targets = asked.targets
    rows = {}
    for name, values in scores.items():
        positions = TargetPositions.of(values, targets.edge_user, targets.edge_product)
        rows[name] = {f"wishes_recall{K}": float(recall(positions, K).mean())}
    return rows


def show_rankings(
    rows: Mapping[str, Ranked], missing: Mapping[str, int], wishes: Rows, combiner: Combiner
) -> None:
    """Prints how well the validation is ranked, and what decides; `missing`: see `left_out`."""
    measured = [f"NDCG@{K}", f"NDCG@{K}, liked targets", f"disliked targets in the top {K}"]
    how = "the model with weights that were learned without the person at hand"
    ranked = [
        [name, *row.means.values(), ", ".join(f"{k} {v}" for k, v in row.settings.items())]
        for name, row in rows.items()
    ]
    show_table(f"ranking, validation ({how})", ["", *measured, "settings"], ranked)
    for name, limit in missing.items():
        note(f"without {name}: more than {limit:,} products (baselines.{name}.max_products)")
    if wishes:
        title = "products found by what their reviews say, validation"
        found = [[name, *row.values()] for name, row in wishes.items()]
        show_table(title, ["", f"recall@{K}"], found)
    decides = [combiner.decides(group) for group in range(len(GROUPS))]
    shares = [[name, *(f"{100 * of[name]:.0f} %" for of in decides)] for name in decides[MANY]]
    show_table("what decides the order, for users with ...", ["evidence", *GROUPS], shares)


def show_summary(
    best: Mapping[str, float], baselines: Rows, verdict: str, checkpoint: Path, tracking: Tracking
) -> None:
    """Prints the best epoch and the baselines, the verdict, and what can be done next."""
    stages = {"model, training": "train", "model, validation": "val"}
    rows = [[name, *(best.get(f"{of}/{each}") for each in _COLUMNS)] for name, of in stages.items()]
    rows += [[f"{name}, validation", *map(of.get, _COLUMNS)] for name, of in baselines.items()]
    epoch = int(best["epoch"]) + 1
    title = f"best epoch: {epoch}; validation with stars calibrated on other people"
    show_table(title, ["", *_COLUMNS.values()], rows)
    if any(row[-3] is not None and math.isnan(row[-3]) for row in rows):
        note("nan: AUC needs both liked and disliked targets, the others at least one rating")
    note(f"verdict:    {verdict}", fold=True)
    note(f"checkpoint: {checkpoint}")
    note(f"MLflow run: {tracking.run_name} ({tracking.run_id}) in {tracking.uri}")
    if not tracking.uri.startswith("http"):
        note(f"            uv run mlflow ui --backend-store-uri {tracking.uri}")
    note("next:       uv run -m rec_sys.vector_database.create_vectorbase")
    for following in ("inference.infer", "serving.create_bundle", "serving.app"):
        note(f"            uv run -m rec_sys.{following}")
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    config = f"./{os.path.relpath(CONFIG_DIR)}/model/{choices.get('model', '<name>')}.yaml"
    note(f"            uv run python -m rec_sys.modules.model_export {checkpoint} {config}")


def model_card(
    record: Mapping[str, Any], cleaning: Sequence[Mapping[str, Any]], ratings: Rows, *rankings: Rows
) -> str:
    """A model's card in Markdown, from `TrainedModel.record` and what was measured."""
    data, encoder = record["data"], record["encoder"]
    named = record["config"]["encoder"].get("model")
    steps = (f"{each['rows']} {each['step']}: {each['note']}" for each in cleaning)
    return _CARD.read_text(encoding="utf-8").format(
        run_name=record["run_name"],
        **{name: data[name] for name in ("name", "users", "products", "reviews", "fingerprint")},
        cleaning=markdown_list(steps),
        split=markdown_list(f"{key}: {_short(value)}" for key, value in flat(record["split"])),
        ratings=_table(ratings),
        rankings="\n\n".join(_table(rows) for rows in rankings if rows),
        encoder="all-MiniLM-L6-v2" if named == EMBEDDED else named,
        dimension=encoder["dimension"],
        encoder_fingerprint=encoder["model_fingerprint"],
        licence="Apache-2.0." if named == EMBEDDED else "Its licence is its publisher's.",
        versions=markdown_list(f"{name} {value}" for name, value in record["versions"].items()),
    )


def _short(value: Any) -> Any:
    """The number of a list of people, which is in the checkpoint, will do."""
    return f"{len(value)} of them" if isinstance(value, list) and len(value) > _SHOWN else value


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = (
        [label, *(f"{row[name]:.4g}" if name in row else "" for name in names)]
        for label, row in rows.items()
    )
    return markdown_table(["", *names], cells)
