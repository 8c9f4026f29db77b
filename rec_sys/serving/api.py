"""The service over HTTP: its routes, and what they share."""

import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import Annotated

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Response, Security
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from fastapi.security import APIKeyHeader
from fastapi.staticfiles import StaticFiles
from omegaconf import DictConfig

from rec_sys.foundation.errors import InputError
from rec_sys.inference.backends import BackendUnavailable
from rec_sys.inference.histories import UNKNOWN, Author
from rec_sys.inference.recommender import CandidateFilter
from rec_sys.serving import schemas as answers
from rec_sys.serving.bundle import Bundle
from rec_sys.serving.limits import REFUSALS, FieldError, Limits, LimitsMiddleware, add_refusals
from rec_sys.serving.metrics import Metrics
from rec_sys.serving.schemas import (
    MAX_NAME_LENGTH,
    MapOut,
    ModelOut,
    Name,
    PeopleOut,
    PersonIn,
    RecommendationsIn,
    RecommendationsOut,
    SearchOut,
    SimilarOut,
    StoredOut,
    StoredReview,
    StoredReviewsOut,
    StoreIn,
    StylesOut,
)
from rec_sys.serving.service import ServedBundle, Service
from rec_sys.serving.user_store import UserStore


@dataclass(frozen=True)
class Components:
    """The parts of one running service.

    Attributes:
        service: Answers.
        store: Keeps what people wrote.
        limits: What a request may ask for.
        metrics: Counts.
        settings: ``config/serving``.
    """

    service: Service
    store: UserStore
    limits: Limits
    metrics: Metrics
    settings: DictConfig

    @property
    def api_key(self) -> str:
        """What clients have to know; empty for none."""
        given = self.settings.api_key
        return "" if given is None else str(given)

    def tell_model(self) -> None:
        """Lets the metrics name the model in use."""
        self.metrics.model(self.service.bundle.model_label)

    def reload(self) -> Bundle:
        """See `Service.reload`."""
        bundle = self.service.reload()
        self.tell_model()
        return bundle

    def choice(
        self, served: ServedBundle, style: str | None, exclude: Sequence[str]
    ) -> CandidateFilter:
        """The products that may be recommended.

        Args:
            served: Has the products.
            style: Their category, or None for all.
            exclude: Ids; those that are not in the catalogue cannot be recommended anyway.

        Raises:
            FieldError: There is no such category, or the list is too long.
        """
        self.limits.check_excluded(exclude)
        base = served.vectorbase
        without = base.rows_of(np.array(exclude, dtype=object))
        without = without[without != UNKNOWN]
        if style is None:
            return CandidateFilter(without=without)
        self.require_style(served, style)
        return CandidateFilter(np.flatnonzero(base.styles == style), without)

    def require_style(self, served: ServedBundle, style: str | None) -> None:
        """Refuses a category that no product has.

        Raises:
            FieldError: There is no such category.
        """
        if style is not None and style not in served.styles:
            raise FieldError("style", f"no product is of the category {style!r}; see GET /styles")

    def recommend(
        self,
        served: ServedBundle,
        authors: Sequence[Author],
        ids: Sequence[str | None],
        k: int,
        choice: CandidateFilter,
        known: dict[str, np.ndarray] | None = None,
    ) -> Response:
        """Recommends and counts.

        Args:
            served: What answers.
            authors: The people.
            ids: What they are called in the answer.
            k: Products per person.
            choice: The products that may be recommended.
            known: Vectors of texts that need not be encoded.

        Returns:
            `RecommendationsOut` as JSON.

        Raises:
            BackendUnavailable: Nothing computes.
        """
        answer = served.recommend(authors, k, choice, known or {}, self.metrics.stage)
        for person in answer.people:
            self.metrics.person(person.fallback)
        if answer.degraded:
            self.metrics.degraded()
        told = answers.recommendations(answer, ids, served)
        # Made to JSON here: FastAPI would check once more what has just been built.
        return Response(told.model_dump_json(by_alias=True), media_type="application/json")


UserId = Annotated[str, PathParameter(min_length=1, max_length=MAX_NAME_LENGTH, examples=["ann"])]


def user_routes(parts: Components) -> APIRouter:
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
        writer = Author(user_id, reviews, nickname)
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


#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PAGE = Path(__file__).parent / "page"
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)


