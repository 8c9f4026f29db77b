"""Any known review file becomes the raw, typed review table."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from rec_sys.reviews.fields import AUTO, REVIEW_FORMATS
from rec_sys.reviews.records import read_records
from rec_sys.reviews.schema import REVIEW_SCHEMA, to_frame
from rec_sys.reviews.tables import DEFAULT_MAX_BROKEN_SHARE, ReadReport, build_table
from rec_sys.reviews.values import (
    BrokenRecord,
    Numbered,
    as_rating,
    as_seconds,
    as_text,
    first_given,
    first_text,
)

#: The user of a hand-written file that names nobody.
ANONYMOUS_USER = "you"
_REVIEW_ID_BYTES = 8


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
        path: The file.
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
    return collect_reviews(
        read_records(path),
        str(path),
        format=format,
        max_broken_share=max_broken_share,
        require_user=require_user,
        require_product=require_product,
    )


def collect_reviews(
    records: Iterable[Numbered],
    file: str,
    *,
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
    require_user: bool = True,
    require_product: bool = True,
) -> tuple[pd.DataFrame, ReadReport]:
    """The same as `read_reviews` for records that are not in a file.

    Args:
        records: ``(number, record)`` pairs, for instance ``enumerate(list_of_dicts, start=1)``.
        file: What messages call them.
        format: As in `read_reviews`, as are the other arguments and what is returned or raised.
        max_broken_share: As in `read_reviews`.
        require_user: As in `read_reviews`.
        require_product: As in `read_reviews`.
    """
    # Without a product a review must at least say something.
    required = [("product_id",) if require_product else ("product_id", "text", "rating")]
    if require_user:
        required.append(("user_id",))
    found: Counter[str] = Counter()
    table, report = build_table(
        records,
        file,
        schema=REVIEW_SCHEMA,
        to_row=partial(
            _to_row, found=found, require_user=require_user, require_product=require_product
        ),
        formats=REVIEW_FORMATS,
        required=required,
        format=format,
        max_broken_share=max_broken_share,
    )
    report.notes = [f"{count} {what}" for what, count in found.items() if count]
    return to_frame(table, REVIEW_SCHEMA), report


def _to_row(
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
