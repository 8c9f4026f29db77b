"""What a request may ask for, how it is refused, and the middleware that all requests pass."""

import logging
from collections.abc import Sequence
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rec_sys.foundation.settings import PositiveCount, settings_of
from rec_sys.inference.backends import BackendUnavailable
from rec_sys.inference.histories import WrittenReview
from rec_sys.serving.metrics import Metrics

log = logging.getLogger(__name__)


class FieldError(ValueError):
    """A field of a request cannot be accepted.

    Args:
        field: Its dotted name, as in ``reviews.0.TextReview``.
        message: What is wrong with it and what may be.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


@settings_of("serving.limits")
class Limits:
    """How much a request may ask for. Each check raises a `FieldError`."""

    body_bytes: PositiveCount
    text_characters: PositiveCount
    reviews: PositiveCount
    people: PositiveCount
    k: PositiveCount
    exclude: PositiveCount
    requests_at_once: PositiveCount
    threads: PositiveCount

    def check_k(self, k: int) -> None:
        """Checks how many products are asked for."""
        if k > self.k:
            raise FieldError("k", f"{k} products are too many; ask for {self.k} at most")

    def check_excluded(self, exclude: Sequence[str]) -> None:
        """Checks how many products are excluded."""
        if len(exclude) > self.exclude:
            raise FieldError(
                "exclude", f"{len(exclude)} are too many; exclude {self.exclude} at most"
            )

    def check_people(self, people: int) -> None:
        """Checks how many people are asked for."""
        if people > self.people:
            raise FieldError("people", f"{people} are too many; ask for {self.people} at most")

    def check_reviews(self, reviews: Sequence[WrittenReview], field: str = "reviews") -> None:
        """Checks how many reviews of a person there are and how long their texts are.

        Args:
            reviews: Of one person.
            field: Where they stand in the request.
        """
        if len(reviews) > self.reviews:
            raise FieldError(field, f"{len(reviews)} are too many; send {self.reviews} at most")
        for number, review in enumerate(reviews):
            self.check_text(review.text, f"{field}.{number}.TextReview")

    def check_text(self, text: str, field: str) -> None:
        """Checks how long a text is."""
        if len(text) > self.text_characters:
            raise FieldError(
                field, f"{len(text)} characters are too many; send {self.text_characters} at most"
            )


class Trouble(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Refused(BaseModel):
    """Why a request is refused."""

    detail: list[Trouble]


#: For the documentation of every route that takes something.
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refused, "description": "The API key is missing or wrong."},
    413: {"model": Refused, "description": "The body is too large."},
    422: {"model": Refused, "description": "A field cannot be accepted."},
    503: {"model": Refused, "description": "Too busy, or the models do not run; see Retry-After."},
}
# Where FastAPI found a value; the name of the field says enough.
_SOURCES = ("body", "query", "path", "header")


def add_refusals(app: FastAPI, retry_after: int) -> None:
    """Lets an application answer errors in the form of `Refused`.

    Args:
        retry_after: What to tell if the database does not answer, in seconds.
    """

    @app.exception_handler(FieldError)
    def field_error(request: Request, error: FieldError) -> JSONResponse:
        return _refused(422, error.message, error.field)

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": list(map(_trouble, error.errors()))}, 422)

    @app.exception_handler(BackendUnavailable)
    def unavailable(request: Request, error: BackendUnavailable) -> JSONResponse:
        log.warning("%s", error)
        seconds = max(1, round(error.retry_after))
        message = "the models do not run at the moment; try again"
        return _refused(503, message, headers={"Retry-After": str(seconds)})

    @app.exception_handler(OperationalError)
    def no_database(request: Request, error: OperationalError) -> JSONResponse:
        # Not the statement: it holds what people wrote.
        log.error("the database does not answer: %s", error.orig)
        message = "the database does not answer at the moment; try again"
        return _refused(503, message, headers={"Retry-After": str(retry_after)})

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        # It is logged with its traceback by the server.
        return _refused(500, "a fault of the service; please report it")

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        return _refused(error.status_code, str(error.detail), headers=error.headers)


def _refused(status: int, message: str, field: str = "", headers: Any = None) -> JSONResponse:
    return JSONResponse({"detail": [{"field": field, "message": message}]}, status, headers)


def _trouble(error: dict[str, Any]) -> dict[str, str]:
    location = error["loc"]
    if error["type"] == "json_invalid":
        message = f"not JSON: {error['ctx']['error']} at character {location[-1]}"
        return {"field": "", "message": message}
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "no such field; see /openapi.json for those that there are"
    names = location[1:] if location and location[0] in _SOURCES else location
    return {"field": ".".join(map(str, names)), "message": message}


# The page is made of its own files alone; nothing may load it into a frame.
_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# FastAPI's documentation page loads its scripts from elsewhere and is left to do so.
_DOCUMENTATION = ("/docs", "/redoc")
# Asked by machines, all the time, also of a service that is too busy for anything else.
_ALWAYS = ("/health/", "/metrics")
# Whatever else is asked for is one thing to Prometheus: strangers must not fill its memory.
_UNKNOWN = "unknown"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Told with a refusal before the body has been read: what is left of it is not read.
_UNREAD = {"Connection": "close"}


class LimitsMiddleware:
    """Refuses too large and too many requests, logs and counts all, adds safety headers.

    Args:
        retry_after: Told to those who are refused because too many came at once, in seconds.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, retry_after: int) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._retry_after = retry_after
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500
        path = scope["path"]

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not path.startswith(_DOCUMENTATION):
                    message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        counted = not path.startswith(_ALWAYS)
        self._count(+1 if counted else 0)
        try:
            if counted and self._working > self._limits.requests_at_once:
                message = "too many requests at once; try again"
                headers = _UNREAD | {"Retry-After": str(self._retry_after)}
                await _refused(503, message, headers=headers)(scope, receive, noting)
            else:
                await self._with_limited_body(scope, receive, noting)
        finally:
            self._count(-1 if counted else 0)
            # The template, not the path: paths hold the ids of people.
            route = getattr(scope.get("route"), "path", _UNKNOWN)
            seconds = perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            self._metrics.request(method, route, status, seconds)
            log.info("%s %s %d %.1f ms", method, route, status, 1000 * seconds)

    async def _with_limited_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit, read = self._limits.body_bytes, 0
        message = f"the body is too large; send {limit} bytes at most"
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await _refused(413, message, headers=_UNREAD)(scope, receive, send)
            return

        async def counting() -> Message:
            nonlocal read
            part = await receive()
            read += len(part.get("body", b""))
            if read > limit:
                raise HTTPException(413, message, _UNREAD)
            return part

        await self._app(scope, counting, send)

    def _count(self, change: int) -> None:
        self._working += change
        self._metrics.working(self._working)
