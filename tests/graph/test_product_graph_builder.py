from dataclasses import fields, replace

import numpy as np
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import NO_BRAND, ReviewGraph
from rec_sys.modules.product_graph import (
    ProductGraphBuilder,
    co_occurrence,
    ease_weights,
    partial_histories,
)
from rec_sys.reviews.schema import NO_TIME

NUM_PRODUCTS, DIMENSION = 8, 6
UNREVIEWED = (6, 7)
#: EASE alone: no texts, no order, no time.
EASE = ProductGraphBuilder(
    l2=2.0,
    name_weight=0,
    info_weight=0,
    review_weight=0,
    brand_weight=0,
    half_life_days=0,
    order_share=0,
    past_decay=0.8,
    future_decay=0.5,
    longest_history=50,
    history_decay=0.9,
    disliked_weight=0.7,
    liked_above=3.0,
    neighbours=100,
    new_product_boost=1.0,
    max_products=100,
)
WITH_ALL = replace(
    EASE, name_weight=1.0, info_weight=1.0, review_weight=1.0, half_life_days=3, order_share=0.5
)


@pytest.fixture
def shop():
    """Thirty people on the first six products; 6 has the name of 0, and 7 that of 1."""
    rng = np.random.default_rng(0)
    products = [rng.permutation(6)[: rng.integers(1, 5)] for _ in range(30)]
    lengths = [len(each) for each in products]
    num_edges = sum(lengths)
    vectors = rng.normal(size=(1 + NUM_PRODUCTS + num_edges, DIMENSION)).astype(np.float16)
    vectors[0] = 0
    names = np.arange(1, NUM_PRODUCTS + 1)
    names[list(UNREVIEWED)] = names[:2]
    graph = ReviewGraph(
        user_ids=np.array([f"u{user:02}" for user in range(30)], dtype=object),
        product_ids=np.array([f"p{product}" for product in range(NUM_PRODUCTS)], dtype=object),
        user_ptr=np.append(0, np.cumsum(lengths)),
        edge_product=np.concatenate(products).astype(np.int64),
        edge_text=1 + NUM_PRODUCTS + np.arange(num_edges),
        edge_rating=rng.integers(1, 6, num_edges).astype(np.float32),
        edge_time=86_400 * np.arange(num_edges),
        product_name_text=names,
        product_info_text=np.zeros(NUM_PRODUCTS, dtype=np.int64),
        product_brand=np.array([0, 0, 0, 1, 1, 2, NO_BRAND, 1]),
    )
    return graph, vectors


def dense(product_graph):
    return product_graph.matrix.toarray()


def all_of(graph):
    return np.arange(graph.num_edges)


def test_without_texts_order_and_time_it_is_ease(shop):
    graph, vectors = shop
    built = EASE.build(graph, vectors, all_of(graph))
    gram = co_occurrence(graph.edge_user, graph.edge_product, 30, NUM_PRODUCTS)
    np.testing.assert_allclose(dense(built), ease_weights(gram, 2.0), atol=1e-6)
    settings = built.history_decay, built.disliked_weight, built.liked_above
    assert settings == (0.9, 0.7, 3.0)
    assert built.pointers.dtype == np.int64 and built.neighbours.dtype == np.int32
    assert built.weights.dtype == np.float32


def test_the_texts_join_the_equations(shop):
    """As people do: by the inner products of the centred texts of reviewed products."""
    graph, vectors = shop
    built = replace(EASE, name_weight=0.5).build(graph, vectors, all_of(graph))
    names = vectors[graph.product_name_text[:6]].astype(np.float64)
    texts = np.sqrt(0.5) * (names - names.mean(axis=0))
    gram = co_occurrence(graph.edge_user, graph.edge_product, 30, 6).toarray() + texts @ texts.T
    np.testing.assert_allclose(dense(built)[:6, :6], ease_weights(gram, 2.0), atol=1e-5)


