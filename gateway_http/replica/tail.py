"""The newest events of the event log: a bounded list that readers follow by sequence number. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tron_client.models import Event

KEPT = 1000
"""Maximum number of events that are kept. Overflow rule: the oldest is forgotten; a reader that has not seen it gets a
gap."""


class EventTail:
    """The newest events of the event log, in the order of their sequence numbers."""

    def __init__(self, kept: int = KEPT) -> None:
        self._events: deque[Event] = deque(maxlen=kept)
        self.last = 0
        """The sequence number of the newest known event."""
        self.whole = True
        """Whether the log had no older events when it was read."""
        self.epoch = 0
        """Grows each time the log is read again, because a reader's cursor may not fit the new events."""

    def restart(self, events: Iterable[Event], last: int, *, whole: bool = True) -> None:
        """Replace all events, because the event log was read again. `last`: the sequence number of its newest event;
        `whole`: whether it has no older events than these."""
        self.whole = whole
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
