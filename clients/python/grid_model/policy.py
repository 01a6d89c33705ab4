"""The enums of TRON's monitoring policy; the numbers are those of the protobuf enums. TRON itself defines the
thresholds. This module does no I/O."""

from __future__ import annotations

from enum import IntEnum


class OrphanPolicy(IntEnum):
    """The action that a child should take when its parent is down."""

    KEEP = 1
    STOP = 2
    ADOPT = 3


class PolicySource(IntEnum):
    """The source of a threshold's value: the built-in default, the settings, or a change at run time, for all services
    or for one service."""

    BUILT_IN = 1
    SETTINGS = 2
    RUNTIME = 3
    SERVICE_SETTINGS = 4
    SERVICE_RUNTIME = 5
