import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rec_sys.graph.task import Split, Task
from rec_sys.modules.rating_bias import RatingBias
from rec_sys.train.report import BIAS, MAJORITY, score_baselines


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
