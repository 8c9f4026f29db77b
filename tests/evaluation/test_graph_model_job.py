"""The audit of the trained recommender: leaks planted in its evidences and in their weights."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from rec_sys.evaluation import graph_model_job
from rec_sys.evaluation.audit import Limits
from rec_sys.evaluation.graph_model_job import (
    as_served,
    audit_combiner,
    audit_graph_model,
    audit_tuning,
    evidence_trial,
    load_ablations,
)
from rec_sys.evaluation.protocol import build_stage
from rec_sys.foundation.cli import CONFIG_DIR, with_overrides
from rec_sys.foundation.settings import build
from rec_sys.graph.ego_batch import ProductReviews
from rec_sys.graph.review_graph import ReviewGraph, prepare_reviews
from rec_sys.modules.checkpoint import fit_evidences, load_trained
from rec_sys.modules.evidences import KnownReviews, Trend
from rec_sys.modules.features import Situation
from rec_sys.modules.full_catalogue import FullCatalogue
from rec_sys.modules.match import Towers
from rec_sys.reviews.schema import NO_TIME
from rec_sys.text.words import count_words
from rec_sys.train.tuning import tune
from tests.helpers import tiny_models

SPLITS = sorted(path.stem for path in (CONFIG_DIR / "split").glob("*.yaml"))
USERS, PRODUCTS, DIMENSION, DAY = 60, 15, 4, 86_400


@pytest.fixture(scope="module")
def graph():
    """Everybody reviews three to eight products within four years, some of them on unknown days."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, USERS)
    lists = [rng.choice(PRODUCTS, n, replace=False) for n in lengths]
    times = [np.sort(rng.integers(0, 1500, n)) * DAY for n in lengths]
    for own in times[::7]:
        own[0] = NO_TIME
    edges = int(lengths.sum())
    return ReviewGraph(
        user_ids=np.arange(USERS).astype(str).astype(object),
        product_ids=np.arange(PRODUCTS).astype(str).astype(object),
        user_ptr=np.r_[0, np.cumsum(lengths)],
        edge_product=np.concatenate(lists),
        edge_text=np.arange(edges) + 1,
        edge_rating=rng.integers(1, 6, edges).astype(np.float32),
        edge_time=np.concatenate(times),
        product_name_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_info_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_brand=np.arange(PRODUCTS) // 2,
    )


@pytest.fixture(scope="module")
def vectors(graph):
    vectors = np.random.default_rng(1).normal(size=(graph.num_edges + 1, DIMENSION))
    vectors[0] = 0
    return vectors.astype(np.float16)


@pytest.fixture(scope="module")
def prepared(graph, vectors):
    """Every text has a vector and words of its own."""
    rng = np.random.default_rng(2)
    said = [" ".join(rng.choice(["warm", "loud", "tiny", "old", "new"], 3)) for _ in vectors]
    return SimpleNamespace(vectors=vectors, words=count_words(["", *said[1:]]))


@cache
def config():
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return compose("evaluate_config", ["combiner.min_targets=1"])


@pytest.fixture(params=SPLITS)
def stage(request, graph):
    return build_stage(config(), graph, request.param, seed=0)


@pytest.fixture
def settings():
    return Limits(**OmegaConf.to_container(config().evaluation.audit, resolve=True))


def with_evidence(stage, name, **planted):
    """The stage with a class of `tests.helpers.planted` in the place of an evidence."""
    kind = planted.pop("_target_")
    stage.config.evidence[name] = {"_target_": f"tests.helpers.planted.{kind}", **planted}
    return stage


def failed(findings):
    return [finding.check for finding in findings if not finding.passed]


def test_what_is_honest_passes_under_every_split(stage, prepared, settings):
    findings = audit_graph_model(stage, prepared, settings)
    assert not failed(findings), findings
    assert [finding.check for finding in findings] == [
        "nothing is learned from targets (rec_sys, evidences)",
        "a review is not matched with itself (rec_sys, match)",
        "nothing is known from after the moment of asking (rec_sys, trend)",
        "batches do not show their targets (rec_sys)",
    ]
    # By time, everybody asks after all that trains.
    assert ("up to 0 later reviews" in findings[2].detail) == (stage.split.name == "time")


def test_an_evidence_that_counts_targets_is_seen(stage, prepared, settings):
    planted = with_evidence(stage, "popularity", _target_="CountsTargets")
    findings = audit_graph_model(planted, prepared, settings)
    assert failed(findings) == ["nothing is learned from targets (rec_sys, evidences)"]


@pytest.mark.parametrize("kind", ["KnowsTheFuture", "KnowsHowMuchFollows"])
def test_a_trend_that_knows_later_reviews_is_seen(stage, prepared, settings, kind):
    planted = with_evidence(stage, "trend", _target_="LeakingTrend", kind=kind)
    findings = audit_graph_model(planted, prepared, settings)
    seen = ["nothing is known from after the moment of asking (rec_sys, trend)"]
    assert failed(findings) == ([] if stage.split.name == "time" else seen)


def test_a_review_that_tells_its_own_product_is_seen(stage, prepared, settings, monkeypatch):
    honest = graph_model_job.match_sources

    def leaking(graph, vectors, known, products, asked):
        return honest(graph, vectors, known, products, asked[:0])

    monkeypatch.setattr(graph_model_job, "match_sources", leaking)
    findings = audit_graph_model(stage, prepared, settings)
    assert failed(findings) == ["a review is not matched with itself (rec_sys, match)"]


