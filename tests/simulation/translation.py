"""Between the registry's values and TRON's: either value by value, or by the messages of the real wire."""

from __future__ import annotations

from abc import ABC, abstractmethod

from grid.registry.v1 import observation_pb2

from registry_server.catalogue import Record
from registry_server.rpc import translate as registry_wire
from registry_server.service import Copy, Event, LivenessCause, Maintenance, Severity, Tombstone
from registry_server.verdicts import Notice as RegistryNotice
from registry_server.verdicts import StandingSuspicion as RegistryStanding
from registry_server.verdicts import Verdict, VerdictKind
from tests.simulation import words
from tron import translate as tron_wire
from tron.facts import AlertDraft, Cause, Facts, Forebear, Frame, Kind, OpenCopy, State
from tron.facts import Severity as AlertSeverity
from tron.judge import Notice, Ruling
from tron.standing import StandingSuspicion

KINDS = {
    Kind.MISS: VerdictKind.SUSPECT,
    Kind.SUSPECT: VerdictKind.SUSPECT,
    Kind.STALL: VerdictKind.SUSPECT,
    Kind.DOWN: VerdictKind.DOWN,
    Kind.DEREGISTER: VerdictKind.DEREGISTER,
    Kind.RECOVER: VerdictKind.ALIVE,
    Kind.RESTORE: VerdictKind.ALIVE,
}


class Translator(ABC):
    """How what one side says becomes what the other reads."""

    @abstractmethod
    def facts(self, record: Record, maintenance: Maintenance | None) -> object:
        """What a frame says about a service; taken at once, for the record changes."""

    @abstractmethod
    def frame(self, frame: words.Frame) -> Frame:
        """What TRON reads."""

    @abstractmethod
    def verdict(self, ruling: Ruling) -> Verdict:
        """What the registry reads of a ruling."""

    @abstractmethod
    def notice(self, notice: Notice) -> RegistryNotice:
        """What it reads of a notice."""

    @abstractmethod
    def standing(self, suspicion: StandingSuspicion) -> RegistryStanding:
        """What it reads of a standing suspicion."""


class Plain(Translator):
    """Value by value, without the wire: fast."""

    def facts(self, record: Record, maintenance: Maintenance | None) -> object:
        return facts_of(record, maintenance)

    def frame(self, frame: words.Frame) -> Frame:
        return frame_of(frame)

    def verdict(self, ruling: Ruling) -> Verdict:
        return verdict_of(ruling)

    def notice(self, notice: Notice) -> RegistryNotice:
        return notice_of(notice)

    def standing(self, suspicion: StandingSuspicion) -> RegistryStanding:
        return standing_of(suspicion)


class Wire(Translator):
    """By the real messages of the contract and the real translations of both sides, as bytes."""

    def facts(self, record: Record, maintenance: Maintenance | None) -> object:
        return registry_wire.from_record(record, maintenance)

    def frame(self, frame: words.Frame) -> Frame:
        message = observation_pb2.ObserveLivenessResponse(
            now=registry_wire.duration(frame.now),
            hearing_since=registry_wire.duration(frame.hearing_since),
            observations=frame.facts,  # type: ignore[arg-type]
            beat_incarnations=[beat.incarnation for beat in frame.beats],
            beat_observations=[beat.observation for beat in frame.beats],
            beat_ages_ms=[max(0, int((frame.now - beat.at) * 1000)) for beat in frame.beats],
            removed=frame.removed,
            deliveries=[registry_wire.from_copy(copy) for copy in frame.copies],
            forebears=[registry_wire.from_tombstone(stone) for stone in frame.forebears],
            cascade_alert_id=frame.cascade_alert_id,
            snapshot_complete=frame.snapshot_complete,
        )
        for alert_id, recipient in frame.copies_ended:
            message.deliveries_ended.add(alert_id=alert_id, recipient=recipient)
        return tron_wire.to_frame(observation_pb2.ObserveLivenessResponse.FromString(message.SerializeToString()))

    def verdict(self, ruling: Ruling) -> Verdict:
        sent = tron_wire.from_ruling(ruling).SerializeToString()
        return registry_wire.to_verdict(observation_pb2.Verdict.FromString(sent), 0.0)

    def notice(self, notice: Notice) -> RegistryNotice:
        sent = tron_wire.from_notice(notice).SerializeToString()
        return registry_wire.to_notice(observation_pb2.Notice.FromString(sent), 0.0)

    def standing(self, suspicion: StandingSuspicion) -> RegistryStanding:
        sent = tron_wire.from_standing(suspicion).SerializeToString()
        return registry_wire.to_standing(observation_pb2.StandingSuspicion.FromString(sent), 0.0)


