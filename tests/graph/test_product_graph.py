import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.modules.product_graph import ProductGraph

LIKED, DISLIKED, UNRATED = 5.0, 2.0, np.nan
# 0 -> 1 and 0 -> 2, 2 -> 0; 1 and 3 lead nowhere.
HAND_MADE = {
    "pointers": np.array([0, 2, 2, 3, 3]),
    "neighbours": np.array([1, 2, 0], dtype=np.int32),
    "weights": np.array([1.0, -0.5, 4.0], dtype=np.float32),
}


def hand_made(history_decay=0.5, disliked_weight=0.25, liked_above=3.0):
    return ProductGraph(**HAND_MADE, **locals())


def score_one(graph, products, ratings):
    """The scores of one person."""
    history = np.array(products, dtype=np.int64), np.array(ratings, dtype=np.float32)
    return graph.walk(np.array([0, len(products)]), *history).toarray()[0].tolist()


@pytest.mark.parametrize(
    ("products", "ratings", "expected"),
    [
        ([], [], [0, 0, 0, 0]),
        ([0], [LIKED], [0, 1, -0.5, 0]),
        ([1], [LIKED], [0, 0, 0, 0]),
        ([0, 2], [LIKED, LIKED], [4, 0.5, -0.25, 0]),  # the older one counts half
        ([0, 2], [LIKED, DISLIKED], [1, 0.5, -0.25, 0]),  # a dislike a quarter
        ([0], [UNRATED], [0, 1, -0.5, 0]),  # a missing rating is no dislike
        ([0], [0], [0, 1, -0.5, 0]),  # neither is a missing one written as 0
        ([0], [3.0], [0, 0.25, -0.125, 0]),  # not above 3 stars
        ([-1], [LIKED], [0, 0, 0, 0]),
        ([0, -1, -1], [LIKED] * 3, [0, 0.25, -0.125, 0]),  # unknown products are steps all the same
        ([0, 0], [LIKED] * 2, [0, 1.5, -0.75, 0]),
    ],
)
def test_scores_by_hand(products, ratings, expected):
    assert score_one(hand_made(), products, ratings) == expected


def test_only_connected_products_are_carried_to():
    pointers, products = np.array([0, 1, 1, 3]), np.array([0, 2, -1])
    scores = hand_made().walk(pointers, products, np.full(3, LIKED, np.float32))
    assert scores.shape == (3, 4) and scores.dtype == np.float32
    assert scores.indptr.tolist() == [0, 2, 2, 3]
    assert scores.indices.tolist() == [1, 2, 0]
    assert scores.data.tolist() == [1, -0.5, 2]


def test_without_a_decay_only_the_newest_review_counts():
    graph = hand_made(history_decay=0)
    assert score_one(graph, [0, 2], [LIKED, LIKED]) == [4, 0, 0, 0]
    assert score_one(graph, [2, 0], [LIKED, DISLIKED]) == [0, 0.25, -0.125, 0]
    assert score_one(graph, [0, -1], [LIKED, LIKED]) == [0, 0, 0, 0]  # it leads nowhere


@st.composite
def graphs_and_histories(draw):
    rng = np.random.default_rng(draw(st.integers(0, 9999)))
    num_products = draw(st.integers(1, 8))
    weights = rng.normal(size=(num_products, num_products)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.5] = 0
    source, target = np.nonzero(weights)
    graph = ProductGraph(
        np.searchsorted(source, np.arange(num_products + 1)),
        target.astype(np.int32),
        weights[source, target],
        *(0.8, 0.3, 3.0),
    )
    lengths = rng.integers(0, 5, draw(st.integers(0, 4)))
    product = rng.integers(-1, num_products, lengths.sum())
    rating = rng.choice([0, 1, 3, 4, np.nan], lengths.sum()).astype(np.float32)
    return graph, weights, np.append(0, np.cumsum(lengths)), product, rating


