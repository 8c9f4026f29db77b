"""The service over HTTP: its routes, and the components that they share."""

import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Annotated, Any

import anyio
import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response, Security
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.staticfiles import StaticFiles

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import UNKNOWN, Author
from rec_sys.modules.inference_backends import BackendUnavailable
from rec_sys.serving import limits, schemas
from rec_sys.serving.access import KEY_HEADER, Access, Refused
from rec_sys.serving.encoding import Busy, half_the_time
from rec_sys.serving.limits import refusals
from rec_sys.serving.prometheus import Metrics
from rec_sys.serving.request_models import ExactRoute, Id, Name, PathId, Text, author_of, models_of
from rec_sys.serving.service import ServedBundle, Service, ServingSettings
from rec_sys.serving.user_store import StoreUnavailable, UserStore

log = logging.getLogger(__name__)

#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PAGE = Path(__file__).parent / "page"
# A readiness that takes longer to find out is none; it is looked at again after so long.
_READY_SECONDS = 1.0
# Nobody looks any more when nobody has asked for so long: a look writes to the database.
_ASKED_SECONDS = 60.0
_RETENTION_PAUSE_SECONDS = 3600.0
# What any guarded route may refuse, and one that takes a body.
_COMMON, _OF_BODY = refusals(400, 401, 403, 422, 429, 431, 503), refusals(408, 413, 415)


@dataclass(frozen=True)
class Components:
    """What the routes of one running service share."""

    service: Service
    store: UserStore
    metrics: Metrics
    settings: ServingSettings
    access: Access

    def is_ready(self) -> bool:
        """Whether recommendations can be had and reviews be kept; may wait for a database."""
        with suppress(StoreUnavailable):
            self.store.check()
            return self.service.is_ready
        return False

    def recommend(
        self,
        served: ServedBundle,
        authors: Sequence[Author],
        *,
        k: int,
        style: str | None,
        exclude: Sequence[str],
        known: dict[str, np.ndarray] | None = None,
    ) -> Response:
        """Recommends and counts; returns `RecommendationsOut` as JSON. `style`: the category of
        what may be recommended, None for all; `exclude`: ids, perhaps unknown ones; `known`: see
        `ServedBundle.recommend`. Raises as that does, and Refused if there is no such category."""
        require_style(served, style)
        base = served.vectorbase
        without = base.rows_of(exclude)
        candidates = np.full(len(base.keys), True) if style is None else base.styles == style
        candidates[without[without != UNKNOWN]] = False
        told = {"candidates": candidates, "known": known, "observe": self.metrics.stage}
        answer = served.recommend(authors, k, **told)
        self.metrics.answer((person.fallback for person in answer.people), answer.degraded)
        # Made to JSON here: FastAPI would check once more what has just been built.
        with served.computing:
            body = schemas.recommendations(answer, served)
        return Response(body, media_type="application/json")


def require_style(served: ServedBundle, style: str | None) -> None:
    """Refuses a category that no product has."""
    if style is not None and style not in served.styles:
        raise Refused(422, f"no product is of the category {style!r}; see GET /styles", "style")


def create_app(components: Components, on_start: Callable[[], None]) -> FastAPI:
    """Builds the application; when it runs, a thread of its own calls `on_start`, to be ready."""
    settings = components.settings

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = settings.limits.threads
        async with anyio.create_task_group() as tasks:
            # Neither takes a thread from those who ask.
            run = partial(anyio.to_thread.run_sync, limiter=anyio.CapacityLimiter(2))
            tasks.start_soon(run, on_start)
            tasks.start_soon(_look_whether_ready, components, app)
            if settings.retention_days is not None:
                tasks.start_soon(_forget_in_time, components.store, settings.retention_days, run)
            yield
            components.service.stop()
            tasks.cancel_scope.cancel()
        components.store.close()

    app = FastAPI(
        title="rec_sys",
        summary="Recommendations from what people write.",
        description="Reviews in, recommendations out, each with its reason.",
        # Its own metrics name routes; paths hold the ids of people.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
    )
    app.state.is_ready, app.state.asked = False, monotonic()
    app.state.own_threads = anyio.CapacityLimiter(2)
    limits.add_refusals(app, settings.retry_after)
    # For the documentation alone: the middleware looks at them before it reads a body.
    schemes = [APIKeyHeader(name=KEY_HEADER, auto_error=False), HTTPBearer(auto_error=False)]
    shown = [] if components.access.is_open else [Security(scheme) for scheme in schemes]
    for make in (_recommendation_routes, _user_routes, _product_routes, _admin_routes):
        app.include_router(make(components), dependencies=shown, responses=_COMMON)
    app.include_router(_health_routes(components), responses=refusals(400, 431))
    app.mount("/static", StaticFiles(directory=_PAGE), name="static")

    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    names = list(settings.hosts)
    if settings.host in LOOPBACK:
        # A page of another site could reach the service under a name of its own (DNS rebinding).
        names += [f"[{name}]" if ":" in name else name for name in LOOPBACK]
    if names:
        app.add_middleware(limits.HostsMiddleware, names=names)
    # The last one is the outermost: it counts what the other one refuses, too.
    shared = settings.limits, components.access, components.metrics, settings.retry_after
    app.add_middleware(limits.LimitsMiddleware, *shared)
    return app


