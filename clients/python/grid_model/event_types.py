"""The table of the event types that TRON issues: their severity, their meaning, and how they are shown. This module
does no I/O.

TRON's alerts, the registry's rules for alert copies, the gateway's legacy contract, the SDK's Supervisor and the
dashboard read this table. To add a type, add a row here, a sentence for the type to `tron/messages.py`, and a rule that
issues events of the type. If the type reports a change of liveness, the rule is a kind in `tron/facts.py` and a
deadline in `tron/detector.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import Severity


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event. The dashboard and the CLI show `title` after the name of the service; `symbol` is the name of
    the dashboard's symbol for this type."""

    name: str
    severity: Severity
    action: str
    """The value of `Event.action` for this type; empty if the action depends on the event."""
    title: str
    symbol: str
    log_word: str = ""
    """The name of TRON's log event for this type, if it differs from the name of the type."""
    suspicion: bool = False
    """Whether the service may recover from this event without having been down."""
    death: bool = False
    """Whether this event reports that the service is down, or was deregistered while it was down."""
    failure: bool = False
    """Whether a supervisor restarts the service when it receives this event."""
    over_once_alive: bool = False
    """Whether waiting copies of this type are withdrawn once the service is alive again. This is also done for every
    type with `suspicion` or `failure`."""
    escalates: bool = True
    """Whether an alert of this type goes to the next ancestor if its recipient does not acknowledge it; false if only
    the recipient can act on it."""


HEARTBEAT_MISS = EventType(
    "heartbeat_miss", Severity.WARNING, "warning", "missed a heartbeat", "suspect", "beat_missed", suspicion=True
)
SERVICE_SUSPECT = EventType(
    "service_suspect", Severity.WARNING, "suspected", "disconnected", "suspect", "service_suspected", suspicion=True
)
SERVICE_STALLED = EventType(
    "service_stalled", Severity.CRITICAL, "marked_stalled", "is making no progress", "suspect", failure=True
)
SERVICE_DOWN = EventType("service_down", Severity.CRITICAL, "marked_down", "is down", "down", death=True, failure=True)
SERVICE_DEREGISTERED = EventType(
    "service_deregistered", Severity.CRITICAL, "deregistered", "was deregistered", "gone", death=True, failure=True
)
HEARTBEAT_RESTORED = EventType(
    "heartbeat_restored", Severity.INFO, "restored", "is back", "restored", "service_restored"
)
CASCADING_FAILURE = EventType(
    "cascading_failure", Severity.CRITICAL, "notices_held", "Many services fell silent at once", "down"
)
PARENT_DOWN = EventType(
    "parent_down", Severity.WARNING, "", "is down; its child was notified", "attention",
    over_once_alive=True, escalates=False,
)  # fmt: skip

EVENT_TYPES = {
    each.name: each
    for each in (
        HEARTBEAT_MISS,
        SERVICE_SUSPECT,
        SERVICE_STALLED,
        SERVICE_DOWN,
        SERVICE_DEREGISTERED,
        HEARTBEAT_RESTORED,
        CASCADING_FAILURE,
        PARENT_DOWN,
    )
}
"""All event types by name, in the order in which they are shown."""

SUSPICIONS = frozenset(name for name, each in EVENT_TYPES.items() if each.suspicion)
OVER_ONCE_ALIVE = frozenset(
    name for name, each in EVENT_TYPES.items() if each.suspicion or each.failure or each.over_once_alive
)
DEATHS = frozenset(name for name, each in EVENT_TYPES.items() if each.death)
FAILURES = tuple(name for name, each in EVENT_TYPES.items() if each.failure)
NOT_ESCALATED = frozenset(name for name, each in EVENT_TYPES.items() if not each.escalates)
