import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.values import (
    BrokenRecord,
    RatingScale,
    as_rating,
    as_seconds,
    as_text,
    first_given,
    first_text,
    time_notation,
    unpacked,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("  a b ", "a b"),
        ({"Color:": " Black", "Size:": "4/4", "None:": None}, "Color: Black; Size: 4/4"),
        (["one", None, " two "], "one two"),
        (1384719342.0, "1384719342"),
        (1.5, "1.5"),
        (math.nan, ""),
        (b"bytes", "bytes"),
        (True, "True"),
        (Decimal("7.00"), "7"),
        (Decimal("7.5"), "7.5"),
        ("NULL", ""),
        ("e\u0301", "é"),
    ],
)
def test_as_text(value, text):
    assert as_text(value) == text


def test_the_first_that_tells_counts():
    record = {"a": "", "b": "  ", "c": [], "d": 0, "e": "x"}
    assert first_text(record, ("a", "b", "e")) == "x" and first_text(record, ("a",)) == ""
    assert first_given(record, ("a", "b", "c", "d")) == 0 and first_given(record, ("a",)) is None


@pytest.mark.parametrize(
    ("value", "rating"), [(5, 5.0), ("4.5", 4.5), (1.0, 1.0), (None, None), ("4,5", 4.5)]
)
def test_as_rating(value, rating):
    assert as_rating(value) == rating


def test_a_rating_that_is_not_a_number_is_missing_or_broken():
    assert as_rating(math.nan) is None
    for value in ("five", True, [5], {}):
        with pytest.raises(BrokenRecord, match="is not a number"):
            as_rating(value)


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not 1 <= value <= 5))
def test_a_rating_on_another_scale_stops_everything(value):
    with pytest.raises(InputError, match="1…5"):
        as_rating(value)


@given(st.one_of(st.text(), st.integers(), st.binary(), st.lists(st.integers())))
def test_a_rating_is_on_the_scale_missing_or_refused(value):
    try:
        rating = as_rating(value)
    except (BrokenRecord, InputError) as error:
        assert "\n" not in str(error)
    else:
        assert rating is None or 1 <= rating <= 5


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1393545600, 1393545600),
        ("1393545600", 1393545600),
        (1393545600123, 1393545600),
        (1393545600.9, 1393545600),
        (1393545600 * 10**6, 1393545600),
        (1393545600 * 10**9, 1393545600),
        ("02 28, 2014", 1393545600),
        ("06 2, 2018", 1527897600),
        ("2014-02-28", 1393545600),
        ("2014-02-28T01:00:00+01:00", 1393545600),
        (date(2014, 2, 28), 1393545600),
        (datetime(2014, 2, 28), 1393545600),
        (datetime(2014, 2, 28, 2, tzinfo=timezone(timedelta(hours=2))), 1393545600),
        (0, 0),
        (-86400, -86400),
        (None, None),
        ("", None),
        (math.nan, None),
    ],
)
def test_as_seconds(value, seconds):
    assert as_seconds(value) == seconds


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.binary()))
def test_a_time_is_a_time_missing_or_broken(value):
    try:
        seconds = as_seconds(value)
    except BrokenRecord as error:
        assert "\n" not in str(error)
    else:
        assert seconds is None or datetime.fromtimestamp(seconds, UTC)


@given(st.datetimes(min_value=datetime(1000, 1, 1)))
def test_iso_times_round_trip(moment):
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    assert as_seconds(moment.isoformat()) == as_seconds(moment) == int(moment.timestamp())


@pytest.mark.parametrize(
    ("steps", "missing", "value", "stars"),
    [
        ([1, 10], None, 10, 5),
        ([1, 10], None, "1", 1),
        ([0, 1], None, 1, 5),
        ([0, 100], None, 50.0, 3),
        ([1, 10], 0, 0, None),
        (None, 0, "0", None),
        (None, [0, -1], -1.0, None),
        (None, "unrated", " Unrated", None),
        (["dislike", "like"], None, "Like", 5),
        ([False, True], None, "false", 1),
        ([False, True], None, True, 5),
        (["bad", "fair", "good"], None, "FAIR", 3),
        (["bad", "good"], None, None, None),
        ([1, 10], None, "", None),
    ],
)
def test_ratings_on_any_scale(steps, missing, value, stars):
    assert RatingScale(steps, missing)(value) == stars


@given(st.floats(-100, 100), st.floats(0.01, 100), st.floats(0, 1))
def test_a_scale_keeps_order_and_ends(low, width, place):
    scale = RatingScale([low, low + width], None)
    assert (scale(low), scale(low + width)) == (1, 5)
    assert 1 <= scale(min(low + place * width, low + width)) <= 5


@given(
    st.integers(1, 5),
    st.sampled_from(
        ["{} stars", "{} Star", "{}/5", "{} / 5", "{}.0 out of 5 stars", "{},0 von 5 Sternen"]
        + ["{} из 5", "{},0", "{} stars out of 5"]
    ),
)
def test_stars_in_words_are_stars(stars, form):
    assert as_rating(form.format(stars)) == as_rating("★" * stars + "☆" * (5 - stars)) == stars
    assert as_rating("⭐\ufe0f" * stars) == stars


def test_stars_of_another_scale_are_named_and_read_as_told():
    with pytest.raises(InputError, match=r"name it: data.rating_scale=\[1,10\]"):
        as_rating("4/10")
    assert RatingScale([1, 10], None)("10/10") == 5
    with pytest.raises(InputError, match=r"name it: data.rating_scale=\[0,100\]"):
        as_rating("4%")
    assert RatingScale([0, 100], None)("50%") == 3


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (-1, "data.missing_rating=-1 if -1 says 'not rated', or name .*=\\[-1,1\\]"),
        (0.5, "=\\[0.5,5\\]"),
        (7, "=\\[1,10\\]"),
        (80, "=\\[1,100\\]"),
    ],
)
def test_the_scale_that_is_advised_holds_the_rating(value, advice):
    with pytest.raises(InputError, match=advice):
        as_rating(value)


