import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.formats import (
    BrokenRecord,
    as_rating,
    as_seconds,
    as_text,
    first_given,
    first_text,
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
    ],
)
def test_as_text(value, text):
    assert as_text(value) == text


def test_the_first_that_tells_counts():
    record = {"a": "", "b": "  ", "c": [], "d": 0, "e": "x"}
    assert first_text(record, ("a", "b", "e")) == "x" and first_text(record, ("a",)) == ""
    assert first_given(record, ("a", "b", "c", "d")) == 0 and first_given(record, ("a",)) is None


@pytest.mark.parametrize(
    ("value", "rating"), [(5, 5.0), ("4.5", 4.5), (1.0, 1.0), (None, None), ("", None)]
)
def test_as_rating(value, rating):
    assert as_rating(value) == rating


def test_a_rating_that_is_not_a_number_is_missing_or_broken():
    assert as_rating(math.nan) is None
    for value in ("five", True, [5], {}):
        with pytest.raises(BrokenRecord, match="is not a number"):
            as_rating(value)


@given(st.floats(allow_nan=False).filter(lambda value: not 1 <= value <= 5))
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
