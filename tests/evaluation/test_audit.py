"""Each leak is planted, and the audit must see it; a clean evaluation must pass."""

from dataclasses import replace

import numpy as np
import pytest

from rec_sys.evaluation.audit import AuditSettings, LeakageError, Probes, audit, require_clean
from rec_sys.evaluation.audit_checks import (
    check_edges,
    check_shared_texts,
    check_times,
    report_twins,
    words_by_row,
)
from rec_sys.evaluation.audit_probes import check_batches, check_invariance, check_statistics
from rec_sys.evaluation.interface import Catalogue, Reviews
from rec_sys.evaluation.rating_baselines.bias import Bias
from rec_sys.evaluation.rating_baselines.matrix_factorisation import MatrixFactorisation
from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import EgoBatchBuilder
from rec_sys.graph.product_reviews import ProductReviews
from rec_sys.graph.review_graph import NO_TIME, ReviewGraph
from rec_sys.graph.task import Split, Task

USERS, PRODUCTS, PER_USER, DIMENSION = 12, 9, 6, 4
EDGES = USERS * PER_USER
LONG = 20  # words of each text


@pytest.fixture
def graph():
    """Everyone reviews six of nine products, one a day; every text is long and unique."""
    rng = np.random.default_rng(0)
    return ReviewGraph(
        user_ids=np.arange(USERS).astype(str).astype(object),
        product_ids=np.arange(PRODUCTS).astype(str).astype(object),
        user_ptr=np.arange(USERS + 1) * PER_USER,
        edge_product=np.concatenate([rng.permutation(PRODUCTS)[:PER_USER] for _ in range(USERS)]),
        edge_text=np.arange(EDGES) + 1,
        edge_rating=rng.integers(1, 6, EDGES).astype(np.float32),
        edge_time=np.tile(np.arange(PER_USER), USERS) * 86_400,
        product_name_text=np.zeros(PRODUCTS, dtype=np.int64),
        product_info_text=np.zeros(PRODUCTS, dtype=np.int64),
    )


@pytest.fixture
def vectors():
    vectors = np.random.default_rng(1).normal(size=(EDGES + 1, DIMENSION)).astype(np.float16)
    vectors[0] = 0
    return vectors


@pytest.fixture
def words():
    return np.full(EDGES + 1, LONG)


@pytest.fixture
def split(graph):
    """Four days train, the fifth is the validation, the sixth the test."""
    day = graph.edge_time // 86_400
    return Split("time", day < 4, Task(day == 4, day < 4), Task(day == 5, day < 5))


def smuggle(owner, name, edges):
    """Past the guard of a frozen dataclass."""
    object.__setattr__(owner, name, edges)


def stars_of(model, graph, split, vectors):
    """A `FitAndScore`: fits to the training edges of what it is given."""
    users = np.arange(USERS)
    catalogue = Catalogue(PRODUCTS, graph.product_name_text, graph.product_info_text, vectors)

    def fit_and_score(given):
        model.fit(Reviews.of(given, users, split.train), catalogue)
        histories = Reviews.of(given, users, split.test.history)
        return model.rate(histories, graph.edge_user[split.test.target], pairs(graph, split))

    return fit_and_score


def pairs(graph, split):
    return graph.edge_product[split.test.target]


def batches_of(split, known):
    """A `BatchBuilder` of the real builder; `known`: the edges that product means are made of."""

    def build(graph, vectors):
        reviews = ProductReviews.of(graph, vectors, np.flatnonzero(known))
        builder = EgoBatchBuilder(graph, vectors, reviews)
        hidden = ~split.test.target & ~split.test.history
        blocks = np.array_split(np.arange(USERS), 3)
        return [builder.build(users, split.test.target, hidden) for users in blocks]

    return build


def fair_rank(scores, target):
    """Mean rank; of equal scores, half are better."""
    return (scores > scores[target]).sum() + (scores == scores[target]).sum() / 2


def rank_by_product_number(scores, target):
    return int(np.flatnonzero(np.argsort(-scores, kind="stable") == target)[0])


def ranks(graph, split, rank):
    """An `Evaluate` of popularity, whose scores are full of ties."""
    scores = np.bincount(graph.edge_product[split.train], minlength=PRODUCTS) // 3
    targets = pairs(graph, split)

    def evaluate(permutation, block_size):
        number = np.arange(PRODUCTS) if permutation is None else permutation
        renumbered = np.empty_like(scores)
        renumbered[number] = scores
        return float(np.mean([rank(renumbered, number[target]) for target in targets]))

    return evaluate


def test_a_clean_evaluation_passes(graph, vectors, words, split):
    models = {model.name: stars_of(model, graph, split, vectors) for model in (Bias(),)}
    models["factors"] = stars_of(MatrixFactorisation(rank=2), graph, split, vectors)
    probes = Probes(
        build_batches={"network": batches_of(split, split.train)},
        vectors=vectors,
        fit_and_score=models,
        evaluate={"popularity": ranks(graph, split, fair_rank)},
        twins=(3, 12),
    )
    findings = audit(graph, split, words, AuditSettings(), probes)
    assert all(finding.passed for finding in findings), findings
    assert len(findings) == 8
    assert "3 of 12 targets (25.00%)" in findings[-1].detail
    require_clean(findings)


