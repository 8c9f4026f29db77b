from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rec_sys.graph.task import Queries, Split, Task
from rec_sys.modules.rating_bias import RatingBias
from rec_sys.train.report import (
    BIAS,
    MAJORITY,
    Ranked,
    RankingTask,
    left_out,
    rank_baselines,
    score_baselines,
    show_rankings,
    verdict,
)


def test_bias_by_hand(small_graph):
    """Training: ann rates p3, p2, p1 with 3, 1, 5; cyd rates p1, p4 with 4, 2. dan is held out."""
    graph, _ = small_graph
    bias = RatingBias.of(graph, graph.edges_of(np.array([0, 2])))
    assert bias.mean == pytest.approx(3.0)
    p1 = (2 + 1) / (2 + 10)
    assert bias.product_bias[0] == pytest.approx(p1)
    assert bias.product_bias[1] == pytest.approx(-2 / 11)  # cyd's review of p2 has no rating
    target = np.zeros(graph.num_edges, dtype=bool)
    target[2] = True  # ann on p1
    rest = (3 - 3.0 - bias.product_bias[2]) + (1 - 3.0 - bias.product_bias[1])
    (predicted,) = bias.predict(graph, target, np.zeros_like(target))
    assert predicted == pytest.approx(3.0 + p1 + rest / (2 + 5), rel=1e-5)


def test_the_targets_own_rating_is_not_used(small_graph):
    graph, _ = small_graph
    bias = RatingBias.of(graph, graph.edges_of(np.array([0])))
    target = np.zeros(graph.num_edges, dtype=bool)
    target[[5, 6]] = True
    before = bias.predict(graph, target, np.zeros_like(target))
    graph.edge_rating[6] = 5
    np.testing.assert_array_equal(before, bias.predict(graph, target, np.zeros_like(target)))


def test_no_rating_is_an_error(small_graph):
    graph, _ = small_graph
    with pytest.raises(ValueError, match="no edge has a rating"):
        RatingBias.of(graph, np.array([5]))


def test_without_a_training_rating_nothing_is_said(small_graph):
    graph, _ = small_graph
    graph.edge_rating[[4, 5]] = np.nan
    train, target, history = (np.zeros(graph.num_edges, dtype=bool) for _ in range(3))
    train[[4, 5]] = history[[4, 5]] = target[6] = True
    split = Split("by hand", train, Task(target, history), None)
    for row in score_baselines(graph, split, F.l1_loss, 3.0).values():
        assert np.isnan(list(row.values())).all()


def test_rows_of_known_values(small_graph):
    graph, _ = small_graph
    train, target, history = (np.zeros(graph.num_edges, dtype=bool) for _ in range(3))
    train[[0, 1, 2, 3, 7]] = True  # all but cyd's
    history[[4, 5]] = target[6] = True
    split = Split("by hand", train, Task(target, history), None)
    rows = score_baselines(graph, split, F.l1_loss, 3.0)
    assert set(rows) == {MAJORITY, BIAS}
    # The training users' ratings are 5, 1, 3, 4, 5; cyd's newest has 2 stars.
    assert rows[MAJORITY]["loss"] == pytest.approx(3.0)
    assert rows[MAJORITY]["accuracy"] == 0
    assert torch.isnan(torch.tensor(rows[BIAS]["auc"]))  # a single target has no order


def test_rankings_by_hand(small_graph):
    """ann has p2, p1 and p3 to find, of which she likes p1 alone; cyd has p1 and finds p2, p4."""
    graph, _ = small_graph
    target, history = (graph.edge_mask(np.array(edges)) for edges in ([0, 2, 5, 6], [1, 4]))
    asked = RankingTask(Queries.of(graph, Task(target, history)), liked_above=3.0)
    names = [graph.product_ids[each] for each in graph.edge_product]
    assert names[:3] == ["p3", "p2", "p1"] and names[4:7] == ["p1", "p2", "p4"]
    found = asked.measure(np.array([[1, 9, 2, 0], [0, 1, 0, 2]], dtype=np.float32))
    both = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(found["ndcg10"], [both / both, both / both])
    # p1 comes after p3; of cyd's only p2, which has no rating, counts as liked.
    np.testing.assert_allclose(found["ndcg10_liked"], [1 / np.log2(3), 1 / np.log2(3)])
    assert found["disliked_at_10"] == [1, 1]


