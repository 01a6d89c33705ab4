"""What the detector knows of a service, and what it concludes. Pure values; the registry's facts are in grid_model."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts

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
