"""Whole Arrow columns at once: codes for equal values, times, plain texts, a fingerprint."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rec_sys.reviews.markup import SUSPICIOUS, has_markup, plain_text

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
