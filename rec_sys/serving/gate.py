"""What every request passes before it reaches the API: limits, clock, log, security headers.

As plain ASGI, so that a body that is too large is refused before it is read.
"""

import json
import logging
from collections.abc import Collection
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rec_sys.serving.limits import Limits
from rec_sys.serving.metrics import Metrics

log = logging.getLogger(__name__)

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


class Gate:
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
