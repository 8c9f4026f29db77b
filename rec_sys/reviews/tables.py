"""Typed Arrow tables: built from records, handled by whole columns, kept on disk."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.files import read_json, replacing, write_json
from rec_sys.reviews.formats import AUTO, BrokenRecord, Format, Numbered, choose_format, fields_of
from rec_sys.reviews.markup import SUSPICIOUS, has_markup, plain_text
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, ReviewData, to_frame

#: Time of a review whose time is not known: older than all others.
NO_TIME = np.iinfo(np.int64).min


def codes_of(column: pa.ChunkedArray) -> np.ndarray:
    """Small numbers, equal for equal values and only for them; missing is a value of its own.

    Returns:
        int64 [N], 0 ... number of different values - 1.
    """
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64)


def seconds_of(timestamps: pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970, int64 [N]; `NO_TIME` where missing."""
    return timestamps.cast(pa.int64()).fill_null(NO_TIME).to_numpy()


def kept_rows(table: pa.Table, keep: np.ndarray) -> pa.Table:
    """The rows where `keep`, bool [N], is True; the table itself, not a copy, if all are."""
    return table if keep.all() else table.filter(pa.array(keep))


def without_markup(column: pa.ChunkedArray, empty_is_missing: bool) -> tuple[pa.ChunkedArray, int]:
    """Applies `plain_text` to every text, and calls it only where it could change something.

    Args:
        column: string [N], may hold nulls.
        empty_is_missing: Whether a text that ends up empty becomes null.

    Returns:
        The column, and how many of its texts had tags or entities.
    """
    mask = pc.match_substring_regex(column, SUSPICIOUS).fill_null(False).combine_chunks()
    suspects = column.filter(mask).to_pylist()
    num_freed = sum(map(has_markup, suspects))
    if suspects:
        plain = [plain_text(text) or (None if empty_is_missing else "") for text in suspects]
        column = pc.replace_with_mask(column, mask, pa.array(plain, column.type))
    return column, num_freed


