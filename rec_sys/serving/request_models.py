"""What the service takes, field by field and as far as its settings limit it."""

import json
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any
from urllib.parse import unquote

import pydantic
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt
from starlette.concurrency import run_in_threadpool

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_whole_text
from rec_sys.inference.histories import Author, WrittenReview
from rec_sys.reviews.schema import MAX_RATING, MIN_RATING
from rec_sys.reviews.values import COMPACT_DATES, BrokenRecord, as_seconds, as_text, time_notation
from rec_sys.serving.access import Refused
from rec_sys.serving.limits import Limits

# No name or category of a shop is longer; texts have a limit of their own in the settings.
_MAX_NAME_LENGTH = 2000
# Two ids of 4 bytes a character fit into a row of an index of PostgreSQL (2,704 bytes).
_MAX_ID_LENGTH = 256
# Whoever gives more fields than there are for anything has made a mistake, or means ill.
_MOST_FIELDS = 20


def _whole_characters(text: str) -> str:
    # Half of a surrogate pair is no character and cannot be stored or encoded.
    if not is_whole_text(text):
        raise ValueError("holds half of a surrogate pair (a broken emoji?); take it out")
    if "\0" in text:  # no database but SQLite takes it
        raise ValueError("holds the character NUL; take it out")
    return text


def _named(text: str) -> str:
    # As in files, without space around; but here what is not known can be left out.
    if text.strip() and not as_text(text):
        raise ValueError(f"{text.strip()!r} names nothing; leave the field out")
    return as_text(text)


Text = Annotated[str, AfterValidator(_whole_characters)]
Name = Annotated[Text, Field(max_length=_MAX_NAME_LENGTH), AfterValidator(_named)]
_Short = Annotated[Text, Field(max_length=_MAX_ID_LENGTH)]
Id = Annotated[_Short, AfterValidator(_named)]
#: As it is given, but for space around: it goes back to those who gave it, who know others like it.
OwnId = Annotated[_Short, AfterValidator(lambda text: _named(text) and text.strip())]
#: An id in an address, where a slash and % are encoded once more, see `LimitsMiddleware`.
PathId = Annotated[
    str,
    BeforeValidator(lambda text: unquote(text) if isinstance(text, str) else text),
    Field(min_length=1, max_length=_MAX_ID_LENGTH),
    AfterValidator(_whole_characters),
]

