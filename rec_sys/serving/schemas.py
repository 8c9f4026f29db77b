"""What goes in and out of the service, field by field."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING
from rec_sys.reviews.values import BrokenRecord, as_seconds

# No name, id or category of a shop is longer; texts have a limit of their own in the settings.
MAX_NAME_LENGTH = 2000
Name = Annotated[str, Field(max_length=MAX_NAME_LENGTH)]

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
    text: str | None = Field(None, alias="TextReview")
    style: Name | None = Field(None, alias="Style", description="Category or variant.")
    product_id: Name | None = Field(None, alias="asin", description="The product's id.")
    rating: float | None = Field(None, ge=MIN_RATING, le=MAX_RATING, description="Stars.")
    time: int | str | None = Field(
        None, description="ISO 8601, or seconds since 1970.", examples=["2024-05-17T10:30:00Z"]
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


class Item(Product):
    """A recommended product."""

    score: float = Field(description="Ranks; scores of two people cannot be compared.")
    predicted_rating: float = Field(description="Stars, 0...5.")
    reason: str = Field(description="Why, in words.")
    because: list[ReasonOut]
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


class Trouble(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Refused(BaseModel):
    """Why a request is refused."""

    detail: list[Trouble]
