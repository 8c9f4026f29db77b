"""The product table: from the metadata, and from the reviews where that says nothing."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from rec_sys.reviews.columns import codes_of, seconds_of
from rec_sys.reviews.duplicates import last_of_groups
from rec_sys.reviews.schema import PRODUCT_SCHEMA

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
