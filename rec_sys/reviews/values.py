"""What the values of raw fields are, however written: texts, without markup, ratings and times."""

import ast
import html
import json
import math
import re
import reprlib
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

import pandas as pd

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_number
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING

_CODE = re.compile(r"<(script|style)\b.*?(</\1\s*>|$)|<!--.*?(-->|$)", re.IGNORECASE | re.DOTALL)
# A tag that is cut off is known by an attribute, or by being the last word: "a <b c" stays.
_TAG = re.compile(
    r"</?[a-z][^<>]*>|<[a-z][a-z\d]*\s[^<>]*=[^<>]*(?=<|$)"
    r"|</?(a|b|br|div|em|font|h\d|i|img|li|p|pre|span|strong|table|td|th|tr|u|ul)\s*/?$",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(#\d+|#x[\da-f]+|[a-z]+\d*);", re.IGNORECASE)
# Shops escape twice and more: "&amp;quot;", "&#38;amp;#34;".
_ESCAPED_AMPERSAND = re.compile(r"&((amp|#0*38|#x0*26);)+", re.IGNORECASE)
# Line breaks and tabs are space, the other control characters and invisible marks are nothing.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\u200b\u2060\ufeff]")
#: Some titles of 2018 are a page's scripts: "var aPageStart = (new Date()).getTime(); ...".
SCRIPT = re.compile(r"<script|\bgetTime\b", re.IGNORECASE)
# A round may leave markup; real texts need two. Without a limit the time grows with the square.
_MAX_ROUNDS = 10

#: What `plain_text` could change, for Arrow's regular expressions: a quick way to leave the rest.
SUSPICIOUS = (
    r"[<&\x00-\x1f\x7f-\x{9f}\x{a0}\x{1680}\x{2000}-\x{200b}\x{2028}\x{2029}"
    r"\x{202f}\x{205f}\x{2060}\x{3000}\x{feff}]|  |^ | $"
)
# "Nothing" as pandas, SQL, Python, R, JavaScript and spreadsheets spell it, for "Nan" is a name.
_MISSING = {
    *("nan", "NaN", "NAN", "-nan", "NaT", "NULL", "null", "Null", "None", "none", "NONE"),
    *("\\N", "N/A", "n/a", "NA", "<NA>", "#N/A", "#NA", "undefined"),
    *("#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NUM!", "#NULL!"),
}
_LONGEST_MISSING = max(map(len, _MISSING))
# "5", "4,0", "4 stars", "4/5", "4.0 out of 5 stars", "4,0 von 5 Sternen", "80%".
_RATING = re.compile(
    r"(?i)(-?\d+(?:[.,]\d+)?)\s*(?:stars?|(?:/|(?:stars? )?(?:out of|of|von|sur|su|de|из))\s*(\d+)"
    r"(?:\s*\w+)?|(%))?"
)
_STAR_MARKS = re.compile(r"[★⭐][★⭐\ufe0f]*☆*")

#: Times are in the unit that puts them after 1973 and before 5138: (at least, divide by).
_UNITS_BELOW_SECONDS = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3))
FIRST_SECOND = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
LAST_SECOND = int(datetime.max.replace(tzinfo=UTC).timestamp())
# Reviews were hardly written before the web.
FIRST_PLAUSIBLE_YEAR = 1990
_LAST_PLAUSIBLE_YEAR = 2099
# Excel counts days from here, as it takes 1900 for a leap year; 1954 to 2119 are no other numbers.
_EXCEL_START, _EXCEL_DAYS = datetime(1899, 12, 30, tzinfo=UTC), (20_000, 80_000)
#: Digits that are a date, by how many there are.
COMPACT_DATES = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S", 4: "%Y"}
_TEXT_DATES = ("%m %d, %Y", "%Y-%m", "%Y/%m", "%Y/%m/%d")  # the first is Amazon's
_DAY_AND_MONTH = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?!\d)")
MONTH_FIRST, DAY_FIRST, _EXCEL = "month first", "day first", "excel"
_BEFORE_A_DATE = re.compile(r"^(Posted|Reviewed in .{1,60}? on) ")
_DISTINCT_DATES = 1 << 14
# "Reviewed in the United Kingdom on Wednesday, 28 February 2014 at 10:30:00.000000 +00:00".
_LONGEST_TIME = 120

_STYLE_LEVELS = 2
_STYLE_SEPARATOR = " > "
# In the files of 2018 a category list goes on with a stray tag and the selling points.
_CATEGORY_CHARACTERS = 40
_NO_CATEGORY = re.compile(r"<|[.!:]$")


