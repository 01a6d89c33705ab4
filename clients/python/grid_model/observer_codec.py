"""Converts the data that the registry and TRON exchange (frames of facts, and verdicts) to protobuf and back."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grid.registry.v1 import error_reason_pb2, observation_pb2, service_pb2

from grid_model import event_codec, wire
from grid_model.errors import FieldError, InvalidRequest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Delivery, Facts, Forebear, Frame, ReportDeadline
from grid_model.service import Maintenance
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict, VerdictKind, VerdictOutcome
from grid_model.wire import duration, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grid_model.verdict import VerdictResult


MOST_SECONDS = 1e9
"""The upper limit of the times in a report deadline, in seconds: about 30 years."""


def encode_frame(frame: Frame) -> observation_pb2.ObserveLivenessResponse:
    """Return the protobuf message for a frame of facts."""
    now = frame.now
    message = observation_pb2.ObserveLivenessResponse(
        now=duration(now),
        hearing_since=duration(frame.hearing_since),
        observations=map(encode_facts, frame.observations),
        beat_incarnations=[incarnation for incarnation, _, _ in frame.beats],
        beat_observations=[observation for _, observation, _ in frame.beats],
        beat_ages_ms=[max(0, int((now - at) * 1000)) for _, _, at in frame.beats],
        removed=frame.removed,
        deliveries=map(_encode_delivery, frame.deliveries),
        forebears=[
            observation_pb2.Forebear(service_id=each.service_id, name=each.name, parent=each.parent)
            for each in frame.forebears
        ],
        cascade_alert_id=frame.cascade_alert_id,
        snapshot_complete=frame.snapshot_complete,
        takes_deadlines=frame.takes_deadlines,
        continues=frame.continues,
    )
    for alert_id, recipient in frame.deliveries_ended:
        message.deliveries_ended.add(alert_id=alert_id, recipient=recipient)
    return message


def decode_frame(message: observation_pb2.ObserveLivenessResponse) -> Frame:
    """Return the frame in a protobuf message; the times of heartbeats are precise to the millisecond. Raises
    InvalidRequest for a malformed message."""
    now = seconds(message.now)
    columns = (message.beat_incarnations, message.beat_observations, message.beat_ages_ms)
    if len(set(map(len, columns))) > 1:
        raise InvalidRequest.of(FieldError("beat_incarnations", "and the other columns must have the same length"))
    beats = zip(*columns, strict=True)
    return Frame(
        now=now,
        hearing_since=seconds(message.hearing_since),
        observations=tuple(map(decode_facts, message.observations)),
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
        takes_deadlines=message.takes_deadlines,
        continues=message.continues,
    )


def encode_facts(facts: Facts) -> observation_pb2.Observation:
    """Return the protobuf message for the facts about one service."""
    message = observation_pb2.Observation(
        service_id=facts.service_id,
        name=facts.name,
        incarnation=facts.incarnation,
        observation=facts.observation,
        parent=facts.parent,
        heartbeat_interval=duration(facts.interval),
        reconnect_grace=duration(facts.reconnect_grace),
        stall_after=duration(facts.stall_after),
        connected=facts.connected,
        streamed=facts.streamed,
        attached_at=duration(facts.attached_at),
        detached_at=duration(facts.detached_at),
        heard_at=duration(facts.heard_at),
        last_heartbeat_at=wire.timestamp_at(facts.last_heartbeat_at),
        judged=facts.judged.value,  # type: ignore[arg-type]
        judged_cause=facts.cause.value,  # type: ignore[arg-type]
        judged_at=duration(facts.judged_at),
        missed_beats=facts.missed_beats,
        active_at=duration(facts.active_at),
        busy_until_at=duration(facts.busy_until_at),
        busy_declared_at=duration(facts.busy_declared_at),
        url=facts.url,
        process=facts.process,
        told_to=facts.notified,
        folded_into=facts.grouped_into,
    )
    if facts.worst_gap:
        message.worst_gap.CopyFrom(duration(facts.worst_gap))
    if facts.earlier_streams_for:
        message.earlier_streams_for.CopyFrom(duration(facts.earlier_streams_for))
    if facts.held_alert is not None:
        message.untold.CopyFrom(event_codec.encode(facts.held_alert))
    if facts.maintenance is not None:
        message.maintenance.CopyFrom(encode_maintenance(facts.maintenance))
    if facts.busy_until is not None:
        message.busy_until.CopyFrom(wire.timestamp_at(facts.busy_until))
    if facts.detached_reason:
        message.detached_reason = error_reason_pb2.ErrorReason.Value(f"ERROR_REASON_{facts.detached_reason}")
    return message


def decode_facts(message: observation_pb2.Observation) -> Facts:
    """Return the facts in a protobuf message that `encode_facts` created. Raises InvalidRequest for a malformed
    message."""
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
        last_heartbeat_at=wire.epoch(message.last_heartbeat_at),
        judged=wire.known("observations.judged", Liveness, message.judged),
        cause=wire.known("observations.judged_cause", LivenessCause, message.judged_cause),
        judged_at=seconds(message.judged_at),
        missed_beats=message.missed_beats,
        stall_after=seconds(message.stall_after) if has("stall_after") else None,
        active_at=seconds(message.active_at),
        busy_until_at=seconds(message.busy_until_at) if has("busy_until_at") else None,
        busy_declared_at=seconds(message.busy_declared_at) if has("busy_declared_at") else None,
        busy_until=wire.epoch(message.busy_until) if has("busy_until") else None,
        url=message.url,
        process=message.process,
        notified=tuple(message.told_to),
        held_alert=event_codec.decode(message.untold, 0.0) if has("untold") else None,
        grouped_into=message.folded_into,
        maintenance=_decode_maintenance(message) if has("maintenance") else None,
        worst_gap=seconds(message.worst_gap) if has("worst_gap") else 0.0,
        earlier_streams_for=seconds(message.earlier_streams_for) if has("earlier_streams_for") else 0.0,
        detached_reason=_reason(message.detached_reason),
    )


def encode_maintenance(maintenance: Maintenance) -> service_pb2.Maintenance:
    """Return the protobuf message for the maintenance of a service."""
    message = service_pb2.Maintenance(since=wire.timestamp_at(maintenance.since), reason=maintenance.reason)
    if maintenance.until is not None:
        message.until.CopyFrom(wire.timestamp_at(maintenance.until))
    return message


def encode_verdict(verdict: Verdict) -> observation_pb2.Verdict:
    """Return the protobuf message for a verdict and the alerts that the registry stores together with it."""
    message = observation_pb2.Verdict(
        service_id=verdict.service_id,
        incarnation=verdict.incarnation,
        observation=verdict.observation,
        kind=verdict.kind.value,  # type: ignore[arg-type]
        cause=verdict.cause.value,  # type: ignore[arg-type]
        missed_beats=verdict.missed_beats,
        quiet=verdict.quiet,
        folded=verdict.folded,
        folds=verdict.folds,
        further_alerts=map(event_codec.encode, verdict.further_alerts),
    )
    if verdict.alert is not None:
        message.alert.CopyFrom(event_codec.encode(verdict.alert))
    return message


def decode_verdict(message: observation_pb2.Verdict, now: float) -> Verdict:
    """Return the verdict in a protobuf message. An alert without a time gets the time `now`, in seconds since the
    epoch. Raises InvalidRequest for a malformed message."""
    return Verdict(
        service_id=message.service_id,
        incarnation=message.incarnation,
        observation=message.observation,
        kind=wire.known("verdicts.kind", VerdictKind, message.kind),
        cause=wire.known("verdicts.cause", LivenessCause, message.cause),
        missed_beats=message.missed_beats,
        alert=event_codec.decode(message.alert, now) if message.HasField("alert") else None,
        quiet=message.quiet,
        folded=message.folded,
        folds=tuple(message.folds),
        further_alerts=tuple(event_codec.decode(each, now) for each in message.further_alerts),
    )


def encode_copy(copy: AlertCopy) -> observation_pb2.Notice:
    """Return the protobuf message for an alert without a verdict, or for a further copy of an alert."""
    message = observation_pb2.Notice(
        alert_id=copy.alert_id, climbs_from=copy.escalated_from, told_about=copy.notified_about
    )
    if copy.alert is not None:
        message.event.CopyFrom(event_codec.encode(copy.alert))
    return message


def decode_copy(message: observation_pb2.Notice, now: float) -> AlertCopy:
    """Return the alert copy in a protobuf message. An alert without a time gets the time `now`, in seconds since the
    epoch. Raises InvalidRequest for a malformed message."""
    alert = event_codec.decode(message.event, now) if message.HasField("event") else None
    alert_id = message.alert_id or ("" if alert is None else alert.alert_id)
    if not alert_id:
        raise InvalidRequest.of(FieldError("notices.alert_id", "must be set if the notice has no event"))
    return AlertCopy(alert_id, alert, message.climbs_from, message.told_about)


def encode_suspicion(suspicion: StandingSuspicion) -> observation_pb2.StandingSuspicion:
    """Return the protobuf message for a preauthorized suspicion. The alert in this message has no time; the registry
    sets the time of the alert when the stream breaks."""
    message = observation_pb2.StandingSuspicion(service_id=suspicion.service_id, incarnation=suspicion.incarnation)
    if suspicion.alert is not None:
        message.alert.CopyFrom(event_codec.encode(suspicion.alert))
        message.alert.ClearField("occurred_at")
    return message


def decode_suspicion(message: observation_pb2.StandingSuspicion, now: float) -> StandingSuspicion:
    """Return the preauthorized suspicion in a protobuf message. An alert without a time gets the time `now`, in seconds
    since the epoch. Raises InvalidRequest for a malformed message."""
    alert = event_codec.decode(message.alert, now) if message.HasField("alert") else None
    return StandingSuspicion(message.service_id, message.incarnation, alert)


def encode_deadlines(deadlines: Sequence[ReportDeadline]) -> observation_pb2.ReportDeadlines:
    """Return the protobuf message for report deadlines. The registry need not send the heartbeats of an incarnation
    until the deadline of this incarnation."""
    return observation_pb2.ReportDeadlines(
        incarnations=[each.incarnation for each in deadlines],
        due_seconds=[each.due for each in deadlines],
        silence_seconds=[each.silence for each in deadlines],
        inactivity_seconds=[each.inactivity for each in deadlines],
    )


def decode_deadlines(message: observation_pb2.ReportDeadlines) -> list[ReportDeadline]:
    """Return the report deadlines in a protobuf message. Raises InvalidRequest if its arrays have different lengths, or
    if a time is negative, too large or not a number."""
    columns = (message.due_seconds, message.silence_seconds, message.inactivity_seconds)
    for name, column in zip(("due_seconds", "silence_seconds", "inactivity_seconds"), columns, strict=True):
        if len(column) != len(message.incarnations):
            why = f"has {len(column)} entries for {len(message.incarnations)} incarnations"
            raise InvalidRequest.of(FieldError(f"report_deadlines.{name}", why))
        # An infinite time would never come: only a lack of progress may be without a limit.
        most = math.inf if name == "inactivity_seconds" else MOST_SECONDS
        if not all(0.0 <= value <= most for value in column):
            raise InvalidRequest.of(FieldError(f"report_deadlines.{name}", "has an entry that is not a valid time"))
    return list(map(ReportDeadline, message.incarnations, *columns))


def encode_result(result: VerdictResult) -> observation_pb2.VerdictResult:
    """Return the protobuf message for the registry's answer to a verdict."""
    message = observation_pb2.VerdictResult(outcome=result.outcome.value, delivered=result.delivered)  # type: ignore[arg-type]
    if result.alert is not None:
        message.alert.CopyFrom(event_codec.encode(result.alert))
    return message


def decode_outcome(result: observation_pb2.VerdictResult) -> VerdictOutcome | None:
    """Return the outcome of a verdict. Returns None for an outcome that only a newer registry knows, and this program
    does not."""
    return _OUTCOMES.get(result.outcome)


_OUTCOMES = {each.value: each for each in VerdictOutcome}


def _decode_maintenance(message: observation_pb2.Observation) -> Maintenance:
    maintenance = message.maintenance
    until = wire.epoch(maintenance.until) if maintenance.HasField("until") else None
    return Maintenance(message.service_id, wire.epoch(maintenance.since), until, maintenance.reason)


def _reason(value: int) -> str:
    """READER_TOO_SLOW for ERROR_REASON_READER_TOO_SLOW; the number for a reason that is newer than this program."""
    if not value:
        return ""
    known = error_reason_pb2.ErrorReason.items()
    return next((name.removeprefix("ERROR_REASON_") for name, number in known if number == value), str(value))


def _encode_delivery(delivery: Delivery) -> observation_pb2.Delivery:
    event = event_codec.encode(delivery.event)
    return observation_pb2.Delivery(event=event, since=duration(delivery.since), climbed=delivery.escalated)
