"""For whom, and for which products, models rank well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.evaluation.bootstrap import average_over_seeds
from rec_sys.evaluation.interface import Reviews
from rec_sys.evaluation.measure import Measuring
from rec_sys.evaluation.our_model import OUR_NAME
from rec_sys.evaluation.ranking_report import ranking_title
from rec_sys.evaluation.result_tables import Column, Row, Table
from rec_sys.evaluation.results import Runs
from rec_sys.evaluation.slices import by_history_length, head_products
from rec_sys.evaluation.stage import Questions, Stage
from rec_sys.evaluation.twins import twins_in_history


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
        asked = Questions.of(stage.graph, stage.tests[title])
        return by_history_length(asked.histories, self.history_starts)

    def targets(self, stage: Stage, title: str) -> dict[str, np.ndarray]:
        """Groups of the targets of a test, bool [T] each."""
        asked = Questions.of(stage.graph, stage.tests[title])
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
        asked = Questions.of(graph, stage.tests[title])
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
        Row(name, dict(zip(sizes, of_groups, strict=True)), is_ours=name == OUR_NAME)
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
        rows.append(Row(name, cells, is_ours=name == OUR_NAME))
    columns = [Column(group, f"{group} (n = {size})") for group, size in sizes.items()]
    note = (
        f"Of single targets, those of all seeds together. Head: the products with"
        f" {slicing.head_share:.0%} of the training reviews. Twins: products with nearly the same"
        f" reviewers (Jaccard {slicing.twin_jaccard:g} or more), told from all reviews."
    )
    return Table(
        f"{ranking_title(title, masked)}: NDCG@{how.k} by kind of target", columns, rows, note
    )