def test_without_a_trend_nothing_is_asked_of_it(stage, prepared, settings):
    del stage.config.evidence["trend"]
    assert len(audit_graph_model(stage, prepared, settings)) == 3


def test_what_others_write_later_changes_no_trend(stage):
    """Of each user: half of the later reviews of others are left out, the others are of others."""
    graph, rng = stage.graph, np.random.default_rng(0)
    trend, train = Trend([10.0, 365.0]), np.flatnonzero(stage.split.known)
    features = trend.fit(KnownReviews(graph, train, *[None] * 4))
    for test in stage.tests.values():
        users = test.users(graph)
        asked = test.asked(graph, users)
        for user, moment in zip(users, asked, strict=True):
            situation = Situation(
                user_ptr=np.zeros(2, dtype=np.int64),
                product=np.zeros(0, dtype=np.int64),
                rating=np.zeros(0, dtype=np.float32),
                asked=np.array([moment]),
                network=np.zeros((1, PRODUCTS), dtype=np.float32),
                predicted_rating=np.zeros((1, PRODUCTS), dtype=np.float32),
            )
            later = (graph.edge_time >= moment) & (graph.edge_user != user)
            if not (graph.edge_time[train][~later[train]] != NO_TIME).any():
                continue
            product = graph.edge_product.copy()
            product[later] = rng.integers(PRODUCTS, size=later.sum())
            changed = replace(graph, edge_product=product)
            kept = train[~later[train] | (rng.random(len(train)) < 0.5)]
            for before, after in zip(
                features, trend.fit(KnownReviews(changed, kept, *[None] * 4)), strict=True
            ):
                np.testing.assert_allclose(
                    after.values(situation), before.values(situation), atol=1e-5
                )


@pytest.fixture
def catalogue(stage, prepared):
    """An untrained network among evidences that are fitted to the training reviews."""
    graph, train = stage.graph, np.flatnonzero(stage.split.train)
    vectors, words = prepared.vectors, prepared.words
    product_graph = build(stage.config.product_graph).build(graph, vectors, train)
    towers = Towers.untrained(DIMENSION, 10.0)
    known = KnownReviews(graph, train, product_graph, vectors, words, towers)
    features = fit_evidences(stage.config.evidence, known)
    reviews = ProductReviews.of(graph, vectors, train).summary
    model = build(stage.config.model, vector_dim=DIMENSION)
    return FullCatalogue.of(model, graph, vectors, words, reviews, features)


def fitted(stage, catalogue, task):
    liked_above = stage.config.train.liked_above
    return catalogue.fitted(build(stage.config.combiner), stage.graph, task, liked_above)


def test_what_is_served_knows_the_validation_and_not_the_test(tmp_path):
    split_config = tiny_models.SPLIT_CONFIG | {"validation_share": 0.2, "test_share": 0.2}
    path = tiny_models.save_checkpoint(tmp_path, split_config=split_config)
    trained = load_trained(path)
    prepared = prepare_reviews(tiny_models.shop(), tiny_models.FakeEncoder(), tmp_path)
    split = build(OmegaConf.create(split_config)).split(prepared.graph)
    served = as_served({"trained": trained, "split": split}, prepared)
    (popularity,) = (each for each in served.features if each.name == "popularity")
    product = prepared.graph.edge_product
    for known in (split.train, split.known):
        counts = np.bincount(product[known], minlength=prepared.graph.num_products)
        is_known = np.allclose(np.expm1(popularity.product_values), counts, atol=1e-4)
        assert is_known == (known is not split.train and known.sum() > split.train.sum())
    assert not (split.known & (split.test.target | split.test.history)).any()


@pytest.fixture
def described(catalogue):
    """As if its products had texts: of unknown ones, which are no choice, nothing could leak."""
    return replace(catalogue, unknown=np.zeros_like(catalogue.unknown))


def test_weights_that_are_fitted_to_the_test_are_seen(stage, described, settings):
    honest = fitted(stage, described, stage.split.validation)
    assert not failed([audit_combiner(stage, honest, settings)])
    leaking = fitted(stage, described, next(iter(stage.tests.values())))
    assert failed([audit_combiner(stage, leaking, settings)]) == [
        "weights are learned without the test (rec_sys, combiner)"
    ]


def test_settings_that_are_tuned_on_the_test_are_seen(stage, described, settings, tmp_path):
    towers, leak = Towers.untrained(DIMENSION, 10.0), next(iter(stage.tests.values()))
    space = {"order": {"evidence.order.smoothing": [1.0, 100.0]}}
    caught = []
    for task in (stage.split.validation, leak):
        trial = evidence_trial(stage, described, towers, stage.graph, task)
        tuned = tune(trial, space, 2, 10.0, 0, tmp_path / f"{len(caught)}.tuning")
        assert tuned.rows[0][:2] == ("order", 2)
        caught.append(failed([audit_tuning(stage, described, towers, tuned, settings)]))
    assert caught == [[], ["weights are learned without the test (rec_sys, tuning)"]]


@pytest.mark.parametrize(
    "name", ["neighbours", "order", "trend", "network", "liking", "texts", "dislikes"]
)
def test_an_evidence_can_be_left_out(name):
    (ablation,) = load_ablations([f"no_{name}"])
    whole, without = config().evidence, with_overrides(config(), ablation.overrides).evidence
    assert set(whole) - set(without) == {name}
    assert all(without[other] == whole[other] for other in without)
    assert list(without) == [other for other in whole if other != name]
