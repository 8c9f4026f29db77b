"""Search, map, cache, demo people and words: what stands behind the page."""

import numpy as np
import pytest

from rec_sys.inference.bundle import read_bundle
from rec_sys.inference.results import Match, Reason, Recommendation
from rec_sys.serving.create_bundle import demo_people
from rec_sys.serving.schemas import reason_in_words
from rec_sys.serving.search import ProductSearch, TextSpace, regions_of
from rec_sys.serving.service import VectorCache
from tests.helpers.tiny_models import shop


@pytest.fixture
def vectorbase(bundle):
    return read_bundle(bundle).vectorbase


@pytest.mark.parametrize(
    ("words", "style", "expected"),
    [
        ("drum", None, [0]),
        ("STR", None, [4, 5]),  # the beginning of a word; more reviews first
        ("strings p6", None, [5]),  # in any order, of the id, too
        ("p6 string", None, [5]),
        ("rings", None, []),
        ('" OR harp* (', None, []),  # signs are no operators
        ("drùm", None, [0]),
        ("", "Strings", [4, 5]),
        ("p", "Wind", [1]),
        ("p", "Brass", []),
    ],
)
def test_search(vectorbase, words, style, expected):
    assert ProductSearch(vectorbase).find(words, 10, style).tolist() == expected


def test_a_search_without_words_shows_the_popular_ones(vectorbase):
    found = ProductSearch(vectorbase).find("  !? ", 3)
    assert found.tolist() == vectorbase.by_popularity[:3].tolist()


def test_neighbours_and_places(vectorbase):
    space = TextSpace.of(vectorbase)
    for row in range(6):
        rows, cosines = vectorbase.nearest(row, 3)
        exact = space.vectors.astype(np.float64) @ space.vectors[row].astype(np.float64)
        exact[row] = -np.inf
        assert rows.tolist() == np.argsort(-exact, kind="stable")[:3].tolist()
        np.testing.assert_allclose(cosines, exact[rows], atol=1e-3)
    assert len(vectorbase.nearest(0, 99)[0]) == 5
    assert np.abs(space.places).max() <= 1
    assert space.places[2].tolist() == [0, 0]  # nothing is said about it
    one = space.vectors[3].astype(np.float32)
    np.testing.assert_allclose(space.centre_of(one[None], np.ones(1)), space.places[3], atol=1e-3)
    assert space.centre_of(np.empty((0, 8)), np.empty(0)).tolist() == [0, 0]


def test_regions_are_labelled_with_what_sets_their_names_apart():
    kinds = {"Clip-on Tuner": (-0.5, 0.5), "Guitar Strings": (0.5, -0.5)}
    names, places = [], []
    for number in range(24):
        for kind, place in kinds.items():
            names.append(f"Brand{number % 12} {kind}, Black {number}")
            places.append(np.add(place, number / 1000))
    reviews = np.arange(len(names)) % 2 + 1
    regions = regions_of(names, np.array(places), reviews, 2)
    assert [each.label for each in regions] == ["guitar strings", "clip-on tuner"]
    assert [each.wish for each in regions] == ["guitar strings", "clip-on tuner"]
    np.testing.assert_allclose(regions[0].place, [0.5115, -0.4885], atol=1e-3)


def test_a_region_without_words_of_its_own_has_no_label():
    places = np.repeat([[-0.5, 0.5], [0.5, -0.5]], 20, axis=0)
    assert regions_of(["Drum"] * 40, places, np.ones(40), 2) == []
    assert regions_of(["Drum"], places[:1], np.ones(1), 2) == []
    assert regions_of(["Drum"] * 40, places, np.ones(40), 0) == []
    together = np.zeros((40, 2), np.float32)  # nobody has said what any of them is
    assert regions_of([""] * 40, together, np.ones(40), 10) == []


def test_two_regions_of_one_kind_share_no_label():
    places = np.repeat([[-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]], 20, axis=0)
    names = ["Drum"] * 40 + ["Flute"] * 20
    regions = regions_of(names, places, np.repeat([1, 2, 3], 20), 3)
    assert [each.label for each in regions] == ["flute", "drum"]


def test_a_cache_encodes_each_text_once_and_forgets_the_oldest():
    asked = []

    def encode(texts):
        asked.extend(texts)
        return np.array([[len(text), 1.0] for text in texts])

    cache = VectorCache(2)
    known = {"known": np.zeros(2, np.float16)}
    found = cache.encode(["a", "bb", "known"], encode, known)
    assert {text: vector.tolist() for text, vector in found.items()} == {
        **{"a": [1, 1], "bb": [2, 1], "known": [0, 0]}
    }
    cache.encode(["a"], encode, {})
    cache.encode(["ccc"], encode, {})  # bb was not asked for as lately as a
    cache.encode(["a", "ccc"], encode, {})
    assert asked == ["a", "bb", "ccc"]
    cache.encode(["bb"], encode, {})
    assert asked[-1] == "bb"
    assert VectorCache(0).encode(["a"], encode, {})["a"].tolist() == [1, 1]


