"""Counts the registry's work since its start; its metrics read these counts. Pure.

No decision depends on these counts, and no count visits each service.
"""

from __future__ import annotations

from grid_model.event_types import EVENT_TYPES

from grid_hosting.telemetry.histogram import LONG, Histogram

OTHER = "other"
"""In place of a type of event that agents made up: metrics have labels with few values."""

BY_CLIENT = "client"
"""The reason of a stream that the other side ended."""


class Measures:
    """Counts by the values of labels, and how long alerts took."""

    def __init__(self) -> None:
        self.heartbeats = 0
        self.registrations = 0
        """Those that were accepted, attaching again included."""
        self.streams_ended: dict[tuple[str, ...], int] = {}
        """By the reason, lower case; see BY_CLIENT."""
        self.events: dict[tuple[str, ...], int] = {(name,): 0 for name in (*EVENT_TYPES, OTHER)}
        """By type."""
        self.copies_dropped = 0
        """Copies of alerts that had to make room in a full mailbox."""
        self.delivered_after = Histogram(LONG)
        """Attentive seconds until a copy was written to its recipient's stream."""
        self.acknowledged_after = Histogram(LONG)
        """Attentive seconds until a copy was acknowledged."""

    def event(self, kind: str) -> None:
        """Count an event that was appended to the event log."""
        self.events[(kind if kind in EVENT_TYPES else OTHER,)] += 1

    def stream_ended(self, reason: str) -> None:
        """Count a stream that ended; `reason`: the error reason for which the registry ended it, empty if the agent's
        side did."""
        label = (reason.removeprefix("ERROR_REASON_").lower() or BY_CLIENT,)
        self.streams_ended[label] = self.streams_ended.get(label, 0) + 1
