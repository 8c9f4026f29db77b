"""What holds of every split."""

from functools import cache

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import build
from rec_sys.graph.splits import (
    GlobalTime,
    HeldOutUsers,
    LeaveOneOut,
    NewProducts,
    NewUsers,
    describe_split,
    split_fingerprint,
)
from rec_sys.graph.task import NOW, Provenance, Split, Task
from rec_sys.reviews.schema import NO_TIME
from tests.helpers.graphs_by_hand import at, graph_of

NAMES = ("users", "leave_one_out", "time", "new_products", "new_users")
X = NO_TIME


@cache  # Hydra takes longer than everything else; the splitters keep nothing between graphs
def from_config(name):
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return build(compose("train_config", [f"split={name}"]).split)


@st.composite
def graphs(draw):
    """Graphs with every odd thing: users without reviews, ties, unknown times."""
    time = st.one_of(st.just(X), st.integers(0, 6), st.integers(0, 10**9))
    lengths = draw(st.lists(st.integers(0, 5), min_size=3, max_size=8))
    return graph_of(
        *[
            list(
                zip(
                    draw(st.permutations(range(6)))[:length],
                    sorted(draw(st.lists(time, min_size=length, max_size=length))),
                    strict=True,
                )
            )
            for length in lengths
        ]
    )


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(graph=graphs())
def test_nothing_leaks(name, graph):
    splitter = from_config(name)
    try:
        split = splitter.split(graph)
    except InputError:
        return
    train, validation = split.train, split.validation
    target = np.zeros_like(train) if split.test is None else split.test.target
    assert (train.astype(int) + validation.target + target).max(initial=0) <= 1
    allowed = {"users": ~train, "new_users": ~train}.get(name, train)
    assert not (validation.history & ~allowed).any()
    if split.test is not None:
        if name in ("time", "leave_one_out", "new_products"):
            allowed = train | validation.target
        assert not (split.test.history & ~allowed).any()
        assert not (split.known & target).any()
        assert (split.known[train | validation.target]).all()
        if name in ("users", "new_users"):
            users = [graph.edge_user[t.target | t.history] for t in (validation, split.test)]
            assert not set(users[0]) & set(users[1])
    if name in ("users", "new_users", "leave_one_out", "time"):
        for task in filter(None, (validation, split.test)):
            for user in task.users(graph):
                own = graph.edge_user == user
                shown, hidden = graph.edge_time[task.history & own], task.target & own
                assert shown.max(initial=X) <= graph.edge_time[hidden].min()
    if name == "time":
        parts = [graph.edge_time[mask] for mask in (train, validation.target, target)]
        assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min()
    if name == "new_products":
        held_out = graph.edge_product[validation.target | target]
        assert not set(held_out) & set(graph.edge_product[train])
    again = splitter.split(graph)
    assert split_fingerprint(again) == split_fingerprint(split)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(graph=graphs())
def test_the_moment_of_asking_comes_from_what_is_shown(name, graph):
    try:
        split = from_config(name).split(graph)
    except InputError:
        return
    for task in filter(None, (split.validation, split.test)):
        users = task.users(graph)
        asked = task.asked(graph, users)
        assert asked.dtype == np.int64 and asked.shape == users.shape
        assert (task.begin is not None) == (name == "time")
        for user, moment in zip(users, asked, strict=True):
            own = graph.edge_user == user
            newest = graph.edge_time[own & task.history].max(initial=X)
            if name == "time":
                # The cut: after all that is shown, and not after anything to be predicted.
                assert newest < moment == task.begin <= graph.edge_time[own & task.target].min()
            else:
                assert moment == (NOW if newest == X else newest)
    if name == "time":
        times = graph.edge_time
        assert times[split.train].max() < split.validation.begin
        assert split.validation.begin <= times[split.validation.target].min()
        assert times[split.validation.target].max() < split.test.begin


