"""Pictures are asked what is drawn on them: points, whiskers, words."""

import math

import numpy as np
import pytest

from rec_sys.evaluation.leaderboard import Column, Table, draw_metric, draw_over_groups, draw_over_k
from rec_sys.evaluation.scores import Interval

NDCG = Column("ndcg@10", "NDCG@10")
ROWS = {
    "popularity": {"ndcg@10": Interval(0.03, 0.02, 0.05)},
    "no such metric": {},
    "EASE": {"ndcg@10": 0.09},
    "not defined": {"ndcg@10": Interval(math.nan, math.nan, math.nan)},
    "rec_sys": {"ndcg@10": Interval(0.11, 0.1, 0.12)},
}


def points(drawn):
    """[x, y] of each point of an error bar container."""
    return np.asarray(drawn.lines[0].get_xydata(), dtype=float)


def whiskers(drawn):
    """Ends of each whisker, [(x, y), (x, y)]; none at points without an interval."""
    found = np.array([s for bars in drawn.lines[2] for s in bars.get_segments()])
    return found[~np.isnan(found).any(axis=(1, 2))] if len(found) else found


def words(texts):
    return [text.get_text() for text in texts]


def legend(figure):
    (legend,) = figure.legends
    return words(legend.get_texts())


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_best_is_on_top_and_ours_stands_out(better):
    column = Column("ndcg@10", "NDCG@10", better)
    (axes,) = draw_metric(Table("Ranking", [NDCG], ROWS), column, 0.9).axes
    best_first = 1 if better == "higher" else -1
    labels = axes.get_yticklabels()
    assert words(labels) == ["rec_sys", "EASE", "popularity"][::best_first]
    assert "90 % interval" in axes.get_xlabel()
    assert axes.yaxis_inverted() and f"{better} is better" in axes.get_xlabel()
    assert axes.get_title(loc="left") == "Ranking" and "NDCG@10" in axes.get_xlabel()
    # A dot for each, on the row of its name, with its value in words and its interval as whiskers.
    dots = np.concatenate([points(each) for each in axes.containers])
    np.testing.assert_allclose(dots[:, 0], [0.11, 0.09, 0.03][::best_first])
    assert dots[:, 1].tolist() == [0, 1, 2] == axes.get_yticks().tolist()
    assert words(axes.texts) == ["0.1100", "0.0900", "0.0300"][::best_first]
    ends = np.concatenate([whiskers(each) for each in axes.containers])[:, :, 0]
    expected = [[0.1, 0.12], [0.09, 0.09], [0.02, 0.05]]
    np.testing.assert_allclose(ends, expected[::best_first])
    # Ours alone is bold, and of one colour: name, dot and value.
    looks = {label.get_text(): (label.get_fontweight(), label.get_color()) for label in labels}
    weight, color = looks.pop("rec_sys")
    assert weight == "bold" and {each for each, _ in looks.values()} == {"normal"}
    at = words(labels).index("rec_sys")
    colors = [each.lines[0].get_color() for each in axes.containers]
    assert colors[at] == axes.texts[at].get_color() == color and colors.count(color) == 1


def test_a_table_without_the_metric_is_an_empty_picture(tmp_path):
    figure = draw_metric(Table("Ranking", [NDCG], {}), NDCG, 0.95)
    figure.savefig(tmp_path / "empty.png")  # nothing to lay out, yet no error
    (axes,) = figure.axes
    assert not axes.containers and not axes.texts and words(axes.get_yticklabels()) == []


def test_lines_look_different_and_the_legend_follows_their_right_ends():
    lines = {f"model {i}": [0.1 * i, 0.2 * i] for i in range(12)} | {"rec_sys": [0.1, 0.25]}
    figure = draw_over_k("Recall", "recall@k", [10, 100], lines)
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and words(axes.get_xticklabels()) == ["10", "100"]
    assert (axes.get_title(loc="left"), axes.get_ylabel()) == ("Recall", "recall@k")
    assert axes.get_ylim()[0] == 0
    drawn = {each.get_label(): each for each in axes.containers}
    assert [*drawn] == [*lines]
    for model, values in lines.items():
        np.testing.assert_allclose(points(drawn[model]), list(zip([10, 100], values, strict=True)))
        assert len(whiskers(drawn[model])) == 0
    looks = {
        (each.get_color(), each.get_marker(), each.get_linestyle())
        for each in (container.lines[0] for container in axes.containers)
    }
    assert len(looks) == len(lines)
    names = legend(figure)
    assert names[0] == "model 11" and names.index("rec_sys") == names.index("model 1") - 1


def test_groups_tell_how_many_people_they_are_of():
    ours = [Interval(0.2, 0.1, 0.4), Interval(0.3, 0.25, 0.35)]
    lines = {"EASE": [0.1, math.nan], "rec_sys": ours}
    figure = draw_over_groups("History", "NDCG@10", {"0": 1200, "1-4": 7}, lines)
    (axes,) = figure.axes
    assert words(axes.get_xticklabels()) == ["0\nn = 1,200", "1-4\nn = 7"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("reviews in the history", "NDCG@10")
    ease, ours = axes.containers
    # Side by side around the tick of their group.
    (left, right), ticks = (points(each)[:, 0] for each in (ease, ours)), axes.get_xticks()
    assert (left < ticks).all() and (ticks < right).all()
    np.testing.assert_allclose(left + right, 2 * ticks)
    np.testing.assert_allclose(points(ease)[:, 1], [0.1, math.nan])
    np.testing.assert_allclose(points(ours)[:, 1], [0.2, 0.3])
    assert len(whiskers(ease)) == 0
    np.testing.assert_allclose(whiskers(ours)[:, :, 1], [[0.1, 0.4], [0.25, 0.35]])
    assert legend(figure) == ["rec_sys", "EASE"]
