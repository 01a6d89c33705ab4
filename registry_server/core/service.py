"""The nouns of the registry: services, what they report, how they are judged, and events. Frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance, ServiceRole, ServiceStatus


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on two clocks: seconds since the epoch (UTC), and attentive seconds since the registry started."""

    wall: float
    attentive: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a service last said of itself. Intervals in seconds, `busy_until` in seconds since the epoch."""

    status: ServiceStatus = ServiceStatus.OK
    p95_ms: float | None = None
    queue_depth: int | None = None
    load: float | None = None
    message: str = ""
    progress: float | None = None
    activity: int = 0
    loop_lag: float | None = None
    busy_until: float | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """TRON's last judgement of a service. `since` in seconds since the epoch; `down_event` is set while it is down."""

    liveness: Liveness = Liveness.ALIVE
    cause: LivenessCause = LivenessCause.NONE
    since: float = 0.0
    missed_beats: int = 0
    down_event: Event | None = None
    told_to: tuple[str, ...] = ()
    """The recipients of `down_event`."""
    folded_into: str = ""
    """The alert of another service that lists this one as failed with it."""
    removal_alert_id: str = ""
    """The alert of its removal, if it was removed as down."""
    acknowledged_at: float | None = None
    """When an operator acknowledged that it is lost; seconds since the epoch."""
    returned: Event | None = None
    """The alert of its last return while alerts of its death waited on, because of the services that they list. A copy
    that escalates later is followed by it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A service as readers see it, at one revision."""

    spec: Declaration
    incarnation: int
    registered_at: float
    last_heartbeat_at: float
    connected: bool
    report: Report
    liveness: Liveness
    cause: LivenessCause
    since: float
    maintenance: Maintenance | None = None


@dataclass(frozen=True, slots=True)
class StoredService:
    """What must survive a restart about a registered service."""

    spec: Declaration
    declared_role: ServiceRole
    incarnation: int
    instances: tuple[tuple[str, int], ...]
    registered_at: float
    last_heartbeat_at: float
    streamed: bool
    report: Report
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is remembered about a removed service. `judgement` is None if it left on purpose."""

    service_id: str
    incarnation: int
    revision: int
    removed_at: float
    reason: str
    judgement: Judgement | None
    name: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class Intent:
    """What an operator decided about a service id; it outlives registrations.

    A promotion holds for as long as the agent goes on declaring the role that it was promoted from.
    """

    service_id: str
    promoted_from: ServiceRole
    promoted_to: ServiceRole
