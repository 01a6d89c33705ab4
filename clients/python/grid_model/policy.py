"""The enums of a monitoring policy, with the numbers of the wire. Pure. TRON defines the thresholds themselves."""

from __future__ import annotations

from enum import IntEnum


class OrphanPolicy(IntEnum):
    """The action that a child should take when its parent is down."""

    KEEP = 1
    STOP = 2
    ADOPT = 3


class PolicySource(IntEnum):
    """The place from which a threshold takes its value."""

    BUILT_IN = 1
    SETTINGS = 2
    RUNTIME = 3
    SERVICE_SETTINGS = 4
    SERVICE_RUNTIME = 5
