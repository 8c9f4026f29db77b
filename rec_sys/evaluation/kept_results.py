"""Runs all jobs and keeps each result, so that nothing is ever computed twice."""

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from rec_sys.evaluation.audit import require_clean
from rec_sys.evaluation.jobs import Circumstances, Job, key_of
from rec_sys.evaluation.measured import load_measured, save_measured
from rec_sys.evaluation.results import Record, Results
from rec_sys.evaluation.stage import Stage


def run_all(
    jobs: Sequence[tuple[Stage, Sequence[Job]]], around: Circumstances, cache: Path
) -> Results:
    """Every job on its stage; one whose result is kept is not run.

    Args:
        jobs: Stages with the models to fit on each.
        around: What all jobs share.
        cache: Folder of the kept results. A result belongs to the data, the settings, the stage
            and the source code that made it; where two seeds have the same stage, models without a
            seed of their own are run for one of them.

    Raises:
        LeakageError: The audit failed for a model. Its result is not kept.
    """
    records = []
    todo = [(stage, job) for stage, of_stage in jobs for job in of_stage if job.can_run(stage)]
    with tqdm(todo, unit="model", disable=None) as bar:
        for stage, job in bar:
            bar.set_description(f"{stage.split.name}, seed {stage.seed}, {job.label}")
            key = key_of(job, stage, around)
            path = cache / f"{key}.npz"
            if path.exists():
                measured = load_measured(path)
            else:
                measured = job.run(stage, around)
                require_clean([f.about(f"seed {stage.seed}") for f in measured.findings])
                save_measured(path, measured)
            records.append(Record(stage, job, measured, key))
    return Results(records)
