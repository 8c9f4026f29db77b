"""Whatever files are packed in, called or damaged by: they are read, or called what they are."""

import bz2
import gzip
import io
import json
import lzma
import zipfile
from datetime import date

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.reading import read_reviews
from rec_sys.reviews.records import read_records
from rec_sys.reviews.values import BrokenRecord
from tests.helpers.review_samples import FLAT_LAYOUTS, LAYOUTS, as_csv, as_lines, json_lines, write

RECORDS = [{"a": "x", "b": "1"}, {"a": 'ü "quoted", warm', "b": "2"}, {"a": "[{", "b": "3"}]
many = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def zipped(content, name="reviews.jsonl"):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
        archive.writestr("__MACOSX/._" + name, "x")
    return buffer.getvalue()


def zstd(content):
    return pa.compress(content, codec="zstd", asbytes=True)


PACKERS = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


def in_two(pack, between=b""):
    return lambda content: pack(content[:50]) + between + pack(content[50:])


PACKERS |= {f"{name}, two streams": in_two(pack) for name, pack in PACKERS.items()}
PACKERS |= {
    "padded": in_two(lzma.compress, bytes(4)),
    "zip": zipped,
    "zstd": zstd,
    "members": lambda content: gzip.compress(b"") + gzip.compress(content),
}


def read(path, **options):
    return list(read_records(path, **options))


def whole(path, **options):
    return [record for _, record in read(path, **options) if isinstance(record, dict)]


def broken(path):
    return [(n, str(record)) for n, record in read(path) if isinstance(record, BrokenRecord)]


def failure(path):
    with pytest.raises(InputError) as caught:
        read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


@many
@given(
    packers=st.lists(st.sampled_from(sorted(PACKERS)), max_size=3),
    layout=st.sampled_from(sorted(LAYOUTS | FLAT_LAYOUTS)),
    suffix=st.sampled_from(["", ".gz", ".zip", ".data"]),
)
def test_any_packing_of_any_layout_under_any_name_is_read(packers, layout, suffix, tmp_path):
    content = (LAYOUTS | FLAT_LAYOUTS)[layout](RECORDS)
    if layout.endswith(".gz"):
        packers = packers[:2]
    for packer in packers:
        content = PACKERS[packer](content)
    assert whole(write(tmp_path, layout.removesuffix(".gz") + suffix, content)) == RECORDS


@pytest.mark.parametrize("packer", sorted(PACKERS))
def test_a_cut_or_damaged_container_is_one_line(packer, tmp_path):
    packed = PACKERS[packer](as_lines([{"a": str(n) * 50} for n in range(500)]))
    assert "cut off or damaged" in failure(
        write(tmp_path, "a.json", packed[: len(packed) * 2 // 3])
    )


@pytest.mark.parametrize("packer", ["bzip2", "gzip", "xz"])
def test_a_further_stream_that_is_damaged_is_not_passed_over(packer, tmp_path):
    one = PACKERS[packer](as_lines(RECORDS))
    assert "damaged" in failure(write(tmp_path, "a.json", one + b"?" + one[1:]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n<!DOCTYPE html>\n<html><body>x", "a web page"),
        (b'<?xml version="1.0"?><Error>', "a web page"),
        (b"\xef\xbb\xbf<html><body>x", "a web page"),
        (b"<reviews><review/></reviews>", "XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer"),
        (b"From: a@b.example\nSubject: the data\n\nhere", "an e-mail"),
        (b"Received: from x\r\n by y\r\n", "an e-mail"),
        (b"%PDF-1.4", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x80\x04\x95", "a Python pickle"),
        (zipped("x", "xl/workbook.xml"), "an office document"),
        (zipped("x", "content.xml"), "an office document"),
        (zipped("x", "Index/Document.iwa"), "an office document"),
        (bytes(257) + b"ustar\x0000", "a tar archive"),
        (b"\x89\0\xfe\xdc\xff\0\xe1" * 9, "a binary file"),
        pytest.param(  # which holds the time, and would be the name of the test
            gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"{}")))),
            "packed more than",
            id="packed again and again",
        ),
    ],
)
@pytest.mark.parametrize("name", ["reviews.json", "reviews.csv.gz"])
def test_what_is_no_table_is_called_what_it_is(content, message, name, tmp_path):
    assert message in failure(write(tmp_path, name, content))
    assert message in failure(write(tmp_path, name, gzip.compress(content)))


