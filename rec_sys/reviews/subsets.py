"""Smaller, denser or more contrasted parts of a data set."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from rec_sys.reviews.columns import codes_of


@dataclass(frozen=True)
class Subset:
    """Which reviews stay.

    Attributes:
        keep: bool [N].
        num_sparse: Reviews that went because their user or product has too few.
        num_one_sided: Reviews that went because their user is not two-sided.
    """

    keep: np.ndarray
    num_sparse: int
    num_one_sided: int


def keep_dense_and_two_sided(
    table: pa.Table,
    *,
    min_per_user: int,
    min_per_product: int,
    liked_above: float,
    max_difference: int | None,
) -> Subset:
    """Removes sparse users and products and one-sided users until there are none.

    Every removal can make others sparse or one-sided, so both rules are applied in turn; what is
    left obeys both.

    Args:
        table: Reviews, one per user and product.
        min_per_user: Reviews that a user must have.
        min_per_product: Reviews that a product must have.
        liked_above: Ratings above this one say "liked", other ratings "disliked", a missing one
            nothing.
        max_difference: A two-sided user has liked and disliked products, and the two numbers
            differ by so much at most; None keeps all users.
    """
    users, products = codes_of(table["user_id"]), codes_of(table["product_id"])
    ratings = table["rating"].fill_null(float("nan")).to_numpy()
    liked, disliked = ratings > liked_above, ratings <= liked_above  # NaN is neither
    keep = np.ones(len(users), dtype=bool)
    removed = {"sparse": 0, "one-sided": 0}
    while True:
        enough = _counts(users, keep) >= min_per_user
        enough &= _counts(products, keep) >= min_per_product
        rule, still = "sparse", keep & enough
        if max_difference is not None and np.array_equal(still, keep):
            likes, dislikes = _counts(users, keep & liked), _counts(users, keep & disliked)
            two_sided = (likes > 0) & (dislikes > 0) & (abs(likes - dislikes) <= max_difference)
            rule, still = "one-sided", keep & two_sided
        if np.array_equal(still, keep):
            return Subset(keep, removed["sparse"], removed["one-sided"])
        removed[rule] += int(keep.sum() - still.sum())
        keep = still


def _counts(codes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """For every row how many chosen rows have its code, int64 [N]."""
    return np.bincount(codes[chosen], minlength=codes.max(initial=0) + 1)[codes]
