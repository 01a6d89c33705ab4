"""The immutable values of the registry: moments, services and their reports, verdicts, tombstones and owners."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from grid_model.declaration import Declaration
from grid_model.event import Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance, ServiceRole, ServiceStatus


class Instant(NamedTuple):
    """One moment on two clocks: `wall` in seconds since the epoch, `attentive` in attentive seconds since the
    registry's start. One is created for each message, so this is a named tuple: creating it takes a third of the time
    of creating a frozen dataclass."""

    wall: float
    attentive: float
    set_by: float = 0.0
    """Seconds by which the wall clock was set forward since the start; see `clock_steps`."""


@dataclass(frozen=True, slots=True)
class Report:
    """The values that a service reported last. `loop_lag` is in seconds, `busy_until` is in seconds since the epoch."""

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
    """TRON's last verdict about a service. `since` is in seconds since the epoch. `down_event` is the event of the
    service's death; None while the service is not down."""

    liveness: Liveness = Liveness.ALIVE
    cause: LivenessCause = LivenessCause.NONE
    since: float = 0.0
    missed_beats: int = 0
    down_event: Event | None = None
    told_to: tuple[str, ...] = ()
    """The recipients that were notified by the alert `down_event`."""
    folded_into: str = ""
    """The alert_id of the alert of another service that lists this service as failed together with that one; otherwise
    empty."""
    removal_alert_id: str = ""
    """The alert_id of the alert about the service's removal, if it was removed while down; otherwise empty."""
    acknowledged_at: float | None = None
    """When an operator acknowledged the loss of the service, in seconds since the epoch."""
    returned: Event | None = None
    """The alert of the service's last return, if copies about its death were still waiting at that time because they
    list other services; otherwise None. If such a copy escalates later, this alert is sent after it."""


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
    """The data that is kept about a removed service. `judgement` is None if the service left on purpose."""

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
    """The owner of a service id, which is kept across registrations."""

    service_id: str
    owner: str
    """The `owner` of the principal that registered the id first: its group, or the principal itself."""
    removed_at: float | None = None
    """When the service was removed, in seconds since the epoch; None while it is registered."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An operator's decision about the role of the service with this id, which is kept across registrations.

    A promotion holds for as long as the agent keeps declaring the role from which it was promoted.
    """

    service_id: str
    promoted_from: ServiceRole
    promoted_to: ServiceRole
