"""The alert copies that wait for an acknowledgement, by severity, oldest first. Pure.

They are kept in the order in which they were created, so that the oldest is found without visiting all of them.
"""

from __future__ import annotations

from grid_model.event import Event, Severity


class Unacknowledged:
    """The number of waiting copies, and how long the oldest has been waiting."""

    def __init__(self) -> None:
        self._waiting: dict[Severity, dict[tuple[str, str], float]] = {severity: {} for severity in Severity}

    def put(self, event: Event) -> None:
        """Record that a copy waits for its recipient."""
        self._waiting[event.severity][event.alert_id, event.recipient] = event.occurred_at

    def remove(self, event: Event) -> None:
        """Record that a copy no longer waits."""
        self._waiting[event.severity].pop((event.alert_id, event.recipient), None)

    def counts(self) -> dict[tuple[str, ...], int]:
        """Return how many copies wait, by severity in lower case."""
        return {(severity.name.lower(),): len(copies) for severity, copies in self._waiting.items()}

    def ages(self, now: float) -> dict[tuple[str, ...], float]:
        """Return, for each severity, the age in seconds of the alert copy that has been waiting longest; 0 if none
        waits. `now` is in seconds since the epoch."""
        return {
            (severity.name.lower(),): max(0.0, now - next(iter(copies.values()))) if copies else 0.0
            for severity, copies in self._waiting.items()
        }
