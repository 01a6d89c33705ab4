"""What an agent says about itself with each beat. Decisions only: no clock, no locks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tron_client.server_clock import ServerClock

_MAX_ACTIVITY = 2**63 - 1

OK = "ok"
"""The status that needs no attention."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Status and load, checked. None: not given."""

    status: str | None = None
    p95_ms: float | None = None
    queue_depth: int | None = None
    load: float | None = None
    message: str | None = None
    progress: float | None = None

    def onto(self, older: Figures) -> Figures:
        """These figures, with the older ones in place of those that are not given."""
        return Figures(
            older.status if self.status is None else self.status,
            older.p95_ms if self.p95_ms is None else self.p95_ms,
            older.queue_depth if self.queue_depth is None else self.queue_depth,
            older.load if self.load is None else self.load,
            older.message if self.message is None else self.message,
            older.progress if self.progress is None else self.progress,
        )


class Report:
    """The newest figures. Each beat carries all of them, so that a lost beat loses nothing."""

    def __init__(self, status: str) -> None:
        self.figures = Figures(status=status)
        self.activity: int | None = None
        """The activity counter; None while the program has not raised it."""
        self.urgent = status != OK
        """Whether something that should be sent at once has not been in a beat yet."""
        self._registry_clock = ServerClock()
        # The end of the announced work: by our monotonic clock, by our wall clock, and by the registry's clock once
        # that is known.
        self._busy_end: float | None = None
        self._busy_end_here: datetime | None = None
        self._busy_until: datetime | None = None

    def keep(self, figures: Figures, busy_for: float | None, now: float, wall: datetime) -> bool:
        """Keep what is given; returns whether it should be sent at once. `wall` is the time of our own wall clock."""
        before, self.figures = self.figures, figures.onto(self.figures)
        changed = self.figures.status != before.status or (self.figures.message or "") != (before.message or "")
        self.urgent = self.urgent or changed
        if busy_for is not None:
            self._busy_end, self._busy_until = now + busy_for, None
            self._busy_end_here = wall + timedelta(seconds=busy_for)
        return changed

    def advance(self, steps: int) -> None:
        """Raise the activity counter; after the largest number that a beat can carry it begins again."""
        self.activity = ((self.activity or 0) + steps) & _MAX_ACTIVITY

    def registry_time(self, observed_at: datetime | None, now: float) -> None:
        """The registry said that its time is `observed_at`; None from one that does not say it."""
        self._registry_clock.observed(observed_at, now)

    def stream_broke(self) -> None:
        """Whether the last beat arrived is unknown, so a status that is not ok is sent at once on the next stream."""
        self.urgent = self.urgent or self.figures.status != OK

    def busy_until(self, now: float) -> datetime | None:
        """The end of the announced work by the registry's clock, or by ours if that is unknown; None without one.

        It is the same in each beat, because another value would be a new announcement.
        """
        if self._busy_until is None and self._busy_end is not None:
            there = self._registry_clock.now(now)
            left = timedelta(seconds=self._busy_end - now)
            self._busy_until = self._busy_end_here if there is None else there + left
        return self._busy_until
