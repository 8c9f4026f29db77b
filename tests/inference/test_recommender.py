import re
from dataclasses import replace
from itertools import cycle

import numpy as np
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import Author, authors_in
from rec_sys.inference.recommender import POPULAR, Recommender
from rec_sys.modules.checkpoint import load_trained
from rec_sys.modules.combiner import Combiner
from rec_sys.modules.features import ProductFeature, WalkFeature
from rec_sys.modules.inference_backends import TorchBackend
from rec_sys.modules.product_graph import ProductGraph
from rec_sys.text.words import columns_of
from rec_sys.vector_database.quotes import Quote, Quotes
from tests.helpers.scores_by_hand import contributions_by_hand, words_in
from tests.helpers.tiny_models import PRODUCTS, REVIEWS, FakeEncoder, review_table

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


def scores_by_hand(recommender, table):
    """All scores of all people, by id."""
    parts = contributions_by_hand(recommender, table)
    return {user_id: sum(found.values()) for user_id, found in parts.items()}


def test_a_recommendation_of_known_value(recommender, built):
    table = review_table(REVIEWS[:2])
    (result,) = recommender.recommend(table, k=2)
    scores = scores_by_hand(recommender, table)["ann"]
    best = [row for row in np.argsort(-scores) if row not in (0, 1)][:2]
    assert recommended(result) == built.product_ids[best].tolist()
    cosines = built.embeddings @ result.embedding
    for each, row in zip(result.recommendations, best, strict=True):
        assert each.name == built.labels[row]
        assert each.score == pytest.approx(scores[row], abs=1e-5)
        assert each.predicted_rating == pytest.approx(2.5 * (cosines[row] + 1), abs=1e-4)
    # The flute was a disappointment, which is no reason.
    known = {("r0", "Drum", "good tone")}
    assert any(each.because for each in result.recommendations)
    for each in result.recommendations:
        assert {(r.review_id, r.product_name, r.text) for r in each.because} <= known
    assert (result.fallback, result.explanation) == (None, None)


HISTORIES = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["p1", "p2", "p3", "p4", "p5", "p6", "new", "Harp", None]),
        st.sampled_from(TEXTS),
        st.sampled_from([None, 1, 2.5, 3, 3.5, 5]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=25,
)
PROPERTY = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def table_of(rows):
    # A row without an id, or with the name as its id, is the harp by its name.
    names = ["Harp" if row[1] in (None, "Harp") else None for row in rows]
    return review_table(rows, product_name=names)


@PROPERTY
@given(rows=HISTORIES, k=st.integers(1, 8), batch_size=st.integers(1, 5))
def test_exclusion_always_holds_and_the_best_of_the_rest_come(
    recommender, built, rows, k, batch_size
):
    table = table_of(rows)
    results = recommender.recommend(table, k=k, batch_size=batch_size)
    all_scores = scores_by_hand(recommender, table)
    assert [each.user_id for each in results] == list(dict.fromkeys(row[0] for row in rows))
    for result in results:
        own = [row for row in rows if row[0] == result.user_id]
        reviewed = {"p4" if row[1] in (None, "Harp") else row[1] for row in own}
        allowed = [p not in reviewed for p in built.product_ids]
        scores = [each.score for each in result.recommendations]
        assert not reviewed & set(recommended(result))
        assert len(set(recommended(result))) == len(scores) == min(k, sum(allowed))
        best = np.sort(all_scores[result.user_id][allowed])[::-1][:k]
        np.testing.assert_allclose(scores, best, atol=1e-5)
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= each.predicted_rating <= 5 for each in result.recommendations)


@PROPERTY
@given(rows=HISTORIES, k=st.integers(1, 8))
def test_contributions_are_those_of_the_evidences_and_add_up_to_the_score(
    recommender, built, rows, k
):
    table = table_of(rows)
    by_hand = contributions_by_hand(recommender, table)
    for result in recommender.recommend(table, k=k):
        for each in result.recommendations:
            assert sum(each.contributions.values()) == pytest.approx(each.score, abs=1e-5)
            (row,) = built.rows_of([each.product_id])
            expected = {name: part[row] for name, part in by_hand[result.user_id].items()}
            assert each.contributions == pytest.approx(expected, abs=1e-5)


@PROPERTY
@given(rows=HISTORIES, k=st.integers(1, 8))
def test_what_was_disliked_is_never_a_reason(recommender, built, rows, k):
    results = recommender.recommend(table_of(rows), k=k)
    ratings = {f"r{number}": row[3] for number, row in enumerate(rows)}
    for result in results:
        for each in result.recommendations:
            weights = [reason.weight for reason in each.because]
            assert weights == sorted(weights, reverse=True) and all(w > 0 for w in weights)
            assert sum(weights) <= 1 + 1e-5
            for reason in each.because:
                assert reason.rating == ratings[reason.review_id]
                assert reason.rating is None or reason.rating > 3.0


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


