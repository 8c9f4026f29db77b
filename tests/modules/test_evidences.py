"""What evidences learn from known reviews: small graphs with known answers."""

from dataclasses import replace
from itertools import product

import hypothesis
import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.cli import CONFIG_DIR
from rec_sys.foundation.errors import InputError
from rec_sys.graph.task import NOW
from rec_sys.modules.checkpoint import build_evidences, fit_evidences
from rec_sys.modules.evidences import (
    CoReviewing,
    KnownReviews,
    Liking,
    Match,
    Neighbours,
    Network,
    Order,
    Popularity,
    Trend,
)
from rec_sys.modules.features import (
    LikingFeature,
    NetworkFeature,
    ProductFeature,
    Situation,
    TrendFeature,
    WalkFeature,
)
from rec_sys.modules.match import Wishes
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.reviews.schema import NO_TIME, SECONDS_PER_DAY
from rec_sys.text.words import count_words
from tests.helpers.graphs_by_hand import graph_of
from tests.helpers.tiny_models import tiny_towers

DAY = SECONDS_PER_DAY
PRODUCTS = 5
#: Nobody reviewed product 4. Products in the order of the users' reviews, and the day of each.
SHOP = graph_of(
    [(0, 1 * DAY), (1, 2 * DAY), (2, 3 * DAY)],
    [(0, 1 * DAY), (1, 5 * DAY)],
    [(1, 2 * DAY), (0, 4 * DAY), (3, 9 * DAY)],
    [(2, NO_TIME)],
    products=PRODUCTS,
)
STORE = ["", "nylon strings", "a warm drum", "warm nylon"]
#: Vectors and words of the texts, and towers.
TEXTS = (
    np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32) * [[0], [1], [1], [1]],
    count_words(STORE),
    tiny_towers(3),
)
PRODUCT_GRAPH = ProductGraph(
    np.array([0, 1, 2, 2, 2, 2]),
    np.array([2, 3], np.int32),
    np.array([0.5, -0.25], np.float32),
    history_decay=0.7,
    disliked_weight=0.4,
    liked_above=3.5,
)


def known(graph=SHOP, edges=None, product_graph=PRODUCT_GRAPH):
    edges = np.arange(graph.num_edges) if edges is None else np.array(edges, dtype=np.int64)
    return KnownReviews(graph, edges, product_graph, *TEXTS)


def weights_of(feature):
    """The weights of a walk's graph, float [P, P]."""
    graph = feature.graph
    matrix = np.zeros((graph.num_products, graph.num_products))
    for source in range(graph.num_products):
        edges = slice(*graph.pointers[[source, source + 1]])
        assert (np.diff(graph.neighbours[edges]) > 0).all()
        matrix[source, graph.neighbours[edges]] = graph.weights[edges]
    return matrix


def asked_at(*moments, num_products=PRODUCTS):
    nothing = np.zeros((len(moments), num_products), dtype=np.float32)
    return Situation(
        user_ptr=np.zeros(len(moments) + 1, dtype=np.int64),
        product=np.empty(0, dtype=np.int64),
        rating=np.empty(0, dtype=np.float32),
        asked=np.array(moments),
        network=nothing,
        predicted_rating=nothing,
    )


