"""Typed Arrow tables: handled by whole columns, kept on disk."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rec_sys.foundation.files import read_kept, replacing, write_kept
from rec_sys.reviews import schema
from rec_sys.reviews.values import SUSPICIOUS, has_markup, name_key, plain_text

#: Raise it with every change of readers or cleaning that changes a result.
FORMAT_VERSION = 4
#: The audit of an evaluation takes texts of so many words for copies (evaluation.audit.min_words).
MIN_COPIED_WORDS = 10
_KEY_DIGITS = 24
# The tables of a data set, by the names of their files.
_SCHEMAS = {"reviews": schema.REVIEW_SCHEMA, "products": schema.PRODUCT_SCHEMA}
_REPORT_FILE = "report.json"


def codes_of(column: pa.ChunkedArray) -> np.ndarray:
    """Small numbers, int64 [N], equal for equal values and only for them; missing is a value."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64)


def seconds_of(timestamps: pa.ChunkedArray) -> np.ndarray:
    """Seconds since 1970, int64 [N]; `NO_TIME` where missing."""
    return timestamps.cast(pa.int64()).fill_null(schema.NO_TIME).to_numpy()


def without_markup(column: pa.ChunkedArray, empty_is_missing: bool) -> tuple[pa.ChunkedArray, int]:
    """Applies `plain_text` to every text, string [N] or null, that it could change; one that ends
    up empty becomes null if `empty_is_missing`. Returns also how many had tags or entities."""
    mask = pc.match_substring_regex(column, SUSPICIOUS).fill_null(False).combine_chunks()
    suspects = column.filter(mask).to_pylist()
    if suspects:
        plain = [plain_text(text) or (None if empty_is_missing else "") for text in suspects]
        column = pc.replace_with_mask(column, mask, pa.array(plain, column.type))
    return column, sum(map(has_markup, suspects))


def fingerprint_of(*tables: pa.Table) -> str:
    """SHA-256 over names, types and values of the tables' columns, as hexadecimal digits.
    Independent of how Arrow splits the columns and of the bytes under missing values."""
    digest = hashlib.sha256()
    for table in tables:
        digest.update(f"{table.num_rows}".encode())
        for name, column in zip(table.schema.names, table.columns, strict=True):
            digest.update(f"{name}:{column.type}".encode())
            digest.update(column.is_valid().to_numpy().astype(np.uint8))
            if pa.types.is_string(column.type):
                digest.update(pc.binary_length(column).fill_null(0).to_numpy().astype("<i8"))
                for chunk in column.fill_null("").chunks:
                    whole = pa.ListArray.from_arrays([0, len(chunk)], chunk)
                    digest.update(pc.binary_join(whole, "")[0].as_buffer())
            else:
                number = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
                values = number.fill_null(0).to_numpy()
                digest.update(values.astype(values.dtype.newbyteorder("<")))
    return digest.hexdigest()


def with_known_names(
    table: pa.Table, id_column: str, name_column: str, known: dict[str, set[str]] | None
) -> tuple[pa.Table, int, int]:
    """Gives each row known by a name alone, which the readers take for its id, the id of the name.
    Names are compared by `name_key`. `known` leads from keys of names to ids, as others tell; its
    own rows add to it. None if a name is no proof (people): then only its spellings become one.
    Returns also how many rows got another id, and how many names of several ids were left."""
    by_name = pc.fill_null(pc.equal(table[id_column], table[name_column]), False)
    if not pc.any(by_name).as_py():
        return table, 0, 0
    told = pc.and_kleene(pc.invert(by_name), pc.is_valid(table[name_column]))
    pairs = table.filter(told).group_by([id_column, name_column]).aggregate([]).to_pylist()
    ids_of = {key: set(ids) for key, ids in (known or {}).items()}
    for row in [] if known is None else pairs:
        ids_of.setdefault(name_key(row[name_column]), set()).add(row[id_column])
    rows = table[id_column].filter(by_name).to_pylist()
    spelled: dict[str, str] = {}
    new: dict[str, tuple[str, str]] = {}
    for name in dict.fromkeys(rows):
        key = name_key(name)
        ids = ids_of.get(key, ())
        # A row that is still known by its name alone goes on to have its name for an id.
        plain = spelled.setdefault(key, " ".join(name.split()))
        new[name] = (next(iter(ids)) if len(ids) == 1 else plain, plain)
    ambiguous = sum(len(ids_of.get(key, ())) > 1 for key in spelled)
    changed, names = ([new[name][place] for name in rows] for place in (0, 1))
    for column, values in ((id_column, changed), (name_column, names)):
        told = pc.replace_with_mask(
            table[column].combine_chunks(), by_name.combine_chunks(), pa.array(values, pa.string())
        )
        table = table.set_column(table.schema.get_field_index(column), column, told)
    return table, sum(map(str.__ne__, rows, changed)), ambiguous


