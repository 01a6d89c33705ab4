"""The words of a monitoring policy; the numbers of the wire. Pure. The thresholds themselves are TRON's."""

from __future__ import annotations

from enum import IntEnum


class OrphanPolicy(IntEnum):
    """What a child should do when its parent is down."""

    KEEP = 1
    STOP = 2
    ADOPT = 3


class PolicySource(IntEnum):
    """Where the value of a threshold comes from."""

    BUILT_IN = 1
    SETTINGS = 2
    RUNTIME = 3
    SERVICE_SETTINGS = 4
    SERVICE_RUNTIME = 5
