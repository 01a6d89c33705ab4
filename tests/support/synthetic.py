"""Services and events as `/v1` tells them, made up: for pages that must show many, or what is rare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any


def moment(seconds_from_now: float) -> str:
    """A moment, as the API says it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds_from_now)).isoformat().replace("+00:00", "Z")


def service(service_id: str, parent: str = "", **fields: Any) -> dict[str, Any]:
    """A service that is well."""
    return {
        "service_id": service_id,
        "name": service_id,
        "type": "agent",
        "role": "production",
        "url": "http://localhost:6100",
        "caps": ["work"],
        "labels": {},
        "parent": parent,
        "heartbeat_interval": 5.0,
        "incarnation": 7,
        "registered_at": moment(-800),
        "last_heartbeat_at": moment(-1),
        "connected": True,
        "status": "ok",
        "p95_ms": 120.5,
        "queue_depth": 3,
        "load": 0.4,
        "progress": None,
        "message": "",
        "activity": 0,
        "loop_lag": 0.001,
        "busy_until": None,
        "liveness": "ALIVE",
        "liveness_cause": "",
        "liveness_since": moment(-800),
        **fields,
    }


def event(sequence: int, kind: str, about: str, recipient: str = "", **fields: Any) -> dict[str, Any]:
    """An event that happened ten seconds ago."""
    return {
        "sequence": sequence,
        "alert_id": f"alert-{sequence}",
        "occurred_at": moment(-10),
        "type": kind,
        "severity": "CRITICAL",
        "service_id": about,
        "service_name": about,
        "recipient": recipient,
        "cause": "SILENT",
        "missed_beats": 2,
        "last_seen_at": moment(-20),
        "action": "",
        "message": "",
        "details": {},
        **fields,
    }


def fleet(size: int) -> list[dict[str, Any]]:
    """Services with parents, twenty children each, five levels deep at 5,000."""
    return [
        service(f"agent-{number:05}", f"agent-{(number - 1) // 20:05}" if number else "", message=f"task {number}")
        for number in range(size)
    ]
