"""Ranking and rating all products: what a batch of the model says, for everybody."""

from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from rec_sys.graph.ego_batch import (
    EgoBatchBuilder,
    ProductReviews,
    predicted_rating,
)
from rec_sys.graph.task import NOW, Task
from rec_sys.modules.combiner import GROUPS, Combiner
from rec_sys.modules.evidences import KnownReviews, Match
from rec_sys.modules.features import (
    LikingFeature,
    NetworkFeature,
    ProductFeature,
    TrendFeature,
    WalkFeature,
)
from rec_sys.modules.full_catalogue import FullCatalogue, ProductEmbeddings, embed_products
from rec_sys.modules.match import Wishes
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.text.store import EMPTY_TEXT_ROW
from rec_sys.text.words import count_words
from tests.helpers.tiny_models import tiny_towers

#: The texts of `small_graph` in the order of their rows.
TEXTS = [
    *("", "fine", "bad", "good", "warm", "cold", "loud"),
    *("Drum", "Flute", "Harp", "Percussion. A drum", "Wind", "A harp"),
]
POPULARITY = np.array([2.0, 1.0, 0.5, 1.5], dtype=np.float32)
MIDDLE, STEEPNESS, HALF_LIFE = 3.5, 2.0, 50_000
#: By group of users; the columns are those of `features`.
WEIGHTS = np.array(
    [
        [0, 1, 2, 0.5, 1, 0, 0],
        [1, 0.5, 0, 2, 0, 0, 0],
        [3, 1, 0.25, 0.5, 2, 0, 0],
        [0, 0.5, 0.1, 0, 0.25, 2, 1],
        [2, 0.2, 0.3, 0.4, 0, 1, 3],
    ]
)
#: A review of p2 and, later, one of p1.
TREND = TrendFeature(
    "trend", "trend", np.array([100_000, 200_000]), np.array([1, 0]), np.zeros(4), HALF_LIFE
)


@pytest.fixture
def product_graph():
    pointers, neighbours = np.array([0, 2, 3, 3, 3]), np.array([1, 3, 0], dtype=np.int32)
    weights = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    return ProductGraph(pointers, neighbours, weights, 0.5, 0.5, 3.0)


@pytest.fixture
def words():
    """Of the texts of `small_graph`: the rows of its vectors."""
    return count_words(TEXTS)


@pytest.fixture
def features(product_graph, small_graph, words):
    graph, vectors = small_graph
    towers = tiny_towers(vectors.shape[1])
    known = KnownReviews(graph, np.arange(graph.num_edges), product_graph, vectors, words, towers)
    return [
        WalkFeature("co-reviewing", "co-reviewing", product_graph, 0.0, "product_graph"),
        ProductFeature("popularity", "popularity", POPULARITY),
        NetworkFeature("network", "network"),
        LikingFeature("liking", "liking", MIDDLE, STEEPNESS),
        TREND,
        *Match(k1=2.0, b=0.5, name_weight=2.0).fit(known),
    ]


@pytest.fixture
def combiner(features):
    names = tuple(each.name for each in features)
    return Combiner(names, names, WEIGHTS, np.zeros(5), np.full(WEIGHTS.shape, 0.2))


@pytest.fixture
def known(small_graph):
    graph, vectors = small_graph
    return ProductReviews.of(graph, vectors, np.arange(graph.num_edges)).summary


@pytest.fixture
def catalogue(model, small_graph, words, known, features, combiner):
    return FullCatalogue.of(model, *small_graph, words, known, features, combiner)


def outputs_of(model, graph, vectors, known, users):
    """The model on one batch that holds all products."""
    nothing = np.zeros(graph.num_edges, dtype=bool)
    batch = EgoBatchBuilder(graph, vectors, known).build(
        users, nothing, nothing, others=np.arange(graph.num_products)
    )
    with torch.inference_mode():
        return model(*map(torch.from_numpy, batch.model_inputs().values()))


def test_products_do_not_depend_on_chunks_or_people(model, small_graph, known):
    graph, vectors = small_graph
    sources = vectors[graph.product_name_text], vectors[graph.product_info_text], known
    expected = outputs_of(model, graph, vectors, known, np.arange(graph.num_users))
    for chunk_size in (1, 3, 100):
        found = embed_products(model, *sources, chunk_size)
        close = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(found.embeddings, expected.product_embeddings, **close)
        np.testing.assert_allclose(found.keys, expected.product_keys, **close)
        assert found.embeddings.dtype == found.keys.dtype == np.float32


