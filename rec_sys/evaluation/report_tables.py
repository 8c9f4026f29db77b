"""The tables of an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.graph_model_job import GRAPH_MODEL_NAME
from rec_sys.evaluation.leaderboard import Cell, Column, Interval, Row, Table, against_baseline
from rec_sys.evaluation.measured import Measuring
from rec_sys.evaluation.protocol import Queries, Reviews, Stage
from rec_sys.evaluation.ranking import (
    beyond_accuracy,
    by_history_length,
    head_products,
    twins_in_history,
)
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.evaluation.results import Bootstrap, Runs, per_user
from rec_sys.evaluation.statistics import average_over_seeds, mean_intervals

#: The baseline that every paper has.
PLAIN_EASE = "plain EASE"
_SPREAD = "sd_over_seeds"


def ranking_table(
    title: str, models: Mapping[str, Runs], how: Measuring, masked: bool, bootstrap: Bootstrap
) -> Table:
    """The table to read first: a list of one length, and how the lists spread over the shop.

    Args:
        title: Of the test.
        models: Model to its runs.
        how: What was measured.
        masked: Whether histories were masked.
        bootstrap: For the intervals.
    """
    k, main = how.k, f"ndcg@{how.k}"
    metrics = [main, f"recall@{k}", f"hr@{k}", "mrr"]
    rows = _rows(models, metrics, bootstrap)
    for name, runs in models.items():
        if len(runs) > 1:
            means = [result.per_user[main].mean() for _, result in runs]
            rows[name][_SPREAD] = float(np.std(means, ddof=1))
        shown = [beyond_accuracy(result.exposure[k], stage.popularity) for stage, result in runs]
        rows[name] |= {key: float(np.mean([each[key] for each in shown])) for key in shown[0]}
    columns = [
        *(Column(metric, _heading(metric)) for metric in metrics),
        Column(_SPREAD, f"{_heading(main)}, sd over seeds", None),
        Column("coverage", f"coverage@{k}"),
        Column("gini", "Gini", None, 3),
        Column("mean_popularity", "mean popularity", None, 1),
    ]
    stages = [stage for stage, _ in next(iter(models.values()))]
    seeds = ", ".join(str(stage.seed) for stage in stages)
    people = [len(result.users) for _, result in next(iter(models.values()))]
    note = (
        f"{_span(people)} people with a target, seeds {seeds}, all"
        f" {stages[0].graph.num_products} products ranked, equal scores counted by expectation."
        " Every model, ours included, learned from the training reviews alone (those of the"
        " validation are shown as history where the split says so) and had its settings chosen on"
        " the validation."
    )
    return Table(ranking_title(title, masked), columns, _as_rows(rows), note)


def lengths_table(
    title: str, models: Mapping[str, Runs], how: Measuring, masked: bool, bootstrap: Bootstrap
) -> Table:
    """All lengths of lists."""
    metrics = [f"{kind}@{k}" for kind in ("recall", "hr", "ndcg") for k in how.ks]
    columns = [Column(metric, _heading(metric)) for metric in metrics]
    rows = _as_rows(_rows(models, metrics, bootstrap))
    return Table(f"{ranking_title(title, masked)}: all list lengths", columns, rows)


def comparison_table(
    title: str, models: Mapping[str, Runs], how: Measuring, masked: bool, bootstrap: Bootstrap
) -> Table | None:
    """Ours against the best baseline and against plain EASE; None if one side is missing."""
    metric = f"ndcg@{how.k}"
    baselines = [name for name in models if name != GRAPH_MODEL_NAME]
    if GRAPH_MODEL_NAME not in models or not baselines:
        return None
    values = {name: per_user(models[name], metric)[1] for name in models}
    if len(values[GRAPH_MODEL_NAME]) < 2:
        return None
    best = best_baseline(models, metric)
    rivals = list(dict.fromkeys([best, *(name for name in (PLAIN_EASE,) if name in models)]))
    rows = []
    for name in rivals:
        found = bootstrap.compare(values[GRAPH_MODEL_NAME], values[name])
        label = f"ours against {name}" + (", the best baseline" if name == best else "")
        cells = {**against_baseline(found), "people": found.num_users}
        rows.append(Row(label, cells))
    columns = [
        Column("difference", f"{_heading(metric)}, difference", None),
        Column("ratio", "ratio", None, 3),
        Column("people", "people", None),
    ]
    note = (
        "Paired bootstrap over people, each the mean of its seeds. The best baseline is chosen by"
        " the test itself, which favours it."
    )
    return Table(f"{ranking_title(title, masked)}: is it better?", columns, rows, note)


def best_baseline(models: Mapping[str, Runs], metric: str) -> str:
    """The baseline with the highest mean on the test."""
    means = {
        n: per_user(runs, metric)[1].mean() for n, runs in models.items() if n != GRAPH_MODEL_NAME
    }
    return max(means, key=means.__getitem__)


def ranking_title(title: str, masked: bool) -> str:
    """Heading of a table."""
    return f"Ranking, {title}" + ("" if masked else ", history not masked")


def _rows(
    models: Mapping[str, Runs], metrics: Sequence[str], bootstrap: Bootstrap
) -> dict[str, dict[str, Cell]]:
    pairs = [(name, metric) for name in models for metric in metrics]
    # Every model was asked about the same people.
    values = np.stack([per_user(models[name], metric)[1] for name, metric in pairs], axis=1)
    low, high = mean_intervals(values, bootstrap.resamples, bootstrap.confidence, bootstrap.seed)
    rows: dict[str, dict[str, Cell]] = {name: {} for name in models}
    for (name, metric), mean, start, end in zip(pairs, values.mean(axis=0), low, high, strict=True):
        rows[name][metric] = Interval(float(mean), float(start), float(end))
    return rows


def _as_rows(rows: Mapping[str, Mapping[str, Cell]]) -> list[Row]:
    return [Row(name, cells, is_ours=name == GRAPH_MODEL_NAME) for name, cells in rows.items()]


def _heading(metric: str) -> str:
    kind, _, k = metric.partition("@")
    kind = kind if kind == "recall" else kind.upper()
    return f"{kind}@{k}" if k else kind


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"


_COLUMNS = (
    Column("mse", "MSE", "lower"),
    Column("mae", "MAE", "lower"),
    Column("auc", "AUC"),
    Column("macro_f1_tuned", "macro-F1, threshold from validation"),
    Column("macro_f1", "macro-F1"),
    Column("f1", "F1"),
    Column("accuracy", "accuracy"),
)
_AGAINST = (
    Column("difference", f"MSE against {Bias.name}", None),
    Column("ratio", "ratio", None, 3),
)
#: Why our model has no row in the second table.
NOT_READING = (
    "rec_sys is not among them: it tells what a person will think of a product from everything but"
    " the review in question, and has no input for that review."
)

Models = Mapping[str, Sequence[RatingScores]]


def unseen_table(title: str, models: Models, bootstrap: Bootstrap) -> Table:
    """Stars foreseen: nobody has seen the review.

    Args:
        title: Of the test.
        models: Model to its scores of each seed.
        bootstrap: For the intervals.
    """
    rows = []
    for name, runs in models.items():
        cells = _means(runs)
        if Bias.name in models and name != Bias.name:
            pair = _paired(runs, models[Bias.name])
            if len(pair[0]) > 1:
                cells |= against_baseline(bootstrap.compare(*pair))
        rows.append(Row(name, cells, is_ours=name == GRAPH_MODEL_NAME))
    note = (
        "Means over the seeds. Differences and ratios of the MSE by paired bootstrap over people"
        f" (below 0 and below 1: better than {Bias.name})."
    )
    return Table(f"Rating, review unseen, {title}", [*_COLUMNS, *_AGAINST], rows, note)


def known_table(title: str, models: Models) -> Table:
    """Stars read from the review itself: an easier question."""
    rows = [Row(name, _means(runs)) for name, runs in models.items()]
    note = (
        "These models read the review whose stars they tell, so nothing here can be compared with"
        f" the table above. {NOT_READING}"
    )
    return Table(f"Rating, review known, {title}", list(_COLUMNS), rows, note)


def _means(runs: Sequence[RatingScores]) -> dict:
    keys = [column.key for column in _COLUMNS]
    return {key: float(np.mean([scores.metrics[key] for scores in runs])) for key in keys}


def _paired(
    model: Sequence[RatingScores], baseline: Sequence[RatingScores]
) -> tuple[np.ndarray, np.ndarray]:
    """Squared error of each person, summed and scaled so that the mean over people is the MSE.

    Sums weigh the targets of a seed alike, as its MSE does, and seeds weigh alike, as in the
    table; drawing people keeps the targets of one together.
    """
    _, person = np.unique(np.concatenate([s.user for s in model]), return_inverse=True)
    people, seeds = person.max(initial=-1) + 1, len(model)
    weight = np.concatenate([np.full(len(s.user), people / seeds / len(s.user)) for s in model])
    values = [
        np.bincount(person, weights=weight * np.concatenate([s.squared_error for s in runs]))
        for runs in (model, baseline)
    ]
    return values[0], values[1]


@dataclass(frozen=True)
class Slicing:
    """Where the borders are.

    Attributes:
        history_starts: See `by_history_length`.
        head_share: See `head_products`.
        twin_jaccard: See `twins_in_history`.
    """

    history_starts: Sequence[int]
    head_share: float
    twin_jaccard: float

    def people(self, stage: Stage, title: str) -> dict[str, np.ndarray]:
        """Groups of the people of a test, bool [U] each."""
        asked = Queries.of(stage.graph, stage.tests[title])
        return by_history_length(asked.histories, self.history_starts)

    def targets(self, stage: Stage, title: str) -> dict[str, np.ndarray]:
        """Groups of the targets of a test, bool [T] each."""
        asked = Queries.of(stage.graph, stage.tests[title])
        is_head = head_products(stage.popularity, self.head_share)[asked.targets.product]
        has_twin = self.twins(stage, title)
        return {
            "head": is_head,
            "tail": ~is_head,
            "twin in history": has_twin,
            "no twin in history": ~has_twin,
        }

    def twins(self, stage: Stage, title: str) -> np.ndarray:
        """Which targets have a twin in their history, told from all reviews; bool [T]."""
        graph = stage.graph
        everything = Reviews.of(graph, np.arange(graph.num_users), np.ones(graph.num_edges, bool))
        asked = Queries.of(graph, stage.tests[title])
        return twins_in_history(everything, asked.histories, asked.targets, self.twin_jaccard)


def history_groups(
    title: str, models: Mapping[str, Runs], metric: str, slicing: Slicing
) -> tuple[dict[str, int], dict[str, list[float]]]:
    """A metric by how much is known of a person.

    Returns:
        Group to the number of people, groups without people left out, and model to a value for
        each group.
    """
    stages = [stage for stage, _ in next(iter(models.values()))]
    groups = [slicing.people(stage, title) for stage in stages]
    sizes: dict[str, int] = {}
    values: dict[str, list[float]] = {name: [] for name in models}
    for group in groups[0]:
        for name, runs in models.items():
            chosen = [of[group] for of in groups]
            users, means = average_over_seeds(
                [result.users[c] for (_, result), c in zip(runs, chosen, strict=True)],
                [result.per_user[metric][c] for (_, result), c in zip(runs, chosen, strict=True)],
            )
            if len(users):
                sizes[group] = len(users)
                values[name].append(float(means.mean()))
    return sizes, values


def history_table(
    title: str, models: Mapping[str, Runs], how: Measuring, masked: bool, slicing: Slicing
) -> Table:
    """NDCG by how much is known of a person."""
    sizes, values = history_groups(title, models, f"ndcg@{how.k}", slicing)
    columns = [Column(name, f"{name} reviews (n = {size})") for name, size in sizes.items()]
    rows = [
        Row(name, dict(zip(sizes, of_groups, strict=True)), is_ours=name == GRAPH_MODEL_NAME)
        for name, of_groups in values.items()
    ]
    return Table(
        f"{ranking_title(title, masked)}: NDCG@{how.k} by length of history", columns, rows
    )


def target_table(
    title: str, models: Mapping[str, Runs], how: Measuring, masked: bool, slicing: Slicing
) -> Table:
    """NDCG by what kind of product the target is."""
    metric = f"ndcg@{how.k}"
    stages = [stage for stage, _ in next(iter(models.values()))]
    groups = [slicing.targets(stage, title) for stage in stages]
    sizes = {g: int(sum(of[g].sum() for of in groups)) for g in groups[0]}
    sizes = {group: size for group, size in sizes.items() if size}
    rows = []
    for name, runs in models.items():
        cells = {}
        for group in sizes:
            found = [
                r.per_target[metric][of[group]] for (_, r), of in zip(runs, groups, strict=True)
            ]
            cells[group] = float(np.concatenate(found).mean())
        rows.append(Row(name, cells, is_ours=name == GRAPH_MODEL_NAME))
    columns = [Column(group, f"{group} (n = {size})") for group, size in sizes.items()]
    note = (
        f"Of single targets, those of all seeds together. Head: the products with"
        f" {slicing.head_share:.0%} of the training reviews. Twins: products with nearly the same"
        f" reviewers (Jaccard {slicing.twin_jaccard:g} or more), told from all reviews."
    )
    return Table(
        f"{ranking_title(title, masked)}: NDCG@{how.k} by kind of target", columns, rows, note
    )


def ablation_table(
    title: str,
    models: Mapping[str, Runs],
    rating: Mapping[str, Sequence[RatingScores]],
    how: Measuring,
    masked: bool,
    bootstrap: Bootstrap,
) -> Table:
    """Each ablation beside the whole model, trained again with the same seeds.

    Args:
        title: Of the test.
        models: The whole model, then its ablations, to their runs.
        rating: Likewise, to the scores of their stars; empty without ratings.
        how: What was measured.
        masked: Whether histories were masked.
        bootstrap: For the intervals.
    """
    metric = f"ndcg@{how.k}"
    whole = per_user(models[GRAPH_MODEL_NAME], metric)[1]
    rows = []
    for name, runs in models.items():
        values = per_user(runs, metric)[1]
        cells = {metric: float(values.mean())}
        if name in rating:
            cells["mse"] = float(np.mean([scores.metrics["mse"] for scores in rating[name]]))
        if name != GRAPH_MODEL_NAME and len(values) > 1:
            cells |= against_baseline(bootstrap.compare(values, whole))
        rows.append(Row(name, cells, is_ours=name == GRAPH_MODEL_NAME))
    columns = [
        Column(metric, f"NDCG@{how.k}"),
        Column("difference", "against the whole model", None),
        Column("ratio", "ratio", None, 3),
        *([Column("mse", "MSE of the stars", "lower")] if rating else []),
    ]
    note = "Below 0: what was taken away was of use. Paired bootstrap over people."
    return Table(f"{ranking_title(title, masked)}: ablations", columns, rows, note)
