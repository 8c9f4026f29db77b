"""The part of the API that keeps what people wrote."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from rec_sys.inference.backend import BackendUnavailable
from rec_sys.inference.written_reviews import Writer
from rec_sys.serving import answers
from rec_sys.serving.answer_schemas import (
    RecommendationsOut,
    StoredOut,
    StoredReview,
    StoredReviewsOut,
)
from rec_sys.serving.parts import Parts
from rec_sys.serving.request_schemas import MAX_NAME_LENGTH, Name, StoreIn

UserId = Annotated[str, Path(min_length=1, max_length=MAX_NAME_LENGTH, examples=["ann"])]


def user_routes(parts: Parts) -> APIRouter:
    """The routes below ``/users``."""
    routes = APIRouter(prefix="/users", tags=["people who are known"])

    @routes.post("/{user_id}/reviews", status_code=201)
    def keep_reviews(user_id: UserId, body: StoreIn) -> StoredOut:
        """Keeps reviews of a person, who is made if new.

        They count in the next recommendation. A review without a time was written now; one whose
        `reviewID` is known already replaces the older one.
        """
        parts.limits.check_reviews(body.reviews)
        now = int(time())
        reviews = [
            replace(
                review,
                review_id=given.review_id or uuid.uuid4().hex,
                time=now if review.time is None else review.time,
            )
            for given, review in zip(body.reviews, answers.written(body.reviews), strict=True)
        ]
        encoder = parts.service.bundle.encoder_fingerprint
        try:
            served = parts.service.served
            vectors = served.encode([review.text for review in reviews])
            encoder = served.bundle.encoder_fingerprint
        except BackendUnavailable:
            vectors = {}  # what people write is kept in any case, and encoded when it is needed
        nickname = answers.newest_nickname(body.reviews, body.nickname)
        total = parts.store.add(user_id, reviews, vectors, encoder, nickname)
        stored = len({review.review_id for review in reviews})
        return StoredOut(user=user_id, stored=stored, reviews=total)

    @routes.get("/{user_id}/reviews")
    def kept_reviews(user_id: UserId) -> StoredReviewsOut:
        """What a person wrote, the newest reviews only if there are very many."""
        user = parts.store.find(user_id, parts.limits.reviews, "")
        if user is None:
            raise HTTPException(404, "nobody with this id has written anything")
        reviews = [
            StoredReview(
                **{name: getattr(review, name) for name in _SHOWN}, time=_moment(review.time)
            )
            for review in user.reviews
        ]
        return StoredReviewsOut(user=user_id, nickname=user.nickname, reviews=reviews)

    @routes.get("/{user_id}/recommendations", response_model=RecommendationsOut)
    def recommend_to_user(
        user_id: UserId,
        k: Annotated[int, Query(ge=1)] = 10,
        style: Name | None = None,
        exclude: Annotated[list[Name], Query()] = [],  # noqa: B006 (FastAPI copies it)
    ) -> Response:
        """Recommends by what is kept of a person; to an unknown one the most popular products."""
        parts.limits.check_k(k)
        served = parts.service.served
        choice = parts.choice(served, style, exclude)
        user = parts.store.find(user_id, parts.limits.reviews, served.bundle.encoder_fingerprint)
        reviews, known, nickname = (
            (user.reviews, user.vectors, user.nickname) if user else ([], {}, None)
        )
        writer = Writer(user_id, reviews, nickname)
        return parts.recommend(served, [writer], [user_id], k, choice, known)

    @routes.delete("/{user_id}", status_code=204)
    def forget(user_id: UserId) -> None:
        """Deletes a person and all that they wrote."""
        if not parts.store.forget(user_id):
            raise HTTPException(404, "nobody with this id has written anything")

    return routes


_SHOWN = ("review_id", "product_id", "product_name", "style", "text", "rating")


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
