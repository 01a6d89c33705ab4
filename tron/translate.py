"""Between the wire and the values of judgement."""

from __future__ import annotations

from google.protobuf import struct_pb2
from grid.events.v1 import event_pb2
from grid.registry.v1 import error_reason_pb2, observation_pb2
from grid_model.event import Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.wire import epoch, json_object, seconds, timestamp_at

from tron.facts import AlertDraft, Delivery, Facts, Forebear, Frame, Kind
from tron.orders import AlertCopy, Ruling
from tron.preauthorized import StandingSuspicion

_KINDS = {
    Kind.MISS: observation_pb2.VERDICT_KIND_SUSPECT,
    Kind.SUSPECT: observation_pb2.VERDICT_KIND_SUSPECT,
    Kind.STALL: observation_pb2.VERDICT_KIND_SUSPECT,
    Kind.DOWN: observation_pb2.VERDICT_KIND_DOWN,
    Kind.DEREGISTER: observation_pb2.VERDICT_KIND_DEREGISTER,
    Kind.RECOVER: observation_pb2.VERDICT_KIND_ALIVE,
    Kind.RESTORE: observation_pb2.VERDICT_KIND_ALIVE,
}


def to_frame(message: observation_pb2.ObserveLivenessResponse) -> Frame:
    """The registry's facts of one moment."""
    now = seconds(message.now)
    beats = zip(message.beat_incarnations, message.beat_observations, message.beat_ages_ms, strict=True)
    return Frame(
        now=now,
        hearing_since=seconds(message.hearing_since),
        observations=tuple(map(_to_facts, message.observations)),
        beats=tuple((incarnation, observation, now - age / 1000) for incarnation, observation, age in beats),
        removed=tuple(message.removed),
        deliveries=tuple(
            Delivery(to_alert(each.event), seconds(each.since), each.climbed) for each in message.deliveries
        ),
        deliveries_ended=tuple((each.alert_id, each.recipient) for each in message.deliveries_ended),
        forebears=tuple(Forebear(each.service_id, each.name, each.parent) for each in message.forebears),
        cascade_alert_id=message.cascade_alert_id,
        snapshot_complete=message.snapshot_complete,
    )


def _to_facts(message: observation_pb2.Observation) -> Facts:
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
        last_heartbeat_at=epoch(message.last_heartbeat_at),
        judged=Liveness(int(message.judged)),
        cause=LivenessCause(int(message.judged_cause)),
        judged_at=seconds(message.judged_at),
        missed_beats=message.missed_beats,
        stall_after=seconds(message.stall_after) if has("stall_after") else None,
        active_at=seconds(message.active_at),
        busy_until_at=seconds(message.busy_until_at) if has("busy_until_at") else None,
        busy_declared_at=seconds(message.busy_declared_at) if has("busy_declared_at") else None,
        url=message.url,
        process=message.process,
        notified=tuple(message.told_to),
        held_alert=to_alert(message.untold) if has("untold") else None,
        grouped_into=message.folded_into,
        maintained=has("maintenance"),
        maintenance_reason=message.maintenance.reason,
        detached_reason=_reason(message.detached_reason),
    )


def _reason(value: int) -> str:
    """READER_TOO_SLOW for ERROR_REASON_READER_TOO_SLOW; the number for a reason that is newer than this TRON."""
    if not value:
        return ""
    known = error_reason_pb2.ErrorReason.items()
    return next((name.removeprefix("ERROR_REASON_") for name, number in known if number == value), str(value))


def to_alert(event: event_pb2.Event) -> AlertDraft:
    """An event of the log, as an alert that can be sent again."""
    return AlertDraft(
        alert_id=event.alert_id,
        type=event.type,
        severity=Severity(int(event.severity)),
        service_id=event.service_id,
        service_name=event.service_name,
        recipient=event.recipient,
        cause=LivenessCause(int(event.cause)),
        missed_beats=event.missed_beats,
        occurred_at=epoch(event.occurred_at),
        last_seen_at=epoch(event.last_seen_at) if event.HasField("last_seen_at") else None,
        action=event.action,
        message=event.message,
        details=json_object(event.details),
    )


def from_ruling(ruling: Ruling) -> observation_pb2.Verdict:
    """A verdict, with the alerts that become true with it."""
    transition = ruling.transition
    verdict = observation_pb2.Verdict(
        service_id=transition.service_id,
        incarnation=transition.incarnation,
        observation=transition.observation,
        kind=_KINDS[transition.kind],
        cause=transition.cause.value,  # type: ignore[arg-type]
        missed_beats=transition.missed_beats,
        quiet=bool(ruling.suppressed),
        folded=ruling.grouped,
        folds=ruling.subtree,
        further_alerts=[_from_alert(each) for each in ruling.further],
    )
    if ruling.alert is not None:
        verdict.alert.CopyFrom(_from_alert(ruling.alert))
    return verdict


def from_copy(copy: AlertCopy) -> observation_pb2.Notice:
    """An alert that comes with no verdict."""
    message = observation_pb2.Notice(
        alert_id=copy.alert_id, climbs_from=copy.escalated_from, told_about=copy.notified_about
    )
    if copy.alert is not None:
        message.event.CopyFrom(_from_alert(copy.alert))
    return message


def from_suspicion(suspicion: StandingSuspicion) -> observation_pb2.StandingSuspicion:
    """A suspicion that the registry may apply on its own."""
    message = observation_pb2.StandingSuspicion(service_id=suspicion.service_id, incarnation=suspicion.incarnation)
    if suspicion.alert is not None:
        alert = _from_alert(suspicion.alert)
        alert.ClearField("occurred_at")  # the registry fills it in
        message.alert.CopyFrom(alert)
    return message


def _from_alert(alert: AlertDraft) -> event_pb2.Event:
    details = struct_pb2.Struct()
    details.update(alert.details)
    event = event_pb2.Event(
        alert_id=alert.alert_id,
        occurred_at=timestamp_at(alert.occurred_at),
        type=alert.type,
        severity=alert.severity.value,  # type: ignore[arg-type]
        service_id=alert.service_id,
        service_name=alert.service_name,
        recipient=alert.recipient,
        cause=alert.cause.value,  # type: ignore[arg-type]
        missed_beats=alert.missed_beats,
        action=alert.action,
        message=alert.message,
        details=details,
    )
    if alert.last_seen_at is not None:
        event.last_seen_at.CopyFrom(timestamp_at(alert.last_seen_at))
    return event