class BrokenRecord(ValueError):
    """One record cannot be used; the others can. The message says why."""


#: A line number from 1 (Parquet: row number) with what stands there.
Numbered = tuple[int, dict[str, Any] | BrokenRecord]


def _said(text: str) -> str:
    """What is visible, in Unicode's NFC; empty if it is a program's word for nothing."""
    text = text.strip() if text.isascii() else visible(text).strip()
    if len(text) <= _LONGEST_MISSING and text in _MISSING:
        return ""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def as_text(value: Any) -> str:
    """A value as people read it, trimmed, or empty. ``{"Color:": " Black", "Size:": "4/4"}``
    becomes "Color: Black; Size: 4/4", a list its elements with spaces between."""
    if isinstance(value, str):
        return _said(value)
    if value is None:
        return ""
    if isinstance(value, bytes):  # Parquet columns of authors that do not say "this is text"
        return _said(value.decode(errors="backslashreplace"))
    if isinstance(value, dict):
        if {"$"} == {str(name)[:1] for name in value}:  # MongoDB's types: {"$numberInt": "5"}
            return " ".join(map(as_text, value.values()))
        parts = ((as_text(name).rstrip(": "), as_text(part)) for name, part in value.items())
        return "; ".join(f"{name}: {part}" if name else part for name, part in parts if part)
    if isinstance(value, list | tuple):
        return " ".join(filter(None, map(as_text, value)))
    if isinstance(value, float | Decimal):  # ids become floats where a column has gaps
        return "" if math.isnan(value) else f"{value:.0f}" if value % 1 == 0 else str(value)
    return str(value)


