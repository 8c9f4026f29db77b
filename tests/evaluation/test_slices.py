import numpy as np
import pytest

from rec_sys.evaluation.scores import (
    beyond_accuracy,
    by_history_length,
    head_products,
    twins_in_history,
)
from tests.helpers.reviews_of import reviews_of


def test_history_lengths():
    groups = by_history_length(reviews_of([[], [0], [0, 1, 2, 3], [0, 1, 2, 3, 4]]), [0, 1, 5])
    assert {name: mask.tolist() for name, mask in groups.items()} == {
        "0": [True, False, False, False],
        "1-4": [False, True, True, False],
        "5+": [False, False, False, True],
    }


@pytest.mark.parametrize(
    "popularity, head",
    [
        ([1, 5, 2, 2], [False, True, False, False]),  # exactly half
        ([1, 4, 2, 2], [False, True, True, True]),  # one of two equals would do
        ([3, 3, 3], [True, True, True]),
    ],
)
def test_the_head_has_half_of_the_reviews(popularity, head):
    assert head_products(np.array(popularity, dtype=np.float32), 0.5).tolist() == head


# Products 0 and 1 share four of five reviewers, 2 stands apart.
TWINS = [[0, 1], [0, 1], [0, 1], [1, 0], [0, 2], [2], [2]]


def test_twins_by_hand():
    histories = reviews_of([[0], [2, 1], [2], [], [0, 1], [5]])
    targets = reviews_of([[1, 2], [0], [0], [1], [0], [9]])
    found = twins_in_history(reviews_of(TWINS), histories, targets, 0.8)
    # The fifth has the target itself in the history: that is no twin. 5 and 9 are not in TWINS.
    assert found.tolist() == [True, False, True, False, False, False, False]
    assert not twins_in_history(reviews_of(TWINS), histories, targets, 0.81).any()


def test_twins_without_reviews():
    nobody, some = reviews_of([]), reviews_of([[0]])
    assert twins_in_history(nobody, some, some, 0.8).tolist() == [False]


def test_spread_by_hand():
    popularity = np.array([10.0, 2, 1, 0])
    even = beyond_accuracy(np.array([3.0, 3, 3, 3]), popularity)
    assert even == pytest.approx({"coverage": 1, "gini": 0, "mean_popularity": 13 / 4})
    one = beyond_accuracy(np.array([0.0, 8, 0, 0]), popularity)
    assert one == pytest.approx({"coverage": 1 / 4, "gini": 3 / 4, "mean_popularity": 2})
    rng = np.random.default_rng(0)
    values = rng.random(30)
    pairs = np.abs(values[:, None] - values).mean()
    gini = beyond_accuracy(values, np.ones(30))["gini"]
    assert gini == pytest.approx(pairs / (2 * values.mean()))
