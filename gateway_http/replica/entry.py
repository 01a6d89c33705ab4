"""One service in the mirror: its record, and the values that acknowledged heartbeats reported. The record may not
contain these values yet. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tron_client.models import Service

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Reported:
    """The values that one legacy heartbeat reported. The figures `p95_ms`, `queue_depth` and `load` replace all earlier
    figures: None clears a figure. For status and message, None keeps the earlier value."""

    status: str | None = None
    p95_ms: float | None = None
    queue_depth: int | None = None
    load: float | None = None
    message: str | None = None

    def on_top_of(self, before: Reported) -> Reported:
        """Return this report merged with an earlier one: `before` supplies the status and the message if they are None
        here."""
        if (self.status is not None or before.status is None) and (self.message is not None or before.message is None):
            return self
        return replace(
            self,
            status=before.status if self.status is None else self.status,
            message=before.message if self.message is None else self.message,
        )

    def fields(self) -> dict[str, str | float | int | None]:
        """Return the values to set in a service, by the field names of `Service`."""
        kept = (("status", self.status), ("message", self.message))
        report = {name: value for name, value in kept if value is not None}
        return {**report, "p95_ms": self.p95_ms, "queue_depth": self.queue_depth, "load": self.load}


@dataclass(slots=True)
class Entry:
    """One service of the replica. `revision`: the revision of its last change; `heard_at`: the time of its last
    heartbeat, which may be newer than the time in `service`."""

    record: Service
    """The service, perhaps without the values that heartbeats reported since it was last read. To copy it takes longer
    than all else that an acknowledged heartbeat needs here, so it is copied when somebody reads `service`."""
    revision: int
    heard_at: datetime
    reported: Reported | None = None
    reported_at: int = 0
    """Changes up to this revision may not contain the values that acknowledged heartbeats reported."""
    overtaken: datetime | None = None
    """The start of a DOWN that an acknowledged heartbeat has made obsolete; TRON's verdict about that heartbeat has not
    arrived yet."""
    _as_heard: tuple[Service, Service] | None = None
    _unread: bool = False
    """Whether `record` does not contain the reported values yet."""

    @property
    def service(self) -> Service:
        """The service with the values that acknowledged heartbeats reported."""
        if self._unread and self.reported is not None:
            self._unread = False
            self.record = replace(self.record, last_heartbeat_at=self.heard_at, **self.reported.fields())  # type: ignore[arg-type]
        return self.record

    @service.setter
    def service(self, service: Service) -> None:
        self.record, self._unread = service, False

    def beaten(self, reported: Reported, heard_at: datetime, revision: int) -> None:
        """Add the values that an acknowledged heartbeat reported. `revision`: that of the registry then."""
        self.reported = reported if self.reported is None else reported.on_top_of(self.reported)
        self.reported_at = max(self.reported_at, revision)
        self.heard_at = max(self.heard_at, heard_at)
        self._unread = True

    def as_heard(self) -> Service:
        """Return the current record of the service, with the liveness UNKNOWN instead of a DOWN that a heartbeat has
        made obsolete."""
        service = self.current()
        if service.liveness != "DOWN" or self.is_down():
            return service
        if self._as_heard is None or self._as_heard[0] is not service:
            self._as_heard = (service, replace(service, liveness="UNKNOWN"))
        return self._as_heard[1]

    def is_down(self) -> bool:
        """Return whether the service is DOWN, and no heartbeat has made this obsolete."""
        service = self.record
        return service.liveness == "DOWN" and (self.overtaken is None or service.liveness_since != self.overtaken)

    def current(self) -> Service:
        """Return the current record of the service, with the time of its newest heartbeat."""
        service = self.service
        if service.last_heartbeat_at != self.heard_at:
            self.service = service = replace(service, last_heartbeat_at=self.heard_at)
        return service


def merged(revision: int, service: Service, before: Entry | None) -> Entry:
    """Return a new entry for `service`, the state of a service at a revision. `before`: the former entry. If this state
    may not yet contain the values that acknowledged heartbeats reported, the new entry takes them from `before`."""
    heard_at = service.last_heartbeat_at or EPOCH
    entry = Entry(service, revision, heard_at)
    if before is None or before.record.incarnation != service.incarnation:
        return entry
    entry.heard_at = max(heard_at, before.heard_at)
    entry.overtaken = before.overtaken
    if before.reported is not None and revision <= before.reported_at:
        entry.reported, entry.reported_at = before.reported, before.reported_at
        entry.service = replace(service, **before.reported.fields())  # type: ignore[arg-type]
        overtake(entry)
    return entry


def overtake(entry: Entry) -> None:
    """Record that an acknowledged heartbeat has made the DOWN in an entry obsolete. Does nothing if the service is not
    DOWN, or if the verdict is newer than the heartbeat."""
    if entry.record.liveness == "DOWN" and entry.revision <= entry.reported_at:
        entry.overtaken = entry.record.liveness_since
