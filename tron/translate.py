"""Between the wire and the values of judgement."""

from __future__ import annotations

from grid.registry.v1 import error_reason_pb2, observation_pb2
from grid_model import event_codec
from grid_model.liveness import Liveness, LivenessCause
from grid_model.wire import epoch, seconds

from tron.facts import Delivery, Facts, Forebear, Frame, Kind
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
            Delivery(event_codec.decode(each.event, 0.0), seconds(each.since), each.climbed)
            for each in message.deliveries
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
        held_alert=event_codec.decode(message.untold, 0.0) if has("untold") else None,
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
        further_alerts=[event_codec.encode(each) for each in ruling.further],
    )
    if ruling.alert is not None:
        verdict.alert.CopyFrom(event_codec.encode(ruling.alert))
    return verdict


def from_copy(copy: AlertCopy) -> observation_pb2.Notice:
    """An alert that comes with no verdict."""
    message = observation_pb2.Notice(
        alert_id=copy.alert_id, climbs_from=copy.escalated_from, told_about=copy.notified_about
    )
    if copy.alert is not None:
        message.event.CopyFrom(event_codec.encode(copy.alert))
    return message


def from_suspicion(suspicion: StandingSuspicion) -> observation_pb2.StandingSuspicion:
    """A suspicion that the registry may apply on its own."""
    message = observation_pb2.StandingSuspicion(service_id=suspicion.service_id, incarnation=suspicion.incarnation)
    if suspicion.alert is not None:
        message.alert.CopyFrom(event_codec.encode(suspicion.alert))
        message.alert.ClearField("occurred_at")  # the registry fills it in
    return message