@st.composite
def some_known(draw):
    """A random graph, and the edges of it that may be known."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    users = [[*enumerate_at(rng, int(length))] for length in rng.integers(0, 6, rng.integers(1, 8))]
    graph = graph_of(*users, products=6)
    graph = replace(
        graph,
        edge_rating=rng.integers(1, 6, graph.num_edges).astype(np.float32),
        edge_text=rng.integers(0, 4, graph.num_edges),
        product_name_text=rng.integers(0, 4, 6),
    )
    edges = np.flatnonzero(rng.random(graph.num_edges) < 0.8)
    return KnownReviews(graph, edges, ProductGraph.without_edges(6), *TEXTS)


def enumerate_at(rng, length):
    products, times = rng.permutation(6)[:length], np.sort(rng.integers(0, 20 * DAY, length))
    return zip(products.tolist(), times.tolist(), strict=True)


def sequences(given):
    """The known products of each user, oldest first."""
    graph, edges = given.graph, given.edges
    return [
        [graph.edge_product[e] for e in edges if graph.edge_user[e] == user]
        for user in range(graph.num_users)
    ]


def test_the_first_feature_of_co_reviewing_is_the_product_graph():
    features = CoReviewing(history_decays=[1.0, 0.3], scale=0.01).fit(known())
    assert [each.name for each in features] == [
        "co-reviewing",
        "co-reviewing, decay 1",
        "co-reviewing, decay 0.3",
    ]
    assert all(isinstance(each, WalkFeature) for each in features)
    assert {each.evidence for each in features} == {"co-reviewing"}
    assert len({each.graph_name for each in features}) == 1
    assert features[0].graph is PRODUCT_GRAPH
    assert [each.scale for each in features] == [0, 0.01, 0.01]
    assert [each.graph.history_decay for each in features] == [0.7, 1.0, 0.3]
    for each in features:
        assert (each.graph.disliked_weight, each.graph.liked_above) == (0.4, 3.5)
        np.testing.assert_array_equal(weights_of(each), weights_of(features[0]))


def test_cosines_by_hand():
    """0 has three reviewers, 1 three, 2 two, 3 one; 0 and 1 share three, 0 and 2 one ..."""
    (feature,) = Neighbours(shrink=2.0, neighbours=10, history_decay=0.8, scale=0.05).fit(known())
    three, two = np.sqrt(3), np.sqrt(2)
    expected = np.zeros((PRODUCTS, PRODUCTS))
    expected[0, 1] = 3 / (three * three + 2)
    expected[0, 2] = expected[1, 2] = 1 / (three * two + 2)
    expected[0, 3] = expected[1, 3] = 1 / (three * 1 + 2)
    np.testing.assert_allclose(weights_of(feature), expected + expected.T, rtol=1e-6)
    assert (feature.name, feature.evidence, feature.scale) == ("same reviewers",) * 2 + (0.05,)
    # Likes and dislikes walk alike: who reviewed a product belongs to its reviewers.
    assert (feature.graph.history_decay, feature.graph.disliked_weight) == (0.8, 1.0)
    (nearest,) = Neighbours(shrink=2.0, neighbours=1, history_decay=0.8, scale=0.05).fit(known())
    kept = weights_of(nearest)
    assert np.argwhere(kept).tolist() == [[0, 1], [1, 0], [2, 0], [3, 0]]  # of equals the first
    np.testing.assert_allclose(kept[kept > 0], (expected + expected.T)[kept > 0], rtol=1e-6)


@pytest.mark.parametrize("most", [2, 100])
@given(given_=some_known(), shrink=st.sampled_from([0.0, 5.0]))
def test_cosines_equal_a_naive_loop(most, given_, shrink):
    (feature,) = Neighbours(shrink, most, 0.8, 0.05).fit(given_)
    reviewers = [
        {user for user, products in enumerate(sequences(given_)) if each in products}
        for each in range(6)
    ]
    found = weights_of(feature)
    for source in range(6):
        cosine = np.zeros(6)
        for target in range(6):
            shared = len(reviewers[source] & reviewers[target])
            if source != target and shared:
                length = np.sqrt(len(reviewers[source]) * len(reviewers[target]))
                cosine[target] = shared / (length + shrink)
        order = np.argsort(-cosine, kind="stable")[:most]
        expected = np.zeros(6)
        expected[order] = cosine[order]
        # Equal ones may be told apart by their last digit.
        np.testing.assert_allclose(np.sort(found[source]), np.sort(expected), rtol=1e-5)
        there = found[source] > 0
        np.testing.assert_allclose(found[source][there], cosine[there], rtol=1e-5)


def test_the_order_by_hand():
    """0 -> 1 twice, 1 -> 2, 1 -> 0 and 0 -> 3 once; nine reviews, one imagined of each product."""
    features = Order(smoothing=4.0, history_decays=[0.0, 0.5], neighbours=10).fit(known())
    share = np.array([3 + 1, 3 + 1, 2 + 1, 1 + 1, 0 + 1]) / (9 + 5)
    expected = np.zeros((PRODUCTS, PRODUCTS))
    for source, target, times in ((0, 1, 2), (1, 2, 1), (1, 0, 1), (0, 3, 1)):
        expected[source, target] = np.log(1 + times / (4 * share[target]))
    assert [each.name for each in features] == ["order, decay 0", "order, decay 0.5"]
    assert [each.graph.history_decay for each in features] == [0.0, 0.5]
    assert len({each.graph_name for each in features}) == 1
    for each in features:
        np.testing.assert_allclose(weights_of(each), expected, rtol=1e-6)
        assert (each.evidence, each.scale, each.graph.disliked_weight) == ("order", 0, 1.0)
    (first,) = Order(smoothing=4.0, history_decays=[0.0], neighbours=1).fit(known())
    kept = weights_of(first)
    # After 0, two users who went to 1 say as much as one who went to 3, which is half as popular.
    assert np.count_nonzero(kept, axis=1).tolist() == [1, 1, 0, 0, 0]
    assert kept[1, 2] > 0  # rarer than 0, so that one user says more


@given(given_=some_known(), smoothing=st.sampled_from([1.0, 10.0]))
def test_the_order_equals_a_naive_count_of_direct_successors(given_, smoothing):
    (feature,) = Order(smoothing, [0.5], 100).fit(given_)
    steps, counts = np.zeros((6, 6)), np.zeros(6)
    for products in sequences(given_):
        for each in products:
            counts[each] += 1
        for before, after in zip(products[:-1], products[1:], strict=True):
            steps[before, after] += 1
    share = (counts + 1) / (counts + 1).sum()
    expected = np.log(1 + steps / (smoothing * share))
    np.testing.assert_allclose(weights_of(feature), expected, rtol=1e-5)


def test_popularity_counts_what_is_known():
    (feature,) = Popularity().fit(known())
    assert isinstance(feature, ProductFeature) and feature.product_values.dtype == np.float32
    np.testing.assert_allclose(feature.product_values, np.log([4, 4, 3, 2, 1]))
    (fewer,) = Popularity().fit(known(edges=[0, 1, 3]))
    np.testing.assert_allclose(fewer.product_values, np.log([3, 2, 1, 1, 1]))


def test_a_trend_by_hand():
    """As of day 5 the newest known is of day 4; the review without a time is old."""
    features = Trend(half_lives_days=[1, 30]).fit(known())
    assert [each.name for each in features] == ["trend, 1 days", "trend, 30 days"]
    assert all(isinstance(each, TrendFeature) for each in features)
    for feature, half_life in zip(features, (1, 30), strict=True):
        assert feature.evidence == "trend" and feature.half_life == half_life * DAY

        def late(*ages, half_life=half_life):
            return sum(0.5 ** (age / half_life) for age in ages)

        found = feature.values(asked_at(5 * DAY, NOW))
        at_5 = [late(3, 3, 0), late(2, 2), late(1), 0, 0]
        share = np.array([3, 2, 1 + 1, 0, 0]) / 7
        np.testing.assert_allclose(found[0], np.log(at_5 + share + 1e-6), rtol=1e-5)
        now = [late(8, 8, 5), late(7, 7, 4), late(6), late(0), 0]
        share = np.array([3, 3, 1 + 1, 1, 0]) / 9
        np.testing.assert_allclose(found[1], np.log(now + share + 1e-6), rtol=1e-5)
        np.testing.assert_array_equal(feature.as_of_now().product_values, found[1])


@given(given_=some_known(), day=st.integers(0, 20))
def test_a_trend_knows_nothing_of_later_reviews(given_, day):
    """As if what was written from the moment of asking on were not known at all."""
    time = given_.graph.edge_time[given_.edges]
    before = replace(given_, edges=given_.edges[time < day * DAY])
    if not len(before.edges):
        return
    for one, two in zip(*(Trend([2.0, 50.0]).fit(each) for each in (given_, before)), strict=True):
        asked = asked_at(day * DAY, num_products=6)
        np.testing.assert_allclose(one.values(asked), two.values(asked), rtol=1e-6)
        np.testing.assert_allclose(two.values(asked)[0], two.as_of_now().product_values, rtol=1e-6)


def test_where_no_review_has_a_time_there_is_no_trend():
    timeless = replace(SHOP, edge_time=np.full(SHOP.num_edges, NO_TIME))
    for given_ in (known(timeless), known(edges=[SHOP.num_edges - 1]), known(edges=[])):
        features = Trend(half_lives_days=[1, 30]).fit(given_)
        assert [each.name for each in features] == ["trend, 1 days", "trend, 30 days"]
        for each in features:
            assert not each.values(asked_at(NOW)).any()


def test_the_network_needs_nothing_known_and_liking_a_rating():
    (network,) = Network().fit(known(edges=[]))
    assert network == NetworkFeature("network", "network")
    evidence = Liking(middle=3.0, steepness=0.5)
    rated = replace(SHOP, edge_rating=np.full(SHOP.num_edges, 4, dtype=np.float32))
    (liking,) = evidence.fit(known(rated))
    assert liking == LikingFeature("liking", "liking", 3.0, 0.5)
    # Where nobody has rated, what the network foresees means nothing.
    (nothing,) = evidence.fit(known(edges=[]))
    assert nothing.steepness == 0


@pytest.fixture(scope="module")
def settings():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("train_config").evidence


@hypothesis.settings(max_examples=25)  # each fits all evidences
@given(given_=some_known())
def test_as_configured_there_are_as_many_features_for_all_data(settings, given_):
    names = [each.name for each in fit_evidences(settings, known())]
    assert len(set(names)) == len(names)
    nothing = replace(given_, edges=given_.edges[:0])
    for each in (given_, nothing):
        features = fit_evidences(settings, each)
        assert [feature.name for feature in features] == names
        asked = asked_at(NOW, 10 * DAY, num_products=6)
        wishes = Wishes.of(TEXTS[0][[1, 0]], TEXTS[1][[1, 0]])
        for feature, situation in product(features, (asked, replace(asked, wishes=wishes))):
            found = feature.values(situation)
            assert found.shape[1] == 6 and found.dtype == np.float32
            assert np.isfinite(found.toarray() if hasattr(found, "toarray") else found).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CoReviewing([2.0], 1.0), "evidence.co_reviewing.history_decays.0=2.0: .* most 1"),
        (lambda: CoReviewing([0.5], 0), "evidence.co_reviewing.scale=0: must be above 0"),
        (lambda: Neighbours(-1, 9, 0.5, 1.0), "evidence.neighbours.shrink=-1: must be at least 0"),
        (lambda: Neighbours(1, 0, 0.5, 1.0), "evidence.neighbours.neighbours=0: must be at least"),
        (lambda: Order(0, [0.5], 9), "evidence.order.smoothing=0: must be above 0"),
        (lambda: Order(1, 0.5, 9), "evidence.order.history_decays=0.5: must be a list"),
        (lambda: Trend([0]), "evidence.trend.half_lives_days.0=0: must be above 0"),
        (lambda: Liking(6, 1.0), "evidence.liking.middle=6: must be at most 5"),
        (lambda: Liking(3, 0), "evidence.liking.steepness=0: must be above 0"),
        (lambda: Match(0, 0.5, 1), "evidence.match.k1=0: must be above 0"),
        (lambda: Match(1, 1.5, 1), "evidence.match.b=1.5: must be at most 1"),
        (lambda: Match(1, 0.5, -1), "evidence.match.name_weight=-1: must be at least 0"),
    ],
)
def test_unusable_settings_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("name", ["popularity", "co_reviewing", "match"])
def test_what_others_are_shrunk_towards_is_needed(settings, name):
    rest = {key: value for key, value in settings.items() if key != name}
    with pytest.raises(InputError, match=f"evidence: {name.replace('_', '-')} is needed"):
        build_evidences(rest)
