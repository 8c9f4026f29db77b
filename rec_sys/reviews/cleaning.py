"""Raw reviews and products become one clean data set, and every step says what it did."""

import logging
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, PositiveCount, settings_of
from rec_sys.reviews.markup import name_key
from rec_sys.reviews.schema import (
    MAX_RATING,
    MIN_RATING,
    NO_TIME,
    PRODUCT_SCHEMA,
    REVIEW_SCHEMA,
    ReviewData,
    to_frame,
    to_table,
)
from rec_sys.reviews.tables import (
    codes_of,
    copies_of,
    fingerprint_of,
    kept_rows,
    last_of_groups,
    newest_of_pairs,
    one_of_equals,
    seconds_of,
    with_known_names,
    without_markup,
)
from rec_sys.reviews.twins import collapse_twins

OPTIONS_AT = "data.cleaning"
#: From the columns of a product to those by which a review describes its product.
OWN_COLUMNS = {"name": "product_name", "info": "product_info", "style": "style"}

# From this share on the report says what can be done about copies.
_MANY_COPIES = 0.05
_TEXT_COLUMNS = ("text", "nickname", "product_name", "product_info", "style")

log = logging.getLogger(__name__)


def _share_or_false(value: Any) -> Any:
    is_share = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    if is_share or value is False:
        return value
    raise ValueError("must be false or a share above 0 up to 1, for instance 0.8")


@settings_of(OPTIONS_AT)
class CleaningOptions:
    """What to leave out; ``config/data/_cleaning.yaml`` tells what each means.

    `collapse_twins` is a Jaccard index, see `rec_sys.reviews.twins`, False for none; the least
    reviews per user and product make a k-core; "liked" are ratings above `liked_above`, and a
    two-sided user's liked and disliked products differ in number by `max_liked_difference` at most.
    """

    drop_without_text: bool = False
    drop_without_rating: bool = False
    join_copies: bool = False
    collapse_twins: Annotated[float | bool, BeforeValidator(_share_or_false)] = False
    min_reviews_per_user: PositiveCount = 1
    min_reviews_per_product: PositiveCount = 1
    only_two_sided_users: bool = False
    liked_above: Annotated[float, Field(ge=MIN_RATING, lt=MAX_RATING)] = 3.0
    max_liked_difference: Count = 2
    keep_unreviewed_products: bool = False


