"""A file becomes a stream of records, one at a time: JSON in any layout, CSV or Parquet."""

import ast
import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.formats import BrokenRecord, Numbered

JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
CSV_SUFFIX = ".csv"
PARQUET_SUFFIX = ".parquet"
GZIP_SUFFIX = ".gz"
GZIP_MAGIC = b"\x1f\x8b"

_BLOCK_CHARACTERS = 1 << 18
_BETWEEN_VALUES = re.compile(r"[\s,]*")
_PARQUET_BATCH_ROWS = 4096
_CSV_DELIMITERS = ",;\t"
_CSV_CELL_CHARACTERS = 1 << 24


def read_records(path: str | Path) -> Iterator[Numbered]:
    """Streams the records of a file.

    ``.json``, ``.jsonl`` and ``.ndjson`` hold one object a line, one array of objects, or
    objects spread over several lines: the content decides, not the name. Lines of Python
    literals, as in old Amazon files, are read too. Any of them and ``.csv`` may be gzipped.

    Yields:
        Line number and record. A line that is no record comes as a `BrokenRecord` (a value, not
        raised), so that the caller decides how many to bear.

    Raises:
        InputError: The file as a whole cannot be read.
    """
    path = Path(path).expanduser()
    suffix = checked_suffix(path)
    with _telling_file(path):
        if suffix == PARQUET_SUFFIX:
            yield from _parquet_records(path)
            return
        with _open(path) as file:
            lines = _decoded(file, path)
            head = _first_lines(lines)
            if not head:
                raise InputError(f"{path}: the file is empty")
            if suffix == CSV_SUFFIX:
                yield from _csv_records(head, lines, path)
            elif _is_one_record_a_line(head):
                yield from _json_lines(chain(head, lines))
            else:
                yield from _json_values(chain(head, lines), path)


def read_lines(path: str | Path) -> Iterator[str]:
    """Streams the lines of a text file of any suffix, gzipped or not.

    Raises:
        InputError: It cannot be read.
    """
    path = Path(path).expanduser()
    _require_file(path)
    with _telling_file(path), _open(path) as file:
        yield from _decoded(file, path)


def checked_suffix(path: Path) -> str:
    """The suffix that tells the kind of file, without ".gz".

    Raises:
        InputError: No such file, or of no known kind.
    """
    _require_file(path)
    name = path.name.lower().removesuffix(GZIP_SUFFIX)
    suffix = Path(name).suffix
    known = (*JSON_SUFFIXES, CSV_SUFFIX, PARQUET_SUFFIX)
    if suffix not in known:
        raise InputError(f"{path}: unknown kind of file; rename it to end in {', '.join(known)}")
    return suffix


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")