def test_the_moment_of_asking_by_hand():
    graph = graph_of([(0, X), (1, 4), (2, 9)], [(0, X), (1, X)], [(0, 3)], [(0, 5), (1, 7)])
    target, history = np.zeros((2, graph.num_edges), dtype=bool)
    target[[2, 4, 5, 7]] = history[[0, 1, 3, 6]] = True
    users = np.arange(4)
    assert Task(target, history).asked(graph, users).tolist() == [4, NOW, NOW, 5]
    assert Task(target, history).asked(graph, users[[3, 0]]).tolist() == [5, 4]
    # From 5 on all targets are: what others wrote until then is known, also to who is silent.
    assert Task(target, history, 5).asked(graph, users).tolist() == [5, 5, 5, 5]
    unknown = graph_of([(0, X), (1, X)])
    last = Task(np.array([False, True]), np.array([True, False]))
    assert last.asked(unknown, np.array([0])).tolist() == [NOW]
    assert not len(last.asked(unknown, np.array([], dtype=np.int64)))


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None)
@given(first=graphs(), second=graphs(), third=graphs())
def test_what_weights_have_learnt_from_is_not_measured(name, first, second, third):
    """Trainings in a row, each starting from the one before; no graph need hold another."""
    splitter, seen, learnt, learnt_users = from_config(name), None, set(), set()
    for graph in (first, second, third):
        try:
            split = splitter.split(graph, seen)
        except InputError:
            return
        pairs = np.array([*zip(graph.edge_user, graph.edge_product, strict=True)]).reshape(-1, 2)
        for task in filter(None, (split.validation, split.test)):
            assert not {tuple(pair) for pair in pairs[task.target]} & learnt
            if name in ("users", "new_users"):
                assert not set(graph.edge_user[task.target | task.history]) & learnt_users
            if name in ("leave_one_out", "time"):
                for user in task.users(graph):
                    own = graph.edge_user == user
                    shown, hidden = graph.edge_time[task.history & own], task.target & own
                    assert shown.max(initial=X) <= graph.edge_time[hidden].min()
        learnt |= {tuple(pair) for pair in pairs[split.train]}
        learnt_users |= set(graph.edge_user[split.train])
        seen = Provenance.of(split, graph, seen)
        assert len(seen.learned.reviews) == len(learnt)
        assert len(seen.learned.users) == len(learnt_users)


def test_another_seed_is_another_split():
    graph = graph_of(*[at(1, 2, 3)] * 30)
    prints = {split_fingerprint(HeldOutUsers(0.1, 0.1, 0.2, seed).split(graph)) for seed in (0, 1)}
    assert len(prints) == 2


def test_the_description_counts_and_names():
    graph = graph_of(*[at(1, 2, 3)] * 10)
    split = NewUsers(0.1, 0.2, 1, 0).split(graph)
    found = describe_split(split, graph, {"seed": 0})
    assert (found["name"], found["settings"]) == ("new_users", {"seed": 0})
    counts = [found[f"{part}_edges"] for part in ("train", "validation", "test")]
    assert counts == [21, 2, 4]
    assert found["validation_user_ids"] == graph.user_ids[split.validation.users(graph)].tolist()
    assert len(found["test_user_ids"]) == 2
    found = describe_split(LeaveOneOut().split(graph), graph, {})
    assert (found["validation_user_ids"], found["test_user_ids"]) == ([], [])
    assert (found["train_edges"], found["test_edges"]) == (10, 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeldOutUsers(0, 0.0, 0.2, 0), "split.validation_share=0: must be above 0"),
        (lambda: HeldOutUsers("a", 0.0, 0.2, 0), "split.validation_share=a: must be a number"),
        (lambda: HeldOutUsers(0.1, 0.0, 1, 0), "split.target_share=1: must be below 1"),
        (lambda: HeldOutUsers(0.1, -0.1, 0.2, 0), "split.test_share=-0.1: must be at least 0"),
        (lambda: NewProducts(0.5, 0.5, 0), "split.validation_share=0.5 and split.test_share=0.5"),
        (lambda: NewUsers(0.1, 0.1, 0, 0), "split.history_length=0: must be at least 1"),
        (lambda: NewUsers(0.1, 0.1, 1, -1), "split.seed=-1: must be at least 0"),
        (lambda: NewUsers(0.1, 0.1, 1, 1.5), "split.seed=1.5: must be a whole number"),
        (lambda: GlobalTime(0.1, 0.1, None, "soon"), "split.test_from=soon: must be a date like"),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_a_leak_is_refused():
    yes, no = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    with pytest.raises(ValueError, match="both a target and part of the history"):
        Task(yes, yes)
    with pytest.raises(ValueError, match="a target is among the training edges"):
        Split("by hand", yes, Task(yes, no), None)
