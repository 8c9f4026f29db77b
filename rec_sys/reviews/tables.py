"""Records become a typed Arrow table, chunk by chunk, and what was broken is counted."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pyarrow as pa

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.fields import AUTO, Format, choose_format, fields_of
from rec_sys.reviews.values import BrokenRecord, Numbered

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
        records: Line numbers and records, as `rec_sys.reviews.records.read_records` yields them.
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