async def _look_whether_ready(components: Components, app: FastAPI) -> None:
    """Whoever asks for it all the time waits for nobody's texts and nobody's table lock."""
    while True:
        is_asked = monotonic() < app.state.asked + _ASKED_SECONDS
        app.state.is_ready = is_asked and await _is_ready(components, app)
        await anyio.sleep(_READY_SECONDS)


async def _is_ready(components: Components, app: FastAPI) -> bool:
    with anyio.move_on_after(_READY_SECONDS):
        run = partial(anyio.to_thread.run_sync, abandon_on_cancel=True)
        try:
            return await run(components.is_ready, limiter=app.state.own_threads)
        except Exception:  # a fault of ours ends the look, not the service
            log.exception("cannot tell whether the service is ready")
    return False


async def _forget_in_time(store: UserStore, days: float, run: Callable[..., Any]) -> None:
    while True:
        try:
            deleted = await run(store.forget_older, days)
            log.info("retention: %d reviews deleted", deleted)
        except StoreUnavailable as error:
            log.error("retention: %s", error)
        await anyio.sleep(_RETENTION_PAUSE_SECONDS)


def _recommendation_routes(components: Components) -> APIRouter:
    routes = APIRouter(tags=["recommendations"], route_class=ExactRoute)
    service, (taken, _) = components.service, models_of(components.settings.limits)

    @routes.post("/recommendations", response_model=schemas.RecommendationsOut, responses=_OF_BODY)
    def recommend(body: taken) -> Response:  # type: ignore[valid-type]
        """Recommends to one person or many by their reviews; nothing is kept."""
        wanted = {"k": body.k, "style": body.style, "exclude": body.exclude}
        return components.recommend(service.served, body.authors, **wanted)

    @routes.get("/people")
    def demo_people() -> schemas.PeopleOut:
        """People of the data set, to try the service with."""
        return schemas.PeopleOut(people=list(service.bundle.people))

    return routes


def _user_routes(components: Components) -> APIRouter:
    routes = APIRouter(prefix="/users", tags=["people who are known"], route_class=ExactRoute)
    service, store = components.service, components.store
    most = components.settings.limits
    _, taken = models_of(most)
    missing = refusals(404)

    def own_data(user_id: PathId, request: Request) -> str:
        request.state.caller.require_person(user_id)
        return user_id

    user = Annotated[str, Depends(own_data)]
    nobody = Refused(404, "nobody with this id has written anything")

    @routes.post("/{user_id}/reviews", status_code=201, responses=_OF_BODY)
    def keep_reviews(user_id: user, body: taken) -> schemas.StoredOut:  # type: ignore
        """Keeps reviews of a person, who is made if new.

        They count in the next recommendation. A review without a time was written now; one whose
        `reviewID` is known already replaces the older one.
        """
        now, author = int(time()), author_of(user_id, body.nickname, body.reviews)
        reviews = [
            replace(
                review,
                review_id=given.review_id or uuid.uuid4().hex,
                time=now if review.time is None else review.time,
            )
            for given, review in zip(body.reviews, author.reviews, strict=True)
        ]
        if len({review.review_id for review in reviews}) < len(reviews):
            raise Refused(422, "two reviews have one reviewID; give each its own", "reviews")
        encoder = service.bundle.encoder_fingerprint
        try:
            served = service.served
            with half_the_time():
                vectors = served.encode([review.text for review in reviews])
            encoder = served.bundle.encoder_fingerprint
        except (BackendUnavailable, Busy):
            vectors = {}  # what people write is kept in any case, and encoded when it is needed
        total = store.add(user_id, reviews, vectors, encoder, author.nickname)
        return schemas.StoredOut(user=user_id, stored=len(reviews), reviews=total)

    def kept(user_id: str, newest: int) -> schemas.StoredReviewsOut:
        if (found := store.find(user_id, newest, "")) is None:
            raise nobody
        return schemas.StoredReviewsOut.model_validate(found)

    @routes.get("/{user_id}/reviews", responses=missing)
    def kept_reviews(user_id: user) -> schemas.StoredReviewsOut:  # type: ignore[valid-type]
        """What a person wrote, the newest reviews only if there are very many."""
        return kept(user_id, most.reviews)

    @routes.get("/{user_id}", responses=missing, response_model=schemas.StoredReviewsOut)
    def everything_kept(user_id: user, request: Request) -> Response:  # type: ignore[valid-type]
        """All that is kept of a person, to hand it over to them."""
        reviews = map(schemas.StoredReview.model_validate, store.everything_of(user_id))
        parts = schemas.in_parts(kept(user_id, 0), reviews)
        if request.scope["http_version"] == "1.0":  # which knows no answer in parts
            return Response("".join(parts), media_type="application/json")
        return StreamingResponse(parts, media_type="application/json")

    @routes.get("/{user_id}/recommendations", response_model=schemas.RecommendationsOut)
    def recommend_to_user(
        user_id: user,  # type: ignore[valid-type]
        k: Annotated[int, Query(ge=1, le=most.k)] = 10,
        wish: Annotated[Text, Query(max_length=most.text_characters)] = "",
        style: Name | None = None,
        exclude: Annotated[list[Id], Query(max_length=most.exclude)] = [],  # noqa: B006
    ) -> Response:
        """Recommends by what is kept of a person, and what they want now.

        An unknown person without a wish gets what is popular.
        """
        served = service.served
        found = store.find(user_id, most.reviews, served.bundle.encoder_fingerprint)
        author = Author(user_id, found.reviews, found.nickname) if found else Author(user_id, [])
        known = found.vectors if found else {}
        authors = [replace(author, wish=wish)]
        return components.recommend(served, authors, k=k, style=style, exclude=exclude, known=known)

    @routes.delete("/{user_id}", status_code=204, responses=missing)
    def forget(user_id: user) -> None:  # type: ignore[valid-type]
        """Deletes a person and all that they wrote."""
        if not store.forget(user_id):
            raise nobody

    return routes


