"""Merges the changes of the replica into numbered frames, once for all subscribers, and keeps the newest frames. (The
frames of facts that TRON receives are something else.) Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tron_client.models import Service

from gateway_http.replica.entry import Entry

KEPT_FRAMES = 256
KEPT_SERVICES = 20_000
"""Maximum numbers of frames, and of services in them, that are kept. Overflow rule: the oldest frame is forgotten; a
reader that has not read it gets all changes since its revision as one update instead."""


@dataclass(frozen=True, slots=True)
class Update:
    """The changes to services over some time, for subscribers. An update contains only the newest state of each changed
    service."""

    revision: int
    """The revision of the replica."""
    snapshot: bool = False
    """Whether to discard all services first, because `upserted` contains all of them."""
    upserted: tuple[Service, ...] = ()
    removed: tuple[str, ...] = ()
    heard: Mapping[str, datetime] = field(default_factory=dict)
    """The services of which only the time of the last heartbeat (`last_heartbeat_at`) changed."""
    live: bool = True
    stale_for: float = 0.0


class FrameLog:
    """The newest frames, which contain changes for subscribers. They are numbered from 1. A reader remembers the number
    of the last frame that it has read."""

    def __init__(self, frames: int = KEPT_FRAMES, services: int = KEPT_SERVICES) -> None:
        self.last = 0
        self._frames: deque[Update] = deque()
        self._most = frames
        self._most_services = services
        self._services = 0

    def append(self, update: Update) -> None:
        """Add a frame under the next number, and remove the oldest frames beyond the limits."""
        self.last += 1
        self._frames.append(update)
        self._services += len(update.upserted)
        while len(self._frames) > self._most or (self._services > self._most_services and len(self._frames) > 1):
            self._services -= len(self._frames.popleft().upserted)

    def after(self, number: int) -> list[Update] | None:
        """Return the frames whose numbers are greater than `number`; None if some of them are no longer kept."""
        missing = self.last - number
        if missing > len(self._frames):
            return None
        return list(self._frames)[len(self._frames) - missing :] if missing else []


class PendingFrame:
    """The ids of the services that changed since the last frame, each at most once. Bounded by the number of
    services."""

    def __init__(self) -> None:
        self._upserted: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._heard: dict[str, None] = {}
        self._from_scratch = False

    def changed(self, service_id: str, *, is_there: bool) -> None:
        """Record that a service changed, or, if `is_there` is False, that it was removed."""
        if is_there:
            self._removed.pop(service_id, None)
            self._upserted[service_id] = None
        else:
            self._upserted.pop(service_id, None)
            self._removed[service_id] = None

    def heard(self, service_id: str) -> None:
        """Record that a heartbeat of a service arrived, and that nothing else about the service changed."""
        self._heard[service_id] = None

    def start_over(self) -> None:
        """Make the next frame a snapshot of all services."""
        self._from_scratch = True

    @property
    def has_heard(self) -> bool:
        """Whether heartbeats arrived since the last frame."""
        return bool(self._heard)

    def take(self, entries: Mapping[str, Entry], revision: int, *, live: bool, stale_for: float) -> Update:
        """Return the next frame, with the current state of all changed services. Later changes belong to the frame
        after it."""
        from_scratch = self._from_scratch
        ids = entries if from_scratch else self._upserted
        frame = Update(
            revision,
            snapshot=from_scratch,
            upserted=tuple(entries[each].current() for each in ids if each in entries),
            removed=() if from_scratch else tuple(self._removed),
            heard={} if from_scratch else self._heard_at(entries),
            live=live,
            stale_for=stale_for,
        )
        self._upserted, self._removed, self._heard, self._from_scratch = {}, {}, {}, False
        return frame

    def _heard_at(self, entries: Mapping[str, Entry]) -> dict[str, datetime]:
        return {each: entries[each].heard_at for each in self._heard if each in entries and each not in self._upserted}
