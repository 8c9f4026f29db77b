"""What the service takes and answers, field by field, and the words of its answers."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    field_validator,
    model_validator,
)

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_whole_text
from rec_sys.inference.histories import WrittenReview
from rec_sys.inference.results import Recommendation, UserRecommendations
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING
from rec_sys.reviews.values import BrokenRecord, as_seconds, as_text
from rec_sys.serving.reasons import SHOWN_CHARACTERS, reason_in_words, shortened
from rec_sys.serving.service import Answer, ServedBundle

# No name or category of a shop is longer; texts have a limit of their own in the settings.
_MAX_NAME_LENGTH = 2000
# Two ids of 4 bytes a character fit into a row of an index of PostgreSQL (2,704 bytes).
MAX_ID_LENGTH = 256
# Whoever gives more fields than there are for anything has made a mistake, or means ill.
_MOST_FIELDS = 20


def whole_characters(text: str) -> str:
    """Refuses what is no text everywhere."""
    # Half of a surrogate pair is no character and cannot be stored or encoded.
    if not is_whole_text(text):
        raise ValueError("holds half of a surrogate pair (a broken emoji?); take it out")
    if "\0" in text:  # no database but SQLite takes it
        raise ValueError("holds the character NUL; take it out")
    return text


Text = Annotated[str, AfterValidator(whole_characters)]
# As in files: without space around, and "null" is nobody.
Name = Annotated[Text, Field(max_length=_MAX_NAME_LENGTH), AfterValidator(as_text)]
Id = Annotated[Text, Field(max_length=MAX_ID_LENGTH), AfterValidator(as_text)]

_REVIEW = {
    "reviewID": "r1",
    "ProductName": "Nylon guitar strings",
    "TextReview": "Warm tone, easy on the fingers, and they stay in tune.",
    "rating": 5,
    "time": "2024-05-17T10:30:00Z",
}
_WISH = "a small amplifier that sounds good when it is quiet"


# A review without any of these says nothing.
_SAYING = ("TextReview", "asin", "ProductName")


def _has(name: str, kind: str, **more: Any) -> dict[str, Any]:
    """For the description of the API: that a field is there and not null."""
    return {"required": [name], "properties": {name: {"type": kind, **more}}}


class _Given(BaseModel):
    """What comes in: an unknown field is a mistake, not something to pass over."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _of_few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError("too many fields; see /openapi.json for those that there are")
        return value


class ReviewIn(_Given):
    """One review. At least one of TextReview, asin and ProductName is needed.

    A text that names neither a product nor stars is taken as a wish.
    """

    review_id: Id | None = Field(None, alias="reviewID", description="Made up if it is missing.")
    nickname: Name | None = None
    product_name: Name | None = Field(None, alias="ProductName")
    text: Text | None = Field(None, alias="TextReview")
    style: Name | None = Field(None, alias="Style", description="Category or variant.")
    product_id: Id | None = Field(None, alias="asin", description="The product's id.")
    rating: float | None = Field(
        None, ge=MIN_RATING, le=MAX_RATING, strict=True, description="Stars."
    )
    time: StrictInt | Text | None = Field(
        None,
        description="ISO 8601, or a unix time in seconds or finer.",
        examples=["2024-05-17T10:30:00Z"],
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [_REVIEW],
            "anyOf": [_has(name, "string", minLength=1) for name in _SAYING],
        }
    )

    @field_validator("time")
    @classmethod
    def _a_time(cls, value: int | str | None) -> int | None:
        try:
            seconds = as_seconds(value)
        except (BrokenRecord, InputError, OverflowError) as error:
            raise ValueError(str(error)) from None
        if seconds is None and value is not None:
            raise ValueError("not a time; try 2024-05-17T10:30:00Z, or leave it out")
        return seconds

    @model_validator(mode="after")
    def _says_something(self) -> "ReviewIn":
        if not (self.text or self.product_id or self.product_name):
            raise ValueError("needs a TextReview, an asin or a ProductName")
        return self


# The first review that is wrong is told, not all of a million.
Reviews = Annotated[list[ReviewIn], Field(fail_fast=True)]


class PersonIn(_Given):
    """A person with their reviews, and what they want."""

    id: Id | None = None
    nickname: Name | None = None
    reviews: Reviews = []
    wish: Text = Field("", description="What they want, in their own words.")


