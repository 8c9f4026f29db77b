from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.inference.backends import TorchBackend
from rec_sys.inference.histories import UNKNOWN, build_history_batch, read_histories
from rec_sys.inference.recommender import POPULAR, CandidateFilter, Recommender
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.product_graph import ProductGraph
from tests.helpers.tiny_models import REVIEWS, FakeEncoder, review_table

TEXTS = ["", "good tone", "never again", "it hums", "a present"]


@pytest.fixture
def recommender(built, tmp_path):
    backend = TorchBackend(load_trained(tmp_path / "checkpoint_dir" / "tiny.ckpt"))
    return Recommender(backend, built, FakeEncoder().encode)


def recommended(result):
    return [each.product_id for each in result.recommendations]


def test_what_was_reviewed_is_not_recommended_and_the_rest_is(recommender):
    results = recommender.recommend(review_table(REVIEWS), k=10)
    assert [each.user_id for each in results] == ["ann", "bob", "cyd", "dan", "eli"]
    everything = {"p1", "p2", "p3", "p4", "p5", "p6"}
    for result in results:
        reviewed = {product for user, product, *_ in REVIEWS if user == result.user_id}
        assert set(recommended(result)) == everything - reviewed
        assert len(recommended(result)) == len(everything - reviewed)


def brute_force(recommender, table):
    """All scores of all people, by id, from the definition of the score."""
    built = recommender.vectorbase
    graph = built.product_graph
    histories = read_histories(table, built)
    batch = build_history_batch(histories, built, recommender.encode)
    queries = recommender.backend.embed(batch.inputs).user_queries
    weights = np.zeros((graph.num_products, graph.num_products))
    for source in range(graph.num_products):
        edges = slice(graph.pointers[source], graph.pointers[source + 1])
        weights[source, graph.neighbours[edges]] = graph.weights[edges]
    scores = {}
    for user, user_id in enumerate(histories.user_ids):
        total = built.keys @ queries[user]
        own = batch.review[batch.user == user]
        for step, review in enumerate(own[::-1]):
            row, rating = histories.catalogue_row[review], histories.rating[review]
            liked = pd.isna(rating) or rating > graph.liked_above
            if row != UNKNOWN:
                share = graph.history_decay**step * (1 if liked else graph.disliked_weight)
                total = total + share * weights[row]
        scores[user_id] = total
    return scores


def test_a_recommendation_of_known_value(recommender, built):
    table = review_table(REVIEWS[:2])
    (result,) = recommender.recommend(table, k=2)
    scores = brute_force(recommender, table)["ann"]
    best = [row for row in np.argsort(-scores) if row not in (0, 1)][:2]
    assert recommended(result) == built.product_ids[best].tolist()
    cosines = built.embeddings @ result.embedding
    for each, row in zip(result.recommendations, best, strict=True):
        assert each.name == built.names[row]
        assert each.score == pytest.approx(scores[row], abs=1e-5)
        assert each.predicted_rating == pytest.approx(2.5 * (cosines[row] + 1), abs=1e-4)
    known = {("r0", "Drum", "good tone"), ("r1", "Flute", "fell apart")}
    for each in result.recommendations:
        weights = [reason.weight for reason in each.because]
        assert {(r.review_id, r.product_name, r.text) for r in each.because} <= known
        assert weights == sorted(weights, reverse=True)
        assert sum(weights) == pytest.approx(1, abs=1e-5)
    assert (result.fallback, result.explanation) == (None, None)


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "new", "Harp", None]),
            st.sampled_from(TEXTS),
            st.sampled_from([None, 1, 5]),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=25,
    ),
    k=st.integers(1, 8),
    batch_size=st.integers(1, 5),
)
def test_exclusion_always_holds_and_the_best_of_the_rest_come(
    recommender, built, rows, k, batch_size
):
    # A row without an id, or with the name as its id, is the harp by its name.
    names = ["Harp" if row[1] in (None, "Harp") else None for row in rows]
    table = review_table(rows, product_name=names)
    results = recommender.recommend(table, k, batch_size)
    all_scores = brute_force(recommender, table)
    assert [each.user_id for each in results] == list(dict.fromkeys(row[0] for row in rows))
    for result in results:
        own = [row for row in rows if row[0] == result.user_id]
        reviewed = {"p4" if row[1] in (None, "Harp") else row[1] for row in own}
        allowed = [p not in reviewed for p in built.product_ids]
        scores = [each.score for each in result.recommendations]
        assert not reviewed & set(recommended(result))
        assert len(set(recommended(result))) == len(scores) == min(k, sum(allowed))
        if result.fallback is None:
            best = np.sort(all_scores[result.user_id][allowed])[::-1][:k]
            np.testing.assert_allclose(scores, best, atol=1e-5)
        assert all(0 <= each.predicted_rating <= 5 for each in result.recommendations)
        for each in result.recommendations:
            assert sum(reason.weight for reason in each.because) <= 1 + 1e-5


def test_many_people_equal_one_by_one(recommender):
    rng = np.random.default_rng(0)
    products = ["p1", "p2", "p3", "p4", "p5", "p6", "new", None]
    rows = [
        (f"u{rng.integers(20)}", products[rng.integers(8)], TEXTS[rng.integers(5)], 3, i)
        for i in range(90)
    ]
    # Strangers describe the same unknown product each in their own way.
    infos = [f"as {row[0]} says" for row in rows]
    table = review_table(rows, product_info=infos)
    together = recommender.recommend(table, k=4)
    small = recommender.recommend(table, k=4, batch_size=3)
    for each, other in zip(together, small, strict=True):
        alone = table[table["user_id"] == each.user_id].reset_index(drop=True)
        (single,) = recommender.recommend(alone, k=4)
        for same in (other, single):
            assert (same.user_id, same.fallback) == (each.user_id, each.fallback)
            np.testing.assert_allclose(same.embedding, each.embedding, atol=1e-5)
            for one, two in zip(each.recommendations, same.recommendations, strict=True):
                assert one.score == pytest.approx(two.score, abs=1e-5)
                assert {r.review_id for r in one.because} == {r.review_id for r in two.because}


