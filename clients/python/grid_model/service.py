"""What a service is, may be used for, and reports, and an operator's maintenance of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ServiceType(IntEnum):
    """What kind of thing a service is; the numbers of the wire."""

    MODEL = 1
    TOOL = 2
    AGENT = 3


class ServiceRole(IntEnum):
    """What a service may be used for; the numbers of the wire."""

    PRODUCTION = 1
    STAGING = 2
    CANARY = 3
    EXPERIMENTAL = 4


class ServiceStatus(IntEnum):
    """What a service says of itself; the numbers of the wire."""

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
    """An operator's word that notices are held; times in seconds since the epoch, `until` None: until it is ended."""

    service_id: str
    since: float
    until: float | None = None
    reason: str = ""