class RecommendationsIn(_Given):
    """Whom to recommend to, and from what: one person's `reviews` and `wish`, or many `people`."""

    reviews: Reviews | None = None
    wish: Text = Field("", description="What the person wants, in their own words.")
    people: Annotated[list[PersonIn], Field(fail_fast=True)] | None = Field(None, min_length=1)
    k: StrictInt = Field(10, ge=1, description="Products per person.")
    style: Name | None = Field(None, description="Only products of this category.")
    exclude: Annotated[list[Id], Field(fail_fast=True)] = Field(
        [], description="Ids of products not to recommend."
    )

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"wish": _WISH, "k": 5},
                {"people": [{"id": "ann", "reviews": [_REVIEW]}, {"wish": _WISH}]},
            ],
            "oneOf": [
                _has("people", "array"),
                {"anyOf": [_has("reviews", "array"), _has("wish", "string", minLength=1)]},
            ],
        }
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "RecommendationsIn":
        if (self.reviews is None and not self.wish) == (self.people is None):
            raise ValueError(
                "give either reviews and a wish (of one person) or people (with theirs)"
            )
        return self


class StoreIn(_Given):
    """Reviews to keep for a person."""

    nickname: Name | None = None
    reviews: Reviews = Field(min_length=1)

    model_config = ConfigDict(json_schema_extra={"examples": [{"reviews": [_REVIEW]}]})


class Place(BaseModel):
    """A point of the map, each coordinate within -1...1."""

    x: float
    y: float


class Product(BaseModel):
    """A product of the catalogue."""

    product_id: str = Field(serialization_alias="asin")
    product_name: str = Field(serialization_alias="ProductName")
    style: str = Field(serialization_alias="Style")


class FoundProduct(Product):
    """A product that a search found."""

    num_reviews: int
    mean_rating: float | None


class SimilarProduct(Product):
    """A product that is described like another one."""

    similarity: float = Field(description="Cosine of what is said about both, -1...1.")
    place: Place


class PlacedProduct(Product, Place):
    """A dot of the map."""


class ReasonOut(BaseModel):
    """One of the person's own reviews."""

    review_id: str = Field(serialization_alias="reviewID")
    product_name: str = Field(serialization_alias="ProductName")
    text: str = Field(description="Its beginning, if it is long.")
    weight: float = Field(description="Its share in what speaks for the product, 0...1.")
    product_id: str = Field("", serialization_alias="asin")


class QuoteOut(BaseModel):
    """A sentence of somebody else's review."""

    text: str
    rating: float | None


class MatchOut(BaseModel):
    """Why the product fits the wish."""

    weight: float = Field(description="Its share in what speaks for the product, 0...1.")
    words: list[str] = Field(description="Words of the wish that others use for the product.")
    quote: QuoteOut | None = Field(description="What somebody wrote about it.")


class Item(Product):
    """A recommended product."""

    score: float = Field(description="Ranks; scores of two people cannot be compared.")
    contributions: dict[str, float] = Field(
        description="What each evidence adds to the score (co-reviewing, popularity, trend, ...);"
        " they add up to it."
    )
    predicted_rating: float = Field(description="Stars, 0...5.")
    reason: str = Field(description="Why, in words.")
    because: list[ReasonOut] = Field(
        description="Liked reviews of the person's that speak most for it."
    )
    match: MatchOut | None = Field(description="Null without a wish that speaks for it.")
    place: Place


class PersonOut(BaseModel):
    """What one person gets."""

    id: str | None
    nickname: str | None
    fallback: str | None = Field(description='"popular" if nothing is known of the person.')
    explanation: str | None
    wish: str = Field(description="What was understood as what they want; may be empty.")
    place: Place
    recommendations: list[Item]


class RecommendationsOut(BaseModel):
    """Recommendations, in the order of the people asked for."""

    backend: str = Field(description="What computed it: onnx or triton.")
    degraded: bool = Field(description="Whether it stood in for a backend that is down.")
    model: str = Field(description="The beginning of the model's fingerprint.")
    people: list[PersonOut]


class SimilarOut(Product):
    """A product and those that are described like it."""

    products: list[SimilarProduct]


class SearchOut(BaseModel):
    """What a search found, the best first."""

    products: list[FoundProduct]


class RegionOut(Place):
    """The middle of a part of the map."""

    label: str = Field(description="Words that set the products there apart.")


class MapOut(BaseModel):
    """Some products as dots, and what lies where."""

    products: list[PlacedProduct]
    regions: list[RegionOut]
    shown: int
    of: int


class PeopleOut(BaseModel):
    """Demo people."""

    people: list[dict[str, Any]]


