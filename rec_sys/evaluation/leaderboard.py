"""A leaderboard, and how it is written: Markdown, JSON, MLflow, pictures."""

import math
import os
import platform
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import cycle
from numbers import Integral
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from omegaconf import OmegaConf
from pydantic_core import to_jsonable_python

from rec_sys.evaluation.audit import Finding
from rec_sys.evaluation.scores import Interval
from rec_sys.foundation.console import console, markdown_list, markdown_table, note, show_table
from rec_sys.foundation.files import replacing, versions_of, write_json
from rec_sys.train.tracking import Tracking

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The row of what this project is about.
GRAPH_MODEL_NAME = "rec_sys"
_PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torch-geometric", "torchmetrics")
# As many as MLflow takes in one request; one request each would take minutes.
_METRICS_AT_ONCE = 1_000
# On the console, characters of a model's name in one line, and of what frames a column.
_LONGEST_NAME = 30
_FRAME = 3


@dataclass(frozen=True)
class RunFacts:
    """What was evaluated, and where; `durations` are the seconds of each step."""

    data_name: str
    data_checksum: str
    seeds: Sequence[int]
    config: Mapping[str, Any]
    durations: Mapping[str, float]
    versions: Mapping[str, str] = field(default_factory=lambda: versions_of(_PACKAGES))
    machine: str = field(default_factory=lambda: f"{platform.system()} {platform.machine()}")
    cpu_count: int = field(default_factory=lambda: os.cpu_count() or 1)
    date: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


#: What a row may hold; None and NaN are not defined.
Cell: TypeAlias = Interval | float | int | str | None
#: Model to its metrics by the key of the column; one that is missing is not defined.
Rows: TypeAlias = Mapping[str, Mapping[str, Cell]]


@dataclass(frozen=True)
class Column:
    """A metric; `better` is None where no value is, as of counts and of differences."""

    key: str
    heading: str
    better: Literal["higher", "lower"] | None = "higher"
    decimals: int = 4

    def text_of(self, cell: Cell) -> str:
        if isinstance(cell, Interval):
            value, low, high = (self.text_of(x) for x in (cell.value, cell.low, cell.high))
            return value if value == "–" else f"{value} [{low}, {high}]"
        if cell is None or cell != cell:
            return "–"
        # By kind: a float32 of NumPy is no Python float.
        return str(cell) if isinstance(cell, str | Integral) else f"{cell:.{self.decimals}f}"


@dataclass(frozen=True)
class Table:
    """One question, answered by several models; the note tells what a reader must know."""

    title: str
    columns: Sequence[Column]
    rows: Rows
    note: str = ""

    def best_rows(self, column: Column) -> set[str]:
        """The rows with the best value, all those that look equal to it as shown."""
        found = {name: number_of(cells.get(column.key)) for name, cells in self.rows.items()}
        values = {n: round(x, column.decimals) for n, x in found.items() if x is not None}
        if column.better is None or not values:
            return set()
        best = max(values.values()) if column.better == "higher" else min(values.values())
        return {name for name, value in values.items() if value == best}

    def shown(self, best: str) -> list[list[str]]:
        """The rows as text, the name of the model first; `best` decorates the best value."""
        best_rows = [self.best_rows(column) for column in self.columns]
        rows = []
        for name, cells in self.rows.items():
            row = [f"{name} (ours)" if name == GRAPH_MODEL_NAME else name]
            for column, names in zip(self.columns, best_rows, strict=True):
                text = column.text_of(cells.get(column.key))
                row.append(best.format(text) if name in names else text)
            rows.append(row)
        return rows

    @property
    def headings(self) -> list[str]:
        return ["", *(column.heading for column in self.columns)]


@dataclass(frozen=True)
class Leaderboard:
    """Everything that an evaluation found; `not_measured` says what it did not, and why."""

    facts: RunFacts
    tables: Sequence[Table]
    confidence: float
    findings: Sequence[Finding] = ()
    not_measured: Sequence[str] = field(default_factory=list)


def number_of(cell: Cell) -> float | None:
    """The number in a cell, if there is one."""
    value: Any = cell.value if isinstance(cell, Interval) else cell
    return None if value is None or isinstance(value, str) or math.isnan(value) else float(value)


def write_leaderboard(board: Leaderboard, folder: str | Path) -> tuple[Path, Path]:
    """Writes ``leaderboard.md`` and ``leaderboard.json``, which it returns, into a folder."""
    markdown, json = (Path(folder) / f"leaderboard.{kind}" for kind in ("md", "json"))
    with replacing(markdown) as draft:
        draft.write_text(as_markdown(board), encoding="utf-8")
    write_json(json, as_plain(board))
    return markdown, json


def show_leaderboard(tables: Sequence[Table], not_measured: Sequence[str]) -> None:
    """Prints tables and what is missing; the best value of a column has a star. The columns of a
    table that is wider than the console come one part after the other, or numbers would break."""
    for table in tables:
        names, *columns = zip(table.headings, *table.shown("{} *"), strict=True)
        title, longest = table.title, min(max(map(len, names)), _LONGEST_NAME)
        for part in _parts(columns, console().width - longest - 2 * _FRAME):
            headings, *rows = zip(names, *part, strict=True)
            show_table(title, headings, rows)
            title = f"{table.title}, continued"
        if table.note:
            note(table.note)
    for sentence in not_measured:
        note(f"not measured: {sentence}")


