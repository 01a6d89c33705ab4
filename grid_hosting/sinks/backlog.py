"""The notices that wait for one sink: their order, and which notice is dropped when the queue is full. Pure.

The overflow rule: the oldest notice of the lowest severity is dropped; this may be the new notice. The notice that is
being delivered is never dropped, because the receiver may already have it. So a CRITICAL notice is lost only if all
waiting notices are CRITICAL, and of notices with the same severity the newest are kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import Severity

from grid_hosting.sinks.notice import OperatorNotice


@dataclass(frozen=True, slots=True)
class Entry:
    """A notice in the queue, with its number. `queued_at` is in seconds since the epoch, so that it remains valid
    across restarts."""

    number: int
    notice: OperatorNotice
    queued_at: float


class Backlog:
    """A queue of at most `bound` notices without duplicates. Every call takes constant time."""

    def __init__(self, bound: int) -> None:
        if bound < 1:
            raise ValueError("bound: must be at least 1")
        self._bound = bound
        self._last = 0
        # Within a severity the oldest comes first; severities rise.
        self._waiting: dict[Severity, dict[int, Entry]] = {severity: {} for severity in sorted(Severity)}
        self._keys: set[tuple[str, str, str]] = set()
        self._in_hand = 0

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, notice: OperatorNotice, queued_at: float) -> tuple[Entry | None, Entry | None]:
        """Add a notice. Return its entry (None if the notice is already in the queue), and the entry that was dropped
        because the queue was full (None if there was room). Both may be the same entry."""
        if notice.key in self._keys:
            return None, None
        entry = Entry(self._last + 1, notice, queued_at)
        return entry, self.restore(entry)

    def restore(self, entry: Entry) -> Entry | None:
        """Add an entry of the previous process with its old number, which must be above all others. Return the entry
        that was dropped because the queue was full; None if there was room."""
        if entry.number <= self._last:
            raise ValueError(f"number {entry.number} is not above {self._last}")
        self._last = entry.number
        self._keys.add(entry.notice.key)
        self._waiting[entry.notice.severity][entry.number] = entry
        if len(self) <= self._bound:
            return None
        victim = self._least()
        self.remove(victim)
        return victim

    def holds(self, notice: OperatorNotice) -> bool:
        """Return whether this notice is already in the queue."""
        return notice.key in self._keys

    def take(self) -> Entry | None:
        """Return the entry of the oldest notice, to deliver it; None if the queue is empty. The entry stays in the
        queue until it is removed, and is not dropped meanwhile."""
        heads = [next(iter(entries.values())) for entries in self._waiting.values() if entries]
        if not heads:
            return None
        entry = min(heads, key=lambda head: head.number)
        self._in_hand = entry.number
        return entry

    def remove(self, entry: Entry) -> None:
        """Remove an entry from the queue."""
        self._keys.discard(entry.notice.key)
        self._waiting[entry.notice.severity].pop(entry.number, None)

    def _least(self) -> Entry:
        for entries in self._waiting.values():
            for entry in entries.values():
                if entry.number != self._in_hand:
                    return entry
        raise AssertionError("the queue is above its bound, but every entry is being delivered")
