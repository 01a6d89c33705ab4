"""What TRON thinks of a service, and why; the numbers of the wire. Pure."""

from __future__ import annotations

from enum import IntEnum


class Liveness(IntEnum):
    """What a service is judged. UNKNOWN is what readers are shown while nobody judges."""

    ALIVE = 1
    SUSPECT = 2
    DOWN = 3
    UNKNOWN = 4


class LivenessCause(IntEnum):
    """Why a service is suspected or down."""

    NONE = 0
    DISCONNECTED = 1
    SILENT = 2
    STALLED = 3