class StoredOut(BaseModel):
    """What was kept."""

    user: str
    stored: int
    reviews: int = Field(description="How many of the person's reviews are kept now.")


class StoredReview(BaseModel):
    """A review as it is kept."""

    review_id: str = Field(serialization_alias="reviewID")
    product_id: str = Field(serialization_alias="asin")
    product_name: str = Field(serialization_alias="ProductName")
    style: str = Field(serialization_alias="Style")
    text: str = Field(serialization_alias="TextReview")
    rating: float | None
    time: datetime | None


class StoredReviewsOut(BaseModel):
    """A person's reviews, the oldest first."""

    user: str
    nickname: str | None
    reviews: list[StoredReview]


class ModelOut(BaseModel):
    """The model in use."""

    model: str
    created: str


def stored(review: WrittenReview) -> StoredReview:
    """A review that is kept, with its time as a date."""
    time = None if review.time is None else datetime.fromtimestamp(review.time, UTC)
    return StoredReview(**asdict(review) | {"time": time})


def recommendations(
    answer: Answer, ids: Sequence[str | None], served: ServedBundle
) -> RecommendationsOut:
    """An answer with everything that the page shows; `ids` are None for people who gave none."""
    return RecommendationsOut(
        backend=answer.backend,
        degraded=answer.degraded,
        model=served.bundle.model_label,
        people=[
            PersonOut(
                id=user_id,
                nickname=person.nickname,
                fallback=person.fallback,
                explanation=person.explanation,
                wish=person.wish,
                place=_point(place),
                recommendations=_items(person, served),
            )
            for person, user_id, place in zip(answer.people, ids, answer.places, strict=True)
        ],
    )


def _items(person: UserRecommendations, served: ServedBundle) -> list[Item]:
    recommended, is_known = person.recommendations, person.fallback is None
    turned = served.vectorbase.combiner.reversed_evidences
    ids = np.array([each.product_id for each in recommended], dtype=object)
    return [
        Item(
            **_named(served, row),
            score=each.score,
            contributions=each.contributions,
            predicted_rating=each.predicted_rating,
            reason=reason_in_words(each, is_known, turned),
            because=[
                ReasonOut(
                    review_id=reason.review_id,
                    product_name=reason.product_name,
                    text=shortened(reason.text, SHOWN_CHARACTERS),
                    weight=min(reason.weight, 1.0),
                    product_id=reason.product_id,
                )
                for reason in each.because
            ],
            match=_match(each),
            place=_point(served.space.places[row]),
        )
        for each, row in zip(recommended, served.vectorbase.rows_of(ids).tolist(), strict=True)
    ]


def _match(recommended: Recommendation) -> MatchOut | None:
    match = recommended.match
    if match is None:
        return None
    quote = match.quote and QuoteOut(text=match.quote.text, rating=match.quote.rating)
    return MatchOut(weight=match.weight, words=list(match.words), quote=quote)


def found(served: ServedBundle, rows: np.ndarray) -> list[FoundProduct]:
    """What a search found."""
    table = served.vectorbase.products
    numbers = table["num_reviews"].to_numpy(dtype=np.int64)[rows].tolist()
    means = table["mean_rating"].to_numpy(dtype=np.float64, na_value=np.nan)[rows].tolist()
    return [
        FoundProduct(
            **_named(served, row),
            num_reviews=number,
            mean_rating=None if np.isnan(mean) else mean,
        )
        for row, number, mean in zip(rows.tolist(), numbers, means, strict=True)
    ]


def similar(served: ServedBundle, row: int, k: int) -> SimilarOut:
    """A product with those that are described like it."""
    rows, cosines = served.vectorbase.nearest(row, k)
    products = [
        SimilarProduct(
            **_named(served, other), similarity=cosine, place=_point(served.space.places[other])
        )
        for other, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
    ]
    return SimilarOut(**_named(served, row), products=products)


def dots(served: ServedBundle, most: int) -> list[PlacedProduct]:
    """The most popular products as dots of the map."""
    return [
        PlacedProduct(**_named(served, row), **_point(served.space.places[row]).model_dump())
        for row in served.vectorbase.by_popularity[:most].tolist()
    ]


def _named(served: ServedBundle, row: int) -> dict[str, str]:
    base = served.vectorbase
    return {
        "product_id": base.product_ids[row],
        "product_name": base.labels[row],
        "style": base.styles[row],
    }


def _point(place: np.ndarray) -> Place:
    x, y = place.tolist()
    return Place(x=x, y=y)
