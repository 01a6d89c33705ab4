"""What a service is, may be used for, and reports; the numbers of the wire. Pure."""

from __future__ import annotations

from enum import IntEnum


class ServiceType(IntEnum):
    """What kind of thing a service is."""

    MODEL = 1
    TOOL = 2
    AGENT = 3


class ServiceRole(IntEnum):
    """What a service may be used for."""

    PRODUCTION = 1
    STAGING = 2
    CANARY = 3
    EXPERIMENTAL = 4


class ServiceStatus(IntEnum):
    """What a service says of itself."""

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
