"""Who is one person and what is one product, and which reviews are copies of one another."""

import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.reading import read_reviews
from rec_sys.reviews.schema import to_table
from rec_sys.reviews.tables import MIN_COPIED_WORDS, copies_of
from rec_sys.reviews.values import name_key
from tests.helpers.cleaning_by_hand import clean, ids, review, step
from tests.helpers.review_samples import json_lines, review_frame, write

LONG = "a text that is certainly long enough to be no mere habit of its writer"


def groups(rows):
    copies = copies_of(to_table(review_frame(rows)))
    return np.unique(copies, return_inverse=True)[1].tolist()


def test_copies_are_long_texts_or_short_ones_of_one_moment_and_rating():
    assert len(LONG.split()) >= MIN_COPIED_WORDS
    assert groups(
        [
            review("u", "p1", 5, 1, LONG),
            review("u", "p2", 4, 9, LONG),  # whenever, whatever the rating
            review("v", "p1", 5, 1, LONG),  # somebody else
            review("u", "p3", 5, 1, "great"),
            review("u", "p4", 5, 1, "great"),
            review("u", "p5", 5, 2, "great"),  # another day
            review("u", "p6", 4, 1, "great"),  # another opinion
        ]
    ) == [0, 0, 1, 2, 2, 3, 4]


def test_a_long_text_is_one_review_whoever_repeats_it_if_so_asked():
    rows = [
        review(u, f"p{n}", 5, 1, t)
        for n, (u, t) in enumerate(zip("uvuv", [LONG, LONG, "ok", "ok"], strict=True))
    ]
    copies = copies_of(to_table(review_frame(rows)), of_one_user=False)
    assert np.unique(copies, return_inverse=True)[1].tolist() == [0, 0, 1, 2]


def test_without_a_time_or_a_text_short_reviews_are_no_copies():
    rows = [review("u", f"p{n}", 5, None, text) for n, text in enumerate(["ok", "ok", "", ""])]
    assert groups(rows) == [0, 1, 2, 3]


@given(
    st.lists(
        st.tuples(st.sampled_from("uv"), st.sampled_from(["", "ok", LONG]), st.integers(0, 2)),
        min_size=1,
        max_size=30,
    )
)
def test_copies_are_of_one_user_and_one_text(rows):
    found = groups([review(u, f"p{n}", 5, t, text) for n, (u, text, t) in enumerate(rows)])
    for (user, text, time), number in zip(rows, found, strict=True):
        for (user2, text2, time2), number2 in zip(rows, found, strict=True):
            same = (user, text) == (user2, text2) and text and (text == LONG or time == time2)
            assert (number == number2) == bool(same) or (user, text, time) == (user2, text2, time2)


def test_copies_are_reported_and_joined_on_demand():
    rows = [review(f"u{n}", f"p{n % 2}", 5, 1, f"own {n}", review_id=f"o{n}") for n in range(6)]
    copies = [review("u", f"p{n}", 5, 3, LONG, review_id=f"c{n}") for n in range(4)]
    told = step(clean(rows + copies), "copies of a review")
    assert told["note"].startswith("3 (30%) repeat") and "join_copies=true" in told["note"]
    joined = clean(rows + copies, join_copies=True)
    # p0 and p1 are the most reviewed of the equally old ones.
    assert [each for each in ids(joined) if each.startswith("c")] == ["c0"]
    assert ids(clean(rows)) == ids(clean(rows, join_copies=True))


@pytest.mark.parametrize("marker", ["nan", "NaN", "NULL", "null", "None", "\\N", "N/A", "<NA>"])
def test_what_programs_write_for_nothing_is_nobody(tmp_path, marker):
    rows = [("Ann", "5", "warm"), (marker, "4", "cold"), ("Bob", marker, marker)]
    lines = [f"{name},P{n},{rating},{text}" for n, (name, rating, text) in enumerate(rows)]
    path = write(tmp_path, "r.csv", "\n".join(["nickname,asin,rating,TextReview", *lines]))
    with pytest.raises(InputError, match="line 3: no user .* data.max_broken_share=0.34"):
        read_reviews(path)
    table, report = read_reviews(path, max_broken_share=0.5)
    assert table.user_id.tolist() == ["Ann", "Bob"] and report.num_broken == 1
    assert table.text.tolist() == ["warm", ""] and table.rating.isna().tolist() == [False, True]
    table, report = read_reviews(path, anonymous=True)
    assert table.user_id.tolist() == ["Ann", "you", "Bob"]
    assert "1 reviews that name nobody, taken as those of one person" in report.notes


