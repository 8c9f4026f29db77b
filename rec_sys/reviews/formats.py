"""Which raw field means what in every known format, and what its values are."""

import math
import reprlib
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING, REVIEW_SCHEMA

AUTO = "auto"
# A message stays readable if the file is something else altogether.
_SHOW_NAMES = 20
_SHOW_NAME_CHARACTERS = 40

#: Times are in the unit that puts them after 1973 and before 5138: (at least, divide by).
_UNITS_BELOW_SECONDS = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3))
_AMAZON_DATE = "%m %d, %Y"
_FIRST_SECOND = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


# What programs write for "nothing": pandas, SQL, Python, R, JavaScript, spreadsheets. As they spell
# it, because "Nan" is a name.
_MISSING = frozenset(
    "nan NaN NAN -nan NaT NULL null Null None none NONE \\N N/A n/a NA <NA> #N/A #NA undefined".split()
)
_LONGEST_MISSING = max(map(len, _MISSING))


class BrokenRecord(ValueError):
    """One record cannot be used; the others can. The message says why."""


#: A line number from 1 (Parquet: row number) with what stands there.
Numbered = tuple[int, dict[str, Any] | BrokenRecord]


@dataclass(frozen=True)
class Format:
    """The field names of one kind of file, compared exactly, case included.

    Attributes:
        name: What a person writes to force the format.
        columns: From our column to its raw fields; the first one that is not empty counts.
        also: Other fields of this format, unused, by which it is recognised.
    """

    name: str
    columns: dict[str, tuple[str, ...]]
    also: tuple[str, ...] = ()

    @property
    def fields(self) -> list[str]:
        """All raw fields that are read, in order, each once."""
        return list(dict.fromkeys(raw for names in self.columns.values() for raw in names))

    def tells(self, columns: Iterable[str], found: Collection[str]) -> bool:
        """Whether one of the fields that were found tells one of the columns."""
        return any(raw in found for column in columns for raw in self.columns.get(column, ()))


# 2014 and 2018 differ in extras only. A review without a body is told by its summary.
_AMAZON_REVIEW = {
    "user_id": ("reviewerID",),
    "nickname": ("reviewerName",),
    "product_id": ("asin",),
    "style": ("style",),
    "text": ("reviewText", "summary"),
    "rating": ("overall",),
    "timestamp": ("unixReviewTime", "reviewTime"),
}

_AMAZON_PRODUCT = {
    "product_id": ("asin",),
    "name": ("title",),
    "description": ("description",),
    "brand": ("brand",),
}

#: On equal evidence the earlier one is taken.
REVIEW_FORMATS = (
    Format(
        "project",
        {
            "review_id": ("reviewID",),
            "user_id": ("userID", "nickname"),
            "nickname": ("nickname",),
            "product_id": ("asin", "ProductName"),
            "product_name": ("ProductName",),
            "product_info": ("ProductInfo",),
            "style": ("Style",),
            "text": ("TextReview",),
            "rating": ("rating",),
            "timestamp": ("timestamp", "time", "date"),
        },
    ),
    Format("table", {name: (name,) for name in REVIEW_SCHEMA.names}),
    Format("amazon_2014", _AMAZON_REVIEW, also=("helpful",)),
    Format("amazon_2018", _AMAZON_REVIEW, also=("verified", "vote", "image")),
    Format(
        "amazon_2023",
        {
            "user_id": ("user_id",),
            "product_id": ("parent_asin", "asin"),
            "text": ("text", "title"),
            "rating": ("rating",),
            "timestamp": ("timestamp", "sort_timestamp"),
        },
        also=("images", "helpful_vote", "verified_purchase"),
    ),
)

PRODUCT_FORMATS = (
    Format(
        "project",
        {
            "product_id": ("asin", "ProductName"),
            "name": ("ProductName",),
            "description": ("ProductInfo",),
            "style": ("Style",),
            "brand": ("Brand", "brand"),
        },
    ),
    Format(
        "table",
        {
            "product_id": ("product_id",),
            "name": ("name", "product_name"),
            "description": ("info", "product_info"),
            "style": ("style",),
            "brand": ("brand",),
        },
    ),
    Format(
        "amazon_2014",
        _AMAZON_PRODUCT | {"style": ("categories",)},
        also=("related", "salesRank", "imUrl", "price"),
    ),
    Format(
        "amazon_2018",
        _AMAZON_PRODUCT | {"features": ("feature",), "style": ("category",)},
        also=("also_buy", "also_view", "rank", "main_cat", "price", "details"),
    ),
    Format(
        "amazon_2023",
        {
            "product_id": ("parent_asin",),
            "name": ("title",),
            "description": ("description",),
            "features": ("features",),
            "style": ("categories", "main_category"),
            "brand": ("store",),
        },
        also=("average_rating", "rating_number", "images", "price", "details"),
    ),
)


