"""Builds answers in turns of the event loop, and of limited size. What does not fit is left for the next page or
message."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Any, TypeVar

from google.protobuf.message import Message
from grid.registry.v1 import registry_service_pb2

from grid_hosting.turns import Turn
from registry_server.core.changes import Change
from registry_server.core.reading_rights import ReadingRights
from registry_server.core.searches import Search
from registry_server.core.service import Service
from registry_server.io import translate

T = TypeVar("T")
M = TypeVar("M", bound=Message)

MOST_BYTES = 3 << 20
"""A page ends early with the element that makes it larger than this number of bytes. An element may have 120 kB, and
clients accept messages of at least 4 MB."""

MOST_CHANGES = 30
"""Maximum number of changes in one message of a watch."""

MOST_BYTES_OF_CHANGES = 64 << 10
"""A message of a watch ends early with the change that makes it larger than this number of bytes, because clients
decode each message in one turn of their event loops."""


async def encoded(items: Iterable[T], encode: Callable[[T], M | None], turn: Turn) -> list[M | None]:
    """Return the messages for the items, in turns; None for an item without a message. The list ends early with the
    message that makes all of them larger than MOST_BYTES."""
    found: list[M | None] = []
    size = 0
    async for item in turn.each(items):
        message = encode(item)
        found.append(message)
        size += 0 if message is None else message.ByteSize()
        if size > MOST_BYTES:
            break
    return found


async def add(field: Any, messages: Iterable[M | None], turn: Turn) -> None:
    """Add the messages that are not None to a repeated field, in turns: each is copied."""
    async for message in turn.each(messages):
        if message is not None:
            field.append(message)


async def build_shared(services: Iterable[Service]) -> None:
    """Build the shared messages of services in turns, so that a message that contains all of them is made quickly."""
    turn = Turn("answer")
    async for service in turn.each(services):
        translate.shared_message(service)
    turn.end()


async def ancestors(reading: ReadingRights) -> Search[str]:
    """Return the finished search for the ancestors of the caller's own services, for `ReadingRights.access_by`."""
    search, turn = reading.ancestors(), Turn("rights")
    while not search.work():
        if turn.over:
            await turn.rest()
    turn.end()
    return search


async def watch_messages(
    parts: Iterable[Sequence[Change]], *, batches: bool
) -> AsyncGenerator[registry_service_pb2.WatchServicesResponse, None]:
    """Yield messages with the changes in their order, each built only when it is needed, in turns. `batches`: a message
    may contain several changes."""
    turn = Turn("watch")
    waiting: list[registry_service_pb2.WatchServicesResponse] = []
    size = 0
    async for part in turn.each(parts):
        async for change in turn.each(part):
            message = _change(change)
            if not batches:
                yield message
                continue
            waiting.append(message)
            size += message.ByteSize()
            if len(waiting) >= MOST_CHANGES or size > MOST_BYTES_OF_CHANGES:
                yield _together(waiting)
                waiting, size = [], 0
    if waiting:
        yield _together(waiting)
    turn.end()


def _together(
    changes: Sequence[registry_service_pb2.WatchServicesResponse],
) -> registry_service_pb2.WatchServicesResponse:
    if len(changes) == 1:
        return changes[0]
    together = registry_service_pb2.Changes(changes=changes)
    return registry_service_pb2.WatchServicesResponse(revision=changes[-1].revision, changes=together)


def _change(change: Change) -> registry_service_pb2.WatchServicesResponse:
    if change.service is None:
        return registry_service_pb2.WatchServicesResponse(
            revision=change.revision, removed=registry_service_pb2.Removed(service_id=change.service_id)
        )
    return registry_service_pb2.WatchServicesResponse(
        revision=change.revision, upserted=translate.shared_message(change.service)
    )
