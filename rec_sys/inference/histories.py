"""Reviews of people whom the model need never have seen, sorted out against the vectorbase."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import product_texts
from rec_sys.graph.segments import rows_to_pointers
from rec_sys.reviews.cleaning import clean_reviews
from rec_sys.reviews.columns import seconds_of, without_markup
from rec_sys.reviews.schema import REVIEW_SCHEMA
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
