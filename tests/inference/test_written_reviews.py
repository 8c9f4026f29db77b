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
        *("product_names", "product_infos", "has_text", "says_nothing", "wishes"),
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
    assert histories.has_text.tolist() == [False, True, False]
    batch = build_history_batch(histories, built, FakeEncoder().encode)
    assert batch.user.tolist() == [1]
    alone = read_histories([Author("a", [])], built)
    empty = build_history_batch(alone, built, FakeEncoder().encode)
    assert empty.inputs["edge_index"].shape == (2, 0)


def test_nobody(built):
    with pytest.raises(InputError, match="nobody"):
        read_histories([], built)
