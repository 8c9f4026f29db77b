"""Any known review or product file becomes the raw, typed tables."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.files import read_records
from rec_sys.reviews.formats import (
    AUTO,
    PRODUCT_FORMATS,
    REVIEW_FORMATS,
    BrokenRecord,
    Numbered,
    as_rating,
    as_seconds,
    as_text,
    first_given,
    first_text,
)
from rec_sys.reviews.markup import has_markup, has_script, plain_text
from rec_sys.reviews.schema import PRODUCT_SCHEMA, REVIEW_SCHEMA, to_frame
from rec_sys.reviews.tables import (
    DEFAULT_MAX_BROKEN_SHARE,
    ReadReport,
    build_table,
    codes_of,
    last_of_groups,
    seconds_of,
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


#: A text encoder reads about 256 tokens; the rest of a long description would cost and not count.
DEFAULT_MAX_INFO_CHARACTERS = 2000
_STYLE_LEVELS = 2
_STYLE_SEPARATOR = " > "
# In the files of 2018 a category list goes on with a stray tag and the selling points.
_CATEGORY_CHARACTERS = 40
_NO_CATEGORY = re.compile(r"<|[.!:]$")


def read_products(
    path: str | Path,
    *,
    format: str = AUTO,
    max_broken_share: float = DEFAULT_MAX_BROKEN_SHARE,
    max_info_characters: int = DEFAULT_MAX_INFO_CHARACTERS,
) -> tuple[pd.DataFrame, ReadReport]:
    """Reads product metadata from JSON (any layout), CSV or Parquet, gzipped or not.

    Args:
        path: The file.
        format: One of the names in `PRODUCT_FORMATS`; "auto" decides from the fields.
        max_broken_share: Bear this share of records without an id, 0...1.
        max_info_characters: Cut ``info`` (description, then features) after the last word that
            fits.

    Returns:
        The table with the columns of `PRODUCT_SCHEMA`, in the order of the file, of each product
        its first row; what is missing is an empty string. And what reading found.

    Raises:
        InputError: The file cannot be read, has no usable fields or too many broken records.
    """
    if max_info_characters < 0:
        raise InputError(f"max_info_characters must not be negative, got {max_info_characters}")
    titles: Counter[str] = Counter()
    table, report = build_table(
        read_records(path),
        str(path),
        schema=PRODUCT_SCHEMA,
        to_row=partial(_to_row_metadata, titles=titles, max_info_characters=max_info_characters),
        formats=PRODUCT_FORMATS,
        required=[("product_id",)],
        format=format,
        max_broken_share=max_broken_share,
    )
    products = to_frame(table, PRODUCT_SCHEMA)
    unique = products.drop_duplicates("product_id", ignore_index=True)
    counts = {
        "with a brand": int((unique["brand"] != "").sum()),
        **titles,
        "repeated products left out": len(products) - len(unique),
    }
    report.notes = [f"{count} {what}" for what, count in counts.items() if count]
    return unique, report


def _to_row_metadata(
    record: dict[str, Any],
    columns: dict[str, tuple[str, ...]],
    titles: Counter[str],
    max_info_characters: int,
) -> tuple[str, str, str, str, str]:
    """One row in the order of `PRODUCT_SCHEMA`; `titles` counts what had to be mended."""
    product = first_text(record, columns["product_id"])
    if not product:
        raise BrokenRecord(f"no product ({' or '.join(columns['product_id'])})")
    name = first_text(record, columns["name"])
    if has_script(name):
        titles["titles that were a script made empty"] += 1
        name = ""
    titles["titles freed from HTML"] += has_markup(name)
    parts = (first_text(record, columns.get(part, ())) for part in ("description", "features"))
    info = plain_text(" ".join(filter(None, parts)))
    style = style_of(first_given(record, columns["style"]))
    brand = plain_text(first_text(record, columns.get("brand", ())))
    return product, plain_text(name), _cut(info, max_info_characters), style, brand


def style_of(category: Any) -> str:
    """The last levels of a category path: "Guitars > Strings".

    Args:
        category: A path as a list of levels, a list of such paths (the first counts), a text or a
            dict, which are taken as they are.
    """
    if not isinstance(category, list) or not category:
        return plain_text(as_text(category))
    path = category[0] if isinstance(category[0], list) else category
    levels: list[str] = []
    for level in map(as_text, path):
        if not level or len(level) > _CATEGORY_CHARACTERS or _NO_CATEGORY.search(level):
            break
        level = plain_text(level)
        if level not in levels:
            levels.append(level)
    # The root is the same for the whole shop and says nothing.
    return _STYLE_SEPARATOR.join(levels[1:][-_STYLE_LEVELS:] or levels)


def _cut(text: str, characters: int) -> str:
    if len(text) <= characters:
        return text
    return text[: characters + 1].rpartition(" ")[0] or text[:characters]


#: From the columns of a product to those by which a review describes its product.
OWN_COLUMNS = {"name": "product_name", "info": "product_info", "style": "style"}


def build_products(
    reviews: pa.Table, metadata: pd.DataFrame | None, *, keep_unreviewed: bool
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Makes one row for every product, sorted by id.

    What the metadata leaves empty is told by the newest review of the product that tells it. A
    review's style is that of the variant its writer bought ("Color: Black"): less than a
    category, but more than nothing.

    Args:
        reviews: Reviews, columns of `REVIEW_SCHEMA`.
        metadata: Columns of `PRODUCT_SCHEMA`, or None.
        keep_unreviewed: Whether products that nobody reviewed stay.

    Returns:
        The table with the columns of `PRODUCT_SCHEMA` and nothing missing, and the steps of the
        report.
    """
    known = _known(metadata)
    reviewed = pd.Index(reviews["product_id"].unique().to_pylist(), dtype=object)
    unreviewed = known.index.difference(reviewed, sort=False)
    ids = reviewed.append(unreviewed) if keep_unreviewed else reviewed
    ids = ids.sort_values()
    table = known.reindex(ids, fill_value="")
    filled = {}
    for column, own_column in OWN_COLUMNS.items():
        own = _newest_told(reviews, own_column).reindex(ids, fill_value="")
        empty = (table[column] == "").to_numpy()
        table[column] = table[column].where(~empty, own)
        filled[column] = empty & (own != "").to_numpy() & ids.isin(known.index)
    is_new = ~ids.isin(known.index)
    nameless = (table["name"] == "").to_numpy()
    steps = _steps(metadata is not None, len(ids), is_new, nameless, filled)
    if metadata is not None:
        what = "kept" if keep_unreviewed else "dropped"
        note = f"{len(unreviewed)} of the metadata's products have no reviews: {what}"
        steps.append({"step": "products without reviews", "rows": len(ids), "note": note})
    columns = {"product_id": ids.to_numpy(), **{name: table[name] for name in table.columns}}
    return pa.table(columns, schema=PRODUCT_SCHEMA), steps