@pytest.fixture
def asked(small_graph):
    """ann knows all but her own newest, bob what was before 150,000, cyd nothing, dan all."""
    return np.array([200_000, 150_000, 3, NOW])


def test_scores_are_the_evidences_added_up(
    catalogue, model, small_graph, words, known, product_graph, features, asked
):
    graph, vectors = small_graph
    nobody = graph.histories(np.arange(4), np.ones(graph.num_edges, bool), newest=0)
    some_wish = np.array(
        [TEXTS.index("warm"), EMPTY_TEXT_ROW, TEXTS.index("Percussion. A drum"), 0]
    )
    wishes = (None, np.zeros(4, np.int64), some_wish)
    match, match_words = features[-2:]
    for (history, group), wish in product(((graph, None), (nobody, 0)), wishes):
        outputs = outputs_of(model, history, vectors, known, np.arange(4))
        network = (outputs.user_queries @ outputs.product_keys.T).numpy()
        stars = predicted_rating(outputs.user_embeddings @ outputs.product_embeddings.T).numpy()
        walked = product_graph.walk(
            history.user_ptr, history.edge_product, history.edge_rating
        ).toarray()
        liking = -np.log1p(np.exp(STEEPNESS * (MIDDLE - stars)))
        trend = TREND.values(catalogue.situation(history, asked))
        assert len(np.unique(trend, axis=0)) == 3
        found = catalogue.score(history, asked, wish)
        assert found.dtype == np.float32 and found.shape == (4, graph.num_products)
        said = np.zeros(4, np.int64) if wish is None else wish
        wanted = match.products @ match.towers.queries(vectors[said]).T
        in_words = Wishes.of(vectors[said], words[said])
        in_words = match_words.values(SimpleNamespace(wishes=in_words)).toarray()
        for user, length in enumerate(history.degrees):
            own = history.edge_rating[slice(*history.user_ptr[user : user + 2])]
            liked = int((~(own <= product_graph.liked_above)).sum())
            weights = WEIGHTS[3 + min(liked, 1) if said[user] else min(liked, 2)]
            assert group is None or group == length
            expected = (
                weights[0] * walked[user]
                + weights[1] * POPULARITY
                + weights[2] * network[user]
                + weights[3] * liking[user]
                + weights[4] * trend[user]
                + weights[5] * wanted[:, user]
                + weights[6] * in_words[user]
            )
            np.testing.assert_allclose(found[user], expected, rtol=1e-4, atol=1e-4)
    assert product_graph.walk(graph.user_ptr, graph.edge_product, graph.edge_rating).nnz


