"""GET /v1/stream: all data that a web page needs, as Server-Sent Events on one connection.

Each client has a cursor (`replica.reader.Reader`), not a queue: a message is created when the client is ready to read
it, and clients that receive the same message share its bytes. A client that was disconnected resumes at its cursor.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from grid_model import wire
from tron_client import Event, Service

from gateway_http.gateway import Gateway
from gateway_http.http.event_streams import message
from gateway_http.replica.frames import Update
from gateway_http.replica.reader import Gap, Reader
from grid_hosting.turns import Turn

STATE_EVERY = 5.0
"""Seconds between two `state` messages; a page that receives nothing for twice as long knows that it is cut off."""

CHUNK = 250
"""Services in one part of a snapshot, so that a page can show the first ones while the rest is on its way."""

MOST_ENCODED = 256
"""Maximum number of messages whose bytes are kept for further clients. Overflow rule: the oldest is forgotten, and
encoded again if needed."""


def to_json(document: Any) -> bytes:
    """Return a value as compact JSON on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class ServiceStreams:
    """Creates the messages of GET /v1/stream for all clients of one gateway. Each message is encoded only once."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._replica = gateway.replica
        self._instance = uuid.uuid4().hex[:8]
        self._services: OrderedDict[str, tuple[Service, bytes]] = OrderedDict()
        self._encoded: OrderedDict[int, tuple[Any, bytes]] = OrderedDict()

    def _reader(self, last_event_id: str) -> Reader:
        """Return a reader that resumes after the client's last id if this process created that id; otherwise from the
        beginning."""
        replica = self._replica
        words = last_event_id.split(".")
        if len(words) == 4 and words[:2] == [self._instance, str(replica.mirror.epoch)]:
            revision, sequence = words[2:]
            if revision.isdecimal() and sequence.isdecimal() and len(last_event_id) < 100:
                return Reader(replica, int(revision) or None, int(sequence))
        return Reader(replica)

    async def follow(self, cursor: str) -> AsyncIterator[bytes]:
        """Yield all data that a web page needs as Server-Sent Events, without end. If `cursor` is the id of an earlier
        message of this gateway process, the stream continues after that message; with any other text it starts with a
        snapshot."""
        reader = self._reader(cursor)
        yield b"retry: 1000\n\n"
        sent: object = None
        sent_at = 0.0
        revision, sequence = reader.revision or 0, reader.sequence
        while True:
            updates, events = reader.updates(), reader.events()
            state = self._key()
            if state != sent or time.monotonic() - sent_at >= STATE_EVERY:
                sent, sent_at = state, time.monotonic()
                yield message("state", to_json(state_of(self._gateway)))
            for update in updates:
                revision = update.revision
                turn = Turn("stream")
                async for service in turn.each(update.upserted):
                    self._service(service)  # the parts below are made of these
                turn.end()
                for part in self._update(update, self._cursor(revision, sequence)):
                    yield part
            for event in events:
                sequence = event.sequence if isinstance(event, Event) else event.last
                yield self._event(event, self._cursor(revision, sequence))
            await reader.wait(max(0.0, sent_at + STATE_EVERY - time.monotonic()))

    def _key(self) -> object:
        tron = self._gateway.tron.status
        return self._replica.live, tron.reachable, tron.watching, tron.guard_active

    def _cursor(self, revision: int, sequence: int) -> bytes:
        """Return the cursor that the client sends back when it reconnects."""
        return f"{self._instance}.{self._replica.mirror.epoch}.{revision}.{sequence}".encode()

    def _update(self, update: Update, cursor: bytes) -> Iterator[bytes]:
        if update.snapshot:
            yield from self._snapshot(update, cursor)
            return
        if update.upserted or update.removed:
            yield message("services", self._shared(update, self._changed), cursor)
        if update.heard:
            yield message("heard", self._shared(update.heard, _heard), cursor)

    def _snapshot(self, update: Update, cursor: bytes) -> Iterator[bytes]:
        services = update.upserted
        for start in range(0, max(1, len(services)), CHUNK):
            complete = start + CHUNK >= len(services)
            head = {"revision": update.revision, "first": start == 0, "complete": complete}
            data = to_json(head)[:-1] + b',"services":[' + self._join(services[start : start + CHUNK]) + b"]}"
            # Only the last part moves the cursor: a client that is cut off before it needs the whole snapshot again.
            yield message("snapshot", data, cursor if complete else b"")

    def _changed(self, update: Update) -> bytes:
        head = to_json({"revision": update.revision, "removed": update.removed})
        return head[:-1] + b',"upserted":[' + self._join(update.upserted) + b"]}"

    def _event(self, event: Event | Gap, cursor: bytes) -> bytes:
        if isinstance(event, Gap):
            return message("gap", b"{}", cursor)
        return message("event", self._shared(event, lambda each: to_json(each.to_dict())), cursor)

    def _join(self, services: Iterable[Service]) -> bytes:
        return b",".join([self._service(each) for each in services])

    def _service(self, service: Service) -> bytes:
        known = self._services.get(service.service_id)
        if known is None or known[0] is not service:
            known = (service, to_json(service.to_dict()))
            self._services[service.service_id] = known
            if len(self._services) > 2 * len(self._replica.mirror.entries) + 100:
                self._services.popitem(last=False)
        return known[1]

    def _shared(self, content: Any, encode: Any) -> bytes:
        known = self._encoded.get(id(content))
        if known is None or known[0] is not content:
            known = self._encoded[id(content)] = (content, encode(content))
            if len(self._encoded) > MOST_ENCODED:
                self._encoded.popitem(last=False)
        return known[1]


def state_of(gateway: Gateway) -> dict[str, Any]:
    """Return the state of the gateway's copy and of TRON, for GET /v1/status and the `state` message."""
    replica = gateway.replica
    return {
        "live": replica.live,
        "stale_for": round(replica.stale_for, 3),
        "revision": replica.revision,
        "now": wire.rfc3339(replica.now()),
        "tron": gateway.tron.status.to_dict(),
    }


def _heard(heard: Any) -> bytes:
    return to_json({"at": {service_id: wire.rfc3339(moment) for service_id, moment in heard.items()}})