def test_an_audit_without_models_or_times_checks_the_split(graph, words, split):
    by_users = replace(split, name="users", test=None)
    assert len(audit(graph, by_users, words, AuditSettings())) == 2


@pytest.mark.parametrize("part", ["train", "history"])
def test_a_shown_target_is_seen(split, part):
    owner = split if part == "train" else split.test
    smuggle(owner, part, getattr(owner, part) | split.test.target)
    finding = check_edges(split)
    assert not finding.passed
    assert "12 test targets" in finding.detail
    with pytest.raises(LeakageError, match="12 test targets") as raised:
        require_clean([finding, report_twins(1, 2)])
    assert isinstance(raised.value, InputError)
    assert "twins" not in str(raised.value)


@pytest.mark.parametrize("part", ["history", "target"])
def test_a_test_target_used_in_validation_is_seen(split, part):
    edges = getattr(split.validation, part) | split.test.target
    smuggle(split.validation, part, edges)
    assert "12 test targets" in check_edges(split).detail


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
        everything = ProductReviews.of(given, vectors, given.edges_of(users)).summary()
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
    catalogue = Catalogue(PRODUCTS, graph.product_name_text, graph.product_info_text, vectors)
    users, model = np.arange(USERS), Bias()

    def leaks(given):
        model.fit(Reviews.of(given, users, split.train | split.test.target), catalogue)
        histories = Reviews.of(given, users, split.test.history)
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


def test_an_overlap_of_times_is_seen(graph, split):
    assert check_times(graph, split).passed
    day = graph.edge_time // 86_400
    late = graph.edge_user == 3  # its last day trains
    overlap = Split("time", split.train | (late & (day == 5)), split.validation, None)
    finding = check_times(graph, overlap)
    assert not finding.passed
    assert "1 training reviews are not older than the first validation target" in finding.detail
    same_day = Split(
        "time", (day < 4) | (late & (day == 4)), Task((day == 4) & ~late, day < 4), None
    )
    assert not check_times(graph, same_day).passed


def test_a_validation_that_is_not_before_the_test_is_seen(graph, split):
    day = graph.edge_time // 86_400
    late = graph.edge_user == 3
    validation = Task((day == 4) | (late & (day == 5)), day < 4)
    test = Task((day == 5) & ~late, day < 5)
    finding = check_times(graph, Split("time", day < 4, validation, test))
    assert "1 validation reviews are not older than the first test target" in finding.detail


def test_reviews_without_a_time_are_old_and_no_targets(graph, split):
    time = graph.edge_time.copy()
    time[0] = NO_TIME
    finding = check_times(replace(graph, edge_time=time), split)
    assert finding.passed and "1 training reviews without a time" in finding.detail
    time[5] = NO_TIME
    finding = check_times(replace(graph, edge_time=time), split)
    assert not finding.passed and "1 test targets have no time" in finding.detail


def test_the_order_of_ties_is_seen(graph, split):
    assert check_invariance(ranks(graph, split, fair_rank), PRODUCTS, (8, 3), 1e-6, 0).passed
    by_number = ranks(graph, split, rank_by_product_number)
    finding = check_invariance(by_number, PRODUCTS, (8, 3), 1e-6, 0)
    assert not finding.passed and "with products renumbered" in finding.detail


def test_a_metric_that_depends_on_the_batch_size_is_seen():
    values = np.arange(10.0) ** 2

    def mean_of_means(permutation, block_size):
        blocks = range(0, len(values), block_size)
        return float(np.mean([values[start : start + block_size].mean() for start in blocks]))

    finding = check_invariance(mean_of_means, PRODUCTS, (10, 3), 1e-6, 0)
    assert not finding.passed and "with batches of 3" in finding.detail


def test_a_copied_review_is_seen(graph, words, split):
    assert check_shared_texts(graph, split, words, 10, 0.01).passed
    text = graph.edge_text.copy()
    text[5] = text[PER_USER]  # a test target copies the first review of somebody else
    copied = replace(graph, edge_text=text)
    finding = check_shared_texts(copied, split, words, 10, 0.01)
    assert not finding.passed
    assert "1 of 12 test targets (8.33%) have a known text of 10 or more words" in finding.detail
    assert check_shared_texts(copied, split, words, 10, 0.1).passed
    # A short text is rightly equal; an empty one says nothing at all.
    for number, counted in ((3, 1), (0, 0)):
        short = words.copy()
        short[text[5]] = number
        finding = check_shared_texts(copied, split, short, 10, 0.01)
        assert finding.passed and f"{counted} a shorter one" in finding.detail.split(";")[1]


def test_words_are_counted_by_row_of_the_store():
    texts, rows = ["so  good", "", "so  good", "one two three"], np.array([4, 0, 4, 2])
    assert words_by_row(texts, rows, 5).tolist() == [0, 0, 3, 0, 2]