def test_a_person_of_whom_nothing_is_known_gets_what_is_popular_and_of_late(recommender, built):
    rows = [("eve", None, "", None, None), ("fay", "p1", "", 5, 1), ("gus", "p1", "x", 5, 1)]
    rows += [("hal", "new", "", 5, 1), ("ida", None, "", 1, 1)]
    names = [None, None, None, None, "Lute"]
    results = recommender.recommend(review_table(rows, product_name=names), k=6)
    eve, fay, gus, hal, ida = results
    # p2 and p4 have two reviews each, p2 the newest, of second 10; p5 has one.
    assert recommended(eve)[:4] == ["p1", "p2", "p4", "p5"]
    assert eve.recommendations == hal.recommendations == ida.recommendations
    assert [each.fallback for each in results] == [POPULAR, None, None, POPULAR, POPULAR]
    assert eve.explanation.endswith("the same for everybody: by popularity and trend")
    assert fay.explanation is gus.explanation is None
    for each in eve.recommendations:
        assert each.because == ()
        said = {name for name, value in each.contributions.items() if value}
        assert said <= {"popularity", "trend"}
    # A product of the catalogue is enough: the evidences lead on from it.
    assert "p1" not in recommended(fay)
    assert [reason.product_name for reason in fay.recommendations[0].because] == ["Drum"]
    assert np.linalg.norm(eve.embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ({"popularity": 1.0}, "by popularity"),
        ({"trend": 0.5, "popularity": 0.3, "network": 0.2}, "by trend, popularity and network"),
    ],
)
def test_the_explanation_names_what_decides(recommender, built, shares, words):
    found = built.combiner.shares.copy()
    found[0] = [shares.get(name.partition(",")[0], 0.0) for name in built.combiner.features]
    recommender.vectorbase = replace(built, combiner=replace(built.combiner, shares=found))
    (eve,) = recommender.recommend(review_table([("eve", None, "", None, None)]), k=1)
    assert eve.explanation.endswith(f": {words}")


def with_two_evidences(built, edges, popularity, weights):
    """Products 0...5 with edges {(from, to): weight} and popularity alone; nothing is matched."""
    row, column = np.array(list(edges)).T
    matrix = scipy.sparse.csr_array((list(edges.values()), (row, column)), shape=(6, 6))
    graph = ProductGraph.of(matrix, history_decay=0.5, disliked_weight=0.5, liked_above=3.0)
    features = [
        WalkFeature("co-reviewing", "co-reviewing", graph, 0.0, "product_graph"),
        ProductFeature("popularity", "popularity", np.array(popularity, dtype=np.float32)),
    ]
    features += [built.match, built.match_words]
    combiner = replace(Combiner.prior(features), weights=np.tile([*weights, 0, 0], (5, 1)))
    return replace(built, features=features, combiner=combiner)


def test_reasons_are_those_that_carried_the_product(recommender, built):
    edges = {(0, 3): 0.5, (1, 3): 0.25, (0, 4): -1.0}
    popularity = [0.0, 0.0, 0.0, 0.5, 3.0, 1.0]
    recommender.vectorbase = with_two_evidences(built, edges, popularity, [2.0, 1.0])
    rows = [("u", "p1", "a", 5, 1), ("u", "new", "", 5, 2), ("u", "p2", "c", 1, 3)]
    (result,) = recommender.recommend(review_table(rows), k=6)
    found = {each.product_id: each for each in result.recommendations}
    because = {
        product: {reason.text: reason.weight for reason in each.because}
        for product, each in found.items()
    }
    # p1, two newer reviews: 2 * 0.5 * 0.5^2; p2, disliked: 2 * 0.25 * 0.5, which is no reason;
    # 0.5 is popularity.
    nothing = {"match": 0.0}
    assert found["p4"].contributions == pytest.approx(
        {"co-reviewing": 0.5, "popularity": 0.5} | nothing
    )
    assert because["p4"] == pytest.approx({"a": 0.25})
    # What speaks against p5 is no reason, nor is what leads nowhere.
    assert found["p5"].contributions == pytest.approx(
        {"co-reviewing": -0.5, "popularity": 3.0} | nothing
    )
    assert because["p5"] == because["p6"] == because["p3"] == {}


