"""Any known file of reviews or products becomes a raw, typed table."""

import hashlib
import math
import re
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Share, settings_of
from rec_sys.reviews import field_names, values
from rec_sys.reviews.field_names import AUTO, COLUMNS, SETTINGS, Format, choose_format, shown
from rec_sys.reviews.records import read_records
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, to_frame
from rec_sys.reviews.tables import with_known_names
from rec_sys.reviews.unpacking import AUTO_ENCODING
from rec_sys.reviews.values import BrokenRecord, Numbered, first_given, first_text

#: The user of a hand-written file that names nobody.
ANONYMOUS_USER = "you"
DEFAULT_MAX_BROKEN_SHARE = 0.01
#: A text encoder reads about 256 tokens; the rest of a long description would cost and not count.
DEFAULT_MAX_INFO_CHARACTERS = 2000

# One name with so many reviews, a share of all and a multiple of the median, is hardly one person.
_MANY_REVIEWS = 20
_OUTLYING_SHARE = 0.02
_OUTLYING_TIMES = 5
# A title that so many products and most of all have is a shop's, not a product's.
_LEAST_SHARED = 10
_SPREADSHEET_ID = r"^\d[.,]\d+E\+\d+$|^=\".*\"$"  # 9.78E+12, ="0042"
# UTF-8 that was read as Windows-1252 and written again: "lÃ©ger", "donâ€™t".
_GARBLED = r"Ã[\x{a0}-\x{bf}]|â€"
_GARBLED_BYTES = re.compile(rb"\xc3(?:\x83|\xa2\xe2\x82\xac)")
_DETECT_FROM_RECORDS = 100
_DEEPEST_FIELD = 4
_KEEP_EXAMPLES = 5
_CHUNK_ROWS = 8192
_REVIEW_ID_BYTES = 8


@dataclass
class ReadReport:
    """What reading a file found. `num_records` includes broken ones, which are left out;
    `examples`: the first of them, "FILE, line N: why"; `notes`, `warnings`: findings, in words."""

    file: str
    format: str = ""
    num_records: int = 0
    num_broken: int = 0
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_steps(self, what: str) -> list[dict[str, Any]]:
        """The report in the shape of a cleaning report, of "reviews" or of "products"."""
        first = "".join(f" (the first: {example})" for example in self.examples[:1])
        broken = f"{self.num_broken} broken{first}"
        note = "; ".join([f"{self.file}, format {self.format}", broken, *self.notes])
        rows = self.num_records - self.num_broken
        lines = [(f"{what} read", note), *(("warning", warning) for warning in self.warnings)]
        return [{"step": step, "rows": rows, "note": text} for step, text in lines]


Columns = Annotated[dict[str, str | int | list[str] | None], BeforeValidator(dict)]


@dataclass(frozen=True, kw_only=True)
class Notation:
    """How a file writes things, where it does not say so itself; see
    ``config/data/_notation.yaml``. What is told here goes before what the format says."""

    columns: Columns = field(default_factory=dict)
    header: list[str] | None = None
    encoding: str = AUTO_ENCODING
    rating_scale: list[Any] | None = None
    missing_rating: Any = None
    time_format: str | None = None
    missing_time: Any = None

    @property
    def no_times(self) -> frozenset[str]:
        """What says "not known" for a time."""
        missing = self.missing_time if isinstance(self.missing_time, list) else [self.missing_time]
        return frozenset(values.as_text(each) for each in missing if each is not None)


@settings_of("data")
class ReviewFile(Notation):
    """What is set of a file of reviews; see ``config/data/_notation.yaml``."""

    _: KW_ONLY
    reviews_format: str = AUTO
    max_broken_share: Share = DEFAULT_MAX_BROKEN_SHARE

    def read(self, path: Path, anonymous: bool = False) -> tuple[pd.DataFrame, ReadReport]:
        own = {"format": self.reviews_format, "max_broken_share": self.max_broken_share}
        return read_reviews(path, notation=self, anonymous=anonymous, **own)


