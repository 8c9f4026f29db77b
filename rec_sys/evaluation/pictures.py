"""Pictures of an evaluation: how good, how deep one has to look, and for whom."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from rec_sys.evaluation.leaderboard import GRAPH_MODEL_NAME, Cell, Column, Table, number_of, percent
from rec_sys.evaluation.scores import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008, for colour-blind people too; ours is the vermilion.
_OURS = "#D55E00"
_OTHERS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_QUIET = "#5A5A5A"
# In print and for whoever sees no colour: another mark for each line. One mark more than there are
# colours, so that the first 42 lines all look different.
_MARKERS = ("s", "^", "D", "v", "P", "X", "<")
_DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (3, 3)))
_WIDTH, _HEIGHT = 8.0, 4.8  # inches
_LEGEND_WIDTH = 2.0
_ROW_HEIGHT = 0.36
_ABOVE_ROWS = 1.3

#: Model to its value for each x; an `Interval` gets whiskers, NaN is left out.
Lines: TypeAlias = Mapping[str, Sequence[float | Interval]]


def draw_metric(table: Table, column: Column, confidence: float) -> "Figure":
    """One metric of all models that have it: a dot each, with whiskers, the best on top."""
    cells = {model: cells.get(column.key) for model, cells in table.rows.items()}
    dots = [(m, *_parts(cell)) for m, cell in cells.items() if number_of(cell) is not None]
    dots.sort(key=lambda dot: dot[1], reverse=column.better != "lower")
    axes = _axes(_ABOVE_ROWS + _ROW_HEIGHT * max(len(dots), 1))
    for place, (model, value, low, high) in enumerate(dots):
        color, size, width = (_OURS, 8, 2.5) if model == GRAPH_MODEL_NAME else (_QUIET, 6, 1.5)
        # A bootstrap of few people may lie beside their mean by rounding.
        whiskers = [[max(value - low, 0)], [max(high - value, 0)]]
        style = dict(fmt="o", color=color, markersize=size, elinewidth=width, capsize=4)
        axes.errorbar(value, place, xerr=whiskers, **style)
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
    axes.set_xlabel(f"{column.heading}{hint}, {percent(confidence)} interval")
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


def draw_over_groups(
    title: str, metric: str, groups: Mapping[str, int], xlabel: str, lines: Lines
) -> "Figure":
    """A metric for groups of users, with their numbers below: small groups are noisy."""
    x = np.arange(len(groups), dtype=float)
    # Side by side, or the whiskers of all models would lie on each other.
    axes = _draw_lines(title, xlabel, metric, x, lines, spread=0.5)
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
    looks = zip(cycle(_OTHERS), cycle(_MARKERS), cycle(_DASHES), strict=False)
    for (model, values), shift in zip(lines.items(), shifts, strict=True):
        if model == GRAPH_MODEL_NAME:
            style = dict(color=_OURS, marker="o", linewidth=2.8, markersize=7, zorder=5)
        else:
            color, marker, dashes = next(looks)
            style = dict(color=color, marker=marker, linestyle=dashes, linewidth=1.5, markersize=5)
        value, low, high = np.array([_parts(v) for v in values], dtype=float).T
        errors = None if np.array_equal(low, high, equal_nan=True) else [value - low, high - value]
        axes.errorbar(x + shift, value, yerr=errors, label=model, capsize=3, **style)

    axes.set_title(title, loc="left")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    # Beside the picture: inside it would hide a line sooner or later. In the order of the lines'
    # right ends, so that the eye goes straight across.
    ends = {model: np.nan_to_num(_parts(values[-1])[0]) for model, values in lines.items()}
    handles = sorted(axes.containers, key=lambda drawn: -ends[drawn.get_label()])
    axes.figure.legend(handles=handles, loc="outside right upper", frameon=False, handlelength=3.5)
    return axes


def _parts(cell: Cell) -> tuple[float, float, float]:
    return (cell.value, cell.low, cell.high) if isinstance(cell, Interval) else (cell, cell, cell)
