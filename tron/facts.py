"""The values of the detector: its record of a service, the transitions of the service, and their consequences. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grid_model.event import Severity
from grid_model.event_types import (
    HEARTBEAT_MISS,
    HEARTBEAT_RESTORED,
    SERVICE_DEREGISTERED,
    SERVICE_DOWN,
    SERVICE_STALLED,
    SERVICE_SUSPECT,
    EventType,
)
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts, ReportDeadline
from grid_model.verdict import VerdictKind

from tron import messages

NEVER = float("inf")


class Kind(Enum):
    """The kind of a transition, which is a change of a service's liveness."""

    MISS = "miss"
    SUSPECT = "suspect"
    STALL = "stall"
    DOWN = "down"
    DEREGISTER = "deregister"
    RECOVER = "recover"
    """The service is back and had not been declared down: no recipient is notified."""
    RESTORE = "restore"
    """The service is back after it was down."""

    @property
    def meaning(self) -> Meaning:
        """The consequences of a transition of this kind."""
        return _MEANINGS[self]


@dataclass(frozen=True, slots=True)
class Meaning:
    """The consequences of one kind of transition."""

    verdict: VerdictKind
    event_type: EventType | None
    """The type of the alert; None if no recipient is notified."""
    alert: str
    """The message of the alert."""
    forecast: str
    """The text of `tron explain` for a transition of this kind that is due later."""

    @property
    def log_word(self) -> str:
        """The name of the log event for a transition of this kind."""
        if self.event_type is None:
            return "service_recovered"
        return self.event_type.log_word or self.event_type.name

    @property
    def needs_action(self) -> bool:
        """Whether operators receive the alert if the service has no parent to notify."""
        return self.event_type is not None and self.event_type.severity is Severity.CRITICAL


_MEANINGS = {
    Kind.MISS: Meaning(VerdictKind.SUSPECT, HEARTBEAT_MISS, messages.MISSED_HEARTBEAT, messages.NEXT_MISSED_HEARTBEAT),
    Kind.SUSPECT: Meaning(VerdictKind.SUSPECT, SERVICE_SUSPECT, messages.STREAM_LOST, messages.NEXT_STREAM_BROKEN),
    Kind.STALL: Meaning(VerdictKind.SUSPECT, SERVICE_STALLED, messages.STALLED, messages.NEXT_STALLED),
    Kind.DOWN: Meaning(VerdictKind.DOWN, SERVICE_DOWN, messages.DOWN, messages.NEXT_DOWN),
    Kind.DEREGISTER: Meaning(
        VerdictKind.DEREGISTER, SERVICE_DEREGISTERED, messages.DEREGISTERED, messages.NEXT_DEREGISTERED
    ),
    Kind.RECOVER: Meaning(VerdictKind.ALIVE, None, "", messages.NEXT_ALIVE),
    Kind.RESTORE: Meaning(VerdictKind.ALIVE, HEARTBEAT_RESTORED, messages.RESTORED, messages.NEXT_RESTORED),
}


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of a service's liveness that the detector decided. `due`: the attentive second at which the change was
    due; it may have been noticed later."""

    kind: Kind
    service_id: str
    incarnation: int
    observation: int
    cause: LivenessCause
    missed_beats: int
    due: float
    facts: Facts
    heard_at: float


@dataclass(slots=True)
class Lease:
    """The detector's record of one service."""

    facts: Facts
    observation: int
    heard_at: float
    last_heartbeat_at: float
    liveness: Liveness
    cause: LivenessCause
    judged_at: float
    missed_beats: int
    scheduled: float = NEVER
    deregistered: bool = False
    confirmed: bool = False
    outdated: bool = False
    """Whether the registry refused a verdict on the service, because it knows newer facts that have not arrived yet."""
    deadline: ReportDeadline | None = None
    """The time at which the registry reports the service if nothing is heard; until then the registry may have heard
    heartbeats that it did not send. None if the registry sends all heartbeats of the service."""

    @property
    def disconnected(self) -> bool:
        """Whether the agent's side ended the service's stream. An end that the registry caused does not count."""
        return self.facts.streamed and not self.facts.connected and not self.facts.detached_reason