def read_reviews(
    path: str | Path | Sequence[Mapping[str, Any]],
    *,
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
    anonymous: bool = False,
    notation: Notation = Notation(),  # noqa: B008 (frozen)
) -> tuple[pd.DataFrame, ReadReport]:
    """Reads reviews from JSON (any layout), CSV, Parquet or Arrow, packed or not.

    `path` is that of the file, or the records themselves, which messages number from 1. `format` is
    the name of a file in ``config/data/columns``, "auto" decides from the fields. Of broken records
    (no JSON object, no user, no product, a rating that is none) a share is borne, 0...1. Where all
    may be `anonymous`, a review of nobody is one of `ANONYMOUS_USER`, and a product may be missing.

    Returns what reading found and a table with the columns of `REVIEW_SCHEMA`, in the order of the
    file and not cleaned; a missing text is empty, whatever else is missing is null. InputError,
    which names the file and the first bad line, if the file cannot be read, has no usable fields,
    too many broken records, or a rating outside its scale.
    """
    rows = _ReviewRows(notation, anonymous)
    table, report = _build_table(path, rows, format, max_broken_share, notation)
    found = rows.found
    table, respelled, _ = with_known_names(table, "user_id", "nickname", None)
    found["nicknames spelled in another way, taken as one person"] = respelled
    table, renamed, _ = with_known_names(table, "product_id", "product_name", {})
    found["reviews tell a product by its name, taken as the one with that name"] = renamed
    texts = table["text"].combine_chunks()
    # Bytes are looked through faster than by the expression, and nearly always hold none.
    if len(texts) and _GARBLED_BYTES.search(texts.buffers()[2]):
        garbled = pc.sum(pc.match_substring_regex(texts, _GARBLED)).as_py()
        found["texts hold garbled signs such as Ã© (UTF-8 read as another encoding)"] = garbled
    times = pc.min_max(table["timestamp"]).as_py()
    if times["min"]:
        report.notes.append(f"times {times['min']:%Y-%m-%d} to {times['max']:%Y-%m-%d}")
    report.notes += [f"{count} {what}" for what, count in found.items() if count]
    report.notes += [rows.bad_time] * bool(times["min"] and rows.bad_time)
    report.warnings += [] if anonymous else _warnings(table, rows.bad_time)
    return to_frame(table, REVIEW_SCHEMA), report


def _warnings(table: pa.Table, bad_time: str) -> list[str]:
    """What makes a table of reviews hardly usable although every record could be read."""
    empty = {"text": pc.equal(table["text"], ""), "rating": table["rating"].is_null()}
    empty[f"time ({bad_time})" if bad_time else "time"] = table["timestamp"].is_null()
    columns = [f"; {SETTINGS['reviews']}.{name}=FIELD reads it" for name in ("text", "rating")]
    columns.append("" if bad_time else f"; {SETTINGS['reviews']}.timestamp=FIELD reads it")
    told = zip(empty.items(), columns, strict=True)
    found = [f"no review has a {what}{how}" for (what, mask), how in told if pc.all(mask).as_py()]
    year = values.FIRST_PLAUSIBLE_YEAR
    first, last = datetime(year, 1, 1, tzinfo=UTC), datetime.now(UTC)
    times = table["timestamp"].drop_null()
    early, late = pc.less(times, pa.scalar(first)), pc.greater(times, pa.scalar(last))
    for what, odd in ((f"before {year}", early), ("in the future", late)):
        if count := pc.sum(odd).as_py():
            advice = "if they are written in another way, say how with data.time_format"
            advice += ", if they say 'not known' with data.missing_time"
            found.append(f"{count} times are {what}: {advice}")
    by_name = pc.sum(pc.fill_null(pc.equal(table["user_id"], table["nickname"]), False)).as_py()
    for what in ("user_id", "product_id"):
        if odd := table[what].filter(pc.match_substring_regex(table[what], _SPREADSHEET_ID)):
            why = f"a spreadsheet rewrote the {what} of {len(odd)} reviews, as in {odd[0]}"
            found.append(f"{why}; rounded ones may stand for many: export this column as text")
    users = table["user_id"].to_pandas().value_counts()
    name, most = users.index[0], users.iloc[0]
    outlying = most >= _MANY_REVIEWS and most >= _OUTLYING_TIMES * users.median()
    if outlying and most >= _OUTLYING_SHARE * len(table) and 2 * by_name > len(table):
        found.append(
            f"{reprlib.repr(name)} holds {most / len(table):.0%} of the reviews, and people are"
            " told apart by their nicknames alone: it may stand for many; name the field of the"
            " user ids with data.columns.user_id=FIELD if there is one"
        )
    return found


