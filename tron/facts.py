"""The nouns of judgement: what the registry says of a service, what is concluded, and what was decided. Pure values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

NEVER = float("inf")

OPERATORS = "operators"
"""The recipient that stands for the people in charge; the contract's word."""


class State(IntEnum):
    """TRON's last word; the numbers of the wire."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3


class Cause(IntEnum):
    """Why; the numbers of the wire."""

    NONE = 0
    DISCONNECTED = 1
    SILENT = 2
    STALLED = 3


class Severity(IntEnum):
    """How much an alert matters; the numbers of the wire. Who gets a CRITICAL one must act, so it climbs."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3


class Kind(Enum):
    """What a transition does."""

    MISS = "miss"
    SUSPECT = "suspect"
    STALL = "stall"
    DOWN = "down"
    DEREGISTER = "deregister"
    RECOVER = "recover"
    """Back before it was down: nobody is told."""
    RESTORE = "restore"
    """Back after it was down."""


@dataclass(frozen=True, slots=True)
class AlertDraft:
    """An alert before the registry numbers it. Times are seconds since the epoch."""

    alert_id: str
    type: str
    severity: Severity
    service_id: str
    service_name: str
    recipient: str
    cause: Cause
    missed_beats: int
    occurred_at: float
    last_seen_at: float | None
    action: str
    message: str
    details: dict[str, Any] = field(default_factory=dict)


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
    judged: State
    cause: Cause
    judged_at: float
    missed: int
    stall_after: float | None = None
    active_at: float = 0.0
    busy_until_at: float | None = None
    busy_declared_at: float | None = None
    url: str = ""
    told_to: tuple[str, ...] = ()
    """Who got a copy of the alert of its last DOWN."""
    untold: AlertDraft | None = None
    """That alert, where nobody did yet."""
    folded_into: str = ""
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
    cause: Cause
    missed: int
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
    state: State
    cause: Cause
    judged_at: float
    missed: int
    scheduled: float = NEVER
    given_up: bool = False
    confirmed: bool = False
    worst_gap: float = 0.0
    """Seconds; the longest time between two beats that this TRON saw."""

    @property
    def disconnected(self) -> bool:
        """Whether it had a stream, and the other side ended it. An end that the registry caused says nothing of it."""
        return self.facts.streamed and not self.facts.connected and not self.facts.detached_reason


@dataclass(frozen=True, slots=True)
class OpenCopy:
    """One copy of an alert that its recipient has not acknowledged. `since` in attentive seconds."""

    alert: AlertDraft
    since: float
    climbed: bool = False


@dataclass(frozen=True, slots=True)
class Forebear:
    """A service that is gone, whose parent may still have to be told."""

    service_id: str
    name: str
    parent: str


@dataclass(frozen=True, slots=True)
class Frame:
    """What the registry tells at one moment. Beats are (incarnation, observation, attentive second)."""

    now: float
    hearing_since: float
    observations: tuple[Facts, ...] = ()
    beats: tuple[tuple[int, int, float], ...] = ()
    removed: tuple[str, ...] = ()
    copies: tuple[OpenCopy, ...] = ()
    copies_ended: tuple[tuple[str, str], ...] = ()
    forebears: tuple[Forebear, ...] = ()
    cascade_alert_id: str = ""
    snapshot_complete: bool = False
