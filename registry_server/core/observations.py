"""What TRON receives: the newest facts about changed services, merged while the observer is not reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from grid_model.observation import ReportDeadline

from registry_server.core.deadlines import Deadlines
from registry_server.core.record import Record

Heard = tuple[int, int, float]
"""One heartbeat: the incarnation, the observation, and the attentive second. A plain tuple: one is made for each."""


@dataclass(frozen=True, slots=True)
class Unread:
    """What an observer reads next: the services whose facts changed, heartbeats, and services that are gone."""

    changed: tuple[str, ...]
    beats: tuple[Heard, ...]
    removed: tuple[str, ...]
    copies: tuple[tuple[str, str], ...] = ()
    """Copies of alerts to read, as (alert_id, recipient); one that is not found waits no more."""

    def parts(self, size: int) -> list[Unread]:
        """The same in parts with at most `size` facts and copies: who is gone comes first, beats come last."""
        if len(self.changed) + len(self.copies) <= size:
            return [self]
        facts = [Unread(self.changed[at : at + size], (), ()) for at in range(0, len(self.changed), size)]
        copies = [Unread((), (), (), self.copies[at : at + size]) for at in range(0, len(self.copies), size)]
        parts = facts + copies
        parts[0] = replace(parts[0], removed=self.removed)
        parts[-1] = replace(parts[-1], beats=self.beats)
        return parts


class ObservationFeed:
    """What one observer has not received yet.

    Overflow rule: nothing queues. Facts are named, not copied, and read when the frame is built; a later beat takes the
    place of an earlier one. So what waits is bounded by the number of services, and by `MAX_COPIES` and `MAX_REMOVED`.
    """

    MAX_COPIES = 100_000
    """Copies that wait to be sent. Overflow rule: the feed is over, and the observer starts from a snapshot."""

    MAX_REMOVED = 100_000
    """Services that are gone and wait to be sent. Overflow rule: the same."""

    def __init__(self, service_ids: list[str], copies: list[tuple[str, str]]) -> None:
        self._changed: dict[str, None] = dict.fromkeys(service_ids)
        self._copies: dict[tuple[str, str], None] = dict.fromkeys(copies)
        self._beats: dict[str, Heard] = {}
        self._removed: dict[str, None] = {}
        self._deadlines = Deadlines()
        self.urgent = False
        """Whether something waits that must not wait for the next tick."""
        self._undecided: set[str] = set()
        """The services for which it is urgent."""

    def changed(self, service_id: str, *, urgent: bool = True) -> None:
        """More than a beat changed about this service; if it is not `urgent` it may wait for the next tick."""
        self._removed.pop(service_id, None)
        self._changed[service_id] = None
        if urgent:
            self.urgent = True
            self._undecided.add(service_id)

    def decided(self, service_id: str) -> None:
        """What changed about this service was acted upon, as the observer said beforehand."""
        self._undecided.discard(service_id)

    @property
    def is_decided(self) -> bool:
        """Whether something urgent waits, and the observer has to decide nothing of it."""
        return self.urgent and not self._undecided

    @property
    def overflowed(self) -> bool:
        """Whether so much waits that the observer must start again."""
        return len(self._copies) > self.MAX_COPIES or len(self._removed) > self.MAX_REMOVED

    def copy(self, alert_id: str, recipient: str) -> None:
        """A copy of an alert was added, escalated, acknowledged or dropped; its recipient and time are facts too."""
        if not self.overflowed:
            self._copies[alert_id, recipient] = None

    def heard(self, service_id: str, beat: Heard) -> None:
        """A beat of this service came; nothing if the observer wants to hear of it at a deadline only."""
        if beat[0] not in self._deadlines:
            self._beats[service_id] = beat

    def heard_many(self, records: Sequence[Record]) -> None:
        """A beat of each of these services came; likewise."""
        beats, deadlines = self._beats, self._deadlines
        for record in records:
            if record.incarnation not in deadlines:
                beats[record.spec.service_id] = (record.incarnation, record.observation, record.heard_at)

    def activity_moved(self, record: Record) -> None:
        """The activity counter of a service moved, whose lack of progress may be judged; likewise."""
        if record.incarnation not in self._deadlines:
            self.changed(record.spec.service_id, urgent=False)

    def defer(self, record: Record, deadline: ReportDeadline) -> None:
        """Send no heartbeat of this service before the deadline. What waits of them is sent with the report."""
        self._deadlines.put(record, deadline)
        self._beats.pop(record.spec.service_id, None)

    def undefer(self, incarnation: int) -> None:
        """Send the heartbeats of this incarnation again: the observer receives facts about it, or it ended."""
        self._deadlines.end(incarnation)

    def report(self, now: float) -> None:
        """Report the services whose deadline was reached."""
        for record in self._deadlines.reached(now):
            self._beats[record.spec.service_id] = (record.incarnation, record.observation, record.heard_at)
            if record.spec.stall_after is not None:
                self.changed(record.spec.service_id, urgent=False)

    def removed(self, service_id: str) -> None:
        """The service is gone."""
        self._changed.pop(service_id, None)
        self._beats.pop(service_id, None)
        if not self.overflowed:
            self._removed[service_id] = None
        self.urgent = True
        self._undecided.add(service_id)

    def take(self) -> Unread:
        """All that waits, which is then sent."""
        unread = Unread(tuple(self._changed), tuple(self._beats.values()), tuple(self._removed), tuple(self._copies))
        self._changed = {}
        self._copies = {}
        self._beats = {}
        self._removed = {}
        self.urgent = False
        self._undecided = set()
        return unread