def test_orc_is_named_and_a_heading_that_begins_so_is_none(tmp_path):
    orc.write_table(pa.table({"a": ["x"] * 50}), tmp_path / "a.orc")
    assert "an ORC file" in failure(tmp_path / "a.orc")
    assert whole(write(tmp_path, "a.csv", b"ORCID,b\n1,2\n")) == [{"ORCID": "1", "b": "2"}]


def test_an_archive_of_several_files_names_them(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.json", "{}")
        archive.writestr("b.json", "{}")
    assert "2 files (a.json, b.json" in failure(write(tmp_path, "a.zip", buffer.getvalue()))


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


@many
@given(
    encoding=st.sampled_from([*ENCODINGS, "utf-32-be"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    as_table=st.booleans(),
)
def test_any_unicode_and_any_line_end_round_trip(encoding, end, as_table, tmp_path):
    text = (as_csv if as_table else as_lines)(RECORDS).decode().replace("\r\n", "\n")
    mark = "\ufeff" * (encoding == "utf-32-be")  # which is not guessed without
    content = (mark + text.replace("\n", end)).encode(encoding)
    assert whole(write(tmp_path, "r.csv" if as_table else "r.jsonl", content)) == RECORDS


def test_another_encoding_can_be_named(tmp_path):
    path = write(tmp_path, "r.csv", as_csv(RECORDS).decode().encode("cp1252"))
    assert broken(path)[0][0] == 3 and "data.encoding=cp1252" in broken(path)[0][1]
    assert whole(path, encoding="cp1252") == RECORDS
    for none in ("klingon", "rot13"):
        with pytest.raises(InputError, match=f"data.encoding={none}"):
            read(path, encoding=none)


@many
@given(at=st.integers(0, 19), layout=st.sampled_from(["jsonl", "json", "csv"]))
def test_one_bad_byte_costs_one_record(at, layout, tmp_path):
    records = [{"a": f"text {n}", "b": "x"} for n in range(20)]
    content = {"jsonl": as_lines, "csv": as_csv}.get(
        layout, lambda r: json.dumps(r, indent=1).encode()
    )(records)
    content = content.replace(b'text %d"' % at, b'te\xe8t"').replace(b"text %d," % at, b"te\xe8t,")
    path = write(tmp_path, f"r.{layout}", content)
    [(_, reason)] = broken(path)
    assert "0xe8" in reason and whole(path) == records[:at] + records[at + 1 :]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}{"a": 2}{"a": 3}',
        '{"a": 1},\n{"a": 2},\n{"a": 3}\n',
        '{"a": 1}\n{"a": 2}{"a": 3}\n',
        '[{"a": 1}, {"a": 2}]\n[{"a": 3}]',
        '[{"a": 1}][{"a": 2}, {"a": 3}]',
        '{\n "a": 1\n}{\n "a": 2\n}\n{\n "a": 3\n}',
        '{"reviews": [{"a": 1}, {"a": 2}, {"a": 3}]}',
        '{\n "data": [\n  {"a": 1}, {"a": 2}, {"a": 3}\n ], "count": 3\n}',
        '{"columns": ["a"], "index": [0, 1, 2], "data": [[1], [2], [3]]}',
        '{"a": {"0": 1, "1": 2, "2": 3}}',
        '{"r1": {"a": 1}, "r2": {"a": 2}, "r3": {"a": 3}}',
        '{"reviews": {"r1": {"a": 1}, "r2": {"a": 2}, "r3": {"a": 3}}}',
        "{u'a': 1}\n{'a': 2}\n{\"a\": 3}\n",
        '"{\\"a\\": 1}"\n"{\\"a\\": 2}"\n"{\\"a\\": 3}"\n',
        '{"a": 1}\n\ufeff{"a": 2}\n\ufeff{"a": 3}\n',
        '\n\n{"a": 1},\n\n{"a": 2},\n{"a": 3},\n',
    ],
)
def test_every_layout_of_json_is_understood(text, tmp_path):
    assert whole(write(tmp_path, "a.json", text)) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_reviews_inside_a_person_are_the_persons(tmp_path):
    people = [{"user": u, "reviews": [{"a": 1}, {"a": 2}]} for u in "xy"]
    expected = [{"user": u, "a": a} for u in "xy" for a in (1, 2)]
    assert whole(json_lines(tmp_path, people)) == expected
    # A record with images is a record.
    record = {"user": "x", "images": [{"small": "s"}]}
    assert whole(json_lines(tmp_path, [record])) == [record]


