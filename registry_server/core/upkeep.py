"""The periodic work of the registry: ticks, and work over all services, which is done in parts. Pure; the loop and the
simulation run it."""

from __future__ import annotations

from collections.abc import Callable

from registry_server.core.attention import AttentiveClock
from registry_server.core.clock_steps import ClockSteps
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant

FIGURES_EVERY = 1.0
"""Seconds between two updates of the load figures that readers see, for services of which nothing else changed."""

SAVE_HEARTBEATS_EVERY = 10.0
"""Seconds between two rounds that store the times of the last heartbeats. A crash loses the newer times, which are only
shown; no verdict depends on them."""

SAVED_A_SECOND = 1000
"""Maximum number of services whose last heartbeat is stored per second. With more services, a round takes several
seconds: storing all rows of a large fleet at once would cost more than its heartbeats."""

SAVED_TOGETHER = 250
"""Number of these services that are stored at a time, before other work has its turn."""

OWNED_FOR = 30 * 86_400.0
"""Seconds for which the id of a removed service still belongs to its owner."""

COMPACT_EVERY = 600.0
"""Seconds between two checks for events that are older than the retention."""


class Upkeep:
    """The clocks of one registry, and its periodic work. `now`: seconds on the monotonic clock; `wall`: seconds since
    the epoch."""

    def __init__(self, registry: Registry, now: float, wall: float, *, compact_every: float = COMPACT_EVERY) -> None:
        self.clock = AttentiveClock(now)
        self._steps = ClockSteps(wall, now)
        self._registry = registry
        self._figures_at = self._heartbeats_at = self._compacted_at = now
        self._compact_every = compact_every
        self._saving = False
        """Whether a round that stores the times of heartbeats is in progress."""
        self._saved_at = now
        self._parts_left = 0

    def tick(self, now: float, wall: Callable[[], float]) -> float:
        """Handle a tick, after pending input was read. Return the length in seconds of a stall that ends with this
        tick; 0.0 if there was none."""
        stall = self.clock.tick(now)
        if stall:
            self._registry.withdraw_preauthorized()
        self._registry.tick(self.instant(now, wall()))
        return stall

    def instant(self, now: float, wall: float) -> Instant:
        """Return a moment on all clocks, from the readings of the monotonic clock (`now`) and of the wall clock."""
        return Instant(wall, self.clock.read(now), self._steps.read(wall, now))

    def parts(self, now: float) -> list[Callable[[], bool]]:
        """Return the functions that do the work that is due, each in parts. Call each function until it returns False,
        with time for other work between two calls."""
        due: list[Callable[[], bool]] = [self._registry.show_liveness]
        if now - self._figures_at >= FIGURES_EVERY:
            self._figures_at = now
            due.append(self._registry.publish_figures)
        if not self._saving and now - self._heartbeats_at >= SAVE_HEARTBEATS_EVERY:
            self._heartbeats_at, self._saving = now, True
        if self._saving and now - self._saved_at >= 1.0:
            self._saved_at, self._parts_left = now, SAVED_A_SECOND // SAVED_TOGETHER
            due.append(self._save_part)
        return due

    def _save_part(self) -> bool:
        self._saving = self._registry.save_heartbeats(SAVED_TOGETHER)
        self._parts_left -= 1
        return self._saving and self._parts_left > 0

    def compacts(self, now: float) -> bool:
        """Return whether it is time to check for events that are older than the retention."""
        due = now - self._compacted_at >= self._compact_every
        if due:
            self._compacted_at = now
        return due

    def oldest_kept(self, now: float, wall: float, retention: float) -> float:
        """Return the time, in seconds since the epoch, before which events are deleted. `retention` is in seconds.

        Steps by which the wall clock was set forward do not count: a clock that is wrong by a month for a minute
        deletes nothing.
        """
        return wall - max(0.0, self.instant(now, wall).set_by) - retention

    def release_owners(self, now: float, wall: float) -> None:
        """End the ownership of ids whose services were removed more than OWNED_FOR seconds ago."""
        self._registry.release_owners(self.oldest_kept(now, wall, OWNED_FOR), self.instant(now, wall))

    def streams_broke(self, broken: list[Record], now: Instant, monotonic: float) -> None:
        """Apply preauthorized suspicions to services whose streams broke, or whose programs crashed. After a stall,
        apply none of them, so that TRON decides about these services."""
        # After a stall it is unknown how long ago that was: TRON judges it, and takes the stall into account.
        if broken and not self.clock.lags(monotonic):
            self._registry.streams_broke(broken, now)
