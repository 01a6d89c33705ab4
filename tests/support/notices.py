"""Notices for tests, with something in every field."""

from __future__ import annotations

from typing import Any

from grid_model.event import Severity

from grid_hosting.sinks.notice import OperatorNotice


def make_notice(alert_id: str = "alert-1", **fields: Any) -> OperatorNotice:
    """A critical notice about a service that is down, whose parent is away."""
    defaults: dict[str, Any] = {
        "type": "service_down",
        "severity": Severity.CRITICAL,
        "service_id": "worker-1",
        "service_name": "Worker 1",
        "cause": "SILENT",
        "message": "Worker 1 is down (SILENT)",
        "occurred_at": 1_700_000_000.25,
        "recipient": "director",
        "why": "parent down",
        "details": {"missed_beats": 2, "children": ["größer", "b"]},
    }
    return OperatorNotice(alert_id=alert_id, **{**defaults, **fields})