class _ReviewRows:
    """Makes rows in the order of `REVIEW_SCHEMA`, and counts what was taken instead."""

    schema, what = REVIEW_SCHEMA, "reviews"

    def __init__(self, notation: Notation, anonymous: bool) -> None:
        self.found: Counter[str] = Counter()
        self.bad_time = ""
        self.required = [("product_id",), ("user_id",)]
        if anonymous:  # without a product a review must at least say something
            self.required = [("product_id", "text", "rating")]
        self._notation, self._anonymous = notation, anonymous

    def start(self, layout: Format, whole: list[dict[str, Any]], time: str | None) -> None:
        """Takes the names of the fields, and from the first records what their values mean."""
        self._columns = {name: layout.columns.get(name, ()) for name in REVIEW_SCHEMA.names}
        others = ("nickname", "product_name", "product_info")
        self._others = [self._columns[name] for name in others]
        # A text that only the second field tells is a headline where others have the first.
        told = (raw for raw in self._columns["text"] if any(raw in each for each in whole))
        self._body = next(told, "")
        steps, missing = self._notation.rating_scale, self._notation.missing_rating
        steps = layout.rating_scale if steps is None else steps
        missing = layout.missing_rating if missing is None else missing
        plain = steps is None and missing is None
        self._as_rating = values.as_rating if plain else values.RatingScale(steps, missing)
        self._time, self._no_time = time, self._notation.no_times

    def __call__(self, record: dict[str, Any]) -> tuple:
        columns = self._columns
        user = first_text(record, columns["user_id"])
        if not user and not self._anonymous:
            raise BrokenRecord(f"no user ({' or '.join(columns['user_id'])})")
        if not user:
            self.found["reviews that name nobody, taken as those of one person"] += 1
            user = ANONYMOUS_USER
        product = first_text(record, columns["product_id"])
        if not product and not self._anonymous:
            raise BrokenRecord(f"no product ({' or '.join(columns['product_id'])})")
        text = first_text(record, columns["text"])
        rating = self._as_rating(first_given(record, columns["rating"]))
        try:
            time = first_given(record, columns["timestamp"])
            is_missing = self._no_time and values.as_text(time) in self._no_time
            seconds = None if is_missing else values.as_seconds(time, self._time)
        except BrokenRecord as error:
            self.found["times that cannot be read, taken as missing"] += 1
            self.bad_time = self.bad_time or str(error)
            seconds = None
        if text and len(columns["text"]) > 1 and not values.as_text(record.get(self._body)):
            self.found["texts missing, their headline taken"] += 1
        nickname, name, info = [first_text(record, names) or None for names in self._others]
        style = values.as_text(values.unpacked(first_given(record, columns["style"]))) or None
        review = first_text(record, columns["review_id"])
        review = review or content_id(user, product, text, rating, seconds)
        return review, user, nickname, product or None, name, info, style, text, rating, seconds


def content_id(*content: Any) -> str:
    """An id that is the same wherever in a file the review stands."""
    return hashlib.blake2b(repr(content).encode(), digest_size=_REVIEW_ID_BYTES).hexdigest()