def test_a_broken_object_in_an_array_costs_itself(tmp_path):
    lines = ["[", *(f'{{"a": {n}}},' for n in range(5)), '{"a": oops},', '{"a": 9}', "]"]
    path = write(tmp_path, "a.json", "\n".join(lines))
    assert [record["a"] for record in whole(path)] == [0, 1, 2, 3, 4, 9]
    assert broken(path) == [(7, "not JSON (Expecting value)")]


@pytest.mark.parametrize(
    ("row", "cells"),
    [
        ('"he said \\"hi\\"",1', ['he said "hi"', "1"]),
        ('"two\nlines, \\"quoted\\"",1', ['two\nlines, "quoted"', "1"]),
        ("ok\rnice,1", ["ok nice", "1"]),
        ('"a ""b""",1', ['a "b"', "1"]),
    ],
)
def test_escapes_and_stray_returns_in_csv(row, cells, tmp_path):
    path = write(tmp_path, "a.csv", f"a,b\nx,0\n{row}\ny,2\n")
    assert [list(record.values()) for record in whole(path)] == [["x", "0"], cells, ["y", "2"]]


@many
@given(rows=st.lists(st.sampled_from(["good", "open", "stray", "short"]), min_size=1, max_size=12))
def test_a_bad_row_costs_itself_alone(rows, tmp_path):
    text = {"good": "x,1", "open": '"x,1', "stray": '"x"y,1', "short": "x"}
    path = write(tmp_path, "a.csv", "\n".join(["a,b", *(text[row] for row in rows)]) + "\n")
    found = [isinstance(record, BrokenRecord) for _, record in read(path)]
    good = rows.count("good")
    # An open quotation mark may find its end in the next one that is open.
    assert found.count(False) == good or rows.count("open") > 1
    assert len(found) <= len(rows) and (found.count(True) or good == len(rows))


def test_an_open_quotation_mark_does_not_swallow_the_file(tmp_path):
    lines = ["a,b", 'x,"1', *(f"y{n},2" for n in range(3000))]
    path = write(tmp_path, "a.csv", "\n".join(lines))
    assert len(whole(path)) == 3000 and [number for number, _ in broken(path)] == [2]


def test_what_is_said_in_many_lines_is_not_read_as_what_others_say(tmp_path):
    said = "so\n" + "".join(f"victim,{n}\n" for n in range(5000))
    path = write(tmp_path, "a.csv", f'a,b\nx,1\n"{said}",2\ny,3\n')
    assert [record["a"] for record in whole(path)] == ["x", said, "y"]


@pytest.mark.parametrize("line", ["victim,1\n", "x" * 1000 + "\n"])
def test_a_cell_whose_end_is_not_in_sight_is_refused(line, tmp_path):
    path = write(tmp_path, "a.csv", f'a,b\nx,1\n"{line * 200_001}",2\n')
    told = failure(path)
    assert "a.csv, line 3: a quoted cell does not end" in told


def test_lists_of_one_length_are_columns(tmp_path):
    path = write(tmp_path, "a.json", '{"a": [1, 2], "b": ["x", "y"]}')
    assert whole(path) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    by_user = '{"u": [{"a": 1}], "v": [{"a": 2}]}'
    assert whole(write(tmp_path, "b.json", by_user)) == [{"u": [{"a": 1}], "v": [{"a": 2}]}]


def test_a_line_break_in_a_text_is_one(tmp_path):
    text = '{"a": "one\ntwo", "b": 1}\n{"a": "x", "b": 2}\n'
    assert whole(write(tmp_path, "a.json", text))[0] == {"a": "one\ntwo", "b": 1}