_TIME = "2024-05-17T10:30:00Z"
_REVIEW = {
    "reviewID": "r1",
    "ProductName": "Nylon guitar strings",
    "TextReview": "Warm tone, easy on the fingers, and they stay in tune.",
    "rating": 5,
    "time": _TIME,
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

    @pydantic.model_validator(mode="before")
    @classmethod
    def _of_few_fields(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) > _MOST_FIELDS:
            raise ValueError("too many fields; see /openapi.json for those that there are")
        return value


def models_of(limits: Limits) -> tuple[type[_Given], type[_Given]]:
    """What ``/recommendations`` takes, and what is kept; the API's description has the limits."""
    Limited = Annotated[Text, Field(max_length=limits.text_characters)]

    class ReviewIn(_Given):
        """One review. At least one of TextReview, asin and ProductName is needed.

        A text that names neither a product nor stars is taken as a wish."""

        review_id: OwnId | None = Field(None, alias="reviewID", description="Made up if missing.")
        nickname: Name | None = None
        product_name: Name | None = Field(None, alias="ProductName")
        text: Limited | None = Field(None, alias="TextReview")
        style: Name | None = Field(None, alias="Style", description="Category or variant.")
        product_id: Id | None = Field(None, alias="asin", description="The product's id.")
        rating: float | None = Field(
            None, ge=MIN_RATING, le=MAX_RATING, strict=True, description="Stars."
        )
        time: StrictInt | Text | None = Field(
            None, description="ISO 8601, or a unix time in seconds or finer.", examples=[_TIME]
        )

        model_config = ConfigDict(
            json_schema_extra={
                "examples": [_REVIEW],
                "anyOf": [_has(name, "string", minLength=1) for name in _SAYING],
            }
        )

        @pydantic.field_validator("time")
        @classmethod
        def _a_time(cls, value: int | str | None) -> int | None:
            may_be_date = isinstance(value, str) and len(value.strip()) in COMPACT_DATES
            try:
                seconds = as_seconds(value, time_notation([value]) if may_be_date else None)
            except (BrokenRecord, InputError, OverflowError) as error:
                what, *_ = str(error).partition("; ")  # then of settings for files
                raise ValueError(f"{what}; write it like {_TIME}") from None
            if seconds is None and value is not None:
                raise ValueError(f"not a time; try {_TIME}, or leave it out")
            return seconds

        @pydantic.model_validator(mode="after")
        def _says_something(self) -> "ReviewIn":
            if not (self.text or self.product_id or self.product_name):
                raise ValueError("needs a TextReview, an asin or a ProductName")
            return self

    # The first review that is wrong is told, not all of a million.
    Reviews = Annotated[list[ReviewIn], Field(fail_fast=True, max_length=limits.reviews)]

    class PersonIn(_Given):
        """A person with their reviews, and what they want."""

        id: OwnId | None = None
        nickname: Name | None = None
        reviews: Reviews = []
        wish: Limited = Field("", description="What they want, in their own words.")

    People = Annotated[list[PersonIn], Field(fail_fast=True, max_length=limits.people)]

    class RecommendationsIn(_Given):
        """Whom to recommend to: one person by `reviews` and a `wish`, or many `people`."""

        reviews: Reviews | None = None
        wish: Limited = Field("", description="What the person wants, in their own words.")
        people: People | None = Field(None, min_length=1)
        k: StrictInt = Field(10, ge=1, le=limits.k, description="Products per person.")
        style: Name | None = Field(None, description="Only products of this category.")
        exclude: Annotated[list[Id], Field(fail_fast=True)] = Field(
            [], max_length=limits.exclude, description="Ids of products not to recommend."
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

        @pydantic.model_validator(mode="before")
        @classmethod
        def _not_too_many(cls, value: Any) -> Any:
            # Before anything is read: that alone would take long.
            people = value.get("people") if isinstance(value, dict) else None
            if not isinstance(people, list):
                return value
            given = [each.get("reviews") for each in people if isinstance(each, dict)]
            number = sum(len(each) for each in given if isinstance(each, list))
            if number > (most := limits.reviews_in_all):
                raise ValueError(f"people: {number} reviews are too many; send {most} at most")
            k = value.get("k", 10)
            if isinstance(k, int) and len(people) * k > limits.products_in_all:
                asked, most = f"{len(people)} times {k} products", limits.products_in_all
                raise ValueError(f"people: {asked} are too many; ask for {most} at most")
            return value

        @pydantic.model_validator(mode="after")
        def _one_of_both(self) -> "RecommendationsIn":
            if (self.reviews is None and not self.wish) == (self.people is None):
                either = "reviews and a wish (of one person) or people (with theirs)"
                raise ValueError(f"give either {either}")
            return self

        @property
        def authors(self) -> list[Author]:
            """Whom to recommend to; whoever gave no id goes by the empty one."""
            if self.people is None:
                return [author_of("", None, self.reviews or [], self.wish)]
            return [
                author_of(each.id or "", each.nickname, each.reviews, each.wish)
                for each in self.people
            ]

    class StoreIn(_Given):
        """Reviews to keep for a person."""

        nickname: Name | None = None
        reviews: Reviews = Field(min_length=1)

        model_config = ConfigDict(json_schema_extra={"examples": [{"reviews": [_REVIEW]}]})

    return RecommendationsIn, StoreIn


def author_of(user_id: str, nickname: str | None, reviews: Sequence[Any], wish: str = "") -> Author:
    """A person with reviews as the recommender takes them: one without an id goes by its number,
    from 0, and the person by the newest nickname that a review tells, if they give none."""
    told = [review.nickname for review in reviews if review.nickname]
    written = [
        WrittenReview(
            review_id=review.review_id or str(number),
            **review.model_dump(exclude={"review_id", "nickname"}, exclude_none=True),
        )
        for number, review in enumerate(reviews)
    ]
    return Author(user_id, written, nickname or (told[-1] if told else None), wish)


class ExactRoute(APIRoute):
    """Passes over nothing in silence: no parameter that it does not have, and neither one nor a
    field of the body that is given twice."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer, field = super().get_route_handler(), self.body_field
        takes_many = {each.alias: each.default == [] for each in self.dependant.query_params}

        async def answer_exactly(request: Request) -> Response:
            given = [name for name, _ in request.query_params.multi_items()]
            if unknown := [name for name in given if name not in takes_many]:
                what = "no such parameter; see /openapi.json for those that there are"
                raise Refused(422, what, unknown[0])
            _require_once([name for name in given if not takes_many[name]])
            exact = _ExactRequest(request.scope, request.receive)
            if field is not None and (body := await exact.body()):
                # In a thread: a body of many small objects would keep all others waiting.
                exact.checked = await run_in_threadpool(_checked, body, field.validate)
            return await answer(exact)

        return answer_exactly


class _ExactRequest(Request):
    checked: Any = None

    async def json(self) -> Any:
        return self.checked


def _checked(body: bytes, validate: Callable[..., tuple[Any, list[Any]]]) -> Any:
    """A body as its model takes it; FastAPI finds nothing left to do."""

    def fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        _require_once([name for name, _ in pairs])
        return dict(pairs)

    try:
        value = json.loads(body, object_pairs_hook=fields)
    except json.JSONDecodeError as error:
        raise Refused(422, f"not JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):
        why = "it is not UTF-8, is nested too deeply, or holds a number of too many digits"
        raise Refused(422, f"the body cannot be read: {why}") from None
    checked, errors = validate(value, {}, loc=("body",))
    if errors:
        raise RequestValidationError(errors)
    return checked


def _require_once(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        ((name, _),) = Counter(names).most_common(1)
        raise Refused(422, "is given more than once; give it once", name)
