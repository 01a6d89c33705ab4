"""Remembers what a session has reported, so that each thing is reported once."""

from __future__ import annotations

MOST_REASONS = 20
"""Different reasons, why an agent is not registered, that are reported between two registrations."""

MOST_FIELDS = 100
"""Fields whose rejection is reported."""


class ReportedOnce:
    """The things that were reported. After `most` of them, nothing more is reported."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._reported: set[str] = set()

    def add(self, what: str) -> bool:
        """Record that this is being reported now; return False if it was reported before, or after too many others."""
        if what in self._reported or len(self._reported) >= self._most:
            return False
        self._reported.add(what)
        return True

    def clear(self) -> None:
        """Forget everything: each thing may be reported again."""
        self._reported.clear()
