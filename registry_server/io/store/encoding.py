"""Encodes records as JSON text, so that a person with `sqlite3` can read what is stored."""

from __future__ import annotations

import json
from enum import Enum
from typing import Any

from grid_model.declaration import Declaration
from grid_model.event import Event, Severity
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import ServiceRole, ServiceStatus, ServiceType

from registry_server.core.service import Judgement, Report, StoredService

_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def encode(value: StoredService | Event | Judgement) -> str:
    """Return one line of JSON; enums are written as their names."""
    return _to_json(_plain(value))


def decode_service(text: str) -> StoredService:
    """Return the service in a text of `encode`."""
    raw = json.loads(text)
    return StoredService(
        spec=_spec(raw["spec"]),
        declared_role=ServiceRole[raw["declared_role"]],
        incarnation=raw["incarnation"],
        instances=tuple((str(name), int(incarnation)) for name, incarnation in raw["instances"]),
        registered_at=raw["registered_at"],
        last_heartbeat_at=raw["last_heartbeat_at"],
        streamed=raw["streamed"],
        report=Report(**{**raw["report"], "status": ServiceStatus[raw["report"]["status"]]}),
        judgement=_judgement(raw["judgement"]),
    )


def decode_event(text: str) -> Event:
    """Return the event in a text of `encode`."""
    return _event(json.loads(text))


def decode_judgement(text: str) -> Judgement:
    """Return the verdict in a text of `encode`."""
    return _judgement(json.loads(text))


def _plain(value: StoredService | Event | Judgement | Declaration | Report) -> dict[str, Any]:
    """Return the fields of a record. This is written by hand because dataclasses.asdict copies every leaf, and alerts
    wait for it."""
    plain: dict[str, Any] = {}
    for name in value.__slots__:
        field = getattr(value, name)
        if isinstance(field, Enum):
            field = field.name
        elif isinstance(field, (Declaration, Report, Judgement, Event)):
            field = _plain(field)
        plain[name] = field
    return plain


def _spec(raw: dict[str, Any]) -> Declaration:
    return Declaration(
        **{**raw, "type": ServiceType[raw["type"]], "role": ServiceRole[raw["role"]], "caps": tuple(raw["caps"])}
    )


def _judgement(raw: dict[str, Any]) -> Judgement:
    down_event = None if raw["down_event"] is None else _event(raw["down_event"])
    # Records of the first schema do not name the notified recipients: it was the recipient of the alert.
    addressed = () if down_event is None or not down_event.recipient else (down_event.recipient,)
    return Judgement(
        liveness=Liveness[raw["liveness"]],
        cause=LivenessCause[raw["cause"]],
        since=raw["since"],
        missed_beats=raw["missed_beats"],
        down_event=down_event,
        told_to=tuple(raw.get("told_to", addressed)),
        folded_into=raw.get("folded_into", ""),
        removal_alert_id=raw.get("removal_alert_id", ""),
        acknowledged_at=raw.get("acknowledged_at"),
        returned=None if raw.get("returned") is None else _event(raw["returned"]),
    )


def _event(raw: dict[str, Any]) -> Event:
    return Event(**{**raw, "severity": Severity[raw["severity"]], "cause": LivenessCause[raw["cause"]]})
