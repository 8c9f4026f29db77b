from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.graph.ego_batch import PRODUCT_SHRINKAGE, EgoBatchBuilder, ProductReviews
from rec_sys.graph.review_graph import segment_sum
from rec_sys.graph.task import drawn_targets, newest_targets
from tests.helpers.graphs_by_hand import at, graph_of


def builder_of(graph, vectors, edges=None):
    edges = np.arange(graph.num_edges) if edges is None else edges
    return EgoBatchBuilder(graph, vectors, ProductReviews.of(graph, vectors, edges))


def mask(graph, *edges):
    result = np.zeros(graph.num_edges, dtype=bool)
    result[list(edges)] = True
    return result


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-9, 9)), max_size=30))
def test_segment_sum_equals_a_loop(pairs):
    segment = np.array([s for s, _ in pairs], dtype=np.int64)
    values = np.array([[v] for _, v in pairs], dtype=float).reshape(-1, 1)
    expected = [sum(v for s, v in pairs if s == k) for k in range(5)]
    assert segment_sum(values, segment, 5)[:, 0].tolist() == expected


def test_edges_are_in_time_order_and_an_unknown_time_is_oldest(small_graph):
    graph, _ = small_graph
    assert graph.user_ids.tolist() == ["ann", "bob", "cyd", "dan"]
    assert graph.product_ids[graph.edge_product[:3]].tolist() == ["p3", "p2", "p1"]
    assert graph.edges_of(np.array([2, 0])).tolist() == [4, 5, 6, 0, 1, 2]


@pytest.mark.parametrize("newest", [None, 0, 1, 2])
@given(seed=st.integers(0, 9999))
def test_histories_equal_a_naive_selection(newest, seed):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 5, size=rng.integers(1, 6))
    graph = graph_of(*[at(*rng.integers(0, 9, length)) for length in lengths], products=6)
    graph = replace(
        graph,
        edge_text=np.arange(graph.num_edges) + 100,
        edge_rating=rng.choice(np.array([1, 4, np.nan], dtype=np.float32), graph.num_edges),
    )
    shown = rng.random(graph.num_edges) < 0.6
    users = np.flatnonzero(rng.random(graph.num_users) < 0.7)
    found = graph.histories(users, shown, newest)
    assert found.user_ids.tolist() == graph.user_ids[users].tolist()
    assert found.num_products == graph.num_products
    assert found.user_ptr.dtype == np.int64 and len(found.user_ptr) == len(users) + 1
    for row, user in enumerate(users):
        kept = [e for e in range(*graph.user_ptr[[user, user + 1]]) if shown[e]]
        kept = kept if newest is None else kept[max(len(kept) - newest, 0) :]
        own = slice(*found.user_ptr[[row, row + 1]])
        for name in ("edge_product", "edge_text", "edge_rating", "edge_time"):
            expected = getattr(graph, name)[np.array(kept, dtype=np.int64)]
            np.testing.assert_array_equal(getattr(found, name)[own], expected)


def test_batch_of_known_values(small_graph):
    graph, vectors = small_graph
    batch = builder_of(graph, vectors).build(
        np.array([0, 1]), target=mask(graph, 2), hidden=mask(graph, 3)
    )
    assert batch.edge_index.tolist() == [[2, 1], [0, 0]]  # p3 and p2 -> ann
    assert batch.products.tolist() == [0, 1, 2]
    history = vectors[graph.edge_text[[0, 1]]].astype(np.float32)
    np.testing.assert_allclose(batch.user_features[0], history.mean(axis=0), rtol=1e-5)
    assert not batch.user_features[1].any()  # bob has nothing left to show
    assert batch.edge_rating.tolist() == [3, 1]
    assert batch.edge_age.tolist() == [0, 0]
    assert batch.edge_step.tolist() == [1, 0]
    assert (batch.target_user.tolist(), batch.target_product.tolist()) == ([0], [0])
    assert batch.target_rating.tolist() == [5]