def read_products(
    path: str | Path,
    *,
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
    max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS,
    notation: Notation = Notation(),  # noqa: B008 (frozen)
) -> tuple[pd.DataFrame, ReadReport]:
    """Reads product metadata; kinds of files, settings and errors are those of `read_reviews`. A
    record without an id is broken. ``info`` (description, then features) is cut after the last word
    that fits into `max_info_characters`. The table has the columns of `PRODUCT_SCHEMA`, in the
    order of the file, of each product its first row; what is missing is an empty string."""
    rows = _ProductRows(max_info_characters)
    table, report = _build_table(path, rows, format, max_broken_share, notation)
    products = to_frame(table, PRODUCT_SCHEMA)
    unique = products.drop_duplicates("product_id", ignore_index=True)
    names = unique["name"][unique["name"] != ""].value_counts()[:1]
    for name, shared in names[(names >= _LEAST_SHARED) & (2 * names > len(unique))].items():
        rows.titles[f"titles {reprlib.repr(name)} that most products share made empty"] = shared
        unique["name"] = unique["name"].where(unique["name"] != name, "")
    counts = {
        "with a brand": int((unique["brand"] != "").sum()),
        **rows.titles,
        "repeated products left out": len(products) - len(unique),
    }
    report.notes += [f"{count} {what}" for what, count in counts.items() if count]
    return unique, report


class _ProductRows:
    """Makes rows in the order of `PRODUCT_SCHEMA`, and counts what had to be mended."""

    schema, what, required = PRODUCT_SCHEMA, "products", [("product_id",)]

    def __init__(self, max_info_characters: int) -> None:
        self.titles: Counter[str] = Counter()
        self._max_info_characters = max_info_characters

    def start(self, layout: Format, whole: list[dict[str, Any]], time: str | None) -> None:
        self._columns = {name: layout.columns.get(name, ()) for name in COLUMNS["products"]}

    def __call__(self, record: dict[str, Any]) -> tuple[str, str, str, str, str]:
        columns = self._columns
        if not (product := first_text(record, columns["product_id"])):
            raise BrokenRecord(f"no product ({' or '.join(columns['product_id'])})")
        name = first_text(record, columns["name"])
        if product == name:  # written as with_known_names writes that of a review
            product = " ".join(name.split())
        if values.SCRIPT.search(name):
            self.titles["titles that were a script made empty"] += 1
            name = ""
        self.titles["titles freed from HTML"] += values.has_markup(name)
        given = (first_given(record, columns[part]) for part in ("description", "features"))
        told = (values.as_text(values.unpacked(part)) for part in given)
        info = values.plain_text(" ".join(filter(None, told)))
        style = values.style_of(values.unpacked(first_given(record, columns["style"])))
        brand = values.plain_text(first_text(record, columns["brand"]))
        if len(info) > (most := self._max_info_characters):
            info = info[: most + 1].rpartition(" ")[0] or info[:most]
        return product, values.plain_text(name), info, style, brand