def test_reasons_of_an_evidence_on_a_log_scale_share_its_contribution(recommender, built):
    base = with_two_evidences(built, {(0, 3): 0.3, (1, 3): 0.2, (2, 3): -0.1}, [0.0] * 6, [1, 1])
    walk = replace(base.features[0], scale=0.1)
    recommender.vectorbase = replace(base, features=[walk, *base.features[1:]])
    rows = [("u", "p1", "a", 5, 1), ("u", "p2", "b", 4, 2), ("u", "p3", "c", None, 3)]
    (result,) = recommender.recommend(review_table(rows), k=1)
    (best,) = result.recommendations
    walked = 0.3 / 4 + 0.2 / 2 - 0.1
    assert best.product_id == "p4" and best.score == pytest.approx(np.log1p(walked / 0.1))
    weights = {reason.text: reason.weight for reason in best.because}
    assert weights == pytest.approx({"a": 0.075 / 0.175, "b": 0.1 / 0.175})


def test_a_product_never_seen_leads_where_its_words_lead(recommender):
    """Its review is a reason, by the name that its author gave it."""
    table = review_table([("u", "new", "x" * 500, 4, None)], product_name=["Lute"])
    (result,) = recommender.recommend(table, k=6)
    scores = np.sort(scores_by_hand(recommender, table)["u"])[::-1]
    np.testing.assert_allclose([r.score for r in result.recommendations], scores, atol=1e-5)
    assert result.fallback is None and (result.wish, len(scores)) == ("", 6)
    reasons = [reason for each in result.recommendations for reason in each.because]
    assert {(r.review_id, r.product_name, r.rating) for r in reasons} == {("r0", "Lute", 4.0)}
    assert all(each.contributions["network"] != 0 for each in result.recommendations)


def test_what_an_unknown_product_sounds_like_decides_where_it_leads(recommender, built):
    """Softmax over two products that have a vector each; the others are far away."""
    base = with_two_evidences(built, {(0, 3): 0.5, (1, 3): -0.25}, [0.0] * 6, [1.0, 1.0])
    (vector,) = recommender.encode(["hums"])
    products = np.zeros_like(base.match.products)
    products[:2] = np.outer([2.0, 1.0], vector)
    products[2:] = -30 * vector
    same = np.eye(len(vector), dtype=np.float32)
    match = replace(base.match, towers=replace(base.match.towers, query=same), products=products)
    recommender.vectorbase = replace(base, features=[*base.features[:2], match, base.match_words])
    (result,) = recommender.recommend(review_table([("u", "new", "hums", 5, 1)]), k=1)
    (best,) = result.recommendations
    first, second = np.e / (np.e + 1), 1 / (np.e + 1)
    assert best.product_id == "p4"
    assert best.score == pytest.approx(0.5 * first - 0.25 * second, abs=1e-3)
    assert [reason.text for reason in best.because] == ["hums"]


def test_a_reason_shows_the_beginning_of_the_review(recommender):
    (result,) = recommender.recommend(review_table([("u", "p1", "x" * 500, 4, None)]), k=3)
    (reason,) = result.recommendations[0].because
    assert (reason.product_name, reason.rating) == ("Drum", 4.0)
    assert reason.text.endswith("x…") and len(reason.text) == 160


def test_only_the_heaviest_reasons_are_named(recommender, built):
    edges = {(row, 5): 0.1 * (row + 1) for row in range(5)}
    recommender.vectorbase = with_two_evidences(built, edges, [0.0] * 6, [1.0, 1.0])
    rows = [("u", f"p{i}", f"text {i}", 4, i) for i in range(1, 6)]
    (result,) = recommender.recommend(review_table(rows), k=1)
    (best,) = result.recommendations
    assert [reason.text for reason in best.because] == ["text 5", "text 4", "text 3"]
    parts = np.array([0.5, 0.4 / 2, 0.3 / 4, 0.2 / 8, 0.1 / 16])
    assert [r.weight for r in best.because] == pytest.approx(parts[:3] / parts.sum(), abs=1e-6)


SAID = [
    ("It holds the tune for weeks. A warm and steady companion on stage.", 4, 5),
    ("Nylon, and as warm as nylon can be!", 5, np.nan),
    ("These strings are made for loud rooms.", 4, 4),
]


@pytest.fixture
def quoting(recommender, built):
    """Others have written whole sentences, about p5 and p6."""
    texts, product, rating = zip(*SAID, strict=True)
    quotes = Quotes.of(texts, np.array(product), np.float32(rating), 6, most=100)
    recommender.vectorbase = replace(built, quotes=quotes)
    return recommender


def authors_of(rows, wishes):
    """The authors of a table, and what each of them wants."""
    return [
        replace(each, wish=wish)
        for each, wish in zip(authors_in(table_of(rows)), cycle(wishes), strict=False)
    ]


