"""A file becomes a stream of records, one at a time: JSON in any layout, CSV or Parquet."""

import ast
import csv
import io
import json
import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.unpacking import AUTO_ENCODING, decoded_lines, open_unpacked, telling_file
from rec_sys.reviews.values import BrokenRecord, Numbered

_PARQUET, _ARROW, _ARROW_STREAM = b"PAR1", b"ARROW1", b"\xff\xff\xff\xff"
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")

# Read at once; looked at for one value, at first; of what has no end of its own, such as -Infinity.
_BLOCK_CHARACTERS, _VALUE_CHARACTERS, _LONGEST_TOKEN = 1 << 18, 1 << 12, 16
_BETWEEN_VALUES = re.compile(r"[\s,\ufeff]*")  # a byte order mark is where files were joined
_NEXT_OBJECT = re.compile(r"\n\s*,?\s*(?=\{)")
_BATCH_ROWS = 4096
_CSV_DELIMITERS = ",;\t|"
_MOVIELENS_DELIMITER = "::"
_MOST_COLUMNS = 10_000
_CSV_CELL_CHARACTERS = 1 << 24
_QUOTED = re.compile(r'"[^"]*"')
# Of a quoted cell. Among wrong quotation marks, where one ends is looked for in fewer.
_MOST_LINES, _MOST_MENDED_LINES = 200_000, 1000
_ENDLESS = "a quoted cell does not end"
_TOO_LONG = (_ENDLESS, "field larger than field limit")  # as `csv` says
# Under these names an object holds its records, with all it says beside them for each.
_WRAPPERS = ("reviews", "data", "records", "results", "items", "rows")


def read_records(
    path: str | Path, *, encoding: str = AUTO_ENCODING, header: Sequence[str] | None = None
) -> Iterator[Numbered]:
    """Streams the records of a file; its content decides what it is, not its name.

    JSON holds one object a line, arrays of objects, objects one after the other or spread over
    several lines, or one object around them all. Lines of Python literals, as in old Amazon files,
    are read too. Any file may be packed with gzip, bzip2, xz, zstd or zip. For `encoding` see
    `decoded_lines`; `header` names the columns of a table without a heading line.

    Yields line numbers and records; one that is none comes as a `BrokenRecord` (a value, not
    raised), so that the caller decides how many to bear. InputError if the file cannot be read.
    """
    path = Path(path).expanduser()
    with telling_file(path), open_unpacked(path) as file:
        magic = file.read(len(_ARROW))
        file.seek(0)
        if magic.startswith((_PARQUET, _ARROW, _ARROW_STREAM)):
            yield from _table_records(file, magic, path)
            return
        if not magic:
            raise InputError(f"{path}: the file is empty")
        bad: dict[int, str] = {}
        lines = decoded_lines(file, path, bad, encoding)
        head = _first_lines(lines)
        first = next(filter(str.strip, head), "")
        is_json = first.lstrip().startswith(("{", "[", '"{'))
        if path.suffix.lower() in JSON_SUFFIXES and not is_json:  # its first line may be broken
            is_json = head[-1].lstrip().startswith("{") or not {*first} & {*_CSV_DELIMITERS}
        if first and (header or not is_json):
            yield from _csv_records(chain(head, lines), first, header, bad, path)
        elif _is_one_record_a_line(head):
            yield from _unwrapped(_json_lines(chain(head, lines), bad), path)
        else:
            yield from _unwrapped(_json_values(chain(head, lines), bad, path), path)


def read_lines(path: str | Path) -> Iterator[str]:
    """Streams the lines of a text file, packed or not; InputError if it cannot be read."""
    path = Path(path).expanduser()
    bad: dict[int, str] = {}
    with telling_file(path), open_unpacked(path) as file:
        for line in decoded_lines(file, path, bad):
            for number, reason in bad.items():
                raise InputError(f"{path}, line {number}: {reason}")
            yield line


def require_readable(path: Path) -> None:
    """Raises InputError unless a file is there that is no web page, archive or other such thing."""
    with telling_file(path), open_unpacked(path):
        pass


def _first_lines(lines: Iterator[str]) -> list[str]:
    """All lines up to the second that is not blank."""
    head, told = [], 0
    for line in lines:
        head.append(line)
        told += bool(line.strip())
        if told == 2:
            break
    return head


def _table_records(file: IO[bytes], magic: bytes, path: Path) -> Iterator[Numbered]:
    source = io.BytesIO(file.read()) if not isinstance(file, io.BufferedReader) else file
    if magic.startswith(_PARQUET):
        table = pq.ParquetFile(source)
        names, batches = table.schema_arrow.names, table.iter_batches(_BATCH_ROWS)
    elif magic == _ARROW:
        table = pa.ipc.open_file(source)
        names, batches = table.schema.names, map(table.get_batch, range(table.num_record_batches))
    else:
        batches = pa.ipc.open_stream(source)
        names = batches.schema.names
    _require_distinct(names, path)
    number = 0
    for batch in batches:
        if not magic.startswith(_PARQUET):
            batch.validate(full=True)  # Arrow believes where a file says that its texts lie
        for row in zip(*map(_values, batch.columns), strict=True):
            number += 1
            broken = next((value for value in row if isinstance(value, BrokenRecord)), None)
            yield number, broken or dict(zip(names, row, strict=True))


