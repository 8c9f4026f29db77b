import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.foundation.build import build
from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import NO_TIME, ReviewGraph
from rec_sys.graph.segments import rows_to_pointers
from rec_sys.graph.splits.checks import check_usable
from rec_sys.graph.splits.description import describe_split, split_fingerprint
from rec_sys.graph.splits.draw import draw_groups
from rec_sys.graph.splits.leave_one_out import LeaveOneOut
from rec_sys.graph.splits.new_products import NewProducts
from rec_sys.graph.splits.new_users import NewUsers
from rec_sys.graph.splits.time import GlobalTime
from rec_sys.graph.splits.users import HeldOutUsers
from rec_sys.graph.task import Split, Task

NAMES = ("users", "leave_one_out", "time", "new_products", "new_users")
X = NO_TIME


def graph_of(*users, products=None):
    """A graph from lists of (product, time), one list per user, each in time order."""
    edges = [edge for user in users for edge in user]
    product, time = (np.array([e[i] for e in edges], dtype=np.int64) for i in (0, 1))
    owner = np.repeat(np.arange(len(users)), [len(user) for user in users])
    number = products or (int(product.max()) + 1 if len(product) else 0)
    return ReviewGraph(
        user_ids=np.array([f"u{i}" for i in range(len(users))], dtype=object),
        product_ids=np.array([f"p{i}" for i in range(number)], dtype=object),
        user_ptr=rows_to_pointers(owner, len(users)),
        edge_product=product,
        edge_text=np.zeros(len(edges), dtype=np.int64),
        edge_rating=np.full(len(edges), np.nan, dtype=np.float32),
        edge_time=time,
        product_name_text=np.zeros(number, dtype=np.int64),
        product_info_text=np.zeros(number, dtype=np.int64),
    )


def at(*times):
    """A user who reviews product after product at these times."""
    return list(enumerate(times))


def edges(mask):
    return np.flatnonzero(mask).tolist()


def told(split):
    """All masks as lists of edges."""
    tasks = [(edges(task.target), edges(task.history)) for task in (split.validation, split.test)]
    return edges(split.train), *tasks


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
        for product, task in ((new, split.validation), (newer, split.test)):
            # The last user has no history where that product is held out: hidden.
            assert edges(task.target) == [product, 4 + product]
            assert edges(task.history) == edges(split.train & (graph.edge_user < 2))


def test_too_few_products():
    with pytest.raises(InputError, match=r"too few products to split \(2\)"):
        NewProducts(0.1, 0.2, 0).split(graph_of(at(1, 2)))


# --- all of them


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
        if name in ("time", "leave_one_out"):
            allowed = train | validation.target
        assert not (split.test.history & ~allowed).any()
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
        (lambda: HeldOutUsers(0, 0.0, 0.2, 0), "split.validation_share=0: must be between 0 and 1"),
        (lambda: HeldOutUsers("a", 0.0, 0.2, 0), "split.validation_share=a: must be a number"),
        (lambda: HeldOutUsers(0.1, 0.0, 1, 0), "split.target_share=1: must be between 0 and 1"),
        (lambda: HeldOutUsers(0.1, -0.1, 0.2, 0), "split.test_share=-0.1: .* or 0 for none"),
        (lambda: NewProducts(0.5, 0.5, 0), "split.validation_share=0.5 and split.test_share=0.5"),
        (lambda: NewUsers(0.1, 0.1, 0, 0), "split.history_length=0: must be a whole number from 1"),
        (lambda: NewUsers(0.1, 0.1, 1, -1), "split.seed=-1: must be a whole number from 0"),
        (lambda: time_split(test_from="soon"), "split.test_from=soon: must be a date like"),
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
