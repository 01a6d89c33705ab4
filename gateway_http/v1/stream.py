"""GET /v1/stream: everything that a page needs, as Server-Sent Events on one connection.

Each client is a place in the feed (`reader.Reader`), not a queue: what it is told is made when it is ready to read, and
the bytes are shared with all who are told the same. A client that reads nothing for a while is cut off, and resumes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import structlog
from fastapi.responses import Response
from tron_client import Event, Service, wire

from gateway_http.http.asgi import Receive, Send
from gateway_http.replica.frames import Update
from gateway_http.replica.reader import Gap, Reader
from gateway_http.upstream.live_feed import LiveFeed
from gateway_http.upstream.tron_status import TronStatusPoller

log = structlog.get_logger("gateway")

STATE_EVERY = 5.0
"""Seconds between two words on how things are; a page that hears nothing for twice as long knows that it is cut off."""

PATIENCE = 30.0
"""Seconds that a client may leave what it was sent unread."""

CHUNK = 250
"""Services in one part of a snapshot, so that a page can show the first ones while the rest is on its way."""

MOST_STREAMS = 1000
"""Streams on all ports. Overflow rule: the next is answered 503."""

MOST_ENCODED = 256
"""Messages whose bytes are kept for the next client that is told the same. Overflow rule: the oldest is made again."""

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


def to_json(document: Any) -> bytes:
    """Compact JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class Streams:
    """All streams of one gateway; they share what was encoded. They end when `closing` is set."""

    def __init__(self, feed: LiveFeed, tron: TronStatusPoller, closing: asyncio.Event) -> None:
        self._feed = feed
        self._tron = tron
        self._closing = closing
        self._instance = uuid.uuid4().hex[:8]
        self._services: OrderedDict[str, tuple[Service, bytes]] = OrderedDict()
        self._encoded: OrderedDict[int, tuple[Any, bytes]] = OrderedDict()
        self.count = 0

    def admit(self) -> bool:
        """Whether one more may be served."""
        return self.count < MOST_STREAMS and not self._closing.is_set()

    async def serve(self, parts: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
        """One stream, from its start to its end: until the parts end, the client leaves, or the gateway does."""
        self.count += 1
        left = asyncio.create_task(_disconnected(receive))
        telling = asyncio.create_task(_tell(parts, send))
        closing = asyncio.create_task(self._closing.wait())
        tasks = {left, telling, closing}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.count -= 1
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        if not telling.cancelled() and isinstance(telling.exception(), TimeoutError):
            log.info("stream_cut", unread_for=PATIENCE)
        elif not telling.cancelled():
            telling.result()
        elif not closing.cancelled():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await send({"type": "http.response.body", "body": b""})

    def _reader(self, last_event_id: str) -> Reader:
        """Where the client goes on: after what its id says, where that is from this life of ours."""
        feed = self._feed
        words = last_event_id.split(".")
        if len(words) == 4 and words[:2] == [self._instance, str(feed.mirror.life)]:
            revision, sequence = words[2:]
            if revision.isdecimal() and sequence.isdecimal() and len(last_event_id) < 100:
                return feed.reader(int(revision) or None, int(sequence))
        return feed.reader()

    async def follow(self, cursor: str) -> AsyncIterator[bytes]:
        """Everything that a page needs, from a cursor of ours on; from the beginning for anything else."""
        reader = self._reader(cursor)
        yield b"retry: 1000\n\n"
        said: object = None
        said_at = 0.0
        revision, sequence = reader.revision or 0, reader.sequence
        while True:
            updates, events = reader.updates(), reader.events()
            state = self._key()
            if state != said or time.monotonic() - said_at >= STATE_EVERY:
                said, said_at = state, time.monotonic()
                yield _message("state", to_json(state_of(self._feed, self._tron)))
            for update in updates:
                revision = update.revision
                for part in self._update(update, self._cursor(revision, sequence)):
                    yield part
            for event in events:
                sequence = event.sequence if isinstance(event, Event) else event.last
                yield self._event(event, self._cursor(revision, sequence))
            await reader.wait(max(0.0, said_at + STATE_EVERY - time.monotonic()))

    def _key(self) -> object:
        tron = self._tron.status
        return self._feed.live, tron.reachable, tron.watching, tron.guard_active

    def _cursor(self, revision: int, sequence: int) -> bytes:
        """What the client sends back when it comes again."""
        return f"{self._instance}.{self._feed.mirror.life}.{revision}.{sequence}".encode()

    def _update(self, update: Update, cursor: bytes) -> Iterator[bytes]:
        if update.snapshot:
            yield from self._snapshot(update, cursor)
            return
        if update.upserted or update.removed:
            yield _message("services", self._shared(update, self._changed), cursor)
        if update.heard:
            yield _message("heard", self._shared(update.heard, _heard), cursor)

    def _snapshot(self, update: Update, cursor: bytes) -> Iterator[bytes]:
        services = update.upserted
        for start in range(0, max(1, len(services)), CHUNK):
            complete = start + CHUNK >= len(services)
            head = {"revision": update.revision, "first": start == 0, "complete": complete}
            data = to_json(head)[:-1] + b',"services":[' + self._join(services[start : start + CHUNK]) + b"]}"
            # Only the last part moves the cursor: who is cut off before it must have all of it again.
            yield _message("snapshot", data, cursor if complete else b"")

    def _changed(self, update: Update) -> bytes:
        head = to_json({"revision": update.revision, "removed": update.removed})
        return head[:-1] + b',"upserted":[' + self._join(update.upserted) + b"]}"

    def _event(self, event: Event | Gap, cursor: bytes) -> bytes:
        if isinstance(event, Gap):
            return _message("gap", b"{}", cursor)
        return _message("event", self._shared(event, lambda each: to_json(each.to_dict())), cursor)

    def _join(self, services: Iterable[Service]) -> bytes:
        return b",".join([self._service(each) for each in services])

    def _service(self, service: Service) -> bytes:
        known = self._services.get(service.service_id)
        if known is None or known[0] is not service:
            known = (service, to_json(service.to_dict()))
            self._services[service.service_id] = known
            if len(self._services) > 2 * len(self._feed.mirror.entries) + 100:
                self._services.popitem(last=False)
        return known[1]

    def _shared(self, told: Any, encode: Any) -> bytes:
        known = self._encoded.get(id(told))
        if known is None or known[0] is not told:
            known = self._encoded[id(told)] = (told, encode(told))
            if len(self._encoded) > MOST_ENCODED:
                self._encoded.popitem(last=False)
        return known[1]


def state_of(feed: LiveFeed, tron: TronStatusPoller) -> dict[str, Any]:
    """How things are, for GET /v1/status and the `state` message."""
    return {
        "live": feed.live,
        "stale_for": round(feed.stale_for, 3),
        "revision": feed.revision,
        "now": wire.rfc3339(feed.now()),
        "tron": tron.status.to_dict(),
    }


def _heard(heard: Any) -> bytes:
    return to_json({"at": {service_id: wire.rfc3339(moment) for service_id, moment in heard.items()}})


def _message(name: str, data: bytes, cursor: bytes = b"") -> bytes:
    event_id = b"id: " + cursor + b"\n" if cursor else b""
    return event_id + b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


async def _tell(parts: AsyncIterator[bytes], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    async for part in parts:
        async with asyncio.timeout(PATIENCE):
            await send({"type": "http.response.body", "body": part, "more_body": True})


class RawStream(Response):
    """Answers with a stream of Server-Sent Events."""

    def __init__(self, streams: Streams, parts: AsyncIterator[bytes]) -> None:
        super().__init__()
        self._streams = streams
        self._parts = parts

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve it."""
        await self._streams.serve(self._parts, receive, send)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
