"""Raw reviews and products become one clean data set, and every step says what it did."""

import logging
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field

from rec_sys.foundation.console import show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, PositiveCount, settings_of
from rec_sys.reviews.reading import build_products
from rec_sys.reviews.schema import (
    MAX_RATING,
    MIN_RATING,
    PRODUCT_SCHEMA,
    REVIEW_SCHEMA,
    ReviewData,
    to_frame,
)
from rec_sys.reviews.tables import (
    NO_TIME,
    codes_of,
    fingerprint_of,
    kept_rows,
    newest_of_pairs,
    one_of_equals,
    seconds_of,
    without_markup,
)
from rec_sys.reviews.twins import collapse_twins

OPTIONS_AT = "data.cleaning"


def _share_or_false(value: Any) -> Any:
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    if is_share or value is False:
        return value
    raise ValueError("must be false or a share above 0 up to 1, for instance 0.8")


@settings_of(OPTIONS_AT)
class CleaningOptions:
    """What to leave out.

    Attributes:
        drop_without_text: Leave out reviews without a text instead of keeping them as history.
        drop_without_rating: The same for reviews without a rating.
        collapse_twins: Treat products as one whose sets of users are alike by so much or more
            (Jaccard index, above 0 up to 1; see `rec_sys.reviews.twins`); False for none.
        min_reviews_per_user: Leave out users with fewer reviews, ...
        min_reviews_per_product: ... and products with fewer, again and again until all have so
            many (k-core).
        only_two_sided_users: Keep only users who like some products and dislike others.
        liked_above: Ratings above this one say "liked".
        max_liked_difference: How far a two-sided user's numbers of liked and disliked products
            may lie apart.
        keep_unreviewed_products: Keep products of the metadata that nobody reviewed.
    """

    drop_without_text: bool = False
    drop_without_rating: bool = False
    collapse_twins: Annotated[float | bool, BeforeValidator(_share_or_false)] = False
    min_reviews_per_user: PositiveCount = 1
    min_reviews_per_product: PositiveCount = 1
    only_two_sided_users: bool = False
    liked_above: Annotated[float, Field(ge=MIN_RATING, lt=MAX_RATING)] = 3.0
    max_liked_difference: Count = 2
    keep_unreviewed_products: bool = False


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


log = logging.getLogger(__name__)

_TEXT_COLUMNS = ("text", "nickname", "product_name", "product_info", "style")


class _Steps:
    """The report while it grows."""

    def __init__(self) -> None:
        self.report: list[dict[str, Any]] = []

    def add(self, step: str, rows: int, note: str, option: str) -> None:
        """Notes a step; `option` is what to change if nothing is left after it."""
        self.report.append({"step": step, "rows": int(rows), "note": note})
        if not rows:
            raise InputError(f"no reviews are left after the step {step!r} ({note}); {option}")


def clean_reviews(
    reviews: pd.DataFrame,
    products: pd.DataFrame | None = None,
    options: CleaningOptions | None = None,
) -> ReviewData:
    """Cleans a data set. A clean one comes out as it went in, unless twins are collapsed again.

    Args:
        reviews: Table with the columns of `REVIEW_SCHEMA`, as `read_reviews` returns it: in the
            order of the file, every review with user, product, id and a text that may be empty.
        products: Table with the columns of `PRODUCT_SCHEMA`; None without metadata.
        options: What to leave out; by default nothing but duplicates.

    Returns:
        Reviews by user, oldest first, one per user and product; products by id; the report; the
        fingerprint. An unknown time is the oldest, and reviews without a time keep their order.

    Raises:
        InputError: A bad option, or nothing is left.
    """
    options = options or CleaningOptions()
    table = pa.Table.from_pandas(reviews, schema=REVIEW_SCHEMA, preserve_index=False)
    steps = _Steps()
    table = _one_per_pair(table, steps)
    table = _plain(table, steps)
    table = _told(table, "text", pc.not_equal(table["text"], ""), options.drop_without_text, steps)
    table = _told(table, "rating", table["rating"].is_valid(), options.drop_without_rating, steps)
    table, merged_ids = _without_twins(table, options, steps)
    if products is not None and merged_ids:
        products = products[~products["product_id"].isin(merged_ids)]
    table = _subset(table, options, steps)
    table = _sorted(table)
    product_table, product_steps = build_products(
        table, products, keep_unreviewed=options.keep_unreviewed_products
    )
    num_users = pc.count_distinct(table["user_id"]).as_py()
    note = f"by {num_users} users on {pc.count_distinct(table['product_id']).as_py()} products"
    return ReviewData(
        reviews=to_frame(table, REVIEW_SCHEMA),
        products=to_frame(product_table, PRODUCT_SCHEMA),
        report=[
            *steps.report,
            *product_steps,
            {"step": "clean reviews", "rows": table.num_rows, "note": note},
        ],
        fingerprint=fingerprint_of(table, product_table),
    )