WISHES = st.lists(
    st.sampled_from(
        ["", "Strings!", "nylon strings for a warm tone", "a DRUM", "weeks", "xyzzy", "?"]
    ),
    min_size=1,
    max_size=4,
)


@PROPERTY
@given(rows=HISTORIES, wishes=WISHES, k=st.integers(1, 6), batch_size=st.integers(1, 4))
def test_with_wishes_too_contributions_add_up_and_the_best_come(
    quoting, built, rows, wishes, k, batch_size
):
    people = authors_of(rows, wishes)
    by_hand = contributions_by_hand(quoting, people)
    results = quoting.recommend(people, k=k, batch_size=batch_size)
    for person, result in zip(people, results, strict=True):
        assert result.wish == person.wish
        parts = by_hand[person.user_id]
        scores = sum(parts.values())
        reviewed = {
            "p4" if each.product_id in ("", "Harp") else each.product_id for each in person.reviews
        }
        allowed = [product not in reviewed for product in built.product_ids]
        served = [each.score for each in result.recommendations]
        np.testing.assert_allclose(served, np.sort(scores[allowed])[::-1][:k], atol=1e-5)
        for each in result.recommendations:
            (row,) = built.rows_of([each.product_id])
            expected = {name: part[row] for name, part in parts.items()}
            assert each.contributions == pytest.approx(expected, abs=1e-5)
            assert sum(each.contributions.values()) == pytest.approx(each.score, abs=1e-5)
            if not person.wish:
                assert each.match is None and each.contributions["match"] == 0


@PROPERTY
@given(rows=HISTORIES, wishes=WISHES)
def test_what_a_match_tells_is_true(quoting, built, rows, wishes):
    """Its words are in the wish and in what is said about the product, and others said the rest."""
    people = authors_of(rows, wishes)
    told = texts_about(built)
    sentences = {}
    for text, row, stars in SAID:
        for each in re.split(r"(?<=[.!?])\s", text):
            sentences[each] = row, None if np.isnan(stars) else stars
    for person, result in zip(people, quoting.recommend(people, k=6), strict=True):
        for each in result.recommendations:
            if each.match is None:
                assert not person.wish or each.contributions["match"] <= 1e-6
                continue
            assert person.wish and each.contributions["match"] > 0
            assert 0 < each.match.weight <= 1 + 1e-6
            assert set(each.match.words) <= set(words_in(person.wish)) & set(told[each.product_id])
            assert len(set(each.match.words)) == len(each.match.words) <= 3
            # What nearly every product is told of with is no reason.
            idf = {w: built.match_words.idf[c] for w, c in columns_of(person.wish).items()}
            assert all(idf[word] > 0.3 * max(idf.values()) for word in each.match.words)
            if each.match.quote:
                row, stars = sentences[each.match.quote.text]
                assert built.product_ids[row] == each.product_id
                assert each.match.quote.rating == stars
                assert set(each.match.words) & set(words_in(each.match.quote.text))


def texts_about(built):
    """By product id: how often each word is in name, description and reviews."""
    told = {}
    for product, name, info, style, _ in PRODUCTS:
        known = [row[2] for row in REVIEWS if row[1] == product]
        told[product] = words_in(" ".join([name, info, style, *known]))
    assert list(told) == built.product_ids.tolist()
    return told


def test_a_wish_of_known_value(quoting, built):
    (result,) = quoting.recommend([Author("u", [], wish="Nylon strings, warm as weeks")], k=6)
    assert (result.wish, result.fallback, result.explanation) == (
        "Nylon strings, warm as weeks",
        None,
        None,
    )
    found = {each.product_id: each for each in result.recommendations}
    assert len(found) == 6 and all(each.because == () for each in found.values())
    matched = {product: each.match for product, each in found.items() if each.match}
    # "Nylon" is said of p6 alone, once, "strings" of p5 and p6, again and again, "warm" of p1 and,
    # where sentences are shown, of p6; nobody says "weeks".
    for product, words in (("p6", ("strings", "nylon")), ("p5", ("strings",))):
        if product in matched:
            assert matched[product].words == words
    assert {"p5", "p6"} & set(matched)
    assert found["p6"].contributions["match"] == pytest.approx(
        contributions_by_hand(quoting, [Author("u", [], wish=result.wish)])["u"]["match"][5],
        abs=1e-5,
    )
    # Words are all that matches: what is nearest by them is quoted.
    zeros = np.zeros_like(built.match.products)
    features = [
        replace(each, products=zeros) if each is built.match else each for each in built.features
    ]
    quoting.vectorbase = replace(quoting.vectorbase, features=features)
    (result,) = quoting.recommend([Author("u", [], wish="Nylon strings, warm as weeks")], k=6)
    found = {each.product_id: each.match for each in result.recommendations}
    assert found["p6"].words == ("strings", "nylon")
    assert found["p6"].quote == Quote("Nylon, and as warm as nylon can be!", None)
    assert found["p5"].words == ("strings",)
    assert found["p5"].quote == Quote("These strings are made for loud rooms.", 4.0)
    assert found["p1"].words == ("warm",)
    assert all(found[product] is None for product in ("p2", "p3", "p4"))


