"""The events of the event log, their severity, and the recipient `operators`. This module does no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from grid_model.liveness import LivenessCause

OPERATORS = "operators"
"""The recipient of alerts for the people who run the system; no service may have this id. TRON receives these alerts,
passes them to its sinks, and acknowledges them."""


class Severity(IntEnum):
    """The severity of an event. A CRITICAL event requires an action, so a CRITICAL alert escalates if it is not
    acknowledged. The numbers are those of the protobuf enum."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the event log; an event with a recipient is an alert. Times are in seconds since the epoch.

    An alert that TRON creates has the sequence number 0 until the registry assigns one.
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
    """The principal that published the event; empty for events of TRON, and in a system without authentication."""
    via: str = ""
    """The relay that published the event for that principal; empty if there was no relay."""
