"""The registry's values as TRON's, and back: for tests that put the cores together without the wire."""

from __future__ import annotations

from registry_server.core.record import Record
from registry_server.core.service import Copy, Maintenance, Tombstone
from registry_server.core.verdicts import Notice as RegistryNotice
from registry_server.core.verdicts import StandingSuspicion as RegistryStanding
from registry_server.core.verdicts import Verdict, VerdictKind
from tron.facts import Delivery, Facts, Forebear, Kind
from tron.orders import AlertCopy, Ruling
from tron.preauthorized import StandingSuspicion

KINDS = {
    Kind.MISS: VerdictKind.SUSPECT,
    Kind.SUSPECT: VerdictKind.SUSPECT,
    Kind.STALL: VerdictKind.SUSPECT,
    Kind.DOWN: VerdictKind.DOWN,
    Kind.DEREGISTER: VerdictKind.DEREGISTER,
    Kind.RECOVER: VerdictKind.ALIVE,
    Kind.RESTORE: VerdictKind.ALIVE,
}


def facts_of(record: Record, maintenance: Maintenance | None) -> Facts:
    """What the registry tells TRON about a service."""
    spec, judgement = record.spec, record.judgement
    held_alert = judgement.down_event if judgement.down_event is not None and not judgement.told_to else None
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
        judged=judgement.liveness,
        cause=judgement.cause,
        judged_at=record.judged_at,
        missed_beats=judgement.missed_beats,
        stall_after=spec.stall_after,
        active_at=record.active_at,
        busy_until_at=record.busy_until_at,
        busy_declared_at=record.busy_declared_at,
        url=spec.url,
        process=record.process,
        notified=judgement.told_to,
        held_alert=held_alert,
        grouped_into=judgement.folded_into,
        maintained=maintenance is not None,
        maintenance_reason="" if maintenance is None else maintenance.reason,
        detached_reason=record.detached_reason.removeprefix("ERROR_REASON_"),
    )


def verdict_of(ruling: Ruling) -> Verdict:
    """What TRON tells the registry of a transition."""
    transition = ruling.transition
    return Verdict(
        transition.service_id,
        transition.incarnation,
        transition.observation,
        KINDS[transition.kind],
        transition.cause,
        transition.missed_beats,
        ruling.alert,
        quiet=bool(ruling.suppressed),
        folded=ruling.grouped,
        folds=ruling.subtree,
        further_alerts=ruling.further,
    )


def notice_of(copy: AlertCopy) -> RegistryNotice:
    """An alert without a verdict, or one more copy."""
    return RegistryNotice(copy.alert_id, copy.alert, copy.escalated_from, copy.notified_about)


def suspicion_of(suspicion: StandingSuspicion) -> RegistryStanding:
    """A suspicion that the registry may apply on its own."""
    return RegistryStanding(suspicion.service_id, suspicion.incarnation, suspicion.alert)


def delivery_of(copy: Copy) -> Delivery:
    """A copy that is not acknowledged."""
    return Delivery(copy.event, copy.since, copy.climbed)


def forebear_of(tombstone: Tombstone) -> Forebear:
    """A service that is gone."""
    return Forebear(tombstone.service_id, tombstone.name, tombstone.parent)
