"""What a person sees: tables, also in Markdown, one-line notes, progress, time and memory."""

import logging
import math
import os
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column, Table
from rich.text import Text

from rec_sys.foundation.distributed import is_main_process

# Of tables in a log file; lines of text, and with them paths, are not folded.
_WIDTH_WITHOUT_TERMINAL = 100
# There, a line on progress is due every tenth of the work, but not more often than this.
_SECONDS_BETWEEN_LINES = 5.0
_SECONDS_BETWEEN_LINES_OF_UNKNOWN_WORK = 60.0
_STATUS = Path("/proc/self/status")  # Linux only
_KIB, _GIB = 2**10, 2**30


def console() -> Console:
    """A console on standard output, wide enough for paths when output goes to a file."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=_WIDTH_WITHOUT_TERMINAL)


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table. Numbers are right-aligned, floats get four decimals, None is a dash."""
    if not is_main_process():
        return
    table = Table(title=title, title_justify="left", title_style="bold")
    rows = list(rows)
    for position, name in enumerate(columns):
        is_number = all(isinstance(row[position], int | float | None) for row in rows)
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        told = ("–" if value is None else value for value in row)
        told = (f"{value:.4f}" if isinstance(value, float) else str(value) for value in told)
        # As `Text`: square brackets in a product's name are not rich's markup.
        table.add_row(*(Text(printable(value)) for value in told))
    console().print(table)


def markdown_list(lines: Iterable[str]) -> str:
    """Lines with a dash each."""
    return "\n".join(f"- {line}" for line in lines)


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A table whose last columns, so many, are of `numbers`."""
    rule = ["---"] * (len(headings) - numbers) + ["---:"] * numbers
    # A line break or a bar in a name would end the cell.
    cells = ([" ".join(c.split()).replace("|", "\\|") for c in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in (headings, rule, *cells))


#: Commands as messages tell them, and as they are typed where that differs; `rec-sys` fills it.
TYPED: dict[str, str] = {}
# Would command a terminal, or cannot be printed: all of it can stand in the names of a file.
_UNPRINTABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(message: str) -> str:
    """A message with the commands that it names as this person types them, and safe to print."""
    for told, typed in TYPED.items():
        message = message.replace(told, typed)
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", message)


def quiet_mlflow() -> None:
    """Leaves to MLflow to raise what fails, within seconds where no server answers, not minutes."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    import mlflow  # noqa: F401 (it sets the levels of these)

    for chatty in ("alembic", "mlflow", "pytorch_lightning.loggers.mlflow"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # It logs with a traceback what it raises.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def note(message: str, fold: bool = False) -> None:
    """Prints a line, markup as it is; `fold`: as many as it needs, the later ones indented."""
    if is_main_process():
        if fold:
            how = {"break_long_words": False, "break_on_hyphens": False}
            message = textwrap.fill(message, console().width, subsequent_indent=" " * 12, **how)
        console().print(printable(message), markup=False, highlight=False, soft_wrap=True)


class ProgressBar:
    """Work that is counted while it is done; made by `progress`."""

    def __init__(self, total: int | None, description: str, unit: str, initial: int) -> None:
        self.total, self.description, self._unit = total, description, unit
        self._initial = self.done = initial
        self._start = self._line_at = time.perf_counter()
        self._tenth = 0
        self._show: Callable[[], None] = lambda: None

    def advance(self, number: int = 1) -> None:
        self.done += number
        self._show()

    def describe(self, description: str) -> None:
        self.description = description
        self._show()

    def __str__(self) -> str:
        """How much is done, how fast (on average, since work is uneven) and the time left."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        rate = (self.done - self._initial) / seconds
        counts = [self.done] if self.total is None else [self.done, self.total]
        if self._unit == "B":
            parts = ["/".join(map(decimal, counts)), f"{decimal(int(rate))}/s"]
        else:
            parts = ["/".join(f"{count:,}" for count in counts) + f" {self._unit}"]
            if rate:
                slow = f"{1 / rate:.1f} s/{self._unit}"
                parts.append(slow if rate < 1 else f"{rate:,.0f} {self._unit}/s")
        is_under_way = self.total is not None and self.done < self.total and rate
        left = f"{_clock((self.total - self.done) / rate)} left" if is_under_way else None
        return ", ".join([*parts, left or _clock(seconds)])

    def _print_line_if_due(self) -> None:
        since = time.perf_counter() - self._line_at
        tenth = 10 * self.done // self.total if self.total else 0
        is_due = since >= _SECONDS_BETWEEN_LINES and self._tenth < tenth < 10
        if not self.total:
            is_due = since >= _SECONDS_BETWEEN_LINES_OF_UNKNOWN_WORK
        if is_due:
            self._line_at, self._tenth = time.perf_counter(), tenth
            self._print_line()

    def _print_line(self) -> None:
        print(f"{self.description}: {self}", file=sys.stderr, flush=True)


@contextmanager
def progress(
    total: int | None, description: str, unit: str, show: bool = True, initial: int = 0
) -> Iterator[ProgressBar]:
    """Shows on standard error how far some work is, in the main process only. A terminal gets a
    bar; a log file gets a line about every tenth of the work and one at the end. `total` is None if
    nobody knows, `unit` is singular ("B" is shown as kB, MB ...); `initial` were done before."""
    bar = ProgressBar(total, description, unit, initial)
    if not (show and is_main_process()):
        yield bar
    elif Console(stderr=True).is_terminal:
        with _display() as display:
            row = display.add_task(description, total=total, completed=initial, bar=bar)
            bar._show = lambda: display.update(row, completed=bar.done, description=bar.description)
            try:
                yield bar
            finally:
                if len(display.tasks) > 1:  # one within another leaves nothing behind
                    display.remove_task(row)
    else:
        bar._show = bar._print_line_if_due
        yield bar
        bar._print_line()


_displays: list[Progress] = []


@contextmanager
def _display() -> Iterator[Progress]:
    """The display of all bars: one within another becomes its second row."""
    if _displays:
        yield _displays[0]
        return
    state = TextColumn("{task.fields[bar]}", markup=False, table_column=Column())
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), state)
    # Redirected: what is printed meanwhile stands above the bar. A file's lines stay its own.
    where = {"console": Console(stderr=True), "redirect_stdout": sys.stdout.isatty()}
    with Progress(*columns, **where) as display:
        _displays.append(display)
        try:
            yield display
        finally:
            _displays.clear()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Stages:
    """A clock that is told which stage begins: `seconds` is the wall time of each finished one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._start = time.perf_counter()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def show(self) -> None:
        rest = time.perf_counter() - self._start - sum(self.seconds.values())
        stages = self.seconds | {"imports and the rest": rest}
        parts = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items())
        note(f"time:       {parts}; {peak_memory():.1f} GiB of memory at most", fold=True)


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
