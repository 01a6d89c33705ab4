"""The data of the registry as Python values: frozen, comparable, and convertible to JSON.

Times are aware datetimes in UTC or None; intervals are in seconds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from grid.events.v1 import event_pb2
from grid.registry.v1 import registry_service_pb2, service_pb2
from grid_model import wire

from tron_client import words


def _to_dict(value: Any) -> dict[str, Any]:
    def plain(item: Any) -> Any:
        if isinstance(item, datetime):
            return wire.rfc3339(item)
        if isinstance(item, Maintenance):
            return item.to_dict()
        return list(item) if isinstance(item, tuple) else item

    return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A period in which an operator holds back the alerts about a service. If `until` is None, it lasts until an
    operator ends it."""

    since: datetime | None = None
    until: datetime | None = None
    reason: str = ""

    @classmethod
    def from_proto(cls, pb: service_pb2.Maintenance) -> Maintenance:
        """Return the Maintenance in a protobuf message grid.registry.v1.Maintenance."""
        return cls(
            since=wire.moment(pb.since) if pb.HasField("since") else None,
            until=wire.moment(pb.until) if pb.HasField("until") else None,
            reason=pb.reason,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a JSON object; times are strings in RFC 3339 format."""
        return _to_dict(self)


@dataclass(frozen=True, slots=True)
class Service:
    """One service: what it declared, what it last reported, when its last heartbeat arrived, and its liveness."""

    service_id: str
    name: str = ""
    type: str = "agent"
    """The type of the service: agent, model or tool."""
    role: str = "production"
    """The role of the service: production, staging, canary or experimental."""
    url: str = ""
    caps: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    parent: str = ""
    ctx_limit: int | None = None
    cost_hint: dict[str, float] = field(default_factory=dict)
    heartbeat_interval: float = 30.0
    ttl: float = 90.0
    reconnect_grace: float | None = None
    stall_after: float | None = None
    refused_children: tuple[str, ...] = ()
    """Services of other owners may not declare this service as their parent if their id is in this list. An entry that
    ends with `*` matches every id with that prefix."""
    incarnation: int = 0
    registered_at: datetime | None = None
    last_heartbeat_at: datetime | None = None
    connected: bool = False
    status: str = "ok"
    p95_ms: float | None = None
    queue_depth: int | None = None
    load: float | None = None
    message: str = ""
    progress: float | None = None
    activity: int = 0
    loop_lag: float | None = None
    busy_until: datetime | None = None
    liveness: str = ""
    """TRON's verdict: ALIVE, SUSPECT, DOWN, or UNKNOWN while liveness is not being evaluated."""
    liveness_cause: str = ""
    """The cause of the verdict: DISCONNECTED, SILENT or STALLED; empty while the service is alive."""
    liveness_since: datetime | None = None
    maintenance: Maintenance | None = None
    """The maintenance of this service, in which an operator holds back the alerts about it; None without
    maintenance."""

    @classmethod
    def from_proto(cls, pb: service_pb2.Service) -> Service:
        """Return the Service in a protobuf message grid.registry.v1.Service."""
        return cls(
            service_id=pb.service_id,
            name=pb.name,
            type=words.TYPES.word(pb.type),
            role=words.ROLES.word(pb.role),
            url=pb.url,
            caps=tuple(pb.caps),
            labels=wire.json_object(pb.labels),
            parent=pb.parent,
            ctx_limit=pb.ctx_limit if pb.HasField("ctx_limit") else None,
            cost_hint=dict(pb.cost_hint),
            heartbeat_interval=wire.seconds(pb.heartbeat_interval),
            ttl=wire.seconds(pb.ttl),
            reconnect_grace=wire.seconds(pb.reconnect_grace) if pb.HasField("reconnect_grace") else None,
            stall_after=wire.seconds(pb.stall_after) if pb.HasField("stall_after") else None,
            refused_children=tuple(pb.refused_children),
            incarnation=pb.incarnation,
            registered_at=wire.moment(pb.registered_at) if pb.HasField("registered_at") else None,
            last_heartbeat_at=wire.moment(pb.last_heartbeat_at) if pb.HasField("last_heartbeat_at") else None,
            connected=pb.connected,
            status=words.STATUSES.word(pb.status),
            p95_ms=pb.p95_ms if pb.HasField("p95_ms") else None,
            queue_depth=pb.queue_depth if pb.HasField("queue_depth") else None,
            load=pb.load if pb.HasField("load") else None,
            message=pb.message,
            progress=pb.progress if pb.HasField("progress") else None,
            activity=pb.activity,
            loop_lag=wire.seconds(pb.loop_lag) if pb.HasField("loop_lag") else None,
            busy_until=wire.moment(pb.busy_until) if pb.HasField("busy_until") else None,
            liveness=words.LIVENESS.word(pb.liveness),
            liveness_cause=words.CAUSES.word(pb.liveness_cause),
            liveness_since=wire.moment(pb.liveness_since) if pb.HasField("liveness_since") else None,
            maintenance=Maintenance.from_proto(pb.maintenance) if pb.HasField("maintenance") else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a JSON object; times are strings in RFC 3339 format."""
        return _to_dict(self)


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the event log; an event with a recipient is an alert."""

    sequence: int = 0
    alert_id: str = ""
    occurred_at: datetime | None = None
    type: str = ""
    severity: str = "INFO"
    """The severity: INFO, WARNING or CRITICAL."""
    service_id: str = ""
    service_name: str = ""
    recipient: str = ""
    cause: str = ""
    missed_beats: int = 0
    last_seen_at: datetime | None = None
    action: str = ""
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    published_by: str = ""
    """The principal that published the event, as the registry authenticated it; empty for events of TRON."""
    via: str = ""
    """The relay that published the event for that principal; empty if there was no relay."""

    @classmethod
    def from_proto(cls, pb: event_pb2.Event) -> Event:
        """Return the Event in a protobuf message grid.events.v1.Event."""
        return cls(
            sequence=pb.sequence,
            alert_id=pb.alert_id,
            occurred_at=wire.moment(pb.occurred_at) if pb.HasField("occurred_at") else None,
            type=pb.type,
            severity=words.SEVERITIES.word(pb.severity) or "INFO",
            service_id=pb.service_id,
            service_name=pb.service_name,
            recipient=pb.recipient,
            cause=words.CAUSES.word(pb.cause),
            missed_beats=pb.missed_beats,
            last_seen_at=wire.moment(pb.last_seen_at) if pb.HasField("last_seen_at") else None,
            action=pb.action,
            message=pb.message,
            details=wire.json_object(pb.details),
            published_by=pb.published_by,
            via=pb.via,
        )

    def to_proto(self) -> event_pb2.Event:
        """Return this event as a protobuf message grid.events.v1.Event. Raises InvalidRequest for an unknown severity
        or cause."""
        return event_pb2.Event(
            sequence=self.sequence,
            alert_id=self.alert_id,
            occurred_at=wire.timestamp(self.occurred_at),
            type=self.type,
            severity=words.SEVERITIES.number(self.severity),
            service_id=self.service_id,
            service_name=self.service_name,
            recipient=self.recipient,
            cause=words.CAUSES.number(self.cause),
            missed_beats=self.missed_beats,
            last_seen_at=wire.timestamp(self.last_seen_at),
            action=self.action,
            message=self.message,
            details=wire.struct(self.details or None),
            published_by=self.published_by,
            via=self.via,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a JSON object; times are strings in RFC 3339 format."""
        return _to_dict(self)


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """One step of a watch.

    `upserted` carries the new state of a service, `removed` the id of a removed service. `snapshot_complete` means that
    the snapshot ends here: all its services came in earlier steps, and live changes follow. `reset` means that all
    services received so far must be discarded, because a new snapshot follows.
    """

    revision: int
    kind: Literal["upserted", "removed", "snapshot_complete", "reset"]
    service: Service | None = None
    service_id: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a JSON object. The value of `service` is a JSON object too, or None."""
        return _to_dict(self) | {"service": None if self.service is None else self.service.to_dict()}


@dataclass(frozen=True, slots=True)
class ServiceList:
    """A list of services, and the revision at which it is accurate: a watch that starts at this revision misses no
    change."""

    services: tuple[Service, ...]
    revision: int
    observed_at: datetime | None = None
    """The time of the answer on the registry's clock, from which ages can be computed; None if the registry does not
    send it."""


@dataclass(frozen=True, slots=True)
class GoneService:
    """A service that is no longer registered. If `lost` is True, TRON deregistered the service because it was down. If
    `lost` is False, the service was removed on purpose, by its own goodbye or by an operator."""

    service_id: str
    name: str = ""
    parent: str = ""
    incarnation: int = 0
    removed_at: datetime | None = None
    reason: str = ""
    lost: bool = False
    cause: str = ""
    """The cause of the death: DISCONNECTED, SILENT or STALLED. Like the fields below, it is set only for a lost
    service."""
    down_at: datetime | None = None
    last_heartbeat_at: datetime | None = None
    alert_id: str = ""
    acknowledged: bool = False
    """Whether an operator has acknowledged the loss."""

    @classmethod
    def from_proto(cls, pb: registry_service_pb2.GoneService) -> GoneService:
        """Return the GoneService in a protobuf message grid.registry.v1.GoneService."""
        return cls(
            service_id=pb.service_id,
            name=pb.name,
            parent=pb.parent,
            incarnation=pb.incarnation,
            removed_at=wire.moment(pb.removed_at),
            reason=pb.reason,
            lost=pb.lost,
            cause=words.CAUSES.word(pb.cause),
            down_at=wire.moment(pb.down_at) if pb.HasField("down_at") else None,
            last_heartbeat_at=wire.moment(pb.last_heartbeat_at) if pb.HasField("last_heartbeat_at") else None,
            alert_id=pb.alert_id,
            acknowledged=pb.acknowledged,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name, as a JSON object; times are strings in RFC 3339 format."""
        return _to_dict(self)


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The result of an acknowledgement: how many waiting alert copies were acknowledged, and for how many services the
    loss was acknowledged."""

    copies: int = 0
    lost_services: int = 0


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of the event log. Pass `next_after_sequence` as `after_sequence` to get the next page; it is 0 after the
    last page. `first_sequence` and `last_sequence` are the sequence numbers of the oldest and the newest event that the
    registry keeps."""

    events: tuple[Event, ...]
    next_after_sequence: int
    first_sequence: int
    last_sequence: int
    observed_at: datetime | None = None
    """The time of the answer on the registry's clock, from which ages can be computed."""
