"""A connection in memory for the HTTP server of the gateway: bytes go in at the parser, and come out as they would on a
socket."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import uvicorn

ANSWERED_WITHIN = 10.0
"""Seconds within which a whole request must be answered."""

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_POLL = 0.02
"""Seconds to wait for an answer that may rightly take long: a poll of Socket.IO."""


class MemoryTransport(asyncio.Transport):
    """Keeps what the server writes."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self._protocol: Any = protocol
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep some bytes."""
        self.written += data

    def close(self) -> None:
        """Close the connection soon, as asyncio does."""
        if not self._closing:
            self._closing = True
            asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def abort(self) -> None:
        """Close the connection."""
        self.close()

    def is_closing(self) -> bool:
        """Return whether the connection is closed."""
        return self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Change to another protocol."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Return the protocol that receives bytes now."""
        return self._protocol

    def pause_reading(self) -> None:
        """Do nothing: the bytes of a step are few."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def get_write_buffer_size(self) -> int:
        """Return 0: everything is read at once."""
        return 0


class Connection:
    """One connection of a client to a port."""

    def __init__(self, server: uvicorn.Server) -> None:
        make: Any = server.config.http_protocol_class
        protocol = make(config=server.config, server_state=server.server_state, app_state={})
        self._transport = MemoryTransport(protocol)
        protocol.connection_made(self._transport)

    @property
    def received(self) -> bytes:
        """Everything that the server has sent."""
        return bytes(self._transport.written)

    @property
    def statuses(self) -> list[int]:
        """The status of each answer."""
        return [int(status) for status in _STATUS.findall(self._transport.written)]

    async def send(self, data: bytes) -> None:
        """Send some bytes, and wait until the server has nothing more to do with them. Raises AssertionError if it does
        not answer."""
        if self._transport.is_closing():
            return
        self._transport.get_protocol().data_received(data)
        loop = asyncio.get_running_loop()
        began, turns = loop.time(), 0
        while self._is_busy():
            waited = loop.time() - began
            if self._may_wait and waited > _POLL:
                return
            assert waited < ANSWERED_WITHIN, f"no answer within {ANSWERED_WITHIN:g} s: {self.received[-500:]!r}"
            turns += 1
            await asyncio.sleep(0 if turns < 50 else 0.001)
        for _ in range(5):  # a WebSocket has no answer to wait for
            await asyncio.sleep(0)

    def close(self) -> None:
        """Leave."""
        self._transport.close()

    def _is_busy(self) -> bool:
        protocol = self._transport.get_protocol()
        cycle = getattr(protocol, "cycle", None)
        if self._transport.is_closing() or not isinstance(protocol, asyncio.Protocol) or cycle is None:
            return False
        if cycle.response_complete:
            return bool(protocol.pipeline)  # type: ignore[attr-defined]
        return not cycle.more_body and b"text/event-stream" not in self._transport.written

    @property
    def _may_wait(self) -> bool:
        cycle = self._transport.get_protocol().cycle
        return bool(cycle.scope["path"].startswith("/socket.io/"))
