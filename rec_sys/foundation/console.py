"""What a person sees in the terminal: short tables, one-line notes, time and memory."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rec_sys.foundation.distributed import is_main_process

# Without a terminal (a log file, CI) rich would fold at 80 columns and break paths in two.
_WIDTH_WITHOUT_TERMINAL = 160


def console() -> Console:
    """A console on standard output, wide enough for paths when output goes to a file."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table. Columns of numbers are right-aligned, floats get four decimals.

    Args:
        title: Printed above the table.
        columns: Column headings.
        rows: One sequence per row, as long as `columns`; ``None`` is shown as a dash.
    """
    if not is_main_process():
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    rows = list(rows)
    for position, name in enumerate(columns):
        is_number = all(isinstance(row[position], int | float | None) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        # As `Text`: square brackets in a product's name are not rich's markup.
        table.add_row(*(Text(_as_text(value)) for value in row))
    console().print(table)


def note(message: str) -> None:
    """Prints one line of information, without interpreting markup in it."""
    if is_main_process():
        console().print(message, markup=False, highlight=False, soft_wrap=True)


def _as_text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)


_STATUS = Path("/proc/self/status")  # Linux only
_KIB, _GIB = 2**10, 2**30


class Stages:
    """A clock that is told which stage begins.

    Attributes:
        seconds: Wall time of each finished stage, in the order of their first beginning.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def show(self) -> None:
        """Prints one line: the stages and the memory."""
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
        note(f"time:       {parts}; {peak_memory():.1f} GiB of memory at most")


def peak_memory() -> float:
    """The most memory that this process has held so far, in GiB; NaN on Windows."""
    if _STATUS.is_file():
        # Not ru_maxrss, which Linux keeps across exec: no child would be smaller than its parent.
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * _KIB / _GIB
    if sys.platform == "win32":
        return math.nan
    import resource  # which Windows does not have

    # macOS counts in bytes, others in KiB.
    unit = 1 if sys.platform == "darwin" else _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _GIB