def _build_table(
    source: str | Path | Sequence[Mapping[str, Any]],
    rows: _ReviewRows | _ProductRows,
    format: str,
    max_broken_share: float,
    notation: Notation,
) -> tuple[pa.Table, ReadReport]:
    """Collects records in a table; memory holds it and one chunk of records. `rows` makes one row
    of a record, in the order of its schema; for `required` and `format` see `choose_format`."""
    schema, what = rows.schema, rows.what
    is_file = isinstance(source, str | Path)
    file = str(source) if is_file else what
    report = ReadReport(file)
    of_format = (each.header for each in field_names.known_formats(what) if each.name == format)
    header = notation.header or next(of_format, None)
    if is_file:
        records = read_records(file, encoding=notation.encoding, header=header)
    else:
        records = enumerate(map(_as_record, source), 1)
    head = _first_records(records)
    whole = _dicts(head)
    # In the order in which they appear.
    found = list(dict.fromkeys(path for record in whole for path in _paths(record)))
    nested: list[str] = []
    try:
        if whole:
            layout = choose_format(found, what, rows.required, format, notation.columns)
            report.format = layout.name
            unused = field_names.unused_fields(found, layout, what)
            plain = [name for name, advice in unused.items() if not advice]
            report.notes += [f"not used: {shown(plain)}"] * bool(plain)
            report.warnings += [
                f"not used: {name} (did you mean {own[0]}? rename it, or set {own[1]})"
                for name, own in unused.items()
                if own
            ]
            nested = [raw for raw in layout.fields if "." in raw and raw not in whole[0]]
            time = notation.time_format or _time_notation(layout, notation, head, records)
            rows.start(layout, _dicts(head), time)
    except InputError as error:
        raise type(error)(f"{file}: {error}") from None

    chunks: list[pa.RecordBatch] = []
    chunk: list[tuple] = []
    for line, record in chain(head, records):
        report.num_records += 1
        try:
            if isinstance(record, BrokenRecord):
                raise record
            if nested:
                record = {**record, **{raw: _dig(record, raw) for raw in nested}}
            chunk.append(rows(record))
        except (BrokenRecord, RecursionError) as error:
            broken = error if isinstance(error, BrokenRecord) else "nested too deeply"
            report.num_broken += 1
            if report.num_broken <= _KEEP_EXAMPLES:
                report.examples.append(f"{file}, line {line}: {broken}")
        except InputError as error:
            raise InputError(f"{file}, line {line}: {error}") from None
        if len(chunk) == _CHUNK_ROWS:
            chunks.append(_batch(chunk, schema))
            chunk = []
    if not report.num_records:
        raise InputError(f"{file}: holds no records")
    allowed = max_broken_share * report.num_records
    if report.num_broken > allowed or report.num_broken == report.num_records:
        share = math.ceil(100 * report.num_broken / report.num_records) / 100
        remedy = f", or leave them out with data.max_broken_share={share:g}"
        remedy *= report.num_broken < report.num_records
        raise InputError(
            f"{report.examples[0]}; {report.num_broken} of {report.num_records} records are broken,"
            f" more than the share of {max_broken_share:g} that is borne (max_broken_share); repair"
            f" the file{remedy}"
        )
    # In one piece: cleaning takes and replaces rows several times as fast.
    return pa.Table.from_batches([*chunks, _batch(chunk, schema)], schema).combine_chunks(), report


def _as_record(given: Any) -> dict[str, Any] | BrokenRecord:
    return given if isinstance(given, dict) else BrokenRecord(f"{type(given).__name__}, no dict")


def _first_records(records: Iterator[Numbered]) -> list[Numbered]:
    head: list[Numbered] = []
    num_whole = 0
    while num_whole < _DETECT_FROM_RECORDS and (numbered := next(records, None)):
        head.append(numbered)
        num_whole += isinstance(numbered[1], dict)
    return head


def _paths(record: dict[str, Any], start: str = "") -> Iterator[str]:
    """The fields of a record, nested ones with dots too."""
    for name, value in record.items():
        yield f"{start}{name}"
        if isinstance(value, dict) and start.count(".") < _DEEPEST_FIELD:
            yield from _paths(value, f"{start}{name}.")


def _dicts(numbered: Iterable[Numbered]) -> list[dict[str, Any]]:
    return [record for _, record in numbered if isinstance(record, dict)]


def _time_notation(
    layout: Format, notation: Notation, head: list[Numbered], records: Iterator[Numbered]
) -> str | None:
    """As `time_notation`; where days and months look alike, more records are added to the first."""
    names = layout.columns.get("timestamp", ())
    while True:
        try:
            times = (first_given(each, names) for each in _dicts(head))
            known = (each for each in times if values.as_text(each) not in notation.no_times)
            return values.time_notation(known)
        except InputError:
            if not (more := list(islice(records, len(head)))):
                raise
            head += more


def _dig(record: dict[str, Any], path: str) -> Any:
    """What stands at the end of a path with dots; None if there is nothing."""
    if path in record:
        return record[path]
    value: Any = record
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _batch(rows: list[tuple], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    arrays = [_array(given, column.type) for given, column in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(given: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(given, kind)
    except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, UTF-8 cannot
        whole = [value and value.encode("utf-8", "backslashreplace").decode() for value in given]
        return pa.array(whole, kind)
