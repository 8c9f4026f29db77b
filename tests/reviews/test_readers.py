import json
import sys

import pandas as pd
import pytest

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.reading import ANONYMOUS_USER, Notation, read_reviews
from rec_sys.reviews.schema import REVIEW_SCHEMA
from tests.helpers.review_samples import (
    FLAT_LAYOUTS,
    LAYOUTS,
    PRODUCTS,
    RATINGS,
    REVIEWS,
    SECONDS,
    TEXTS,
    USERS,
    as_lines,
    as_parquet,
    write,
)


def failure(path, **options):
    with pytest.raises(InputError) as caught:
        read_reviews(path, **options)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def check(reviews):
    assert list(reviews.columns) == REVIEW_SCHEMA.names
    assert reviews.user_id.tolist() == USERS and reviews.product_id.tolist() == PRODUCTS
    assert reviews.text.tolist() == TEXTS and reviews.rating.tolist() == RATINGS
    times = reviews.timestamp.tolist()
    assert times == [pd.Timestamp(seconds, unit="s", tz="UTC") for seconds in SECONDS]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("format", REVIEWS)
def test_every_format_in_every_layout_is_the_same_table(format, layout, tmp_path):
    path = write(tmp_path, layout, LAYOUTS[layout](REVIEWS[format]()))
    reviews, report = read_reviews(path)
    check(reviews)
    assert (report.format, report.num_records, report.num_broken) == (format, 3, 0)


@pytest.mark.parametrize("layout", FLAT_LAYOUTS)
def test_flat_files_too(layout, tmp_path):
    reviews, report = read_reviews(
        write(tmp_path, layout, FLAT_LAYOUTS[layout](REVIEWS["project"]()))
    )
    check(reviews)
    assert report.format == "project" and reviews["style"].tolist() == ["Black"] * 3
    assert reviews.review_id.tolist() == ["R0", "R1", "R2"]


def test_our_own_table_comes_back(tmp_path):
    first, _ = read_reviews(write(tmp_path, "a.jsonl", as_lines(REVIEWS["amazon_2018"]())))
    first.to_parquet(tmp_path / "own.parquet")
    again, report = read_reviews(tmp_path / "own.parquet")
    assert report.format == "table"
    pd.testing.assert_frame_equal(first, again)


def test_a_style_dict_is_told_in_words(tmp_path):
    reviews, _ = read_reviews(write(tmp_path, "a.jsonl", as_lines(REVIEWS["amazon_2018"]())))
    assert reviews["style"].tolist() == ["Color: Black"] * 3


def test_a_missing_text_is_told_by_its_headline(tmp_path):
    records = REVIEWS["amazon_2018"]()
    del records[0]["reviewText"]
    del records[1]["reviewText"], records[1]["summary"]
    reviews, report = read_reviews(write(tmp_path, "a.jsonl", as_lines(records)))
    assert reviews.text.tolist() == ["in short", "", TEXTS[2]]
    assert report.notes[-1] == "1 texts missing, their headline taken"
    assert "1 texts missing" in report.as_steps("reviews")[0]["note"]


def test_missing_rating_and_time(tmp_path):
    records = [{"nickname": "ann", "ProductName": "Drum", "TextReview": "loud"}]
    reviews, _ = read_reviews(write(tmp_path, "a.json", json.dumps(records)))
    [row] = reviews.to_dict("records")
    assert (row["user_id"], row["product_id"], row["product_name"]) == ("ann", "Drum", "Drum")
    assert pd.isna(row["rating"]) and pd.isna(row["timestamp"])


def test_the_id_of_a_review_depends_on_its_content_only(tmp_path):
    records = REVIEWS["amazon_2014"]()
    one, _ = read_reviews(write(tmp_path, "a.jsonl", as_lines(records)))
    two, _ = read_reviews(write(tmp_path, "b.jsonl", as_lines(records[::-1])))
    assert one.review_id.tolist() == two.review_id.tolist()[::-1] and one.review_id.is_unique


def test_a_person_without_user_or_product(tmp_path):
    records = as_lines([{"TextReview": "loud"}, {"TextReview": "soft", "asin": "P1"}])
    path = write(tmp_path, "a.jsonl", records)
    reviews, _ = read_reviews(path, anonymous=True)
    assert reviews.user_id.tolist() == [ANONYMOUS_USER] * 2
    assert reviews.product_id.isna().tolist() == [True, False]


