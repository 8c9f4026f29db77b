"""What every request passes before it reaches the API: limits, clock, log, refusals."""

import json
import logging
from collections.abc import Collection, Sequence
from time import perf_counter
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from omegaconf import DictConfig
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import is_whole
from rec_sys.inference.backends import BackendUnavailable
from rec_sys.serving.metrics import Metrics
from rec_sys.serving.schemas import Refused, ReviewIn


class FieldError(ValueError):
    """A field of a request that cannot be accepted.

    Args:
        field: Its dotted name, as in ``reviews.0.TextReview``.
        message: What is wrong with it and what may be.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message = field, message


class Limits:
    """The limits of ``config/serving``.

    Args:
        settings: ``serving.limits``.

    Raises:
        InputError: One of them is not a whole number from 1 up.
    """

    def __init__(self, settings: DictConfig) -> None:
        for name, value in settings.items():
            if not is_whole(value, least=1):
                raise InputError(f"serving.limits.{name}={value}: must be a whole number from 1 up")
        self.body_bytes: int = settings.body_bytes
        self.text_characters: int = settings.text_characters
        self.reviews: int = settings.reviews
        self.people: int = settings.people
        self.k: int = settings.k
        self.exclude: int = settings.exclude
        self.requests_at_once: int = settings.requests_at_once
        self.threads: int = settings.threads

    def check_k(self, k: int) -> None:
        """Refuses to recommend too many products.

        Raises:
            FieldError: `k` is too large.
        """
        if k > self.k:
            raise FieldError("k", f"{k} products are too many; ask for {self.k} at most")

    def check_excluded(self, exclude: Sequence[str]) -> None:
        """Refuses too long a list.

        Raises:
            FieldError: There are too many.
        """
        if len(exclude) > self.exclude:
            raise FieldError(
                "exclude", f"{len(exclude)} are too many; exclude {self.exclude} at most"
            )

    def check_people(self, people: int) -> None:
        """Refuses too many people.

        Raises:
            FieldError: There are too many.
        """
        if people > self.people:
            raise FieldError("people", f"{people} are too many; ask for {self.people} at most")

    def check_reviews(self, reviews: Sequence[ReviewIn], field: str = "reviews") -> None:
        """Refuses too many reviews and too long texts.

        Args:
            reviews: Of one person.
            field: Where they stand in the request.

        Raises:
            FieldError: There are too many, or one is too long.
        """
        if len(reviews) > self.reviews:
            raise FieldError(field, f"{len(reviews)} are too many; send {self.reviews} at most")
        for number, review in enumerate(reviews):
            length = len(review.text or "")
            if length > self.text_characters:
                raise FieldError(
                    f"{field}.{number}.TextReview",
                    f"{length} characters are too many; send {self.text_characters} at most",
                )


log = logging.getLogger(__name__)

#: For the documentation of every route that takes something.
REFUSALS: dict[int | str, dict[str, Any]] = {
    401: {"model": Refused, "description": "The API key is missing or wrong."},
    413: {"model": Refused, "description": "The body is too large."},
    422: {"model": Refused, "description": "A field cannot be accepted."},
    503: {"model": Refused, "description": "Too busy, or the models do not run; see Retry-After."},
}
# Where FastAPI found a value; the name of the field says enough.
_SOURCES = ("body", "query", "path", "header")
_PREFIX = "Value error, "


def add_refusals(app: FastAPI, retry_after: int) -> None:
    """Teaches an application to answer errors in the form of `Refused`.

    Args:
        app: The application.
        retry_after: What to tell if the database does not answer, in seconds.
    """

    @app.exception_handler(FieldError)
    def field_error(request: Request, error: FieldError) -> JSONResponse:
        return refused(422, [(error.field, error.message)])

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return refused(422, list(map(_trouble, error.errors())))

    @app.exception_handler(BackendUnavailable)
    def unavailable(request: Request, error: BackendUnavailable) -> JSONResponse:
        log.warning("%s", error)
        seconds = max(1, round(error.retry_after))
        message = "the models do not run at the moment; try again"
        return refused(503, [("", message)], {"Retry-After": str(seconds)})

    @app.exception_handler(OperationalError)
    def no_database(request: Request, error: OperationalError) -> JSONResponse:
        # Not the statement: it holds what people wrote.
        log.error("the database does not answer: %s", error.orig)
        message = "the database does not answer at the moment; try again"
        return refused(503, [("", message)], {"Retry-After": str(retry_after)})

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        # It is logged with its traceback by the server.
        return refused(500, [("", "a fault of the service; please report it")])

    @app.exception_handler(HTTPException)
    def other(request: Request, error: HTTPException) -> JSONResponse:
        return refused(error.status_code, [("", str(error.detail))], error.headers)


def refused(status: int, troubles: Sequence[tuple[str, str]], headers: Any = None) -> JSONResponse:
    """An answer that names fields and what is wrong with them."""
    detail = [{"field": field, "message": message} for field, message in troubles]
    return JSONResponse({"detail": detail}, status, headers)


def _trouble(error: dict[str, Any]) -> tuple[str, str]:
    if error["type"] == "json_invalid":
        return "", f"not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    if error["type"] == "extra_forbidden":
        return _field(error["loc"]), "no such field; see /openapi.json for those that there are"
    return _field(error["loc"]), str(error["msg"]).removeprefix(_PREFIX)


def _field(location: Sequence[int | str]) -> str:
    parts = location[1:] if location and location[0] in _SOURCES else location
    return ".".join(map(str, parts))


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


class _TooLarge(Exception):
    """The body goes on beyond the limit."""


class LimitsMiddleware:
    """Wraps an application.

    Args:
        app: The application.
        limits: The largest body, and how many requests are taken at once.
        metrics: Is told about each request.
        retry_after: Told to those who are refused because too many came at once, in seconds.
        hosts: The names under which the service may be asked; None for any. Otherwise a page of
            another site could reach it under a name of its own (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        metrics: Metrics,
        retry_after: int,
        hosts: Collection[str] | None,
    ) -> None:
        self._app, self._limits, self._metrics = app, limits, metrics
        self._retry_after, self._hosts = retry_after, hosts
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
            if self._hosts is not None and _host_of(scope) not in self._hosts:
                await _refuse(noting, 400, "the service is not known under this name")
            elif counted and self._working > self._limits.requests_at_once:
                await _refuse(
                    noting, 503, "too many requests at once; try again", self._retry_after
                )
            else:
                await self._pass(scope, receive, noting)
        finally:
            self._count(-1 if counted else 0)
            # The template, not the path: paths hold the ids of people.
            route = getattr(scope.get("route"), "path", _UNKNOWN)
            seconds = perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            self._metrics.request(method, route, status, seconds)
            log.info("%s %s %d %.1f ms", method, route, status, 1000 * seconds)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit, read, refused = self._limits.body_bytes, 0, False
        message = f"the body is too large; send {limit} bytes at most"
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await _refuse(send, 413, message)
            return

        async def counting() -> Message:
            nonlocal read
            part = await receive()
            read += len(part.get("body", b""))
            if read > limit:
                raise _TooLarge
            return part

        async def refusing(part: Message) -> None:
            """FastAPI makes an answer of its own of whatever is raised while it reads."""
            nonlocal refused
            if read <= limit:
                await send(part)
            elif not refused:
                refused = True
                await _refuse(send, 413, message)

        await self._app(scope, counting, refusing)

    def _count(self, change: int) -> None:
        self._working += change
        self._metrics.working(self._working)


def _host_of(scope: Scope) -> str:
    """The name in the header Host, without a port; of an IPv6 address without its brackets."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


async def _refuse(send: Send, status: int, message: str, retry_after: int | None = None) -> None:
    body = json.dumps({"detail": [{"field": "", "message": message}]}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        # What is left of the body is not read.
        (b"connection", b"close"),
    ]
    if retry_after is not None:
        headers.append((b"retry-after", str(retry_after).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
