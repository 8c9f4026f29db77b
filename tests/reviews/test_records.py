import gzip
import json
import zipfile

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.records import read_records
from rec_sys.reviews.values import BrokenRecord
from tests.helpers.review_samples import FLAT_LAYOUTS, LAYOUTS, as_csv, as_lines, write

RECORDS = [{"a": "x", "b": "1"}, {"a": "ü\n\"'", "b": "2"}, {"a": "[{", "b": "3"}]
# Files on one folder for all examples are overwritten by each: that is meant.
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
FIELD = st.text(st.characters(exclude_categories=["Cs"]))
RECORD = st.dictionaries(FIELD, st.one_of(FIELD, st.integers(), st.none(), st.lists(FIELD)))


def read(path):
    return list(read_records(path))


def failure(path):
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.mark.parametrize("name", [*LAYOUTS, *FLAT_LAYOUTS])
def test_every_layout_gives_the_same_records(name, tmp_path):
    content = (LAYOUTS | FLAT_LAYOUTS)[name](RECORDS)
    assert [record for _, record in read(write(tmp_path, name, content))] == RECORDS


@many
@given(records=st.lists(RECORD, min_size=1))
def test_any_json_round_trips(records, tmp_path):
    # A lone object of nothing but lists is a table by its columns, see the layouts above.
    assume(len(records) > 1 or not all(isinstance(each, list) for each in records[0].values()))
    layouts = {
        "lines.jsonl": as_lines(records),
        "array.json": json.dumps(records),
        "pretty.json": json.dumps(records, indent=1),
        "unescaped.json": json.dumps(records, ensure_ascii=False),
    }
    for name, content in layouts.items():
        assert [record for _, record in read(write(tmp_path, name, content))] == records, name


def test_values_of_any_length_and_broken_ones_between_them(tmp_path):
    """What is larger than what is read at once, and values that end where that does."""
    values = [{"n": 12345678901, "t": "x" * length} for length in (1, 4000, 4083, 300_000, 70_000)]
    text = (
        "[\n" + ',\n{"a": "b\n'.join(json.dumps(each, indent=1) for each in values) + ",\n-1.5e300]"
    )
    found = [record for _, record in read(write(tmp_path, "values.json", text))]
    assert [each for each in found if isinstance(each, dict)] == values
    assert sum(isinstance(each, BrokenRecord) for each in found) == 5


def test_many_broken_values_take_no_time_without_end(tmp_path):
    text = "[\n" + "".join(f'{{"k{n}": "a\n' for n in range(100_000)) + '{"good": 1}]'
    found = read(write(tmp_path, "broken.json", text))  # each took as long as all that were before
    assert len(found) == 100_001 and found[-1] == (100_002, {"good": 1})


@many
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1))
def test_any_csv_round_trips(rows, tmp_path):
    records = [{"a": f"|{a}", "b": f"{b}|"} for a, b in rows]
    assert [record for _, record in read(write(tmp_path, "t.csv", as_csv(records)))] == records


@many
@given(line=st.text(st.characters(exclude_categories=["Cs"])), at=st.integers(1, 2))
def test_a_broken_line_is_named_and_the_rest_is_read(line, at, tmp_path):
    broken = "\x01" + line.replace("\n", " ") + "}"  # a control character is never JSON
    lines = [json.dumps(record) for record in RECORDS]
    lines.insert(at, broken)
    found = read(write(tmp_path, "lines.jsonl", "\n".join(lines)))
    assert [number for number, record in found if isinstance(record, BrokenRecord)] == [at + 1]
    assert [record for _, record in found if isinstance(record, dict)] == RECORDS


def test_lines_are_numbered_as_an_editor_numbers_them(tmp_path):
    assert [n for n, _ in read(write(tmp_path, "a.jsonl", '{"a": 1}\n\n\n{"a": 2}\n'))] == [1, 4]
    pretty = read(write(tmp_path, "a.json", '[\n  {\n    "a": 1\n  },\n  {"a": 2}\n]\n'))
    assert [number for number, _ in pretty] == [2, 5]
    assert [n for n, _ in read(write(tmp_path, "a.csv", 'a,b\n"1\n2",3\n4,5\n'))] == [2, 4]