def _product_routes(components: Components) -> APIRouter:
    routes = APIRouter(tags=["products"], route_class=ExactRoute)
    service, settings = components.service, components.settings
    number = Annotated[int, Query(ge=1, le=settings.limits.k)]

    @routes.get("/products/search")
    def search(
        q: Name = "",
        k: number = 10,  # type: ignore[valid-type]
        style: Name | None = None,
    ) -> schemas.SearchOut:
        """Finds products whose words begin with those of `q`; the most popular ones without any."""
        served = service.served
        require_style(served, style)
        return schemas.SearchOut(products=schemas.found(served, served.search.find(q, k, style)))

    @routes.get("/products/{product_id}/similar", responses=refusals(404))
    def similar(product_id: PathId, k: number = 10) -> schemas.SimilarOut:  # type: ignore
        """The products that are described most like this one."""
        served = service.served
        (row,) = served.vectorbase.rows_of([product_id]).tolist()
        if row == UNKNOWN:
            raise Refused(404, "no product has this id")
        return schemas.similar(served, row, k)

    @routes.get("/styles")
    def styles() -> dict[str, list[str]]:
        """The categories, the largest first."""
        return {"styles": service.served.styles}

    @routes.get("/map")
    def product_map() -> schemas.MapOut:
        """The most popular products as dots: the nearer, the more alike they are described."""
        return schemas.product_map(service.served, settings.map_products)

    @routes.get("/wishes")
    def example_wishes() -> dict[str, list[str]]:
        """What somebody may want here, to begin with: from the names of the most reviewed kinds."""
        return {"wishes": [each.wish for each in service.served.regions[: settings.example_wishes]]}

    return routes


def _admin_routes(components: Components) -> APIRouter:
    routes = APIRouter(prefix="/admin", tags=["administration"], route_class=ExactRoute)

    @routes.post("/reload", responses=refusals(409))
    def reload() -> schemas.ModelOut:
        """Takes up the bundle that is in the folder now; one that does not fit changes nothing."""
        try:
            bundle = components.service.reload()
        except InputError as error:
            raise Refused(409, f"the old bundle stays in use: {error}") from None
        return schemas.ModelOut(model=bundle.model_label, created=bundle.manifest["created"])

    return routes


def _health_routes(components: Components) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health/live")
    async def live() -> dict[str, str]:
        """Whether the process answers."""
        return {"status": "live"}

    @routes.get("/health/ready", responses={503: {"description": "Not yet, or not now."}})
    async def ready(request: Request, response: Response) -> dict[str, str]:
        """Whether recommendations can be had and reviews be kept, as last looked at."""
        request.app.state.asked = monotonic()
        if request.app.state.is_ready or await _is_ready(components, request.app):
            return {"status": "ready"}
        response.status_code = 503
        response.headers["Retry-After"] = str(components.settings.retry_after)
        return {"status": "models or database do not work, or are being loaded; see the log"}

    @routes.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        with suppress(BackendUnavailable):
            components.metrics.model(components.service.served.bundle.model_label)
        return Response(components.metrics.text(), media_type="text/plain; version=0.0.4")

    return routes