def frame_of(frame: words.Frame) -> Frame:
    """What the registry tells, in TRON's values."""
    return Frame(
        now=frame.now,
        hearing_since=frame.hearing_since,
        observations=frame.facts,  # type: ignore[arg-type]
        beats=tuple([(beat.incarnation, beat.observation, beat.at) for beat in frame.beats]),
        removed=frame.removed,
        copies=tuple([_copy_of(copy) for copy in frame.copies]),
        copies_ended=frame.copies_ended,
        forebears=tuple([_forebear_of(stone) for stone in frame.forebears]),
        cascade_alert_id=frame.cascade_alert_id,
        snapshot_complete=frame.snapshot_complete,
    )


def facts_of(record: Record, maintenance: Maintenance | None) -> Facts:
    """What the registry tells TRON about a service."""
    spec, judgement = record.spec, record.judgement
    untold = judgement.down_event if judgement.down_event is not None and not judgement.told_to else None
    return Facts(
        service_id=spec.service_id,
        name=spec.name,
        incarnation=record.incarnation,
        observation=record.observation,
        parent=spec.parent,
        interval=spec.heartbeat_interval,
        reconnect_grace=spec.reconnect_grace,
        connected=record.session is not None,
        streamed=record.streamed,
        attached_at=record.attached_at,
        detached_at=record.detached_at,
        heard_at=record.heard_at,
        last_heartbeat_at=record.last_heartbeat_at,
        judged=_STATES[judgement.liveness],
        cause=_CAUSES[judgement.cause],
        judged_at=record.judged_at,
        missed=judgement.missed_beats,
        stall_after=spec.stall_after,
        active_at=record.active_at,
        busy_until_at=record.busy_until_at,
        busy_declared_at=record.busy_declared_at,
        url=spec.url,
        told_to=judgement.told_to,
        untold=None if untold is None else _draft_of(untold),
        folded_into=judgement.folded_into,
        maintained=maintenance is not None,
        maintenance_reason="" if maintenance is None else maintenance.reason,
    )


def verdict_of(ruling: Ruling) -> Verdict:
    """What TRON tells the registry of a transition."""
    transition = ruling.transition
    return Verdict(
        transition.service_id,
        transition.incarnation,
        transition.observation,
        KINDS[transition.kind],
        LivenessCause(transition.cause),
        transition.missed,
        None if ruling.alert is None else event_of(ruling.alert),
        quiet=bool(ruling.hushed),
        folded=ruling.folded,
        folds=ruling.folds,
        further_alerts=tuple([event_of(each) for each in ruling.further]),
    )


def notice_of(notice: Notice) -> RegistryNotice:
    """An alert without a verdict, or one more copy."""
    event = None if notice.alert is None else event_of(notice.alert)
    return RegistryNotice(notice.alert_id, event, notice.climbs_from, notice.told_about)


def standing_of(suspicion: StandingSuspicion) -> RegistryStanding:
    """What the registry is to say by itself."""
    alert = None if suspicion.alert is None else event_of(suspicion.alert)
    return RegistryStanding(suspicion.service_id, suspicion.incarnation, alert)


def event_of(alert: AlertDraft) -> Event:
    """An alert as the registry keeps it."""
    return Event(
        type=alert.type,
        alert_id=alert.alert_id,
        occurred_at=alert.occurred_at,
        severity=Severity(alert.severity),
        service_id=alert.service_id,
        service_name=alert.service_name,
        recipient=alert.recipient,
        cause=LivenessCause(alert.cause),
        missed_beats=alert.missed_beats,
        last_seen_at=alert.last_seen_at,
        action=alert.action,
        message=alert.message,
        details=dict(alert.details),
    )


def _draft_of(event: Event) -> AlertDraft:
    return AlertDraft(
        alert_id=event.alert_id,
        type=event.type,
        severity=AlertSeverity(event.severity),
        service_id=event.service_id,
        service_name=event.service_name,
        recipient=event.recipient,
        cause=Cause(event.cause),
        missed_beats=event.missed_beats,
        occurred_at=event.occurred_at,
        last_seen_at=event.last_seen_at,
        action=event.action,
        message=event.message,
        details=dict(event.details),
    )


def _copy_of(copy: Copy) -> OpenCopy:
    return OpenCopy(_draft_of(copy.event), copy.since, copy.climbed)


def _forebear_of(stone: Tombstone) -> Forebear:
    return Forebear(stone.service_id, stone.name, stone.parent)


_STATES = {int(state): state for state in State}
_CAUSES = {int(cause): cause for cause in Cause}