def show_report(data: ReviewData) -> None:
    """Prints the report as a table and logs it, one line a step."""
    lines = [(step["step"], step["rows"], step["note"]) for step in data.report]
    show_table("Cleaning", ("step", "rows", "note"), lines)
    for step, rows, note in lines:
        log.info("cleaning: %s: %d rows left; %s", step, rows, note)


def _one_per_pair(table: pa.Table, steps: _Steps) -> pa.Table:
    given = table.num_rows
    table = kept_rows(table, one_of_equals(table))
    note = f"{given - table.num_rows} removed (same user, product, text, rating and time)"
    steps.add("exact duplicates", table.num_rows, note, "give a file with reviews")
    given = table.num_rows
    table = kept_rows(table, newest_of_pairs(table))
    note = f"{given - table.num_rows} older ones removed, the newest kept"
    steps.add("several reviews of a user on a product", table.num_rows, note, "")
    return table


def _plain(table: pa.Table, steps: _Steps) -> pa.Table:
    freed = dict.fromkeys(_TEXT_COLUMNS, 0)
    for name in _TEXT_COLUMNS:
        column, freed[name] = without_markup(table[name], empty_is_missing=name != "text")
        table = table.set_column(
            table.schema.get_field_index(name), REVIEW_SCHEMA.field(name), column
        )
    others = sum(freed.values()) - freed["text"]
    note = f"{freed['text']} texts freed from tags and entities"
    note += f", {others} names, infos and styles" * bool(others)
    steps.add("HTML in reviews", table.num_rows, note, "")
    return table


def _told(table: pa.Table, what: str, told: pa.ChunkedArray, drop: bool, steps: _Steps) -> pa.Table:
    missing = table.num_rows - pc.sum(told).as_py()
    if drop:
        table = kept_rows(table, told.to_numpy())
    note = f"{missing} {'removed' if drop else 'kept as history'}"
    option = f"set {OPTIONS_AT}.drop_without_{what}=false"
    steps.add(f"missing {what}", table.num_rows, note, option)
    return table


def _without_twins(
    table: pa.Table, options: CleaningOptions, steps: _Steps
) -> tuple[pa.Table, list[str]]:
    """The table, and the products that are twins of others and gone."""
    threshold = options.collapse_twins
    if threshold is False:
        steps.add("variant twins", table.num_rows, "off", "")
        return table, []
    collapsed = collapse_twins(table, threshold)
    table = kept_rows(collapsed.table, newest_of_pairs(collapsed.table))
    note = (
        f"{len(collapsed.merged_ids)} products merged into {collapsed.num_groups} others that "
        f"share {threshold:g} of the users or more; "
        f"{collapsed.table.num_rows - table.num_rows} older reviews by the same user removed"
    )
    steps.add("variant twins", table.num_rows, note, "")
    return table, collapsed.merged_ids


def _subset(table: pa.Table, options: CleaningOptions, steps: _Steps) -> pa.Table:
    subset = keep_dense_and_two_sided(
        table,
        min_per_user=options.min_reviews_per_user,
        min_per_product=options.min_reviews_per_product,
        liked_above=options.liked_above,
        max_difference=options.max_liked_difference if options.only_two_sided_users else None,
    )
    rows = table.num_rows - subset.num_sparse
    least = (options.min_reviews_per_user, options.min_reviews_per_product)
    note = f"{subset.num_sparse} removed; at least {least[0]} per user, {least[1]} per product"
    option = f"lower {OPTIONS_AT}.min_reviews_per_user or {OPTIONS_AT}.min_reviews_per_product"
    steps.add("k-core", rows, "off" if max(least) == 1 else note, option)
    note = (
        f"{subset.num_one_sided} removed; liked is above {options.liked_above:g}, liked and "
        f"disliked differ by {options.max_liked_difference} at most"
    )
    option = (
        f"raise {OPTIONS_AT}.max_liked_difference or set {OPTIONS_AT}.only_two_sided_users=false"
    )
    rows -= subset.num_one_sided
    steps.add("two-sided users", rows, note if options.only_two_sided_users else "off", option)
    return kept_rows(table, subset.keep)


def _sorted(table: pa.Table) -> pa.Table:
    """By user, oldest first; a product ends every tie, because a user has each only once."""
    keys = {name: table[name] for name in ("user_id", "review_id", "product_id")}
    seconds = seconds_of(table["timestamp"])
    keys["seconds"] = pa.array(seconds)
    # Without times the order of the rows is the order in time.
    keys["place"] = pa.array(np.where(seconds == NO_TIME, np.arange(len(seconds)), 0))
    order = ("user_id", "seconds", "place", "review_id", "product_id")
    return table.take(pc.sort_indices(pa.table(keys), [(name, "ascending") for name in order]))
