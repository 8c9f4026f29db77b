import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.splits import (
    GlobalTime,
    HeldOutUsers,
    LeaveOneOut,
    NewProducts,
    continue_groups,
    split_fingerprint,
)
from rec_sys.graph.task import Groups, Provenance, Split, Task, require_unlearned
from tests.helpers.graphs_by_hand import at, edges, graph_of, told


def mask(number, *rows):
    found = np.zeros(number, dtype=bool)
    found[list(rows)] = True
    return found


def test_a_split_is_kept_whole():
    graph = graph_of(*[at(1, 2, 3)] * 10)
    for splitter in (LeaveOneOut(), HeldOutUsers(0.2, 0.0, 0.5, 0), HeldOutUsers(0.2, 0.2, 0.5, 0)):
        split = splitter.split(graph)
        again = Provenance.of(split, graph).split(split.name, graph)
        assert split_fingerprint(again) == split_fingerprint(split)
    split = GlobalTime(0.3, 0.3, None, None).split(graph)
    again = Provenance.of(split, graph).split(split.name, graph)
    assert (again.validation.begin, again.test.begin) == (2, 3)
    users = np.arange(graph.num_users)
    for one, two in ((split.validation, again.validation), (split.test, again.test)):
        np.testing.assert_array_equal(two.asked(graph, users), one.asked(graph, users))
    with pytest.raises(InputError, match="trained with 30 reviews, not with these 3"):
        Provenance.of(split, graph).split("x", graph_of(at(1, 2, 3)))


def test_groups_are_kept_and_new_ones_drawn():
    known = Groups(mask(30, *range(5)), mask(30, 5, 6), mask(30, 7))
    train, validation, test = continue_groups(known, [0.5, 0.0], 0, "users")
    assert set(range(5)) <= set(train) and {5, 6} <= set(validation) and test.tolist() == [7]
    assert len(validation) == 2 + 11 and len(train) == 5 + 11
    assert sorted([*train, *validation, *test]) == list(range(30))
    # A single newcomer trains, as long as somebody is left to measure with ...
    train, validation, _ = continue_groups(Groups(*(m[:9] for m in known)), [0.4, 0.0], 0, "users")
    assert (train.tolist(), validation.tolist()) == ([*range(5), 8], [5, 6])
    # ... and validates if nobody is.
    nobody = Groups(mask(6, *range(5)), mask(6), mask(6))
    assert continue_groups(nobody, [0.1, 0.0], 0, "users")[1].tolist() == [5]
    with pytest.raises(InputError, match="of the 5 users only 0 are new to the checkpoint"):
        continue_groups(Groups(*(m[:5] for m in nobody)), [0.1, 0.0], 0, "users")


def test_a_third_review_is_a_target_but_the_learnt_second_is_not():
    before, now = graph_of(at(1, 2), at(1, 2, 3)), graph_of(at(1, 2, 3), at(1, 2, 3, 4))
    seen = Provenance.of(LeaveOneOut().split(before), before)
    assert edges(seen.learned_edges(now)) == [0, 1, 3]
    train, validation, test = told(LeaveOneOut().split(now, seen))
    assert (train, validation[0], test[0]) == ([0, 1, 3, 4], [5], [2, 6])
    assert validation[1] == [3, 4]


def test_an_older_review_that_arrives_late_is_no_target_before_a_learnt_one():
    before = graph_of([(0, 1), (1, 5)])
    now = graph_of([(0, 1), (2, 3), (1, 5), (3, 9)])  # product 2 in between, product 3 last
    seen = Provenance.of(LeaveOneOut().split(before), before)
    train, validation, test = told(LeaveOneOut().split(now, seen))
    assert (train, validation[0], test[0]) == ([0, 1, 2], [], [3])


def test_products_keep_their_parts():
    before = graph_of(*[at(1, 2, 3, 4, 5, 6)] * 3)
    now = graph_of(*[at(*range(1, 13))] * 3)
    splitter = NewProducts(0.2, 0.2, 0)
    seen = Provenance.of(splitter.split(before), before)
    learnt, validation, test = (set(np.flatnonzero(m)) for m in seen.product_groups(before))
    assert [len(each) for each in (learnt, validation, test)] == [4, 1, 1]
    split = splitter.split(now, seen)
    parts = (split.train, split.validation.target, split.test.target)
    products = [set(now.edge_product[each]) for each in parts]
    assert learnt < products[0] and validation < products[1] and test < products[2]


def test_the_validation_begins_after_what_was_learnt():
    before = graph_of(at(*range(10)))  # 8 is for validation, 9 for the test
    seen = Provenance.of(GlobalTime(0.1, 0.1, None, None).split(before), before)
    assert edges(seen.learned_edges(before)) == list(range(8))
    # Without what came last, a tenth would begin at 7, which was learnt from.
    fewer = graph_of(at(*range(9)))
    split = GlobalTime(0.2, 0.0, None, None).split(fewer, seen)
    assert edges(split.validation.target) == [8]
    require_unlearned(split, fewer, seen)


def test_a_learnt_target_is_refused():
    graph = graph_of(at(1, 2, 3))
    seen = Provenance.of(LeaveOneOut().split(graph), graph)
    split = Split("by hand", mask(3, 1), Task(mask(3, 0), mask(3, 1)), None)
    with pytest.raises(InputError, match="learned from 1 of the 1 reviews that split=by hand"):
        require_unlearned(split, graph, seen)
