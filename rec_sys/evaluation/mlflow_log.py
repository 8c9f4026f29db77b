"""An evaluation in MLflow, beside the trainings."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from rec_sys.evaluation.result_tables import Interval, Leaderboard
from rec_sys.train.tracking import Tracking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# As many as MLflow takes in one request; one request each would take minutes.
_METRICS_AT_ONCE = 1_000


def log_evaluation(
    config: DictConfig,
    board: Leaderboard,
    files: Sequence[Path],
    pictures: Mapping[str, "Figure"],
    run_name: str | None = None,
) -> str:
    """Logs an evaluation as a run of its own.

    Args:
        config: ``config/logger``, as of training: where and under which experiment.
        board: What was found. Its config becomes parameters, its numbers metrics.
        files: The Markdown and the JSON file.
        pictures: File name, such as ``recall.png``, and figure.
        run_name: Name of the run, or None for data set and time.

    Returns:
        MLflow's id of the run.

    Raises:
        InputError: The tracking server does not answer, or the name is no file name.
    """
    tracking = Tracking.start(config, board.facts.data_name, run_name, None)
    client, run_id = tracking.logger.experiment, tracking.run_id
    with tracking.told_of_failure():
        tracking.logger.log_hyperparams(_facts(board))
        metrics = list(metrics_of(board).items())
        for start in range(0, len(metrics), _METRICS_AT_ONCE):
            tracking.logger.log_metrics(dict(metrics[start : start + _METRICS_AT_ONCE]), step=0)
        client.set_tag(run_id, "kind", "evaluation")
        for path in files:
            client.log_artifact(run_id, str(path))
        for name, figure in pictures.items():
            client.log_figure(run_id, figure, name)
        client.set_terminated(run_id)
    return run_id


def metrics_of(board: Leaderboard) -> dict[str, float]:
    """All numbers of all tables as ``table/model/metric``, ends of intervals with a suffix."""
    metrics = {f"seconds/{metric_name(step)}": s for step, s in board.facts.durations.items()}
    for table in board.tables:
        for row in table.rows:
            for key, cell in row.metrics.items():
                name = "/".join(map(metric_name, (table.title, row.model, key)))
                if isinstance(cell, Interval):
                    ends = {"": cell.value, "_low": cell.low, "_high": cell.high}
                    metrics |= {f"{name}{suffix}": float(end) for suffix, end in ends.items()}
                elif cell is not None and not isinstance(cell, str):
                    metrics[name] = float(cell)
    return {name: value for name, value in metrics.items() if value == value}


def metric_name(text: str) -> str:
    """A part of a name that MLflow takes: letters, digits, dots, - and _ ("recall@10" too)."""
    plain = re.sub(r"[^\w.-]+", "_", text.replace("@", "_at_"), flags=re.ASCII)
    return re.sub("_+", "_", plain).strip("_") or "_"


def _facts(board: Leaderboard) -> dict[str, Any]:
    facts = board.facts
    return {
        "config": facts.config,
        "data": {"name": facts.data_name, "checksum": facts.data_checksum},
        "seeds": list(facts.seeds),
        "versions": facts.versions,
        "machine": facts.machine,
        "cpu_count": facts.cpu_count,
    }
