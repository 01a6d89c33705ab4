"""Between the wire and the domain. What the domain has no value for is refused here, by the name of its field."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, TypeVar

from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, service_pb2
from grid_model import declaration_codec, wire
from grid_model.observer_codec import encode_maintenance
from grid_model.service import Maintenance, ServiceStatus
from grid_model.wire import duration, timestamp_at

from registry_server.core.losses import is_lost
from registry_server.core.record import Record
from registry_server.core.service import Report, Service, Tombstone

if TYPE_CHECKING:
    pass

E = TypeVar("E", bound=IntEnum)


def to_report(beat: heartbeat_pb2.Beat, before: Report, *, replaces_figures: bool = False) -> Report:
    """What a beat says on top of what was said before; `replaces_figures`: its figures are all that there are.

    Raises InvalidRequest; bounds are checked elsewhere.
    """
    has = beat.HasField
    figures = Report() if replaces_figures else before
    return Report(
        status=wire.known("beat.status", ServiceStatus, beat.status, before.status),
        p95_ms=beat.p95_ms if has("p95_ms") else figures.p95_ms,
        queue_depth=beat.queue_depth if has("queue_depth") else figures.queue_depth,
        load=beat.load if has("load") else figures.load,
        message=beat.message if has("message") else before.message,
        progress=beat.progress if has("progress") else before.progress,
        activity=beat.activity if has("activity") else before.activity,
        loop_lag=wire.checked_seconds("beat.loop_lag", beat.loop_lag) if has("loop_lag") else before.loop_lag,
        busy_until=wire.checked_epoch("beat.busy_until", beat.busy_until) if has("busy_until") else before.busy_until,
    )


def from_service(service: Service) -> service_pb2.Service:
    """A record for the wire."""
    report = service.report
    message = declaration_codec.encode(
        service.spec,
        incarnation=service.incarnation,
        registered_at=timestamp_at(service.registered_at),
        last_heartbeat_at=timestamp_at(service.last_heartbeat_at),
        connected=service.connected,
        status=report.status.value,
        p95_ms=report.p95_ms,
        queue_depth=report.queue_depth,
        load=report.load,
        message=report.message,
        progress=report.progress,
        activity=report.activity,
        liveness=service.liveness.value,
        liveness_cause=service.cause.value,
        liveness_since=timestamp_at(service.since),
    )
    if report.loop_lag is not None:
        message.loop_lag.CopyFrom(duration(report.loop_lag))
    if report.busy_until is not None:
        message.busy_until.CopyFrom(timestamp_at(report.busy_until))
    if service.maintenance is not None:
        message.maintenance.CopyFrom(encode_maintenance(service.maintenance))
    return message


def from_held(maintenance: Maintenance, record: Record | None) -> service_pb2.HeldNotices:
    """About whom notices are held, for the wire."""
    return service_pb2.HeldNotices(
        service_id=maintenance.service_id,
        name="" if record is None else record.spec.name,
        maintenance=encode_maintenance(maintenance),
    )


def from_gone(tombstone: Tombstone) -> registry_service_pb2.GoneService:
    """A service that is registered no more, for people."""
    message = registry_service_pb2.GoneService(
        service_id=tombstone.service_id,
        name=tombstone.name,
        parent=tombstone.parent,
        incarnation=tombstone.incarnation,
        removed_at=timestamp_at(tombstone.removed_at),
        reason=tombstone.reason,
    )
    judgement = tombstone.judgement
    if judgement is not None and is_lost(judgement):
        message.lost = True
        message.cause = judgement.cause.value  # type: ignore[assignment]
        message.acknowledged = judgement.acknowledged_at is not None
        message.down_at.CopyFrom(timestamp_at(judgement.since))
        if judgement.down_event is not None:
            message.alert_id = judgement.down_event.alert_id
            if judgement.down_event.last_seen_at is not None:
                message.last_heartbeat_at.CopyFrom(timestamp_at(judgement.down_event.last_seen_at))
    return message
