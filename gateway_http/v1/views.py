"""The answers of /v1 as models for /docs; services and events are those of the SDK, with the names of the wire."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from tron_client import Event, Service


class Services(BaseModel):
    """Services, and how current that is."""

    revision: int
    live: bool
    """Whether this follows the registry now."""
    stale_for: float
    """Seconds since it did; 0 while live."""
    services: list[Service]


class Events(BaseModel):
    """Events, oldest first."""

    events: list[Event]
    next_after: int
    """Where the next page starts; 0 if this was the last."""
    first: int
    """The oldest sequence that is kept; 0 if the log is empty."""
    last: int


class Alerts(BaseModel):
    """Alerts of TRON, oldest first."""

    alerts: list[Event]
    next_after: int


class Acknowledged(BaseModel):
    """How many copies of the alert waited."""

    acknowledged: int


class AcknowledgedMany(Acknowledged):
    """The same for more than one alert."""

    lost_services: int | None = None
    """How many lost services it acknowledged; null for one alert."""


class History(BaseModel):
    """What happened, and what is open."""

    now: str
    """The registry's clock."""
    events: list[Event]
    """The newest of the log, oldest first."""
    covered: str
    """The moment from which events and gaps are complete."""
    gaps: list[tuple[str, str | None]]
    """When liveness was not observed: start and end; null while it lasts."""
    open: list[str]
    """The ids of alerts that are not acknowledged."""
    lost: list[dict[str, Any]]
    """Services that were lost, and that have not been acknowledged."""


class Explained(BaseModel):
    """A service, and why it is judged so."""

    service: Service | None
    explanation: dict[str, Any] | None
    """TRON's verdict, rule, deadlines (`due_in` in seconds) and evidence."""
    note: str
    """Why there is no explanation."""


class Tron(BaseModel):
    """TRON's status."""

    reachable: bool
    watching: bool
    """Whether it receives the registry's observations, so that liveness is evaluated."""
    guard_active: bool
    alerts_issued: int
    last_check: str | None
    misses_before_down: int
    misses_before_deregister: int


class Status(BaseModel):
    """Whether the parts work."""

    live: bool
    stale_for: float
    revision: int
    now: str
    """The gateway's clock."""
    tron: Tron


class TargetGroup(BaseModel):
    """One target for Prometheus' http_sd_config."""

    targets: list[str]
    labels: dict[str, str]