@pytest.mark.parametrize(
    "text",
    [
        'a, b\nx, 1\n"y, z", 2\n',
        'a, b\n"x", "1"\n"y, z", "2"\n',
        "'a','b'\n'x','1'\n'y, z','2'\n",
        'a,b\nx,1,\n"y, z",2,\n',
        'a,b\nx,1\n,\n"y, z",2\n,,\n',
        '"sep=,"\na,b\nx,1\n"y, z",2\n',
        "a\tb\nx\t1\ny, z\t2\n",
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.parquet"])
def test_tables_as_programs_write_them(text, name, tmp_path):
    assert whole(write(tmp_path, name, text)) == [{"a": "x", "b": "1"}, {"a": "y, z", "b": "2"}]


def test_a_column_without_a_name_has_a_number(tmp_path):
    assert whole(write(tmp_path, "a.csv", ",a\n0,x\n")) == [{"column 1": "0", "a": "x"}]


def test_what_excel_writes(tmp_path):
    path = write(tmp_path, "a.csv", 'sep=;\na;b\n"1,5";x;\n1,5;x\n')
    assert read(path)[1] == (4, {"a": "1,5", "b": "x"})
    for name, text in {"a.tsv": "a\tb\n1,5\tx\n", "b.txt": "a|b\n1,5|x\n"}.items():
        assert whole(write(tmp_path, name, text)) == [{"a": "1,5", "b": "x"}]
    assert "two columns are named 'a'" in failure(write(tmp_path, "d.csv", "a,b,a\n1,2,3\n"))


def test_a_table_without_a_heading(tmp_path):
    expected = [{"u": "1", "p": "2"}, {"u": "3", "p": "4"}]
    for text in ("1,2\n3,4\n", "1::2\n3::4\n", "1\t2\n3\t4\n"):
        assert whole(write(tmp_path, "ratings.dat", text), header=["u", "p"]) == expected


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def test_what_parquet_holds_and_python_cannot_say(tmp_path):
    texts = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ok\xe8!")]
    )
    times = pa.array([0, 1 << 60], pa.timestamp("ms"))
    path = write(tmp_path, "a.parquet", parquet(text=texts, time=times))
    [(number, reason)] = broken(path)
    assert number == 2 and "cannot be read" in reason
    path = write(tmp_path, "b.parquet", parquet(time=times))
    assert whole(path)[1] == {"time": f"{1 << 60} timestamp[ms]"}
    days = pa.array([0, 2_932_897], pa.int32()).cast(pa.date32())  # the year 10,000
    path = write(tmp_path, "day.parquet", parquet(time=days))
    assert whole(path) == [{"time": date(1970, 1, 1)}, {"time": "2932897 date32[day]"}]
    path = write(tmp_path, "c.parquet", parquet(a=pa.array(["x", "y"]).dictionary_encode()))
    assert whole(path) == [{"a": "x"}, {"a": "y"}]
    ids = pa.array([b"\xe8" * 16, None], pa.binary(16))
    assert whole(write(tmp_path, "d.parquet", parquet(a=ids))) == [{"a": "e8" * 16}, {"a": None}]


@pytest.mark.parametrize("writer", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_files_are_read(writer, tmp_path):
    table = pa.table({"a": ["x", "y"]})
    with writer(tmp_path / "a.feather", table.schema) as file:
        file.write_table(table)
    assert whole(tmp_path / "a.feather") == [{"a": "x"}, {"a": "y"}]


MARKERS = st.sampled_from(["", "nan", "NULL", "None", "\\N", "N/A"])


@many
@given(
    rows=st.lists(st.tuples(MARKERS, MARKERS, MARKERS, st.booleans()), min_size=1, max_size=9),
    encoding=st.sampled_from(ENCODINGS),
    packer=st.sampled_from(sorted(PACKERS)),
    layout=st.sampled_from([",", ";", "\t", "|", "lines", "array"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_any_mixture_is_the_same_table(rows, encoding, packer, layout, end, tmp_path):
    records = [
        {
            "userID": f"u{n}" if has_user else marker,
            "asin": f"000{n}",
            "rating": rating or "4",
            "TextReview": text or f'größer; "gut", {n}|\t',
        }
        for n, (marker, rating, text, has_user) in enumerate(rows)
    ]
    if layout in ("lines", "array"):
        content = (
            as_lines(records) if layout == "lines" else json.dumps(records, indent=1)
        ).strip()
        content = content if isinstance(content, str) else content.decode()
    else:
        content = as_csv(records, layout).decode().replace("\r\n", "\n")
    content = PACKERS[packer](content.replace("\n", end).encode(encoding))
    path = write(tmp_path, "reviews.data", content)
    known = [row for row in rows if row[3]]
    if not known:
        with pytest.raises(InputError, match=r"no user \(userID or nickname\)"):
            read_reviews(path, max_broken_share=1.0)
        return
    table, report = read_reviews(path, max_broken_share=1.0)
    expected = [record for record, row in zip(records, rows, strict=True) if row[3]]
    assert report.num_broken == len(rows) - len(known)
    assert table.product_id.tolist() == [record["asin"] for record in expected]
    assert table.rating.isna().tolist() == [bool(rating) for _, rating, _, _ in known]
    for text, record, row in zip(table.text, expected, known, strict=True):
        assert text == ("" if row[2] else record["TextReview"].strip())