def test_a_person_of_whom_nothing_is_known_gets_the_popular_products(recommender):
    rows = [("eve", None, "", None, None), ("fay", "p1", "", 5, 1), ("gus", "p1", "x", 5, 1)]
    rows.append(("hal", "new", "", 5, 1))
    results = eve, fay, gus, hal = recommender.recommend(review_table(rows), k=3)
    assert recommended(eve) == recommended(hal) == ["p1", "p5", "p3"]
    assert [each.fallback for each in results] == [POPULAR, None, None, POPULAR]
    assert "most popular" in eve.explanation and gus.explanation is None
    assert eve.recommendations[0].because == hal.recommendations[0].because == ()
    # A product of the catalogue is enough: the product graph leads on from it.
    assert "p1" not in recommended(fay) and fay.explanation is None
    assert [reason.product_name for reason in fay.recommendations[0].because] == ["Drum"]
    assert np.linalg.norm(eve.embedding) == pytest.approx(1, abs=1e-5)


def test_reasons_are_those_that_carried_the_product(recommender, built):
    """Where the product graph is connected only its reviews speak, otherwise the attention does."""
    pointers, neighbours = np.array([0, 2, 3, 3, 3, 3, 3]), np.array([3, 4, 3], dtype=np.int32)
    weights = np.array([0.5, -1.0, 0.25], dtype=np.float32)
    graph = ProductGraph(pointers, neighbours, weights, 0.5, 0.5, 3.0)
    recommender.vectorbase = replace(built, product_graph=graph)
    rows = [("u", "p1", "a", 5, 1), ("u", "new", "b", 5, 2), ("u", "p2", "c", 1, 3)]
    (result,) = recommender.recommend(review_table(rows), k=6)
    because = {
        each.product_id: {reason.text: reason.weight for reason in each.because}
        for each in result.recommendations
    }
    # p1: two newer reviews, 0.5 * 0.5^2; p2: the newest one but disliked, 0.25 * 0.5.
    assert because["p4"] == pytest.approx({"a": 0.5, "c": 0.5})
    # What speaks against p5 is no reason: the attention, as for what is not connected.
    assert set(because["p5"]) == {"a", "b", "c"}
    assert because["p5"] == because["p6"] == because["p3"]
    assert sum(because["p5"].values()) == pytest.approx(1, abs=1e-5)


def test_a_person_of_one_review_of_a_product_never_seen(recommender):
    table = review_table([("u", "new", "x" * 500, 4, None)], product_name=["Lute"])
    (result,) = recommender.recommend(table, k=3)
    assert len(result.recommendations) == 3
    (reason,) = result.recommendations[0].because
    assert (reason.product_name, reason.weight) == ("Lute", pytest.approx(1, abs=1e-5))
    assert reason.text.endswith("x…") and len(reason.text) == 160


def test_only_the_heaviest_reasons_are_named(recommender):
    rows = [("u", f"x{i}", f"text {i}", 4, i) for i in range(9)]
    (result,) = recommender.recommend(review_table(rows), k=1)
    weights = [reason.weight for reason in result.recommendations[0].because]
    assert len(weights) == 3 and weights == sorted(weights, reverse=True)


def test_who_has_reviewed_everything_gets_nothing(recommender):
    rows = [("u", f"p{i}", "fine", 4, i) for i in range(1, 7)]
    (result,) = recommender.recommend(review_table(rows), k=10)
    assert result.recommendations == ()


def test_an_index_of_another_model_is_refused(recommender, built):
    recommender.backend.model_fingerprint = "f" * 64
    with pytest.raises(InputError, match="built from another model"):
        Recommender(recommender.backend, built, FakeEncoder().encode)


@pytest.mark.parametrize(("k", "batch_size"), [(0, 1), (1, 0)])
def test_numbers_that_are_too_small(recommender, k, batch_size):
    with pytest.raises(InputError, match="at least 1"):
        recommender.recommend(review_table(REVIEWS), k, batch_size)


def test_only_what_is_wanted_and_the_best_of_it(recommender, built):
    table = review_table(REVIEWS[:2])  # reviews p1 and p2
    (everything,) = recommender.recommend(table, k=6)
    ranked = [int(built.rows_of(np.array([p], dtype=object))[0]) for p in recommended(everything)]
    among, without = np.array([0, 2, 4, 5]), np.array([4])
    for candidates in (
        CandidateFilter(among),
        CandidateFilter(without=without),
        CandidateFilter(among, without),
    ):
        (result,) = recommender.recommend(table, k=6, candidates=candidates)
        wanted = candidates.of(np.array(ranked))
        assert recommended(result) == built.product_ids[wanted].tolist()
    stranger = review_table([("eve", None, "", None, None)])
    (popular,) = recommender.recommend(stranger, k=6, candidates=CandidateFilter(among, without))
    wanted = [row for row in built.by_popularity if row in among and row not in without]
    assert recommended(popular) == built.product_ids[wanted].tolist()
    (nothing,) = recommender.recommend(table, k=6, candidates=CandidateFilter(np.array([0])))
    assert nothing.recommendations == ()
