"""What changed, merged once for all subscribers: numbered frames, of which the newest are kept. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from tron_client.models import Service

from gateway_http.replica.entry import Entry

KEPT_FRAMES = 256
KEPT_SERVICES = 20_000
"""Frames, and services in them, that are kept. Overflow rule: the oldest frame is forgotten; a reader that is so far
behind gets what changed since its revision instead, once."""


@dataclass(frozen=True, slots=True)
class Update:
    """What a subscriber has not seen yet, merged: the newest state of each service, never a queue."""

    revision: int
    """The revision that the copy is true at."""
    snapshot: bool = False
    """Forget everything first: `upserted` is all there is."""
    upserted: tuple[Service, ...] = ()
    removed: tuple[str, ...] = ()
    heard: Mapping[str, datetime] = field(default_factory=dict)
    """Services of which nothing changed but when they were last heard (`last_heartbeat_at`)."""
    live: bool = True
    stale_for: float = 0.0


class FrameLog:
    """Frames 1, 2, 3 ...; a reader is the number of the last one that it has."""

    def __init__(self, frames: int = KEPT_FRAMES, services: int = KEPT_SERVICES) -> None:
        self.last = 0
        self._frames: deque[Update] = deque()
        self._most = frames
        self._most_services = services
        self._services = 0

    def append(self, update: Update) -> None:
        """The next frame."""
        self.last += 1
        self._frames.append(update)
        self._services += len(update.upserted)
        while len(self._frames) > self._most or (self._services > self._most_services and len(self._frames) > 1):
            self._services -= len(self._frames.popleft().upserted)

    def after(self, number: int) -> list[Update] | None:
        """The frames after that one; None if some of them are no longer kept."""
        missing = self.last - number
        if missing > len(self._frames):
            return None
        return list(self._frames)[len(self._frames) - missing :] if missing else []


class PendingFrame:
    """What changed since the last frame: ids only, each once. Bounded by the number of services."""

    def __init__(self) -> None:
        self._upserted: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._heard: dict[str, None] = {}
        self._from_scratch = False

    def changed(self, service_id: str, *, is_there: bool) -> None:
        """A service changed, or is gone."""
        if is_there:
            self._removed.pop(service_id, None)
            self._upserted[service_id] = None
        else:
            self._upserted.pop(service_id, None)
            self._removed[service_id] = None

    def heard(self, service_id: str) -> None:
        """A service was heard, and nothing else changed about it."""
        self._heard[service_id] = None

    def start_over(self) -> None:
        """The next frame is a snapshot."""
        self._from_scratch = True

    @property
    def has_heard(self) -> bool:
        """Whether services were heard since the last frame."""
        return bool(self._heard)

    def take(self, entries: Mapping[str, Entry], revision: int, *, live: bool, stale_for: float) -> Update:
        """The frame, from the services as they are now; what follows belongs to the next one."""
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
