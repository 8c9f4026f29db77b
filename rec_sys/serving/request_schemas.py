"""What the service takes, field by field."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    field_validator,
    model_validator,
)

from rec_sys.foundation.checks import is_whole_text
from rec_sys.foundation.errors import InputError
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING
from rec_sys.reviews.values import BrokenRecord, as_seconds

# No name, id or category of a shop is longer; texts have a limit of their own in the settings.
MAX_NAME_LENGTH = 2000


def whole_characters(text: str) -> str:
    """Refuses half of a surrogate pair, which is no character and cannot be stored or encoded.

    Raises:
        ValueError: There is one.
    """
    if not is_whole_text(text):
        raise ValueError("holds half of a surrogate pair (a broken emoji?); take it out")
    return text


Text = Annotated[str, AfterValidator(whole_characters)]
Name = Annotated[Text, Field(max_length=MAX_NAME_LENGTH)]

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
