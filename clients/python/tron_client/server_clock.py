"""Estimates the registry's clock in a client, so that ages and deadlines are computed by the clock that set the
timestamps.

The client's own clock may be wrong by hours. The registry's time arrives late, never early, so the answer with the
least delay is the most accurate. This module does no I/O; `now` is the client's monotonic clock in seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from grid_model.moments import later

SET_BACK = 1.0
"""If the time in an answer is earlier than the estimate by more than this many seconds, the registry's clock was set
back; a smaller difference is a delay of the answer."""


class ServerClock:
    """Estimates the present time of the registry's clock, from the times in the registry's answers."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._heard = 0.0

    def observed(self, at: datetime | None, now: float) -> None:
        """Record the registry's time `at`, which arrived at `now`; `at` is None if the registry does not send its
        time."""
        if at is None:
            return
        known = self.now(now)
        if known is None or at > known or known - at > timedelta(seconds=SET_BACK):
            self._at, self._heard = at, now

    def now(self, now: float) -> datetime | None:
        """Return the estimated time of the registry at `now`; None if the registry never sent its time."""
        return None if self._at is None else later(self._at, now - self._heard)