class _Steps:
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

    `reviews` are as `read_reviews` returns them: in the order of the file, every one with user,
    product, id and a text that may be empty. By default nothing but duplicates is left out;
    InputError if nothing is left. They come out by user, oldest first, one per user and product,
    products by id. An unknown time is the oldest, and reviews without a time keep their order.
    """
    options = options or CleaningOptions()
    table = to_table(reviews)
    steps = _Steps()
    table = _known_by_name(table, products, steps)
    table = _one_per_pair(table, steps)
    table = _plain(table, steps)
    table = _told(table, "text", pc.not_equal(table["text"], ""), options.drop_without_text, steps)
    table = _told(table, "rating", table["rating"].is_valid(), options.drop_without_rating, steps)
    table, merged_ids = _without_twins(table, options, steps)
    table = _without_copies(table, options, steps)
    if products is not None and merged_ids:
        products = products[~products["product_id"].isin(merged_ids)]
    table = _subset(table, options, steps)
    table = _sorted(table)
    product_table, product_steps = _build_products(
        table, products, options.keep_unreviewed_products
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


def require_learnable(data: ReviewData) -> None:
    """InputError, before any text is encoded, unless there are several users and products, somebody
    with two reviews and a product with two."""
    users, products = data.reviews["user_id"], data.reviews["product_id"]
    why = None
    if users.nunique() < 2:
        why = "all reviews are by one person; add other people's reviews"
    elif products.nunique() < 2:
        why = "all reviews are of one product, so there is nothing to choose from; add others"
    elif not users.duplicated().any():
        why = "nobody has reviewed two products, so there is no history to predict from"
    elif not products.duplicated().any():
        why = "no two people have a product in common; add more reviews of the same products"
    if why:
        raise InputError(f"{len(users)} reviews cannot be learned from: {why}")
    ratings = data.reviews["rating"].dropna()
    if len(ratings) and ratings.nunique() == 1:
        note(
            f"warning: every rating is {ratings.iloc[0]:g}: what people like cannot be told from"
            " what they do not; what they chose is learned all the same"
        )


def show_report(data: ReviewData) -> None:
    """Prints the report as a table and logs it, one line a step."""
    lines = [(step["step"], step["rows"], step["note"]) for step in data.report]
    show_table("Cleaning", ("step", "rows", "note"), lines)
    for line in lines:
        log.info("cleaning: %s: %d rows left; %s", *line)


def _known_by_name(table: pa.Table, products: pd.DataFrame | None, steps: _Steps) -> pa.Table:
    """One product, one id: what some reviews know by its name alone, others or metadata by id."""
    known: dict[str, set[str]] = {}
    if (
        products is not None
        and pc.any(pc.equal(table["product_id"], table["product_name"])).as_py()
    ):
        for product, name in zip(products["product_id"], products["name"], strict=True):
            if name:
                known.setdefault(name_key(name), set()).add(product)
    table, changed, ambiguous = with_known_names(table, "product_id", "product_name", known)
    if changed or ambiguous:
        note = f"{changed} reviews that name their product got its id"
        note += f"; {ambiguous} names are of several products and stay apart" * bool(ambiguous)
        steps.add("products known by name", table.num_rows, note, "")
    return table


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


def _without_copies(table: pa.Table, options: CleaningOptions, steps: _Steps) -> pa.Table:
    """Reports copies; of each keeps the oldest, of equally old ones that on the best known product.
    Which is the most reviewed one, so that other people's copies stay on the same variant."""
    copies = copies_of(table)
    groups = np.unique(copies, return_inverse=True)[1]
    products = codes_of(table["product_id"])
    popularity = np.bincount(products)[products]
    order = np.lexsort(
        (np.arange(len(groups)), -popularity, seconds_of(table["timestamp"]), groups)
    )
    first = np.zeros(len(groups), dtype=bool)
    first[order[np.unique(groups[order], return_index=True)[1]]] = True
    share = 1 - first.mean()
    note = f"{(~first).sum()} ({share:.0%}) repeat another review of the same user word for word"
    if options.join_copies:
        note += ": removed, the first kept"
    elif share > _MANY_COPIES:
        note += (
            f"; {OPTIONS_AT}.join_copies=true keeps the first of each, {OPTIONS_AT}.collapse_twins"
            "=0.8 makes variants one product"
        )
    table = kept_rows(table, first) if options.join_copies else table
    steps.add("copies of a review", table.num_rows, note, "")
    return table


def _subset(table: pa.Table, options: CleaningOptions, steps: _Steps) -> pa.Table:
    """Removes sparse users and products and one-sided users until there are none. Every removal can
    make others sparse or one-sided, so both rules are applied in turn; what is left obeys both."""
    users, products = codes_of(table["user_id"]), codes_of(table["product_id"])
    ratings = table["rating"].fill_null(float("nan")).to_numpy()
    liked, disliked = ratings > options.liked_above, ratings <= options.liked_above  # NaN: neither
    keep = np.ones(len(users), dtype=bool)
    removed = {"sparse": 0, "one-sided": 0}
    while True:
        enough = _counts(users, keep) >= options.min_reviews_per_user
        enough &= _counts(products, keep) >= options.min_reviews_per_product
        rule, still = "sparse", keep & enough
        if options.only_two_sided_users and np.array_equal(still, keep):
            likes, dislikes = _counts(users, keep & liked), _counts(users, keep & disliked)
            two_sided = (likes > 0) & (dislikes > 0)
            two_sided &= abs(likes - dislikes) <= options.max_liked_difference
            rule, still = "one-sided", keep & two_sided
        if np.array_equal(still, keep):
            break
        removed[rule] += int(keep.sum() - still.sum())
        keep = still
    least = (options.min_reviews_per_user, options.min_reviews_per_product)
    note = f"{removed['sparse']} removed; at least {least[0]} per user, {least[1]} per product"
    option = f"lower {OPTIONS_AT}.min_reviews_per_user or {OPTIONS_AT}.min_reviews_per_product"
    rows = table.num_rows - removed["sparse"]
    steps.add("k-core", rows, "off" if max(least) == 1 else note, option)
    note = (
        f"{removed['one-sided']} removed; liked is above {options.liked_above:g}, liked and "
        f"disliked differ by {options.max_liked_difference} at most"
    )
    option = (
        f"raise {OPTIONS_AT}.max_liked_difference or set {OPTIONS_AT}.only_two_sided_users=false"
    )
    rows -= removed["one-sided"]
    steps.add("two-sided users", rows, note if options.only_two_sided_users else "off", option)
    return kept_rows(table, keep)


