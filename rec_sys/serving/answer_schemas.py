"""What the service answers, field by field."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


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
