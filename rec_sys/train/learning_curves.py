"""A picture of how training went."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Metric and the heading of its panel.
_PANELS = (
    ("loss", "loss (distance in stars)"),
    ("auc", "AUC"),
    ("f1", "F1 (liked)"),
    ("accuracy", "accuracy (liked)"),
    ("ranking_loss", "ranking loss (cross entropy)"),
    ("ndcg10", "NDCG@10 (all products)"),
)
_STAGES = (("train", "training", "tab:gray"), ("val", "validation", "tab:blue"))
_BASELINE_STYLES = ("--", ":")


def draw_learning_curves(
    history: Sequence[Mapping[str, float]], baselines: Mapping[str, Mapping[str, float]]
) -> "Figure":
    """Draws one panel per metric over the epochs, the baselines as horizontal lines.

    Args:
        history: One mapping per epoch: ``epoch``, ``train/loss``, ``val/loss``, ...
        baselines: Metrics of each baseline on the validation targets.
    """
    # Without pyplot: no window, no global state.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 9), layout="constrained")
    epochs = [row["epoch"] + 1 for row in history]
    for axes, (metric, heading) in zip(figure.subplots(3, 2).flat, _PANELS, strict=True):
        for stage, label, color in _STAGES:
            values = [row.get(f"{stage}/{metric}", math.nan) for row in history]
            # A single epoch is a point, not an invisible line.
            axes.plot(epochs, values, color=color, label=label, marker="." * (len(epochs) == 1))
        for style, (name, values) in zip(_BASELINE_STYLES, baselines.items(), strict=True):
            if metric not in values:
                continue
            axes.axhline(values[metric], color="tab:orange", linestyle=style, label=name)
        axes.set(title=heading, xlabel="epoch")
        axes.grid(alpha=0.3)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
