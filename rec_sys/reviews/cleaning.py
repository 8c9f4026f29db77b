"""Raw reviews and products become one clean data set, and every step says what it did."""

import logging
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BeforeValidator, Field
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from rec_sys.foundation.console import note, show_table
from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Count, PositiveCount, is_number, settings_of
from rec_sys.reviews import schema, tables
from rec_sys.reviews.values import name_key

OPTIONS_AT = "data.cleaning"
#: From the columns of a product to those by which a review describes its product.
OWN_COLUMNS = {"name": "product_name", "info": "product_info", "style": "style"}

#: Twins, variants of one product, are told by the users that they share; one or two say nothing.
MIN_SHARED_USERS = 3
# So many (product, product) pairs are counted at a time; memory holds one such block.
_BLOCK_PAIRS = 1 << 22
# From this share on the report says what can be done about copies.
_MANY_COPIES = 0.05
_TEXT_COLUMNS = ("text", "nickname", "product_name", "product_info", "style")

log = logging.getLogger(__name__)


def _share_or_false(value: Any) -> Any:
    if value is False or (is_number(value) and 0 < value <= 1):
        return value
    raise ValueError("must be false or a share above 0 up to 1, for instance 0.8")


@settings_of(OPTIONS_AT)
class CleaningOptions:
    """What to leave out; ``config/data/_cleaning.yaml`` tells what each means."""

    drop_without_text: bool = False
    drop_without_rating: bool = False
    join_copies: bool = False
    collapse_twins: Annotated[float | bool, BeforeValidator(_share_or_false)] = False
    min_reviews_per_user: PositiveCount = 1
    min_reviews_per_product: PositiveCount = 1
    only_two_sided_users: bool = False
    liked_above: Annotated[float, Field(ge=schema.MIN_RATING, lt=schema.MAX_RATING)] = 3.0
    max_liked_difference: Count = 2
    keep_unreviewed_products: bool = False


class _Cleaning:
    """Reviews on their way from step to step."""

    def __init__(self, table: pa.Table, options: CleaningOptions) -> None:
        self.table, self.options = table, options
        self.report: list[dict[str, Any]] = []

    def step(self, name: str, note: str, keep: np.ndarray | None = None, advice: str = "") -> None:
        """Keeps some rows, bool [N], or all, and reports it; `advice` helps if nothing is left."""
        if keep is not None and not keep.all():  # no copy if all stay
            self.table = self.table.filter(pa.array(keep))
        self.report.append({"step": name, "rows": self.table.num_rows, "note": note})
        if not self.table.num_rows:
            raise InputError(f"no reviews are left after the step {name!r} ({note}); {advice}")


def clean_reviews(
    reviews: pd.DataFrame,
    products: pd.DataFrame | None = None,
    options: CleaningOptions | None = None,
) -> schema.ReviewData:
    """Cleans a data set. A clean one comes out as it went in, unless twins are collapsed again.
    `reviews` are as `read_reviews` returns them: in the order of the file, every one with user,
    product, id and a text that may be empty. By default nothing but duplicates is left out;
    InputError if nothing is left. They come out by user, oldest first, one per user and product,
    products by id. An unknown time is the oldest, and reviews without a time keep their order."""
    options = options or CleaningOptions()
    cleaning = _Cleaning(schema.to_table(reviews), options)
    _know_by_name(cleaning, products)
    keep = tables.one_of_equals(cleaning.table)
    note = f"{(~keep).sum()} removed (same user, product, text, rating and time)"
    cleaning.step("exact duplicates", note, keep, "give a file with reviews")
    keep = tables.newest_of_pairs(cleaning.table)
    note = f"{(~keep).sum()} older ones removed, the newest kept"
    cleaning.step("several reviews of a user on a product", note, keep)
    _free_from_markup(cleaning)
    has_text = pc.not_equal(cleaning.table["text"], "").to_numpy()
    _require_told(cleaning, "text", has_text, options.drop_without_text)
    has_rating = cleaning.table["rating"].is_valid().to_numpy()
    _require_told(cleaning, "rating", has_rating, options.drop_without_rating)
    merged_ids = _join_twins(cleaning)
    _join_copies(cleaning)
    if products is not None and merged_ids:
        products = products[~products["product_id"].isin(merged_ids)]
    _take_subset(cleaning)
    table = _sorted(cleaning.table)
    product_table, steps = _build_products(table, products, options.keep_unreviewed_products)
    num_users = pc.count_distinct(table["user_id"]).as_py()
    note = f"by {num_users} users on {pc.count_distinct(table['product_id']).as_py()} products"
    steps.append({"step": "clean reviews", "rows": table.num_rows, "note": note})
    return schema.ReviewData(
        reviews=schema.to_frame(table, schema.REVIEW_SCHEMA),
        products=schema.to_frame(product_table, schema.PRODUCT_SCHEMA),
        report=[*cleaning.report, *steps],
        fingerprint=tables.fingerprint_of(table, product_table),
    )


