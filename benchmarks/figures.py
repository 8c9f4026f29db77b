"""What a benchmark measured, in the form in which the table takes it."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rec_sys.foundation.files import read_json, write_json

_OPTION = "--json"


@dataclass(frozen=True)
class Figure:
    """One measured number.

    Attributes:
        name: What was measured.
        value: The number.
        unit: Of the number; empty for a pure number.
        compared_with: What it is a ratio to, or under which conditions it was measured.
        at_least: The target, if more is better.
        at_most: The target, if less is better.
    """

    name: str
    value: float
    unit: str = ""
    compared_with: str = ""
    at_least: float | None = None
    at_most: float | None = None

    @property
    def is_reached(self) -> bool | None:
        """Whether the value is where it should be; None without a target."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def target(self) -> str:
        """The target in words; empty if there is none."""
        parts = [f"≥ {self.at_least:g}"] if self.at_least is not None else []
        parts += [f"≤ {self.at_most:g}"] if self.at_most is not None else []
        return ", ".join(parts)


def json_path() -> Path | None:
    """Takes ``--json PATH`` out of the command line, so that nobody else stumbles over it."""
    if _OPTION not in sys.argv[:-1]:
        return None
    at = sys.argv.index(_OPTION)
    path = Path(sys.argv[at + 1]).resolve()
    del sys.argv[at : at + 2]
    return path


def write_figures(path: Path | None, figures: Sequence[Figure]) -> None:
    """Writes figures for `read_figures`; nowhere without a path."""
    if path is not None:
        write_json(path, [asdict(figure) for figure in figures])


def read_figures(path: Path) -> list[Figure]:
    """Reads what a benchmark wrote.

    Raises:
        InputError: It wrote nothing.
    """
    return [Figure(**figure) for figure in read_json(path)]
