"""The two tables that leave this room, backed by Arrow types; every other room relies on them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

#: Seconds of a review whose time is not known: older than all others.
NO_TIME = np.iinfo(np.int64).min
SECONDS_PER_DAY = 86_400
MIN_RATING = 1.0
MAX_RATING = 5.0

_TEXTS = ("review_id", "user_id", "nickname", "product_id", "product_name", "product_info", "style")
#: One row per review; after cleaning one row per (user, product).
REVIEW_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("text", pa.string()),  # never missing, may be empty
        ("rating", pa.float32()),  # MIN_RATING ... MAX_RATING, may be missing
        ("timestamp", pa.timestamp("s", tz="UTC")),  # may be missing
    ]
)

_OF_PRODUCTS = ("product_id", "name", "info", "style", "brand")
#: One row per product. Whatever is missing is an empty string.
PRODUCT_SCHEMA = pa.schema([(name, pa.string()) for name in _OF_PRODUCTS])


@dataclass(frozen=True)
class ReviewData:
    """A clean data set. `reviews` has the columns of `REVIEW_SCHEMA` and one row per (user,
    product), `products` those of `PRODUCT_SCHEMA` and a row at least for each in `reviews`;
    `report`: what cleaning found, step by step, JSON-ready; `fingerprint`: SHA-256 of both."""

    reviews: pd.DataFrame
    products: pd.DataFrame
    report: list[dict[str, Any]] = field(default_factory=list)
    fingerprint: str = ""


def to_table(frame: pd.DataFrame, schema: pa.Schema = REVIEW_SCHEMA) -> pa.Table:
    """The Arrow table behind a DataFrame with the columns of this schema."""
    return pa.Table.from_pandas(frame, schema=schema, preserve_index=False)


def to_frame(columns: dict[str, Any] | pa.Table, schema: pa.Schema) -> pd.DataFrame:
    """Builds an Arrow-backed DataFrame of exactly this schema from a table or values by column."""
    table = columns if isinstance(columns, pa.Table) else pa.table(columns, schema=schema)
    return table.select(schema.names).cast(schema).to_pandas(types_mapper=pd.ArrowDtype)