def test_a_word_for_not_rated_can_be_named():
    with pytest.raises(BrokenRecord, match="'data.missing_rating=not rated'"):
        as_rating("not rated")
    assert RatingScale(None, "not rated")("not rated") is None


def test_types_of_mongodb_are_taken_off():
    record = {"id": {"$oid": "5f"}, "n": {"$numberInt": "4"}, "kept": {"$a": 1, "b": 2}}
    assert first_text(record, ("id",)) == "5f"
    assert as_rating(first_given(record, ("n",))) == 4
    time = {"t": {"$date": {"$numberLong": "1393545600000"}}}
    assert as_seconds(first_given(time, ("t",))) == 1393545600
    assert as_text(record["kept"]) == "$a: 1; b: 2"


def test_the_dates_of_web_pages():
    assert as_seconds("Reviewed in the United States on February 28, 2014") == 1393545600


@given(st.lists(st.sampled_from(["\u200b", "\ufeff", "\u00a0", " ", "\u2060"]), max_size=4))
def test_marks_that_nobody_sees_make_no_other_id(marks):
    text = "".join(marks)
    assert first_text({"a": f"{text}B01{text}"}, ("a",)) == as_text(f"{text}B01") == "B01"


def test_what_does_not_fit_the_scale():
    with pytest.raises(InputError, match=r"rating 11 is outside of data.rating_scale=\[1,10\]"):
        RatingScale([1, 10], None)(11)
    with pytest.raises(BrokenRecord, match="'meh' is none of data.rating_scale="):
        RatingScale(["bad", "good"], None)("meh")
    for steps in ([5], [5, 1], [1, 2, 3], ["one"], ["a", "a"]):
        with pytest.raises(InputError, match="must be the lowest and the highest"):
            RatingScale(steps, None)
    with pytest.raises(InputError, match="data.missing_rating=0 if 0 says 'not rated'"):
        as_rating(0)


FEBRUARY = 1393545600  # 2014-02-28


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2014-02-28 00:00:00 UTC", FEBRUARY),
        ("2014-02-28 00:00:00.000 -0800", FEBRUARY + 8 * 3600),
        ("Fri Feb 28 00:00:00 -0700 2014", FEBRUARY + 7 * 3600),
        ("Fri, 28 Feb 2014 00:00:00 GMT", FEBRUARY),
        ("February 28, 2014", FEBRUARY),
        ("Posted February 28, 2014.", FEBRUARY),
        ("02/28/2014", FEBRUARY),
        ("28.02.2014", FEBRUARY),
        ("28/2/14", FEBRUARY),
        ("2014/02/28", FEBRUARY),
        ("2014-02", FEBRUARY - 27 * 86400),
        (Decimal(FEBRUARY), FEBRUARY),
    ],
)
def test_times_as_people_have_them(value, seconds):
    assert as_seconds(value) == seconds


@pytest.mark.parametrize("value", ["yesterday", "12", "02/03/2014", "noon", "Monday"])
def test_a_text_that_is_no_moment_is_none(value):
    if value == "12":
        assert as_seconds(value) == 12
        return
    with pytest.raises(BrokenRecord):
        as_seconds(value)


moments = st.datetimes(datetime(1990, 1, 1), datetime(2029, 12, 31)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
DAYS = {"%Y%m%d": int, "%m/%d/%Y": str, "%d/%m/%Y": str, "%d.%m.%Y": str, "%Y": int}


@given(st.lists(moments, min_size=1, max_size=20), st.sampled_from(sorted(DAYS)))
def test_dates_of_any_notation_are_the_days_they_are_or_refused(written, form):
    values = [DAYS[form](moment.strftime(form)) for moment in written]
    try:
        notation = time_notation(values)
    except InputError as error:
        assert form in ("%m/%d/%Y", "%d/%m/%Y") and "data.time_format=%m/%d/%Y" in str(error)
        assert all(moment.day <= 12 for moment in written)
        notation = form
    for moment, value in zip(written, values, strict=True):
        expected = datetime.strptime(moment.strftime(form), form).replace(tzinfo=UTC)
        assert as_seconds(value, notation) == expected.timestamp()


@given(st.lists(moments, min_size=1, max_size=9), st.booleans())
def test_days_of_excel_and_digits_with_the_time(written, as_texts):
    compact = [moment.strftime("%Y%m%d%H%M%S") for moment in written]
    excel = [(m - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1) for m in written]
    for values, error in ((compact, 0), (excel, 1)):
        values = [str(value) if as_texts else float(value) for value in values]
        values = [int(v) if values[0] == compact[0] else v for v in values]
        notation = time_notation(values)
        for moment, value in zip(written, values, strict=True):
            assert abs(as_seconds(value, notation) - moment.timestamp()) <= error


def test_unix_times_are_no_other_notation():
    for values in ([1393545600], ["1393545600000"], [0, -1], [1, 2, 3], [], [None, ""]):
        assert time_notation(values) is None


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("['Wind', 'Drums']", ["Wind", "Drums"]),
        ('["Wind"]', ["Wind"]),
        ("{'Color:': ' Black'}", {"Color:": " Black"}),
        ("[sic] good", "[sic] good"),
        ("[no list", "[no list"),
        ("[oops]", "[oops]"),
        (["a"], ["a"]),
    ],
)
def test_lists_that_became_texts_are_lists_again(value, content):
    assert unpacked(value) == content