def test_a_situation_is_what_the_network_says_of_the_history(
    catalogue, model, small_graph, known, asked
):
    graph, vectors = small_graph
    outputs = outputs_of(model, graph, vectors, known, np.arange(4))
    situation = catalogue.situation(graph, asked)
    assert np.diff(situation.user_ptr).tolist() == [3, 1, 3, 1]
    assert situation.product.tolist() == graph.edge_product.tolist()
    np.testing.assert_array_equal(situation.rating, graph.edge_rating)
    assert situation.asked.tolist() == asked.tolist()
    network = outputs.user_queries @ outputs.product_keys.T
    stars = predicted_rating(outputs.user_embeddings @ outputs.product_embeddings.T)
    np.testing.assert_allclose(situation.network, network, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(situation.predicted_rating, stars, rtol=1e-4, atol=1e-4)
    assert situation.network.dtype == situation.predicted_rating.dtype == np.float32
    assert situation.wishes is None and situation.links is None


def test_a_wish_is_a_text_of_the_store(catalogue, small_graph, words, asked):
    graph, vectors = small_graph
    wish = np.array([EMPTY_TEXT_ROW, TEXTS.index("fine"), EMPTY_TEXT_ROW, TEXTS.index("A harp")])
    situation = catalogue.situation(graph, asked, wish)
    assert situation.wished.tolist() == [False, True, False, True]
    np.testing.assert_array_equal(situation.wishes.vectors, vectors[wish].astype(np.float32))
    assert (situation.wishes.words != words[wish]).nnz == 0
    assert catalogue.situation(graph, asked, np.full(4, EMPTY_TEXT_ROW)).wishes is None


def test_without_a_combiner_the_leading_evidence_ranks(
    model, small_graph, words, known, features, product_graph, asked
):
    graph, vectors = small_graph
    catalogue = FullCatalogue.of(model, *small_graph, words, known, features)
    walked = product_graph.walk(graph.user_ptr, graph.edge_product, graph.edge_rating)
    led = walked.toarray() + 1e-4 * POPULARITY  # which orders the products that no walk reaches
    np.testing.assert_allclose(catalogue.score(graph, asked), led)
    nobody = graph.histories(np.arange(4), np.zeros(graph.num_edges, dtype=bool))
    np.testing.assert_allclose(catalogue.score(nobody, asked), np.tile(POPULARITY, (4, 1)))
    wish = np.full(4, TEXTS.index("loud"))
    match = features[-2].logits(vectors[wish]) + 1e-4 * POPULARITY
    for history in (graph, nobody):
        np.testing.assert_allclose(catalogue.score(history, asked, wish), match, rtol=1e-5)


class Remembers:
    """Stands in for `CombinerFit`: what it was given to fit to."""

    def __init__(self, answer):
        self.answer = answer

    def fit(self, features, groups, num_products):
        self.given = (features, groups, num_products)
        return self.answer


def require_same(found, expected):
    for name, value in vars(expected).items():
        other = getattr(found, name)
        if name == "wishes" and value is not None:
            np.testing.assert_array_equal(other.vectors, value.vectors)
            assert (other.words != value.words).nnz == 0
            assert other.said.tolist() == value.said.tolist()
        else:
            np.testing.assert_array_equal(other, value, name)


def test_weights_are_fitted_to_what_may_be_known(catalogue, small_graph, combiner):
    """ann's edges are 0, 1, 2; bob 3; cyd 4, 5 (unrated), 6; dan 7."""
    graph, _ = small_graph
    target, history = np.zeros((2, graph.num_edges), dtype=bool)
    target[[1, 2, 5, 6]] = history[[0, 3, 4]] = True  # bob has no target
    fit, task = Remembers(combiner), Task(target, history, begin=7)
    fitted = catalogue.fitted(fit, graph, task, liked_above=3.0)
    assert fitted.combiner is combiner and fitted.products is catalogue.products
    features, groups, num_products = fit.given
    assert features is catalogue.features
    assert num_products == 4 and len(groups) == len(GROUPS)
    users = np.array([0, 2])
    # What they wrote about the first of their targets: "bad" of p2, "cold" of p2.
    told = np.array([TEXTS.index("bad"), TEXTS.index("cold")])
    nothing = np.full(2, EMPTY_TEXT_ROW)
    kinds = ((0, nothing), (1, nothing), (None, nothing), (0, told), (None, told))
    for (newest, wish), questions in zip(kinds, groups, strict=True):
        for chosen in ([0, 1], [1]):
            expected = catalogue.situation(
                graph.histories(users[chosen], history, newest),
                task.asked(graph, users[chosen]),
                wish[chosen],
            )
            require_same(questions.situation(np.array(chosen)), expected)
    assert groups[0].situation(np.array([0, 1])).user_ptr.tolist() == [0, 0, 0]
    assert groups[2].situation(np.array([0, 1])).asked.tolist() == [7, 7]
    for questions in groups[:3]:
        assert questions.user.tolist() == [0, 0, 1, 1]
        assert questions.product.tolist() == [1, 0, 1, 3]
        # The unrated one is as good as liked.
        assert questions.liked.tolist() == [False, True, True, False]
    for questions in groups[3:]:  # whether they liked it or not: they say what it is
        assert questions.user.tolist() == [0, 1] and questions.product.tolist() == [1, 1]
        assert questions.liked.all()
    for questions in (groups[0], groups[1], groups[2], groups[4]):
        assert questions.seen(np.array([1])).tolist() == [[True, False, False, False]]
        assert np.argwhere(questions.seen(np.array([0, 1]))).tolist() == [[0, 2], [1, 0]]
    assert not groups[3].seen(np.array([0, 1])).any()


def test_who_says_nothing_wishes_nothing(catalogue, small_graph, combiner):
    """bob's only review has no text: he chooses without a wish alone."""
    graph, _ = small_graph
    target, history = np.zeros((2, graph.num_edges), dtype=bool)
    target[[3, 6]] = history[[0, 4]] = True
    fit = Remembers(combiner)
    catalogue.fitted(fit, graph, Task(target, history), liked_above=3.0)
    _, groups, _ = fit.given
    assert [each.user.tolist() for each in groups] == [[0, 1]] * 3 + [[1]] * 2
    assert groups[3].situation(np.array([0, 1])).wished.tolist() == [False, True]


def test_what_nothing_is_known_of_is_no_choice_and_comes_last(
    model, small_graph, words, known, features, combiner, asked
):
    """Whatever has neither a text nor a known review is reviewed by nobody but who is asked."""
    graph, vectors = small_graph
    target, history = np.zeros((2, graph.num_edges), dtype=bool)
    target[[1, 2, 5, 6]] = history[[0, 3, 4]] = True
    ratings = known.ratings.copy()
    ratings[[0, 3], -1] = 0  # nobody has reviewed them yet
    texts = graph.product_name_text.copy(), graph.product_info_text.copy()
    for text in texts:
        text[[1, 3]] = EMPTY_TEXT_ROW
    graph = replace(graph, product_name_text=texts[0], product_info_text=texts[1])
    known = known._replace(ratings=ratings)
    catalogue = FullCatalogue.of(model, graph, vectors, words, known, features, combiner)
    # The fourth product has neither, the others one of both.
    assert catalogue.unknown.tolist() == [False, False, False, True]
    fit = Remembers(combiner)
    catalogue.fitted(fit, graph, Task(target, history), liked_above=3.0)
    _, groups, _ = fit.given
    for questions in groups[:3]:
        assert questions.product.tolist() == [1, 0, 1]
    for questions in groups:
        seen = questions.seen(np.array([0, 1]))
        assert seen[:, 3].all() and not seen[:, 1].any()
    scores = catalogue.score(graph.histories(np.arange(3)), asked[:3])
    assert (scores[:, 3] < scores[:, :3].min(axis=1)).all()


def test_ratings_are_those_of_the_embeddings(catalogue, model, small_graph, known):
    graph, vectors = small_graph
    outputs = outputs_of(model, graph, vectors, known, np.arange(graph.num_users))
    user, product = np.array([3, 0, 0]), np.array([1, 2, 0])
    cosine = (outputs.user_embeddings[user] * outputs.product_embeddings[product]).sum(dim=1)
    rated = catalogue.rate(graph, user, product)
    np.testing.assert_allclose(rated, predicted_rating(cosine), atol=1e-4)
    nobody = np.empty(0, dtype=np.int64)
    assert catalogue.rate(graph, nobody, nobody).shape == (0,)


def test_blocks_of_people_change_nothing(catalogue, small_graph, asked, monkeypatch):
    graph, _ = small_graph
    user, product = np.array([3, 0]), np.array([1, 2])
    wish = np.array([TEXTS.index("fine"), 0, 0, TEXTS.index("warm")])
    scores, ratings = catalogue.score(graph, asked, wish), catalogue.rate(graph, user, product)
    monkeypatch.setattr("rec_sys.modules.full_catalogue._USERS_AT_ONCE", 1)
    np.testing.assert_allclose(catalogue.score(graph, asked, wish), scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(catalogue.rate(graph, user, product), ratings, atol=1e-4)


def test_products_of_which_the_same_is_known_are_ties(catalogue, small_graph, asked):
    graph, _ = small_graph
    draw = np.random.default_rng(0).normal
    users, products = draw(size=(4, 129)).astype(np.float32), draw(size=(9, 129)).astype(np.float32)
    kind = np.random.default_rng(0).integers(9, size=458)
    outputs = SimpleNamespace(user_embeddings=users, user_queries=users)
    catalogue = replace(
        catalogue,
        model=SimpleNamespace(embed=lambda _: outputs),
        products=ProductEmbeddings(products[kind], products[kind]),
    )
    situation = catalogue.situation(graph, asked)
    for values in (situation.network, situation.predicted_rating):
        for each in range(9):
            assert (np.ptp(values[:, kind == each], axis=1) == 0).all()
