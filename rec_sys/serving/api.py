"""The service over HTTP: its routes, and the components that they share."""

import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
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
from starlette.middleware.trustedhost import TrustedHostMiddleware

from rec_sys.foundation.errors import InputError
from rec_sys.inference.backends import BackendUnavailable
from rec_sys.inference.histories import UNKNOWN, Author
from rec_sys.inference.recommender import CandidateFilter
from rec_sys.serving import schemas
from rec_sys.serving.bundle import Bundle
from rec_sys.serving.limits import REFUSALS, FieldError, LimitsMiddleware, add_refusals
from rec_sys.serving.metrics import Metrics
from rec_sys.serving.service import ServedBundle, Service, ServingSettings
from rec_sys.serving.user_store import UserStore

#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PAGE = Path(__file__).parent / "page"
_KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)

K = Annotated[int, Query(ge=1)]
UserId = Annotated[
    str, PathParameter(min_length=1, max_length=schemas.MAX_NAME_LENGTH, examples=["ann"])
]


@dataclass(frozen=True)
class Components:
    """What the routes of one running service share."""

    service: Service
    store: UserStore
    metrics: Metrics
    settings: ServingSettings

    def start(self) -> bool:
        """Runs the models, see `Service.start`."""
        has_started = self.service.start()
        if has_started:
            self.metrics.model(self.service.bundle.model_label)
        return has_started

    def reload(self) -> Bundle:
        """Takes up the bundle that is in the folder now, see `Service.reload`."""
        bundle = self.service.reload()
        self.metrics.model(bundle.model_label)
        return bundle

    def recommend(
        self,
        served: ServedBundle,
        authors: Sequence[Author],
        ids: Sequence[str | None],
        *,
        k: int,
        style: str | None,
        exclude: Sequence[str],
        known: dict[str, np.ndarray] | None = None,
    ) -> Response:
        """Recommends and counts.

        Args:
            ids: What the authors are called in the answer.
            style: The category of what may be recommended, or None for all.
            exclude: Ids; those that are not in the catalogue cannot be recommended anyway.
            known: Vectors of texts that need not be encoded.

        Returns:
            `RecommendationsOut` as JSON.

        Raises:
            FieldError: There is no such category, or the list is too long.
            BackendUnavailable: Nothing computes.
        """
        self.settings.limits.check_excluded(exclude)
        require_style(served, style)
        base = served.vectorbase
        among = None if style is None else np.flatnonzero(base.styles == style)
        without = base.rows_of(np.array(exclude, dtype=object))
        answer = served.recommend(
            authors,
            k,
            candidates=CandidateFilter(among, without[without != UNKNOWN]),
            known=known,
            observe=self.metrics.stage,
        )
        self.metrics.answer((person.fallback for person in answer.people), answer.degraded)
        told = schemas.recommendations(answer, ids, served)
        # Made to JSON here: FastAPI would check once more what has just been built.
        return Response(told.model_dump_json(by_alias=True), media_type="application/json")


def require_style(served: ServedBundle, style: str | None) -> None:
    """Refuses a category that no product has with a `FieldError`."""
    if style is not None and style not in served.styles:
        raise FieldError("style", f"no product is of the category {style!r}; see GET /styles")


