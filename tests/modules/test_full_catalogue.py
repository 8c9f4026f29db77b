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
from rec_sys.modules.full_catalogue import FullCatalogue, embed_products
from rec_sys.modules.product_graph import ProductGraph


@pytest.fixture
def product_graph():
    pointers, neighbours = np.array([0, 2, 3, 3, 3]), np.array([1, 3, 0], dtype=np.int32)
    weights = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    return ProductGraph(pointers, neighbours, weights, 0.5, 0.5, 3.0)


@pytest.fixture
def known(small_graph):
    graph, vectors = small_graph
    return ProductReviews.of(graph, vectors, np.arange(graph.num_edges)).summary()


@pytest.fixture
def catalogue(model, small_graph, known, product_graph):
    return FullCatalogue.of(model, *small_graph, known, product_graph)


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


def test_scores_are_what_is_carried_plus_what_the_network_says(
    catalogue, model, small_graph, known, product_graph
):
    graph, vectors = small_graph
    outputs = outputs_of(model, graph, vectors, known, np.arange(graph.num_users))
    network = (outputs.user_queries @ outputs.product_keys.T).numpy()
    propagated = product_graph.score(graph.user_ptr, graph.edge_product, graph.edge_rating)
    scores = catalogue.score(graph)
    assert scores.dtype == np.float32 and scores.shape == (graph.num_users, graph.num_products)
    np.testing.assert_allclose(scores, network + propagated, rtol=1e-4, atol=1e-4)
    assert propagated.any()


def test_ratings_are_those_of_the_embeddings(catalogue, model, small_graph, known):
    graph, vectors = small_graph
    outputs = outputs_of(model, graph, vectors, known, np.arange(graph.num_users))
    user, product = np.array([3, 0, 0]), np.array([1, 2, 0])
    cosine = (outputs.user_embeddings[user] * outputs.product_embeddings[product]).sum(dim=1)
    rated = catalogue.rate(graph, user, product)
    np.testing.assert_allclose(rated, predicted_rating(cosine), atol=1e-4)
    nobody = np.empty(0, dtype=np.int64)
    assert catalogue.rate(graph, nobody, nobody).shape == (0,)


def test_blocks_of_people_change_nothing(catalogue, small_graph, monkeypatch):
    graph, _ = small_graph
    user, product = np.array([3, 0]), np.array([1, 2])
    scores, ratings = catalogue.score(graph), catalogue.rate(graph, user, product)
    monkeypatch.setattr("rec_sys.modules.full_catalogue._USERS_AT_ONCE", 1)
    np.testing.assert_allclose(catalogue.score(graph), scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(catalogue.rate(graph, user, product), ratings, atol=1e-4)