def require_learnable(data: schema.ReviewData) -> None:
    """InputError unless somebody has two reviews, and some product has two."""
    users, products = data.reviews["user_id"], data.reviews["product_id"]
    why = None
    if users.nunique() < 2:
        why = "all reviews are by one person; add other people's reviews"
    elif products.nunique() < 2:
        why = "all reviews are of one product, so there is nothing to choose from; add others"
    elif not users.duplicated().any():
        why = "nobody has reviewed two products: there is no history; add more by the same people"
    elif not products.duplicated().any():
        why = "no two people have a product in common; add more reviews of the same products"
    if why:
        raise InputError(f"{len(users)} reviews cannot be learned from: {why}")
    ratings = data.reviews["rating"].dropna()
    if len(ratings) and ratings.nunique() == 1:
        why = "what people like cannot be told from what they do not"
        told = f"every rating is {ratings.iloc[0]:g}: {why}"
        note(f"warning: {told}; what they chose is learned all the same")


def show_report(data: schema.ReviewData) -> None:
    """Prints the report as a table and logs it, one line a step."""
    lines = [(step["step"], step["rows"], step["note"]) for step in data.report]
    show_table("Cleaning", ("step", "rows", "note"), lines)
    for line in lines:
        log.info("cleaning: %s: %d rows left; %s", *line)


def _know_by_name(cleaning: _Cleaning, products: pd.DataFrame | None) -> None:
    """One product, one id: what some reviews know by its name alone, others or metadata by id."""
    table = cleaning.table
    known: dict[str, set[str]] = {}
    by_name = pc.any(pc.equal(table["product_id"], table["product_name"])).as_py()
    if products is not None and by_name:
        for product, name in zip(products["product_id"], products["name"], strict=True):
            if name:
                known.setdefault(name_key(name), set()).add(product)
    found = tables.with_known_names(table, "product_id", "product_name", known)
    cleaning.table, changed, ambiguous = found
    if changed or ambiguous:
        note = f"{changed} reviews that name their product got its id"
        note += f"; {ambiguous} names are of several products and stay apart" * bool(ambiguous)
        cleaning.step("products known by name", note)


def _free_from_markup(cleaning: _Cleaning) -> None:
    freed = dict.fromkeys(_TEXT_COLUMNS, 0)
    for name in _TEXT_COLUMNS:
        old = cleaning.table[name]
        column, freed[name] = tables.without_markup(old, empty_is_missing=name != "text")
        place = schema.REVIEW_SCHEMA.get_field_index(name)
        cleaning.table = cleaning.table.set_column(place, schema.REVIEW_SCHEMA.field(name), column)
    others = sum(freed.values()) - freed["text"]
    note = f"{freed['text']} texts freed from tags and entities"
    note += f", {others} names, infos and styles" * bool(others)
    cleaning.step("HTML in reviews", note)


