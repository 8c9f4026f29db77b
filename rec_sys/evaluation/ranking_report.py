"""Tables of how well models rank, and against whom."""

from collections.abc import Mapping, Sequence

import numpy as np

from rec_sys.evaluation.beyond_accuracy import beyond_accuracy
from rec_sys.evaluation.mean_intervals import mean_intervals
from rec_sys.evaluation.measure import Measuring
from rec_sys.evaluation.our_model import OUR_NAME
from rec_sys.evaluation.result_tables import (
    Cell,
    Column,
    Interval,
    Row,
    Table,
    against_baseline,
)
from rec_sys.evaluation.results import Bootstrap, Runs, per_user

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
    baselines = [name for name in models if name != OUR_NAME]
    if OUR_NAME not in models or not baselines:
        return None
    values = {name: per_user(models[name], metric)[1] for name in models}
    if len(values[OUR_NAME]) < 2:
        return None
    best = best_baseline(models, metric)
    rivals = list(dict.fromkeys([best, *(name for name in (PLAIN_EASE,) if name in models)]))
    rows = []
    for name in rivals:
        found = bootstrap.compare(values[OUR_NAME], values[name])
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
    means = {n: per_user(runs, metric)[1].mean() for n, runs in models.items() if n != OUR_NAME}
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
    return [Row(name, cells, is_ours=name == OUR_NAME) for name, cells in rows.items()]


def _heading(metric: str) -> str:
    kind, _, k = metric.partition("@")
    kind = kind if kind == "recall" else kind.upper()
    return f"{kind}@{k}" if k else kind


def _span(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low}" if low == high else f"{low} to {high}"
