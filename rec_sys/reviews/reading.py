"""Any known file of reviews or products becomes a raw, typed table."""

import hashlib
import math
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.files import read_records
from rec_sys.reviews.formats import (
    AUTO,
    PRODUCT_FORMATS,
    REVIEW_FORMATS,
    BrokenRecord,
    Format,
    Numbered,
    as_rating,
    as_seconds,
    as_text,
    choose_format,
    first_given,
    first_text,
)
from rec_sys.reviews.markup import has_markup, has_script, plain_text
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, to_frame
from rec_sys.reviews.tables import with_known_names

#: The user of a hand-written file that names nobody.
ANONYMOUS_USER = "you"
DEFAULT_MAX_BROKEN_SHARE = 0.01
#: A text encoder reads about 256 tokens; the rest of a long description would cost and not count.
DEFAULT_MAX_INFO_CHARACTERS = 2000

# One name with so many reviews, a share of all and a multiple of the median, is hardly one person.
_MANY_REVIEWS = 20
_OUTLYING_SHARE = 0.02
_OUTLYING_TIMES = 5
_DETECT_FROM_RECORDS = 100
_KEEP_EXAMPLES = 5
_CHUNK_ROWS = 8192
_REVIEW_ID_BYTES = 8
_STYLE_LEVELS = 2
_STYLE_SEPARATOR = " > "
# In the files of 2018 a category list goes on with a stray tag and the selling points.
_CATEGORY_CHARACTERS = 40
_NO_CATEGORY = re.compile(r"<|[.!:]$")


@dataclass
class ReadReport:
    """What reading one file found.

    Attributes:
        num_records: All records, broken ones included.
        num_broken: Records that were left out.
        examples: The first few broken ones: "FILE, line N: why".
        notes: Further findings, in words.
        warnings: Findings that a person should not miss.
    """

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


def read_reviews(
    path: str | Path,
    *,
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
    require_user: bool = True,
    require_product: bool = True,
) -> tuple[pd.DataFrame, ReadReport]:
    """Reads reviews from JSON (any layout), CSV or Parquet, gzipped or not.

    Args:
        format: One of the names in `REVIEW_FORMATS`; "auto" decides from the fields.
        max_broken_share: Bear this share of broken records (no JSON object, no user, no product,
            a rating or a time that is none), 0...1.
        require_user: Without it, a review of nobody is a review of `ANONYMOUS_USER`.
        require_product: Without it, the product may be missing.

    Returns:
        The table with the columns of `REVIEW_SCHEMA`, in the order of the file and not cleaned;
        a missing text is empty, whatever else is missing is null. And what reading found.

    Raises:
        InputError: The file cannot be read, has no usable fields, too many broken records, or a
            rating outside 1...5. The message names the file and the first bad line.
    """
    # Without a product a review must at least say something.
    required = [("product_id",) if require_product else ("product_id", "text", "rating")]
    if require_user:
        required.append(("user_id",))
    found: Counter[str] = Counter()
    table, report = _build_table(
        read_records(path),
        str(path),
        schema=REVIEW_SCHEMA,
        to_row=partial(
            _review_row, found=found, require_user=require_user, require_product=require_product
        ),
        formats=REVIEW_FORMATS,
        required=required,
        format=format,
        max_broken_share=max_broken_share,
    )
    table, respelled, _ = with_known_names(table, "user_id", "nickname", None)
    found["nicknames spelled in another way, taken as one person"] = respelled
    table, renamed, _ = with_known_names(table, "product_id", "product_name", {})
    found["products known by their name, taken as one with the same name"] = renamed
    report.warnings += _warnings(table) if require_user else []
    report.notes = [f"{count} {what}" for what, count in found.items() if count]
    return to_frame(table, REVIEW_SCHEMA), report


def _warnings(table: pa.Table) -> list[str]:
    """What makes a table of reviews hardly usable although every record could be read."""
    users = table["user_id"].to_pandas().value_counts()
    name, most = users.index[0], users.iloc[0]
    outlying = most >= _MANY_REVIEWS and most >= _OUTLYING_TIMES * users.median()
    by_name = pc.sum(pc.fill_null(pc.equal(table["user_id"], table["nickname"]), False)).as_py()
    if outlying and most >= _OUTLYING_SHARE * len(table) and 2 * by_name > len(table):
        return [
            f"{reprlib.repr(name)} holds {most / len(table):.0%} of the reviews, and people are told"
            " apart by their nicknames alone: it may stand for many; name the field of the user ids"
            " with data.columns.user_id=FIELD if there is one"
        ]
    return []


