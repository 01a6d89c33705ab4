"""Limits what one connection can use before its requests are answered, because uvicorn limits only the time between
requests: the time that a request takes to arrive, the size of its head, and the number of pipelined requests.

If the request line contains an absolute URL, the host of this URL replaces the Host header. The application also
receives the serial number of the client certificate.

Each connection counts against `max_connections` and holds a file descriptor. Without a time limit, silent connections
could keep all other clients from using the port. Without the other limits, one connection could take all memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from httptools import HttpParserError
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway_http.http.asgi import CERTIFICATE_SERIAL
from grid_hosting.credential import serial_of
from grid_hosting.http_hosts import split_target
from grid_hosting.rare_lines import RareTexts

REQUEST_WITHIN = 30.0
"""Seconds within which a request must arrive, from its first byte to the end of its body. For the first request, the
time begins when the connection is opened."""

MOST_PIPELINED = 8
"""Maximum number of requests of one connection that wait for the answer to an earlier one. Overflow rule: the
connection is closed. Browsers and the usual libraries send a request only after the answer to the one before."""

MOST_HEAD = 64 << 10
"""Maximum size of the head of a request, of its trailers, or of all heads that wait on one connection, in bytes; each
header counts HEADER_COST bytes more. Overflow rule: the answer is 431 if no earlier request waits for its answer, and
the connection is closed."""

HEADER_COST = 64
"""Bytes by which each header counts more than its text, because it takes more memory than its text."""

MOST_UNANSWERED = 2
"""Maximum number of connections of one port, in multiples of `max_connections`. Between the two numbers, requests are
answered 503. Overflow rule: the connection is closed without an answer, because each one takes a file descriptor."""

PART = 16 << 10
"""Bytes that are parsed between two checks of the limits; one read of a socket has up to 256 KB."""


STRANGER_LINES = ("Invalid HTTP request received.", "Unsupported upgrade request.", "Exceeded concurrency limit.")
"""What uvicorn logs about connections whose clients nobody has identified: each at most once a minute."""

_RARE_TEXTS = RareTexts(STRANGER_LINES)


def limit_stranger_lines() -> None:
    """Let uvicorn log each of STRANGER_LINES at most once a minute, for all ports together."""
    logging.getLogger("uvicorn.error").addFilter(_RARE_TEXTS)


class _Refused(HttpParserError):
    """Ends the parsing of data on a connection that has been closed for a limit."""


class _Flow(FlowControl):
    """uvicorn's flow control, which does not continue to read while `is_full` returns True: uvicorn continues at each
    answer, and whenever an application waits for its client."""

    def __init__(self, transport: asyncio.Transport, is_full: Callable[[], bool]) -> None:
        super().__init__(transport)
        self._is_full = is_full

    def resume_reading(self) -> None:
        """Continue to read, unless too much is waiting."""
        if not self._is_full():
            super().resume_reading()


class PromptProtocol(HttpToolsProtocol):
    """uvicorn's protocol for HTTP/1.1, which also closes a connection if the client does not finish a request in time,
    or sends a head that is too large, or too many requests before it has the answers. Responses may take any time."""

    url: bytes
    _due: asyncio.TimerHandle | None = None
    _running: RequestResponseCycle | None = None
    _arriving = False
    """Whether a request has begun and is not complete."""
    _idle_bytes = 0
    """The bytes of the arriving request, apart from the last part, since its begin or the last byte of its body."""
    _part_bytes = 0
    """The bytes of the part that is being parsed."""
    _left = False
    """Whether the rest of the data that is being parsed is no longer for this protocol."""

    def __init__(self, *given: Any, **settings: Any) -> None:
        super().__init__(*given, **settings)
        self._waiting_heads: deque[int] = deque()
        """The sizes of the heads in `pipeline`, oldest first."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request, and read the serial number of the client certificate. Close the
        connection if there are far too many."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self._is_full)
        limit = self.limit_concurrency
        if limit is not None and len(self.connections) > MOST_UNANSWERED * limit:
            transport.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and (serial := serial_of(tls.getpeercert(binary_form=True))):
            # The state of this connection, of which each request, and each WebSocket, has a copy.
            self.app_state = {**self.app_state, CERTIFICATE_SERIAL: serial}
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, tell the application, and forget the requests that wait, because the connection is closed.
        uvicorn tells only the request that arrived last."""
        self._stop_waiting()
        super().connection_lost(exc)
        self.pipeline.clear()
        self._waiting_heads.clear()
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Parse data in small parts, and close the connection once the client has exceeded a limit."""
        self._left = False
        for begin in range(0, len(data), PART):
            part = data[begin : begin + PART]
            self._part_bytes = len(part)
            super().data_received(part)
            if self._left or self.transport.is_closing():
                return
            if self._arriving:
                self._idle_bytes += len(part)
                if self._idle_bytes + HEADER_COST * len(self.headers) > MOST_HEAD:
                    self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
                    return
        if self._arriving:
            if self._due is None:
                self._wait()
        elif self._due is None and self.timeout_keep_alive_task is None and not self._is_busy():
            # What arrived did not begin a request, but it stopped the timer between requests.
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_message_begin(self) -> None:
        """Note that a request has begun. Its timer starts only if the request is not complete once all data of this
        read is parsed, because most requests are."""
        super().on_message_begin()
        self._arriving, self._idle_bytes = True, 0

    def on_headers_complete(self) -> None:
        """If the request line contains an absolute URL, replace the Host header by the host of this URL, as RFC 9112
        requires, so that the application sees the same host as a proxy in front of it. Raises _Refused if the head is
        too large, or if too many requests wait."""
        if not self.url.startswith((b"/", b"*")):
            self._split_target()
        arrived = self._idle_bytes + self._part_bytes + HEADER_COST * len(self.headers)
        if arrived <= MOST_HEAD and not self._is_busy():
            super().on_headers_complete()  # no request waits, and the head cannot be too large
            return
        waiting = len(self.pipeline)
        head = len(self.url) + sum(len(name) + len(value) + HEADER_COST for name, value in self.headers)
        if waiting >= MOST_PIPELINED or sum(self._waiting_heads) + head > MOST_HEAD:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            raise _Refused
        super().on_headers_complete()
        if len(self.pipeline) > waiting:
            self._waiting_heads.append(head)

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body. The size of a body is limited elsewhere."""
        self._idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the timer, because the whole request has arrived."""
        self._arriving = False
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Start the next request that waits, and continue to read if there is room for further ones."""
        waiting = len(self.pipeline)
        super().on_response_complete()
        if len(self.pipeline) < waiting:
            self._waiting_heads.popleft()
            self.flow.resume_reading()

    def handle_websocket_upgrade(self) -> None:
        """Stop the timer, because the connection becomes a WebSocket, which has its own. Refuse it if there are too
        many connections, or if an earlier request waits for its answer, which would be written into the WebSocket."""
        self._stop_waiting()
        self._left = True
        limit = self.limit_concurrency
        if self._is_busy() or (limit is not None and max(len(self.connections), len(self.tasks)) >= limit):
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        else:
            super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:
        """Answer data that is not HTTP, unless the connection has been closed for a limit."""
        if not self.transport.is_closing():
            super().send_400_response(msg)

    def _unsupported_upgrade_warning(self) -> None:
        self._left = True  # uvicorn does not parse the rest of the data
        super()._unsupported_upgrade_warning()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _is_busy(self) -> bool:
        """Return whether a request waits for its answer."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_full(self) -> bool:
        """Return whether so much waits for the answer to an earlier request that nothing further may be read."""
        if len(self.pipeline) >= MOST_PIPELINED:
            return True
        return sum(len(cycle.body) for cycle, _ in self.pipeline) > HIGH_WATER_LIMIT

    def _refuse(self, status: HTTPStatus) -> None:
        """Close the connection. It is answered unless an earlier request waits for its answer, because the client would
        take this answer for that one."""
        if self._is_busy():
            self.transport.abort()
            return
        text = status.phrase.encode()
        head = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(text)
        self.transport.write(STATUS_LINE[status] + head + text)
        self.transport.close()

    def _split_target(self) -> None:
        scheme, separator, _ = self.url.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return  # CONNECT, or no target at all: it is refused as no path of ours
        authority, path = (each.encode("latin-1") for each in split_target(self.url.decode("latin-1")))
        self.url = path if path.startswith(b"/") else b"/" + path
        self.headers[:] = [each for each in self.headers if each[0] != b"host"]
        self.headers.append((b"host", authority))

    def _wait(self) -> None:
        self._due = self.loop.call_later(REQUEST_WITHIN, self._close)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _close(self) -> None:
        self._due = None
        if not self.transport.is_closing():
            self.transport.close()
