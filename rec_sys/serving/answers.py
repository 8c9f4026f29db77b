"""From what the rooms below return to what the service answers, in words where people read it."""

from collections.abc import Sequence

import numpy as np

from rec_sys.inference.recommendation import Reason, Recommendation, UserRecommendations
from rec_sys.inference.written_reviews import Writer, WrittenReview
from rec_sys.serving.answer_schemas import (
    FoundProduct,
    Item,
    PersonOut,
    Place,
    PlacedProduct,
    ReasonOut,
    RecommendationsOut,
    SimilarProduct,
)
from rec_sys.serving.request_schemas import PersonIn, ReviewIn
from rec_sys.serving.served_bundle import Answer, ServedBundle

_QUOTED_CHARACTERS = 60
_POPULAR_REASON = "One of the products that most people reviewed."


def written(reviews: Sequence[ReviewIn]) -> list[WrittenReview]:
    """Reviews as the recommender takes them; one without an id goes by its number, from 0."""
    return [_written(review, str(number)) for number, review in enumerate(reviews)]


def _written(review: ReviewIn, otherwise: str) -> WrittenReview:
    return WrittenReview(
        review_id=review.review_id or otherwise,
        product_id=review.product_id or "",
        product_name=review.product_name or "",
        style=review.style or "",
        text=review.text or "",
        rating=review.rating,
        time=review.time,
    )


def writer(person: PersonIn) -> Writer:
    """A person as the recommender takes them; goes by the newest nickname that a review tells."""
    nickname = newest_nickname(person.reviews, person.nickname)
    return Writer(person.id or "", written(person.reviews), nickname)


def newest_nickname(reviews: Sequence[ReviewIn], given: str | None) -> str | None:
    """The name that was given for the person, otherwise the last that a review tells."""
    told = [review.nickname for review in reviews if review.nickname]
    return given or (told[-1] if told else None)


def recommendations(
    answer: Answer, ids: Sequence[str | None], served: ServedBundle
) -> RecommendationsOut:
    """An answer with everything that the page shows.

    Args:
        answer: The recommendations.
        ids: Of the people; None for those who gave none.
        served: What answered.
    """
    people = [
        _person(person, user_id, place, served)
        for person, user_id, place in zip(answer.people, ids, answer.places, strict=True)
    ]
    return RecommendationsOut(
        backend=answer.backend,
        degraded=answer.degraded,
        model=served.bundle.model_label,
        people=people,
    )


def found(served: ServedBundle, rows: np.ndarray) -> list[FoundProduct]:
    """What a search found."""
    table = served.vectorbase.products
    numbers = table["num_reviews"].to_numpy(dtype=np.int64)[rows].tolist()
    means = table["mean_rating"].to_numpy(dtype=np.float64, na_value=np.nan)[rows].tolist()
    return [
        FoundProduct(
            **named(served, row),
            num_reviews=number,
            mean_rating=None if np.isnan(mean) else mean,
        )
        for row, number, mean in zip(rows.tolist(), numbers, means, strict=True)
    ]


def similar(served: ServedBundle, row: int, k: int) -> list[SimilarProduct]:
    """What is described like a product."""
    rows, cosines = served.space.nearest(row, k)
    return [
        SimilarProduct(**named(served, other), similarity=cosine, place=_place(served, other))
        for other, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
    ]


def dots(served: ServedBundle, most: int) -> list[PlacedProduct]:
    """The most popular products as dots of the map."""
    places = served.space.places
    return [
        PlacedProduct(**named(served, row), x=float(places[row, 0]), y=float(places[row, 1]))
        for row in served.vectorbase.by_popularity[:most].tolist()
    ]


def reason_in_words(because: Sequence[Reason]) -> str:
    """Why a product is recommended, in one sentence for the person.

    Args:
        because: The heaviest first; empty for a fallback.
    """
    if not because:
        return _POPULAR_REASON
    first, *others = (each for each in because if each.weight > 0)
    sentence = f"Because of {_subject(first)}"
    if not others:
        return f"{sentence}."
    share = f"{first.weight:.0%}".replace("%", " %")
    return f"{sentence} ({share}), then of {_subject(others[0])}."


def _subject(reason: Reason) -> str:
    if reason.product_name:
        return f"what you wrote about {_quoted(reason.product_name)}"
    return f"your words {_quoted(reason.text)}"


def _person(
    person: UserRecommendations, user_id: str | None, place: np.ndarray, served: ServedBundle
) -> PersonOut:
    ids = [each.product_id for each in person.recommendations]
    rows = served.vectorbase.rows_of(np.array(ids, dtype=object)).tolist()
    return PersonOut(
        id=user_id,
        nickname=person.nickname,
        fallback=person.fallback,
        explanation=person.explanation,
        place=Place(x=float(place[0]), y=float(place[1])),
        recommendations=[
            _item(each, row, served) for each, row in zip(person.recommendations, rows, strict=True)
        ],
    )


def _item(each: Recommendation, row: int, served: ServedBundle) -> Item:
    return Item(
        **named(served, row),
        score=each.score,
        predicted_rating=each.predicted_rating,
        reason=reason_in_words(each.because),
        because=[
            ReasonOut(
                review_id=reason.review_id,
                product_name=reason.product_name,
                text=reason.text,
                weight=min(reason.weight, 1.0),
            )
            for reason in each.because
        ],
        place=_place(served, row),
    )


def named(served: ServedBundle, row: int) -> dict[str, str]:
    """The fields of `Product`."""
    base = served.vectorbase
    return {
        "product_id": base.product_ids[row],
        "product_name": base.names[row],
        "style": base.styles[row],
    }


def _place(served: ServedBundle, row: int) -> Place:
    x, y = served.space.places[row].tolist()
    return Place(x=x, y=y)


def _quoted(text: str) -> str:
    text = text.rstrip(" .")  # the sentence around it has its own end
    short = text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 1] + "…"
    return f"“{short}”"