def first_text(record: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of these fields that is not empty, as text."""
    for name in names:
        value = record.get(name)
        # Most values are texts, and this is called for every one of them.
        if type(value) is not str:
            text = as_text(value)
        elif len(text := value.strip()) <= _LONGEST_MISSING or not text.isascii():
            text = _said(text)
        if text:
            return text
    return ""


def first_given(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The first of these fields that is neither missing nor empty, texts by `as_text`, or None."""
    for name in names:
        value = record.get(name)
        if isinstance(value, str) or (isinstance(value, dict) and "$" in str(list(value)[:1])):
            value = as_text(value)
        if value is not None and value != "" and value != [] and value != {}:
            return value
    return None


def unpacked(value: Any) -> Any:
    """A list or dict that became a text on its way through a CSV file; all else as it is."""
    if isinstance(value, str) and value[:1] + value[-1:] in ("[]", "{}"):
        for parse in (json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
                return parse(value)
    return value


def style_of(category: Any) -> str:
    """The last levels of a category path: "Guitars > Strings". The path is a list of levels, or a
    list of such paths (the first counts); a text or a dict is taken as it is."""
    if not isinstance(category, list) or not category:
        return plain_text(as_text(category))
    levels: list[str] = []
    for level in map(as_text, category[0] if isinstance(category[0], list) else category):
        if not level or len(level) > _CATEGORY_CHARACTERS or _NO_CATEGORY.search(level):
            break
        level = plain_text(level)
        if level not in levels:
            levels.append(level)
    # The root is the same for the whole shop and says nothing.
    return _STYLE_SEPARATOR.join(levels[1:][-_STYLE_LEVELS:] or levels)


class RatingScale:
    """Makes stars, 1...5, of ratings on another scale; InputError if it is none. `steps` are the
    lowest and highest number of the scale, or its words from worst to best, which are taken as
    equally far apart; None for stars. `missing` says "not rated", or several values do."""

    def __init__(self, steps: Sequence[Any] | None, missing: Any) -> None:
        self._missing = set(map(_word, missing if isinstance(missing, list) else [missing]))
        self._words = list(map(_word, steps or ()))
        self._ends = tuple(map(float, steps)) if steps and all(map(is_number, steps)) else ()
        if self._ends:
            is_scale = len(steps) == 2 and self._ends[0] < self._ends[1]
        else:
            is_scale = not steps or 1 < len(set(self._words)) == len(steps)
        if not is_scale:
            raise InputError(
                f"data.rating_scale={list(steps)}: must be the lowest and the highest rating,"
                " [1,10], or words from worst to best, [dislike,like]"
            )

    def __call__(self, value: Any) -> float | None:
        """Stars, or None; raises as `as_rating`."""
        word = _word(value)
        if value is None or not word or word in self._missing:
            return None
        if not self._words:
            return as_rating(value)
        if not self._ends:
            if word not in self._words:
                reason = f"is none of data.rating_scale={self._words}"
                raise BrokenRecord(f"rating {reprlib.repr(value)} {reason}")
            place = self._words.index(word) / (len(self._words) - 1)
            return MIN_RATING + place * (MAX_RATING - MIN_RATING)
        (low, high), number = self._ends, _number(value, self._ends[1])
        if number is None:
            return None
        if not low <= number <= high:
            scale = f"data.rating_scale=[{low:g},{high:g}]"
            remedy = f"widen it, or set data.missing_rating={value} if it says 'not rated'"
            raise InputError(f"rating {reprlib.repr(value)} is outside of {scale}; {remedy}")
        return MIN_RATING + (number - low) / (high - low) * (MAX_RATING - MIN_RATING)


def _word(value: Any) -> str:
    return as_text(value).casefold()


def _number(value: Any, highest: float = MAX_RATING) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = math.inf if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if math.isinf(number):
        number = _written_rating(value, highest)
    return None if math.isnan(number) else number


def _written_rating(value: Any, highest: float) -> float:
    text = value if isinstance(value, str) else ""
    if _STAR_MARKS.fullmatch(text):
        return text.count("★") + text.count("⭐")
    if match := _RATING.fullmatch(text):
        out_of = 100 if match[3] else float(match[2] or highest)
        if out_of == highest:
            return float(match[1].replace(",", "."))
        scale = f"data.rating_scale=[{0 if match[3] else 1},{out_of:g}]"
        raise InputError(f"rating {value!r} is on another scale; name it: {scale}")
    unrated = f"set {shlex.quote(f'data.missing_rating={text}')} if it says 'not rated', or "
    remedy = unrated * (text.isprintable() and 0 < len(text) <= _LONGEST_MISSING)
    remedy += "name words from worst to best, for instance data.rating_scale=[false,true]"
    raise BrokenRecord(f"rating {reprlib.repr(value)} is not a number; {remedy}")


def as_rating(value: Any) -> float | None:
    """A rating in stars; None if it is missing. Raises BrokenRecord if it is not a number,
    InputError if it is outside the scale. One such rating means that all are on another scale."""
    rating = _number(value)
    if rating is None or MIN_RATING <= rating <= MAX_RATING:
        return rating
    unrated = f"set data.missing_rating={rating:g} if {rating:g} says 'not rated', or "
    ends = (MAX_RATING, 10, 100) if rating >= 0 else (-rating,)
    high = next((end for end in ends if rating <= end), rating)
    raise InputError(
        f"rating {reprlib.repr(value)} is out of range: ratings must be {MIN_RATING:g}…"
        f"{MAX_RATING:g}; {unrated * (rating <= 0)}name their scale, for instance"
        f" data.rating_scale=[{min(rating, MIN_RATING):g},{high:g}]"
    )


def as_seconds(value: Any, notation: str | None = None) -> int | None:
    """A time as whole seconds since 1970 (UTC); None if it is missing, BrokenRecord if it is none.
    Numbers are unix times, in seconds or finer; texts are numbers, ISO 8601, Amazon's "02 28, 2014"
    or what `pandas.to_datetime` reads. A time without a zone is UTC. `notation` is what
    `time_notation` found; without it 03/04/2014 is refused as ambiguous."""
    if type(value) is int and 0 <= value < _UNITS_BELOW_SECONDS[-1][0] and notation is None:
        return value  # as nearly all files tell it
    if isinstance(value, Decimal):
        value = float(value) if value % 1 else int(value)
    if notation and (notation == _EXCEL or "%" in notation):
        value = _by_notation(value, notation)
    if isinstance(value, str):
        value = value.strip()
        if len(value) > _LONGEST_TIME:  # reading takes the square of it
            raise _not_a_time(value)
        value = _parsed_time(value, notation)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    elif isinstance(value, bool) or not isinstance(value, int | float):
        raise _not_a_time(value)
    else:
        if isinstance(value, float) and not math.isfinite(value):
            return None
        fits = (per_second for least, per_second in _UNITS_BELOW_SECONDS if abs(value) >= least)
        value //= next(fits, 1)
    seconds = math.floor(value)
    if not FIRST_SECOND <= seconds <= LAST_SECOND:
        raise _not_a_time(value)
    return seconds


def time_notation(values: Iterable[Any]) -> str | None:
    """What the first times of a file say together and one alone does not. A format for
    `datetime.strptime` (20140228, 20140228103000, 2014), "excel" for Excel's days, "month first" or
    "day first"; None where each time tells by itself; InputError if day and month look alike."""
    given = list(filter(None, (as_text(value) for value in values if not isinstance(value, date))))
    if not given:
        return None
    told = pd.Series(given, dtype=object)  # as texts, half a surrogate pair is none
    for digits, notation in COMPACT_DATES.items():
        if (told.str.isdecimal() & (told.str.len() == digits)).all():
            years = pd.to_datetime(told, format=notation, errors="coerce").dt.year
            if years.between(FIRST_PLAUSIBLE_YEAR, _LAST_PLAUSIBLE_YEAR).all():
                return notation
    if pd.to_numeric(told, errors="coerce").between(*_EXCEL_DAYS).all():
        return _EXCEL
    dates = [match for text in given if (match := _DAY_AND_MONTH.match(text))]
    if not dates:
        return None
    month_first = all(int(match[1]) <= 12 for match in dates)
    day_first = all(int(match[3]) <= 12 for match in dates)
    if month_first and day_first and any(match[1] != match[3] for match in dates):
        if all(match[2] == "." for match in dates):  # nobody writes months first with dots
            return DAY_FIRST
        example = next(match for match in dates if match[1] != match[3])
        first, mark, second, year = example.groups()
        raise InputError(
            f"time {example[0]!r} may be {year}-{first:0>2}-{second:0>2} or {year}-{second:0>2}-"
            f"{first:0>2}; say which with data.time_format=%m{mark}%d{mark}%Y or"
            f" data.time_format=%d{mark}%m{mark}%Y"
        )
    return DAY_FIRST if day_first and not month_first else MONTH_FIRST


def _by_notation(value: Any, notation: str) -> datetime | None:
    if not (text := as_text(value)):
        return None
    try:
        if notation == _EXCEL:
            return _EXCEL_START + timedelta(days=float(text))
        return datetime.strptime(text, notation)
    except (ValueError, OverflowError):
        raise _not_a_time(value) from None


def _parsed_time(text: str, notation: str | None) -> float | int | datetime | None:
    if not text:
        return None
    for parse in (int, float, datetime.fromisoformat):
        with suppress(ValueError):
            return parse(text)
    return _parsed_date(text, notation)


@lru_cache(_DISTINCT_DATES)
def _parsed_date(text: str, notation: str | None) -> datetime:
    for form in _TEXT_DATES:
        with suppress(ValueError):
            return datetime.strptime(text, form)
    match = _DAY_AND_MONTH.match(text)
    # Without a year of four digits pandas would take it from the clock.
    if not (match or re.search(r"\d{4}", text)):
        raise _not_a_time(text)
    may_be_turned = match and notation is None and match[1] != match[3]
    if may_be_turned and max(int(match[1]), int(match[3])) <= 12:
        raise _not_a_time(text)
    text = _BEFORE_A_DATE.sub("", text).rstrip(".")
    day_first = notation == DAY_FIRST or bool(match and int(match[1]) > 12)
    try:
        return pd.to_datetime(text, dayfirst=day_first, utc=True).to_pydatetime(warn=False)
    except (ValueError, OverflowError, TypeError):
        raise _not_a_time(text) from None


def _not_a_time(value: Any) -> BrokenRecord:
    why = "is neither a unix time nor a date like 2024-12-31"
    remedy = "say how it is written with data.time_format"
    return BrokenRecord(f"time {reprlib.repr(value)} {why}; {remedy}")


def has_markup(text: str) -> bool:
    """Whether there are tags or entities in it."""
    # Looking for one character is a hundred times as fast as the expressions.
    in_brackets = "<" in text and (_TAG.search(text) or _CODE.search(text))
    return bool(in_brackets or ("&" in text and _ENTITY.search(text)))


def plain_text(text: str) -> str:
    """Without tags, entities, control characters and superfluous space."""
    text = visible(text)
    for _ in range(_MAX_ROUNDS):
        before = text
        if "<" in text:
            text = _TAG.sub(" ", _CODE.sub(" ", text))
        if "&" in text:
            text = _ESCAPED_AMPERSAND.sub("&", text)
            # Whole entities only: html.unescape by itself takes "black&gtr" for "black>r".
            text = visible(_ENTITY.sub(lambda entity: html.unescape(entity[0]), text))
        if text == before:
            break
    return " ".join(text.split())


def name_key(name: str) -> str:
    """Equal for two spellings of a name that differ in case, space or markup alone."""
    return unicodedata.normalize("NFC", plain_text(name).casefold())


def visible(text: str) -> str:
    """Without what takes no place, of which nothing is printable, as most texts are."""
    return text if text.isprintable() else _INVISIBLE.sub("", text)