def _values(column: pa.Array) -> list[Any]:
    """Python values; in place of one that is none, what is wrong with it."""
    if pa.types.is_fixed_size_binary(column.type):  # ids such as UUIDs
        return [value and value.hex() for value in column.to_pylist()]
    with suppress(ValueError, OverflowError, pa.ArrowException):
        return column.to_pylist()
    # A time that no calendar holds is a bad time, which the reader bears; a bad text is not.
    is_time = pa.types.is_temporal(column.type)
    values: list[Any] = []
    for value in column:
        try:
            values.append(value.as_py())
        except (ValueError, OverflowError, pa.ArrowException) as error:
            broken = BrokenRecord(f"a value cannot be read ({' '.join(str(error).split())})")
            values.append(f"{value.value} {column.type}" if is_time else broken)
    return values


def _require_distinct(names: Sequence[str], path: Path) -> None:
    twice = next((name for name, number in Counter(names).items() if name and number > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two columns are named {twice!r}; give each its own name")
    if len(names) > _MOST_COLUMNS:
        raise InputError(f"{path}: {len(names)} columns; keep those that tell of reviews")


def _csv_records(
    lines: Iterator[str], first: str, header: Sequence[str] | None, bad: dict[int, str], path: Path
) -> Iterator[Numbered]:
    """Records under a heading line, `first`, which a line such as "sep=;" may precede."""
    csv.field_size_limit(_CSV_CELL_CHARACTERS)
    numbered = enumerate(lines, start=1)
    if first.strip().strip('"').lower().startswith("sep="):
        delimiter = first.strip().strip('"')[len("sep=") :][:1] or "\t"
        next(numbered)
    elif _MOVIELENS_DELIMITER in first:
        numbered = ((n, line.replace(_MOVIELENS_DELIMITER, "\t")) for n, line in numbered)
        delimiter = "\t"
    else:
        delimiter = max(_CSV_DELIMITERS, key=_QUOTED.sub("", first).count)
    names = [name.strip() for name in header] if header else None
    # A heading shows whether a space after a delimiter belongs to it, and how cells are quoted.
    is_spaced, quote = f"{delimiter} " in _QUOTED.sub("", first), "'" if first[0] == "'" else '"'
    style = {"delimiter": delimiter, "skipinitialspace": is_spaced, "quotechar": quote}
    for number, cells in _csv_rows(numbered, style, len(names or ()), bad, path):
        if isinstance(cells, BrokenRecord):
            yield number, cells
        elif names is None:
            names = [name.strip() or f"column {at}" for at, name in enumerate(cells, 1)]
            _require_distinct(names, path)
        elif len(cells) >= len(names) and not any(cells[len(names) :]):
            yield number, dict(zip(names, cells, strict=False))
        else:
            yield number, _row(names, cells)


def _row(names: Sequence[str], cells: Sequence[Any]) -> dict[str, Any] | BrokenRecord:
    if len(cells) != len(names):
        return BrokenRecord(f"{len(cells)} cells under {len(names)} headings")
    return dict(zip(names, cells, strict=True))


def _csv_rows(
    numbered: Iterator[tuple[int, str]],
    style: dict[str, Any],
    width: int,
    bad: dict[int, str],
    path: Path,
) -> Iterator[tuple[int, list[str] | BrokenRecord]]:
    """Rows that are not blank, with the number of their first line. A row that strict CSV cannot
    read, or with another number of cells than `width` (0: that of the first row), is tried with
    backslashes as escapes and without stray carriage returns; otherwise its first line is broken,
    and reading goes on in the next."""
    again: deque[tuple[int, str]] = deque()
    used: list[tuple[int, str]] = []

    def feed(clean: bool, most: int) -> Iterator[str]:
        while (line := again.popleft() if again else next(numbered, None)) is not None:
            used.append(line)
            if len(used) > most:
                raise csv.Error(_ENDLESS)
            text = line[1]
            yield text.rstrip("\r\n").replace("\r", " ") + "\n" if clean else text

    def rows_of(clean: bool, escape: str | None, most: int) -> Iterator[list[str]]:
        # Strict: a forgotten quotation mark must not swallow the rest of the file unnoticed.
        return csv.reader(feed(clean, most), strict=True, escapechar=escape, **style)

    rows = rows_of(False, None, _MOST_LINES)
    while True:
        used.clear()
        reason, cells = "", None
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            reason = str(error)
        if reason.startswith(_TOO_LONG):
            # It may end further down: read on after its first line, what somebody wrote in it would
            # come as the reviews of others.
            longest = f"a cell is longer than {_CSV_CELL_CHARACTERS:,} characters; take it out"
            endless = f"{_ENDLESS} in {len(used)} lines; close it, or take it out"
            why = endless if any(style["quotechar"] in line for _, line in used) else longest
            raise InputError(f"{path}, line {used[0][0]}: {why}")
        if cells is not None and not any(cells):
            continue  # spreadsheets write delimiters in blank lines
        if cells is None or (width and len(cells) != width):
            lost = len(used) if cells is not None else 1
            for clean, escape in ((False, "\\"), (True, None), (True, "\\")):
                again.extendleft(reversed(used))
                used.clear()
                with suppress(csv.Error, StopIteration):
                    mended = next(rows_of(clean, escape, _MOST_MENDED_LINES))
                    if len(mended) == width:
                        cells = mended
                        break
            else:
                again.extendleft(reversed(used))
                # All but what is lost is read again.
                used[:] = [again.popleft() for _ in range(lost)]
            rows = rows_of(False, None, _MOST_LINES)
        number = used[0][0]
        if cells is None:
            reason = f"a cell is not quoted properly ({reason})"
            yield number, BrokenRecord(f"{reason}; double every quotation mark in a quoted cell")
            continue
        width = width or len(cells)
        damaged = bad and next((bad[line] for line, _ in used if line in bad), None)
        yield number, BrokenRecord(damaged) if damaged else cells


class _ToldTwice(ValueError):
    pass


def _record_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise _ToldTwice(f"two fields are named {name!r}; which one counts?")
    return record


def _is_one_record_a_line(head: list[str]) -> bool:
    first, second, *_ = (*filter(None, map(str.strip, head)), "", "")
    if first.startswith("["):
        return False
    # A pretty-printed object opens in its first line, and no other opens in the second.
    return not first.startswith("{") or first.endswith(("}", "},")) or second.startswith("{")


def _json_lines(lines: Iterable[str], bad: dict[int, str]) -> Iterator[Numbered]:
    decode = json.JSONDecoder(object_pairs_hook=_record_of).raw_decode
    for number, line in enumerate(lines, start=1):
        if bad and number in bad:
            yield number, BrokenRecord(bad[number])
            continue
        with suppress(ValueError, RecursionError):
            # Nearly every line is an object and its end.
            value, end = decode(line)
            if line[end:] == "\n" and type(value) is dict:
                yield number, value
                continue
        yield from ((number, value) for value in _values_in(line.strip()))


def _values_in(line: str) -> Iterator[dict[str, Any] | BrokenRecord]:
    """The values of a line that is not simply one: glued together, with commas, in Python."""
    decode, at = json.JSONDecoder(object_pairs_hook=_record_of).raw_decode, 0
    while (at := _BETWEEN_VALUES.match(line, at).end()) < len(line):  # type: ignore[union-attr]
        try:
            value, at = decode(line, at)
        except _ToldTwice as error:
            value, at = BrokenRecord(str(error)), len(line)
        except (ValueError, RecursionError) as error:
            value, at = _python_literal(line[at:], f"not JSON ({_reason(error)})"), len(line)
        yield value if isinstance(value, BrokenRecord) else _as_record(value)


def _python_literal(line: str, otherwise: str) -> dict[str, Any] | BrokenRecord:
    """A line of the first Amazon files, which are ``repr`` of dicts and not JSON."""
    if line.startswith(("{'", "{u'", '{u"', '{"')):
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            tree = ast.parse(line.rstrip(", "), mode="eval")
            try:
                for each in ast.walk(tree):
                    if isinstance(each, ast.Dict):
                        _record_of([(ast.literal_eval(key), None) for key in each.keys if key])
            except _ToldTwice as error:
                return BrokenRecord(str(error))
            return _as_record(ast.literal_eval(tree))
    return BrokenRecord(otherwise)


def _json_values(lines: Iterable[str], bad: dict[int, str], path: Path) -> Iterator[Numbered]:
    """Values of arrays, or one after the other, over any number of lines."""
    decoder, lines = json.JSONDecoder(strict=False, object_pairs_hook=_record_of), iter(lines)
    text, at, line, depth, wanted = "", 0, 1, 0, _VALUE_CHARACTERS
    while True:
        start = _BETWEEN_VALUES.match(text, at).end()  # type: ignore[union-attr]
        line += text.count("\n", at, start)
        at = start
        # An array that is open is no value to wait for: its values come one by one.
        if (depth == 0 and text.startswith("[", at)) or (depth and text.startswith("]", at)):
            depth, at = 1 - depth, at + 1
            continue
        # A part alone: an error counts the lines of all that it is given.
        part, length, error = text[at : at + wanted], 0, None
        try:
            value, length = decoder.raw_decode(part)
        except (ValueError, RecursionError) as raised:
            error = raised
        if length == len(part) or _is_cut_off(error, len(part)):
            # Perhaps the value only goes on: look at more, each time twice as much.
            wanted *= 2
            if len(text) - at < wanted:
                text, at = text[at:] + _take(lines, max(wanted, _BLOCK_CHARACTERS)), 0
            if len(text) - at > len(part):
                continue
        wanted = _VALUE_CHARACTERS
        if error is not None:
            if at == len(text) and not depth:
                return
            # Only this one is broken if another begins further down.
            while not (found := _NEXT_OBJECT.search(text, at + 1)):
                if not (more := _take(lines, len(text) + _BLOCK_CHARACTERS)):
                    why = f"not JSON from here on ({_reason(error)})"
                    raise InputError(f"{path}, line {line}: {why}; repair or fetch the file again")
                text += more
            yield line, BrokenRecord(f"not JSON ({_reason(error)})")
            line += text.count("\n", at, found.end())
            at = found.end()
            continue
        end = at + length
        lines_of_value = range(line, line + text.count("\n", at, end) + 1) if bad else ()
        damaged = next((bad[number] for number in lines_of_value if number in bad), None)
        yield line, BrokenRecord(damaged) if damaged else _as_record(value)
        line += text.count("\n", at, end)
        at = end


def _is_cut_off(error: Exception | None, length: int) -> bool:
    """Whether a value may be right that is not in so many characters."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos > length - _LONGEST_TOKEN or error.msg.startswith("Unterminated")


def _unwrapped(records: Iterator[Numbered], path: Path) -> Iterator[Numbered]:
    first, second = next(records, None), next(records, None)
    if first and not second and isinstance(first[1], dict):
        several = [name for name in _WRAPPERS if _are_records(first[1].get(name))]
        if len(several) > 1:
            told = " and ".join(map(repr, several))
            raise InputError(f"{path}: holds records under {told}; give each a file of its own")
        inner = [] if several == ["reviews"] else _inner_records(first[1])
        records = iter([(first[0], record) for record in inner] if inner else [first])
    elif first:
        records = chain([first], [second] if second else [], records)
        if not (isinstance(first[1], dict) and "reviews" in first[1]):
            yield from records
            return
    for number, record in records:
        inner = record.get("reviews") if isinstance(record, dict) else None
        if _are_records(inner):
            beside = {name: value for name, value in record.items() if name != "reviews"}
            yield from ((number, beside | each) for each in inner)
        else:
            yield number, record


def _are_records(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    is_filled = isinstance(value, list) and bool(value)
    return is_filled and all(isinstance(each, dict) for each in value)


def _inner_records(whole: dict[str, Any]) -> list[dict[str, Any] | BrokenRecord]:
    """What the only object of a file holds: a list of records, columns, or records by key."""
    for name in _WRAPPERS[1:]:
        inner = whole.get(name)
        if _are_records(inner):
            return inner
        if isinstance(inner, list) and inner:
            columns = whole.get("columns")
            if isinstance(columns, list) and all(isinstance(each, list) for each in inner):
                return [_row(columns, cells) for cells in inner]
    inner = list(whole.values())
    if len(inner) == 1 and isinstance(inner[0], dict) and (deeper := _inner_records(inner[0])):
        return deeper
    sizes = {len(each) if type(each) is list else 0 for each in inner}
    if len(sizes) == 1 and max(sizes) and dict not in map(type, inner[0]):
        return [dict(zip(whole, row, strict=True)) for row in zip(*inner, strict=True)]
    if not inner or not all(isinstance(each, dict) and each for each in inner):
        return []
    # Columns, as pandas writes them.
    if all(str(key).isdecimal() for each in inner for key in each):
        rows = dict.fromkeys(key for each in inner for key in each)
        return [{name: each.get(row) for name, each in whole.items()} for row in rows]
    return inner


def _take(lines: Iterator[str], characters: int) -> str:
    """The next lines, so many that they have at least so many characters, if there are."""
    taken: list[str] = []
    while characters > 0 and (line := next(lines, "")):
        taken.append(line)
        characters -= len(line)
    return "".join(taken)


def _as_record(value: Any) -> dict[str, Any] | BrokenRecord:
    if isinstance(value, str):  # JSON that was written into JSON
        try:
            value = json.loads(value, object_pairs_hook=_record_of)
        except _ToldTwice as error:
            return BrokenRecord(str(error))
        except (ValueError, RecursionError):
            pass
    return value if isinstance(value, dict) else BrokenRecord("not an object with named fields")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return str(error) if isinstance(error, _ToldTwice) else "nested too deeply or too long"
