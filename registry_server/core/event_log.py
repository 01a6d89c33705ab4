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
    """Selects the events that a reader wants to read. An empty field matches all events."""

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
    """Assigns each event its sequence number, and keeps the newest events in memory; older events are read from the
    store."""

    def __init__(self, last: int = 0, first: int = 1, recent: int = 10_000) -> None:
        self.last = last
        """The sequence number of the newest event; 0 before the first event."""
        self.first = first
        """The sequence number of the oldest event that is kept."""
        self._recent: deque[Event] = deque(maxlen=recent)

    def append(self, event: Event) -> Event:
        """Assign the next sequence number to an event and add it to the log; return the event with its number."""
        self.last += 1
        numbered = replace(event, sequence=self.last)
        self._recent.append(numbered)
        return numbered

    def check(self, after: int) -> None:
        """Raise RevisionCompacted if events after the sequence number `after` are no longer kept, or if `after` is
        higher than the newest number."""
        if after > self.last:
            raise RevisionCompacted(f"there is no event with the number {after}; the newest has the number {self.last}")
        if after and after + 1 < self.first:
            why = f"events after number {after} are no longer kept; the oldest kept event has the number {self.first}"
            raise RevisionCompacted(why)

    def recent_after(self, after: int, limit: int) -> list[Event] | None:
        """Return up to `limit` events after the sequence number `after` from memory; None if they must be read from the
        store."""
        if after >= self.last:
            return []
        if not self._recent or self._recent[0].sequence > after + 1:
            return None
        start = after + 1 - self._recent[0].sequence
        return list(islice(self._recent, start, start + limit))

    def compact(self, first: int) -> None:
        """Forget the events with sequence numbers below `first`."""
        self.first = max(self.first, first)
        while self._recent and self._recent[0].sequence < self.first:
            self._recent.popleft()
