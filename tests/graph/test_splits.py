from dataclasses import replace

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.splits import (
    GlobalTime,
    HeldOutUsers,
    LeaveOneOut,
    NewProducts,
    NewUsers,
    describe_split,
    draw_groups,
)
from rec_sys.graph.task import Task, check_usable
from rec_sys.reviews.schema import NO_TIME
from tests.helpers.graphs_by_hand import at, edges, graph_of, told

X = NO_TIME


# --- leave_one_out


def test_leave_one_out_by_hand():
    # Users with 0, 1, 2, 3 and 4 reviews: edges 0 | 1, 2 | 3, 4, 5 | 6, 7, 8, 9.
    graph = graph_of([], at(5), at(1, 2), at(1, 2, 3), at(X, X, 7, 7))
    train, validation, test = told(LeaveOneOut().split(graph))
    assert train == [0, 1, 2, 3, 6, 7]
    assert validation == ([4, 8], [3, 6, 7])
    assert test == ([5, 9], [3, 4, 6, 7, 8])


def test_leave_one_out_without_enough_reviews_has_nothing_to_validate_with():
    graph = graph_of(at(1, 2), at(3))
    split = LeaveOneOut().split(graph)
    assert split.train.all() and not split.test.target.any()
    with pytest.raises(InputError, match="split=leave_one_out: nobody has both"):
        check_usable(split, graph)


def test_no_edge_at_all():
    graph = graph_of([], [])
    split = LeaveOneOut().split(graph)
    with pytest.raises(InputError, match="leaves no review to train with"):
        check_usable(split, graph)


# --- time


def time_split(validation_share=0.1, test_share=0.1, validation_from=None, test_from=None):
    return GlobalTime(validation_share, test_share, validation_from, test_from)


def test_time_by_hand():
    # Ten known times: the newest is for the test, the second newest for validation.
    graph = graph_of(at(X, 1, 2, 3, 10), at(4, 5, 6), at(7, 8, 9), [])
    train, validation, test = told(time_split().split(graph))
    assert train == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    assert validation == ([10], [8, 9])
    assert test == ([4], [0, 1, 2, 3])


def test_a_test_history_holds_validation_edges_and_strangers_stay_targets():
    graph = graph_of(at(1, 5, 9), at(2, 3), at(8), at(9))
    split = time_split(0.3, 0.3).split(graph)  # seven times: 1 2 3 | 5 8 | 9 9
    train, validation, test = told(split)
    assert train == [0, 3, 4]
    assert validation == ([1, 5], [0])  # edge 5: nothing is known of its writer
    assert test == ([2, 6], [0, 1])
    assert split.validation.users(graph).tolist() == [0, 2]


def test_equal_times_are_never_parted():
    graph = graph_of(at(1, 1, 1, 1), at(2, 2, 2), at(2, 3, 3))
    train, validation, test = told(time_split().split(graph))
    assert train == [0, 1, 2, 3]
    assert (validation[0], test[0]) == ([4, 5, 6, 7], [8, 9])


def test_time_without_a_test():
    split = time_split(0.25, 0.0).split(graph_of(at(1, 2, 3, 4)))
    assert split.test is None
    assert (edges(split.train), edges(split.validation.target)) == ([0, 1, 2], [3])


DAY = 86_400


def test_time_from_given_days():
    graph = graph_of(at(0, DAY - 1, DAY, 3 * DAY - 1, 3 * DAY, 9 * DAY))
    split = time_split(validation_from="1970-01-02", test_from="1970-01-04").split(graph)
    assert told(split)[0] == [0, 1]
    assert edges(split.validation.target) == [2, 3] and edges(split.test.target) == [4, 5]
    one_day = time_split(test_from="1970-01-04T00:00:00+00:00").split(graph)
    assert edges(one_day.validation.target) == [3]  # a tenth of six reviews, one at least
    other = time_split(validation_from="1970-01-02").split(graph)
    assert edges(other.validation.target) == [2, 3, 4] and edges(other.test.target) == [5]


@pytest.mark.parametrize(
    ("graph", "settings", "message"),
    [
        (graph_of(at(X, X, X)), {}, "use split=leave_one_out"),
        (graph_of(at(1, 1, 1), at(2)), {}, "2 different times"),
        (graph_of(at(1, 2, 3)), {"test_from": "1960-01-01"}, "3 different times"),
        (graph_of(at(1, 2, 3)), {"validation_from": "2030-01-01"}, "3 different times"),
        (
            graph_of(at(1, 2, 3)),
            {"validation_from": "1960-01-01", "test_from": "1970-01-01T00:00:02"},
            "no review to train with",
        ),
        (
            graph_of(at(1, 2, 3)),
            {"validation_from": "1970-01-01T00:00:03", "test_from": "1970-01-01T00:00:02"},
            "no review to validate with",
        ),
        (
            graph_of(at(1, 2, 3)),
            {"validation_from": "1970-01-01T00:00:03", "test_from": "2030-01-01"},
            "no review to test with",
        ),
    ],
)
def test_times_that_cannot_be_cut(graph, settings, message):
    with pytest.raises(InputError, match=message):
        time_split(**settings).split(graph)