def test_objects_over_several_lines_without_an_array(tmp_path):
    text = '{\n "a": 1\n}\n{\n "a": 2\n}\n'
    assert [record["a"] for _, record in read(write(tmp_path, "a.json", text))] == [1, 2]


def test_an_array_longer_than_a_block(tmp_path):
    records = [{"text": "word " * 20_000, "number": number} for number in range(12)]
    assert [r for _, r in read(write(tmp_path, "a.json", json.dumps(records)))] == records


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    path = write(tmp_path, "a.csv", b"\xef\xbb\xbfa,b\r\n1,2\r\n")
    assert read(path) == [(2, {"a": "1", "b": "2"})]
    path = write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"a": 1}\r\n')
    assert read(path) == [(1, {"a": 1})]


def test_blank_lines_before_a_csv_heading(tmp_path):
    assert read(write(tmp_path, "a.csv", "\n\na,b\n1,2\n")) == [(4, {"a": "1", "b": "2"})]


def test_a_row_of_other_length_is_broken(tmp_path):
    [(two, short), (three, whole)] = read(write(tmp_path, "a.csv", "a,b\n1\n1,2\n"))
    assert (two, three) == (2, 3) and whole == {"a": "1", "b": "2"}
    assert str(short) == "1 cells under 2 headings"


def test_a_row_of_other_length_in_json_is_broken(tmp_path):
    table = {"columns": ["a", "b"], "data": [["1"], ["1", "2"], ["1", "2", "3"]]}
    (_, short), (_, whole), (_, long) = read(write(tmp_path, "a.json", json.dumps(table)))
    assert whole == {"a": "1", "b": "2"}
    assert str(short) == "1 cells under 2 headings" and str(long) == "3 cells under 2 headings"


def test_records_under_two_names_are_not_chosen_between(tmp_path):
    for several in ({"reviews": [{"a": 1}], "data": [{"a": 2}]}, {"rows": [{}], "data": [{}]}):
        message = failure(write(tmp_path, "a.json", json.dumps(several | {"count": 2})))
        first, second = sorted(several, key=["reviews", "data", "rows"].index)
        assert f"holds records under '{first}' and '{second}'" in message
    both = {"reviews": [{"a": 1}, {"a": 2}], "data": ["x"], "asin": "p"}
    told = [record for _, record in read(write(tmp_path, "a.json", json.dumps(both)))]
    assert told == [{"a": each, "data": ["x"], "asin": "p"} for each in (1, 2)]


def test_a_cell_without_end_and_without_a_quotation_mark(tmp_path):
    path = write(tmp_path, "a.csv", "a,b\n1," + "x" * (1 << 24) + "y\n")
    assert "line 2: a cell is longer than 16,777,216 characters" in failure(path)


def test_bad_files(tmp_path):
    packed = gzip.compress(as_lines(RECORDS * 100))
    assert "no such file" in failure(tmp_path / "none.json")
    assert "is a folder" in failure(tmp_path)
    assert "is empty" in failure(write(tmp_path, "a.json", ""))
    assert "is empty" in failure(write(tmp_path, "a.json.gz", ""))
    assert "is empty" in failure(write(tmp_path, "b.json.gz", gzip.compress(b"")))
    assert "cut off or damaged" in failure(write(tmp_path, "c.json.gz", packed[:-20]))
    damaged = packed[:-8] + bytes(8)
    assert "cut off or damaged" in failure(write(tmp_path, "d.json.gz", damaged))
    assert "line 1: not JSON from here on" in failure(write(tmp_path, "b.json", '[{"a": 1}, {"a"'))
    assert "line 1: not JSON from here on" in failure(write(tmp_path, "c.json", '[{"a": 1}] x'))


