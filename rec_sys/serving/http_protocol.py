"""How long and how large what comes over a connection may be before there is a request."""

import json
import random
import resource
from asyncio import BufferedProtocol, SelectorEventLoop, TimerHandle, Transport
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from selectors import DefaultSelector, SelectorKey

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from rec_sys.serving.limits import ALWAYS, TOO_MANY, Limits

_WHY = {
    HTTPStatus.BAD_REQUEST: "this is no HTTP/1.1 request; leave out a header Upgrade before a body",
    HTTPStatus.REQUEST_TIMEOUT: "the headers did not come in time",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "address and headers are too large",
}
#: So many connections are taken, or read, in one go of the loop; so many may wait to be taken.
AT_ONCE, BACKLOG = 1, 512
#: Files of the connections that asked for health last.
FOR_HEALTH: set[int] = set()
# Requests of a connection that wait for the one before; after more it ends, once they are answered.
_MOST_WAITING = 8
# Read of a connection before it is another one's turn; into one buffer, which is emptied at once.
_BUFFER = memoryview(bytearray(1 << 14))
# Each part of a body costs about the same, however small: so many may be smaller than this.
_MOST_SMALL_PARTS, _SMALL_PART = 5_000, 100
_TOO_SMALL = "the body comes in too small parts; send larger ones"
_LINGER_SECONDS = 1.0
# Of connections that are too many and not yet ended, the database, the models, the log.
_OTHER_FILES = 200
_OF_BODIES = (b"content-length", b"transfer-encoding")


