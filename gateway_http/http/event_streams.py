"""Server-Sent Events on all ports: limits the number of streams, disconnects clients that do not read, and ends all
streams when the gateway stops.

Each part of a stream is created when the client is ready to read it, so no parts are queued. A client that reads
nothing for PATIENCE seconds is disconnected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import structlog
from starlette.responses import Response

from gateway_http.http.asgi import Receive, Send

log = structlog.get_logger("gateway")

PATIENCE = 30.0
"""Seconds for which a client may leave sent data unread."""

MOST_STREAMS = 1000
"""Maximum number of open streams on all ports. Overflow rule: a further stream is refused with status 503."""

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStreams:
    """Counts and serves all Server-Sent Event streams of one gateway. They end when `closing` is set."""

    def __init__(self, closing: asyncio.Event) -> None:
        self._closing = closing
        self.count = 0

    def admit(self) -> bool:
        """Return whether one more stream may be opened: the limit is not reached, and the gateway is not shutting
        down."""
        return self.count < MOST_STREAMS and not self._closing.is_set()

    async def serve(self, parts: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
        """Serve one stream. It ends when `parts` ends, when the client disconnects or reads nothing for PATIENCE
        seconds, or when the gateway stops."""
        self.count += 1
        leaving = asyncio.create_task(_disconnected(receive))
        sending = asyncio.create_task(_send_parts(parts, send))
        closing = asyncio.create_task(self._closing.wait())
        tasks = {leaving, sending, closing}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.count -= 1
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not sending.cancelled() and isinstance(sending.exception(), TimeoutError):
            log.info("stream_cut", unread_for=PATIENCE)
        elif not sending.cancelled():
            sending.result()
        elif not closing.cancelled():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await send({"type": "http.response.body", "body": b""})


class EventStream(Response):
    """A response that is a stream of Server-Sent Events."""

    def __init__(self, streams: EventStreams, parts: AsyncIterator[bytes]) -> None:
        super().__init__()
        self._streams = streams
        self._parts = parts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the stream until it ends."""
        await self._streams.serve(self._parts, receive, send)


def message(name: str, data: bytes, cursor: bytes = b"") -> bytes:
    """Return one Server-Sent Event as bytes. `cursor` becomes its id, which the client sends back when it
    reconnects."""
    event_id = b"id: " + cursor + b"\n" if cursor else b""
    return event_id + b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


async def _send_parts(parts: AsyncIterator[bytes], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async for part in parts:
        async with asyncio.timeout(PATIENCE):
            await send({"type": "http.response.body", "body": part, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
