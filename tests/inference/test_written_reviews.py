from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import (
    Author,
    WrittenReview,
    build_history_batch,
    read_histories,
)
from rec_sys.reviews.cleaning import clean_reviews
from rec_sys.text.words import count_words
from tests.helpers.tiny_models import FakeEncoder, review_table

TEXTS = st.sampled_from(["", "good", "bad <b>news</b>", "x &amp; y", "  spaced   out "])
REVIEW = st.fixed_dictionaries(
    {
        "product_id": st.sampled_from(["", "p1", "p2", "p4", "new", "Harp", "Lute"]),
        "product_name": st.sampled_from(["", "Harp", "Strings", "<i>Harp</i>", "Lute"]),
        "style": st.sampled_from(["", "Wind", "&lt;Wind&gt;"]),
        "product_info": st.sampled_from(["", "made of wood"]),
        "text": TEXTS,
        "rating": st.sampled_from([None, 1.0, 4.5]),
        "time": st.sampled_from([None, 1, 2, 3]),
    }
)


def as_table(people):
    """The same reviews as a file's reader would give them: what is missing is None."""
    rows, more = [], {"product_name": [], "style": [], "product_info": []}
    for user, reviews in people:
        for each in reviews:
            product = each["product_id"] or None
            rows.append((user, product, each["text"], each["rating"], each["time"]))
            for name, column in more.items():
                column.append(each[name] or None)
    return review_table(rows, **more)


def as_writers(people):
    number, authors = 0, []
    for user, reviews in people:
        written = []
        for each in reviews:
            written.append(WrittenReview(f"r{number}", **each))
            number += 1
        authors.append(Author(user, written))
    return authors


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    people=st.lists(
        st.tuples(st.sampled_from("abc"), st.lists(REVIEW, min_size=1, max_size=6)),
        min_size=1,
        max_size=3,
        unique_by=lambda person: person[0],
    )
)
def test_the_same_as_through_tables(built, people):
    written = read_histories(as_writers(people), built)
    read = read_histories(as_table(people), built)
    assert read.user_ids.tolist() == written.user_ids.tolist()
    for name in (
        *("review_ids", "texts", "rating", "time", "catalogue_row", "user_ptr"),
        *("product_names", "product_infos", "is_known", "says_nothing", "wishes"),
    ):
        np.testing.assert_array_equal(getattr(written, name), getattr(read, name))


@settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["p1", "p2", "new", "newer"]),
            TEXTS,
            st.sampled_from([None, 1.0, 4.5]),
            st.sampled_from([None, 1, 2, 3]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_the_same_as_training_cleans(built, rows):
    """What a model was trained on and what it is asked about were cleaned alike."""
    table = review_table(rows)
    read, clean = read_histories(table, built), clean_reviews(table).reviews
    for user, (start, stop) in zip(read.user_ids, pairwise(read.user_ptr), strict=True):
        own = clean[clean["user_id"] == user]
        assert read.review_ids[start:stop].tolist() == own["review_id"].tolist()
        assert read.texts[start:stop].tolist() == own["text"].tolist()


def test_people_who_wrote_nothing_are_people(built):
    people = [
        Author("a", []),
        Author("b", [WrittenReview("r", "p1", text="fine")]),
        Author("c", []),
    ]
    histories = read_histories(people, built)
    assert np.diff(histories.user_ptr).tolist() == [0, 1, 0]
    batch = build_history_batch(histories, built, FakeEncoder().encode)
    assert batch.user.tolist() == [1]
    alone = read_histories([Author("a", [])], built)
    empty = build_history_batch(alone, built, FakeEncoder().encode)
    assert empty.inputs["edge_index"].shape == (2, 0)


def test_a_text_without_product_and_stars_is_a_wish(built):
    said = WrittenReview("r0", text="<b>nylon</b> strings")
    reviews = [
        WrittenReview("r1", text="warm", rating=4),
        WrittenReview("r2", text="bright", product_name="Lute"),
        WrittenReview("r3", text="loud", product_id="p4"),
    ]
    assert said.is_wish and not any(each.is_wish for each in reviews)
    assert not WrittenReview("r4").is_wish  # says nothing
    assert WrittenReview("r5", text="soft", style="Wind", time=3).is_wish
    people = [
        Author("a", [said]),
        Author("b", [*reviews, said]),
        Author("c", [said, WrittenReview("r6", text="cheap")], wish="for <i>lessons</i>"),
        Author("d", reviews),
        Author("e", [], wish="a present"),
        Author("f", [], wish=" "),
    ]
    histories = read_histories(people, built)
    assert np.diff(histories.user_ptr).tolist() == [0, 3, 0, 3, 0, 0]
    assert histories.wishes.tolist() == [
        "nylon strings",
        "nylon strings",
        "for lessons nylon strings cheap",  # in lines of their own, which a text has not
        "",
        "a present",
        "",
    ]
    assert histories.is_known.tolist() == [True] * 5 + [False]
    assert {"nylon strings", "a present"} <= set(histories.all_texts)
    part = histories.part(2, 5)
    assert part.wishes.tolist() == histories.wishes[2:5].tolist()


def test_what_is_wanted_as_the_model_sees_it(built):
    people = [Author("a", [], wish="nylon nylon strings"), Author("b", []), Author("c", [])]
    people[2] = Author("c", [WrittenReview("r", "p1", text="nylon nylon strings")])
    encoder = FakeEncoder()
    histories = read_histories(people, built)
    batch = build_history_batch(histories, built, encoder.encode)
    assert encoder.encoded == ["nylon nylon strings"]  # once, though it is said twice
    assert batch.wishes.said.tolist() == [True, False, False]
    expected = FakeEncoder().encode(["nylon nylon strings"])[0]
    np.testing.assert_allclose(batch.wishes.vectors[0], expected, atol=1e-3)
    assert not batch.wishes.vectors[1:].any()
    assert (batch.wishes.words != count_words(histories.wishes)).nnz == 0
    assert batch.user.tolist() == [2]  # a wish is no review
    without = read_histories(people[1:], built)
    assert build_history_batch(without, built, encoder.encode).wishes is None


def test_unknown_products_are_linked_by_what_is_said_of_them(built):
    reviews = [
        WrittenReview("r1", "p1", text="warm", rating=5, time=1),
        WrittenReview("r2", "new", "Lute", text="hums", rating=5, time=2),
        WrittenReview("r3", "newer", "Harp of gold", rating=5, time=3),
        WrittenReview("r4", "newest", rating=5, time=4),  # not even a name
    ]
    histories = read_histories([Author("a", reviews), Author("b", reviews[:1])], built)
    batch = build_history_batch(histories, built, FakeEncoder().encode)
    links = batch.links.toarray()
    assert links.shape == (5, 6) and not links[[0, 3, 4]].any()
    np.testing.assert_allclose(links[1:3].sum(axis=1), 1, rtol=1e-5)
    hums, lute, gold = FakeEncoder().encode(["hums", "Lute", "Harp of gold"])
    for row, said in ((1, hums + lute), (2, gold)):
        logits = built.match.products @ (said / np.linalg.norm(said) @ built.match.towers.query)
        np.testing.assert_allclose(links[row], np.exp(logits) / np.exp(logits).sum(), atol=2e-3)
    known = read_histories([Author("b", reviews[:1])], built)
    assert build_history_batch(known, built, FakeEncoder().encode).links is None


def test_nobody(built):
    with pytest.raises(InputError, match="nobody"):
        read_histories([], built)
