"""Converts between wire messages and the values of the registry. A value that the registry does not support is refused
with the name of its field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Struct
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, service_pb2
from grid_model import declaration_codec, wire
from grid_model.declaration import Declaration
from grid_model.errors import FieldError, InvalidRequest
from grid_model.observer_codec import encode_maintenance
from grid_model.service import Maintenance, ServiceStatus
from grid_model.wire import duration, timestamp_at

from registry_server.core.losses import is_lost
from registry_server.core.record import Record
from registry_server.core.service import Report, Service, Tombstone
from registry_server.core.validation import (
    MAX_CAPS_AS_SENT,
    MAX_COSTS,
    MAX_OBJECT_VALUES,
    MAX_REFUSED,
    too_many_elements,
    too_many_values,
)

_NAMES = 3
"""The fields of a heartbeat up to this number identify the service and the heartbeat; the other fields are its
report."""

_REPORTED = {field.number: field.name for field in heartbeat_pb2.Beat.DESCRIPTOR.fields if field.number > _NAMES}

_FIGURES = ("p95_ms", "queue_depth", "load")


_MOST_ELEMENTS = (("caps", MAX_CAPS_AS_SENT), ("cost_hint", MAX_COSTS), ("refused_children", MAX_REFUSED))
"""The fields of a declaration with several elements, and the most elements that any call accepts in them."""


def to_declaration(message: service_pb2.Service) -> Declaration:
    """Return the declaration in a message; see `declaration_codec.decode`. Raises InvalidRequest for a malformed field.
    Also raises it for a field with too many values, before they are converted: a message may have millions."""
    for name, most in _MOST_ELEMENTS:
        count = len(getattr(message, name))
        if count > most:
            raise InvalidRequest.of(too_many_elements(f"service.{name}", count, most))
    check_values("service.labels", message.labels)
    return declaration_codec.decode(message)


def check_values(path: str, message: Struct) -> None:
    """Raise InvalidRequest if a JSON object on the wire has more than MAX_OBJECT_VALUES values. This visits no more
    than that, however many there are."""
    if message.ByteSize() <= 2 * MAX_OBJECT_VALUES:
        return  # each value takes at least two bytes
    count = 0
    todo: list[Struct | ListValue] = [message]
    while todo:
        node = todo.pop()
        count += len(node.fields if isinstance(node, Struct) else node.values)
        if count > MAX_OBJECT_VALUES:
            raise InvalidRequest.of(FieldError(path, too_many_values(MAX_OBJECT_VALUES)))
        for value in node.fields.values() if isinstance(node, Struct) else node.values:
            kind = value.WhichOneof("kind")
            if kind == "struct_value":
                todo.append(value.struct_value)
            elif kind == "list_value":
                todo.append(value.list_value)


def to_report(beat: heartbeat_pb2.Beat, before: Report, *, replaces_figures: bool = False) -> Report:
    """Return the report in a heartbeat; values that it does not contain are taken from the previous report, `before`.
    `replaces_figures`: figures that it does not contain are cleared instead.

    Raises InvalidRequest for a value that is not supported; the limits of values are checked elsewhere.
    """
    said = beat.ListFields()
    if not replaces_figures and (not said or said[-1][0].number <= _NAMES):
        return before
    news: dict[str, Any] = dict.fromkeys(_FIGURES) if replaces_figures else {}
    for field, value in said:
        name = _REPORTED.get(field.number)
        if name == "status":
            news[name] = wire.known("beat.status", ServiceStatus, value)
        elif name == "loop_lag":
            news[name] = wire.checked_seconds("beat.loop_lag", value)
        elif name == "busy_until":
            news[name] = wire.checked_epoch("beat.busy_until", value)
        elif name is not None:
            news[name] = value
    news = {name: value for name, value in news.items() if value != getattr(before, name)}
    return replace(before, **news) if news else before


def from_service(service: Service) -> service_pb2.Service:
    """Return the wire message for a service as readers see it."""
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


MOST_SHARED = 1024
"""Maximum number of messages that `shared_message` keeps. Overflow rule: all are dropped, and built again if they are
needed."""

_shared: dict[int, tuple[Service, service_pb2.Service]] = {}
"""The messages by the identity of the service, which is kept beside its message so that no other object can have this
identity."""


def shared_message(service: Service) -> service_pb2.Service:
    """Return the wire message for a service. The answer to a registration and all readers of the change share one
    message, so it must not be changed."""
    found = _shared.get(id(service))
    if found is None:
        if len(_shared) >= MOST_SHARED:
            _shared.clear()
        found = _shared[id(service)] = (service, from_service(service))
    return found[1]


def from_held(maintenance: Maintenance, record: Record | None) -> service_pb2.HeldNotices:
    """Return the wire message for the maintenance of a service. `record` is None if the service is not registered."""
    return service_pb2.HeldNotices(
        service_id=maintenance.service_id,
        name="" if record is None else record.spec.name,
        maintenance=encode_maintenance(maintenance),
    )


def from_gone(tombstone: Tombstone) -> registry_service_pb2.GoneService:
    """Return the wire message for a service that is no longer registered."""
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
