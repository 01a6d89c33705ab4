"""What the detector knows of a service, what it concludes, and what follows from that. Pure values."""

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
from grid_model.observation import Facts
from grid_model.verdict import VerdictKind

from tron import messages

NEVER = float("inf")


class Kind(Enum):
    """What a transition does."""

    MISS = "miss"
    SUSPECT = "suspect"
    STALL = "stall"
    DOWN = "down"
    DEREGISTER = "deregister"
    RECOVER = "recover"
    """Back before it was down: nobody is notified."""
    RESTORE = "restore"
    """Back after it was down."""

    @property
    def meaning(self) -> Meaning:
        """What follows from such a transition."""
        return _MEANINGS[self]


@dataclass(frozen=True, slots=True)
class Meaning:
    """What follows from a kind of transition."""

    verdict: VerdictKind
    event_type: EventType | None
    """The type of its alert; None if nobody is notified."""
    alert: str
    """What its alert says."""
    forecast: str
    """What `tron explain` says is due."""

    @property
    def log_word(self) -> str:
        """The event of the log."""
        if self.event_type is None:
            return "service_recovered"
        return self.event_type.log_word or self.event_type.name

    @property
    def needs_action(self) -> bool:
        """Whether operators get its alert if no parent can."""
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
    """One decision. `due` is when it became true, in attentive seconds, not when it was noticed."""

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
    """What the detector knows and thinks of one service."""

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
    worst_gap: float = 0.0
    """Seconds; the longest time between two beats that this TRON saw."""

    @property
    def disconnected(self) -> bool:
        """Whether it had a stream, and the other side ended it. An end that the registry caused says nothing of it."""
        return self.facts.streamed and not self.facts.connected and not self.facts.detached_reason
