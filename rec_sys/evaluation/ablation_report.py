"""What each part of the model is worth."""

from collections.abc import Mapping, Sequence

import numpy as np

from rec_sys.evaluation.measure import Measuring
from rec_sys.evaluation.our_model import OUR_NAME
from rec_sys.evaluation.ranking_report import ranking_title
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.evaluation.result_tables import Column, Row, Table, against_baseline
from rec_sys.evaluation.results import Bootstrap, Runs, per_user


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
    whole = per_user(models[OUR_NAME], metric)[1]
    rows = []
    for name, runs in models.items():
        values = per_user(runs, metric)[1]
        cells = {metric: float(values.mean())}
        if name in rating:
            cells["mse"] = float(np.mean([scores.metrics["mse"] for scores in rating[name]]))
        if name != OUR_NAME and len(values) > 1:
            cells |= against_baseline(bootstrap.compare(values, whole))
        rows.append(Row(name, cells, is_ours=name == OUR_NAME))
    columns = [
        Column(metric, f"NDCG@{how.k}"),
        Column("difference", "against the whole model", None),
        Column("ratio", "ratio", None, 3),
        *([Column("mse", "MSE of the stars", "lower")] if rating else []),
    ]
    note = "Below 0: what was taken away was of use. Paired bootstrap over people."
    return Table(f"{ranking_title(title, masked)}: ablations", columns, rows, note)