def create_app(components: Components, on_start: Callable[[], None]) -> FastAPI:
    """Builds the application.

    Args:
        on_start: Called in a thread of its own when the server runs; makes the service ready.
    """
    settings = components.settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.limits.threads
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, on_start)
            yield
            components.service.stop()
        components.store.close()

    def require_key(key: Annotated[str | None, Security(_KEY_HEADER)]) -> None:
        wanted = settings.api_key
        if wanted and not secrets.compare_digest((key or "").encode(), wanted.encode()):
            raise HTTPException(401, "the header X-API-Key is missing or wrong")

    app = FastAPI(
        title="rec_sys",
        summary="Recommendations from what people write.",
        description="Reviews in, recommendations out, each with its reason.",
        lifespan=lifespan,
    )
    add_refusals(app, settings.retry_after)
    guarded = {"dependencies": [Depends(require_key)], "responses": REFUSALS}
    app.include_router(_recommendation_routes(components), **guarded)
    app.include_router(_user_routes(components), **guarded)
    app.include_router(_product_routes(components), **guarded)
    app.include_router(_admin_routes(components), **guarded)
    app.include_router(_health_routes(components))
    app.mount("/static", StaticFiles(directory=_PAGE), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    if settings.host in LOOPBACK:
        # A page of another site could reach the service under a name of its own (DNS rebinding).
        names = [f"[{name}]" if ":" in name else name for name in LOOPBACK]
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=names, www_redirect=False)
    # The last one is the outermost: it counts what the other one refuses, too.
    app.add_middleware(
        LimitsMiddleware,
        limits=settings.limits,
        metrics=components.metrics,
        retry_after=settings.retry_after,
    )
    return app


def _recommendation_routes(components: Components) -> APIRouter:
    routes = APIRouter(tags=["recommendations"])
    service, limits = components.service, components.settings.limits

    @routes.post("/recommendations", response_model=schemas.RecommendationsOut)
    def recommend(body: schemas.RecommendationsIn) -> Response:
        """Recommends to one person or many by their reviews; nothing is kept."""
        limits.check_k(body.k)
        if body.people is None:
            person = schemas.PersonIn(reviews=body.reviews or [], wish=body.wish)
            authors, ids = [schemas.author_of(person)], [None]
            limits.check_reviews(authors[0].reviews)
            limits.check_text(body.wish, "wish")
        else:
            limits.check_people(len(body.people))
            authors = list(map(schemas.author_of, body.people))
            ids = [person.id for person in body.people]
            for number, author in enumerate(authors):
                limits.check_reviews(author.reviews, f"people.{number}.reviews")
                limits.check_text(author.wish, f"people.{number}.wish")
        return components.recommend(
            service.served, authors, ids, k=body.k, style=body.style, exclude=body.exclude
        )

    @routes.get("/people")
    def demo_people() -> schemas.PeopleOut:
        """People of the data set, to try the service with."""
        return schemas.PeopleOut(people=list(service.bundle.people))

    return routes


def _user_routes(components: Components) -> APIRouter:
    routes = APIRouter(prefix="/users", tags=["people who are known"])
    service, store = components.service, components.store
    limits = components.settings.limits

    @routes.post("/{user_id}/reviews", status_code=201)
    def keep_reviews(user_id: UserId, body: schemas.StoreIn) -> schemas.StoredOut:
        """Keeps reviews of a person, who is made if new.

        They count in the next recommendation. A review without a time was written now; one whose
        `reviewID` is known already replaces the older one.
        """
        now = int(time())
        reviews = [
            replace(
                review,
                review_id=given.review_id or uuid.uuid4().hex,
                time=now if review.time is None else review.time,
            )
            for given, review in zip(body.reviews, schemas.written(body.reviews), strict=True)
        ]
        limits.check_reviews(reviews)
        encoder = service.bundle.encoder_fingerprint
        try:
            served = service.served
            vectors = served.encode([review.text for review in reviews])
            encoder = served.bundle.encoder_fingerprint
        except BackendUnavailable:
            vectors = {}  # what people write is kept in any case, and encoded when it is needed
        nickname = schemas.newest_nickname(body.reviews, body.nickname)
        total = store.add(user_id, reviews, vectors, encoder, nickname)
        stored = len({review.review_id for review in reviews})
        return schemas.StoredOut(user=user_id, stored=stored, reviews=total)

    @routes.get("/{user_id}/reviews")
    def kept_reviews(user_id: UserId) -> schemas.StoredReviewsOut:
        """What a person wrote, the newest reviews only if there are very many."""
        user = store.find(user_id, limits.reviews, "")
        if user is None:
            raise HTTPException(404, "nobody with this id has written anything")
        reviews = list(map(schemas.stored, user.reviews))
        return schemas.StoredReviewsOut(user=user_id, nickname=user.nickname, reviews=reviews)

    @routes.get("/{user_id}/recommendations", response_model=schemas.RecommendationsOut)
    def recommend_to_user(
        user_id: UserId,
        k: K = 10,
        wish: schemas.Text = "",
        style: schemas.Name | None = None,
        exclude: Annotated[list[schemas.Name], Query()] = [],  # noqa: B006 (FastAPI copies it)
    ) -> Response:
        """Recommends by what is kept of a person, and what they want now.

        An unknown person without a wish gets what is popular.
        """
        limits.check_k(k)
        limits.check_text(wish, "wish")
        served = service.served
        user = store.find(user_id, limits.reviews, served.bundle.encoder_fingerprint)
        author = Author(user_id, user.reviews, user.nickname) if user else Author(user_id, [])
        author = replace(author, wish=wish)
        known = user.vectors if user else {}
        return components.recommend(
            served, [author], [user_id], k=k, style=style, exclude=exclude, known=known
        )

    @routes.delete("/{user_id}", status_code=204)
    def forget(user_id: UserId) -> None:
        """Deletes a person and all that they wrote."""
        if not store.forget(user_id):
            raise HTTPException(404, "nobody with this id has written anything")

    return routes


