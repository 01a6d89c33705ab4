"""The events of the event log, their severity, and the recipient `operators`. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from grid_model.liveness import LivenessCause

OPERATORS = "operators"
"""The recipient that means the people in charge; no service may have this id. TRON takes these alerts, hands them to
its sinks, and acknowledges them."""


class Severity(IntEnum):
    """The severity of an event, with the numbers of the wire. A CRITICAL event demands an action, so it escalates if it
    is not acknowledged."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the event log; an event with a recipient is an alert. Times are seconds since the epoch.

    TRON creates alerts without a sequence number (0), and the registry numbers them.
    """

    type: str
    sequence: int = 0
    alert_id: str = ""
    occurred_at: float = 0.0
    severity: Severity = Severity.INFO
    service_id: str = ""
    service_name: str = ""
    recipient: str = ""
    cause: LivenessCause = LivenessCause.NONE
    missed_beats: int = 0
    last_seen_at: float | None = None
    action: str = ""
    message: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    published_by: str = ""
    """The principal that published it; empty for events of TRON, and without authentication."""
    via: str = ""
    """The relay that published it for that principal."""
