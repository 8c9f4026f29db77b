"""What the service takes and answers, field by field, and the words of its answers."""

from collections.abc import Collection, Sequence
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
from rec_sys.inference.histories import Author, WrittenReview
from rec_sys.inference.recommender import Reason, Recommendation, UserRecommendations
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING
from rec_sys.reviews.values import BrokenRecord, as_seconds, as_text
from rec_sys.serving.service import Answer, ServedBundle

# No name, id or category of a shop is longer; texts have a limit of their own in the settings.
MAX_NAME_LENGTH = 2000


def _whole_characters(text: str) -> str:
    # Half of a surrogate pair is no character and cannot be stored or encoded.
    if not is_whole_text(text):
        raise ValueError("holds half of a surrogate pair (a broken emoji?); take it out")
    return text


Text = Annotated[str, AfterValidator(_whole_characters)]
# As in files: without space around, and "null" is nobody.
Name = Annotated[Text, Field(max_length=MAX_NAME_LENGTH), AfterValidator(as_text)]

_REVIEW = {
    "reviewID": "r1",
    "ProductName": "Nylon guitar strings",
    "TextReview": "Warm tone, easy on the fingers, and they stay in tune.",
    "rating": 5,
    "time": "2024-05-17T10:30:00Z",
}
_WORDS = {"TextReview": "I am looking for a small amplifier that sounds good when it is quiet."}


class _Given(BaseModel):
    """What comes in: an unknown field is a mistake, not something to pass over."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, allow_inf_nan=False)


class ReviewIn(_Given):
    """One review. At least one of TextReview, asin and ProductName is needed."""

    review_id: Name | None = Field(None, alias="reviewID", description="Made up if it is missing.")
    nickname: Name | None = None
    product_name: Name | None = Field(None, alias="ProductName")
    text: Text | None = Field(None, alias="TextReview")
    style: Name | None = Field(None, alias="Style", description="Category or variant.")
    product_id: Name | None = Field(None, alias="asin", description="The product's id.")
    rating: float | None = Field(
        None, ge=MIN_RATING, le=MAX_RATING, strict=True, description="Stars."
    )
    time: StrictInt | Text | None = Field(
        None,
        description="ISO 8601, or a unix time in seconds or finer.",
        examples=["2024-05-17T10:30:00Z"],
    )

    model_config = ConfigDict(json_schema_extra={"examples": [_REVIEW, _WORDS]})

    @field_validator("time")
    @classmethod
    def _a_time(cls, value: int | str | None) -> int | None:
        try:
            return as_seconds(value)
        except (BrokenRecord, InputError, OverflowError) as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _says_something(self) -> "ReviewIn":
        if not (self.text or self.product_id or self.product_name):
            raise ValueError("needs a TextReview, an asin or a ProductName")
        return self


class PersonIn(_Given):
    """A person with their reviews."""

    id: Name | None = None
    nickname: Name | None = None
    reviews: list[ReviewIn]


class RecommendationsIn(_Given):
    """Whom to recommend to, and from what: `reviews` of one person, or many `people`."""

    reviews: list[ReviewIn] | None = None
    people: list[PersonIn] | None = Field(None, min_length=1)
    k: int = Field(10, ge=1, description="Products per person.")
    style: Name | None = Field(None, description="Only products of this category.")
    exclude: list[Name] = Field([], description="Ids of products not to recommend.")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"reviews": [_WORDS], "k": 5},
                {"people": [{"id": "ann", "reviews": [_REVIEW]}, {"reviews": [_WORDS]}]},
            ]
        }
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "RecommendationsIn":
        if (self.reviews is None) == (self.people is None):
            raise ValueError("give either reviews (of one person) or people (with their reviews)")
        return self


class StoreIn(_Given):
    """Reviews to keep for a person."""

    nickname: Name | None = None
    reviews: list[ReviewIn] = Field(min_length=1)

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


class PlacedProduct(Product):
    """A dot of the map."""

    x: float
    y: float


class ReasonOut(BaseModel):
    """One of the person's own reviews."""

    review_id: str = Field(serialization_alias="reviewID")
    product_name: str = Field(serialization_alias="ProductName")
    text: str
    weight: float = Field(description="Its share in what speaks for the product, 0...1.")
    product_id: str = Field("", serialization_alias="asin")


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
    place: Place