@dataclass
class CountsItself:
    """Scores all alike, and notes that it was fitted."""

    weight: float = 1.0
    name: str = "counts itself"

    def fit(self, train, vectors):
        FITTED.append(self.weight)

    def score(self, histories, asked):
        return np.ones((histories.num_users, histories.num_products), dtype=np.float32)


FITTED = []


def test_baselines_are_computed_once_for_the_same_data(trained_once, tmp_path):
    _, _, objects = trained_once
    prepared, split = objects["prepared"], objects["split"]
    users = split.validation.users(prepared.graph)

    def rows(grid, users=users, **more):
        everybody = Queries.of(prepared.graph, split.validation)
        places = np.searchsorted(everybody.users, users)
        asked = RankingTask(everybody.of_users(places), 3.0)
        entries = {"it": {"model": f"{__name__}.CountsItself", "grid": grid, **more}}
        return rank_baselines(entries, prepared, split, asked, tmp_path / "cache")

    FITTED.clear()
    first = rows({"weight": [1.0, 2.0]})
    again = rows({"weight": [1.0, 2.0]})
    assert again["counts itself"].means == first["counts itself"].means
    assert FITTED == [1.0, 2.0]
    assert first["counts itself"].settings == {"weight": 1.0}  # of equals the first
    rows({"weight": [3.0]})
    rows({"weight": [3.0]}, users=users[1:])
    assert FITTED == [1.0, 2.0, 3.0, 3.0]
    assert rows({}, max_products=1) == {}
    for kept in (tmp_path / "cache").iterdir():
        kept.write_text('{"counts itself": 5}')
    assert rows({"weight": [3.0]})["counts itself"].means == first["counts itself"].means
    assert FITTED[4:] == [3.0]


def test_a_baseline_that_is_left_out_is_named(trained_once, capsys):
    missing = left_out({"ease": {"max_products": 12_000}, "markov": {}}, 12_001)
    show_rankings({}, missing, {}, trained_once[2]["catalogue"].combiner)
    printed = capsys.readouterr().out
    assert "without ease: more than 12,000 products (baselines.ease.max_products)" in printed
    assert "without markov" not in printed


@pytest.mark.parametrize(
    "ours, theirs, mse, told",
    [
        ([0.6, 0.5, 0.7], [0.3, 0.25, 0.35], 0.9, ["beats", "Markov", "+100% ±", "10.0% below"]),
        ([0.3, 0.0, 0.6], [0.0, 0.6, 0.3], 1.005, ["cannot be told from", "+0% ±", "0.5% above"]),
        ([0.1, 0.2, 0.3], [0.0] * 3, 1.0, ["beats", "NDCG@10 0.200 ±", "where it has 0"]),
        ([0.1, 0.2, 0.1], [0.5, 0.6, 0.5], 1.2, ["behind", "tuning_trials", "objective=rating"]),
    ],
)
def test_the_verdict_tells_better_equal_and_worse(ours, theirs, mse, told):
    many = (each * 10 for each in (ours, theirs, [0.0] * 3))
    rows = [Ranked({"ndcg10": each, "disliked_at_10": [0]}) for each in many]
    simple = {"popularity": rows[2], "Markov": rows[1]}
    line = verdict(rows[0], simple, {"val/mse": mse}, {BIAS: {"mse": 1.0}}, {})
    assert all(each in line for each in told)
    assert ("try" in line) == (mse > 1.01)


def test_of_few_people_nothing_is_concluded():
    rows = [Ranked({"ndcg10": [each] * 6, "disliked_at_10": [0]}) for each in (0.6, 0.1)]
    wishes = {"model": {"wishes_recall10": 0.297}, "nearest names": {"wishes_recall10": 0.351}}
    errors = {"val/mse": 0.5}, {BIAS: {"mse": 1.0}}
    line = verdict(rows[0], {"Markov": rows[1]}, *errors, wishes)
    assert line == "6 people of the validation are too few to tell rec_sys from Markov"
    line = verdict(rows[0], {}, *errors, wishes)
    squared, found = line.split("; ")
    assert "50.0% below" in squared
    assert found.endswith("it has 30% among the first 10, nearest names 35%")
