"""From everything that was measured to one leaderboard and its pictures."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rec_sys.evaluation.graph_model_job import GRAPH_MODEL_NAME
from rec_sys.evaluation.leaderboard import Column, Row, Table
from rec_sys.evaluation.measured import Measuring
from rec_sys.evaluation.pictures import Line, draw_metric, draw_over_groups, draw_over_k
from rec_sys.evaluation.report_tables import (
    Slicing,
    ablation_table,
    comparison_table,
    history_groups,
    history_table,
    known_table,
    lengths_table,
    ranking_table,
    ranking_title,
    target_table,
    unseen_table,
)
from rec_sys.evaluation.results import Bootstrap, Results, per_user

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def main_tables(results: Results, how: Measuring, bootstrap: Bootstrap, remark: str) -> list[Table]:
    """What one wants to see first, and all that the console shows.

    Args:
        results: Everything.
        how: What was measured.
        bootstrap: For the intervals.
        remark: Stands below each table of rankings.
    """
    return list(_main(results, how, bootstrap, remark))


def more_tables(
    results: Results, how: Measuring, bootstrap: Bootstrap, slicing: Slicing
) -> list[Table]:
    """All list lengths, slices, and the settings that the validation chose."""
    tables = []
    for title, masked in _tests(results):
        models = results.ranking(title, masked)
        if models:
            tables.append(lengths_table(title, models, how, masked, bootstrap))
            tables.append(history_table(title, models, how, masked, slicing))
            tables.append(target_table(title, models, how, masked, slicing))
    return [*tables, _settings_table(results)]


def pictures(results: Results, how: Measuring, slicing: Slicing, main: list[Table]) -> dict:
    """File name to figure: the metric, recall over k, quality over the length of the history."""
    found: dict[str, Figure] = {}
    metric = f"ndcg@{how.k}"
    by_title = {table.title: table for table in main}
    for title, masked in _tests(results):
        models = results.ranking(title, masked)
        if not models:
            continue
        heading = ranking_title(title, masked)
        name = heading.lower().replace(",", "").replace(" ", "_")
        found[f"{name}_ndcg.png"] = draw_metric(by_title[heading], Column(metric, f"NDCG@{how.k}"))
        lines = [
            Line(
                n, [per_user(runs, f"recall@{k}")[1].mean() for k in how.ks], n == GRAPH_MODEL_NAME
            )
            for n, runs in models.items()
        ]
        found[f"{name}_recall_over_k.png"] = draw_over_k(heading, "recall@k", how.ks, lines)
        sizes, values = history_groups(title, models, metric, slicing)
        lines = [Line(n, of_groups, n == GRAPH_MODEL_NAME) for n, of_groups in values.items()]
        found[f"{name}_history.png"] = draw_over_groups(
            heading, f"NDCG@{how.k}", sizes, "reviews in the history", lines
        )
    return found


def _tests(results: Results) -> Iterator[tuple[str, bool]]:
    for title in results.titles:
        for masked in results.masks(title):
            yield title, masked


def _main(results: Results, how: Measuring, bootstrap: Bootstrap, remark: str) -> Iterator[Table]:
    for title, masked in _tests(results):
        models = results.ranking(title, masked)
        if models:
            table = ranking_table(title, models, how, masked, bootstrap)
            yield replace(table, note=f"{table.note} {remark}")
            comparison = comparison_table(title, models, how, masked, bootstrap)
            if comparison:
                yield comparison
        ablated = results.ablated(title, masked)
        if len(ablated) > 1:
            rating = results.ablated_rating(title)
            yield ablation_table(title, ablated, rating, how, masked, bootstrap)
    for title in results.titles:
        unseen = results.rating(title)
        if unseen:
            yield unseen_table(title, unseen, bootstrap)
        known = results.rating(title, reads_the_review=True)
        if known:
            yield known_table(title, known)


def _settings_table(results: Results) -> Table:
    chosen: dict[tuple[str, str], list[str]] = {}
    for split, model, seed, settings in results.settings():
        text = ", ".join(f"{name}={value}" for name, value in settings.items())
        chosen.setdefault((split, model), []).append(f"{seed}: {text}")
    rows = [
        Row(f"{model}, {split}", {"settings": "; ".join(dict.fromkeys(texts))})
        for (split, model), texts in chosen.items()
    ]
    return Table(
        "Settings that the validation chose", [Column("settings", "seed: settings", None)], rows
    )
