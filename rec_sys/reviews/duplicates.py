"""Which reviews repeat others."""

import numpy as np
import pandas as pd
import pyarrow as pa

from rec_sys.reviews.columns import codes_of, seconds_of


def one_of_equals(table: pa.Table) -> np.ndarray:
    """Keeps one of reviews that agree in user, product, text, rating and time.

    Args:
        table: Reviews.

    Returns:
        bool [N], True for the reviews to keep: of equal ones the first; without a time the last,
        because there the order of the rows is all that is known about the time.
    """
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
    """Keeps the newest review of every user on every product.

    Args:
        table: Reviews.

    Returns:
        bool [N], True for the reviews to keep. An unknown time is the oldest; of equally old
        reviews the later row is kept.
    """
    return last_of_groups(_pairs(table), seconds_of(table["timestamp"]))


def last_of_groups(groups: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Marks in every group the row with the highest time, of equal times the later row.

    Args:
        groups: int64 [N].
        seconds: int64 [N].

    Returns:
        bool [N].
    """
    last = np.zeros(len(groups), dtype=bool)
    order = np.lexsort((seconds, groups))  # stable: equal times stay in the order of the rows
    ordered = groups[order]
    last[order[np.append(ordered[1:] != ordered[:-1], True)[: len(order)]]] = True
    return last


def _pairs(table: pa.Table) -> np.ndarray:
    """One number for every (user, product), int64 [N], without gaps."""
    users, products = codes_of(table["user_id"]), codes_of(table["product_id"])
    numbers = users * (products.max(initial=0) + 1) + products
    return np.unique(numbers, return_inverse=True)[1]
