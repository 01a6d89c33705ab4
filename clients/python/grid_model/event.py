"""How much an event matters, and its recipient beside services. Pure."""

from __future__ import annotations

from enum import IntEnum

OPERATORS = "operators"
"""The recipient that means the people in charge; no service may have this id. TRON takes these alerts, hands them to
its sinks, and acknowledges them."""


class Severity(IntEnum):
    """How much an event matters; the numbers of the wire. A CRITICAL one needs an action, so it escalates."""

    INFO = 1
    WARNING = 2
    CRITICAL = 3