def _require_told(cleaning: _Cleaning, what: str, is_told: np.ndarray, drop: bool) -> None:
    note = f"{(~is_told).sum()} {'removed' if drop else 'kept as history'}"
    advice = f"set {OPTIONS_AT}.drop_without_{what}=false"
    cleaning.step(f"missing {what}", note, is_told if drop else None, advice)


def _join_twins(cleaning: _Cleaning) -> list[str]:
    """Returns the products that are twins of others and gone."""
    if (threshold := cleaning.options.collapse_twins) is False:
        cleaning.step("variant twins", "off")
        return []
    cleaning.table, merged_ids, num_groups = collapse_twins(cleaning.table, threshold)
    keep = tables.newest_of_pairs(cleaning.table)
    note = f"{len(merged_ids)} products merged into {num_groups} others that share {threshold:g}"
    note += f" of the users or more; {(~keep).sum()} older reviews by the same user removed"
    cleaning.step("variant twins", note, keep)
    return merged_ids


def _join_copies(cleaning: _Cleaning) -> None:
    """Reports copies; of each keeps the oldest, of equally old ones that on the best known product.
    Which is the most reviewed one, so that other people's copies stay on the same variant."""
    table, is_wanted = cleaning.table, cleaning.options.join_copies
    products = tables.codes_of(table["product_id"])
    order = np.lexsort((-np.bincount(products)[products], tables.seconds_of(table["timestamp"])))
    first = np.empty(len(order), dtype=bool)
    first[order] = ~pd.Series(tables.copies_of(table)[order]).duplicated()
    share = 1 - first.mean()
    note = f"{(~first).sum()} ({share:.0%}) repeat another review of the same user word for word"
    if is_wanted:
        note += ": removed, the first kept"
    elif share > _MANY_COPIES:
        note += f"; {OPTIONS_AT}.join_copies=true keeps the first of each"
        if cleaning.options.collapse_twins is False:
            note += f", {OPTIONS_AT}.collapse_twins=0.8 makes variants one product"
    cleaning.step("copies of a review", note, first if is_wanted else None)


def _take_subset(cleaning: _Cleaning) -> None:
    """Removes sparse users and products and one-sided users until there are none. Every removal can
    make others sparse or one-sided, so both rules are applied in turn; what is left obeys both."""
    table, options = cleaning.table, cleaning.options
    users, products = tables.codes_of(table["user_id"]), tables.codes_of(table["product_id"])
    ratings = table["rating"].fill_null(float("nan")).to_numpy()
    liked, disliked = ratings > options.liked_above, ratings <= options.liked_above  # NaN: neither
    sparse, one_sided = np.zeros((2, len(users)), dtype=bool)
    while True:
        keep = ~sparse & ~one_sided
        enough = _counts(users, keep) >= options.min_reviews_per_user
        enough &= _counts(products, keep) >= options.min_reviews_per_product
        fits, removed = enough, sparse
        if options.only_two_sided_users and enough[keep].all():
            likes, dislikes = _counts(users, keep & liked), _counts(users, keep & disliked)
            fits, removed = (likes > 0) & (dislikes > 0), one_sided
            fits &= abs(likes - dislikes) <= options.max_liked_difference
        if fits[keep].all():
            break
        removed |= keep & ~fits
    least = (options.min_reviews_per_user, options.min_reviews_per_product)
    note = f"{sparse.sum()} removed; at least {least[0]} per user, {least[1]} per product"
    advice = f"lower {OPTIONS_AT}.min_reviews_per_user or {OPTIONS_AT}.min_reviews_per_product"
    cleaning.step("k-core", "off" if max(least) == 1 else note, ~sparse, advice)
    note = f"{one_sided.sum()} removed; liked is above {options.liked_above:g}, liked and "
    note += f"disliked differ by {options.max_liked_difference} at most"
    note = note if options.only_two_sided_users else "off"
    advice = f"raise {OPTIONS_AT}.max_liked_difference"
    advice += f" or set {OPTIONS_AT}.only_two_sided_users=false"
    cleaning.step("two-sided users", note, ~one_sided[~sparse], advice)


