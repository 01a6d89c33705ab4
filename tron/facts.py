"""The nouns of judgement: what the registry says of a service, what is concluded, and what was decided. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause

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
class Facts:
    """What the registry says about one service. Times `*_at` are attentive seconds; None: did not happen."""

    service_id: str
    name: str
    incarnation: int
    observation: int
    parent: str
    interval: float
    reconnect_grace: float | None
    connected: bool
    streamed: bool
    attached_at: float | None
    detached_at: float | None
    heard_at: float
    last_heartbeat_at: float
    """Seconds since the epoch; for people, never for judgement."""
    judged: Liveness
    cause: LivenessCause
    judged_at: float
    missed_beats: int
    stall_after: float | None = None
    active_at: float = 0.0
    busy_until_at: float | None = None
    busy_declared_at: float | None = None
    url: str = ""
    process: str = ""
    """The process whose other agents it shares a stream with; empty if it is alone."""
    notified: tuple[str, ...] = ()
    """The recipients of the alert of its last DOWN."""
    held_alert: Event | None = None
    """That alert, if nobody received it yet."""
    grouped_into: str = ""
    """The alert of another service that lists this one as failed with it."""
    maintained: bool = False
    """Whether an operator holds notices about it."""
    maintenance_reason: str = ""
    detached_reason: str = ""
    """Why the registry itself ended its last stream, as the name of an error reason; empty if the other side did."""


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


@dataclass(frozen=True, slots=True)
class Delivery:
    """One copy of an alert that its recipient has not acknowledged. `since` in attentive seconds. `escalated`: it went
    on to another recipient, or the alert of another service lists it."""

    alert: Event
    since: float
    escalated: bool = False


@dataclass(frozen=True, slots=True)
class Forebear:
    """A service that is gone, whose parent may still have to be notified."""

    service_id: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The registry's facts of one moment. Beats are (incarnation, observation, attentive second)."""

    now: float
    hearing_since: float
    observations: tuple[Facts, ...] = ()
    beats: tuple[tuple[int, int, float], ...] = ()
    removed: tuple[str, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    deliveries_ended: tuple[tuple[str, str], ...] = ()
    forebears: tuple[Forebear, ...] = ()
    cascade_alert_id: str = ""
    snapshot_complete: bool = False