def create_app(parts: Components, on_start: Callable[[], None]) -> FastAPI:
    """Builds the application.

    Args:
        parts: What the routes use.
        on_start: Called in a thread of its own when the server runs; makes the service ready.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = parts.limits.threads
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, on_start)
            yield
            parts.service.stop()
        parts.store.close()

    wanted = parts.api_key

    def key_holder(key: Annotated[str | None, Security(_HEADER)]) -> None:
        if wanted and not secrets.compare_digest((key or "").encode(), wanted.encode()):
            raise HTTPException(401, "the header X-API-Key is missing or wrong")

    app = FastAPI(
        title="rec_sys",
        summary="Recommendations from what people write.",
        description="Reviews in, recommendations out, each with its reason.",
        lifespan=lifespan,
    )
    add_refusals(app, parts.settings.retry_after)
    guarded = {"dependencies": [Depends(key_holder)], "responses": REFUSALS}
    app.include_router(_recommendation_routes(parts), **guarded)
    app.include_router(user_routes(parts), **guarded)
    app.include_router(_product_routes(parts), **guarded)
    app.include_router(_admin_routes(parts), **guarded)
    app.include_router(_health_routes(parts))
    app.mount("/static", StaticFiles(directory=PAGE), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.add_middleware(
        LimitsMiddleware,
        limits=parts.limits,
        metrics=parts.metrics,
        retry_after=parts.settings.retry_after,
        hosts=LOOPBACK if parts.settings.host in LOOPBACK else None,
    )
    return app


def _recommendation_routes(parts: Components) -> APIRouter:
    routes = APIRouter(tags=["recommendations"])

    @routes.post("/recommendations", response_model=RecommendationsOut)
    def recommend(body: RecommendationsIn) -> Response:
        """Recommends to one person or many by their reviews; nothing is kept."""
        limits = parts.limits
        limits.check_k(body.k)
        if body.people is None:
            limits.check_reviews(body.reviews)
            authors, ids = [answers.writer(PersonIn(reviews=body.reviews))], [None]
        else:
            limits.check_people(len(body.people))
            for number, person in enumerate(body.people):
                limits.check_reviews(person.reviews, f"people.{number}.reviews")
            authors = list(map(answers.writer, body.people))
            ids = [person.id for person in body.people]
        served = parts.service.served
        choice = parts.choice(served, body.style, body.exclude)
        return parts.recommend(served, authors, ids, body.k, choice)

    @routes.get("/people")
    def demo_people() -> PeopleOut:
        """People of the data set, to try the service with."""
        return PeopleOut(people=list(parts.service.bundle.people))

    return routes


def _product_routes(parts: Components) -> APIRouter:
    routes = APIRouter(tags=["products"])
    K = Annotated[int, Query(ge=1)]

    @routes.get("/products/search")
    def search(q: Name = "", k: K = 10, style: Name | None = None) -> SearchOut:
        """Finds products whose words begin with those of `q`; the most popular ones without any."""
        parts.limits.check_k(k)
        served = parts.service.served
        parts.require_style(served, style)
        return SearchOut(products=answers.found(served, served.search.find(q, k, style)))

    @routes.get(
        "/products/{product_id}/similar", responses={404: {"description": "No such product."}}
    )
    def similar(product_id: str, k: K = 10) -> SimilarOut:
        """The products that are described most like this one."""
        parts.limits.check_k(k)
        served = parts.service.served
        (row,) = served.vectorbase.rows_of(np.array([product_id], dtype=object)).tolist()
        if row == UNKNOWN:
            raise HTTPException(404, "no product has this id")
        return SimilarOut(**answers.named(served, row), products=answers.similar(served, row, k))

    @routes.get("/styles")
    def styles() -> StylesOut:
        """The categories, the largest first."""
        return StylesOut(styles=parts.service.served.styles)

    @routes.get("/map")
    def product_map() -> MapOut:
        """The most popular products as dots: the nearer, the more alike they are described."""
        served = parts.service.served
        shown = answers.dots(served, parts.settings.map_products)
        return MapOut(products=shown, shown=len(shown), of=served.vectorbase.num_products)

    return routes


def _admin_routes(parts: Components) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["administration"])

    @routes.post(
        "/reload",
        responses={
            403: {"description": "The service has no API key."},
            409: {"description": "The bundle does not fit; the old one stays in use."},
        },
    )
    def reload() -> ModelOut:
        """Takes up the bundle that is in the folder now; one that does not fit changes nothing."""
        if not parts.api_key:
            raise HTTPException(403, "set serving.api_key to reload over HTTP, or send SIGHUP")
        try:
            bundle = parts.reload()
        except InputError as error:
            raise HTTPException(409, f"the old bundle stays in use: {error}") from None
        return ModelOut(model=bundle.model_label, created=bundle.manifest["created"])

    return routes


def _health_routes(parts: Components) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @routes.get("/health/ready", responses={503: {"description": "Not yet, or not now."}})
    def ready(response: Response) -> dict[str, str]:
        """Whether recommendations can be had: the models are loaded and warm."""
        if parts.service.is_ready:
            return {"status": "ready"}
        response.status_code = 503
        response.headers["Retry-After"] = str(parts.settings.retry_after)
        return {"status": "the models are being loaded, or their server does not answer"}

    @routes.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(parts.metrics.text(), media_type="text/plain; version=0.0.4")

    return routes