def _review_row(
    record: dict[str, Any],
    columns: dict[str, tuple[str, ...]],
    found: Counter[str],
    require_user: bool,
    require_product: bool,
) -> tuple:
    """One row in the order of `REVIEW_SCHEMA`; `found` counts what was taken instead."""

    def text_of(column: str) -> str:
        return first_text(record, columns[column]) if column in columns else ""

    user = text_of("user_id")
    if not user:
        if require_user:
            raise BrokenRecord(f"no user ({' or '.join(columns['user_id'])})")
        user = ANONYMOUS_USER
    product = text_of("product_id")
    if not product and require_product:
        raise BrokenRecord(f"no product ({' or '.join(columns['product_id'])})")
    text = text_of("text")
    rating = as_rating(first_given(record, columns["rating"]))
    seconds = as_seconds(first_given(record, columns["timestamp"]))
    body, *headlines = columns["text"]
    if text and headlines and not as_text(record.get(body)):
        found["texts missing, their headline taken"] += 1
    return (
        text_of("review_id") or content_id(user, product, text, rating, seconds),
        user,
        text_of("nickname") or None,
        product or None,
        text_of("product_name") or None,
        text_of("product_info") or None,
        text_of("style") or None,
        text,
        rating,
        seconds,
    )


def content_id(*content: Any) -> str:
    """An id that is the same wherever in a file the review stands."""
    return hashlib.blake2b(repr(content).encode(), digest_size=_REVIEW_ID_BYTES).hexdigest()


def read_products(
    path: str | Path,
    *,
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
    max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS,
) -> tuple[pd.DataFrame, ReadReport]:
    """Reads product metadata from JSON (any layout), CSV or Parquet, gzipped or not.

    Args:
        format: One of the names in `PRODUCT_FORMATS`; "auto" decides from the fields.
        max_broken_share: Bear this share of records without an id, 0...1.
        max_info_characters: Cut ``info`` (description, then features) after the last word that
            fits.

    Returns:
        The table with the columns of `PRODUCT_SCHEMA`, in the order of the file, of each product
        its first row; what is missing is an empty string. And what reading found.

    Raises:
        InputError: The file cannot be read, has no usable fields or too many broken records.
    """
    titles: Counter[str] = Counter()
    table, report = _build_table(
        read_records(path),
        str(path),
        schema=PRODUCT_SCHEMA,
        to_row=partial(_product_row, titles=titles, max_info_characters=max_info_characters),
        formats=PRODUCT_FORMATS,
        required=[("product_id",)],
        format=format,
        max_broken_share=max_broken_share,
    )
    products = to_frame(table, PRODUCT_SCHEMA)
    unique = products.drop_duplicates("product_id", ignore_index=True)
    counts = {
        "with a brand": int((unique["brand"] != "").sum()),
        **titles,
        "repeated products left out": len(products) - len(unique),
    }
    report.notes = [f"{count} {what}" for what, count in counts.items() if count]
    return unique, report


def _product_row(
    record: dict[str, Any],
    columns: dict[str, tuple[str, ...]],
    titles: Counter[str],
    max_info_characters: int,
) -> tuple[str, str, str, str, str]:
    """One row in the order of `PRODUCT_SCHEMA`; `titles` counts what had to be mended."""
    product = first_text(record, columns["product_id"])
    if not product:
        raise BrokenRecord(f"no product ({' or '.join(columns['product_id'])})")
    name = first_text(record, columns["name"])
    if has_script(name):
        titles["titles that were a script made empty"] += 1
        name = ""
    titles["titles freed from HTML"] += has_markup(name)
    parts = (first_text(record, columns.get(part, ())) for part in ("description", "features"))
    info = plain_text(" ".join(filter(None, parts)))
    style = style_of(first_given(record, columns["style"]))
    brand = plain_text(first_text(record, columns.get("brand", ())))
    return product, plain_text(name), _cut(info, max_info_characters), style, brand


