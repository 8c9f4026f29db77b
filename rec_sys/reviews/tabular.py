"""CSV and Parquet files as streams of records."""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow.parquet as pq

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.values import BrokenRecord, Numbered

_PARQUET_BATCH_ROWS = 4096
_CSV_DELIMITERS = ",;\t"
_CSV_CELL_CHARACTERS = 1 << 24


def csv_records(head: list[str], lines: Iterator[str], path: Path) -> Iterator[Numbered]:
    """Records of a CSV file with a heading line; comma, semicolon or tab between the cells.

    Args:
        head: First lines of the file, up to the heading at least.
        lines: The lines after those.
        path: The file, for messages.

    Raises:
        InputError: A quotation mark is not closed or not doubled.
    """
    csv.field_size_limit(_CSV_CELL_CHARACTERS)
    delimiter = max(_CSV_DELIMITERS, key=next(filter(str.strip, head), "").count)
    # Strict: a forgotten quotation mark must not swallow the rest of the file unnoticed.
    rows = csv.reader(chain(head, lines), delimiter=delimiter, strict=True)
    header, number = [], 1
    try:
        header = [name.strip() for name in next(filter(None, rows), [])]
        number = rows.line_num + 1
        for row in rows:
            if len(row) == len(header):
                yield number, dict(zip(header, row, strict=True))
            elif row:
                yield number, BrokenRecord(f"{len(row)} cells under {len(header)} headings")
            number = rows.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {number}: a cell is not quoted properly ({error}); double every "
            "quotation mark inside a quoted cell"
        ) from None


def parquet_records(path: Path) -> Iterator[Numbered]:
    """Records of a Parquet file, numbered by row."""
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(_PARQUET_BATCH_ROWS)
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from enumerate(rows, start=1)
