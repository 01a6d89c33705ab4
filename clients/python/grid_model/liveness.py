"""The liveness of a service as TRON evaluates it, and the cause. The numbers are those of the protobuf enums. This
module does no I/O."""

from __future__ import annotations

from enum import IntEnum


class Liveness(IntEnum):
    """TRON's verdict about a service. UNKNOWN is shown to readers while liveness is not being evaluated."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3
    UNKNOWN = 4


class LivenessCause(IntEnum):
    """The reason why a service is SUSPECT or DOWN."""

    NONE = 0
    DISCONNECTED = 1
    SILENT = 2
    STALLED = 3