@settings(deadline=None)
@given(graphs_and_histories())
def test_walk_and_contributions_equal_a_naive_loop(drawn):
    graph, weights, pointers, product, rating = drawn
    naive = np.zeros((len(pointers) - 1, graph.num_products))
    for user in range(len(naive)):
        for edge in range(pointers[user], pointers[user + 1]):
            share = 0.8 ** (pointers[user + 1] - 1 - edge) * (0.3 if 0 < rating[edge] <= 3 else 1)
            if product[edge] >= 0:
                naive[user] += share * weights[product[edge]]
    scores = graph.walk(pointers, product, rating)
    assert scores.dtype == np.float32 and scores.shape == naive.shape
    np.testing.assert_allclose(scores.toarray(), naive, atol=1e-5)

    user = np.repeat(np.arange(len(naive)), np.diff(scores.indptr))
    pairs = list(zip(user.tolist(), scores.indices.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    dense = np.zeros_like(naive)
    dense[user, scores.indices] = scores.data
    np.testing.assert_array_equal(dense.astype(np.float32), scores.toarray())

    targets = np.arange(graph.num_products)[::-2]
    for user, (start, stop) in enumerate(zip(pointers[:-1], pointers[1:], strict=True)):
        own = slice(start, stop)
        contributions = graph.contributions(product[own], rating[own], targets)
        assert contributions.shape == (stop - start, len(targets))
        np.testing.assert_allclose(contributions.sum(axis=0), naive[user, targets], atol=1e-5)


@settings(deadline=None)
@given(graphs_and_histories(), st.integers(0, 9999))
def test_unknown_products_walk_from_the_products_they_are_like(drawn, seed):
    """As if each were a mixture of the others; reviews of known products are as before."""
    graph, _, pointers, product, rating = drawn
    rng = np.random.default_rng(seed)
    size, unknown = graph.num_products, product < 0
    shares = rng.random((len(product), size)) * (rng.random((len(product), size)) < 0.5)
    shares = (shares * unknown[:, None]).astype(np.float32)
    links = scipy.sparse.csr_array(shares)
    found = graph.walk(pointers, product, rating, links)
    assert found.dtype == np.float32
    # A walk from the mixture is the mixture of the walks.
    expected = graph.walk(pointers, product, rating).toarray().astype(np.float64)
    for source in range(size):
        there = np.where(unknown, source, -1)
        users = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
        for edge in np.flatnonzero(unknown):
            alone = np.where(np.arange(len(product)) == edge, there, -1)
            walked = graph.walk(pointers, alone, rating).toarray()[users[edge]]
            expected[users[edge]] += shares[edge, source] * walked
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)

    targets = np.arange(size)[::-1]
    for user, own in enumerate(map(slice, pointers[:-1], pointers[1:])):
        parts = graph.contributions(product[own], rating[own], targets, links[own])
        np.testing.assert_allclose(parts.sum(axis=0), found.toarray()[user, targets], atol=1e-5)
        known = graph.contributions(product[own], rating[own], targets)
        np.testing.assert_array_equal(parts[~unknown[own]], known[~unknown[own]])


def test_a_link_is_a_mixture_of_products_by_hand():
    links = scipy.sparse.csr_array(np.array([[0.5, 0.25, 0.25, 0], [0, 0, 0, 0]], np.float32))
    history = np.array([-1, 0]), np.array([LIKED, LIKED], np.float32)
    found = hand_made().walk(np.array([0, 2, 2]), *history, links).toarray()
    # The older one counts half: 0.5 * (0.5 * [0, 1, -0.5, 0] + 0.25 * [4, 0, 0, 0]).
    assert found.tolist() == [[0.5, 1.25, -0.625, 0], [0, 0, 0, 0]]
    parts = hand_made().contributions(*history, np.array([0, 1]), links)
    assert parts.tolist() == [[0.5, 0.25], [0, 1]]
    # Nobody has reviewed anything: there is nothing to walk from.
    nothing = hand_made().walk(np.array([0, 0]), history[0][:0], history[1][:0], links[:0])
    assert nothing.shape == (1, 4) and not nothing.nnz


def test_a_graph_without_edges_says_nothing():
    graph = ProductGraph.without_edges(3)
    assert graph.num_products == 3
    assert score_one(graph, [0, 2, -1], [LIKED] * 3) == [0, 0, 0]
    assert not graph.walk(np.array([0, 1]), np.array([1]), np.array([LIKED])).nnz
    assert not graph.contributions(np.array([1]), np.array([LIKED]), np.array([0, 2])).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"history_decay": -0.1}, "product_graph.history_decay=-0.1"),
        ({"history_decay": 1.5}, "product_graph.history_decay=1.5"),
        ({"disliked_weight": -1}, "product_graph.disliked_weight=-1"),
    ],
)
def test_unusable_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        hand_made(**settings)
