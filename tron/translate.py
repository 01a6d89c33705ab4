"""Between the wire and the detector's values."""

from __future__ import annotations

from google.protobuf import struct_pb2, timestamp_pb2
from grid.events.v1 import event_pb2
from grid.registry.v1 import observation_pb2
from tron_client.wire import seconds

from tron.alert_book import AlertDraft
from tron.detector import Cause, Facts, Kind, State, Transition

_KINDS = {
    Kind.MISS: observation_pb2.VERDICT_KIND_SUSPECT,
    Kind.SUSPECT: observation_pb2.VERDICT_KIND_SUSPECT,
    Kind.DOWN: observation_pb2.VERDICT_KIND_DOWN,
    Kind.DEREGISTER: observation_pb2.VERDICT_KIND_DEREGISTER,
    Kind.RECOVER: observation_pb2.VERDICT_KIND_ALIVE,
    Kind.RESTORE: observation_pb2.VERDICT_KIND_ALIVE,
}


def to_facts(message: observation_pb2.Observation) -> Facts:
    """What the registry says about one service."""
    has = message.HasField
    return Facts(
        service_id=message.service_id,
        name=message.name,
        incarnation=message.incarnation,
        observation=message.observation,
        parent=message.parent,
        interval=seconds(message.heartbeat_interval),
        reconnect_grace=seconds(message.reconnect_grace) if has("reconnect_grace") else None,
        connected=message.connected,
        streamed=message.streamed,
        attached_at=seconds(message.attached_at) if has("attached_at") else None,
        detached_at=seconds(message.detached_at) if has("detached_at") else None,
        heard_at=seconds(message.heard_at),
        last_heartbeat_at=message.last_heartbeat_at.seconds + message.last_heartbeat_at.nanos / 1e9,
        judged=State(int(message.judged)),
        cause=Cause(int(message.judged_cause)),
        judged_at=seconds(message.judged_at),
        missed=message.missed_beats,
    )


def from_transition(transition: Transition, alert: AlertDraft | None) -> observation_pb2.Verdict:
    """A verdict, with the alert that becomes true with it."""
    verdict = observation_pb2.Verdict(
        service_id=transition.service_id,
        incarnation=transition.incarnation,
        observation=transition.observation,
        kind=_KINDS[transition.kind],
        cause=transition.cause.value,  # type: ignore[arg-type]
        missed_beats=transition.missed,
    )
    if alert is not None:
        verdict.alert.CopyFrom(_from_alert(alert))
    return verdict


def _from_alert(alert: AlertDraft) -> event_pb2.Event:
    details = struct_pb2.Struct()
    details.update(alert.details)
    return event_pb2.Event(
        alert_id=alert.alert_id,
        occurred_at=_timestamp(alert.occurred_at),
        type=alert.type,
        severity=alert.severity.value,  # type: ignore[arg-type]
        service_id=alert.service_id,
        service_name=alert.service_name,
        recipient=alert.recipient,
        cause=alert.cause.value,  # type: ignore[arg-type]
        missed_beats=alert.missed_beats,
        last_seen_at=_timestamp(alert.last_seen_at),
        action=alert.action,
        message=alert.message,
        details=details,
    )


def _timestamp(epoch: float) -> timestamp_pb2.Timestamp:
    micros = round(epoch * 1e6)
    return timestamp_pb2.Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)
