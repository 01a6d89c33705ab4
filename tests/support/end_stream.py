"""A stream that ends, with all its services detached at once: for tests that look at what follows from it."""

from __future__ import annotations

from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant


def end_stream(registry: Registry, session_id: int, now: Instant) -> list[Record]:
    """End a stream and detach whatever waits for it. Return the services whose stream the other side ended."""
    registry.stream_ended(session_id, now)
    broken: list[Record] = []
    while registry.detaches:
        record = registry.detach_next()
        if record is not None:
            broken.append(record)
    return broken
