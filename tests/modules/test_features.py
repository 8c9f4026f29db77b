"""Features: known values, naive loops, and what is stored of them."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.graph.task import NOW
from rec_sys.modules.features import (
    LikingFeature,
    MatchFeature,
    NetworkFeature,
    ProductFeature,
    Situation,
    TrendFeature,
    WalkFeature,
    WordsFeature,
    compress,
    moved_features,
    plain_features,
    read_features,
)
from rec_sys.modules.match import Wishes, bm25
from rec_sys.modules.product_graph import ProductGraph
from tests.helpers.tiny_models import tiny_towers

SEEDS = st.integers(0, 2**32 - 1)
DIMENSION, WORDS = 3, 10
DECAY, DISLIKED, LIKED_ABOVE = 0.8, 0.3, 3.0


def situation_of(
    lengths, product, rating=None, asked=None, network=None, stars=None, num_products=4, **more
):
    shape = (len(lengths), num_products)
    return Situation(
        user_ptr=np.append(0, np.cumsum(lengths)).astype(np.int64),
        product=np.array(product, dtype=np.int64),
        rating=np.full(len(product), 5, np.float32) if rating is None else rating,
        asked=np.full(len(lengths), NOW) if asked is None else np.array(asked),
        network=np.zeros(shape, np.float32) if network is None else network,
        predicted_rating=np.zeros(shape, np.float32) if stars is None else stars,
        **more,
    )


def sparse(array):
    return scipy.sparse.csr_array(array.astype(np.float32))


def random_wishes(rng, num_users):
    """Some say nothing, some only what has no vector."""
    vectors = rng.normal(size=(num_users, DIMENSION)) * (rng.random((num_users, 1)) < 0.7)
    words = rng.integers(0, 4, (num_users, WORDS)) * (rng.random((num_users, WORDS)) < 0.4)
    return Wishes.of(vectors.astype(np.float32), sparse(words))


def random_links(rng, product, num_products):
    """Reviews of unknown products lead to some of the others, or nowhere."""
    shares = rng.random((len(product), num_products)) / num_products
    shares *= (product < 0)[:, None] & (rng.random(shares.shape) < 0.6)
    return sparse(shares)


def random_situation(rng, num_products):
    lengths = rng.integers(0, 5, size=rng.integers(1, 6))
    product = rng.integers(-1, num_products, lengths.sum())
    rating = rng.choice(np.array([0, 1, 3, 4, 5, np.nan], np.float32), lengths.sum())
    shape = (len(lengths), num_products)
    return situation_of(
        lengths,
        product,
        rating,
        asked=rng.choice([3, 7, 12, NOW], len(lengths)),
        network=rng.normal(size=shape).astype(np.float32),
        stars=rng.uniform(0, 5, shape).astype(np.float32),
        num_products=num_products,
        wishes=random_wishes(rng, len(lengths)) if rng.random() < 0.8 else None,
        links=random_links(rng, product, num_products) if rng.random() < 0.8 else None,
    )


def random_graph(rng, num_products):
    """A graph with weights of both signs, and the same as a matrix."""
    weights = rng.normal(scale=0.1, size=(num_products, num_products)).astype(np.float32)
    weights[rng.random(weights.shape) < 0.4] = 0
    graph = ProductGraph.of(scipy.sparse.csr_array(weights), DECAY, DISLIKED, LIKED_ABOVE)
    return graph, weights


def dense(values, situation):
    if scipy.sparse.issparse(values):
        values = values.toarray()
    shape = (situation.num_users, situation.network.shape[1])
    return np.broadcast_to(values, shape)


def test_on_a_log_scale_signs_and_zeros_stay():
    scores = np.array([-0.03, 0.0, 0.01, 10.0])
    expected = [-np.log(4), 0, np.log(2), np.log(1001)]
    np.testing.assert_allclose(compress(scores, 0.01), expected)
    assert compress(scores, 0) is scores


@pytest.mark.parametrize("scale", [0.0, 0.01, 2.0])
@given(seed=SEEDS)
def test_a_walk_equals_a_naive_loop(scale, seed):
    rng = np.random.default_rng(seed)
    num_products = int(rng.integers(1, 7))
    graph, weights = random_graph(rng, num_products)
    situation = random_situation(rng, num_products)
    feature = WalkFeature("walk", "walk", graph, scale, "graph")
    found = feature.values(situation)
    assert found.dtype == np.float32 and scipy.sparse.issparse(found)
    for user in range(situation.num_users):
        own = slice(*situation.user_ptr[[user, user + 1]])
        product, rating = situation.product[own], situation.rating[own]
        leads = np.zeros((len(product), num_products))
        if situation.links is not None:
            leads = situation.links[own].toarray()
        leads[product >= 0, product[product >= 0]] = 1
        sums = np.zeros(num_products)
        for step, (shares, stars) in enumerate(zip(leads[::-1], rating[::-1], strict=True)):
            counts = DISLIKED if 0 < stars <= LIKED_ABOVE else 1.0
            sums += DECAY**step * counts * shares @ weights
        if scale:
            sums = np.sign(sums) * np.log(1 + np.abs(sums) / scale)
        np.testing.assert_allclose(found.toarray()[user], sums, atol=2e-4)

        alone = situation.of_user(user)
        np.testing.assert_allclose(feature.values(alone).toarray()[0], sums, atol=2e-4)
        targets = rng.permutation(num_products)
        parts = feature.contributions(alone, targets)
        assert parts.shape == (len(product), num_products)
        whole = sums[targets]
        if scale:
            assert (parts >= 0).all()  # what speaks against a product is no reason for it
            speaks = whole > 1e-5
            np.testing.assert_allclose(parts.sum(axis=0)[speaks], whole[speaks], atol=5e-4)
            assert (parts.sum(axis=0)[whole < -1e-5] == 0).all()
            assert not parts[~leads.any(axis=1)].any()
        else:
            np.testing.assert_allclose(parts.sum(axis=0), whole, atol=2e-4)


def test_on_a_log_scale_reviews_share_by_what_they_say():
    """Reviews of 0, 1 and 2 say 0.3, 0.1 and -0.2 to product 3: together 0.2."""
    matrix = np.zeros((4, 4), np.float32)
    matrix[:3, 3] = 0.3, 0.1, -0.2
    graph = ProductGraph.of(scipy.sparse.csr_array(matrix), 1.0, 1.0, LIKED_ABOVE)
    feature = WalkFeature("walk", "walk", graph, 0.1, "graph")
    parts = feature.contributions(situation_of([3], np.arange(3)), np.array([3, 0]))
    value = np.log(1 + 0.2 / 0.1)
    np.testing.assert_allclose(parts[:, 0], [0.75 * value, 0.25 * value, 0], rtol=1e-5)
    assert not parts[:, 1].any()


def test_a_situation_of_one_of_the_users():
    situation = random_situation(np.random.default_rng(3), 4)
    assert situation.wishes is not None and situation.links is not None
    for user in range(situation.num_users):
        own = slice(*situation.user_ptr[[user, user + 1]])
        alone = situation.of_user(user)
        assert alone.num_users == 1 and alone.user_ptr.tolist() == [0, own.stop - own.start]
        assert alone.product.tolist() == situation.product[own].tolist()
        np.testing.assert_array_equal(alone.rating, situation.rating[own])
        assert alone.asked.tolist() == [situation.asked[user]]
        np.testing.assert_array_equal(alone.network, situation.network[[user]])
        np.testing.assert_array_equal(alone.predicted_rating, situation.predicted_rating[[user]])
        np.testing.assert_array_equal(alone.links.toarray(), situation.links.toarray()[own])
        np.testing.assert_array_equal(alone.wishes.vectors, situation.wishes.vectors[[user]])
        np.testing.assert_array_equal(
            alone.wishes.words.toarray(), situation.wishes.words.toarray()[[user]]
        )
        assert alone.wished.tolist() == [situation.wished[user]]
    silent = replace(situation, wishes=None, links=None)
    assert silent.of_user(0).wishes is silent.of_user(0).links is None
    assert not silent.wished.any() and len(silent.wished) == situation.num_users


def trend(time, product, num_products=4, half_life=10.0, untimed=None):
    untimed = np.zeros(num_products) if untimed is None else np.array(untimed, dtype=float)
    return TrendFeature(
        "trend", "trend", np.array(time), np.array(product, dtype=np.int64), untimed, half_life
    )


def test_reviews_count_half_after_a_half_life():
    """Products 0 at 0 and 20 s, 1 at 10 s; 2 has none; 3 one without a time. Half-life 10 s."""
    feature = trend([0, 10, 20], [0, 1, 0], untimed=[0, 0, 0, 1])
    found = feature.values(situation_of([0], []))
    late, share = np.array([0.25 + 1, 0.5, 0, 0]), np.array([2, 1, 0, 1]) / 4
    assert found.shape == (1, 4) and found.dtype == np.float32
    np.testing.assert_allclose(found[0], np.log(late + share + 1e-6), rtol=1e-6)
    now = feature.as_of_now()
    assert (now.name, now.evidence) == ("trend", "trend")
    np.testing.assert_array_equal(now.product_values, found[0])


def test_of_what_was_written_from_the_moment_of_asking_on_nothing_is_known():
    feature = trend([0, 10, 20], [0, 1, 0])
    found = feature.values(situation_of([0] * 5, [], asked=[10, 20, 21, 0, 15]))
    at_10 = np.log(np.array([1 + 1, 0, 0, 0]) + 1e-6)  # the review of 1 is not older
    at_20 = np.log(np.array([0.5 + 0.5, 1 + 0.5, 0, 0]) + 1e-6)
    at_21 = np.log(np.array([0.25 + 1 + 2 / 3, 0.5 + 1 / 3, 0, 0]) + 1e-6)
    nothing = np.log(np.full(4, 1e-6))
    np.testing.assert_allclose(found, [at_10, at_20, at_21, nothing, at_20], rtol=1e-6)


@given(seed=SEEDS)
def test_a_trend_equals_a_naive_sum_and_later_reviews_change_nothing(seed):
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, 15, size=rng.integers(1, 12)))
    product, untimed = rng.integers(0, 4, len(time)), rng.integers(0, 3, 4)
    situation = random_situation(rng, 4)
    found = dense(trend(time, product, untimed=untimed).values(situation), situation)
    for row, moment in zip(found, situation.asked, strict=True):
        older = time < moment
        weights, counts = np.zeros(4), untimed.astype(float)
        for when, what in zip(time[older], product[older], strict=True):
            weights[what] += 0.5 ** ((time[older].max() - when) / 10)
            counts[what] += 1
        expected = np.log(weights + counts / max(counts.sum(), 1) + 1e-6)
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)
    early = situation.asked < 12
    if early.any() and (time < 12).any():
        kept = time < 12
        fewer = dense(
            trend(time[kept], product[kept], untimed=untimed).values(situation), situation
        )
        np.testing.assert_allclose(fewer[early], found[early], rtol=1e-6)


def test_the_network_and_liking():
    network = np.array([[1.0, -2.0]], np.float32)
    stars = np.array([[3.5, 4.5]], np.float32)
    situation = situation_of([0], [], network=network, stars=stars)
    assert NetworkFeature("network", "network").values(situation) is network
    liking = LikingFeature("liking", "liking", middle=3.5, steepness=2.0).values(situation)
    assert liking.dtype == np.float32
    np.testing.assert_allclose(liking, [[np.log(0.5), np.log(1 / (1 + np.exp(-2)))]], rtol=1e-6)
    far = situation_of([0], [], stars=np.array([[0.0, 5.0]], np.float32))
    steep = LikingFeature("liking", "liking", middle=2.5, steepness=1000.0).values(far)
    np.testing.assert_allclose(steep, [[-2500, 0]])  # no overflow


def test_popular_products_are_so_for_everybody():
    values = np.array([3, 1, 2, 0], np.float32)
    found = ProductFeature("popularity", "popularity", values).values(situation_of([0, 1], [2]))
    assert found.tolist() == [[3, 1, 2, 0]]


def features_of(rng, num_products):
    """One feature of each kind, two of them on the same edges."""
    graph, _ = random_graph(rng, num_products)
    other, _ = random_graph(rng, num_products)
    walk = WalkFeature("co", "co-reviewing", graph, 0.0, "product_graph")
    time = np.sort(rng.integers(0, 15, 6))
    return [
        walk,
        replace(walk, name="co, 2", graph=replace(graph, history_decay=0.0), scale=0.5),
        WalkFeature("order", "order", replace(other, liked_weight=0.25), 0.01, "order"),
        ProductFeature(
            "popularity", "popularity", rng.normal(size=num_products).astype(np.float32)
        ),
        trend(time, rng.integers(0, num_products, 6), num_products),
        NetworkFeature("network", "network"),
        LikingFeature("liking", "liking", float(rng.uniform(0, 5)), float(rng.uniform(0.1, 3))),
        match_of(rng, num_products),
        words_of(rng, num_products),
    ]


def match_of(rng, num_products):
    towers = tiny_towers(DIMENSION, int(rng.integers(99)))
    sources = rng.normal(size=(3, num_products, DIMENSION)).astype(np.float32)
    return MatchFeature("match", "match", towers, towers.products(*sources))


def words_of(rng, num_products):
    counts = rng.integers(0, 4, (num_products, WORDS)) * (rng.random((num_products, WORDS)) < 0.4)
    idf = np.where(counts.any(axis=0), rng.uniform(0.1, 3, WORDS), 0).astype(np.float32)
    settings = (float(counts.sum() / num_products), 1.5, 0.6)
    weights = bm25(sparse(counts), idf, *settings).T.tocsr()
    return WordsFeature("match, words", "match", weights, idf, *settings, 2.0)


@given(seed=SEEDS)
def test_features_survive_being_stored(seed):
    rng = np.random.default_rng(seed)
    num_products = int(rng.integers(1, 7))
    features = features_of(rng, num_products)
    told, arrays = plain_features(features)
    told = json.loads(json.dumps(told))
    names = {name.partition(".")[0] for name in arrays}
    assert names == {
        "product_graph",
        "order",
        "values",
        "towers",
        "words",
    }  # the edges of one graph stand once
    again = read_features(told, {name: array.copy() for name, array in arrays.items()})
    situation = random_situation(rng, num_products)
    now = replace(situation, asked=np.full(situation.num_users, NOW))
    assert [each.name for each in again] == [each.name for each in features]
    assert [each.evidence for each in again] == [each.evidence for each in features]
    for one, two in zip(features, again, strict=True):
        assert isinstance(two, ProductFeature if isinstance(one, TrendFeature) else type(one))
        before, after = (dense(each.values(now), now) for each in (one, two))
        np.testing.assert_array_equal(after, before)
        assert after.dtype == before.dtype
    words = [each[-1] for each in (features, again)]
    for one, two in zip(*([vars(each) for each in words]), strict=True):
        assert one == two
    np.testing.assert_array_equal(words[1].idf, words[0].idf)
    assert words[1].idf.dtype == words[0].idf.dtype
    for name in ("mean_length", "k1", "b", "name_weight"):
        assert getattr(words[1], name) == getattr(words[0], name)
    for name, tower in vars(features[-2].towers).items():
        np.testing.assert_array_equal(getattr(again[-2].towers, name), tower)


def test_what_is_stored_otherwise_is_refused():
    told, arrays = plain_features(features_of(np.random.default_rng(0), 4))
    with pytest.raises(KeyError):
        read_features(told, {k: v for k, v in arrays.items() if k != "order.weights"})
    for name in ("towers.products", "towers.query", "words.idf", "words.weight"):
        with pytest.raises(KeyError):
            read_features(told, {k: v for k, v in arrays.items() if k != name})
    with pytest.raises(KeyError):
        read_features([{"kind": "rumour"}], arrays)
    with pytest.raises(TypeError):
        read_features([told[-1] | {"more": 1}], arrays)


@given(seed=SEEDS)
def test_features_move_with_their_products(seed):
    """Products go to other rows, or nowhere, and new ones come between them."""
    rng = np.random.default_rng(seed)
    num_products = int(rng.integers(1, 6))
    num_rows = num_products + int(rng.integers(0, 3))
    rows = rng.permutation(num_rows)[:num_products]
    rows[rng.random(num_products) < 0.3] = -1
    there = np.flatnonzero(rows >= 0)
    features = features_of(rng, num_products)
    moved = moved_features(features, rows, num_rows)
    situation = random_situation(rng, num_products)
    situation = replace(situation, asked=np.full(situation.num_users, NOW))
    # Of a product that stands nowhere no review is known.
    place = np.where(situation.product < 0, -1, rows[situation.product])
    gone = replace(situation, product=np.where(place < 0, -1, situation.product))
    empty = np.zeros((situation.num_users, num_rows), np.float32)
    now = replace(situation, product=place, network=empty, predicted_rating=empty)
    if situation.links is not None:
        links, moved_links = situation.links.toarray(), np.zeros((len(place), num_rows))
        links[:, rows < 0] = 0
        moved_links[:, rows[there]] = links[:, there]
        gone, now = replace(gone, links=sparse(links)), replace(now, links=sparse(moved_links))
    new = np.setdiff1d(np.arange(num_rows), rows)
    for one, two in zip(features, moved, strict=True):
        assert (two.name, two.evidence) == (one.name, one.evidence)
        if isinstance(one, NetworkFeature | LikingFeature):
            assert two == one
            continue
        if isinstance(one, WordsFeature):  # its values are in deviations of all products
            weights = two.weights.toarray()
            np.testing.assert_array_equal(weights[:, rows[there]], one.weights.toarray()[:, there])
            assert not weights[:, new].any() and weights.shape == (WORDS, num_rows)
            assert two.idf is one.idf and two.mean_length == one.mean_length
            continue
        before, after = dense(one.values(gone), gone), dense(two.values(now), now)
        np.testing.assert_allclose(after[:, rows[there]], before[:, there], atol=1e-6)
        if isinstance(one, WalkFeature):
            assert not after[:, new].any()
            assert two.graph.num_products == num_rows
            settings = ("history_decay", "disliked_weight", "liked_above", "liked_weight")
            assert all(getattr(two.graph, s) == getattr(one.graph, s) for s in settings)
        elif isinstance(one, MatchFeature):
            assert not after[:, new].any()
        else:
            assert (after[:, new] == before.min()).all()


def test_features_that_stay_are_the_same():
    features = features_of(np.random.default_rng(1), 5)
    told, arrays = plain_features(features)
    told_again, arrays_again = plain_features(moved_features(features, np.arange(5), 5))
    assert told_again == told
    for name, array in arrays.items():
        np.testing.assert_array_equal(arrays_again[name], array)
