"""The newest events of the event log: a bounded list that readers follow by sequence number. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tron_client.models import Event

KEPT = 1000
"""Events that are kept. Overflow rule: the oldest is forgotten; a reader that has not seen it gets a gap."""


class EventTail:
    """Events in order of their sequence numbers."""

    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self.last = 0
        """The newest sequence that is known."""
        self.epoch = 0
        """Grows when the log is read anew: a reader's place may not fit what follows."""

    def restart(self, events: Iterable[Event], last: int) -> None:
        """Replace all events, because the log was read again."""
        self._events.clear()
        self._events.extend(events)
        self.epoch += 1
        self.last = last

    def append(self, event: Event) -> None:
        """Add the next event; an event that is already known is ignored."""
        if event.sequence > self.last:
            self._events.append(event)
            self.last = event.sequence

    def newest(self, count: int) -> list[Event]:
        """Return the newest events, at most `count`, oldest first."""
        return [] if count <= 0 else list(self._events)[-count:]

    def after(self, sequence: int) -> list[Event] | None:
        """Return the events after a sequence number, oldest first; None if some of them are no longer kept."""
        if sequence >= self.last:
            return []
        if not self._events or self._events[0].sequence > sequence + 1:
            return None
        return [event for event in self._events if event.sequence > sequence]
