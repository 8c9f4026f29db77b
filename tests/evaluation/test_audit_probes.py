"""Leaks that only show when targets are changed, products renumbered or batches cut."""

from dataclasses import replace

import numpy as np

from rec_sys.evaluation.audit import check_batches, check_invariance, check_statistics
from rec_sys.evaluation.rating_baselines import Bias
from rec_sys.graph.ego_batch import EgoBatchBuilder, ProductReviews
from tests.helpers.planted import (
    EDGES,
    PRODUCTS,
    SETTINGS,
    USERS,
    batches_of,
    fair_rank,
    pairs,
    rank_by_product_number,
    ranks,
)


def test_a_builder_that_shows_the_target_is_seen(graph, vectors, split):
    build = batches_of(split, split.train)
    nothing = np.zeros(EDGES, dtype=bool)

    def shows(given, vectors):
        batches = []
        for batch in build(given, vectors):
            users = batch.users
            builder = EgoBatchBuilder(
                given, vectors, ProductReviews.of(given, vectors, np.flatnonzero(split.train))
            )
            all_shown = builder.build(users, nothing, nothing)
            batches.append(replace(all_shown, target_rating=batch.target_rating))
        return batches

    finding = check_batches(shows, graph, vectors, split.test.target, 1e-5)
    assert not finding.passed
    assert "12 targets are among the history edges" in finding.detail
    assert "edge_attr" in finding.detail and "edge_rating" in finding.detail


def test_a_product_mean_of_test_reviews_is_seen(graph, vectors, split):
    """The real builder takes targets out again, so the mean is made without telling it."""
    honest, users = batches_of(split, split.train), np.arange(USERS)

    def leaks(given, vectors):
        everything = ProductReviews.of(given, vectors, given.edges_of(users)).summary
        return [
            replace(
                batch,
                product_review_features=everything.texts[batch.products],
                product_rating_features=everything.ratings[batch.products],
            )
            for batch in honest(given, vectors)
        ]

    finding = check_batches(leaks, graph, vectors, split.test.target, 1e-5)
    assert not finding.passed
    assert "product_rating_features, product_review_features" in finding.detail
    assert "edge" not in finding.detail


def test_a_builder_that_takes_targets_out_of_known_reviews_passes(graph, vectors, split):
    everything = np.ones(EDGES, dtype=bool)
    build = batches_of(split, everything)
    # Targets of one batch are reviews that another may know: that is how training works, but it
    # is no way to test.
    assert not check_batches(build, graph, vectors, split.test.target, 1e-5).passed

    def in_one(given, vectors):
        reviews = ProductReviews.of(given, vectors, np.arange(EDGES))
        builder = EgoBatchBuilder(given, vectors, reviews)
        hidden = ~split.test.target & ~split.test.history
        return [builder.build(np.arange(USERS), split.test.target, hidden)]

    assert check_batches(in_one, graph, vectors, split.test.target, 1e-5).passed


def test_a_builder_that_ignores_the_probe_does_not_pass(graph, vectors, split):
    build = batches_of(split, split.train)
    finding = check_batches(
        lambda given, vectors: build(graph, vectors), graph, vectors, split.test.target, 1e-5
    )
    assert not finding.passed and "the given graph is not what is read" in finding.detail
    nothing = _no_targets(graph, vectors)
    finding = check_batches(lambda *_: [nothing], graph, vectors, split.test.target, 1e-5)
    assert not finding.passed and "nothing was tested" in finding.detail


def _no_targets(graph, vectors):
    nothing = np.zeros(EDGES, dtype=bool)
    reviews = ProductReviews.of(graph, vectors, np.zeros(0, dtype=np.int64))
    return EgoBatchBuilder(graph, vectors, reviews).build(np.array([0]), nothing, ~nothing)


def test_a_product_mean_in_a_rating_model_is_seen(graph, vectors, split):
    users, model = np.arange(USERS), Bias()

    def leaks(given):
        model.fit(given.histories(users, split.train | split.test.target), vectors)
        histories = given.histories(users, split.test.history)
        return model.rate(histories, graph.edge_user[split.test.target], pairs(graph, split))

    finding = check_statistics(leaks, graph, split)
    assert not finding.passed and "of 12 scores" in finding.detail


def test_a_popularity_from_all_edges_is_seen(graph, split):
    def popularity(edges):
        return lambda given: np.bincount(given.edge_product[edges], minlength=PRODUCTS)

    assert check_statistics(popularity(split.train), graph, split).passed
    assert not check_statistics(popularity(split.train | True), graph, split).passed


def test_text_statistics_from_test_edges_are_seen(graph, vectors, split):
    def mean_text(edges):
        return lambda given: vectors[given.edge_text[edges]].astype(np.float32).mean(axis=0)

    assert check_statistics(mean_text(split.train), graph, split).passed
    assert not check_statistics(mean_text(~split.validation.target), graph, split).passed


def test_a_model_that_is_not_repeatable_is_told_apart(graph, split):
    rng = np.random.default_rng(0)
    finding = check_statistics(lambda given: rng.normal(size=3), graph, split)
    assert not finding.passed and "seed the model" in finding.detail


def test_the_order_of_ties_is_seen(graph, split):
    assert check_invariance(ranks(graph, split, fair_rank), PRODUCTS, SETTINGS).passed
    by_number = ranks(graph, split, rank_by_product_number)
    finding = check_invariance(by_number, PRODUCTS, SETTINGS)
    assert not finding.passed and "with products renumbered" in finding.detail


def test_a_metric_that_depends_on_the_batch_size_is_seen():
    values = np.arange(10.0) ** 2

    def mean_of_means(permutation, block_size):
        blocks = range(0, len(values), block_size)
        return float(np.mean([values[start : start + block_size].mean() for start in blocks]))

    finding = check_invariance(mean_of_means, PRODUCTS, SETTINGS)
    assert not finding.passed and "with batches of 7" in finding.detail
