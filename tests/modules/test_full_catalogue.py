"""Ranking and rating all products: what a batch of the model says, for everybody."""

import numpy as np
import pytest
import torch

from rec_sys.graph.ego_batch import (
    EgoBatchBuilder,
    FixedReviews,
    ProductReviews,
    predicted_rating,
)
from rec_sys.graph.task import NOW, Task
from rec_sys.modules.combiner import GROUPS, Combiner
from rec_sys.modules.features import (
    LikingFeature,
    NetworkFeature,
    ProductFeature,
    TrendFeature,
    WalkFeature,
)
from rec_sys.modules.full_catalogue import FullCatalogue, embed_products
from rec_sys.modules.product_graph import ProductGraph

POPULARITY = np.array([2.0, 1.0, 0.5, 1.5], dtype=np.float32)
MIDDLE, STEEPNESS, HALF_LIFE = 3.5, 2.0, 50_000
#: For users with no, one and several reviews; the columns are those of `features`.
WEIGHTS = np.array([[0, 1, 2, 0.5, 1], [1, 0.5, 0, 2, 0], [3, 1, 0.25, 0.5, 2]])
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
def features(product_graph):
    return [
        WalkFeature("co-reviewing", "co-reviewing", product_graph, 0.0, "product_graph"),
        ProductFeature("popularity", "popularity", POPULARITY),
        NetworkFeature("network", "network"),
        LikingFeature("liking", "liking", MIDDLE, STEEPNESS),
        TREND,
    ]


@pytest.fixture
def combiner(features):
    names = tuple(each.name for each in features)
    return Combiner(names, names, WEIGHTS, np.zeros(3), np.full(WEIGHTS.shape, 0.2))


@pytest.fixture
def known(small_graph):
    graph, vectors = small_graph
    return ProductReviews.of(graph, vectors, np.arange(graph.num_edges)).summary()


@pytest.fixture
def catalogue(model, small_graph, known, features, combiner):
    return FullCatalogue.of(model, *small_graph, known, features, combiner)


def outputs_of(model, graph, vectors, known, users):
    """The model on one batch that holds all products."""
    nothing = np.zeros(graph.num_edges, dtype=bool)
    batch = EgoBatchBuilder(graph, vectors, FixedReviews(known)).build(
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
    catalogue, model, small_graph, known, product_graph, asked
):
    graph, vectors = small_graph
    nobody = graph.histories(np.arange(4), np.ones(graph.num_edges, bool), newest=0)
    for history, group in ((graph, None), (nobody, 0)):
        outputs = outputs_of(model, history, vectors, known, np.arange(4))
        network = (outputs.user_queries @ outputs.product_keys.T).numpy()
        stars = predicted_rating(outputs.user_embeddings @ outputs.product_embeddings.T).numpy()
        walked = product_graph.walk(
            history.user_ptr, history.edge_product, history.edge_rating
        ).toarray()
        liking = -np.log1p(np.exp(STEEPNESS * (MIDDLE - stars)))
        trend = TREND.values(catalogue.situation(history, asked))
        assert len(np.unique(trend, axis=0)) == 3
        found = catalogue.score(history, asked)
        assert found.dtype == np.float32 and found.shape == (4, graph.num_products)
        for user, length in enumerate(history.degrees):
            weights = WEIGHTS[min(length, 2)]
            assert group is None or group == length
            expected = (
                weights[0] * walked[user]
                + weights[1] * POPULARITY
                + weights[2] * network[user]
                + weights[3] * liking[user]
                + weights[4] * trend[user]
            )
            np.testing.assert_allclose(found[user], expected, rtol=1e-4, atol=1e-4)
    assert product_graph.walk(graph.user_ptr, graph.edge_product, graph.edge_rating).nnz


