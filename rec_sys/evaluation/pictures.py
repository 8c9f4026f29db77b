"""Pictures of an evaluation: how good, how deep one has to look, and for whom."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rec_sys.evaluation.leaderboard import Column, Table, percent
from rec_sys.evaluation.statistics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind people too. Ours is
# the vermilion, which no baseline gets.
_OURS = "#D55E00"
_OTHERS = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_QUIET = "#5A5A5A"
# In print and for whoever sees no colour: another mark for each line. One mark more than there are
# colours, so that the first 42 lines all look different.
_OUR_MARKER = "o"
_MARKERS = ("s", "^", "D", "v", "P", "X", "<")
_DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)), (0, (3, 3)))
_WIDTH, _HEIGHT = 8.0, 4.8  # inches
_LEGEND_WIDTH = 2.0
_ROW_HEIGHT = 0.36
_ABOVE_ROWS = 1.3


@dataclass(frozen=True)
class Line:
    """A model over several values of x.

    Attributes:
        values: One for each x; an `Interval` gets whiskers, NaN is left out.
        is_ours: Whether it is what this project is about.
    """

    model: str
    values: Sequence[float | Interval]
    is_ours: bool = False


def draw_metric(table: Table, column: Column, confidence: float) -> "Figure":
    """One metric of all models of a table: a dot each, with whiskers, the best on top.

    Args:
        table: Rows without the metric are left out.
        column: The metric; ``lower`` puts the lowest on top.
        confidence: Of the whiskers, 0.95 for 95 %.
    """
    cells = [(row, row.metrics.get(column.key)) for row in table.rows]
    dots = [(row, *_parts(cell)) for row, cell in cells if _is_number(cell)]
    dots.sort(key=lambda dot: dot[1], reverse=column.better != "lower")
    height = _ABOVE_ROWS + _ROW_HEIGHT * max(len(dots), 1)
    axes = _axes(height)
    for place, (row, value, low, high) in enumerate(dots):
        color = _OURS if row.is_ours else _QUIET
        axes.errorbar(
            value,
            place,
            xerr=[[value - low], [high - value]],
            fmt="o",
            color=color,
            markersize=8 if row.is_ours else 6,
            elinewidth=2.5 if row.is_ours else 1.5,
            capsize=4,
        )
        axes.annotate(
            f"{value:.{column.decimals}f}",
            (high, place),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            color=color,
            # Measures the text, so that the axis leaves room for it.
            annotation_clip=False,
        )
    axes.set_yticks(range(len(dots)), [row.model for row, *_ in dots])
    for label, (row, *_) in zip(axes.get_yticklabels(), dots, strict=True):
        if row.is_ours:
            label.set(color=_OURS, fontweight="bold")
    axes.invert_yaxis()
    axes.margins(x=0.12, y=0.6 / max(len(dots), 1))
    hint = {"higher": " (higher is better)", "lower": " (lower is better)"}.get(column.better, "")
    axes.set_xlabel(f"{column.heading}{hint}, {percent(confidence)} interval")
    axes.set_title(table.title, loc="left")
    axes.grid(axis="x", alpha=0.3)
    return axes.figure


def draw_over_k(title: str, metric: str, ks: Sequence[int], lines: Sequence[Line]) -> "Figure":
    """A metric of lists over their length, such as recall@k; k on a logarithmic axis.

    Args:
        metric: Label of the y axis.
        ks: Ascending.
    """
    axes = _axes(_HEIGHT, _WIDTH + _LEGEND_WIDTH)
    _draw_lines(axes, np.asarray(ks, dtype=float), lines, spread=0.0)
    axes.set_xscale("log")
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.minorticks_off()
    return _finish(axes, title, "k, products shown", metric, lines)


def draw_over_groups(
    title: str, metric: str, groups: Mapping[str, int], xlabel: str, lines: Sequence[Line]
) -> "Figure":
    """A metric for groups of users, such as those with a short and with a long history.

    Args:
        metric: Label of the y axis.
        groups: Group to number of users, which stands below it: small groups are noisy.
        xlabel: What the groups are made by.
    """
    axes = _axes(_HEIGHT, _WIDTH + _LEGEND_WIDTH)
    # Side by side, or the whiskers of all models would lie on each other.
    _draw_lines(axes, np.arange(len(groups), dtype=float), lines, spread=0.5)
    labels = [f"{group}\nn = {size:,}" for group, size in groups.items()]
    axes.set_xticks(range(len(groups)), labels)
    return _finish(axes, title, xlabel, metric, lines)


def _axes(height: float, width: float = _WIDTH) -> "Axes":
    # Without pyplot: no window, no global state.
    from matplotlib.figure import Figure

    axes = Figure(figsize=(width, height), dpi=120, layout="constrained").subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _draw_lines(axes: "Axes", x: np.ndarray, lines: Sequence[Line], spread: float) -> None:
    shifts = spread * (np.arange(len(lines)) - (len(lines) - 1) / 2) / max(len(lines), 1)
    for line, style, shift in zip(lines, _styles(lines), shifts, strict=True):
        value, low, high = np.array([_parts(v) for v in line.values], dtype=float).T
        errors = None if np.array_equal(low, high, equal_nan=True) else [value - low, high - value]
        axes.errorbar(x + shift, value, yerr=errors, label=line.model, capsize=3, **style)


def _styles(lines: Sequence[Line]) -> Iterator[dict]:
    number = 0
    for line in lines:
        if line.is_ours:
            yield dict(color=_OURS, marker=_OUR_MARKER, linewidth=2.8, markersize=7, zorder=5)
        else:
            yield dict(
                color=_OTHERS[number % len(_OTHERS)],
                marker=_MARKERS[number % len(_MARKERS)],
                linestyle=_DASHES[number % len(_DASHES)],
                linewidth=1.5,
                markersize=5,
            )
            number += 1


def _finish(axes: "Axes", title: str, xlabel: str, ylabel: str, lines: Sequence[Line]) -> "Figure":
    ends = [np.nan_to_num(_parts(line.values[-1])[0]) for line in lines]
    axes.set_title(title, loc="left")
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    # Beside the picture: inside it would hide a line sooner or later. In the order of the lines'
    # right ends, so that the eye goes straight across.
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: -ends[i])
    axes.figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="outside right upper",
        frameon=False,
        handlelength=3.5,
    )
    return axes.figure


def _parts(cell: float | Interval) -> tuple[float, float, float]:
    if isinstance(cell, Interval):
        return cell.value, cell.low, cell.high
    return cell, cell, cell


def _is_number(cell: object) -> bool:
    return cell is not None and not isinstance(cell, str) and not np.isnan(_parts(cell)[0])
