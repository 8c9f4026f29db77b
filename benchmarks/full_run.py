"""From the raw file to everybody's recommendations, with the commands that a person types.

    uv run python benchmarks/full_run.py [--share 1] [--json PATH] [overrides of train ...]

`train` (30 epochs, every text encoded by the real encoder), `create_vectorbase` and `infer` for all
people of the file, on the full-size set. Each command's time and highest memory, and the stages of
the training. What is stored of an interrupted run is not encoded again: its time is then that of
the rest. The folder is ``cache/full_size/run_…``; delete it to measure everything.
"""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, json_path, write_figures
from full_size_set import FOLDER, FullSizeSet, full_size_set

from rec_sys.foundation.console import note, show_table

#: GiB; the whole way has to stay below.
MOST_MEMORY = 4.0
_RUN_NAME = "full_run"
_REPOSITORY = Path(__file__).resolve().parents[1]
_KIB_PER_GIB = 1 << 20


@dataclass(frozen=True)
class Command:
    """A command that has ended.

    Attributes:
        name: Of its module.
        seconds: Wall time.
        cpu_seconds: Of all its threads.
        gib: Its highest resident memory.
    """

    name: str
    seconds: float
    cpu_seconds: float
    gib: float


def run(folder: Path, module: str, *overrides: str) -> Command:
    """Runs ``python -m rec_sys.<module>``; what it prints goes to the terminal.

    Raises:
        RuntimeError: It failed.
    """
    note(f"— {module}")
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", f"rec_sys.{module}", *overrides],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(_REPOSITORY)},
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}; see above")
    seconds = time.perf_counter() - started
    cpu = used.ru_utime + used.ru_stime
    return Command(module.split(".")[-1], seconds, cpu, used.ru_maxrss / _KIB_PER_GIB)


def training_stages(folder: Path) -> dict[str, float]:
    """Seconds of each stage, as training logged them."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.resolve() / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("rec_sys")
    newest, *_ = client.search_runs([experiment.experiment_id], max_results=1)
    return {
        name.removeprefix("wall_seconds/"): value
        for name, value in newest.data.metrics.items()
        if name.startswith("wall_seconds/")
    }


def measure(files: FullSizeSet, folder: Path, overrides: list[str]) -> list[Command]:
    """Runs the three commands."""
    folder.mkdir(parents=True, exist_ok=True)
    data = (
        "data=local",
        f"data.reviews_path={files.reviews.resolve()}",
        f"data.metadata_path={files.products.resolve()}",
    )
    return [
        run(folder, "train.train", *data, f"train.run_name={_RUN_NAME}", *overrides),
        run(folder, "vector_database.create_vectorbase"),
        run(folder, "inference.infer", f"infer.reviews={files.reviews.resolve()}"),
    ]


def main() -> None:
    path = json_path()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    given, overrides = parser.parse_known_args()
    files = full_size_set(given.share)
    folder = FOLDER / f"run_{files.folder.name}"
    commands = measure(files, folder, overrides)
    stages = training_stages(folder)
    numbers = files.numbers
    note(", ".join(f"{value:,} {name.replace('_', ' ')}" for name, value in numbers.items()))
    columns = ("command", "seconds", "CPU seconds", "GiB")
    show_table("commands", columns, [tuple(vars(each).values()) for each in commands])
    show_table("stages of the training", ("stage", "seconds"), list(stages.items()))
    what = f"{numbers['reviews']:,} reviews"
    write_figures(
        path,
        [
            Figure(
                "raw file to recommendations", sum(each.seconds for each in commands), "s", what
            ),
            *(Figure(f"{each.name}", each.seconds, "s", what) for each in commands),
            *(Figure(f"train: {name}", value, "s", what) for name, value in stages.items()),
            *(
                Figure(f"{each.name}, peak memory", each.gib, "GiB", what, at_most=MOST_MEMORY)
                for each in commands
            ),
        ],
    )


if __name__ == "__main__":
    main()