def _parts(columns: Sequence[Sequence[str]], width: int) -> Iterator[list[list[str]]]:
    """Groups of neighbouring columns, each with a wrapped heading first, that fit into a width."""
    part, used = [], 0
    for heading, *cells in columns:
        needed = max(map(len, [*heading.split(), *cells]))
        if part and used + needed + _FRAME > width:
            yield part
            part, used = [], 0
        part.append(["\n".join(wrap(heading, needed, break_long_words=False)), *cells])
        used += needed + _FRAME
    yield part


def as_plain(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard as values that JSON knows; what is not a number becomes null."""
    plain = asdict(board)
    for table in plain["tables"]:
        table["rows"] = [
            {"model": name, "metrics": cells, "is_ours": name == GRAPH_MODEL_NAME}
            for name, cells in table["rows"].items()
        ]
    return to_jsonable_python(plain, inf_nan_mode="null", fallback=np.generic.item)


def as_markdown(board: Leaderboard) -> str:
    """The leaderboard as Markdown; the best value of a column is bold."""
    facts = board.facts
    parts = [
        f"# Evaluation on {facts.data_name}",
        f"Values in brackets are {board.confidence * 100:g} % intervals. The best value of a column"
        " is **bold**.",
    ]
    for table in board.tables:
        shown = markdown_table(table.headings, table.shown("**{}**"), len(table.columns))
        parts += [f"## {table.title}", shown, table.note]
    if board.findings:
        rows = [[f.check, "passed" if f.passed else "**failed**", f.detail] for f in board.findings]
        parts += ["## Leakage audit", markdown_table(["check", "", "found"], rows)]
    if board.not_measured:
        parts += ["## What could not be measured", markdown_list(board.not_measured)]
    known = {
        "data": f"{facts.data_name}, SHA-256 `{facts.data_checksum}`",
        "seeds": ", ".join(map(str, facts.seeds)),
        "date": facts.date,
        "machine": f"{facts.machine}, {facts.cpu_count} processors",
        "versions": ", ".join(f"{name} {number}" for name, number in facts.versions.items()),
    }
    where = markdown_list(f"{name}: {value}" for name, value in known.items())
    parts += ["## Where the numbers come from", where]
    if facts.durations:
        rows = [[step, f"{seconds:.1f}"] for step, seconds in facts.durations.items()]
        parts += ["### Durations", markdown_table(["step", "seconds"], rows, 1)]
    parts += ["### Config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(facts.config))}```"]
    return "\n\n".join(filter(None, parts)) + "\n"


def log_evaluation(
    tracking: Tracking, board: Leaderboard, files: Sequence[Path], pictures: Mapping[str, "Figure"]
) -> None:
    """Logs an evaluation to a run of its own, and ends that."""
    facts, client, run_id = board.facts, tracking.logger.experiment, tracking.run_id
    names = ("config", "seeds", "versions", "machine", "cpu_count")
    data = {"name": facts.data_name, "checksum": facts.data_checksum}
    given = {name: getattr(facts, name) for name in names}
    tracking.logger.log_hyperparams(given | {"data": data})
    metrics = list(metrics_of(board).items())
    for start in range(0, len(metrics), _METRICS_AT_ONCE):
        tracking.logger.log_metrics(dict(metrics[start : start + _METRICS_AT_ONCE]), step=0)
    client.set_tag(run_id, "kind", "evaluation")
    for path in files:
        client.log_artifact(run_id, str(path))
    for name, figure in pictures.items():
        client.log_figure(run_id, figure, name)
    client.set_terminated(run_id)


def metrics_of(board: Leaderboard) -> dict[str, float]:
    """All numbers of all tables as ``table/model/metric``, ends of intervals with a suffix."""
    metrics = {f"seconds/{metric_name(step)}": s for step, s in board.facts.durations.items()}
    for table in board.tables:
        for model, cells in table.rows.items():
            for key, cell in cells.items():
                name = "/".join(map(metric_name, (table.title, model, key)))
                if isinstance(cell, Interval):
                    ends = {"": cell.value, "_low": cell.low, "_high": cell.high}
                    metrics |= {f"{name}{suffix}": float(end) for suffix, end in ends.items()}
                elif cell is not None and not isinstance(cell, str):
                    metrics[name] = float(cell)
    return {name: value for name, value in metrics.items() if value == value}


def metric_name(text: str) -> str:
    """A part of a name that MLflow takes: letters, digits, dots, - and _ ("recall@10" too)."""
    return re.sub(r"[^a-zA-Z0-9.-]+", "_", text.replace("@", "_at_")).strip("_") or "_"


# Okabe and Ito, "Color Universal Design", 2008, for colour-blind people too; ours is the vermilion.
_OURS = "#D55E00"
_OTHERS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_QUIET = "#5A5A5A"
# For print: seven marks beside six colours, so that the first 42 lines all look different.
_MARKERS = ("s", "^", "D", "v", "P", "X", "<")
_WIDTH, _HEIGHT = 8.0, 4.8  # inches
_LEGEND_WIDTH = 2.0
_ROW_HEIGHT = 0.36
_ABOVE_ROWS = 1.3

#: Model to its value for each x; an `Interval` gets whiskers, NaN is left out.
Lines: TypeAlias = Mapping[str, Sequence[float | Interval]]


def draw_metric(table: Table, column: Column, confidence: float) -> "Figure":
    """One metric of all models that have it: a dot each, with whiskers, the best on top."""
    cells = {model: cells.get(column.key) for model, cells in table.rows.items()}
    dots = [(m, *_value_and_ends(cell)) for m, cell in cells.items() if number_of(cell) is not None]
    dots.sort(key=lambda dot: dot[1], reverse=column.better != "lower")
    axes = _axes(_ABOVE_ROWS + _ROW_HEIGHT * max(len(dots), 1))
    for place, (model, value, low, high) in enumerate(dots):
        color, size, width = (_OURS, 8, 2.5) if model == GRAPH_MODEL_NAME else (_QUIET, 6, 1.5)
        style = dict(fmt="o", color=color, markersize=size, elinewidth=width, capsize=4)
        # A bootstrap of few people may lie beside their mean by rounding.
        axes.errorbar(value, place, xerr=[[max(value - low, 0)], [max(high - value, 0)]], **style)
        style = dict(textcoords="offset points", va="center", fontsize="small", color=color)
        style["annotation_clip"] = False  # measures the text, so that the axis leaves room for it
        axes.annotate(f"{value:.{column.decimals}f}", (high, place), xytext=(8, 0), **style)
    axes.set_yticks(range(len(dots)), [model for model, *_ in dots])
    for label in axes.get_yticklabels():
        if label.get_text() == GRAPH_MODEL_NAME:
            label.set(color=_OURS, fontweight="bold")
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.6 / max(len(dots), 1))
    hint = {"higher": " (higher is better)", "lower": " (lower is better)"}.get(column.better, "")
    axes.set_xlabel(f"{column.heading}{hint}, {confidence * 100:g} % interval")
    axes.set_title(table.title, loc="left")
    axes.grid(axis="x", alpha=0.3)
    return axes.figure


def draw_over_k(title: str, metric: str, ks: Sequence[int], lines: Lines) -> "Figure":
    """A metric of lists over their length, such as recall@k; `ks` ascend, on a logarithmic axis."""
    axes = _draw_lines(title, "k, products shown", metric, np.asarray(ks, float), lines, spread=0.0)
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    return axes.figure


def draw_over_groups(title: str, metric: str, groups: Mapping[str, int], lines: Lines) -> "Figure":
    """A metric by length of history, with the numbers of users below: small groups are noisy."""
    x = np.arange(len(groups), dtype=float)
    # Side by side, or the whiskers of all models would lie on each other.
    axes = _draw_lines(title, "reviews in the history", metric, x, lines, spread=0.5)
    axes.set_xticks(x, [f"{group}\nn = {size:,}" for group, size in groups.items()])
    return axes.figure


def _axes(height: float, width: float = _WIDTH) -> "Axes":
    # Without pyplot: no window, no global state.
    from matplotlib.figure import Figure

    axes = Figure(figsize=(width, height), dpi=120, layout="constrained").subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw_lines(
    title: str, xlabel: str, ylabel: str, x: np.ndarray, lines: Lines, spread: float
) -> "Axes":
    axes = _axes(_HEIGHT, _WIDTH + _LEGEND_WIDTH)
    shifts = spread * (np.arange(len(lines)) - (len(lines) - 1) / 2) / max(len(lines), 1)
    looks = zip(cycle(_OTHERS), cycle(_MARKERS), strict=False)
    for (model, values), shift in zip(lines.items(), shifts, strict=True):
        if model == GRAPH_MODEL_NAME:
            style = dict(color=_OURS, marker="o", linewidth=2.8, markersize=7, zorder=5)
        else:
            color, marker = next(looks)
            style = dict(color=color, marker=marker, linestyle="--", linewidth=1.5, markersize=5)
        value, low, high = np.array([_value_and_ends(v) for v in values], dtype=float).T
        errors = None if np.array_equal(low, high, equal_nan=True) else [value - low, high - value]
        axes.errorbar(x + shift, value, yerr=errors, label=model, capsize=3, **style)

    axes.set_title(title, loc="left")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    # Beside the picture, where it hides no line, in the order of the lines' right ends.
    ends = {model: np.nan_to_num(_value_and_ends(values[-1])[0]) for model, values in lines.items()}
    handles = sorted(axes.containers, key=lambda drawn: -ends[drawn.get_label()])
    axes.figure.legend(handles=handles, loc="outside right upper", frameon=False, handlelength=3.5)
    return axes


def _value_and_ends(cell: Cell) -> tuple[float, float, float]:
    return (cell.value, cell.low, cell.high) if isinstance(cell, Interval) else (cell, cell, cell)