def test_demo_people_have_something_to_say():
    rows = [
        *[(f"u{n}", f"p{p}", "text", 4, p) for n in range(3) for p in (1, 2, 3)],
        *[("strings", f"p{p}", "text", 4, p) for p in (5, 6, 1)],
        ("silent", "p1", "", 4, 1),
        ("short", "p1", "once", 4, 1),
    ]
    people = demo_people(shop(rows), 2)
    # Of different styles, and named by them.
    assert [each["nickname"] for each in people] == [
        *("strings and percussion", "percussion and wind")
    ]
    assert people[0]["reviews"][0]["asin"] == "p1"
    assert people[0]["reviews"][0]["ProductName"] == "Drum"
    assert demo_people(shop(rows), 9)[2]["nickname"] == "percussion and wind (2)"
    busy = [("busy", f"p{number}", "often", 4, number) for number in range(1, 8)]
    assert len(demo_people(shop(busy), 3)[0]["reviews"]) == 7  # there is nobody with fewer
    assert demo_people(shop([("short", "p1", "once", 4, 1)]), 3) == []


@pytest.mark.parametrize(
    ("nickname", "name"),
    [
        ("Ann B.", "Ann B."),
        ("reviewer-05b61ff8", "strings"),
        ("critic-ac87e3c529", "strings"),
        ("u1", "strings"),
        ("Robin1984", "Robin1984"),
    ],
)
def test_a_nickname_that_is_an_id_gives_way_to_the_tastes(nickname, name):
    data = shop([("u1", product, "text", 4, 1) for product in ("p5", "p6", "p3")])
    data.reviews["nickname"] = nickname
    assert [each["nickname"] for each in demo_people(data, 1)] == [name]


def test_reasons_in_words():
    drum, flute = Reason("a", "Drum", "good", 0.7), Reason("b", "Flute", "bad", 0.3)
    words = Reason("c", "", "I am looking for a very small amplifier " * 3, 1.0)

    def because(*reasons):
        return reason_in_words(Recommendation("p", "", 1.0, 4.0, reasons, {"popularity": 1.0}))

    assert because(drum) == "Because of what you wrote about “Drum”."
    assert because(drum, flute).endswith("“Drum” (70 %), then of what you wrote about “Flute”.")
    assert because(words).startswith("Because of your words “I am looking")
    assert len(because(words)) < 100


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nylon", "strings"), "Described with your words: “nylon”, “strings”."),
        ((), "Close in meaning to your words."),  # none of its words is used for the product
    ],
)
def test_what_fits_a_wish_says_by_which_words_if_any(words, told):
    fits = Match(0.8, words, None)
    product = Recommendation("p", "", 1.0, 4.0, (), {"match": 1.0}, fits)
    assert reason_in_words(product) == told


def test_what_adds_to_the_score_by_being_rare_is_not_called_frequent():
    product = Recommendation("p", "", 2.0, 4.0, (), {"trend": 2.0, "popularity": 1.0})
    assert reason_in_words(product, turned={"trend"}) == "You may turn to it next."
    assert reason_in_words(product, turned={"network"}) == "Much reviewed of late."


@pytest.mark.parametrize(
    ("contributions", "is_known", "words"),
    [
        ({"popularity": 2.0, "trend": 1.0}, False, "Popular: many people have reviewed it."),
        ({"popularity": 1.0, "trend": 2.0}, False, "Much reviewed of late."),
        ({"popularity": 1.0, "trend": -2.0, "liking": -3.0}, True, "Popular: many"),
        ({"popularity": 1.0, "trend": 0.5, "network": 2.0}, True, "It goes with what you told us."),
        # Of whom nothing is known has told nothing.
        ({"popularity": 1.0, "network": 2.0}, False, "You may turn to it next."),
        # What follows from a disappointment is no reason, and less is not much.
        ({"co-reviewing": 2.0, "popularity": 1.0}, True, "You may turn to it next."),
        ({"popularity": 0.0, "trend": -1.0}, False, "You may turn to it next."),
    ],
)
def test_where_no_review_is_a_reason_the_largest_contribution_is(contributions, is_known, words):
    score = sum(contributions.values())
    product = Recommendation("p", "", score, 4.0, (), contributions)
    assert reason_in_words(product, is_known).startswith(words)
