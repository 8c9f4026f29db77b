"""What the service takes, as far as its settings limit it: the description of the API says so."""

from collections.abc import Sequence
from copy import copy
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    StrictInt,
    create_model,
    model_validator,
)

from rec_sys.inference.histories import Author, WrittenReview
from rec_sys.serving.limits import Limits
from rec_sys.serving.schemas import (
    MAX_ID_LENGTH,
    Id,
    PersonIn,
    RecommendationsIn,
    ReviewIn,
    StoreIn,
    Text,
    whole_characters,
)

#: An id in an address, where a slash and % are encoded once more, see `LimitsMiddleware`.
PathId = Annotated[
    str,
    BeforeValidator(lambda text: unquote(text) if isinstance(text, str) else text),
    Field(min_length=1, max_length=MAX_ID_LENGTH),
    AfterValidator(whole_characters),
]


class RequestModels(NamedTuple):
    """What the service takes, within its limits."""

    recommend: type[RecommendationsIn]
    store: type[StoreIn]


def request_models(limits: Limits) -> RequestModels:
    """The models of requests with the limits of the settings in them, so that all see them."""
    text = Annotated[Text, Field(max_length=limits.text_characters)]
    review = _with_types(ReviewIn, text=text | None)
    reviews = Annotated[list[review], Field(fail_fast=True, max_length=limits.reviews)]
    person = _with_types(PersonIn, reviews=reviews, wish=text)
    people = Annotated[list[person], Field(fail_fast=True, max_length=limits.people)]

    class Whom(RecommendationsIn):
        @model_validator(mode="before")
        @classmethod
        def _not_too_many(cls, value: Any) -> Any:
            # Before anything is read: that alone would take long.
            people = value.get("people") if isinstance(value, dict) else None
            if not isinstance(people, list):
                return value
            given = [each.get("reviews") for each in people if isinstance(each, dict)]
            number = sum(len(each) for each in given if isinstance(each, list))
            if number > limits.reviews_in_all:
                raise ValueError(
                    f"people: {number} reviews are too many; send {limits.reviews_in_all} at most"
                )
            k = value.get("k", 10)
            if isinstance(k, int) and len(people) * k > limits.products_in_all:
                raise ValueError(
                    f"people: {len(people)} times {k} products are too many; ask for"
                    f" {limits.products_in_all} at most"
                )
            return value

    Whom.__name__ = RecommendationsIn.__name__
    recommend = _with_types(
        Whom,
        reviews=reviews | None,
        wish=text,
        people=people | None,
        k=Annotated[StrictInt, Field(le=limits.k)],
        exclude=Annotated[list[Id], Field(fail_fast=True, max_length=limits.exclude)],
    )
    return RequestModels(recommend, _with_types(StoreIn, reviews=reviews))


def _with_types(model: type[BaseModel], **types: Any) -> Any:
    """A model of the same name some of whose fields are of narrower types."""
    fields: dict[str, Any] = {
        name: (kind, copy(model.model_fields[name])) for name, kind in types.items()
    }
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **fields)


def author_of(person: PersonIn) -> Author:
    """A person who goes by the newest nickname that a review tells, if they give none."""
    nickname = newest_nickname(person.reviews, person.nickname)
    return Author(person.id or "", written(person.reviews), nickname, person.wish)


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