def style_of(category: Any) -> str:
    """The last levels of a category path: "Guitars > Strings".

    Args:
        category: A path as a list of levels, a list of such paths (the first counts), a text or a
            dict, which are taken as they are.
    """
    if not isinstance(category, list) or not category:
        return plain_text(as_text(category))
    path = category[0] if isinstance(category[0], list) else category
    levels: list[str] = []
    for level in map(as_text, path):
        if not level or len(level) > _CATEGORY_CHARACTERS or _NO_CATEGORY.search(level):
            break
        level = plain_text(level)
        if level not in levels:
            levels.append(level)
    # The root is the same for the whole shop and says nothing.
    return _STYLE_SEPARATOR.join(levels[1:][-_STYLE_LEVELS:] or levels)


def _cut(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    return text[: characters + 1].rpartition(" ")[0] or text[:characters]


def _build_table(
    records: Iterable[Numbered],
    file: str,
    *,
    schema: pa.Schema,
    to_row: Callable[[dict[str, Any], dict[str, tuple[str, ...]]], tuple],
    formats: Sequence[Format],
    required: Sequence[tuple[str, ...]],
    format: str,
    max_broken_share: float,
) -> tuple[pa.Table, ReadReport]:
    """Collects records in a table; memory holds the table and one chunk of records.

    Args:
        file: What messages call the source of the records.
        to_row: Makes one row, in the order of the schema, from a record and the raw names of our
            columns; raises `BrokenRecord` for one bad record, `InputError` for a file that is bad
            altogether.
        required: See `choose_format`.

    Raises:
        InputError: No records, unusable fields, or too many broken records.
    """
    if not 0.0 <= max_broken_share <= 1.0:
        raise InputError(f"max_broken_share must be from 0 to 1, got {max_broken_share}")
    report = ReadReport(file)
    records = iter(records)
    head: list[Numbered] = []
    found: dict[str, None] = {}  # fields, in order of appearance
    num_whole = 0
    while num_whole < _DETECT_FROM_RECORDS and (numbered := next(records, None)):
        head.append(numbered)
        if isinstance(numbered[1], dict):
            num_whole += 1
            found |= dict.fromkeys(numbered[1])
    try:
        layout = choose_format(list(found), formats, required, format) if num_whole else None
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    report.format = layout.name if layout else ""

    chunks: list[pa.RecordBatch] = []
    rows: list[tuple] = []
    for line, record in chain(head, records):
        report.num_records += 1
        try:
            if isinstance(record, BrokenRecord):
                raise record
            rows.append(to_row(record, layout.columns))
        except (BrokenRecord, RecursionError) as broken:
            report.num_broken += 1
            if report.num_broken <= _KEEP_EXAMPLES:
                report.examples.append(f"{file}, line {line}: {broken}")
        except InputError as error:
            raise InputError(f"{file}, line {line}: {error}") from None
        if len(rows) == _CHUNK_ROWS:
            chunks.append(_batch(rows, schema))
            rows = []
    if not report.num_records:
        raise InputError(f"{file}: holds no records")
    allowed = max_broken_share * report.num_records
    if report.num_broken > allowed or report.num_broken == report.num_records:
        share = math.ceil(100 * report.num_broken / report.num_records) / 100
        others = report.num_broken < report.num_records
        raise InputError(
            f"{report.examples[0]}; {report.num_broken} of {report.num_records} records are "
            f"broken, more than the share of {max_broken_share:g} that is borne "
            "(max_broken_share); repair the file"
            + f", or leave them out with max_broken_share={share:g}"
            * others
        )
    table = pa.Table.from_batches([*chunks, _batch(rows, schema)], schema)
    # In one piece: cleaning takes and replaces rows several times as fast.
    return table.combine_chunks(), report


def _batch(rows: list[tuple], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    arrays = [_array(values, column.type) for values, column in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # half a surrogate pair: JSON can say it, UTF-8 cannot
        whole = [value and value.encode("utf-8", "replace").decode() for value in values]
        return pa.array(whole, kind)
