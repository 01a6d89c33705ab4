"""What the audit log records, and how refusals are counted so that no caller can fill the disk. Pure.

Each act (a change by an operator or an administrator) is one record. Refusals are counted by actor, method and reason.
The first refusal within WINDOW seconds is recorded at once; the others are recorded at the end of the window, as one
record with their number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import ip_network

from grid_hosting.addresses import ip_of_peer

WINDOW = 60.0
"""Seconds for which refusals of one kind are counted together."""

MOST_KINDS = 500
"""Maximum number of kinds of refusals within one window. Each kind has at most two records, so a window has at most
1,000. Overflow rule: refusals of further kinds are counted in one record of the kind DROPPED."""

OK = "OK"
"""The outcome of an act that succeeded."""


class AuditKind(IntEnum):
    """The kind of an audit record."""

    ACT = 1
    """An operator or an administrator has changed something."""
    REFUSAL = 2
    """A caller was not authenticated, or was not permitted to do what it asked for."""
    DROPPED = 3
    """Refusals that have no record of their own, because there were too many kinds of them."""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record of the audit log. `number` is 0 until the record is stored."""

    at: float
    """Seconds since the epoch."""
    kind: AuditKind
    actor: str
    """The principal that called. For a caller that is not authenticated, the network from which it called."""
    method: str
    """The full name of the method."""
    target: str = ""
    """The id or name that the call was about."""
    outcome: str = OK
    """OK, or the reason of the refusal."""
    peer: str = ""
    """The address of the caller."""
    via: str = ""
    """The relay that called for the actor, or the server that the actor called if that is not the registry."""
    count: int = 1
    """How many calls the record represents."""
    number: int = 0


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records of the audit log to read. A field that is empty or None matches all records."""

    kind: AuditKind | None = None
    actor: str = ""
    method: str = ""
    target: str = ""


class RefusalCounts:
    """Counts refusals within windows of WINDOW seconds. Refusals are of the same kind if they have the same actor,
    method and reason. `now` is in monotonic seconds. `via`: the relay that reports the refusals, if this object counts
    those of one relay only. `most`: the maximum number of kinds within one window."""

    def __init__(self, via: str = "", most: int = MOST_KINDS) -> None:
        self._via = via
        self._most = most
        self._ends_at: float | None = None
        self._counts: dict[tuple[str, str, str], tuple[int, AuditRecord]] = {}
        self._dropped = 0

    def refused(self, record: AuditRecord, now: float) -> list[AuditRecord]:
        """Count the refusals that a record represents. Return the records to store now: those of a window that has
        ended, and this record if it is the first of its kind in the current window."""
        ended = self.advance(now)
        if self._ends_at is None:
            self._ends_at = now + WINDOW
        key = (record.actor, record.method, record.outcome)
        known = self._counts.get(key)
        if known is not None:
            self._counts[key] = known[0] + record.count, record
            return ended
        if len(self._counts) >= self._most or record.kind is AuditKind.DROPPED:
            self._dropped += record.count
            return ended
        self._counts[key] = 0, record
        return [*ended, record]

    @property
    def is_empty(self) -> bool:
        """Whether no window is open, so that there is nothing to store later."""
        return self._ends_at is None

    def advance(self, now: float) -> list[AuditRecord]:
        """Return the remaining records of the current window if it has ended. Return no records if it has not."""
        return [] if self._ends_at is None or now < self._ends_at else self.end()

    def end(self) -> list[AuditRecord]:
        """End the window and return its remaining records. For each kind with more than one refusal, one record has the
        number of refusals after the first one, and the target of the last one. If refusals were dropped, one more
        record has their number."""
        records = [replace(last, count=count) for count, last in self._counts.values() if count]
        if self._dropped:
            newest = max((each.at for _, each in self._counts.values()), default=0.0)
            records.append(
                AuditRecord(newest, AuditKind.DROPPED, "", "", outcome="", via=self._via, count=self._dropped)
            )
        self._ends_at, self._counts, self._dropped = None, {}, 0
        return records


def network_of(peer: str) -> str:
    """Return the network of a gRPC peer, because one attacker may have many addresses in it: `network:10.1.2.0/24` for
    IPv4, or the first 64 bits of an IPv6 address. For a peer without an IP address, return its scheme, such as
    `network:unix`."""
    address = ip_of_peer(peer)
    if address is None:
        return f"network:{peer.partition(':')[0] or 'unknown'}"
    return f"network:{ip_network((address, 24 if address.version == 4 else 64), strict=False)}"