class HealthFirst(DefaultSelector):
    """Hands the loop those who ask for health, and of the others as few as `AT_ONCE`: a hundred who
    come or go at once keep nobody waiting. Who is not handed out is found again."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        found = super().select(timeout)
        others = [each for each in found if each[0].fd not in FOR_HEALTH]
        first = [each for each in found if each[0].fd in FOR_HEALTH]
        return first + random.sample(others, min(AT_ONCE, len(others)))


def _new_loop() -> SelectorEventLoop:
    return SelectorEventLoop(HealthFirst())


class LimitedProtocol(HttpToolsProtocol, BufferedProtocol):
    """Uvicorn's protocol, which waits for no headers for ever and keeps none of any size. Refuses
    headers that are too large (431) or too slow (408), also those that follow a body in chunks, and
    bodies in very small chunks (400); ends connections that take no answer or go on after it."""

    limits: Limits
    most_open: int

    @classmethod
    def within(cls, limits: Limits) -> type["LimitedProtocol"]:
        """The protocol with limits; Uvicorn wants a class. The process may have as many files open
        then as twice the connections need: on more it could not even take one to close it."""
        most, (soft, hard) = 2 * limits.connections, resource.getrlimit(resource.RLIMIT_NOFILE)
        if (needed := most + _OTHER_FILES) > soft != resource.RLIM_INFINITY:
            soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            most = max(1, soft - _OTHER_FILES)
        return type(cls.__name__, (cls,), {"limits": limits, "most_open": most})

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most_open:
            transport.abort()
        self._file, self._bytes = transport.get_extra_info("socket").fileno(), 0
        self._is_before_request, self._is_ending, self._status = True, False, HTTPStatus.BAD_REQUEST
        self._parts, self._size, self._why = 0, 0, None
        self._cycles: deque[RequestResponseCycle] = deque(maxlen=_MOST_WAITING + 2)
        self._came, self._taken, self._ended = self._later(self._too_slow), None, None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        FOR_HEALTH.discard(self._file)
        for timer in (self._came, self._taken, self._ended):
            _cancelled(timer)
        for cycle in self._cycles:  # Uvicorn tells the newest alone, which may wait for others
            cycle.disconnected = True
            cycle.message_event.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_BUFFER[:nbytes]))

    def data_received(self, data: bytes) -> None:
        if self._is_ending:
            return
        if self._is_before_request:
            self._came = self._came or self._later(self._too_slow)
        self._bytes += len(data)
        super().data_received(data)
        # The parser shows a header when it is complete, and it may be larger than all memory.
        if self._bytes > self.limits.header_bytes and not self._is_ending:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keeps a header; one that follows the body says nothing that is asked for."""
        if self._is_before_request:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """Leaves a part of the body to the application, which counts it."""
        self._bytes, self._parts, self._size = 0, self._parts + 1, self._size + len(body)
        if self._parts > _MOST_SMALL_PARTS and self._size < self._parts * _SMALL_PART:
            self._why = _TOO_SMALL
            raise ValueError
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._is_before_request, self._bytes, self._came = False, 0, _cancelled(self._came)
        self._parts = self._size = 0
        if len(self.pipeline) == _MOST_WAITING:
            self._is_ending, self.cycle.keep_alive = True, False
            raise ValueError  # the parser stops, and `send_400_response` is called
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > self.limits.header_bytes:
            self._status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError
        sizes = [value for name, value in self.headers if name in _OF_BODIES and value != b"0"]
        if sizes and self.parser.should_upgrade():  # the parser would pass over the body
            raise ValueError
        is_health = self.url.decode("latin-1").startswith(ALWAYS)
        (FOR_HEALTH.add if is_health else FOR_HEALTH.discard)(self._file)
        self.scope["state"][TOO_MANY] = len(self.connections) > self.limits.connections
        self.expect_100_continue &= self.parser.get_http_version() != "1.0"
        super().on_headers_complete()
        self._cycles.append(self.cycle)

    def on_message_complete(self) -> None:
        """Waits for the next request, whose first part Uvicorn waits for."""
        super().on_message_complete()
        self._is_before_request, self._bytes, self._came = True, 0, _cancelled(self._came)
        if self.cycle.response_complete:  # before its request: Uvicorn has stopped waiting
            self._came = self._later(self._too_slow)

    def on_response_complete(self) -> None:
        """Waits a little for what is left of a request that has been answered."""
        super().on_response_complete()
        wait = self.timeout_keep_alive + 2 * self.limits.seconds
        self._ended = _cancelled(self._ended) or self.loop.call_later(wait, self._end_if_untaken)
        if self.cycle.response_complete and not self._is_before_request:
            self._came = self._later(self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request, in the form of all refusals."""
        if not self._is_ending:
            self._refuse(self._status)

    def pause_writing(self) -> None:
        """Does not wait for ever for somebody who takes no answer."""
        super().pause_writing()
        self._taken = self.loop.call_later(self.limits.seconds, self.transport.abort)

    def _end_if_untaken(self) -> None:
        if self.transport.is_closing():  # which waits for ever for who takes nothing
            self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._taken = _cancelled(self._taken)

    def _later(self, call: Callable[[], None]) -> TimerHandle:
        return self.loop.call_later(self.limits.header_seconds, call)

    def _too_slow(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT if self._bytes else None)

    def _refuse(self, status: HTTPStatus | None) -> None:
        self._came = _cancelled(self._came)
        cycle = self.cycle  # of the newest request; those before it wait in the pipeline
        if self._is_before_request and cycle is not None and not cycle.response_complete:
            # Whole requests came before what is refused: they are answered, and then it ends.
            self._is_ending, cycle.keep_alive = True, False
            return
        is_answering = bool(self.pipeline) or (
            cycle is not None and cycle.response_started and not cycle.response_complete
        )
        is_answering |= self._why is not None and cycle.response_complete
        if not status or is_answering or self.transport.is_closing():
            self.transport.close()
            return
        body = json.dumps({"detail": [{"field": "", "message": self._why or _WHY[status]}]})
        self.transport.write(
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode()
        )
        # Not closed at once: the kernel would throw it away with what is still being sent.
        self._is_ending = True
        if cycle is not None:
            cycle.disconnected, cycle.waiting_for_100_continue = True, False
            cycle.message_event.set()
        self.flow.resume_reading()
        with suppress(OSError):  # the other side has gone, which is found out by this
            self.transport.write_eof()
        self._came = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


def _cancelled(timer: TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