def test_what_every_sentence_has_is_no_reason(quoting):
    """However rare "at" and "who" are in a small shop."""
    wish = "Something for somebody who plays at home, with strings or a drum"
    (result,) = quoting.recommend([Author("u", [], wish=wish)], k=6)
    words = {word for each in result.recommendations if each.match for word in each.match.words}
    assert words and words <= {"plays", "home", "strings", "drum", "somebody"}
    nothing = "at what would be for the most of them"
    (result,) = quoting.recommend([Author("u", [], wish=nothing)], k=6)
    matches = [each.match for each in result.recommendations if each.match]
    assert all(each.words == () and each.quote is None for each in matches)


def test_a_wish_changes_nothing_for_others(recommender):
    rows = [
        ("ann", "p1", "good tone", 5, 1),
        ("bob", "new", "it hums", 5, 2),
        ("cyd", "p2", "", 4, 3),
    ]
    people = [*authors_of(rows, [""]), Author("dan", []), Author("eve", [])]
    before = recommender.recommend(people, k=6)
    wishing = [*people, Author("fay", [], wish="a drum")]
    wishing[2] = replace(people[2], wish="nylon strings")
    after = recommender.recommend(wishing, k=6)
    for one, two in zip(before, after, strict=False):
        if one.user_id == "cyd":
            assert two.wish == "nylon strings"
            continue
        assert recommended(one) == recommended(two)
        assert (one.fallback, one.wish, two.wish) == (two.fallback, "", "")
        for mine, other in zip(one.recommendations, two.recommendations, strict=True):
            assert mine.score == pytest.approx(other.score, abs=1e-5)
            assert mine.contributions == pytest.approx(other.contributions, abs=1e-5)
            assert mine.match is other.match is None
            assert [r.review_id for r in mine.because] == [r.review_id for r in other.because]
    assert any(each.match for each in after[2].recommendations)
    assert [each.fallback for each in after] == [None, None, None, POPULAR, POPULAR, None]


@PROPERTY
@given(rows=HISTORIES, wishes=WISHES)
def test_with_wishes_many_people_equal_one_by_one(quoting, rows, wishes):
    people = authors_of(rows, wishes)
    together = quoting.recommend(people, k=6)
    for person, whole in zip(people, together, strict=True):
        (alone,) = quoting.recommend([person], k=6)
        assert (alone.wish, alone.fallback) == (whole.wish, whole.fallback)
        np.testing.assert_allclose(alone.embedding, whole.embedding, atol=1e-5)
        mine = {each.product_id: each for each in whole.recommendations}
        for each in alone.recommendations:
            other = mine[each.product_id]
            assert each.score == pytest.approx(other.score, abs=1e-5)
            if each.match and other.match:
                assert each.match.words == other.match.words
                assert each.match.quote == other.match.quote
                assert each.match.weight == pytest.approx(other.match.weight, abs=1e-5)


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
        recommender.recommend(review_table(REVIEWS), k=k, batch_size=batch_size)


def test_only_what_is_wanted_and_the_best_of_it(recommender, built):
    table = review_table(REVIEWS[:2])  # reviews p1 and p2
    (everything,) = recommender.recommend(table, k=6)
    ranked = [int(built.rows_of(np.array([p], dtype=object))[0]) for p in recommended(everything)]
    candidates = np.isin(np.arange(6), [0, 2, 5])
    (result,) = recommender.recommend(table, k=6, candidates=candidates)
    wanted = [row for row in ranked if candidates[row]]
    assert recommended(result) == built.product_ids[wanted].tolist()
    stranger = review_table([("eve", None, "", None, None)])
    (popular,) = recommender.recommend(stranger, k=6, candidates=candidates)
    (all_popular,) = recommender.recommend(stranger, k=6)
    wanted = [row for row in built.rows_of(recommended(all_popular)) if candidates[row]]
    assert recommended(popular) == built.product_ids[wanted].tolist() != []
    (nothing,) = recommender.recommend(table, k=6, candidates=np.arange(6) == 0)
    assert nothing.recommendations == ()
