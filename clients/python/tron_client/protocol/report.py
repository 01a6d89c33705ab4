"""The values that an agent reports about itself with each heartbeat. This module reads no clock and takes no locks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from grid_model.moments import later

from tron_client.server_clock import ServerClock

_MAX_ACTIVITY = 2**63 - 1

OK = "ok"
"""The status that needs no attention."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The status and load that a program reported, after they were checked. None means that the program did not report
    this value."""

    status: str | None = None
    p95_ms: float | None = None
    queue_depth: int | None = None
    load: float | None = None
    message: str | None = None
    progress: float | None = None

    def onto(self, older: Figures) -> Figures:
        """Return these figures, with each missing value taken from `older`."""
        return Figures(
            older.status if self.status is None else self.status,
            older.p95_ms if self.p95_ms is None else self.p95_ms,
            older.queue_depth if self.queue_depth is None else self.queue_depth,
            older.load if self.load is None else self.load,
            older.message if self.message is None else self.message,
            older.progress if self.progress is None else self.progress,
        )


class Report:
    """The newest figures. Each heartbeat carries all of them, so that a lost heartbeat loses no value."""

    def __init__(self, status: str) -> None:
        self.figures = Figures(status=status)
        self.activity: int | None = None
        """The activity counter; None while the program has not raised it."""
        self.urgent = status != OK
        """Whether a change that should be sent at once has not been sent in a heartbeat yet."""
        self._registry_clock = ServerClock()
        # The end of the announced work: by our monotonic clock, by our wall clock, and by the registry's clock once
        # that is known.
        self._busy_end: float | None = None
        self._busy_end_here: datetime | None = None
        self._busy_until: datetime | None = None

    def keep(self, figures: Figures, busy_for: float | None, now: float, wall: datetime) -> bool:
        """Store the reported values for the next heartbeats; return whether they should be sent at once. `wall` is the
        time of the agent's wall clock."""
        before, self.figures = self.figures, figures.onto(self.figures)
        changed = self.figures.status != before.status or (self.figures.message or "") != (before.message or "")
        self.urgent = self.urgent or changed
        if busy_for is not None:
            self._busy_end, self._busy_until = now + busy_for, None
            self._busy_end_here = later(wall, busy_for)
        return changed

    def advance(self, steps: int) -> None:
        """Raise the activity counter by `steps`; after the largest number that a beat can carry, it starts again at
        0."""
        self.activity = ((self.activity or 0) + steps) & _MAX_ACTIVITY

    def registry_time(self, observed_at: datetime | None, now: float) -> None:
        """Record that the registry's clock showed `observed_at` at the time `now`; `observed_at` is None if the
        registry does not send its time."""
        self._registry_clock.observed(observed_at, now)

    def stream_broke(self) -> None:
        """Record that the stream broke: a status other than ok is then sent at once on the next stream, because the
        last heartbeat may not have arrived."""
        self.urgent = self.urgent or self.figures.status != OK

    def busy_until(self, now: float) -> datetime | None:
        """Return the time at which the busy time ends: by the registry's clock, or by the agent's clock while the
        registry's clock is unknown. Return None if the agent did not declare itself busy.

        Every heartbeat carries the same time, because the registry regards a changed time as a new declaration.
        """
        if self._busy_until is None and self._busy_end is not None:
            there = self._registry_clock.now(now)
            self._busy_until = self._busy_end_here if there is None else later(there, self._busy_end - now)
        return self._busy_until