class PersonOut(BaseModel):
    """What one person gets."""

    id: str | None
    nickname: str | None
    fallback: str | None = Field(description='"popular" if nothing is known of the person.')
    explanation: str | None
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


class StylesOut(BaseModel):
    """The categories, the largest first."""

    styles: list[str]


class MapOut(BaseModel):
    """Some products as dots."""

    products: list[PlacedProduct]
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


_QUOTED_CHARACTERS = 60
# Where no review of the person's is a reason: by the evidence that adds most to the score.
_WITHOUT_REVIEWS = {
    "popularity": "Popular: many people have reviewed it.",
    "trend": "Much reviewed of late.",
    "network": "It goes with what you told us.",
}
_OTHERWISE = "You may turn to it next."


def author_of(person: PersonIn) -> Author:
    """A person who goes by the newest nickname that a review tells, if they give none."""
    nickname = newest_nickname(person.reviews, person.nickname)
    return Author(person.id or "", written(person.reviews), nickname)


def newest_nickname(reviews: Sequence[ReviewIn], given: str | None) -> str | None:
    """The name that was given for the person, otherwise the last that a review tells."""
    told = [review.nickname for review in reviews if review.nickname]
    return given or (told[-1] if told else None)


def written(reviews: Sequence[ReviewIn]) -> list[WrittenReview]:
    """Reviews as the recommender takes them; one without an id goes by its number, from 0."""
    return [
        WrittenReview(
            review_id=review.review_id or str(number),
            product_id=review.product_id or "",
            product_name=review.product_name or "",
            style=review.style or "",
            text=review.text or "",
            rating=review.rating,
            time=review.time,
        )
        for number, review in enumerate(reviews)
    ]


def stored(review: WrittenReview) -> StoredReview:
    """A review that is kept, with its time as a date."""
    time = None if review.time is None else datetime.fromtimestamp(review.time, UTC)
    return StoredReview(**asdict(review) | {"time": time})


def recommendations(
    answer: Answer, ids: Sequence[str | None], served: ServedBundle
) -> RecommendationsOut:
    """An answer with everything that the page shows.

    Args:
        ids: Of the people; None for those who gave none.
        served: What answered.
    """
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
                    text=reason.text,
                    weight=min(reason.weight, 1.0),
                    product_id=reason.product_id,
                )
                for reason in each.because
            ],
            place=_point(served.space.places[row]),
        )
        for each, row in zip(recommended, served.vectorbase.rows_of(ids).tolist(), strict=True)
    ]


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
    rows, cosines = served.space.nearest(row, k)
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
    """The fields of `Product`."""
    base = served.vectorbase
    return {
        "product_id": base.product_ids[row],
        "product_name": base.labels[row],
        "style": base.styles[row],
    }


def _point(place: np.ndarray) -> Place:
    x, y = place.tolist()
    return Place(x=x, y=y)


def reason_in_words(
    recommended: Recommendation, is_known: bool = True, turned: Collection[str] = ()
) -> str:
    """Why a product is recommended, in one sentence for the person.

    Args:
        recommended: The product, and what speaks for it.
        is_known: Whether anything is known of the person; what the network says tells them
            nothing about themselves otherwise.
        turned: See `Combiner.reversed_evidences`; that such an evidence adds to the score does not
            mean that there is much of it.
    """
    if not recommended.because:
        evidence, most = max(recommended.contributions.items(), key=lambda item: item[1])
        if most <= 0 or evidence in turned or (evidence == "network" and not is_known):
            return _OTHERWISE
        return _WITHOUT_REVIEWS.get(evidence, _OTHERWISE)
    first, *others = recommended.because
    sentence = f"Because of {_subject(first)}"
    if not others:
        return f"{sentence}."
    share = f"{first.weight:.0%}".replace("%", " %")
    return f"{sentence} ({share}), then of {_subject(others[0])}."


def _subject(reason: Reason) -> str:
    if reason.product_name:
        return f"what you wrote about {_quoted(reason.product_name)}"
    return f"your words {_quoted(reason.text)}"


def _quoted(text: str) -> str:
    text = text.rstrip(" .")  # the sentence around it has its own end
    short = text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 1] + "…"
    return f"“{short}”"
