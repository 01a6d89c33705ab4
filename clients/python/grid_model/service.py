"""The type, role, status and maintenance of a service. This module does no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ServiceType(IntEnum):
    """The type of a service. The numbers are those of the protobuf enum."""

    MODEL = 1
    TOOL = 2
    AGENT = 3


class ServiceRole(IntEnum):
    """The role of a service, such as production or canary. The numbers are those of the protobuf enum."""

    PRODUCTION = 1
    STAGING = 2
    CANARY = 3
    EXPERIMENTAL = 4


class ServiceStatus(IntEnum):
    """The status that a service reports about itself. The numbers are those of the protobuf enum."""

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
    """A period in which an operator holds back the alerts about a service. Times are in seconds since the epoch. If
    `until` is None, the maintenance lasts until an operator ends it."""

    service_id: str
    since: float
    until: float | None = None
    reason: str = ""
