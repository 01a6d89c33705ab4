"""Ends the connections of WebSockets whose handshake is not answered in time or cannot be read, or that send too many
frames at once."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

HANDSHAKE_WITHIN = 30.0
"""Seconds within which the handshake of a WebSocket must be answered."""

MOST_FRAMES = 500
"""Maximum number of frames in one read of a WebSocket. Overflow rule: the connection is closed. Clients send few short
messages; uvicorn would keep all of a read, which may have 40,000."""

PART = 2 << 10
"""Bytes that are parsed between two checks of MOST_FRAMES; a frame has at least 6."""


class PromptWebSocket(WebSocketsSansIOProtocol):
    """uvicorn's protocol for WebSockets, which also closes a connection whose handshake stays without an answer: the
    library refuses some handshakes, such as those with many headers, and uvicorn does not notice it."""

    _due: asyncio.TimerHandle | None = None
    _frames = 0

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
        """Handle data in small parts, and close the connection if it has too many frames. If the handshake is refused,
        send the answer of the library and close the connection."""
        self._frames = 0
        for begin in range(0, len(data), PART):
            super().data_received(data[begin : begin + PART])
            if self.transport.is_closing():
                return
            if self._frames > MOST_FRAMES:
                self.transport.abort()
                return
        if self.conn.handshake_exc is not None:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_events(self) -> None:
        """Count and handle the frames that have arrived."""
        self._frames += len(self.conn.events)
        super().handle_events()

    def _end_unanswered(self) -> None:
        self._due = None
        if not self.handshake_complete:
            self.transport.abort()