def test_brands_join_the_equations_as_texts_do(shop):
    """By a column for each brand of several products; product 5 is the only one of its brand."""
    graph, vectors = shop
    built = replace(EASE, brand_weight=0.5).build(graph, vectors, all_of(graph))
    columns = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]])
    brands = np.zeros((6, 2))
    brands[:5] = np.sqrt(0.5) * (columns - columns.mean(axis=0))
    gram = co_occurrence(graph.edge_user, graph.edge_product, 30, 6).toarray() + brands @ brands.T
    np.testing.assert_allclose(dense(built)[:6, :6], ease_weights(gram, 2.0), atol=1e-5)


def test_a_new_product_is_connected_with_those_of_its_brand(shop):
    graph, vectors = shop
    weights = dense(replace(EASE, brand_weight=5.0).build(graph, vectors, all_of(graph)))
    others = np.delete(np.arange(6), [3, 4])
    assert weights[[3, 4], 7].min() > weights[others, 7].max()
    assert not weights[:, 6].any() and not weights[6].any()


def test_old_reviews_count_less_and_those_without_a_time_do_not(shop):
    graph, vectors = shop
    time = np.where(np.arange(graph.num_edges) % 3, graph.edge_time, NO_TIME)
    built = replace(EASE, half_life_days=10).build(
        replace(graph, edge_time=time), vectors, all_of(graph)
    )
    reviewed = np.zeros((30, 6))
    for user, product, when in zip(graph.edge_user, graph.edge_product, time, strict=True):
        age = 0 if when == NO_TIME else (time.max() - when) / 86_400
        reviewed[user, product] = np.sqrt(0.5 ** (age / 10))
    expected = ease_weights((reviewed.T @ reviewed).astype(np.float32), 2.0)
    np.testing.assert_allclose(dense(built)[:6, :6], expected, atol=1e-5)


def test_the_order_adds_the_regression_from_before_to_after(shop):
    graph, vectors = shop
    built = replace(EASE, order_share=0.5).build(graph, vectors, all_of(graph))
    past, future = (
        each.toarray().astype(np.float64)
        for each in partial_histories(graph.edge_user, graph.edge_product, 6, 0.8, 0.5, 50)
    )
    after = np.linalg.solve(past.T @ past + 2.0 * np.eye(6), past.T @ future)
    plain = dense(EASE.build(graph, vectors, all_of(graph)))[:6, :6]
    np.testing.assert_allclose(dense(built)[:6, :6], plain + 0.5 * after, atol=1e-5)


def test_a_product_without_reviews_is_connected_by_its_text(shop):
    """6 says what 0 says: of all products 0 speaks most for it, and it for 0."""
    graph, vectors = shop
    weights = dense(replace(EASE, name_weight=2.0).build(graph, vectors, all_of(graph)))
    for new, alike in zip(UNREVIEWED, (0, 1), strict=True):
        assert weights[:6, new].argmax() == weights[new, :6].argmax() == alike
        assert weights[alike, new] > 0 and weights[new, alike] > 0
    assert not weights[np.ix_(UNREVIEWED, UNREVIEWED)].any()
    boosted = replace(EASE, name_weight=2.0, new_product_boost=3.0)
    higher = dense(boosted.build(graph, vectors, all_of(graph)))
    np.testing.assert_allclose(higher[:, 6:], 3 * weights[:, 6:], rtol=1e-5)
    np.testing.assert_array_equal(higher[:, :6], weights[:, :6])


def test_a_new_product_gets_nearly_what_a_new_solution_gives_it(shop):
    """The column by the block inverse, up to its length, equals solving with its zeros left out."""
    graph, vectors = shop
    built = dense(replace(EASE, name_weight=2.0).build(graph, vectors, all_of(graph)))
    names = vectors[graph.product_name_text[:7]].astype(np.float64)
    texts = np.sqrt(2.0) * (names - names[:6].mean(axis=0))
    system = texts @ texts.T + 2.0 * np.eye(7)
    system[:6, :6] += co_occurrence(graph.edge_user, graph.edge_product, 30, 6).toarray()
    inverse = np.linalg.inv(system)
    column = -inverse[:6, 6] / inverse[6, 6]
    found = built[:6, 6]
    np.testing.assert_allclose(
        found / np.linalg.norm(found), column / np.linalg.norm(column), atol=1e-4
    )


