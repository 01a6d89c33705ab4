"""Tracks whether the replica follows the registry now, for how long it has not, and the registry's time. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tron_client.server_clock import ServerClock

PULSE_LOST = 3.0
"""Seconds without a message on the watch, which brings one a second, until the copy no longer counts as live."""


class Freshness:
    """The state of the watch. `monotonic` is the clock, in seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._following = False
        self._current_at: float | None = None
        self._started_at = monotonic()
        self._registry_clock = ServerClock()

    # --- what the watch delivers------------------------------------------------------------------------------------

    @property
    def following(self) -> bool:
        """Whether the watch is open and has caught up."""
        return self._following

    def caught_up(self) -> None:
        """Record that the watch has caught up; from now on it delivers changes as they happen."""
        self._following = True

    def heard(self) -> None:
        """Record that a message arrived on the watch."""
        if self._following:
            self._current_at = self._monotonic()

    def lost(self) -> None:
        """Record that the watch broke."""
        self._following = False

    def observed(self, at: datetime) -> None:
        """Record the time that the registry sent."""
        self._registry_clock.observed(at, self._monotonic())

    # --- readers ----------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the replica follows the registry now."""
        at = self._current_at
        return self._following and at is not None and self._monotonic() - at < PULSE_LOST

    @property
    def stale_for(self) -> float:
        """The seconds since the replica was last known to be current; 0 while it is live."""
        if self.live:
            return 0.0
        return self._monotonic() - (self._started_at if self._current_at is None else self._current_at)

    def now(self) -> datetime:
        """Return the registry's time, which all timestamps of the replica use; the gateway's own clock may differ."""
        return self._registry_clock.now(self._monotonic()) or datetime.now(UTC)
