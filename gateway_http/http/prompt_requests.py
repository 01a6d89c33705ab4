"""Closes connections on which no request arrives, or only part of a request. uvicorn bounds only the time between
requests.

Each connection counts against `max_connections` and holds a file descriptor: without this bound, silent connections
could keep all other clients from the port for as long as they like.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

REQUEST_WITHIN = 30.0
"""Seconds for a request, from the first byte (or from the connection, for the first request) to the end of its body."""


class PromptProtocol(HttpToolsProtocol):
    """Speaks HTTP/1.1, and closes a connection whose client does not finish its request in time. Responses may take any
    time."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait for the rest of a request."""
        super().on_message_begin()
        if self._due is None:
            self._wait()

    def on_message_complete(self) -> None:
        """Note that the whole request has arrived."""
        self._stop_waiting()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Stop waiting for requests, because the connection uses another protocol from now on."""
        self._stop_waiting()
        super().handle_websocket_upgrade()

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