def test_other_than_the_given_edges_change_nothing(shop):
    graph, vectors = shop
    edges = np.flatnonzero(np.arange(graph.num_edges) % 4)
    before = WITH_ALL.build(graph, vectors, edges)
    others = np.setdiff1d(all_of(graph), edges)
    changed = replace(graph, edge_product=graph.edge_product.copy())
    changed = replace(changed, edge_rating=graph.edge_rating.copy())
    changed = replace(changed, edge_time=graph.edge_time.copy())
    changed.edge_product[others] = 7
    changed.edge_rating[others] = 1
    changed.edge_time[others] += 10**9
    vectors = vectors.copy()
    vectors[graph.edge_text[others]] += 5
    after = WITH_ALL.build(changed, vectors, edges)
    for field in fields(before):
        np.testing.assert_array_equal(getattr(before, field.name), getattr(after, field.name))


def test_it_is_the_same_every_time(shop):
    graph, vectors = shop
    one, two = (WITH_ALL.build(graph, vectors, all_of(graph)) for _ in range(2))
    for field in fields(one):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(two, field.name))


def test_only_the_heaviest_edges_are_kept_and_in_order(shop):
    graph, vectors = shop
    everything = dense(WITH_ALL.build(graph, vectors, all_of(graph)))
    built = replace(WITH_ALL, neighbours=2).build(graph, vectors, all_of(graph))
    assert (np.diff(built.pointers) == 2).all()
    for product in range(NUM_PRODUCTS):
        own = built.neighbours[built.pointers[product] : built.pointers[product + 1]]
        heaviest = np.argsort(-np.abs(everything[product]))[:2]
        assert own.tolist() == sorted(heaviest)
    kept = dense(built) != 0
    np.testing.assert_allclose(dense(built)[kept], everything[kept], atol=1e-6)


def test_a_product_outside_the_equations_counts_as_if_nobody_had_reviewed_it(shop):
    graph, vectors = shop
    counts = np.bincount(graph.edge_product, minlength=NUM_PRODUCTS)
    solved = np.sort(np.argsort(-counts, kind="stable")[:3])
    settings = replace(EASE, name_weight=1.0)
    few = replace(settings, max_products=3).build(graph, vectors, all_of(graph))
    within = np.flatnonzero(np.isin(graph.edge_product, solved))
    np.testing.assert_allclose(dense(few), dense(settings.build(graph, vectors, within)), atol=1e-6)
    assert few.num_products == NUM_PRODUCTS
    assert dense(few)[solved].any(axis=1).all()
    with_all = replace(WITH_ALL, max_products=3).build(graph, vectors, all_of(graph))
    assert np.isfinite(with_all.weights).all()


def test_without_edges_or_neighbours_there_is_nothing(shop):
    graph, vectors = shop
    empty = np.empty(0, dtype=np.int64)
    for built in (
        WITH_ALL.build(graph, vectors, empty),
        replace(WITH_ALL, neighbours=0).build(graph, vectors, all_of(graph)),
    ):
        assert built.num_products == NUM_PRODUCTS and not len(built.weights)
    single = WITH_ALL.build(graph, vectors, np.array([4]))
    assert single.num_products == NUM_PRODUCTS and np.isfinite(single.weights).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("l2", 0), ("name_weight", -1), ("half_life_days", "long"), ("past_decay", 1.5)),
        *(("neighbours", 2.5), ("neighbours", -1), ("longest_history", 1), ("max_products", 0)),
        *(("order_share", True), ("new_product_boost", -0.1)),
    ],
)
def test_unusable_settings_are_named(name, value):
    with pytest.raises(InputError, match=f"product_graph.{name}="):
        replace(EASE, **{name: value})