def _known(metadata: pd.DataFrame | None) -> pd.DataFrame:
    """The metadata's texts by product, first row of each, plain Python strings."""
    if metadata is None:
        metadata = pd.DataFrame(columns=PRODUCT_SCHEMA.names, dtype=object)
    plain = metadata[PRODUCT_SCHEMA.names].astype(object)
    plain = plain.where(plain.notna(), "")
    return plain.drop_duplicates("product_id").set_index("product_id")


def _newest_told(reviews: pa.Table, column: str) -> pd.Series:
    """By product, the text of this column in its newest review that has one."""
    told = reviews.filter(pc.fill_null(pc.not_equal(reviews[column], ""), False))
    newest = last_of_groups(codes_of(told["product_id"]), seconds_of(told["timestamp"]))
    told = told.select(["product_id", column]).filter(pa.array(newest))
    ids = pd.Index(told["product_id"].to_pylist(), dtype=object)
    return pd.Series(told[column].to_pylist(), index=ids, dtype=object)


def _steps(
    has_metadata: bool,
    num_products: int,
    is_new: np.ndarray,
    nameless: np.ndarray,
    filled: dict[str, np.ndarray],
) -> list[dict[str, Any]]:
    if has_metadata:
        note = f"{is_new.sum()} not in the metadata, made from the reviews' own fields"
        counts = [f"{rows.sum()} {column}s" for column, rows in filled.items() if rows.any()]
        if counts:
            note += f"; {', '.join(counts)} missing there and told by reviews"
        steps = [{"step": "unknown products", "rows": num_products, "note": note}]
    else:
        note = "no metadata: products are made from the reviews' own fields"
        steps = [{"step": "products of the reviews", "rows": num_products, "note": note}]
    if nameless.any():
        note = f"{nameless.sum()} described by their style and their training reviews only"
        steps.append({"step": "products without a name", "rows": num_products, "note": note})
    return steps
