"""Creates, from the record of a service, the facts that the registry sends to TRON. Pure."""

from __future__ import annotations

from grid_model.observation import Facts
from grid_model.service import Maintenance

from registry_server.core.record import Record


def facts_of(record: Record, maintenance: Maintenance | None, parent: str | None = None) -> Facts:
    """Return the current facts about a service. `maintenance` is the maintenance of the service; None if the service is
    not under maintenance. `parent` is the recipient of alerts about the service; None means the parent that the service
    declares."""
    spec, judgement = record.spec, record.judgement
    return Facts(
        service_id=spec.service_id,
        name=spec.name,
        incarnation=record.incarnation,
        observation=record.observation,
        parent=spec.parent if parent is None else parent,
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
        busy_until=record.report.busy_until,
        url=spec.url,
        process=record.process,
        notified=judgement.told_to,
        held_alert=None if judgement.told_to else judgement.down_event,
        grouped_into=judgement.folded_into,
        maintenance=maintenance,
        worst_gap=record.worst_gap,
        earlier_streams_for=record.earlier_streams_for,
        detached_reason=record.detached_reason.removeprefix("ERROR_REASON_"),
    )