def test_names_of_people_are_not_taken_for_nothing(tmp_path):
    records = [{"nickname": name, "asin": "P", "rating": 5} for name in ("Nan", "Nil", "Nora")]
    table, _ = read_reviews(json_lines(tmp_path, records))
    assert table.user_id.tolist() == ["Nan", "Nil", "Nora"]


SPELLINGS = st.sampled_from(["Zoë Straße", "zoë  strasse", "ZOË\tSTRASSE", " Zoë Straße "])


@given(SPELLINGS, SPELLINGS, st.sampled_from(["NFC", "NFD"]))
def test_spellings_of_one_name_have_one_key(one, other, form):
    assert name_key(one) == name_key(unicodedata.normalize(form, other)) != name_key("Zoe")


def test_one_nickname_in_several_spellings_is_one_person(tmp_path):
    names = ["Zoë", unicodedata.normalize("NFD", "Zoë"), "ZOË", "Zoe"]
    records = [{"nickname": name, "asin": f"P{n}", "rating": 5} for n, name in enumerate(names)]
    table, report = read_reviews(json_lines(tmp_path, records))
    assert table.user_id.tolist() == ["Zoë", "Zoë", "Zoë", "Zoe"]
    assert report.notes == ["1 nicknames spelled in another way, taken as one person"]


def test_people_with_ids_stay_apart_whatever_they_are_called(tmp_path):
    records = [{"userID": u, "nickname": "Ann", "asin": "P", "rating": 5} for u in ("1", "2")]
    records.append({"nickname": "Ann", "asin": "P", "rating": 5})
    assert read_reviews(json_lines(tmp_path, records))[0].user_id.tolist() == ["1", "2", "Ann"]


def test_a_product_known_by_id_here_and_by_name_there_is_one(tmp_path):
    products = [("B1", "Birch Flute"), (None, "birch  flute"), ("B2", "Drum"), ("B3", "drum")]
    products += [(None, "Drum"), (None, "Kazoo"), (None, "KAZOO")]
    records = [
        {"nickname": f"n{n}", "asin": asin, "ProductName": name, "rating": 5}
        for n, (asin, name) in enumerate(products)
    ]
    table, report = read_reviews(json_lines(tmp_path, records))
    assert table.product_id.tolist() == ["B1", "B1", "B2", "B3", "Drum", "Kazoo", "Kazoo"]
    assert report.notes == ["2 reviews tell a product by its name, taken as the one with that name"]


def test_metadata_tell_the_id_of_a_name():
    rows = [review("u", "birch flute", product_name="birch flute"), review("v", "B1")]
    data = clean(rows, [{"product_id": "B1", "name": "Birch Flute"}])
    assert data.reviews.product_id.tolist() == ["B1", "B1"]
    assert step(data, "products known by name")["note"].startswith("1 reviews that name")
    twice = [{"product_id": product, "name": "Birch Flute"} for product in ("B1", "B2")]
    assert set(clean(rows, twice).reviews.product_id) == {"birch flute", "B1"}


def test_a_nickname_that_many_share_is_a_warning(tmp_path):
    names = ["A Customer"] * 30 + [f"n{n}" for n in range(60)]
    records = [{"nickname": name, "asin": f"P{n}", "rating": 5} for n, name in enumerate(names)]
    _, report = read_reviews(json_lines(tmp_path, records))
    assert "'A Customer' holds 33% of the reviews" in report.warnings[-1]
    assert report.as_steps("reviews")[-1]["step"] == "warning"
    with_ids = [record | {"userID": f"u{n}"} for n, record in enumerate(records)]
    assert "Customer" not in str(read_reviews(json_lines(tmp_path, with_ids))[1].warnings)
