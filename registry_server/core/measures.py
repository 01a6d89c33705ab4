"""Counts the registry's work since its start; the metrics read these counts. Pure.

No decision depends on these counts, and keeping them never requires a pass over all services.
"""

from __future__ import annotations

from grid_model.event_types import EVENT_TYPES

from grid_hosting.telemetry.histogram import LONG, Histogram

OTHER = "other"
"""The label for all event types that TRON does not define, because the labels of metrics must have few values."""

BY_CLIENT = "client"
"""The label for streams that the client ended."""


class Measures:
    """Counts, by the values of their labels, and histograms of the times that alerts took."""

    def __init__(self) -> None:
        self.heartbeats = 0
        self.registrations = 0
        """Number of accepted registrations, including those that attach a service again."""
        self.streams_ended: dict[tuple[str, ...], int] = {}
        """Number of ended streams, by the reason in lower case; see BY_CLIENT."""
        self.events: dict[tuple[str, ...], int] = {(name,): 0 for name in (*EVENT_TYPES, OTHER)}
        """Number of events, by type."""
        self.copies_dropped = 0
        """Number of alert copies that were dropped, because the recipient's mailbox was full, its id was released, or
        it refuses the child."""
        self.delivered_after = Histogram(LONG)
        """Attentive seconds from the creation of a copy until it was written to its recipient's stream."""
        self.acknowledged_after = Histogram(LONG)
        """Attentive seconds from the creation of a copy until it was acknowledged."""

    def event(self, kind: str) -> None:
        """Count an event of the type `kind` that was appended to the event log."""
        self.events[(kind if kind in EVENT_TYPES else OTHER,)] += 1

    def stream_ended(self, reason: str) -> None:
        """Count a stream that ended. `reason` is the error reason for which the registry ended it; empty if the agent's
        side ended it."""
        label = (reason.removeprefix("ERROR_REASON_").lower() or BY_CLIENT,)
        self.streams_ended[label] = self.streams_ended.get(label, 0) + 1