def _product_routes(components: Components) -> APIRouter:
    routes = APIRouter(tags=["products"])
    service, limits = components.service, components.settings.limits

    @routes.get("/products/search")
    def search(
        q: schemas.Name = "", k: K = 10, style: schemas.Name | None = None
    ) -> schemas.SearchOut:
        """Finds products whose words begin with those of `q`; the most popular ones without any."""
        limits.check_k(k)
        served = service.served
        require_style(served, style)
        return schemas.SearchOut(products=schemas.found(served, served.search.find(q, k, style)))

    @routes.get(
        "/products/{product_id}/similar", responses={404: {"description": "No such product."}}
    )
    def similar(product_id: str, k: K = 10) -> schemas.SimilarOut:
        """The products that are described most like this one."""
        limits.check_k(k)
        served = service.served
        (row,) = served.vectorbase.rows_of(np.array([product_id], dtype=object)).tolist()
        if row == UNKNOWN:
            raise HTTPException(404, "no product has this id")
        return schemas.similar(served, row, k)

    @routes.get("/styles")
    def styles() -> schemas.StylesOut:
        """The categories, the largest first."""
        return schemas.StylesOut(styles=service.served.styles)

    @routes.get("/map")
    def product_map() -> schemas.MapOut:
        """The most popular products as dots: the nearer, the more alike they are described."""
        served = service.served
        shown = schemas.dots(served, components.settings.map_products)
        return schemas.MapOut(products=shown, shown=len(shown), of=served.vectorbase.num_products)

    return routes


def _admin_routes(components: Components) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["administration"])

    @routes.post(
        "/reload",
        responses={
            403: {"description": "The service has no API key."},
            409: {"description": "The bundle does not fit; the old one stays in use."},
        },
    )
    def reload() -> schemas.ModelOut:
        """Takes up the bundle that is in the folder now; one that does not fit changes nothing."""
        if not components.settings.api_key:
            raise HTTPException(403, "set serving.api_key to reload over HTTP, or send SIGHUP")
        try:
            bundle = components.reload()
        except InputError as error:
            raise HTTPException(409, f"the old bundle stays in use: {error}") from None
        return schemas.ModelOut(model=bundle.model_label, created=bundle.manifest["created"])

    return routes


def _health_routes(components: Components) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @routes.get("/health/ready", responses={503: {"description": "Not yet, or not now."}})
    def ready(response: Response) -> dict[str, str]:
        """Whether recommendations can be had: the models are loaded and warm."""
        if components.service.is_ready:
            return {"status": "ready"}
        response.status_code = 503
        response.headers["Retry-After"] = str(components.settings.retry_after)
        return {"status": "the models are being loaded, or their server does not answer"}

    @routes.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(components.metrics.text(), media_type="text/plain; version=0.0.4")

    return routes
