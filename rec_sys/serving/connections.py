"""How long and how large what comes over a connection may be before there is a request."""

import json
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rec_sys.serving.limits import Limits


class LimitedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which waits for no headers for ever and keeps none of any size.

    Refuses headers that are too large (431) or too slow (408), and ends a connection whose other
    end takes no answer.
    """

    limits: Limits

    @classmethod
    def within(cls, limits: Limits) -> type["LimitedProtocol"]:
        """The protocol with limits; Uvicorn wants a class."""
        return type(cls.__name__, (cls,), {"limits": limits})

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begins to wait for the headers of the first request."""
        super().connection_made(transport)
        self._header_bytes = self._chunk_bytes = 0
        self._is_before_request, self._status = True, HTTPStatus.BAD_REQUEST
        self._taken: TimerHandle | None = None
        self._came = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits for nothing more."""
        super().connection_lost(exc)
        for timer in (self._came, self._taken):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Takes a part of a request."""
        if self._is_before_request:
            if self._came is None:  # the first part of a further request
                self._came = self.loop.call_later(self.limits.header_seconds, self._too_slow)
            self._chunk_bytes += len(data)
        super().data_received(data)
        # One header alone may be larger than all memory: the parser shows it when it is complete.
        if self._is_before_request and self._chunk_bytes > self.limits.header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Counts anew."""
        super().on_message_begin()
        self._header_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Counts a part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Counts a header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Leaves the request to the application."""
        self._is_before_request, self._chunk_bytes = False, 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Waits for the next request; for its first part as long as Uvicorn keeps connections."""
        super().on_message_complete()
        self._is_before_request = True

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no request, in the form of all refusals."""
        self._refuse(self._status)

    def pause_writing(self) -> None:
        """Does not wait for ever for somebody who takes no answer."""
        super().pause_writing()
        self._taken = self.loop.call_later(self.limits.header_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Goes on."""
        super().resume_writing()
        if self._taken is not None:
            self._taken.cancel()

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self.limits.header_bytes:
            self._status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError  # the parser stops, and `send_400_response` is called

    def _too_slow(self) -> None:
        if self._chunk_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        else:
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._came is not None:
            self._came.cancel()
            self._came: TimerHandle | None = None

    def _refuse(self, status: HTTPStatus) -> None:
        self._stop_waiting()
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if not (self.transport.is_closing() or is_answering):
            detail: dict[str, Any] = {"detail": [{"field": "", "message": _WHY[status]}]}
            body = json.dumps(detail).encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        self.transport.close()


_WHY = {
    HTTPStatus.BAD_REQUEST: "this is no HTTP request",
    HTTPStatus.REQUEST_TIMEOUT: "the headers did not come in time",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "address and headers are too large",
}