def test_bad_parquet(tmp_path):
    whole = LAYOUTS["table.parquet"](RECORDS)
    for number, content in enumerate((b"PAR1", whole[:-5], whole[:4] + bytes(60) + whole[60:])):
        message = failure(write(tmp_path, f"{number}.parquet", content))
        assert "not readable, cut off or damaged" in message
    assert "is empty" in failure(write(tmp_path, "empty.parquet", b""))


def test_an_arrow_file_that_lies_about_its_texts(tmp_path):
    """Its offsets lead beyond the bytes: Arrow would read what lies there, or end the process."""
    batch = pa.record_batch([pa.array(["warm", "loud", "small"])], names=["text"])
    with pa.ipc.new_file(tmp_path / "lies.arrow", batch.schema) as sink:
        sink.write_batch(batch)
    content = (tmp_path / "lies.arrow").read_bytes()
    true, false = (
        np.array(each, np.int32).tobytes() for each in ([0, 4, 8, 13], [0, 4, 10**9, 13])
    )
    assert content.count(true) == 1
    (tmp_path / "lies.arrow").write_bytes(content.replace(true, false))
    with pytest.raises(InputError, match="lies.arrow: not readable, cut off or damaged"):
        read(tmp_path / "lies.arrow")


def test_a_table_of_countless_columns(tmp_path):
    names = ",".join(f"c{number}" for number in range(20_000))
    path = write(tmp_path, "wide.csv", f"{names}\n{names}\n")
    assert "20000 columns" in failure(path)


def test_a_separator_is_one_character(tmp_path):
    path = write(tmp_path, "two.csv", "sep=;;\na;b\n1;2\n")
    assert [record for _, record in read(path)] == [{"a": "1", "b": "2"}]


def test_zips_that_python_cannot_open(tmp_path):
    for name, member in (("odd.zip", ""), ("new.zip", "a.csv")):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(member or "a", "x")
    content = (tmp_path / "odd.zip").read_bytes()
    head = content.index(b"PK\x01\x02")
    # The name of the only member has no letter.
    cut = content[: head + 28] + b"\0\0" + content[head + 30 : head + 46] + content[head + 47 :]
    (tmp_path / "odd.zip").write_bytes(cut.replace(b"PK\x05\x06", b"PK\x05\x06"))
    content = bytearray((tmp_path / "new.zip").read_bytes())
    method = content.copy()
    for mark, at in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        method[method.index(mark) + at] = 9  # Deflate64
    (tmp_path / "method.zip").write_bytes(method)
    assert "compression method is not supported" in failure(tmp_path / "method.zip")
    content[content.index(b"PK\x01\x02") + 6] = 159  # the version that is needed
    (tmp_path / "new.zip").write_bytes(content)
    assert "version 15.9" in failure(tmp_path / "new.zip")
    assert failure(tmp_path / "odd.zip")


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("lines.jsonl", '{"a": 1}\n{"a": 1, "b": 2, "a": 3}\n{"a": 4}\n', 2),
        ("glued.jsonl", '{"a": 1}\n {"b": {"a": 1, "a": 3}}, \n{"a": 4}\n', 2),
        ("array.json", '[{"a": 1},\n{"a": 1,\n "a": 3},\n{"a": 4}]', 2),
        ("python.jsonl", "{'a': 1}\n{'a': 1, 'b': {'c': 2}, 'a': 3}\n{'a': 4}\n", 2),
        (
            "twice.jsonl",
            r'''"{\"a\": 1}"
"{\"a\": 1, \"a\": 3}"
"{\"a\": 4}"''',
            2,
        ),
    ],
)
def test_a_field_that_is_told_twice_is_never_guessed(tmp_path, name, content, where):
    first, second, third = read_records(write(tmp_path, name, content))
    assert (first[1], third[1]) == ({"a": 1}, {"a": 4})
    assert second[0] == where and "two fields are named 'a'" in str(second[1])
