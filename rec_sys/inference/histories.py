"""What people wrote, as histories and as inputs of the graph model, which need not know them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from operator import itemgetter

import numpy as np
import pandas as pd
import scipy.sparse

from rec_sys.foundation.errors import InputError
from rec_sys.graph.ego_batch import EgoBatchBuilder, ReviewSummary
from rec_sys.graph.review_graph import NO_BRAND, ReviewGraph, product_info_text
from rec_sys.modules.match import Wishes
from rec_sys.reviews.schema import NO_TIME, to_table
from rec_sys.reviews.tables import seconds_of
from rec_sys.reviews.values import name_key, plain_text
from rec_sys.text.store import distinct_texts
from rec_sys.text.words import count_words
from rec_sys.vector_database.vectorbase import Vectorbase

#: `Histories.catalogue_row` of a product that the vectorbase does not hold.
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class WrittenReview:
    """One review as it came in; markup is taken out later. What is not known is empty or None.
    `style`: category or variant; `rating`: 1...5; `time`: seconds since 1970 (UTC). Reviews without
    a time are older than all others and follow each other as they are given."""

    review_id: str
    product_id: str = ""
    product_name: str = ""
    product_info: str = ""
    style: str = ""
    text: str = ""
    rating: float | None = None
    time: int | None = None

    @property
    def is_wish(self) -> bool:
        """Whether it names neither a product nor stars: then it says what is wanted."""
        return bool(self.text) and not (self.product_id or self.product_name or self.rating)

    @property
    def product_key(self) -> str:
        """What tells a product that the vectorbase does not hold from others of the same author."""
        return self.product_id or name_key(self.product_name) or self.text

    @property
    def seconds(self) -> int:
        return NO_TIME if self.time is None else self.time


@dataclass(frozen=True)
class Author:
    """A user, what they wrote, in any order, and want, in words; two may have the same id."""

    user_id: str
    reviews: Sequence[WrittenReview]
    nickname: str | None = None
    wish: str = ""


def authors_in(reviews: pd.DataFrame) -> list[Author]:
    """The authors of a table with the columns of `REVIEW_SCHEMA`, as they first occur. The product
    id may be missing, the user must not be. Of several nicknames the newest counts."""
    table = to_table(reviews)
    names = ("review_id", "product_id", "product_name", "product_info", "style", "text")
    texts = (table[name].fill_null("").to_pylist() for name in names)
    others = (table[name].to_pylist() for name in ("user_id", "nickname", "rating"))
    written: dict[str, list[WrittenReview]] = {}
    nicknames: dict[str, tuple[int, str]] = {}
    for user, nickname, rating, seconds, *said in zip(
        *others, seconds_of(table["timestamp"]).tolist(), *texts, strict=True
    ):
        time = None if seconds == NO_TIME else seconds
        written.setdefault(user, []).append(WrittenReview(*said, rating=rating, time=time))
        if nickname and (user not in nicknames or seconds >= nicknames[user][0]):
            nicknames[user] = seconds, nickname
    plain = {user: plain_text(nickname) or None for user, (_, nickname) in nicknames.items()}
    return [Author(user, own, plain.get(user)) for user, own in written.items()]


@dataclass(frozen=True)
class Histories:
    """U users and their N reviews.

    A product that the vectorbase holds is taken from there. Any other one is described by the
    review's own words, for its author alone: what one user writes never changes what another one is
    recommended, however many are served together.

    Attributes:
        review_ids: str [N], by user, oldest first; one review per user and product.
        texts: str [N], without markup, may be empty.
        rating: float32 [N], 1...5, NaN if missing.
        time: int64 [N], seconds since 1970 (UTC), `NO_TIME` if missing.
        catalogue_row: int64 [N], row of the product in the vectorbase, or `UNKNOWN`.
        product_names: str [N], empty where the vectorbase holds the product.
        product_infos: str [N], likewise: style and description, see `product_info_text`.
        user_ids: str [U].
        user_ptr: int64 [U + 1], the reviews of user ``u`` are ``user_ptr[u]:user_ptr[u + 1]``.
        nicknames: str or None [U].
        wishes: str [U], without markup, may be empty.
    """

    review_ids: np.ndarray
    texts: np.ndarray
    rating: np.ndarray
    time: np.ndarray
    catalogue_row: np.ndarray
    product_names: np.ndarray
    product_infos: np.ndarray
    user_ids: np.ndarray
    user_ptr: np.ndarray
    nicknames: np.ndarray
    wishes: np.ndarray

    def __len__(self) -> int:
        return len(self.user_ids)

    def part(self, first: int, last: int) -> "Histories":
        """The users ``first`` to ``last - 1`` alone."""
        start, stop = self.user_ptr[first], self.user_ptr[last]
        parts = {each.name: getattr(self, each.name)[start:stop] for each in fields(self)}
        for name in ("user_ids", "nicknames", "wishes"):
            parts[name] = getattr(self, name)[first:last]
        return Histories(**parts | {"user_ptr": self.user_ptr[first : last + 1] - start})

    @property
    def all_texts(self) -> list[str]:
        """Everything that has to be encoded, repetitions and empty texts included."""
        return [*self.texts, *self.product_names, *self.product_infos, *self.wishes]

    @cached_property
    def is_known(self) -> np.ndarray:
        """bool [U], whether a text or a product of the vectorbase tells anything of the user."""
        tells = np.append(0, np.cumsum((self.texts != "") | (self.catalogue_row != UNKNOWN)))
        return (np.diff(tells[self.user_ptr]) > 0) | (self.wishes != "")

    @cached_property
    def says_nothing(self) -> np.ndarray:
        """bool [N]: neither text nor rating, on a product of which nothing is known either."""
        said = (self.texts != "") | (self.product_names != "") | (self.product_infos != "")
        return (self.catalogue_row == UNKNOWN) & np.isnan(self.rating) & ~said


def read_histories(
    reviews: pd.DataFrame | Sequence[Author], vectorbase: Vectorbase, wish: str | None = None
) -> Histories:
    """Cleans reviews as those of the training were, and finds their products in the vectorbase: by
    id, or, where that is missing or unknown, by the name, in any case and spacing, if one product
    alone has it. Of an author without any review nothing is known. `reviews`: a table, see
    `authors_in`, or authors; `wish`: what they all want. InputError if there is nobody."""
    authors = authors_in(reviews) if isinstance(reviews, pd.DataFrame) else reviews
    if not authors:
        raise InputError("there is nobody to recommend to: no reviews were given")
    kept: list[tuple[WrittenReview, int]] = []
    user_ptr, wishes = [0], []
    for author in authors:
        said = [review.text for review in author.reviews if review.is_wish]
        wishes.append("\n".join([wish or author.wish, *said]).strip())
        own = [review for review in author.reviews if not review.is_wish]
        kept += _newest_in_order(own, vectorbase)
        user_ptr.append(len(kept))
    reviews = [review for review, _ in kept]
    nothing = WrittenReview("")
    told = [review if row == UNKNOWN else nothing for review, row in kept]
    names = (plain_text(each.product_name) for each in told)
    infos = (product_info_text(*map(plain_text, (each.style, each.product_info))) for each in told)
    return Histories(
        review_ids=np.array([review.review_id for review in reviews], object),
        texts=np.array([plain_text(review.text) for review in reviews], object),
        rating=np.array([review.rating for review in reviews], np.float32),  # None becomes NaN
        time=np.array([review.seconds for review in reviews], np.int64),
        catalogue_row=np.array([row for _, row in kept], np.int64),
        product_names=np.fromiter(names, object),
        product_infos=np.fromiter(infos, object),
        user_ids=np.array([author.user_id for author in authors], object),
        user_ptr=np.array(user_ptr, np.int64),
        nicknames=np.array([author.nickname for author in authors], object),
        wishes=np.fromiter(map(plain_text, wishes), object),
    )


def _newest_in_order(
    reviews: Sequence[WrittenReview], vectorbase: Vectorbase
) -> list[tuple[WrittenReview, int]]:
    """The newest review of each product with the product's row, the oldest first. An unknown time
    is the oldest; of equally old ones the later counts, but being told twice makes none later."""
    newest: dict[int | str, tuple[tuple[int, int, str, str], WrittenReview, int]] = {}
    told = set()
    rows = vectorbase.rows_of([review.product_id or None for review in reviews]).tolist()
    for position, (review, row) in enumerate(zip(reviews, rows, strict=True)):
        if row == UNKNOWN:
            (row,) = vectorbase.rows_of_names([review.product_name]).tolist()
        product = review.product_key if row == UNKNOWN else row
        same = (product, review.text, review.rating, review.time)
        if review.time is not None and same in told:
            continue
        told.add(same)
        if product not in newest or review.seconds >= newest[product][1].seconds:
            # Without times the order in which they were given is the order in time.
            place = position if review.time is None else 0
            age = (review.seconds, place, review.review_id, review.product_key)
            newest[product] = age, review, row
    return [(review, row) for _, review, row in sorted(newest.values(), key=itemgetter(0))]


#: Distinct texts, none of them empty -> float [n, D].
Encode = Callable[[Sequence[str]], np.ndarray]

#: As in the vector store: what training saw is what the model sees now.
VECTOR_DTYPE = np.float16


@dataclass(frozen=True)
class HistoryBatch:
    """The users of some histories as a graph. `inputs` are what a `GraphBackend` takes. `review`:
    int64 [E], the review of each history edge, counted as in `Histories`; `user`: int64 [E],
    ascending; `wishes`: None if nobody says anything; `links`: see `Situation`."""

    inputs: dict[str, np.ndarray]
    review: np.ndarray
    user: np.ndarray
    wishes: Wishes | None
    links: scipy.sparse.csr_array | None


def build_history_batch(histories: Histories, base: Vectorbase, encode: Encode) -> HistoryBatch:
    """Builds the graph of some users and all their reviews; those who say nothing are all alike."""
    row, num_rows = histories.catalogue_row, len(base.keys)
    # A product that the vectorbase does not hold is its review's own.
    number = np.where(row == UNKNOWN, num_rows + np.arange(len(row)), row)
    products, first, product = np.unique(number, return_index=True, return_inverse=True)
    known = products < num_rows
    rows = products[known]

    names, infos = histories.product_names[first], histories.product_infos[first]
    distinct, text_row = distinct_texts([*histories.texts, *names, *infos, *histories.wishes])
    ends = np.cumsum([len(row), len(products), len(products)])
    edge_text, name_text, info_text, wish_text = np.split(text_row, ends)
    own_vectors = np.zeros((1 + len(distinct), base.name_vectors.shape[1]), VECTOR_DTYPE)
    if distinct:
        own_vectors[1:] = encode(distinct)
    name_text[known] = len(own_vectors) + np.arange(len(rows))
    info_text[known] = len(own_vectors) + len(rows) + np.arange(len(rows))
    parts = own_vectors, base.name_vectors[rows], base.info_vectors[rows]
    vectors = np.concatenate(parts, dtype=np.float32)
    graph = ReviewGraph(
        user_ids=histories.user_ids,
        product_ids=products,
        user_ptr=histories.user_ptr,
        edge_product=product,
        edge_text=edge_text,
        edge_rating=histories.rating,
        edge_time=histories.time,
        product_name_text=name_text,
        product_info_text=info_text,
        product_brand=np.full(len(products), NO_BRAND),
    )
    place = np.where(known, products, 0)
    summary = ReviewSummary(*(np.where(known[:, None], each[place], 0) for each in base.reviews))

    hidden = histories.says_nothing | ~np.repeat(histories.is_known, np.diff(histories.user_ptr))
    builder = EgoBatchBuilder(graph, vectors, summary)
    batch = builder.build(np.arange(len(histories)), np.zeros_like(hidden), hidden)
    # Edges are in the order of the reviews: both are by user, oldest first.
    review = np.flatnonzero(~hidden)
    has_wishes = (histories.wishes != "").any()
    wishes = Wishes.of(vectors[wish_text], count_words(histories.wishes)) if has_wishes else None
    # What an unknown product is called, and what is said about it.
    said = vectors[edge_text[review]] + vectors[name_text[product[review]]]
    links = base.match.links(said, row[review] == UNKNOWN)
    return HistoryBatch(batch.model_inputs(), review, batch.edge_index[1], wishes, links)
