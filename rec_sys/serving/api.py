"""The service over HTTP. What each part answers is in `rec_sys.serving.answer_schemas`."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Response, Security
from fastapi.responses import FileResponse
from fastapi.security import APIKeyHeader
from fastapi.staticfiles import StaticFiles

from rec_sys.foundation.errors import InputError
from rec_sys.inference.histories import UNKNOWN
from rec_sys.serving import answers
from rec_sys.serving.answer_schemas import (
    MapOut,
    ModelOut,
    PeopleOut,
    RecommendationsOut,
    SearchOut,
    SimilarOut,
    StylesOut,
)
from rec_sys.serving.gate import Gate
from rec_sys.serving.parts import Parts
from rec_sys.serving.refusals import REFUSALS, add_refusals
from rec_sys.serving.request_schemas import Name, PersonIn, RecommendationsIn
from rec_sys.serving.user_routes import user_routes

#: Names of this machine for itself.
LOOPBACK = ("127.0.0.1", "localhost", "::1")
PAGE = Path(__file__).parent / "page"
_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)


def create_app(parts: Parts, on_start: Callable[[], None]) -> FastAPI:
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
        Gate,
        limits=parts.limits,
        metrics=parts.metrics,
        retry_after=parts.settings.retry_after,
        hosts=LOOPBACK if parts.settings.host in LOOPBACK else None,
    )
    return app


def _recommendation_routes(parts: Parts) -> APIRouter:
    routes = APIRouter(tags=["recommendations"])

    @routes.post("/recommendations", response_model=RecommendationsOut)
    def recommend(body: RecommendationsIn) -> Response:
        """Recommends to one person or many by their reviews; nothing is kept."""
        limits = parts.limits
        limits.check_k(body.k)
        if body.people is None:
            limits.check_reviews(body.reviews)
            writers, ids = [answers.writer(PersonIn(reviews=body.reviews))], [None]
        else:
            limits.check_people(len(body.people))
            for number, person in enumerate(body.people):
                limits.check_reviews(person.reviews, f"people.{number}.reviews")
            writers = list(map(answers.writer, body.people))
            ids = [person.id for person in body.people]
        served = parts.service.served
        choice = parts.choice(served, body.style, body.exclude)
        return parts.recommend(served, writers, ids, body.k, choice)

    @routes.get("/people")
    def demo_people() -> PeopleOut:
        """People of the data set, to try the service with."""
        return PeopleOut(people=list(parts.service.bundle.people))

    return routes


def _product_routes(parts: Parts) -> APIRouter:
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


def _admin_routes(parts: Parts) -> APIRouter:
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


def _health_routes(parts: Parts) -> APIRouter:
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