def _counts(codes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """For every row how many chosen rows have its code, int64 [N]."""
    return np.bincount(codes[chosen], minlength=codes.max(initial=0) + 1)[codes]


def _sorted(table: pa.Table) -> pa.Table:
    """By user, oldest first; a product ends every tie, because a user has each only once."""
    keys = {name: table[name] for name in ("user_id", "review_id", "product_id")}
    seconds = seconds_of(table["timestamp"])
    keys["seconds"] = pa.array(seconds)
    # Without times the order of the rows is the order in time.
    keys["place"] = pa.array(np.where(seconds == NO_TIME, np.arange(len(seconds)), 0))
    order = ("user_id", "seconds", "place", "review_id", "product_id")
    return table.take(pc.sort_indices(pa.table(keys), [(name, "ascending") for name in order]))


def _build_products(
    reviews: pa.Table, metadata: pd.DataFrame | None, keep_unreviewed: bool
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Makes one row for every product, sorted by id, and the steps of the report.

    What the metadata leaves empty is told by the newest review of the product that tells it. A
    review's style is that of the variant its writer bought ("Color: Black"): less than a category,
    but more than nothing.
    """
    if metadata is None:
        known = pd.DataFrame(columns=PRODUCT_SCHEMA.names, dtype=object)
    else:
        known = metadata[PRODUCT_SCHEMA.names].astype(object)
    known = known.where(known.notna(), "").drop_duplicates("product_id").set_index("product_id")
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
    notes = {}
    if metadata is None:
        notes["products of the reviews"] = (
            "no metadata: products are made from the reviews' own fields"
        )
    else:
        note = f"{is_new.sum()} not in the metadata, made from the reviews' own fields"
        counts = [f"{rows.sum()} {column}s" for column, rows in filled.items() if rows.any()]
        if counts:
            note += f"; {', '.join(counts)} missing there and told by reviews"
        notes["unknown products"] = note
    if nameless.any():
        note = f"{nameless.sum()} described by their style and their training reviews only"
        notes["products without a name"] = note
    if metadata is not None:
        bare = {_bare_id(product): product for product in unreviewed}
        alike = [(product, bare.get(_bare_id(product))) for product in ids[is_new]]
        alike = [(product, other) for product, other in alike if other]
        note = f"{is_new.sum()} of {len(ids)} reviewed products are not in the metadata"
        if alike:
            one, other = alike[0]
            note += (
                f"; {len(alike)} ids differ in leading zeros or a trailing .0 alone ({one} and"
                f" {other}): write the ids of both files as text"
            )
        if is_new.all() or alike:
            notes["warning"] = note
        what = "kept" if keep_unreviewed else "dropped"
        note = f"{len(unreviewed)} of the metadata's products have no reviews: {what}"
        notes["products without reviews"] = note
    steps = [{"step": step, "rows": len(ids), "note": note} for step, note in notes.items()]
    columns = {"product_id": ids.to_numpy(), **{name: table[name] for name in table.columns}}
    return pa.table(columns, schema=PRODUCT_SCHEMA), steps


def _bare_id(product: str) -> str:
    """Without what a spreadsheet takes away from an id or adds to it."""
    return product.removesuffix(".0").lstrip("0")


def _newest_told(reviews: pa.Table, column: str) -> pd.Series:
    """By product, the text of this column in its newest review that has one."""
    told = reviews.filter(pc.fill_null(pc.not_equal(reviews[column], ""), False))
    newest = last_of_groups(codes_of(told["product_id"]), seconds_of(told["timestamp"]))
    told = told.select(["product_id", column]).filter(pa.array(newest))
    ids = pd.Index(told["product_id"].to_pylist(), dtype=object)
    return pd.Series(told[column].to_pylist(), index=ids, dtype=object)