def choose_format(
    found: Sequence[str],
    formats: Sequence[Format],
    required: Sequence[tuple[str, ...]],
    requested: str = AUTO,
) -> Format:
    """Finds the format that explains most of the fields.

    Args:
        found: Field names of the first records.
        required: Groups of our columns; of each group at least one must be told by a field.
        requested: Name of a format, or "auto".

    Raises:
        InputError: No such format, or a required column is told by none of the fields. The
            message names no file; the caller puts it in front.
    """
    names = [each.name for each in formats]
    if requested != AUTO:
        if requested not in names:
            raise InputError(f"no format {requested!r}; known: {', '.join([AUTO, *names])}")
        formats = [each for each in formats if each.name == requested]
    usable = [each for each in formats if all(each.tells(columns, found) for columns in required)]
    if not usable:
        known = "; ".join(f"{each.name}: {', '.join(each.fields)}" for each in formats)
        wanted = " and ".join(" or ".join(group) for group in required)
        raise InputError(
            f"no usable field names: found {_shown(found)}, need fields for "
            f"{wanted}; known fields are {known}"
        )
    # max keeps the first of equals.
    return max(usable, key=lambda each: len({*each.fields, *each.also} & set(found)))


def _shown(found: Sequence[Any]) -> str:
    """The names on one line, whatever is in them."""
    names = [" ".join(str(name).split())[:_SHOW_NAME_CHARACTERS] for name in found[:_SHOW_NAMES]]
    more = [f"and {len(found) - _SHOW_NAMES} more"] * (len(found) > _SHOW_NAMES)
    return ", ".join([*names, *more]) or "none"


def _said(text: str) -> str:
    """Without space around, in Unicode's NFC; empty if it is a program's word for nothing."""
    text = text.strip()
    if len(text) <= _LONGEST_MISSING and text in _MISSING:
        return ""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def as_text(value: Any) -> str:
    """A value as people read it, without space around; a missing one is an empty string.

    A dict such as ``{"Color:": " Black", "Size:": "4/4"}`` becomes "Color: Black; Size: 4/4", a
    list its elements with spaces between.
    """
    if isinstance(value, str):
        return _said(value)
    if value is None:
        return ""
    if isinstance(value, bytes):  # Parquet columns of authors that do not say "this is text"
        return _said(value.decode(errors="replace"))
    if isinstance(value, dict):
        parts = ((as_text(name).rstrip(": "), as_text(part)) for name, part in value.items())
        return "; ".join(f"{name}: {part}" if name else part for name, part in parts if part)
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(as_text, value)))
    if isinstance(value, float):  # ids become floats where a column has gaps
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else str(value)
    return str(value)


def first_text(record: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of these fields that is not empty, as text."""
    for name in names:
        value = record.get(name)
        # Most values are texts, and this is called for every one of them.
        if text := _said(value) if type(value) is str else as_text(value):
            return text
    return ""


def first_given(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these fields that is neither missing nor empty; None if there is none.

    Texts come as `as_text` makes them, all else as it is.
    """
    for name in names:
        value = record.get(name)
        if isinstance(value, str):
            value = _said(value)
        if value is not None and value != "" and value != [] and value != {}:
            return value
    return None


def as_rating(value: Any) -> float | None:
    """A rating in stars; None if it is missing.

    Raises:
        BrokenRecord: Not a number.
        InputError: Outside the scale. One such rating means that all are on another scale.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool):
            raise TypeError
        rating = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BrokenRecord(f"rating {reprlib.repr(value)} is not a number") from None
    if math.isnan(rating):
        return None
    if not MIN_RATING <= rating <= MAX_RATING:
        raise InputError(
            f"rating {reprlib.repr(value)} is out of range: ratings must be "
            f"{MIN_RATING:g}…{MAX_RATING:g}; rescale them"
        )
    return rating


def as_seconds(value: Any) -> int | None:
    """A time as whole seconds since 1970 (UTC); None if it is missing.

    Numbers are unix times, in seconds or finer; texts are numbers, ISO 8601 or Amazon's
    "02 28, 2014". A time without a zone is UTC.

    Raises:
        BrokenRecord: None of these.
    """
    if type(value) is int and 0 <= value < _UNITS_BELOW_SECONDS[-1][0]:
        return value  # as nearly all files tell it
    if isinstance(value, str):
        value = _parsed_time(value.strip())
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value is None:
        return None
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_a_time(value)
    else:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        for least, per_second in _UNITS_BELOW_SECONDS:
            if abs(value) >= least:
                value //= per_second
                break
    seconds = math.floor(value)
    if not _FIRST_SECOND <= seconds <= _LAST_SECOND:
        raise _not_a_time(value)
    return seconds


def _parsed_time(text: str) -> float | int | datetime | None:
    if not text:
        return None
    for parse in (int, float, datetime.fromisoformat, _amazon_date):
        try:
            return parse(text)
        except ValueError:
            continue
    raise _not_a_time(text)


def _amazon_date(text: str) -> datetime:
    return datetime.strptime(text, _AMAZON_DATE)


def _not_a_time(value: Any) -> BrokenRecord:
    return BrokenRecord(
        f"time {reprlib.repr(value)} is neither a unix time nor a date like 2024-12-31"
    )
