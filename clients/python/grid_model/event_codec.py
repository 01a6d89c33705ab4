"""Converts events to protobuf and back."""

from __future__ import annotations

import uuid

from grid.events.v1 import event_pb2

from grid_model import wire
from grid_model.event import Event, Severity
from grid_model.liveness import LivenessCause

KEPT_EVENTS = 4096
"""How many events are kept together with their protobuf messages, about 4 MB. Overflow rule: the oldest is dropped, and
is converted again when it is needed."""

LARGEST_KEPT = 4096
"""Maximum size in bytes of a message that is kept. Larger ones are rare, and KEPT_EVENTS of them would take much
memory."""

_newest_events: dict[int, tuple[Event, event_pb2.Event]] = {}


def encode(event: Event) -> event_pb2.Event:
    """Return the protobuf message for an event. The caller must not change the message, because several callers may get
    the same one: a recorded event is sent to its recipient, to TRON, and to subscribers, so the messages of the newest
    recorded events are cached, except for large ones."""
    kept = _newest_events.get(event.sequence)
    if kept is not None and kept[0] is event:
        return kept[1]
    message = _encode(event)
    if event.sequence and message.ByteSize() <= LARGEST_KEPT:
        while len(_newest_events) >= KEPT_EVENTS:
            del _newest_events[next(iter(_newest_events))]
        _newest_events[event.sequence] = event, message
    return message


def _encode(event: Event) -> event_pb2.Event:
    message = event_pb2.Event(
        sequence=event.sequence,
        alert_id=event.alert_id,
        occurred_at=wire.timestamp_at(event.occurred_at),
        type=event.type,
        severity=event.severity.value,  # type: ignore[arg-type]
        service_id=event.service_id,
        service_name=event.service_name,
        recipient=event.recipient,
        cause=event.cause.value,  # type: ignore[arg-type]
        missed_beats=event.missed_beats,
        action=event.action,
        message=event.message,
        published_by=event.published_by,
        via=event.via,
    )
    if event.last_seen_at is not None:
        message.last_seen_at.CopyFrom(wire.timestamp_at(event.last_seen_at))
    if event.details:
        message.details.update(event.details)
    return message


def decode(message: event_pb2.Event, now: float) -> Event:
    """Return the event in a protobuf message, without its sequence number and its publisher, which only the registry
    sets. A missing alert_id becomes a random one, and a missing time becomes `now`, in seconds since the epoch. Raises
    InvalidRequest for a malformed message."""
    has = message.HasField
    return Event(
        type=message.type,
        alert_id=message.alert_id or str(uuid.uuid4()),
        occurred_at=wire.checked_epoch("event.occurred_at", message.occurred_at) if has("occurred_at") else now,
        severity=wire.known("event.severity", Severity, message.severity, Severity.INFO),
        service_id=message.service_id,
        service_name=message.service_name,
        recipient=message.recipient,
        cause=wire.known("event.cause", LivenessCause, message.cause),
        missed_beats=message.missed_beats,
        last_seen_at=wire.checked_epoch("event.last_seen_at", message.last_seen_at) if has("last_seen_at") else None,
        action=message.action,
        message=message.message,
        details=wire.json_object(message.details),
    )
