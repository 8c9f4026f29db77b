"""What a request may ask for, how it is refused, and the middleware that all requests pass."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from time import monotonic, perf_counter
from typing import Annotated, Any
from urllib.parse import quote, unquote, unquote_to_bytes
from weakref import WeakValueDictionary

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rec_sys.foundation.errors import InputError
from rec_sys.foundation.settings import Positive, PositiveCount, Seconds, settings_of
from rec_sys.modules.inference_backends import BackendUnavailable
from rec_sys.serving.access import PERSON, Access, Caller, Refused, pseudonym
from rec_sys.serving.encoding import DEADLINE, PARTY, Busy, Deadline
from rec_sys.serving.prometheus import Metrics
from rec_sys.serving.user_store import StoreUnavailable

log = logging.getLogger(__name__)
#: Who touched whose data; ids of people are replaced by `pseudonym`, and no text is in it.
audit = logging.getLogger("rec_sys.audit")


@settings_of("serving.limits")
class Limits:
    """How much a request may ask for, and how long it may take; see ``config/serving``."""

    body_bytes: PositiveCount
    body_seconds: Seconds
    header_bytes: Annotated[int, Field(ge=256, lt=2**63)]
    header_seconds: Seconds
    connections: PositiveCount
    seconds: Annotated[float, Field(ge=0.1, le=1e9)]
    taken_per_second: Positive
    text_characters: PositiveCount
    texts: PositiveCount
    characters_per_turn: PositiveCount
    bulk_turns: PositiveCount
    bulk_at_once: PositiveCount
    reviews: PositiveCount
    reviews_in_all: PositiveCount
    kept_reviews: PositiveCount
    people: PositiveCount
    k: PositiveCount
    products_in_all: PositiveCount
    exclude: PositiveCount
    requests_at_once: PositiveCount
    threads: PositiveCount
    computing: PositiveCount
    requests_per_minute: PositiveCount
    person_requests_per_minute: PositiveCount

    def __post_init__(self) -> None:
        # What is kept of a person must be recommended by: a text, a name and a category a review.
        if self.texts < 3 * self.reviews:
            least = f"must be at least 3 times serving.limits.reviews={self.reviews}"
            raise InputError(f"serving.limits.texts={self.texts}: {least}")


class Trouble(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str


class Refusal(BaseModel):
    """Why a request is refused."""

    detail: list[Trouble]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the documentation of a route: the refusals that it may answer with."""
    return {status: {"model": Refusal, "description": _WHY[status]} for status in statuses}


_WHY = {
    400: "The address or the name of the host cannot be read.",
    401: "The API key or the token is missing or wrong.",
    403: "The key or the token does not allow it.",
    404: "There is no such person or product.",
    408: "The body did not come in time.",
    409: "The bundle does not fit; the old one stays in use.",
    413: "The body is too large.",
    415: "The body is not JSON, or packed.",
    422: "A field cannot be accepted.",
    431: "Address and headers are too large.",
    429: "Too many requests of this key or person; see Retry-After.",
    503: "Too busy, too slow, or models or database do not run; Retry-After if that may pass.",
}
# Where FastAPI found a value; the name of the field says enough.
_SOURCES = ("body", "query", "path", "header")
# So many faults are told; whoever makes more has not read the first ones yet.
_MOST_TROUBLES = 20
# A field that there is not may have any name.
_LONGEST_FIELD = 200


def add_refusals(app: FastAPI, retry_after: int) -> None:
    """Lets an application answer errors in the form of `Refusal`; `retry_after`, in seconds, is
    told if there is too much to do."""

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": list(map(_trouble, error.errors()[:_MOST_TROUBLES]))}, 422)

    @app.exception_handler(BackendUnavailable)
    def unavailable(request: Request, error: BackendUnavailable) -> JSONResponse:
        log.warning("%s", error)
        seconds = max(1, round(error.retry_after))
        message = "the models do not run at the moment; try again"
        return _refused(503, message, headers={"Retry-After": str(seconds)})

    @app.exception_handler(StoreUnavailable)
    def no_database(request: Request, error: StoreUnavailable) -> JSONResponse:
        log.error("%s", error)
        if error.is_lasting:
            return _refused(503, "the database cannot be used; the service's log says why")
        return _answer(Busy("the database does not answer at the moment; try again"), retry_after)

    @app.exception_handler(Exception)
    def fault(request: Request, error: Exception) -> JSONResponse:
        # It is logged with its traceback by the server.
        return _refused(500, "a fault of the service; please report it")

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 405:  # Starlette names the methods of one route alone

            def is_taken(method: str) -> bool:
                asked = request.scope | {"method": method.replace("HEAD", "GET")}
                return any(route.matches(asked)[0] is Match.FULL for route in app.routes)

            error.headers = {"Allow": ", ".join(filter(is_taken, _METHODS))}
        return _answer(error, retry_after)


