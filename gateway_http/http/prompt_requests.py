"""Closes connections on which no complete request arrives in time, because uvicorn limits only the time between
requests. If the request line contains an absolute URL, the host of this URL replaces the Host header. The application
also receives the serial number of the client certificate.

Each connection counts against `max_connections` and holds a file descriptor. Without a time limit, silent connections
could keep all other clients from using the port.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway_http.http.asgi import CERTIFICATE_SERIAL
from grid_hosting.credential import serial_of

REQUEST_WITHIN = 30.0
"""Seconds within which a request must arrive, from its first byte to the end of its body. For the first request, the
time begins when the connection is opened."""


class PromptProtocol(HttpToolsProtocol):
    """uvicorn's protocol for HTTP/1.1, which also closes a connection if the client does not finish a request in time.
    Responses may take any time."""

    url: bytes
    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer for the first request, and read the serial number of the client certificate."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and (serial := serial_of(tls.getpeercert(binary_form=True))):
            # The state of this connection, of which each request, and each WebSocket, has a copy.
            self.app_state = {**self.app_state, CERTIFICATE_SERIAL: serial}
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, because the connection is closed."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Start the timer for the rest of a request, unless it is running already."""
        super().on_message_begin()
        if self._due is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """If the request line contains an absolute URL, replace the Host header by the host of this URL, as RFC 9112
        requires, so that the application sees the same host as a proxy in front of it."""
        if not self.url.startswith((b"/", b"*")):
            self._split_target()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the timer, because the whole request has arrived."""
        self._stop_waiting()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Stop the timer, because the connection becomes a WebSocket."""
        self._stop_waiting()
        super().handle_websocket_upgrade()

    def _split_target(self) -> None:
        scheme, separator, rest = self.url.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            return  # CONNECT, or no target at all: it is refused as no path of ours
        end = min((at for mark in b"/?#" if (at := rest.find(mark)) >= 0), default=len(rest))
        authority, path = rest[:end].rpartition(b"@")[2], rest[end:]
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