def broken_file(folder, good, lines):
    text = "".join(f"{line}\n" for line in lines)
    records = (REVIEWS["amazon_2018"]() * good)[:good]
    return write(folder, "a.jsonl", text.encode() + as_lines(records))


def test_broken_lines_are_borne_up_to_a_share(tmp_path):
    lines = [
        "{not json",
        json.dumps({"reviewerID": "U1"}),
        json.dumps({"asin": "P1"}),
        json.dumps(["a", "list"]),
        json.dumps({"reviewerID": "U1", "asin": "P1", "overall": "good"}),
        "{'reviewerID': oops}",
    ]
    path = broken_file(tmp_path, 94, lines)
    reviews, report = read_reviews(path, max_broken_share=0.06)
    assert (len(reviews), report.num_broken, report.num_records) == (94, 6, 100)
    assert (
        report.examples[0] == f"{path}, line 1: not JSON (Expecting property name enclosed in "
        "double quotes)"
    )
    assert "line 2: no product" in report.examples[1] and len(report.examples) == 5
    assert "6 broken (the first: " in report.as_steps("reviews")[0]["note"]
    message = failure(path, max_broken_share=0.05)
    assert "line 1" in message and "6 of 100 records are broken" in message


def test_a_file_that_begins_with_broken_lines(tmp_path):
    reviews, report = read_reviews(broken_file(tmp_path, 20, ["x"] * 150), max_broken_share=0.9)
    assert len(reviews) == 20 and report.num_broken == 150


def test_a_file_of_nothing_but_broken_lines(tmp_path):
    assert "3 of 3" in failure(broken_file(tmp_path, 0, ["x"] * 3), max_broken_share=1.0)
    assert "holds no records" in failure(write(tmp_path, "b.jsonl", "\n\n"))
    assert "holds no records" in failure(write(tmp_path, "b.json", "[]"))


def test_a_record_nested_too_deeply_is_broken(tmp_path):
    for depth in (2 * sys.getrecursionlimit(), 100_000):  # where Python and where JSON gives up
        deep = "[" * depth + "]" * depth
        line = f'{{"reviewerID": "U", "asin": "P", "reviewText": {deep}}}'
        _, report = read_reviews(broken_file(tmp_path, 9, [line]), max_broken_share=0.2)
        assert report.num_broken == 1


def test_half_a_surrogate_pair(tmp_path):
    record = '{"reviewerID": "U1", "asin": "P1", "reviewText": "odd \\ud83c end"}'
    reviews, _ = read_reviews(write(tmp_path, "a.jsonl", record))
    assert reviews.text.tolist() == ["odd \\ud83c end"]
    told = (
        f'{{"userID": "u\\ud80{i}", "asin": "P", "rating": 5, "timestamp": "\\ud800"}}'
        for i in (0, 1)
    )
    reviews, _ = read_reviews(write(tmp_path, "b.jsonl", "\n".join(told)))
    assert reviews.user_id.nunique() == 2 and reviews.timestamp.isna().all()


def test_garbled_texts_are_counted(tmp_path):
    texts = ["lÃ©ger", "I donâ€™t", "NÃO, à Paris", "léger"]
    records = [{"asin": "P1", "reviewerID": f"U{i}", "reviewText": t} for i, t in enumerate(texts)]
    reviews, report = read_reviews(write(tmp_path, "a.jsonl", as_lines(records)))
    assert reviews.text.tolist() == texts
    assert [note for note in report.notes if "garbled" in note and note.startswith("2 texts")]


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "1e999", '"inf"'])
def test_an_infinite_rating_is_a_broken_record(number, tmp_path):
    good, bad = (f'{{"asin": "P", "reviewerID": "U", "overall": {each}}}' for each in (4, number))
    _, report = read_reviews(write(tmp_path, "a.jsonl", f"{good}\n{bad}"), max_broken_share=0.5)
    assert report.num_broken == 1 and "is not a number" in report.examples[0]


def test_bad_input(tmp_path):
    message = failure(write(tmp_path, "a.csv", "customer,stars\nann,5\n"))
    assert "found customer, stars" in message and "data.columns.rating=stars" in message
    records = REVIEWS["project"]()
    records[1]["rating"] = 0
    message = failure(write(tmp_path, "b.jsonl", as_lines(records)))
    assert "line 2: rating 0 is out of range" in message and "1…5" in message
    records[1]["rating"] = 10.0
    assert "line 2: rating 10.0" in failure(write(tmp_path, "c.parquet", as_parquet(records)))
    assert "no format 'x'" in failure(write(tmp_path, "d.jsonl", '{"asin": 1}'), format="x")


