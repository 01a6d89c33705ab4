"""Tracks whether the replica is current, how long ago it was last current, and the time by the registry's clock.
Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from tron_client.server_clock import ServerClock

PULSE_LOST = 3.0
"""Seconds without a message on the watch after which the replica no longer counts as current. The watch delivers at
least one message a second."""


class Freshness:
    """The state of the gateway's watch of the registry. `monotonic`: a clock that returns seconds."""

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
        """Record that the watch has delivered all past changes; from now on it delivers changes as they happen."""
        self._following = True

    def heard(self) -> None:
        """Record that a message arrived on the watch now."""
        if self._following:
            self._current_at = self._monotonic()

    def lost(self) -> None:
        """Record that the watch of the registry was interrupted."""
        self._following = False

    def observed(self, at: datetime) -> None:
        """Record the registry's time, which a message on the watch contained."""
        self._registry_clock.observed(at, self._monotonic())

    # --- readers ----------------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the replica is current: the watch is open, has caught up, and delivered a message recently."""
        at = self._current_at
        return self._following and at is not None and self._monotonic() - at < PULSE_LOST

    @property
    def stale_for(self) -> float:
        """The seconds since the replica was last known to be current; 0 if it is current now."""
        if self.live:
            return 0.0
        return self._monotonic() - (self._started_at if self._current_at is None else self._current_at)

    def now(self) -> datetime:
        """Return the current time by the registry's clock, which set all timestamps of the replica; the gateway's own
        clock may differ."""
        return self._registry_clock.now(self._monotonic()) or datetime.now(UTC)
