"""The event log, numbered 1, 2, 3 ... without gaps. A reader resumes from any number that is kept, or is notified of a
gap."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import islice

from grid_model.errors import RevisionCompacted
from grid_model.event import Event


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a reader wants to read. An empty field matches all events."""

    recipient: str = ""
    service_id: str = ""
    types: frozenset[str] = frozenset()

    def admits(self, event: Event) -> bool:
        """Return whether an event matches all given fields."""
        return (
            (not self.recipient or event.recipient == self.recipient)
            and (not self.service_id or event.service_id == self.service_id)
            and (not self.types or event.type in self.types)
        )


class EventLog:
    """Gives each event its number and keeps the newest events in memory; older events are read from the store."""

    def __init__(self, last: int = 0, first: int = 1, recent: int = 10_000) -> None:
        self.last = last
        """The newest number given; 0 before the first."""
        self.first = first
        """The oldest number that is kept."""
        self._recent: deque[Event] = deque(maxlen=recent)

    def append(self, event: Event) -> Event:
        """Number an event and add it; return the event with its number."""
        self.last += 1
        numbered = replace(event, sequence=self.last)
        self._recent.append(numbered)
        return numbered

    def check(self, after: int) -> None:
        """Raise RevisionCompacted if events after `after` are no longer kept, or `after` lies in the future."""
        if after > self.last:
            raise RevisionCompacted(f"sequence {after} is ahead of this log, which is at {self.last}")
        if after and after + 1 < self.first:
            raise RevisionCompacted(f"events after {after} are no longer kept; the oldest is {self.first}")

    def recent_after(self, after: int, limit: int) -> list[Event] | None:
        """Return up to `limit` events after `after` from memory; None if they must be read from the store."""
        if after >= self.last:
            return []
        if not self._recent or self._recent[0].sequence > after + 1:
            return None
        start = after + 1 - self._recent[0].sequence
        return list(islice(self._recent, start, start + limit))

    def compact(self, first: int) -> None:
        """Forget events older than the number `first`."""
        self.first = max(self.first, first)
        while self._recent and self._recent[0].sequence < self.first:
            self._recent.popleft()