def fingerprint_of(*tables: pa.Table) -> str:
    """SHA-256 over names, types and values of the tables' columns, as hexadecimal digits.

    Independent of how Arrow splits the columns and of the bytes under missing values.
    """
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"{table.num_rows}".encode())
        for name, column in zip(table.schema.names, table.columns, strict=True):
            digest.update(f"{name}:{column.type}".encode())
            digest.update(column.is_valid().to_numpy().astype(np.uint8))
            if pa.types.is_string(column.type):
                _digest_texts(digest, column)
            else:
                number = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
                values = number.fill_null(0).to_numpy()
                digest.update(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"))))
    return digest.hexdigest()


def _digest_texts(digest: "hashlib._Hash", column: pa.ChunkedArray) -> None:
    lengths = pc.binary_length(column).fill_null(0).to_numpy()
    digest.update(np.ascontiguousarray(lengths.astype("<i8")))
    for chunk in column.chunks:
        # Without nulls the bytes between the first and the last offset are the texts, in order.
        chunk = chunk.fill_null("") if chunk.null_count else chunk
        if len(chunk):
            _, offsets, data = chunk.buffers()
            ends = np.frombuffer(offsets, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
            if data is not None:
                digest.update(memoryview(data)[ends[0] : ends[-1]])


def one_of_equals(table: pa.Table) -> np.ndarray:
    """Keeps one of reviews that agree in user, product, text, rating and time.

    Args:
        table: Reviews.

    Returns:
        bool [N], True for the reviews to keep: of equal ones the first; without a time the last,
        because there the order of the rows is all that is known about the time.
    """
    pairs = _pairs(table)
    # Equal reviews are of one user on one product: most texts need not be compared at all.
    suspects = np.flatnonzero((np.bincount(pairs) > 1)[pairs])
    few = table.select(["text", "rating", "timestamp"]).take(pa.array(suspects))
    codes = {name: codes_of(few[name]) for name in few.schema.names}
    rows = pd.DataFrame({"pair": pairs[suspects], **codes})
    is_timed = few["timestamp"].is_valid().to_numpy()
    repeated = np.where(is_timed, rows.duplicated(keep="first"), rows.duplicated(keep="last"))
    keep = np.ones(len(pairs), dtype=bool)
    keep[suspects[repeated]] = False
    return keep


def newest_of_pairs(table: pa.Table) -> np.ndarray:
    """Keeps the newest review of every user on every product.

    Args:
        table: Reviews.

    Returns:
        bool [N], True for the reviews to keep. An unknown time is the oldest; of equally old
        reviews the later row is kept.
    """
    return last_of_groups(_pairs(table), seconds_of(table["timestamp"]))


def last_of_groups(groups: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Marks in every group the row with the highest time, of equal times the later row.

    Args:
        groups: int64 [N].
        seconds: int64 [N].

    Returns:
        bool [N].
    """
    last = np.zeros(len(groups), dtype=bool)
    order = np.lexsort((seconds, groups))  # stable: equal times stay in the order of the rows
    ordered = groups[order]
    last[order[np.append(ordered[1:] != ordered[:-1], True)[: len(order)]]] = True
    return last


def _pairs(table: pa.Table) -> np.ndarray:
    """One number for every (user, product), int64 [N], without gaps."""
    users, products = codes_of(table["user_id"]), codes_of(table["product_id"])
    numbers = users * (products.max(initial=0) + 1) + products
    return np.unique(numbers, return_inverse=True)[1]


DEFAULT_MAX_BROKEN_SHARE = 0.01
_DETECT_FROM_RECORDS = 100
_KEEP_EXAMPLES = 5
_CHUNK_ROWS = 8192

#: Makes one row, in the order of the schema, from a record and the raw names of our columns.
ToRow = Callable[[dict[str, Any], dict[str, tuple[str, ...]]], tuple]


@dataclass
class ReadReport:
    """What reading one file found.

    Attributes:
        file: The file, as it was named.
        format: Name of the format that was used.
        num_records: All records, broken ones included.
        num_broken: Records that were left out.
        examples: The first few broken ones: "FILE, line N: why".
        notes: Further findings, in words.
    """

    file: str
    format: str = ""
    num_records: int = 0
    num_broken: int = 0
    examples: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_steps(self, what: str) -> list[dict[str, Any]]:
        """The report's lines in the shape of a cleaning report.

        Args:
            what: "reviews" or "products".
        """
        first = "".join(f" (the first: {example})" for example in self.examples[:1])
        broken = f"{self.num_broken} broken{first}"
        note = "; ".join([f"{self.file}, format {self.format}", broken, *self.notes])
        rows = self.num_records - self.num_broken
        return [{"step": f"{what} read", "rows": rows, "note": note}]


def build_table(
    records: Iterable[Numbered],
    file: str,
    *,
    schema: pa.Schema,
    to_row: ToRow,
    formats: Sequence[Format],
    required: Sequence[tuple[str, ...]],
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
) -> tuple[pa.Table, ReadReport]:
    """Collects records in a table; memory holds the table and one chunk of records.

    Args:
        records: Line numbers and records, as `rec_sys.reviews.files.read_records` yields them.
        file: What messages call the source of the records.
        schema: Columns of the table.
        to_row: See `ToRow`; raises `BrokenRecord` for one bad record, `InputError` for a file
            that is bad altogether.
        formats: Formats to choose from.
        required: See `choose_format`.
        format: Name of a format, or "auto".
        max_broken_share: Bear this share of broken records, 0...1.

    Raises:
        InputError: No records, unusable fields, or too many broken records.
    """
    if not 0.0 <= max_broken_share <= 1.0:
        raise InputError(f"max_broken_share must be from 0 to 1, got {max_broken_share}")
    report = ReadReport(file)
    records = iter(records)
    head, whole = _head(records)
    try:
        layout = choose_format(fields_of(whole), formats, required, format) if whole else None
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
    _check_share(report, max_broken_share)
    table = pa.Table.from_batches([*chunks, _batch(rows, schema)], schema)
    # In one piece: cleaning takes and replaces rows several times as fast.
    return table.combine_chunks(), report


def _head(records: Iterator[Numbered]) -> tuple[list[Numbered], list[dict[str, Any]]]:
    """Takes records until enough are whole to tell the format: all of them, and the whole ones."""
    head, whole = [], []
    while len(whole) < _DETECT_FROM_RECORDS and (numbered := next(records, None)):
        head.append(numbered)
        if isinstance(numbered[1], dict):
            whole.append(numbered[1])
    return head, whole


def _check_share(report: ReadReport, max_broken_share: float) -> None:
    if not report.num_records:
        raise InputError(f"{report.file}: holds no records")
    allowed = max_broken_share * report.num_records
    if report.num_broken > allowed or report.num_broken == report.num_records:
        raise InputError(
            f"{report.examples[0]}; {report.num_broken} of {report.num_records} records are "
            f"broken, more than the share of {max_broken_share:g} that is borne "
            "(max_broken_share); repair the file"
        )


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


#: Raise it with every change of readers or cleaning that changes a result.
FORMAT_VERSION = 3
_FOLDER = "review_tables"
_KEY_DIGITS = 24
_REVIEWS_FILE = "reviews.parquet"
_PRODUCTS_FILE = "products.parquet"
_REPORT_FILE = "report.json"


def cache_folder(cache_dir: Path, files: Iterable[Path], settings: dict[str, Any]) -> Path:
    """Where the tables of these files, read and cleaned with these settings, belong.

    Args:
        cache_dir: Folder for all that can be computed again.
        files: The input files. A file that was written since has another folder.
        settings: Everything else that decides the result, JSON-ready.
    """
    stats = [(str(file.resolve()), file.stat()) for file in files]
    known = {
        "version": FORMAT_VERSION,
        "files": [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats],
        "settings": settings,
    }
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return Path(cache_dir) / _FOLDER / key[:_KEY_DIGITS]


def save_tables(folder: Path, data: ReviewData, num_records: int) -> None:
    """Writes the data set as Parquet and JSON, whole or not at all.

    Args:
        folder: See `cache_folder`.
        data: The data set.
        num_records: Records in the review file before cleaning.
    """
    with replacing(folder) as draft:
        draft.mkdir()
        for name, frame, schema in (
            (_REVIEWS_FILE, data.reviews, REVIEW_SCHEMA),
            (_PRODUCTS_FILE, data.products, PRODUCT_SCHEMA),
        ):
            table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
            pq.write_table(table.replace_schema_metadata(None), draft / name, compression="zstd")
        about = {
            "fingerprint": data.fingerprint,
            "num_records": num_records,
            "report": data.report,
        }
        write_json(draft / _REPORT_FILE, about)


def load_tables(folder: Path) -> tuple[ReviewData, int] | None:
    """Reads what `save_tables` wrote.

    Returns:
        The data set and the number of records; None if there is none, or a damaged one.
    """
    try:
        about = read_json(folder / _REPORT_FILE)
        reviews = pq.read_table(folder / _REVIEWS_FILE, schema=REVIEW_SCHEMA)
        products = pq.read_table(folder / _PRODUCTS_FILE, schema=PRODUCT_SCHEMA)
        if fingerprint_of(reviews, products) != about["fingerprint"]:
            return None
        data = ReviewData(
            reviews=to_frame(reviews, REVIEW_SCHEMA),
            products=to_frame(products, PRODUCT_SCHEMA),
            report=list(about["report"]),
            fingerprint=about["fingerprint"],
        )
        return data, int(about["num_records"])
    # Whatever is wrong with it: it can be made again from the input files.
    except (InputError, OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