def _counts(codes: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """For every row how many chosen rows have its code, int64 [N]."""
    return np.bincount(codes[chosen], minlength=codes.max(initial=0) + 1)[codes]


def _sorted(table: pa.Table) -> pa.Table:
    """By user, oldest first; a product ends every tie, because a user has each only once."""
    seconds = tables.seconds_of(table["timestamp"])
    # Without times the order of the rows is the order in time.
    place = np.where(seconds == schema.NO_TIME, np.arange(len(seconds)), 0)
    keys = {"user_id": table["user_id"], "seconds": seconds, "place": place}
    keys |= {name: table[name] for name in ("review_id", "product_id")}
    return table.take(pc.sort_indices(pa.table(keys), [(name, "ascending") for name in keys]))


def _build_products(
    reviews: pa.Table, metadata: pd.DataFrame | None, keep_unreviewed: bool
) -> tuple[pa.Table, list[dict[str, Any]]]:
    """Makes one row for every product, sorted by id, and the steps of the report. What the metadata
    leaves empty is told by the newest review of the product that tells it. A review's style is that
    of the variant its writer bought ("Color: Black"): less than a category, more than nothing."""
    known = pd.DataFrame(columns=schema.PRODUCT_SCHEMA.names) if metadata is None else metadata
    known = known[schema.PRODUCT_SCHEMA.names].astype(object)
    known = known.where(known.notna(), "").drop_duplicates("product_id").set_index("product_id")
    reviewed = pd.Index(reviews["product_id"].unique().to_pylist(), dtype=object)
    unreviewed = known.index.difference(reviewed, sort=False)
    ids = (reviewed.append(unreviewed) if keep_unreviewed else reviewed).sort_values()
    table = known.reindex(ids, fill_value="")
    filled = {}
    for column, own_column in OWN_COLUMNS.items():
        own = _newest_told(reviews, own_column).reindex(ids, fill_value="")
        empty = (table[column] == "").to_numpy()
        table[column] = table[column].where(~empty, own)
        filled[column] = empty & (own != "").to_numpy() & ids.isin(known.index)
    is_new = ~ids.isin(known.index)
    nameless = (table["name"] == "").to_numpy()
    notes = []
    if metadata is None:
        note = "no metadata: products are made from the reviews' own fields"
        notes.append(("products of the reviews", note))
    else:
        counts = [f"{rows.sum()} {column}s" for column, rows in filled.items() if rows.any()]
        note = f"{is_new.sum()} not in the metadata, made from the reviews' own fields"
        note += f"; {', '.join(counts)} missing there and told by reviews" * bool(counts)
        notes.append(("unknown products", note))
    if nameless.any():
        note = f"{nameless.sum()} described by their style and their reviews only"
        is_all = metadata is None and bool(nameless.all())
        note += "; data.columns.product_name says which field names them" * is_all
        notes.append(("warning" if is_all else "products without a name", note))
    if metadata is not None:
        bare = {_bare_id(product): product for product in unreviewed}
        alike = [(new, bare[_bare_id(new)]) for new in ids[is_new] if _bare_id(new) in bare]
        note = f"{is_new.sum()} of {len(ids)} reviewed products are not in the metadata"
        if alike:
            one, other = alike[0]
            note += f"; {len(alike)} ids differ in leading zeros or a trailing .0 alone"
            note += f" ({one} and {other}): write the ids of both files as text"
        if is_new.all() or alike:
            notes.append(("warning", note))
        what = "kept" if keep_unreviewed else "dropped"
        note = f"{len(unreviewed)} of the metadata's products have no reviews: {what}"
        if len(unreviewed) and not keep_unreviewed:
            note += " (data.cleaning.keep_unreviewed_products=true keeps them)"
        notes.append(("products without reviews", note))
    steps = [{"step": step, "rows": len(ids), "note": note} for step, note in notes]
    columns = {"product_id": ids.to_numpy(), **{name: table[name] for name in table.columns}}
    return pa.table(columns, schema=schema.PRODUCT_SCHEMA), steps


def _bare_id(product: str) -> str:
    """Without what a spreadsheet takes away from an id or adds to it."""
    return product.removesuffix(".0").lstrip("0")


def _newest_told(reviews: pa.Table, column: str) -> pd.Series:
    """By product, the text of this column in its newest review that has one."""
    told = reviews.filter(pc.fill_null(pc.not_equal(reviews[column], ""), False))
    products, seconds = tables.codes_of(told["product_id"]), tables.seconds_of(told["timestamp"])
    newest = tables.last_of_groups(products, seconds)
    told = told.select(["product_id", column]).filter(pa.array(newest))
    return told.to_pandas().astype(object).set_index("product_id")[column]


def collapse_twins(table: pa.Table, threshold: float) -> tuple[pa.Table, list[str], int]:
    """Replaces every product by the most reviewed one of its twins, of equals the lowest id. Two
    products are twins if a share of at least `threshold`, above 0 up to 1, of the users of either
    has both (the Jaccard index of their sets of users). Twins of twins are twins: the groups are
    the connected components. Returns the table, of which a user may have several rows of a product
    now, the ids of the products that are gone, and how many others took them in."""
    column = table["product_id"].combine_chunks().dictionary_encode()
    products = column.indices.to_numpy()
    ids = np.array(column.dictionary.to_pylist(), dtype=object)
    groups = twin_groups(tables.codes_of(table["user_id"]), products, len(ids), threshold)
    num_reviews = np.bincount(products, minlength=len(ids))
    rank = np.unique(ids, return_inverse=True)[1]
    by_group = np.lexsort((rank, -num_reviews, groups))  # the first of each group represents it
    _, first = np.unique(groups[by_group], return_index=True)
    represented_by = by_group[first][groups]

    is_merged = represented_by != np.arange(len(ids))
    new = column.dictionary.take(pa.array(represented_by[products]))
    table = table.set_column(table.schema.get_field_index("product_id"), "product_id", new)
    return table, sorted(ids[is_merged]), len(np.unique(represented_by[is_merged]))


def twin_groups(
    users: np.ndarray, products: np.ndarray, num_products: int, threshold: float
) -> np.ndarray:
    """Numbers the groups of twins, see `collapse_twins`: int64 [products], equal for twins alone.
    Users and products, int64 [N] from 0, are those of each review; every pair once."""
    num_users = np.bincount(products, minlength=num_products)
    useful = (num_users >= MIN_SHARED_USERS)[products]
    cells = np.ones(useful.sum(), dtype=np.int32), (products[useful], users[useful])
    by_product = csr_array(cells, (num_products, users.max(initial=0) + 1))
    by_user = by_product.T.tocsr()
    # What a product costs: the products of its users, counted as often as they occur.
    pairs = by_product @ np.diff(by_user.indptr).astype(np.int64)
    starts = np.flatnonzero(np.diff(np.cumsum(pairs) // _BLOCK_PAIRS, prepend=-1))
    twins = [np.empty((2, 0), dtype=np.int64)]
    for start, stop in zip(starts, [*starts[1:], num_products], strict=True):
        shared = (by_product[start:stop] @ by_user).tocoo()
        one, other, both = shared.row + start, shared.col, shared.data
        # A division of whole numbers rounds as the written threshold did: 7 of 10 is .7.
        alike = both / (num_users[one] + num_users[other] - both) >= threshold
        alike &= (both >= MIN_SHARED_USERS) & (one < other)
        twins.append(np.stack([one[alike], other[alike]]))
    one, other = np.concatenate(twins, axis=1)
    cells = np.ones(len(one), dtype=bool), (one, other)
    graph = csr_array(cells, (num_products, num_products))
    return connected_components(graph, directed=False)[1].astype(np.int64)