# --- users and new_users


def test_users_are_those_that_the_seed_always_gave():
    import torch
    from torch.utils.data import random_split

    graph = graph_of(*[at(1, 2)] * 20)
    before = random_split(range(20), [18, 2], generator=torch.Generator().manual_seed(3))[1]
    split = HeldOutUsers(0.1, 0.0, 0.2, 3).split(graph)
    assert split.test is None
    assert split.validation.users(graph).tolist() == sorted(before.indices)


def test_users_by_hand():
    graph = graph_of(*[at(*range(n)) for n in (10, 1, 2, 0, 10)])
    user = graph.edge_user
    split = HeldOutUsers(0.4, 0.4, 0.2, 0).split(graph)
    ids = describe_split(split, graph, {})
    held_out = [int(u[1:]) for u in ids["validation_user_ids"] + ids["test_user_ids"]]
    assert len(set(user[split.train]) & set(held_out)) == 0
    for task in (split.validation, split.test):
        for u in np.unique(user[task.target | task.history]):
            own = np.flatnonzero(user == u)
            number = {10: 2, 2: 1, 1: 0}[len(own)]
            assert edges(task.target & (user == u)) == own[len(own) - number :].tolist()
            assert edges(task.history & (user == u)) == own[: len(own) - number].tolist()


def test_new_users_show_only_their_first_reviews():
    graph = graph_of(at(1, 2, 3), at(1), at(1, 2), at(1, 2, 3, 4))
    first = set(graph.user_ptr[:-1].tolist())
    for seed in range(5):
        split = NewUsers(0.25, 0.25, 1, seed).split(graph)
        for task in (split.validation, split.test):
            (user,) = np.unique(graph.edge_user[task.history])
            (shown,) = edges(task.history)
            assert shown in first
            assert task.target.sum() == graph.degrees[user] - 1
        assert split.train.sum() + split.validation.target.sum() + split.test.target.sum() == 8


@pytest.mark.parametrize("splitter", [HeldOutUsers(0.1, 0.0, 0.2, 0), NewUsers(0.1, 0.1, 1, 0)])
def test_a_single_user_cannot_be_held_out(splitter):
    with pytest.raises(InputError, match="single user"):
        splitter.split(graph_of(at(1, 2, 3)))


def test_groups_have_the_sizes_of_their_shares():
    sizes = [len(group) for group in draw_groups(100, [0.1, 0.25], 0, "users")]
    assert sizes == [65, 10, 25]
    assert [len(group) for group in draw_groups(2, [0.99, 0], 0, "users")] == [1, 1, 0]
    with pytest.raises(InputError, match=r"too few users to split \(2\)"):
        draw_groups(2, [0.1, 0.1], 0, "users")


# --- new_products


def test_new_products_by_hand():
    # Everybody reviews p0...p3; the last user only one of them. p4 has no review.
    everything = [(p, p) for p in range(4)]
    graph = graph_of(everything, everything, [(2, 0)], products=5)
    for seed in range(8):
        split = NewProducts(0.25, 0.25, seed).split(graph)
        kept = set(graph.edge_product[split.train])
        ((new,), (newer,)) = (
            set(graph.edge_product[task.target]) for task in (split.validation, split.test)
        )
        assert len(kept) == 2 and {new, newer} | kept == {0, 1, 2, 3}
        shown = split.train
        for product, task in ((new, split.validation), (newer, split.test)):
            # The last user has no history where that product is held out: hidden.
            assert edges(task.target) == [product, 4 + product]
            assert edges(task.history) == edges(shown & (graph.edge_user < 2))
            shown = shown | task.target


def test_too_few_products():
    with pytest.raises(InputError, match=r"too few products to split \(2\)"):
        NewProducts(0.1, 0.2, 0).split(graph_of(at(1, 2)))


def test_one_text_of_each_user_tells_what_they_want():
    """The first target that has a text: edges 0, 1, 2 | 3 | 4, 5 | 6."""
    graph = graph_of(at(1, 2, 3), at(1), at(1, 2), at(1))
    graph = replace(graph, edge_text=np.array([7, 0, 8, 9, 0, 5, 6]))
    target = np.array([False, True, True, True, True, True, False])
    task = Task(target, np.zeros(7, dtype=bool))
    assert task.targets_with_text(graph).tolist() == [2, 3, 5]
    assert Task(~np.ones(7, dtype=bool), ~target).targets_with_text(graph).tolist() == []
