"""Estimates the registry's clock in a client, so that ages and deadlines use the clock that set the timestamps.

The client's own clock may be wrong by hours. The registry's time arrives late, never early, so the answer with the
least delay is the most accurate. Decisions only; `now` is the client's monotonic clock in seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from grid_model.moments import later

SET_BACK = 1.0
"""An answer that is behind by more seconds than this was not delayed: the registry's clock was set back."""


class ServerClock:
    """Estimates the registry's time between two of its answers."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._heard = 0.0

    def observed(self, at: datetime | None, now: float) -> None:
        """Record that the registry's time was `at`; None from a registry that does not send its time."""
        if at is None:
            return
        known = self.now(now)
        if known is None or at > known or known - at > timedelta(seconds=SET_BACK):
            self._at, self._heard = at, now

    def now(self, now: float) -> datetime | None:
        """Return the registry's time; None if the registry never sent it."""
        return None if self._at is None else later(self._at, now - self._heard)
