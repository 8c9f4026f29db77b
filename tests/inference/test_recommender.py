import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_models import REVIEWS, FakeEncoder, review_table

from rec_sys.foundation.errors import InputError
from rec_sys.inference.recommendation import POPULAR
from rec_sys.inference.recommender import Recommender, stars
from rec_sys.inference.torch_backend import TorchBackend
from rec_sys.modules.checkpoint import load_trained

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


def test_a_recommendation_of_known_value(recommender, built):
    (result,) = recommender.recommend(review_table(REVIEWS[:2]), k=2)
    cosines = built.embeddings @ result.embedding
    best = [row for row in np.argsort(-cosines) if row not in (0, 1)][:2]
    assert recommended(result) == built.product_ids[best].tolist()
    for each, row in zip(result.recommendations, best, strict=True):
        assert each.name == built.names[row]
        assert each.score == pytest.approx(cosines[row], abs=1e-5)
        assert each.predicted_rating == pytest.approx(2.5 * (cosines[row] + 1), abs=1e-4)
    because = result.recommendations[0].because
    assert {(each.review_id, each.product_name, each.text) for each in because} == {
        ("r0", "Drum", "good tone"),
        ("r1", "Flute", "fell apart"),
    }
    assert because[0].weight >= because[1].weight
    assert sum(each.weight for each in because) == pytest.approx(1, abs=1e-5)
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
    results = recommender.recommend(review_table(rows, product_name=names), k, batch_size)
    assert [each.user_id for each in results] == list(dict.fromkeys(row[0] for row in rows))
    for result in results:
        own = [row for row in rows if row[0] == result.user_id]
        reviewed = {"p4" if row[1] in (None, "Harp") else row[1] for row in own}
        allowed = [p not in reviewed for p in built.product_ids]
        scores = [each.score for each in result.recommendations]
        assert not reviewed & set(recommended(result))
        assert len(set(recommended(result))) == len(scores) == min(k, sum(allowed))
        if result.fallback is None:
            best = np.sort((built.embeddings @ result.embedding)[allowed])[::-1][:k]
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


def test_a_person_without_any_text_gets_the_popular_products(recommender):
    rows = [("eve", None, "", None, None), ("fay", "p1", "", 5, 1), ("gus", "p1", "x", 5, 1)]
    eve, fay, gus = recommender.recommend(review_table(rows), k=3)
    assert recommended(eve) == ["p1", "p5", "p3"]
    assert recommended(fay) == ["p5", "p3", "p2"]
    assert [eve.fallback, fay.fallback, gus.fallback] == [POPULAR, POPULAR, None]
    assert "most popular" in eve.explanation and gus.explanation is None
    assert eve.recommendations[0].because == fay.recommendations[0].because == ()
    assert np.linalg.norm(eve.embedding) == pytest.approx(1, abs=1e-5)


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


def test_stars():
    np.testing.assert_allclose(stars(np.array([-1.1, -1, 0, 1, 1.1])), [0, 0, 2.5, 5, 5])
