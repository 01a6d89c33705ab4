"""Short ways to say what a test of the gateway is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tron_client import Event, Service

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    """A moment, this many seconds after the start."""
    return START + timedelta(seconds=seconds)


def a_service(service_id: str = "a", incarnation: int = 1, heard: float = 0.0, **fields: Any) -> Service:
    """A service that was heard at that moment."""
    known: dict[str, Any] = {"name": service_id, "registered_at": START, "last_heartbeat_at": at(heard)}
    return Service(service_id, **{**known, "incarnation": incarnation, "liveness": "ALIVE", **fields})


def an_event(sequence: int, kind: str = "note", **fields: Any) -> Event:
    """An event at that place of the log."""
    known: dict[str, Any] = {"alert_id": f"{kind} {sequence}", "occurred_at": at(sequence)}
    return Event(sequence, type=kind, **{**known, **fields})


def micros(seconds: float) -> int:
    """That moment in microseconds since the epoch."""
    return round(at(seconds).timestamp() * 1e6)