def one_of_equals(table: pa.Table) -> np.ndarray:
    """Keeps, bool [N], one of reviews that agree in user, product, text, rating and time: the
    first, without a time the last, as the order of the rows is then all that is known of it."""
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
    """Keeps, bool [N], the newest review of every user on every product. An unknown time is the
    oldest; of equally old reviews the later row is kept."""
    return last_of_groups(_pairs(table), seconds_of(table["timestamp"]))


def copies_of(table: pa.Table, of_one_user: bool = True) -> np.ndarray:
    """Tells which reviews repeat one another, as a shop shows one on all variants of a product:
    int64 [N], equal for copies of one review and only for them. Copies are reviews with the same
    text, of one user or of anybody. A text of fewer than `MIN_COPIED_WORDS` words may be equal by
    chance ("great"); there the user, the rating and the known time must be equal, too."""
    numbers = np.arange(table.num_rows)
    # Copies are of one length: most texts need not be compared at all.
    lengths = pc.binary_length(table["text"]).to_numpy().astype(np.int64)
    users = codes_of(table["user_id"]) if of_one_user else np.zeros_like(numbers)
    repeated = pd.Series(users * (lengths.max(initial=0) + 1) + lengths).duplicated(keep=False)
    alike = np.flatnonzero(repeated & (lengths > 0))
    few = table.select(["user_id", "text", "rating", "timestamp"]).take(pa.array(alike))
    numbers[alike] = alike[_copies_of_alike(few, of_one_user)]
    return numbers


def _copies_of_alike(table: pa.Table, of_one_user: bool) -> np.ndarray:
    users, texts = codes_of(table["user_id"]), codes_of(table["text"])
    pairs = users * (texts.max(initial=0) + 1) + texts if of_one_user else texts
    suspects = np.flatnonzero(pd.Series(pairs).duplicated(keep=False))
    few = table.select(["text", "rating", "timestamp"]).take(pa.array(suspects))
    rows = pd.DataFrame({"user": users[suspects], "text": texts[suspects]})
    rows["rating"], rows["second"] = codes_of(few["rating"]), seconds_of(few["timestamp"])
    words = np.array([len(text.split()) for text in few["text"].to_pylist()], int)
    is_short = words < MIN_COPIED_WORDS
    rows["alone"] = np.where(is_short & (rows["second"] == schema.NO_TIME), suspects, -1)
    # A long text is proof enough.
    may_differ = ["rating", "second"] if of_one_user else ["user", "rating", "second"]
    rows.loc[~is_short, may_differ] = -1
    alike = rows.assign(number=suspects).groupby(list(rows.columns), sort=False)
    numbers = np.arange(table.num_rows)
    numbers[suspects] = alike["number"].transform("first")
    return numbers


def last_of_groups(groups: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Marks the last row of every group, int64 [N], by time, then by position: bool [N]."""
    last = np.empty(len(groups), dtype=bool)
    order = np.argsort(seconds, kind="stable")  # equal times stay in the order of the rows
    last[order] = ~pd.Series(groups[order]).duplicated(keep="last")
    return last


def _pairs(table: pa.Table) -> np.ndarray:
    """One number for every (user, product), int64 [N], without gaps."""
    users, products = codes_of(table["user_id"]), codes_of(table["product_id"])
    return np.unique(users * (products.max(initial=0) + 1) + products, return_inverse=True)[1]


def cache_folder(cache_dir: Path, files: Iterable[Path], settings: dict[str, Any]) -> Path:
    """Where tables made of these files, as they are now, with these JSON-ready settings belong."""
    stats = [(str(file.resolve()), file.stat()) for file in files]
    sizes = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    known = {"version": FORMAT_VERSION, "files": sizes, "settings": settings}
    key = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
    return Path(cache_dir) / "review_tables" / key[:_KEY_DIGITS]


def save_tables(folder: Path, data: schema.ReviewData, num_records: int) -> None:
    """Writes a data set, see `cache_folder`; `num_records` are those before cleaning."""
    with replacing(folder) as draft:
        draft.mkdir()
        for name, kind in _SCHEMAS.items():
            table = schema.to_table(getattr(data, name), kind).replace_schema_metadata(None)
            pq.write_table(table, draft / f"{name}.parquet", compression="zstd")
        about = {"fingerprint": data.fingerprint, "report": data.report}
        write_kept(draft / _REPORT_FILE, {**about, "num_records": num_records})


def load_tables(folder: Path) -> tuple[schema.ReviewData, int] | None:
    """The data set and the number of records; None if there is none, or a damaged one."""
    try:
        about = read_kept(folder / _REPORT_FILE)
        kinds = _SCHEMAS.items()
        tables = [pq.read_table(folder / f"{name}.parquet", schema=kind) for name, kind in kinds]
        if fingerprint_of(*tables) != about["fingerprint"]:
            return None
        frames = map(schema.to_frame, tables, _SCHEMAS.values())
        data = schema.ReviewData(*frames, about["report"], about["fingerprint"])
        return data, about["num_records"]
    # Whatever is wrong with it: it can be made again from the input files.
    except (OSError, pa.ArrowException, TypeError, ValueError):
        return None
