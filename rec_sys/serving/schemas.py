"""What the service answers, field by field, and why a product is recommended, in words."""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from rec_sys.inference.results import Reason, Recommendation, UserRecommendations, shortened
from rec_sys.serving.service import Answer, ServedBundle

# A review is a reason for each of the products: an answer must not be many times what was asked.
_SHOWN_CHARACTERS = 500
_QUOTED_CHARACTERS = 60
# Where no review of the person's is a reason: by the evidence that adds most to the score.
_WITHOUT_REVIEWS = {
    "popularity": "Popular: many people have reviewed it.",
    "trend": "Much reviewed of late.",
    "network": "It goes with what you told us.",
}
_OTHERWISE = "You may turn to it next."


class _Told(BaseModel):
    """What may be made of an object with such attributes."""

    model_config = ConfigDict(from_attributes=True)


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


class ReasonOut(_Told):
    """One of the person's own reviews."""

    review_id: str = Field(serialization_alias="reviewID")
    product_name: str = Field(serialization_alias="ProductName")
    text: Annotated[str, BeforeValidator(lambda text: shortened(text, _SHOWN_CHARACTERS))] = Field(
        description="Its beginning, if it is long."
    )
    weight: Annotated[float, BeforeValidator(lambda weight: min(weight, 1.0))] = Field(
        description="Its share in what speaks for the product, 0...1."
    )
    product_id: str = Field("", serialization_alias="asin")


class QuoteOut(_Told):
    """A sentence of somebody else's review."""

    text: str
    rating: float | None


class MatchOut(_Told):
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
    because: list[ReasonOut] = Field(description="Their liked reviews that speak most for it.")
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


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)


class StoredReview(_Told):
    """A review as it is kept."""

    review_id: str = Field(serialization_alias="reviewID")
    product_id: str = Field(serialization_alias="asin")
    product_name: str = Field(serialization_alias="ProductName")
    style: str = Field(serialization_alias="Style")
    text: str = Field(serialization_alias="TextReview")
    rating: float | None
    # Pydantic alone takes late seconds for milliseconds.
    time: Annotated[datetime | None, BeforeValidator(_moment)]


class StoredReviewsOut(_Told):
    """A person's reviews, the oldest first."""

    user: str = Field(validation_alias="user_id")
    nickname: str | None
    reviews: list[StoredReview]


def in_parts(whole: BaseModel, parts: Iterable[BaseModel]) -> Iterator[str]:
    """The JSON of a model whose last list is empty, with these in it. Python is held for one of
    them at a time, however many there are."""
    head, tail = whole.model_dump_json(by_alias=True).rsplit("[]", 1)
    yield head + "["
    for number, part in enumerate(parts):
        yield ("," if number else "") + part.model_dump_json(by_alias=True)
    yield "]" + tail


class ModelOut(BaseModel):
    """The model in use."""

    model: str
    created: str


def recommendations(answer: Answer, served: ServedBundle) -> str:
    """An answer with everything that the page shows: `RecommendationsOut` as JSON."""
    people = (
        PersonOut(
            **vars(person) | {"recommendations": _items(person, served)},
            id=person.user_id or None,
            place=_point(place),
        )
        for person, place in zip(answer.people, answer.places, strict=True)
    )
    how = {"backend": answer.backend, "degraded": answer.degraded}
    whole = RecommendationsOut(**how, model=served.bundle.model_label, people=[])
    return "".join(in_parts(whole, people))


def _items(person: UserRecommendations, served: ServedBundle) -> list[Item]:
    base, is_known = served.vectorbase, person.fallback is None
    rows = base.rows_of([each.product_id for each in person.recommendations]).tolist()
    return [
        Item(
            **vars(each) | _named(served, row),
            reason=reason_in_words(each, is_known, person.reversed_evidences),
            place=_point(served.space.places[row]),
        )
        for each, row in zip(person.recommendations, rows, strict=True)
    ]


def reason_in_words(
    recommended: Recommendation, is_known: bool = True, turned: Collection[str] = ()
) -> str:
    """Why a product is recommended, in one sentence for the person. What the network says tells
    people nothing about themselves if nothing `is_known` of them. That an evidence of `turned`, see
    `Combiner.reversed_evidences`, adds to the score does not mean that there is much of it."""
    match = recommended.match
    if match and match.weight > sum(reason.weight for reason in recommended.because):
        if not match.words:
            return "Close in meaning to your words."
        return f"Described with your words: {', '.join(map(_quoted, match.words))}."
    if not recommended.because:
        evidence, most = max(recommended.contributions.items(), key=lambda item: item[1])
        if most <= 0 or evidence in turned or (evidence == "network" and not is_known):
            return _OTHERWISE
        return _WITHOUT_REVIEWS.get(evidence, _OTHERWISE)
    first, *others = recommended.because
    sentence = f"Because of {_subject(first)}"
    if not others:
        return f"{sentence}."
    return f"{sentence} ({100 * first.weight:.0f} %), then of {_subject(others[0])}."


def _subject(reason: Reason) -> str:
    if reason.product_name:
        return f"what you wrote about {_quoted(reason.product_name)}"
    return f"your words {_quoted(reason.text)}"


def _quoted(text: str) -> str:
    text = text.rstrip(" .")  # the sentence around it has its own end
    return f"“{shortened(text, _QUOTED_CHARACTERS)}”"


def found(served: ServedBundle, rows: np.ndarray) -> list[FoundProduct]:
    """What a search found."""
    table = served.vectorbase.products[["num_reviews", "mean_rating"]].iloc[rows].astype(object)
    numbers = table.where(table.notna(), None).to_dict("records")
    told = zip(rows.tolist(), numbers, strict=True)
    return [FoundProduct(**_named(served, row), **of_reviews) for row, of_reviews in told]


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


def product_map(served: ServedBundle, most: int) -> MapOut:
    """The most popular products as dots of the map, and what lies where."""
    products = [
        PlacedProduct(**_named(served, row), **_point(served.space.places[row]))
        for row in served.vectorbase.by_popularity[:most].tolist()
    ]
    regions = [RegionOut(label=each.label, **_point(each.place)) for each in served.regions]
    total = served.vectorbase.num_products
    return MapOut(products=products, regions=regions, shown=len(products), of=total)


def _named(served: ServedBundle, row: int) -> dict[str, str]:
    base = served.vectorbase
    told = {"product_id": base.product_ids, "product_name": base.labels, "style": base.styles}
    return {name: values[row] for name, values in told.items()}


def _point(place: np.ndarray) -> dict[str, float]:
    return dict(zip("xy", place.tolist(), strict=True))
