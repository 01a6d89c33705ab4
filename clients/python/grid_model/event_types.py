"""The one table of the types of event that TRON issues: their severity, what they mean, and how they are shown. Pure.

TRON's alerts, the registry's rules for copies, the legacy contract, the restarter and the page read it. A new type is a
row here, its sentence in `tron/messages.py`, and the rule that issues it: for a judgement of a service its kind in
`tron/facts.py`, and when it is due in `tron/detector.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import Severity


@dataclass(frozen=True, slots=True)
class EventType:
    """One type of event. `title` follows the name of the service; `symbol` is one of the page's."""

    name: str
    severity: Severity
    action: str
    """The word of `Event.action`; empty if it depends on the event."""
    title: str
    symbol: str
    log_word: str = ""
    """The event of TRON's log for it, if that is not its name."""
    suspicion: bool = False
    """The service may recover without having been down."""
    death: bool = False
    """The service is down, or was deregistered while down."""
    failure: bool = False
    """A supervisor restarts the service for it."""
    over_once_alive: bool = False
    """Its waiting copies are withdrawn once the service is alive again, as those of suspicions and failures are."""
    escalates: bool = True
    """Whether the next ancestor gets it if its recipient does not acknowledge it. False: only the recipient can act."""


HEARTBEAT_MISS = EventType(
    "heartbeat_miss", Severity.WARNING, "warning", "missed a heartbeat", "suspect", "beat_missed", suspicion=True
)
SERVICE_SUSPECT = EventType(
    "service_suspect", Severity.WARNING, "suspected", "lost its stream", "suspect", "service_suspected", suspicion=True
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
"""All of them by name, in the order in which they are listed."""

SUSPICIONS = frozenset(name for name, each in EVENT_TYPES.items() if each.suspicion)
OVER_ONCE_ALIVE = frozenset(
    name for name, each in EVENT_TYPES.items() if each.suspicion or each.failure or each.over_once_alive
)
DEATHS = frozenset(name for name, each in EVENT_TYPES.items() if each.death)
FAILURES = tuple(name for name, each in EVENT_TYPES.items() if each.failure)
NOT_ESCALATED = frozenset(name for name, each in EVENT_TYPES.items() if not each.escalates)
