"""The answers of /v1 as pydantic models for /docs. Services and events are those of the SDK, with the field names of
the gRPC contract."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from tron_client import Event, Service


class Services(BaseModel):
    """A list of services, and how current it is."""

    revision: int
    live: bool
    """Whether the list follows the registry now."""
    stale_for: float
    """The seconds since the list was last current; 0 while it is live."""
    services: list[Service]


class Events(BaseModel):
    """One page of the event log, oldest event first."""

    events: list[Event]
    next_after: int
    """The sequence number after which the next page starts; 0 if this was the last page."""
    first: int
    """The sequence number of the oldest event that is kept; 0 if the log is empty."""
    last: int


class Alerts(BaseModel):
    """One page of TRON's alerts, oldest first."""

    alerts: list[Event]
    next_after: int


class Acknowledged(BaseModel):
    """The answer to an acknowledgement: how many copies of the alert were waiting."""

    acknowledged: int


class AcknowledgedMany(Acknowledged):
    """The answer to the acknowledgement of several alerts: how many copies of them were waiting."""

    lost_services: int | None = None
    """The number of lost services that were acknowledged; null for one alert."""


class History(BaseModel):
    """The answer to GET /v1/history: past events, open alerts, and lost services."""

    now: str
    """The current time by the registry's clock."""
    events: list[Event]
    """The newest events of the event log, oldest first."""
    covered: str
    """The time from which events and gaps are complete."""
    gaps: list[tuple[str, str | None]]
    """The periods in which liveness was not observed, each as its start and its end; the end is null while the period
    lasts."""
    open: list[str]
    """The ids of alerts that are not acknowledged."""
    lost: list[dict[str, Any]]
    """The lost services whose loss has not been acknowledged."""


class Explained(BaseModel):
    """A service, and the reason for its state."""

    service: Service | None
    explanation: dict[str, Any] | None
    """TRON's verdict, rule, deadlines (`due_in` in seconds), safety margin in words, and evidence."""
    note: str
    """Why there is no explanation; empty if there is one."""


class Tron(BaseModel):
    """TRON's status, as the gateway last received it."""

    reachable: bool
    watching: bool
    """Whether TRON receives the registry's facts, so that liveness is evaluated."""
    guard_active: bool
    alerts_issued: int
    last_check: str | None
    misses_before_down: int
    misses_before_deregister: int


class Status(BaseModel):
    """Whether the gateway's copy is current, and TRON's status."""

    live: bool
    stale_for: float
    revision: int
    now: str
    """The current time by the registry's clock."""
    tron: Tron


class TargetGroup(BaseModel):
    """One target with its labels for the http_sd_config of Prometheus."""

    targets: list[str]
    labels: dict[str, str]
