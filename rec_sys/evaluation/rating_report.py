"""Tables of how well models foresee stars, and how well they read them."""

from collections.abc import Mapping, Sequence

import numpy as np

from rec_sys.evaluation.our_model import OUR_NAME
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_scores import RatingScores
from rec_sys.evaluation.result_tables import Column, Row, Table, against_baseline
from rec_sys.evaluation.results import Bootstrap

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
        rows.append(Row(name, cells, is_ours=name == OUR_NAME))
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
