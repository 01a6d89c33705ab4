"""The type, role and status of a service, and its maintenance by an operator. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ServiceType(IntEnum):
    """The type of a service, with the numbers of the wire."""

    MODEL = 1
    TOOL = 2
    AGENT = 3


class ServiceRole(IntEnum):
    """The role in which a service may be used, with the numbers of the wire."""

    PRODUCTION = 1
    STAGING = 2
    CANARY = 3
    EXPERIMENTAL = 4


class ServiceStatus(IntEnum):
    """The status that a service reports about itself, with the numbers of the wire."""

    OK = 1
    DEGRADED = 2
    DOWN = 3
    QUEUED = 4
    RUNNING = 5
    BLOCKED = 6
    WAITING_APPROVAL = 7
    PAUSED = 8
    ERROR = 9
    DONE = 10


@dataclass(frozen=True, slots=True)
class Maintenance:
    """An operator's order to hold the alerts about a service. Times are seconds since the epoch; with `until` None the
    maintenance lasts until an operator ends it."""

    service_id: str
    since: float
    until: float | None = None
    reason: str = ""
