"""What a person sees in the terminal: short tables and one-line notes."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rec_sys.foundation.processes import is_main_process

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
