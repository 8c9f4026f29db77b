"""Reviews of people whom the model need never have seen, as histories and as model inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from rec_sys.foundation.errors import InputError
from rec_sys.graph.csr import rows_to_pointers
from rec_sys.graph.ego_batch import EgoBatchBuilder, FixedReviews, ReviewSummary
from rec_sys.graph.review_graph import (
    NO_BRAND,
    NO_TIME,
    ReviewGraph,
    product_info_text,
    product_texts,
)
from rec_sys.reviews.cleaning import clean_reviews
from rec_sys.reviews.markup import plain_text
from rec_sys.reviews.schema import REVIEW_SCHEMA
from rec_sys.reviews.tables import seconds_of, without_markup
from rec_sys.vector_database.vectorbase import Vectorbase

#: `Histories.catalogue_row` of a product that the vectorbase does not hold.
UNKNOWN = -1

# Between a user's id and the rest of an id that only this user's reviews share.
_SEPARATOR = "\x1f"


@dataclass(frozen=True)
class Histories:
    """U people and their N reviews.

    A product that the vectorbase holds is taken from there. Any other one is described by the
    review's own words, for its writer alone: what one person writes never changes what another
    one is recommended, however many are served together.

    Attributes:
        review_ids: str [N], by user, oldest first; one review per user and product.
        texts: str [N], without markup, may be empty.
        rating: float32 [N], 1...5, NaN if missing.
        time: int64 [N], seconds since 1970 (UTC), `NO_TIME` if missing.
        catalogue_row: int64 [N], row of the product in the vectorbase, or `UNKNOWN`.
        product: int64 [N], the product, an index into the two below.
        product_names: str [Q], empty where the vectorbase holds the product.
        product_infos: str [Q], likewise: style and description, see `product_texts`.
        user_ids: str [U].
        user_ptr: int64 [U + 1], the reviews of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``.
        nicknames: str or None [U].
        order: int64 [U], the users in the order in which they were given.
    """

    review_ids: np.ndarray
    texts: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    catalogue_row: np.ndarray
    product: np.ndarray
    product_names: np.ndarray
    product_infos: np.ndarray
    user_ids: np.ndarray
    user_ptr: np.ndarray
    nicknames: np.ndarray
    order: np.ndarray

    def __len__(self) -> int:
        """U."""
        return len(self.user_ids)

    def part(self, first: int, last: int) -> "Histories":
        """The users ``first`` to ``last - 1`` alone, in this order."""
        start, stop = self.user_ptr[first], self.user_ptr[last]
        own, users = slice(start, stop), slice(first, last)
        products, product = np.unique(self.product[own], return_inverse=True)
        return Histories(
            review_ids=self.review_ids[own],
            texts=self.texts[own],
            rating=self.rating[own],
            time=self.time[own],
            catalogue_row=self.catalogue_row[own],
            product=product.astype(np.int64),
            product_names=self.product_names[products],
            product_infos=self.product_infos[products],
            user_ids=self.user_ids[users],
            user_ptr=self.user_ptr[first : last + 1] - start,
            nicknames=self.nicknames[users],
            order=np.arange(last - first),
        )

    @property
    def all_texts(self) -> list[str]:
        """Everything that has to be encoded, repetitions and empty texts included."""
        return [*self.texts, *self.product_names, *self.product_infos]

    @cached_property
    def has_text(self) -> np.ndarray:
        """bool [U], whether the user wrote anything at all."""
        written = np.append(0, np.cumsum(self.texts != ""))
        return np.diff(written[self.user_ptr]) > 0

    @cached_property
    def says_nothing(self) -> np.ndarray:
        """bool [N]: neither text nor rating, on a product of which nothing is known either."""
        described = (self.product_names != "") | (self.product_infos != "")
        unknown = (self.catalogue_row == UNKNOWN) & ~described[self.product]
        return unknown & np.isnan(self.rating) & (self.texts == "")


def read_histories(reviews: pd.DataFrame, vectorbase: Vectorbase) -> Histories:
    """Cleans the reviews and finds their products in the vectorbase.

    A product is found by its id. A review without an id (or whose id is just the name, as the
    readers make it) is matched by the exact name if one product alone has it.

    Args:
        reviews: Table with the columns of `REVIEW_SCHEMA`; the product id may be missing, the
            user must not be.
        vectorbase: The catalogue.

    Raises:
        InputError: There is no review.
    """
    if not len(reviews):
        raise InputError("there is nobody to recommend to: no reviews were given")
    given_users = pd.unique(reviews["user_id"].to_numpy(dtype=object))
    catalogue_row = _find_products(reviews, vectorbase)
    data = clean_reviews(
        reviews.assign(product_id=_own_ids(reviews, vectorbase.product_ids, catalogue_row))
    )
    reviews, products = data.reviews, data.products

    # Ids of the vectorbase and of single reviewers never meet: these hold the separator.
    row_of_product = vectorbase.rows_of(products["product_id"].to_numpy(dtype=object))
    names, infos = (_objects(texts) for texts in product_texts(products))
    product = pd.Index(products["product_id"]).get_indexer(reviews["product_id"])
    user_of_row, user_ids = pd.factorize(reviews["user_id"], sort=True)
    user_ids = np.asarray(user_ids, dtype=object)
    return Histories(
        review_ids=_objects(reviews["review_id"]),
        texts=_objects(reviews["text"]),
        rating=reviews["rating"].to_numpy(dtype=np.float32, na_value=np.nan),
        time=seconds_of(pa.chunked_array(pa.array(reviews["timestamp"]))),
        catalogue_row=row_of_product[product],
        product=product.astype(np.int64),
        product_names=np.where(row_of_product == UNKNOWN, names, ""),
        product_infos=np.where(row_of_product == UNKNOWN, infos, ""),
        user_ids=user_ids,
        user_ptr=rows_to_pointers(user_of_row, len(user_ids)),
        nicknames=_newest_nicknames(reviews, user_of_row, len(user_ids)),
        order=pd.Index(user_ids).get_indexer(given_users).astype(np.int64),
    )


def _find_products(reviews: pd.DataFrame, vectorbase: Vectorbase) -> np.ndarray:
    ids, given_names = _objects(reviews["product_id"]), _objects(reviews["product_name"])
    rows = vectorbase.rows_of(ids)
    nameless = pd.isna(ids) | (ids == given_names)
    # Names in the vectorbase are free of markup.
    names, _ = without_markup(
        pa.chunked_array([pa.array(given_names, pa.string())]), empty_is_missing=True
    )
    by_name = vectorbase.rows_of_names(_objects(names.to_pandas()))
    return np.where((rows == UNKNOWN) & nameless, by_name, rows)


def _own_ids(
    reviews: pd.DataFrame, catalogue_ids: np.ndarray, catalogue_row: np.ndarray
) -> pd.Series:
    """The vectorbase's id of each product; for an unknown one, an id of the user's own.

    A review that names no product is told apart by its text.
    """
    name = reviews["product_id"].fillna(reviews["product_name"]).fillna(reviews["text"])
    own = reviews["user_id"] + _SEPARATOR + name
    known = catalogue_row != UNKNOWN
    ids = own.to_numpy(dtype=object).copy()
    ids[known] = catalogue_ids[catalogue_row[known]]
    kind = pd.ArrowDtype(REVIEW_SCHEMA.field("product_id").type)
    return pd.Series(ids, index=reviews.index, dtype=kind)


def _newest_nicknames(reviews: pd.DataFrame, user: np.ndarray, num_users: int) -> np.ndarray:
    nicknames = np.full(num_users, None, dtype=object)
    given = _objects(reviews["nickname"])
    told = np.flatnonzero(~pd.isna(given))
    nicknames[user[told]] = given[told]  # of several assignments the last one stays
    return nicknames


def _objects(column: pd.Series | Sequence) -> np.ndarray:
    return pd.Series(column).astype(object).where(pd.Series(column).notna(), None).to_numpy()


@dataclass(frozen=True)
class WrittenReview:
    """One review as it came in; markup is taken out later.

    Attributes:
        review_id: Names it in the reasons.
        product_id: Empty if it is not known.
        product_name: Empty if it is not known.
        product_info: What else is known of the product.
        style: Its category or variant.
        text: May be empty.
        rating: 1...5, or None.
        time: Seconds since 1970 (UTC), or None. Reviews without a time are older than all others
            and follow each other as they are given.
    """

    review_id: str
    product_id: str = ""
    product_name: str = ""
    product_info: str = ""
    style: str = ""
    text: str = ""
    rating: float | None = None
    time: int | None = None

    @property
    def product_key(self) -> str:
        """What tells a product that the vectorbase does not hold from others of the same writer."""
        return self.product_id or self.product_name or self.text


@dataclass(frozen=True)
class Author:
    """A person and what they wrote.

    Attributes:
        user_id: Who it is; two people may have the same.
        reviews: Any number, in any order.
        nickname: The name they go by, or None.
    """

    user_id: str
    reviews: Sequence[WrittenReview]
    nickname: str | None = None


def histories_of(authors: Sequence[Author], vectorbase: Vectorbase) -> Histories:
    """The same as `read_histories` for the same reviews, in a fraction of the time for few of them.

    People without any review are people, too: nothing is known of them.

    Args:
        authors: At least one.
        vectorbase: The catalogue.

    Raises:
        InputError: There is nobody.
    """
    if not authors:
        raise InputError("there is nobody to recommend to: no people were given")
    reviews, rows, keys, owners = [], [], [], []
    for owner, writer in enumerate(authors):
        found = _find_products_written_reviews(writer.reviews, vectorbase)
        for position in _kept_in_order(writer.reviews, found):
            review = writer.reviews[position]
            reviews.append(review)
            rows.append(found[position])
            # Strangers describe the same unknown product each in their own way.
            unknown = found[position] == UNKNOWN
            keys.append((owner, review.product_key) if unknown else found[position])
            owners.append(owner)
    product_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    described = {key: review for key, review in zip(keys, reviews, strict=True)}
    names, infos = [], []
    for key in product_of:
        unknown = isinstance(key, tuple)
        names.append(plain_text(described[key].product_name) if unknown else "")
        infos.append(_info(described[key]) if unknown else "")
    return Histories(
        review_ids=_texts([review.review_id for review in reviews]),
        texts=_texts([plain_text(review.text) for review in reviews]),
        rating=np.array(
            [np.nan if each.rating is None else each.rating for each in reviews], dtype=np.float32
        ),
        time=np.array(list(map(_seconds, reviews)), dtype=np.int64),
        catalogue_row=np.array(rows, dtype=np.int64),
        product=np.array([product_of[key] for key in keys], dtype=np.int64),
        product_names=_texts(names),
        product_infos=_texts(infos),
        user_ids=_texts([writer.user_id for writer in authors]),
        user_ptr=np.searchsorted(owners, np.arange(len(authors) + 1)).astype(np.int64),
        nicknames=_texts([writer.nickname for writer in authors]),
        order=np.arange(len(authors)),
    )


def _find_products_written_reviews(
    reviews: Sequence[WrittenReview], vectorbase: Vectorbase
) -> list[int]:
    """By id, or by the exact name where there is no id or the id is just the name."""
    by_id = vectorbase.rows_of(_texts([review.product_id or None for review in reviews]))
    by_name = vectorbase.rows_of_names(
        _texts([plain_text(review.product_name) or None for review in reviews])
    )
    return [
        int(named if row == UNKNOWN and review.product_id in ("", review.product_name) else row)
        for review, row, named in zip(reviews, by_id, by_name, strict=True)
    ]


def _kept_in_order(reviews: Sequence[WrittenReview], rows: Sequence[int]) -> list[int]:
    """Positions of the newest review of each product, the oldest first.

    An unknown time is the oldest; of equally old reviews the later one counts, but one that is
    told twice does not become later by that.
    """
    newest: dict[int | str, int] = {}
    told = set()
    for position, (review, row) in enumerate(zip(reviews, rows, strict=True)):
        product = review.product_key if row == UNKNOWN else row
        same = (product, review.text, review.rating, review.time)
        if review.time is not None and same in told:
            continue
        told.add(same)
        other = newest.get(product)
        if other is None or _seconds(review) >= _seconds(reviews[other]):
            newest[product] = position

    def age(position: int) -> tuple[int, int, str, str]:
        review = reviews[position]
        # Without times the order in which they were given is the order in time.
        place = position if review.time is None else 0
        return _seconds(review), place, review.review_id, review.product_key

    return sorted(newest.values(), key=age)


def _seconds(review: WrittenReview) -> int:
    return NO_TIME if review.time is None else review.time


def _info(review: WrittenReview) -> str:
    return product_info_text(plain_text(review.style), plain_text(review.product_info))


def _texts(values: list[str | None]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


#: Distinct texts, none of them empty -> float [n, D].
Encode = Callable[[Sequence[str]], np.ndarray]

#: As in the vector store: what training saw is what the model sees now.
VECTOR_DTYPE = np.float16


@dataclass(frozen=True)
class HistoryBatch:
    """U people of some histories as a graph.

    Attributes:
        inputs: The arrays that a `GraphBackend` takes.
        review: int64 [E], the review of each history edge, counted as in `Histories`.
        user: int64 [E], the user of each history edge, counted in the batch; ascending.
    """

    inputs: dict[str, np.ndarray]
    review: np.ndarray
    user: np.ndarray


def build_history_batch(
    histories: Histories, first: int, last: int, vectorbase: Vectorbase, encode: Encode
) -> HistoryBatch:
    """Builds the graph of the users ``first`` to ``last - 1`` with all their reviews as history.

    Args:
        histories: The people.
        first: First user.
        last: The user after the last one.
        vectorbase: Gives the vectors of the products it holds.
        encode: Gives the vectors of texts.
    """
    start, stop = histories.user_ptr[first], histories.user_ptr[last]
    own = slice(start, stop)
    products, product = np.unique(histories.product[own], return_inverse=True)
    texts = _TextRows(encode, vectorbase.name_vectors.shape[1])
    rows = texts.rows_of(
        [
            *histories.texts[own],
            *histories.product_names[products],
            *histories.product_infos[products],
        ]
    )
    edge_text, name_text, info_text = np.split(rows, [len(product), len(product) + len(products)])
    # Reviews of known products tell their catalogue row; each product has one, or none.
    catalogue_row = np.full(len(products), UNKNOWN)
    catalogue_row[product] = histories.catalogue_row[own]
    known = catalogue_row != UNKNOWN
    rows = catalogue_row[known]
    vectors = np.concatenate(
        [texts.vectors, vectorbase.name_vectors[rows], vectorbase.info_vectors[rows]],
        dtype=np.float32,
    )
    name_text[known] = len(texts.vectors) + np.arange(len(rows))
    info_text[known] = len(texts.vectors) + len(rows) + np.arange(len(rows))
    graph = ReviewGraph(
        user_ids=histories.user_ids[first:last],
        product_ids=products,
        user_ptr=histories.user_ptr[first : last + 1] - start,
        edge_product=product,
        edge_text=edge_text,
        edge_rating=histories.rating[own],
        edge_time=histories.time[own],
        product_name_text=name_text,
        product_info_text=info_text,
        product_brand=np.full(len(products), NO_BRAND),
    )
    summary = ReviewSummary(
        *(np.zeros((len(products), each.shape[1]), each.dtype) for each in vectorbase.reviews)
    )
    for some, all_of in zip(summary, vectorbase.reviews, strict=True):
        some[known] = all_of[rows]

    hidden = histories.says_nothing[own]
    builder = EgoBatchBuilder(graph, vectors, FixedReviews(summary))
    batch = builder.build(np.arange(last - first), np.zeros_like(hidden), hidden)
    # Edges are in the order of the reviews: both are by user, oldest first.
    return HistoryBatch(batch.model_inputs(), start + np.flatnonzero(~hidden), batch.edge_index[1])


class _TextRows:
    """A vector store for a moment: row 0 is the empty text."""

    def __init__(self, encode: Encode, vector_dim: int) -> None:
        self._encode = encode
        self.vectors = np.zeros((1, vector_dim), dtype=VECTOR_DTYPE)

    def rows_of(self, texts: Sequence[str]) -> np.ndarray:
        distinct = list(dict.fromkeys(text for text in texts if text))
        if distinct:
            encoded = np.asarray(self._encode(distinct)).astype(VECTOR_DTYPE)
            self.vectors = np.concatenate([self.vectors, encoded])
        row_of = {"": 0} | {text: row for row, text in enumerate(distinct, start=1)}
        return np.fromiter((row_of[text] for text in texts), np.int64, len(texts))
