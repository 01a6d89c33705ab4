"""The registry's clock, as a client knows it: ages and deadlines are computed by the clock that stamped them.

The client's own clock may be wrong by hours. What the registry says its time is arrives late, never early, so the least
delayed answer is the truest. Decisions only; `now` is the client's monotonic clock in seconds.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SET_BACK = 1.0
"""An answer that is behind by more seconds than this was not delayed: the registry's clock was set back."""


class ServerClock:
    """Tells the registry's time between two of its answers."""

    def __init__(self) -> None:
        self._at: datetime | None = None
        self._heard = 0.0

    def observed(self, at: datetime | None, now: float) -> None:
        """The registry said that its time was `at`; None for one that does not say it."""
        if at is None:
            return
        known = self.now(now)
        if known is None or at > known or known - at > timedelta(seconds=SET_BACK):
            self._at, self._heard = at, now

    def now(self, now: float) -> datetime | None:
        """The registry's time; None while it never said it."""
        return None if self._at is None else self._at + timedelta(seconds=now - self._heard)