def test_real_files(real_data):
    path = real_data / "musical_instruments_2014" / "reviews_Musical_Instruments_5.json.gz"
    reviews, report = read_reviews(path)
    assert report.format == "amazon_2014" and len(reviews) == 10_261
    assert reviews.rating.value_counts()[5.0] == 6938
    assert str(reviews.timestamp.min().date()) == "2004-09-18"
    gift_cards, report = read_reviews(real_data / "gift_cards_2018" / "Gift_Cards_5.json.gz")
    assert report.format == "amazon_2018" and len(gift_cards) == 2972
    assert report.notes[-1] == "6 texts missing, their headline taken"
    sequences = real_data / "instruments_2018_sequences" / "Instruments.inter.json.gz"
    assert len(failure(sequences)) < 2000


def with_times(folder, times):
    records = [{"nickname": f"n{n}", "asin": "P", "time": time} for n, time in enumerate(times)]
    return write(folder, "times.jsonl", as_lines(records))


def test_a_time_that_cannot_be_read_is_missing_and_counted(tmp_path):
    reviews, report = read_reviews(with_times(tmp_path, ["2014-02-28", "yesterday", "", "soon"]))
    assert reviews.timestamp.isna().tolist() == [False, True, True, True]
    assert report.num_broken == 0
    assert "2 times that cannot be read, taken as missing" in report.notes
    assert "times 2014-02-28 to 2014-02-28" in report.notes
    _, report = read_reviews(with_times(tmp_path, ["yesterday"] * 3))
    assert "no review has a time (time 'yesterday' is neither" in str(report.warnings)


@pytest.mark.parametrize("written", ["9.78E+12", '="0042"'])
def test_ids_that_a_spreadsheet_rewrote_are_a_warning(written, tmp_path):
    records = [{"user_id": f"u{n}", "product_id": written} for n in range(3)]
    _, report = read_reviews(write(tmp_path, "a.json", as_lines(records)))
    expected = f"rewrote the product_id of 3 reviews, as in {written}"
    assert any(expected in warning for warning in report.warnings)


def test_times_that_can_hardly_be_are_a_warning(tmp_path):
    _, report = read_reviews(with_times(tmp_path, [0, -1, 1393545600, 32503680000]))
    assert "2 times are before 1990" in str(report.warnings)
    assert "1 times are in the future" in str(report.warnings)


def test_what_says_that_a_time_is_not_known(tmp_path):
    notation = Notation(missing_time=[0, "-1"])
    reviews, report = read_reviews(with_times(tmp_path, [0, -1, 1393545600]), notation=notation)
    assert reviews.timestamp.isna().tolist() == [True, True, False]
    assert "times" not in str(report.warnings)
    # It does not hide how the others are written.
    notation = Notation(missing_time=0)
    reviews, _ = read_reviews(with_times(tmp_path, [0, 20140228, 0]), notation=notation)
    assert reviews.timestamp.isna().tolist() == [True, False, True]
    assert str(reviews.timestamp[1].date()) == "2014-02-28"


def test_days_and_months_are_told_apart_by_later_rows(tmp_path):
    same = ["01/02/2014"] * 250
    reviews, _ = read_reviews(with_times(tmp_path, [*same, "13/02/2014"]))
    assert str(reviews.timestamp[0].date()) == "2014-02-01"
    reviews, _ = read_reviews(with_times(tmp_path, [*same, "02/13/2014"]))
    assert str(reviews.timestamp[0].date()) == "2014-01-02"
    message = failure(with_times(tmp_path, same))
    assert "may be 2014-01-02 or 2014-02-01" in message
    path = with_times(tmp_path, same)
    reviews, _ = read_reviews(path, notation=Notation(time_format="%d/%m/%Y"))
    assert str(reviews.timestamp[0].date()) == "2014-02-01"


def test_a_file_on_another_scale(tmp_path):
    records = [{"nickname": "n", "asin": f"P{r}", "rating": r} for r in (0, 1, 10)]
    path = write(tmp_path, "a.jsonl", as_lines(records))
    reviews, _ = read_reviews(path, notation=Notation(rating_scale=[1, 10], missing_rating=0))
    assert reviews.rating.fillna(0).tolist() == [0, 1, 5]
