"""Runs the benchmarks and writes one table of their figures, with the machine they come from.

    uv run python benchmarks/table.py [--quick] [--to cache/benchmarks/table.md] [names ...]

Without names all of `BENCHMARKS`. Each runs in a process of its own; one that fails is shown as
failed, and the others still run. ``--quick`` shows that everything works: its figures are of sizes
at which nothing can be said.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, read_figures
from machine import description

from rec_sys.foundation.console import note
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import replacing

TABLE = Path("cache") / "benchmarks" / "table.md"
_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Benchmark:
    """A script of this folder that takes ``--json PATH``.

    Attributes:
        script: Its name.
        quick: Arguments with which it is done soon.
    """

    script: str
    quick: tuple[str, ...] = ()


BENCHMARKS = {
    "encoder": Benchmark("encoder.py", ("48",)),
    "data_path": Benchmark("data_path.py", ("--share", "0.02", "--rounds", "1")),
    "training": Benchmark("training.py", ("--share", "0.05", "--steps", "5")),
    "bulk": Benchmark("bulk.py", ("--share", "0.02", "--one-by-one", "50")),
    "growth": Benchmark(
        "growth.py", ("--sizes", "0.02", "0.04", "--encoded-shares", "0.001", "0.002")
    ),
    "index": Benchmark("index.py", ("+sizes=[20000]",)),
    "full_run": Benchmark("full_run.py", ("--share", "0.005", "debug=quick")),
}


@dataclass(frozen=True)
class Outcome:
    """What became of a benchmark.

    Attributes:
        name: Its name in `BENCHMARKS`.
        seconds: How long it ran.
        figures: What it found; None if it failed.
    """

    name: str
    seconds: float
    figures: list[Figure] | None


def run(name: str, quick: bool) -> Outcome:
    """Runs a benchmark; what it prints goes to the terminal."""
    benchmark, started = BENCHMARKS[name], time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [sys.executable, str(_FOLDER / benchmark.script)]
        command += [*(benchmark.quick if quick else ()), "--json", str(path)]
        failed = subprocess.run(command).returncode != 0
        seconds = time.perf_counter() - started
        if failed or not path.is_file():
            return Outcome(name, seconds, None)
        return Outcome(name, seconds, read_figures(path))


def table(outcomes: Sequence[Outcome], machine: Mapping[str, str], quick: bool) -> str:
    """The table in Markdown."""
    lines = ["# Benchmarks", ""]
    if quick:
        lines += ["A quick run: it shows that everything works, its figures say nothing.", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    lines += [
        "",
        "| benchmark | figure | measured | target | reached | compared with |",
        "| --- | --- | ---: | --- | --- | --- |",
    ]
    for outcome in outcomes:
        if outcome.figures is None:
            lines.append(_row(outcome.name, "failed, see what it printed", "–", "", "no", ""))
            continue
        for each in outcome.figures:
            reached = {True: "yes", False: "no", None: ""}[each.is_reached]
            measured = f"{_in_short(each.value)} {each.unit}".strip()
            found = (each.name, measured, each.target, reached, each.compared_with)
            lines.append(_row(outcome.name, *found))
    times = ", ".join(f"{each.name} {each.seconds:.0f} s" for each in outcomes)
    return "\n".join([*lines, "", f"The benchmarks ran for: {times}.", ""])


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _in_short(value: float) -> str:
    # Cosines need their digits, rates do not.
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.5g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--to", type=Path, default=TABLE)
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        raise InputError(f"no benchmark {unknown[0]!r}; choose from {', '.join(BENCHMARKS)}")
    machine = description()  # the load before our own
    outcomes = []
    for name in given.names or BENCHMARKS:
        note(f"benchmark {name}")
        outcomes.append(run(name, given.quick))
        # After each, so that an interruption leaves the table of what was measured.
        text = table(outcomes, machine, given.quick)
        with replacing(given.to) as draft:
            draft.write_text(text, encoding="utf-8")
    note(text)
    note(f"written: {given.to}")
    if any(outcome.figures is None for outcome in outcomes):
        sys.exit(1)


if __name__ == "__main__":
    from rec_sys.foundation.cli import graceful_exit

    graceful_exit(main)()
