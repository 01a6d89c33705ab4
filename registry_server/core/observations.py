"""The facts that an observer has not received yet. They are merged while the observer does not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from grid_model.observation import ReportDeadline
from grid_model.round_robin import RoundRobin

from registry_server.core.deadlines import Deadlines
from registry_server.core.record import Record

Heard = tuple[int, int, float]
"""One heartbeat: the incarnation, the observation, and the attentive time. It is a plain tuple, because one is created
for each heartbeat."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The facts that an observer reads next: services whose facts changed, heartbeats, and removed services."""

    changed: tuple[str, ...]
    beats: tuple[Heard, ...]
    removed: tuple[str, ...]
    copies: tuple[tuple[str, str], ...] = ()
    """The alert copies whose state the observer must be sent, as (alert_id, recipient). A copy that is not found no
    longer waits."""

    def parts(self, size: int) -> list[Unread]:
        """Return the facts in parts of at most `size` facts, in which an alert copy counts as COPY_WEIGHT facts. The
        first part contains the removed services, the last one the heartbeats."""
        if len(self.changed) + COPY_WEIGHT * len(self.copies) <= size:
            return [self]
        few = max(1, size // COPY_WEIGHT)
        facts = [Unread(self.changed[at : at + size], (), ()) for at in range(0, len(self.changed), size)]
        copies = [Unread((), (), (), self.copies[at : at + few]) for at in range(0, len(self.copies), few)]
        parts = facts + copies
        parts[0] = replace(parts[0], removed=self.removed)
        parts[-1] = replace(parts[-1], beats=self.beats)
        return parts


COPY_WEIGHT = 5
"""The cost of an alert copy relative to that of the facts about one service: a copy costs more, because it contains the
alert."""


class ObservationFeed:
    """The facts that one observer has not received yet.

    Overflow rule: facts do not queue. The feed contains only the ids of the changed services, and their facts are read
    when the frame is built; a later heartbeat replaces an earlier one. So the feed is bounded by the number of
    services, and by `MAX_COPIES` and `MAX_REMOVED`.
    """

    MAX_COPIES = 100_000
    """Maximum number of alert copies that wait to be sent. Overflow rule: the feed ends, and the observer starts again
    with a snapshot."""

    MAX_REMOVED = 100_000
    """Maximum number of removed services that wait to be sent. Overflow rule: the feed ends, and the observer starts
    again with a snapshot."""

    def __init__(self, service_ids: list[str], copies: list[tuple[str, str]]) -> None:
        self._changed: dict[str, str] = {}
        """The services whose facts wait, each with its parent."""
        self._in_turn: RoundRobin[str] = RoundRobin()
        for service_id in service_ids:
            self._enter(service_id, "")
        self._copies: dict[tuple[str, str], None] = dict.fromkeys(copies)
        self._sent_copies: set[tuple[str, str]] = set()
        """The alert copies that the observer was sent, and whose end it was not sent yet. Bounded by the number of
        copies that wait in mailboxes."""
        self._beats: dict[str, Heard] = {}
        self._removed: dict[str, None] = {}
        self._deadlines = Deadlines()
        self.urgent = False
        """Whether a fact waits that must be sent before the next tick."""
        self._undecided: set[str] = set()
        """The services with urgent changes on which the observer has to decide."""

    def changed(self, service_id: str, *, parent: str = "", urgent: bool = True) -> None:
        """Record a change of a service other than a heartbeat. If the change is not `urgent`, it may wait for the next
        tick. If more changed services wait than one frame can contain, their parents take turns."""
        self._removed.pop(service_id, None)
        if service_id not in self._changed:
            self._enter(service_id, parent)
        if urgent:
            self.urgent = True
            self._undecided.add(service_id)

    def decided(self, service_id: str) -> None:
        """Record that the newest change of this service needs no decision by the observer, because the registry has
        already applied the observer's preauthorized suspicion to it."""
        self._undecided.discard(service_id)

    @property
    def is_decided(self) -> bool:
        """Whether urgent changes wait to be sent, and none of them needs a decision by the observer; see `decided`."""
        return self.urgent and not self._undecided

    def has_news(self, now: float) -> bool:
        """Return whether anything but the time waits to be sent at `now` (attentive seconds), or a report deadline may
        have passed."""
        waiting = self._changed or self._beats or self._copies or self._removed
        return bool(waiting) or self._deadlines.may_be_reached(now)

    @property
    def overflowed(self) -> bool:
        """Whether too many facts wait, so that the observer must start again with a snapshot."""
        return len(self._copies) > self.MAX_COPIES or len(self._removed) > self.MAX_REMOVED

    def copy(self, alert_id: str, recipient: str) -> None:
        """Record that an alert copy was added, escalated, acknowledged or dropped, so that the observer is sent the new
        state of the copy."""
        if not self.overflowed:
            self._copies[alert_id, recipient] = None

    def copy_sent(self, alert_id: str, recipient: str) -> None:
        """Record that this alert copy is sent to the observer."""
        self._sent_copies.add((alert_id, recipient))

    def copy_ended(self, alert_id: str, recipient: str) -> bool:
        """Record that an alert copy no longer waits. Return whether it had been sent to the observer."""
        known = (alert_id, recipient) in self._sent_copies
        self._sent_copies.discard((alert_id, recipient))
        return known

    def heard(self, record: Record) -> None:
        """Record a heartbeat of this service. It is ignored if the observer has set a report deadline for the
        service."""
        if record.incarnation not in self._deadlines.pending:
            self._beats[record.spec.service_id] = (record.incarnation, record.observation, record.heard_at)

    def heard_many(self, records: Sequence[Record]) -> None:
        """Record a heartbeat of each of these services, as `heard` does, but without one call for each service."""
        deferred = self._deadlines.pending
        for record in [record for record in records if record.incarnation not in deferred]:
            self._beats[record.spec.service_id] = (record.incarnation, record.observation, record.heard_at)

    def activity_moved(self, record: Record) -> None:
        """Record a change of the activity counter of a service whose progress TRON checks. It is ignored if the
        observer has set a report deadline for the service."""
        if record.incarnation not in self._deadlines:
            self.changed(record.spec.service_id, parent=record.spec.parent, urgent=False)

    def defer(self, record: Record, deadline: ReportDeadline) -> None:
        """Send the observer no heartbeats of this service before the deadline, and discard a heartbeat that waits to be
        sent. The report at the deadline contains the last heartbeat."""
        self._deadlines.put(record, deadline)
        self._beats.pop(record.spec.service_id, None)

    def undefer(self, incarnation: int) -> None:
        """Drop the report deadline of this incarnation, because the observer is sent new facts about the incarnation,
        or because the incarnation ended. From now on, the observer is sent all its heartbeats again."""
        self._deadlines.end(incarnation)

    def report(self, now: float) -> None:
        """Add the services whose report deadlines have passed at `now` (attentive seconds) to the facts to be sent."""
        reached = self._deadlines.reached(now)
        self.heard_many(reached)
        for record in reached:
            if record.spec.stall_after is not None:
                self.changed(record.spec.service_id, parent=record.spec.parent, urgent=False)

    def removed(self, service_id: str) -> None:
        """Record that the service was removed."""
        parent = self._changed.pop(service_id, None)
        if parent is not None:
            self._in_turn.remove(parent, service_id)
        self._beats.pop(service_id, None)
        if not self.overflowed:
            self._removed[service_id] = None
        self.urgent = True
        self._undecided.add(service_id)

    def take(self, most: int | None = None) -> Unread:
        """Remove and return the facts for the next frame: at most `most` services whose facts changed, and at most
        `most` alert copies. The rest waits for a later frame.

        A heartbeat is never sent before the changed facts about its service. Otherwise, the observer would have the
        newest observation number, and still regard a service that is back as disconnected.
        """
        changed = self._take_changed(most)
        beats = [beat for service_id, beat in self._beats.items() if service_id not in self._changed]
        copies = tuple(islice(self._copies, most))
        unread = Unread(changed, tuple(beats), tuple(self._removed), copies)
        for copy in copies:
            del self._copies[copy]
        self._beats = {}
        self._removed = {}
        self._undecided.intersection_update(self._changed)
        self.urgent = bool(self._changed or self._copies)  # the rest follows at once
        return unread

    def _take_changed(self, most: int | None) -> tuple[str, ...]:
        if most is None or len(self._changed) <= most:
            changed = tuple(self._changed)
            self._changed, self._in_turn = {}, RoundRobin()
        else:
            changed = tuple([self._in_turn.take() for _ in range(most)])
            for service_id in changed:
                del self._changed[service_id]
        return changed

    def _enter(self, service_id: str, parent: str) -> None:
        self._changed[service_id] = parent
        self._in_turn.put(parent, service_id)
