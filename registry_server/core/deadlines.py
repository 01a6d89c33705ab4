"""Decides when the registry reports a silent service to an observer. Until then, it need not send the observer the
heartbeats of the service. Pure.

The observer computes the time at which it would act if no more heartbeats arrived, and by how much each heartbeat
postpones that time. The observer chooses these numbers; the registry has no rule for them. The registry reports a
service once that time has passed without a heartbeat; until then it sends the observer no heartbeats of the service. So
the work of an observer grows with the number of services that miss a heartbeat, and not with the number of all
services.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heappop, heappush

from grid_model.observation import ReportDeadline

from registry_server.core.record import Record

WIDTH = 0.1
"""Width of a bucket in attentive seconds: the time between two frames."""

LOOKED_AT = 20_000
"""Maximum number of deadlines that are checked for one frame, which takes about 5 ms. Further deadlines are checked for
the next frame."""

SPARE_ENTRIES = 1000
"""Outdated entries in buckets that are tolerated, in addition to one for each deadline, before they are removed."""


@dataclass(slots=True)
class _Pending:
    record: Record
    due: float
    silence: float
    inactivity: float
    bucket: int


class Deadlines:
    """The report deadlines that one observer has set: at most one for each registered incarnation.

    Deadlines are kept in buckets of equal width. A heartbeat does not move a deadline. When a deadline is due,
    `reached` checks whether heartbeats have postponed it, and then moves it to its new time. So a heartbeat costs
    nothing here.
    """

    def __init__(self) -> None:
        self.pending: dict[int, _Pending] = {}
        """The deadlines by incarnation. Callers read this directly, because a method call for each heartbeat would be
        too slow; they must not change it."""
        self._buckets: dict[int, list[int]] = {}
        self._order: list[int] = []
        """The numbers of the buckets, as a heap."""
        self.entries = 0
        """Number of entries in all buckets, including outdated ones."""

    def __len__(self) -> int:
        return len(self.pending)

    def __contains__(self, incarnation: int) -> bool:
        return incarnation in self.pending

    def put(self, record: Record, deadline: ReportDeadline) -> None:
        """Set the report deadline of a service: the time at which the service is reported to the observer. This
        replaces an earlier deadline of the same incarnation."""
        bucket = _bucket_of(deadline.due)
        before = self.pending.get(record.incarnation)
        pending = _Pending(record, deadline.due, deadline.silence, deadline.inactivity, bucket)
        self.pending[record.incarnation] = pending
        if before is not None and before.bucket <= bucket:
            pending.bucket = before.bucket
        else:
            self._enter(bucket, (record.incarnation,))
            if self.entries > SPARE_ENTRIES + 2 * len(self.pending):
                self._drop_old_entries()

    def may_be_reached(self, now: float) -> bool:
        """Return whether `reached` has deadlines to check at `now` (attentive seconds)."""
        return bool(self._order) and self._order[0] <= _bucket_of(now)

    def end(self, incarnation: int) -> None:
        """Remove the deadline of an incarnation, if it has one, so that all its heartbeats are sent to the observer
        again."""
        self.pending.pop(incarnation, None)

    def reached(self, now: float, limit: int = LOOKED_AT) -> list[Record]:
        """Return the services whose deadlines have passed, and remove these deadlines. A deadline that heartbeats have
        postponed has not passed. At most `limit` deadlines are checked."""
        found: list[Record] = []
        later: dict[int, list[int]] = {}
        last, looked = _bucket_of(now), 0
        while self._order and self._order[0] <= last and looked < limit:
            bucket = heappop(self._order)
            entries = self._buckets.pop(bucket)
            rest = entries[limit - looked :]
            if rest:
                del entries[limit - looked :]
                later.setdefault(bucket, []).extend(rest)
            self.entries -= len(entries) + len(rest)
            looked += len(entries)
            # One turn for each service and interval, so without calls; most go to the same few buckets.
            next_bucket, moved = bucket, entries
            for incarnation in entries:
                pending = self.pending.get(incarnation)
                if pending is None or pending.bucket != bucket:
                    continue
                record = pending.record
                due, inactive = record.heard_at + pending.silence, record.active_at + pending.inactivity
                if inactive < due:
                    due = inactive
                if due < pending.due:
                    due = pending.due
                if due <= now:
                    del self.pending[incarnation]
                    found.append(record)
                    continue
                pending.bucket = int(due / WIDTH)
                if pending.bucket != next_bucket or moved is entries:
                    next_bucket = pending.bucket
                    moved = later.setdefault(next_bucket, [])
                moved.append(incarnation)
        for bucket, entries in later.items():
            self._enter(bucket, entries)
        return found

    def _enter(self, bucket: int, incarnations: Iterable[int]) -> None:
        entries = self._buckets.get(bucket)
        if entries is None:
            entries = self._buckets[bucket] = []
            heappush(self._order, bucket)
        before = len(entries)
        entries.extend(incarnations)
        self.entries += len(entries) - before

    def _drop_old_entries(self) -> None:
        """Remove outdated entries. A deadline that is replaced by a sooner one leaves an entry behind until the old
        time comes, which may take a day."""
        self._buckets.clear()
        self._order.clear()
        self.entries = 0
        for incarnation, pending in self.pending.items():
            self._enter(pending.bucket, (incarnation,))


def _bucket_of(at: float) -> int:
    return int(at / WIDTH)
