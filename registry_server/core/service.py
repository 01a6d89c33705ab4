"""The values of the registry: services, their reports, verdicts about them, and events. Frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance, ServiceRole, ServiceStatus


class Instant(NamedTuple):
    """One moment on two clocks: seconds since the epoch (UTC), and attentive seconds since the registry's start. One is
    made for each message, in a third of the time that a frozen dataclass takes."""

    wall: float
    attentive: float
    set_by: float = 0.0
    """Seconds by which the wall clock was set since the start; see `clock_steps`."""


@dataclass(frozen=True, slots=True)
class Report:
    """The values that a service last reported. Intervals are in seconds, `busy_until` is in seconds since the epoch."""

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
    """TRON's last verdict about a service. `since` is in seconds since the epoch; `down_event` is set while the service
    is down."""

    liveness: Liveness = Liveness.ALIVE
    cause: LivenessCause = LivenessCause.NONE
    since: float = 0.0
    missed_beats: int = 0
    down_event: Event | None = None
    told_to: tuple[str, ...] = ()
    """The recipients of the alert `down_event`."""
    folded_into: str = ""
    """The alert of another service that lists this service as failed together with that one."""
    removal_alert_id: str = ""
    """The alert of the service's removal, if it was removed while down."""
    acknowledged_at: float | None = None
    """When an operator acknowledged the loss of the service, in seconds since the epoch."""
    returned: Event | None = None
    """The alert of the service's last return, if copies about its death still waited then because they list other
    services. If such a copy escalates later, this alert follows it."""


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
    """The data about a registered service that must survive a restart."""

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
    """The data about a removed service that is kept. `judgement` is None if the service left on purpose."""

    service_id: str
    incarnation: int
    revision: int
    removed_at: float
    reason: str
    judgement: Judgement | None
    name: str = ""
    parent: str = ""


@dataclass(frozen=True, slots=True)
class OwnedId:
    """The owner of a service id, which outlives registrations."""

    service_id: str
    owner: str
    """The `owner` of the principal that registered the id first: its group, or the principal itself."""
    removed_at: float | None = None
    """When the service was removed, in seconds since the epoch; None while it is registered."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An operator's decision about the role of a service id, which outlives registrations.

    A promotion holds for as long as the agent keeps declaring the role from which it was promoted.
    """

    service_id: str
    promoted_from: ServiceRole
    promoted_to: ServiceRole