def _answer(error: HTTPException, retry_after: int) -> JSONResponse:
    headers = dict(error.headers or {})
    if error.status_code == 503:
        headers.setdefault("Retry-After", str(retry_after))
    return _refused(error.status_code, error.detail, getattr(error, "field", ""), headers)


def _refused(status: int, message: str, field: str = "", headers: Any = None) -> JSONResponse:
    return JSONResponse({"detail": [_told(field, message)]}, status, headers)


def _told(field: str, message: str) -> dict[str, str]:
    # It may hold half of a surrogate pair, which cannot be sent.
    return {"field": field[:_LONGEST_FIELD].encode(errors="replace").decode(), "message": message}


def _trouble(error: dict[str, Any]) -> dict[str, str]:
    location = error["loc"]
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "no such field; see /openapi.json for those that there are"
    names = location[1:] if location and location[0] in _SOURCES else location
    return _told(".".join(map(str, names)), message)


# The page is made of its own files alone; nothing may load it into a frame.
_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
# FastAPI's documentation page loads its scripts from elsewhere and is left to do so.
_DOCUMENTATION = ("/docs", "/redoc")
#: Asked by machines, all the time, also of a service that is too busy for anything else.
ALWAYS = ("/health/", "/metrics")
#: In the state of a request: whether it came when there were more connections than there may be.
TOO_MANY = "too_many_connections"
# Answered without a key: nothing of what people wrote is there. Everything else needs one.
_PUBLIC = (*ALWAYS, *_DOCUMENTATION, "/static/", "/openapi.json")
_AUDITED = ("/users/", "/admin/")
# Whatever else is asked for is one thing to Prometheus: strangers must not fill its memory.
_UNKNOWN = "unknown"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# As nginx logs it: whoever asked has not waited for the answer.
_GONE = 499
#: A key may hold a thread at its texts, and one at the database.
LEAST_THREADS = 3
_REFUSED_AT_ONCE = 4  # between two looks of the loop at others
_NO_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class HostsMiddleware:
    """Refuses to be asked under other names than these, which may begin with ``*.``."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        async def known(*_: Any) -> None:
            """It is passed on below."""

        self._app, self._check = app, TrustedHostMiddleware(known, names, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def refuse(_: Message) -> None:  # Starlette's refusal is no JSON
            raise Refused(400, "this service has another name; it is set by serving.hosts")

        if scope["type"] == "http":
            await self._check(scope, receive, refuse)
        await self._app(scope, receive, send)


class LimitsMiddleware:
    """Admits callers, refuses too large, too slow and too many requests, logs and counts all. Those
    refused because too much is to do are told `retry_after`, in seconds."""

    def __init__(
        self, app: ASGIApp, limits: Limits, access: Access, metrics: Metrics, retry_after: int
    ) -> None:
        self._app, self._limits, self._access, self._metrics = app, limits, access, metrics
        self._retry_after = retry_after
        self._unread_bytes: Counter[Any] = Counter()
        self._store_turns = asyncio.Semaphore(max(1, limits.threads // 2))
        self._refusals = asyncio.Semaphore(_REFUSED_AT_ONCE)
        self._long_turns = asyncio.Semaphore(max(1, limits.threads // 2))
        self._turns: WeakValueDictionary[Any, asyncio.Semaphore] = WeakValueDictionary()
        self._tasks: dict[asyncio.Task[None], Caller | None] = {}
        metrics.working.set_function(lambda: len(self._tasks))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, is_head = perf_counter(), _GONE, scope["method"] == "HEAD"
        # A copy: the server looks at its own to leave out the body of an answer to HEAD.
        scope = {**scope, "state": dict(scope.get("state", {}))}

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if not scope["path"].startswith(_DOCUMENTATION):
                    message["headers"] = [*message["headers"], *_HEADERS]
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self._serve(scope, receive, noting)
        except Refused as error:
            async with self._refusals:  # a hundred who hang up at once keep nobody else waiting
                await asyncio.sleep(0)
            if error.status_code != _GONE:
                await _answer(error, self._retry_after)(scope, receive, noting)
        except asyncio.CancelledError:  # the service ends, and has waited for long enough
            if status == _GONE:
                refused = Busy("the service ends; try again")
                await _answer(refused, self._retry_after)(scope, receive, noting)
        except Exception:
            status = 500
            raise
        finally:
            # The template, not the path: paths hold the ids of people.
            route = getattr(scope.get("route"), "path", _UNKNOWN)
            seconds = perf_counter() - started
            method = "HEAD" if is_head else scope["method"]
            method = method if method in _METHODS else _UNKNOWN
            self._metrics.requests.labels(method, route, str(status)).observe(seconds)
            log.info("%s %s %d %.1f ms", method, route, status, 1000 * seconds)
            _audit(scope, method, route, status)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) > 1:
            raise Refused(400, "one header Host is enough")
        scope["path"] = _exact_path(scope)
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        path = scope["path"]
        if path.startswith(ALWAYS):
            await self._app(scope, receive, send)
            return
        if scope["state"].get(TOO_MANY):
            raise Refused(503, "too many connections; try again", headers={"Connection": "close"})
        is_public = path == "/" or path.startswith(_PUBLIC)
        if not is_public:
            caller = scope["state"]["caller"] = self._access.caller(headers)
            if path.startswith("/admin/"):
                if self._access.is_open:
                    raise Refused(403, "set serving.admin_key to do this over HTTP")
                caller.require_admin()
        # Strangers have nothing to send, and must not fill the room for bodies.
        caller = scope["state"].get("caller")
        party = _party(caller)
        limit = 0 if is_public else self._limits.body_bytes
        DEADLINE.set(Deadline(self._limits.seconds))  # of many bodies each is read slowly, too
        body = await self._body(headers, receive, limit, party)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_packed = headers.get("content-encoding", "identity").lower() != "identity"
        if body and (kind != "application/json" or is_packed):
            raise Refused(415, "send JSON that is not packed, and Content-Type: application/json")
        # One key, all people together, and one of them, leave room for the others.
        counts = Counter(each for one in self._tasks.values() for each in {one, _party(one)})
        is_full = counts[party] >= self._share
        if is_full or (party == PERSON and counts[caller] >= max(1, self._share // 2)):
            raise Busy("too many requests at once; try again")
        PARTY.set(party)
        await self._in_time(scope, body, receive, send)

    @property
    def _share(self) -> int:
        """Of the requests at once those of each client, of all people, and of strangers."""
        return max(1, self._limits.requests_at_once // self._access.parties)

    async def _body(self, headers: Headers, receive: Receive, limit: int, party: Any) -> bytes:
        """Reads the body before anything else is begun: a slow one must not keep others waiting."""
        too_large = Refused(413, f"the body is too large; send {limit} bytes at most")
        length = headers.get("content-length", "0").strip()
        if not length.isdigit() or int(length) > limit:
            raise too_large
        if length == "0" and "transfer-encoding" not in headers:
            return b""
        parts, read = [], 0
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while (message := await receive())["type"] == "http.request":
                    parts.append(message.get("body", b""))
                    read += len(parts[-1])
                    self._unread_bytes[party] += len(parts[-1])
                    if read > limit:
                        raise too_large
                    if self._unread_bytes[party] > self._share * limit:
                        raise Refused(503, "too many bodies at once; try again")
                    if not message.get("more_body"):
                        break
                else:
                    raise Refused(_GONE, "the connection ended before the body did")
        except TimeoutError:
            message = f"the body did not come within {self._limits.body_seconds:g} s"
            raise Refused(408, message, "", {"Connection": "close"}) from None
        finally:
            self._unread_bytes[party] -= read
        return b"".join(parts)

    async def _in_time(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        """Answers, unless it takes too long, is taken too slowly, or whoever asked has gone."""
        limits, started, taken, deadline = self._limits, monotonic(), 0, DEADLINE.get()
        left = seconds = deadline.seconds_left()  # type: ignore[union-attr]
        has_started, is_over = False, asyncio.Event()
        rest = [{"type": "http.request", "body": body, "more_body": False}]

        async def given() -> Message:
            if not rest:
                await is_over.wait()
                return {"type": "http.disconnect"}
            return rest.pop()

        async def sending(message: Message) -> None:
            nonlocal has_started, taken
            if not is_over.is_set():
                has_started = True
                await send(message)
                taken += len(message.get("body", b""))

        async def has_gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        is_long = len(body) > limits.characters_per_turn
        answering = asyncio.create_task(self._answer(scope, is_long, given, sending))
        gone = asyncio.create_task(has_gone())
        self._tasks[answering] = scope["state"].get("caller")
        answering.add_done_callback(self._done)
        try:
            both, first = {answering, gone}, asyncio.FIRST_COMPLETED
            while left > 0 and not (await asyncio.wait(both, timeout=left, return_when=first))[0]:
                left = started + seconds + taken / limits.taken_per_second - monotonic()
        finally:
            gone.cancel()
            if not answering.done():
                is_over.set()
                deadline.give_up()
                answering.cancel()  # takes effect when the thread that works for it comes back
        if answering.done():
            try:
                answering.result()
            except RuntimeError as error:
                # A database that fails within a long answer: the server ends the connection.
                if not isinstance(error.__cause__, StoreUnavailable):
                    raise
                log.error("%s", error.__cause__)
        elif not gone.done() and not has_started:
            raise Busy

    async def _answer(self, scope: Scope, is_long: bool, receive: Receive, send: Send) -> None:
        async with AsyncExitStack() as turn:

            async def sending(message: Message) -> None:
                await turn.aclose()  # whoever takes a long answer slowly keeps nobody waiting
                await send(message)

            # Whoever waits for the database holds no thread that others could work in.
            at_store = scope["path"].startswith("/users/")
            # So few of one caller that turns at the database are left for the others.
            caller, parties = scope["state"].get("caller"), self._access.parties
            most = max(1, self._limits.threads // 2 // parties)
            at_once = {_party(caller): most} if parties > 1 else {}
            if _party(caller) == PERSON:
                at_once = {caller: max(1, most // 2), **at_once}
            for whose, number in at_once.items():
                turns = self._turns.setdefault((whose, at_store), asyncio.Semaphore(number))
                await turn.enter_async_context(turns)
            if is_long:  # however many callers there are, somebody with few texts finds a thread
                await turn.enter_async_context(self._long_turns)
            if at_store:
                await turn.enter_async_context(self._store_turns)
            await self._app(scope, receive, sending)

    def _done(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        if not task.cancelled():
            task.exception()  # of one that was given up nobody else asks for it


def _party(caller: Caller | None) -> Caller | str | None:
    """By whom a caller is counted: people together, each client alone."""
    return PERSON if caller is not None and caller.role == PERSON else caller


def _exact_path(scope: Scope) -> str:
    """The path by which routes are found: a slash or % inside a segment stays encoded there. Raises
    Refused if it or the query is not UTF-8: two different ids would become one."""
    raw = scope.get("raw_path") or quote(scope["path"]).encode()
    address = raw + b"?" + scope["query_string"]
    if b"%" not in address:
        return scope["path"]
    if _NO_ESCAPE.search(address):
        raise Refused(400, "the address holds a % that encodes nothing; write %25")
    try:
        segments = [unquote_to_bytes(each).decode() for each in raw.split(b"/")]
        unquote(scope["query_string"].decode("latin-1"), errors="strict")
    except UnicodeDecodeError:
        raise Refused(400, "the address is not UTF-8; encode ids as UTF-8, then by %") from None
    return "/".join(each.replace("%", "%25").replace("/", "%2F") for each in segments)


def _audit(scope: Scope, method: str, route: str, status: int) -> None:
    if scope["path"].startswith(_AUDITED):
        caller: Caller | None = scope["state"].get("caller")
        person = scope.get("path_params", {}).get("user_id")
        who = "nobody known"
        if caller is not None:
            name = pseudonym(caller.name) if caller.role == PERSON else caller.name
            who = f"{caller.role} {name}"
        about = f" about {pseudonym(unquote(person))}" if person else ""
        audit.info("%s %s %d by %s%s", method, route, status, who, about)
