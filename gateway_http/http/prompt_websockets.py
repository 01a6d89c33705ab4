"""Ends the connections of WebSockets whose handshake is not answered in time, or cannot be read."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HANDSHAKE_WITHIN = 30.0
"""Seconds within which the handshake of a WebSocket must be answered."""


class PromptWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol for WebSockets, which also closes a connection whose handshake stays without an answer: the
    library refuses some handshakes, such as those with many headers, and uvicorn does not notice it."""

    _due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the timer for the handshake."""
        super().connection_made(transport)
        self._due = self.loop.call_later(HANDSHAKE_WITHIN, self._end_unanswered)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, because the connection is closed."""
        if self._due is not None:
            self._due.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Handle data; if the handshake is refused, send the answer of the library and close the connection."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def _end_unanswered(self) -> None:
        self._due = None
        if not self.handshake_complete:
            self.transport.abort()
