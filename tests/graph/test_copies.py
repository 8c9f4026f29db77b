"""Copies of one review on several products never stand on both sides of a split."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.graph.splits import GlobalTime, HeldOutUsers, LeaveOneOut, NewProducts, NewUsers
from rec_sys.reviews.schema import NO_TIME
from tests.helpers.graphs_by_hand import at, edges, graph_of, told

SPLITS = {
    "leave_one_out": LeaveOneOut(),
    "time": GlobalTime(0.2, 0.2, None, None),
    "users": HeldOutUsers(0.3, 0.3, 0.4, 0),
    "new_users": NewUsers(0.3, 0.3, 1, 0),
    "new_products": NewProducts(0.2, 0.3, 0),
}


def with_copies(graph, *groups):
    """The graph in which each group of edges is one review, repeated."""
    copy = np.arange(graph.num_edges)
    for group in groups:
        copy[list(group)] = group[0]
    return replace(graph, edge_copy=copy)


def test_copies_of_a_left_out_review_are_in_no_part_and_those_of_others_train():
    graph = with_copies(graph_of(at(1, 2, 3, 4, 5, 6, 7)), (0, 1, 4), (3, 5, 6))
    # The distinct reviews are 0 (again as 1 and 4), 2 and 3 (again as 5 and 6).
    train, validation, test = told(LeaveOneOut().split(graph))
    assert train == [0, 1, 4]
    assert validation == ([2], [0, 1, 4])
    assert test == ([3], [0, 1, 2, 4])


def test_who_repeats_two_reviews_has_too_few_for_a_target():
    graph = with_copies(graph_of(at(1, 2, 3, 4), at(1, 2, 3)), (0, 1), (2, 3))
    train, validation, test = told(LeaveOneOut().split(graph))
    assert train == [0, 1, 2, 3, 4]
    assert (validation[0], test[0]) == ([5], [6])


def test_new_users_show_distinct_reviews():
    users = [at(1, 2, 3, 4)] * 9
    copies = [(4 * user, 4 * user + 2) for user in range(9)]
    split = NewUsers(0.3, 0.3, 1, 0).split(with_copies(graph_of(*users), *copies))
    for task in (split.validation, split.test):
        assert {edge % 4 for edge in edges(task.target)} == {1, 3}
        assert {edge % 4 for edge in edges(task.history)} == {0, 2}


def test_a_late_copy_is_no_target_of_a_time_split():
    graph = with_copies(graph_of(at(1, 2, 3, 8, 9), at(1, 2, 3, 9, 10)), (0, 3))
    split = GlobalTime(0.2, 0.2, "1970-01-01T00:00:08", "1970-01-01T00:00:09").split(
        replace(graph, edge_time=np.where(graph.edge_time == 10, 8, graph.edge_time))
    )
    assert 3 not in edges(split.train | split.validation.target | split.test.target)


@given(
    name=st.sampled_from(sorted(SPLITS)),
    users=st.lists(
        st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=9),
        min_size=6,
        max_size=12,
    ),
    is_timed=st.booleans(),
    anybody=st.booleans(),
)
def test_no_copy_of_a_target_is_known(name, users, is_timed, anybody):
    histories = [
        [(product, time if is_timed else NO_TIME) for product, time in enumerate(sorted(times))]
        for times in ([time for _, time in user] for user in users)
    ]
    graph = graph_of(*histories)
    text = np.concatenate([[text for text, _ in user] for user in users])
    # Several users may have written the texts 0 and 1.
    writer = np.where(anybody & (text < 2), 0, graph.edge_user)
    graph = replace(graph, edge_copy=writer * 5 + text)
    try:
        split = SPLITS[name].split(graph)
    except InputError:
        assume(False)
    tasks = [split.validation] + ([split.test] if split.test else [])
    targets = np.logical_or.reduce([task.target for task in tasks])
    assert not np.isin(graph.edge_copy[split.train], graph.edge_copy[targets]).any()
    if split.test:
        tested = graph.edge_copy[split.test.target]
        assert not np.isin(graph.edge_copy[split.known], tested).any()
    for task in tasks:
        shown = graph.edge_copy[task.history]
        assert not np.isin(graph.edge_copy[task.target], shown).any()


@pytest.mark.parametrize("name", sorted(SPLITS))
def test_without_copies_nothing_changes(name):
    graph = graph_of(*([at(1, 2, 3, 4, 5, 6)] * 10))
    graph = replace(graph, edge_time=np.arange(graph.num_edges) % 37)
    alone = replace(graph, edge_copy=np.arange(graph.num_edges) + 7)
    assert told(SPLITS[name].split(graph)) == told(SPLITS[name].split(alone))
