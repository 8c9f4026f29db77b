import math

import pytest

from rec_sys.evaluation.leaderboard import Column, Interval, Row, Table
from rec_sys.evaluation.pictures import Line, draw_metric, draw_over_groups, draw_over_k

NDCG = Column("ndcg@10", "NDCG@10")
ROWS = [
    Row("popularity", {"ndcg@10": Interval(0.03, 0.02, 0.05)}),
    Row("no such metric", {}),
    Row("EASE", {"ndcg@10": 0.09}),
    Row("not defined", {"ndcg@10": Interval(math.nan, math.nan, math.nan)}),
    Row("rec_sys", {"ndcg@10": Interval(0.11, 0.1, 0.12)}, is_ours=True),
]


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_best_is_on_top_and_ours_stands_out(better, tmp_path):
    figure = draw_metric(Table("Ranking", [NDCG], ROWS), Column("ndcg@10", "NDCG@10", better))
    figure.savefig(tmp_path / "metric.png")
    (axes,) = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    expected = ["rec_sys", "EASE", "popularity"]
    assert names == (expected if better == "higher" else expected[::-1])
    assert axes.yaxis_inverted() and f"{better} is better" in axes.get_xlabel()
    weights = {label.get_text(): label.get_fontweight() for label in axes.get_yticklabels()}
    assert weights["rec_sys"] == "bold" != weights["EASE"]


def test_a_table_without_the_metric_is_an_empty_picture(tmp_path):
    draw_metric(Table("Ranking", [NDCG], []), NDCG).savefig(tmp_path / "empty.png")


def test_lines_look_different_and_the_legend_follows_their_right_ends(tmp_path):
    lines = [Line(f"model {i}", [0.1 * i, 0.2 * i]) for i in range(12)]
    lines.append(Line("ours", [0.1, 0.25], is_ours=True))
    figure = draw_over_k("Recall", "recall@k", [10, 100], lines)
    figure.savefig(tmp_path / "k.png")
    drawn = figure.axes[0].lines
    looks = {(each.get_color(), each.get_marker(), each.get_linestyle()) for each in drawn}
    assert len(looks) == len(lines)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names[0] == "model 11" and names.index("ours") == names.index("model 1") - 1


def test_groups_tell_how_many_people_they_are_of(tmp_path):
    lines = [
        Line("EASE", [0.1, math.nan]),
        Line("ours", [Interval(0.2, 0.1, 0.4), Interval(0.3, 0.25, 0.35)], is_ours=True),
    ]
    figure = draw_over_groups("History", "NDCG@10", {"0": 1200, "1-4": 7}, "reviews", lines)
    figure.savefig(tmp_path / "groups.png")
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["0\nn = 1,200", "1-4\nn = 7"]