def test_the_target_review_leaves_no_trace_in_the_inputs(small_graph):
    """Text and rating of a predicted review change; nothing that the model sees may change."""
    graph, vectors = small_graph
    users, target = np.array([0, 2]), mask(graph, 2, 6)
    none = mask(graph)
    before = builder_of(graph, vectors).build(users, target, none).model_inputs()
    changed = vectors.copy()
    changed[graph.edge_text[[2, 6]]] += 100
    graph.edge_rating[[2, 6]] = [1, 5]
    after = builder_of(graph, changed).build(users, target, none).model_inputs()
    for name in before:
        np.testing.assert_allclose(before[name], after[name], atol=1e-2, err_msg=name)


def test_further_products_are_embedded_with_those_that_occur(small_graph):
    graph, vectors = small_graph
    builder, users = builder_of(graph, vectors), np.array([3])  # dan knows p4 alone
    batch = builder.build(users, mask(graph), mask(graph), others=np.array([1, 3]))
    assert batch.products.tolist() == [1, 3] and batch.edge_index.tolist() == [[1], [0]]
    alone = builder.build(users, mask(graph), mask(graph))
    np.testing.assert_array_equal(batch.product_name_features[1:], alone.product_name_features)


def test_an_edge_that_is_target_and_hidden_is_only_a_target(small_graph):
    graph, vectors = small_graph
    everything = np.ones(graph.num_edges, dtype=bool)
    batch = builder_of(graph, vectors).build(np.arange(4), everything, everything)
    assert batch.edge_index.shape == (2, 0)
    assert len(batch.target_user) == graph.num_edges


def test_a_user_twice_is_refused(small_graph):
    graph, vectors = small_graph
    with pytest.raises(ValueError, match="twice"):
        builder_of(graph, vectors).build(np.array([0, 0]), mask(graph), mask(graph))


def test_product_reviews_equal_a_naive_mean(small_graph):
    graph, vectors = small_graph
    known = ProductReviews.of(graph, vectors, np.array([0, 2, 3, 4]))
    p1 = [e for e in (0, 2, 3, 4) if graph.edge_product[e] == 0]
    naive = vectors[graph.edge_text[p1]].astype(np.float32).mean(axis=0)
    summary = known.summary
    np.testing.assert_allclose(summary.texts[0], naive, rtol=1e-5)
    # p1 has 5, 4 and 4 stars: distances 1, 0.5 and 0.5 from the middle, against imaginary ones.
    total = 3 + PRODUCT_SHRINKAGE
    expected = [2 / total, 3 / total, np.log(1 + 3) / 7]
    np.testing.assert_allclose(summary.ratings[0], expected, rtol=1e-6)
    assert not summary.texts[3].any() and not summary.ratings[3].any()


def test_what_is_left_out_equals_never_known(small_graph):
    graph, vectors = small_graph
    products, edges = np.array([0, 1, 3]), np.array([2, 1, 5, 6])
    without = ProductReviews.of(graph, vectors, np.arange(graph.num_edges)).summary_without(
        products, graph, vectors, edges
    )
    never = ProductReviews.of(graph, vectors, np.setdiff1d(np.arange(graph.num_edges), edges))
    for one, two in zip(without, never.summary, strict=True):
        np.testing.assert_allclose(one, two[products], atol=1e-3)


@given(seed=st.integers(0, 99), share=st.floats(0.05, 0.9))
def test_drawn_targets_leave_a_history(seed, share):
    rng = np.random.default_rng(seed)
    graph = graph_of(*[at(*range(degree)) for degree in rng.integers(1, 8, size=9)])
    users = np.array([1, 4, 7])
    train = rng.random(graph.num_edges) < 0.7
    train[graph.user_ptr[users]] = True
    target = drawn_targets(graph, users, share, rng, train)
    assert not (target & ~train).any()
    per_user = np.add.reduceat(target, graph.user_ptr[:-1])
    train_degrees = np.add.reduceat(train, graph.user_ptr[:-1])
    for user in range(9):
        if user not in users:
            assert per_user[user] == 0
        else:
            assert 1 <= per_user[user] <= max(1, train_degrees[user] - 1)


def test_newest_targets(small_graph):
    graph, _ = small_graph
    target = newest_targets(graph, np.arange(4), share=0.2)
    assert np.flatnonzero(target).tolist() == [2, 6]  # single reviews are never targets