@contextmanager
def _telling_file(path: Path) -> Iterator[None]:
    """Turns what can go wrong with a file's bytes into one line that names it."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(f"{path}: the gzip data is cut off or damaged; fetch it again") from None
    except PermissionError:
        raise InputError(f"{path}: may not be read; change its permissions") from None
    except (pa.ArrowException, OSError) as error:
        if path.suffix.lower() != PARQUET_SUFFIX:
            raise
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: not a readable Parquet file ({reason})") from None


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        first = file.read(len(GZIP_MAGIC))
    if first == GZIP_MAGIC:
        # Its own way from line to line takes twice as long.
        return io.BufferedReader(gzip.open(path), _BLOCK_CHARACTERS)
    if first and path.suffix.lower() == GZIP_SUFFIX:
        raise InputError(
            f"{path}: not a gzip file; if it is unpacked already, rename it without .gz"
        )
    return path.open("rb")


def _decoded(file: BinaryIO, path: Path) -> Iterator[str]:
    for number, line in enumerate(file, start=1):
        try:
            yield line.removeprefix(codecs.BOM_UTF8).decode() if number == 1 else line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}, line {number}: byte {error.object[error.start]:#04x} is not UTF-8; "
                "save the file as UTF-8"
            ) from None


def _first_lines(lines: Iterator[str]) -> list[str]:
    """All lines up to the second that is not blank."""
    head: list[str] = []
    for line in lines:
        head.append(line)
        if sum(map(bool, map(str.strip, head))) == 2:
            break
    return head


def _parquet_records(path: Path) -> Iterator[Numbered]:
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(_PARQUET_BATCH_ROWS)
        rows = (row for batch in batches for row in batch.to_pylist())
        yield from enumerate(rows, start=1)


def _csv_records(head: list[str], lines: Iterator[str], path: Path) -> Iterator[Numbered]:
    """Records under a heading line; `head` are the first lines, up to the heading at least."""
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


def _is_one_record_a_line(head: list[str]) -> bool:
    first, second, *_ = (*filter(None, map(str.strip, head)), "", "")
    if first.startswith("["):
        return False
    # A pretty-printed object opens in its first line, and no other opens in the second.
    return not first.startswith("{") or first.endswith("}") or second.startswith("{")


def _json_lines(lines: Iterable[str]) -> Iterator[Numbered]:
    decode = json.JSONDecoder().raw_decode
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        try:
            # Nearly every line is an object and its end. For any other, `loads` knows the rules.
            if line.startswith("{"):
                value, end = decode(line)
                if line[end:] == "\n":
                    yield number, value
                    continue
            yield number, _as_record(json.loads(line))
        except (ValueError, RecursionError) as error:
            yield number, _python_literal(line, f"not JSON ({_reason(error)})")


def _python_literal(line: str, otherwise: str) -> dict[str, Any] | BrokenRecord:
    """A line of the first Amazon files, which are ``repr`` of dicts and not JSON."""
    if line.startswith("{'"):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return _as_record(ast.literal_eval(line.strip()))
    return BrokenRecord(otherwise)


def _json_values(lines: Iterable[str], path: Path) -> Iterator[Numbered]:
    """Values of an array, or one after the other, over any number of lines."""
    decoder, blocks = json.JSONDecoder(), _blocks(lines)
    text, at, line = next(blocks), 0, 1
    start = _BETWEEN_VALUES.match(text).end()
    in_array = text.startswith("[", start)
    line += text.count("\n", 0, start)
    at = start + in_array
    wanted = _BLOCK_CHARACTERS
    while True:
        start = _BETWEEN_VALUES.match(text, at).end()
        line += text.count("\n", at, start)
        at = start
        if in_array and text.startswith("]", at):
            if text[at + 1 :].strip() or any(map(str.strip, blocks)):
                raise InputError(f"{path}, line {line}: text after the end of the array; remove it")
            return
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            # Perhaps the value only goes on: fetch more, each time twice as much.
            more = _take(blocks, wanted)
            if more:
                text, at, wanted = text[at:] + more, 0, 2 * wanted
                continue
            if at == len(text) and not in_array:
                return
            raise InputError(
                f"{path}, line {line}: not JSON from here on ({_reason(error)}); repair or "
                "fetch the file again"
            ) from None
        yield line, _as_record(value)
        line += text.count("\n", at, end)
        at, wanted = end, _BLOCK_CHARACTERS


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """Pieces of the text of moderate size, however long or short the lines are."""
    piece: list[str] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line)
        if size >= _BLOCK_CHARACTERS:
            yield "".join(piece)
            piece, size = [], 0
    yield "".join(piece)


def _take(blocks: Iterator[str], characters: int) -> str:
    pieces: list[str] = []
    while characters > 0 and (block := next(blocks, "")):
        pieces.append(block)
        characters -= len(block)
    return "".join(pieces)


def _as_record(value: Any) -> dict[str, Any] | BrokenRecord:
    return value if isinstance(value, dict) else BrokenRecord("not an object with named fields")


def _reason(error: Exception) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply or too long"