def test_a_situation_is_what_the_network_says_of_the_history(
    catalogue, model, small_graph, known, asked
):
    graph, vectors = small_graph
    outputs = outputs_of(model, graph, vectors, known, np.arange(4))
    situation = catalogue.situation(graph, asked)
    assert (situation.num_users, situation.lengths.tolist()) == (4, [3, 1, 3, 1])
    assert situation.product.tolist() == graph.edge_product.tolist()
    np.testing.assert_array_equal(situation.rating, graph.edge_rating)
    assert situation.asked.tolist() == asked.tolist()
    network = outputs.user_queries @ outputs.product_keys.T
    stars = predicted_rating(outputs.user_embeddings @ outputs.product_embeddings.T)
    np.testing.assert_allclose(situation.network, network, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(situation.predicted_rating, stars, rtol=1e-4, atol=1e-4)
    assert situation.network.dtype == situation.predicted_rating.dtype == np.float32


def test_without_a_combiner_the_leading_evidence_ranks(
    model, small_graph, known, features, product_graph, asked
):
    graph, _ = small_graph
    catalogue = FullCatalogue.of(model, *small_graph, known, features)
    walked = product_graph.walk(graph.user_ptr, graph.edge_product, graph.edge_rating)
    led = walked.toarray() + 1e-4 * POPULARITY  # which orders the products that no walk reaches
    np.testing.assert_allclose(catalogue.score(graph, asked), led)
    nobody = graph.histories(np.arange(4), np.zeros(graph.num_edges, dtype=bool))
    np.testing.assert_allclose(catalogue.score(nobody, asked), np.tile(POPULARITY, (4, 1)))


class Remembers:
    """Stands in for `CombinerFit`: what it was given to fit to."""

    def __init__(self, answer):
        self.answer = answer

    def fit(self, features, situations, seen, target, liked, num_products):
        self.given = (features, situations, seen, target, liked, num_products)
        return self.answer


def test_weights_are_fitted_to_what_may_be_known(catalogue, small_graph, combiner):
    """ann's edges are 0, 1, 2; bob 3; cyd 4, 5 (unrated), 6; dan 7."""
    graph, _ = small_graph
    target, history = np.zeros((2, graph.num_edges), dtype=bool)
    target[[1, 2, 5, 6]] = history[[0, 3, 4]] = True  # bob has no target
    fit, task = Remembers(combiner), Task(target, history, begin=7)
    fitted = catalogue.fitted(fit, graph, task, liked_above=3.0)
    assert fitted.combiner is combiner and fitted.products is catalogue.products
    features, situations, seen, pairs, liked, num_products = fit.given
    assert features is catalogue.features
    assert num_products == 4 and seen(np.array([1])).tolist() == [[True, False, False, False]]
    assert np.argwhere(seen(np.array([0, 1]))).tolist() == [[0, 2], [1, 0]]
    assert pairs.tolist() == [[0, 0, 1, 1], [1, 0, 1, 3]]
    assert liked.tolist() == [False, True, True, False]  # the unrated one is as good as liked
    assert len(situations) == len(GROUPS)
    users = np.array([0, 2])
    for newest, of in zip((0, 1, None), situations, strict=True):
        for chosen in ([0, 1], [1]):
            expected = catalogue.situation(
                graph.histories(users[chosen], history, newest), task.asked(graph, users[chosen])
            )
            found = of(np.array(chosen))
            for name, value in vars(expected).items():
                np.testing.assert_array_equal(getattr(found, name), value, name)
    assert situations[0](np.array([0, 1])).lengths.tolist() == [0, 0]
    assert situations[2](np.array([0, 1])).asked.tolist() == [7, 7]


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
    scores, ratings = catalogue.score(graph, asked), catalogue.rate(graph, user, product)
    monkeypatch.setattr("rec_sys.modules.full_catalogue._USERS_AT_ONCE", 1)
    np.testing.assert_allclose(catalogue.score(graph, asked), scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(catalogue.rate(graph, user, product), ratings, atol=1e-4)
