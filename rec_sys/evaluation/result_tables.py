"""What a leaderboard is made of, whatever it is written to."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rec_sys.evaluation.finding import Finding
from rec_sys.evaluation.run_facts import RunFacts

if TYPE_CHECKING:
    from rec_sys.evaluation.bootstrap import Comparison


@dataclass(frozen=True)
class Interval:
    """A value and where it may well be.

    Attributes:
        value: What was measured.
        low: Lower end of the 95 % interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float


#: What a row may hold; None and NaN are not defined.
Cell: TypeAlias = Interval | float | int | str | None


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        key: The metric.
        heading: What stands above it.
        better: Which values are better; None if none is, as of counts and of differences.
        decimals: Digits after the point.
    """

    key: str
    heading: str
    better: Literal["higher", "lower"] | None = "higher"
    decimals: int = 4

    def text_of(self, cell: Cell) -> str:
        """The cell as it is shown."""
        if isinstance(cell, Interval):
            value, low, high = (self.text_of(x) for x in (cell.value, cell.low, cell.high))
            return value if value == "–" else f"{value} [{low}, {high}]"
        if cell is None or cell != cell:
            return "–"
        # By kind: a float32 of NumPy is no Python float.
        is_whole = isinstance(cell, str | Integral)
        return str(cell) if is_whole else f"{cell:.{self.decimals}f}"


@dataclass(frozen=True)
class Row:
    """A model.

    Attributes:
        model: Its name.
        metrics: By the key of the column; one that is missing is not defined.
        is_ours: Whether it is what this project is about, not a baseline.
    """

    model: str
    metrics: Mapping[str, Cell]
    is_ours: bool = False


@dataclass(frozen=True)
class Table:
    """One question, answered by several models.

    Attributes:
        title: The question, the split included.
        columns: In the order of reading.
        rows: In the order of reading.
        note: What a reader must know: how many targets, what the best baseline is, what the
            table must not be compared with.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    note: str = ""

    def best_rows(self, column: Column) -> set[int]:
        """Numbers of the rows with the best value, all those that look equal to it as shown."""
        if column.better is None:
            return set()
        values = {}
        for number, row in enumerate(self.rows):
            value = _value(row.metrics.get(column.key))
            if value is not None:
                values[number] = round(value, column.decimals)
        if not values:
            return set()
        best = max(values.values()) if column.better == "higher" else min(values.values())
        return {number for number, value in values.items() if value == best}


@dataclass(frozen=True)
class Leaderboard:
    """Everything that an evaluation found.

    Attributes:
        facts: Where the numbers come from.
        tables: Ranking, rating, slices, ablations, in the order of reading.
        findings: Of the leakage audit.
        not_measured: What could not be measured and why, a sentence each.
    """

    facts: RunFacts
    tables: Sequence[Table]
    findings: Sequence[Finding] = ()
    not_measured: Sequence[str] = field(default_factory=list)


def against_baseline(comparison: "Comparison") -> dict[str, Cell]:
    """The cells ``difference`` and ``ratio`` of a model beside the best baseline."""
    return {
        "difference": Interval(comparison.difference, *comparison.difference_interval),
        "ratio": Interval(comparison.ratio, *comparison.ratio_interval),
    }


def _value(cell: Cell) -> float | None:
    """The number to compare; None if there is none."""
    value: Any = cell.value if isinstance(cell, Interval) else cell
    if value is None or isinstance(value, str) or math.isnan(value):
        return None
    return float(value)
