"""The facts that an observer has not received yet, merged while it does not read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from grid_model.observation import ReportDeadline
from grid_model.round_robin import RoundRobin

from registry_server.core.deadlines import Deadlines
from registry_server.core.record import Record

Heard = tuple[int, int, float]
"""One heartbeat: the incarnation, the observation, and the attentive second. A plain tuple: one is made for each."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The facts that an observer reads next: services whose facts changed, heartbeats, and removed services."""

    changed: tuple[str, ...]
    beats: tuple[Heard, ...]
    removed: tuple[str, ...]
    copies: tuple[tuple[str, str], ...] = ()
    """The copies of alerts to read, as (alert_id, recipient); a copy that is not found no longer waits."""

    def parts(self, size: int) -> list[Unread]:
        """Return the facts in parts of at most `size` facts, where a copy counts as COPY_WEIGHT of them: removed
        services first, heartbeats last."""
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
"""How many facts about services cost as much as a copy of an alert, which has the alert in it."""


class ObservationFeed:
    """The facts that one observer has not received yet.

    Overflow rule: nothing queues. The feed names the changed services, and their facts are read when the frame is
    built; a later heartbeat replaces an earlier one. So the feed is bounded by the number of services, and by
    `MAX_COPIES` and `MAX_REMOVED`.
    """

    MAX_COPIES = 100_000
    """Maximum number of copies that wait to be sent. Overflow rule: the feed ends, and the observer starts again with a
    snapshot."""

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
        """The copies that the observer was sent and that have not ended for it; bounded by what waits in mailboxes."""
        self._beats: dict[str, Heard] = {}
        self._removed: dict[str, None] = {}
        self._deadlines = Deadlines()
        self.urgent = False
        """Whether something waits that must not wait for the next tick."""
        self._undecided: set[str] = set()
        """The services for which it is urgent."""

    def changed(self, service_id: str, *, parent: str = "", urgent: bool = True) -> None:
        """Record that more than a heartbeat changed about this service; if the change is not `urgent`, it may wait for
        the next tick. If more wait than one frame takes, the parents take turns."""
        self._removed.pop(service_id, None)
        if service_id not in self._changed:
            self._enter(service_id, parent)
        if urgent:
            self.urgent = True
            self._undecided.add(service_id)

    def decided(self, service_id: str) -> None:
        """Record that the change about this service was handled by a preauthorized suspicion of the observer."""
        self._undecided.discard(service_id)

    @property
    def is_decided(self) -> bool:
        """Whether an urgent change waits on which the observer need not decide anything."""
        return self.urgent and not self._undecided

    @property
    def overflowed(self) -> bool:
        """Whether so much waits that the observer must start again with a snapshot."""
        return len(self._copies) > self.MAX_COPIES or len(self._removed) > self.MAX_REMOVED

    def copy(self, alert_id: str, recipient: str) -> None:
        """Record that a copy of an alert was added, escalated, acknowledged or dropped; its recipient and time are
        facts too."""
        if not self.overflowed:
            self._copies[alert_id, recipient] = None

    def copy_sent(self, alert_id: str, recipient: str) -> None:
        """Record that the observer is sent this copy."""
        self._sent_copies.add((alert_id, recipient))

    def copy_ended(self, alert_id: str, recipient: str) -> bool:
        """Record that a copy no longer waits; return whether the observer was sent it."""
        known = (alert_id, recipient) in self._sent_copies
        self._sent_copies.discard((alert_id, recipient))
        return known

    def heard(self, record: Record) -> None:
        """Record that a heartbeat of this service arrived; ignored if the observer asked for a report at a deadline
        only."""
        if record.incarnation not in self._deadlines.pending:
            self._beats[record.spec.service_id] = (record.incarnation, record.observation, record.heard_at)

    def heard_many(self, records: Sequence[Record]) -> None:
        """Record that a heartbeat of each of these services arrived, as `heard` does, without a call for each."""
        deferred = self._deadlines.pending
        for record in [record for record in records if record.incarnation not in deferred]:
            self._beats[record.spec.service_id] = (record.incarnation, record.observation, record.heard_at)

    def activity_moved(self, record: Record) -> None:
        """Record that the activity counter of a service changed whose lack of progress TRON evaluates; ignored if the
        observer asked for a report at a deadline only."""
        if record.incarnation not in self._deadlines:
            self.changed(record.spec.service_id, parent=record.spec.parent, urgent=False)

    def defer(self, record: Record, deadline: ReportDeadline) -> None:
        """Send no heartbeat of this service before the deadline. Waiting heartbeats are sent with the report."""
        self._deadlines.put(record, deadline)
        self._beats.pop(record.spec.service_id, None)

    def undefer(self, incarnation: int) -> None:
        """Send the heartbeats of this incarnation again, because the observer receives facts about it, or because it
        ended."""
        self._deadlines.end(incarnation)

    def report(self, now: float) -> None:
        """Report the services whose deadlines have been reached."""
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
        """Return and remove the waiting facts, to be sent: at most `most` services whose facts changed, and as many
        copies. The rest is for the next frame.

        A heartbeat never overtakes the facts about its service: the observer would take a service that is back for one
        that is still away, and be up to date by its number.
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
