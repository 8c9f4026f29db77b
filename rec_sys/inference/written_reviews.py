"""A few reviews, as a person typed or posted them, without the tables that a file goes through."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rec_sys.foundation.errors import InputError
from rec_sys.graph.review_graph import NO_TIME, product_info_text
from rec_sys.inference.histories import UNKNOWN, Histories
from rec_sys.reviews.markup import plain_text
from rec_sys.vector_database.vectorbase import Vectorbase


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
class Writer:
    """A person and what they wrote.

    Attributes:
        user_id: Who it is; two people may have the same.
        reviews: Any number, in any order.
        nickname: The name they go by, or None.
    """

    user_id: str
    reviews: Sequence[WrittenReview]
    nickname: str | None = None


def histories_of(writers: Sequence[Writer], vectorbase: Vectorbase) -> Histories:
    """The same as `read_histories` for the same reviews, in a fraction of the time for few of them.

    People without any review are people, too: nothing is known of them.

    Args:
        writers: At least one.
        vectorbase: The catalogue.

    Raises:
        InputError: There is nobody.
    """
    if not writers:
        raise InputError("there is nobody to recommend to: no people were given")
    reviews, rows, keys, owners = [], [], [], []
    for owner, writer in enumerate(writers):
        found = _find_products(writer.reviews, vectorbase)
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
        user_ids=_texts([writer.user_id for writer in writers]),
        user_ptr=np.searchsorted(owners, np.arange(len(writers) + 1)).astype(np.int64),
        nicknames=_texts([writer.nickname for writer in writers]),
        order=np.arange(len(writers)),
    )


def _find_products(reviews: Sequence[WrittenReview], vectorbase: Vectorbase) -> list[int]:
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
