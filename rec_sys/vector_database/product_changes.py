"""What a later data set says otherwise about the products of a vectorbase."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rec_sys.graph.product_reviews import ReviewSummary
from rec_sys.reviews.schema import PRODUCT_SCHEMA
from rec_sys.vector_database.vectorbase import Vectorbase

_TEXTS = tuple(name for name in PRODUCT_SCHEMA.names if name != "product_id")
# Means of the same reviews, added up in another order, differ by no more.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class ProductChanges:
    """P products of a data set beside the rows of a vectorbase.

    Attributes:
        rows: int64 [P], the row of each product, -1 for a new one.
        retold: bool [P], there, but with another name, description, style or brand.
        reviewed: bool [P], there and not retold, but with other reviews about it.
        gone: int64 [n], rows whose products the data set does not have.
    """

    rows: np.ndarray
    retold: np.ndarray
    reviewed: np.ndarray
    gone: np.ndarray

    @property
    def new(self) -> np.ndarray:
        """bool [P], not there yet."""
        return self.rows < 0

    @property
    def changed(self) -> np.ndarray:
        """bool [P], there, but to be embedded anew."""
        return self.retold | self.reviewed

    @property
    def any(self) -> bool:
        """Whether a row has to come, go or change."""
        return bool(len(self.gone) or self.new.any() or self.changed.any())


def find_changes(
    vectorbase: Vectorbase, products: pd.DataFrame, reviews: ReviewSummary
) -> ProductChanges:
    """Compares a vectorbase with a data set.

    Args:
        vectorbase: The vectorbase.
        products: P products, columns of `VECTORBASE_SCHEMA`.
        reviews: What may be known of the same products' reviews.
    """
    rows = vectorbase.rows_of(products["product_id"].to_numpy(dtype=object))
    there = np.flatnonzero(rows >= 0)
    old_rows = rows[there]
    retold, reviewed = (np.zeros(len(rows), dtype=bool) for _ in range(2))
    for name in _TEXTS:
        then, now = (
            table[name].to_numpy(dtype=object)[which]
            for table, which in ((vectorbase.products, old_rows), (products, there))
        )
        retold[there] |= then != now
    then, now = (
        table["num_reviews"].to_numpy(dtype=np.int64)[which]
        for table, which in ((vectorbase.products, old_rows), (products, there))
    )
    reviewed[there] = then != now
    for before, after in zip(vectorbase.reviews, reviews, strict=True):
        same = np.isclose(before[old_rows], after[there], rtol=0, atol=_ROUNDING)
        reviewed[there] |= ~same.all(axis=1)
    gone = np.setdiff1d(np.flatnonzero(~vectorbase.index.removed), old_rows)
    return ProductChanges(rows, retold, reviewed & ~retold, gone)
