"""Any known product file becomes the product table."""

import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.fields import AUTO, PRODUCT_FORMATS
from rec_sys.reviews.markup import has_markup, has_script, plain_text
from rec_sys.reviews.records import read_records
from rec_sys.reviews.schema import PRODUCT_SCHEMA, to_frame
from rec_sys.reviews.tables import DEFAULT_MAX_BROKEN_SHARE, ReadReport, build_table
from rec_sys.reviews.values import BrokenRecord, as_text, first_given, first_text

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
        to_row=partial(_to_row, titles=titles, max_info_characters=max_info_characters),
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


def _to_row(
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
