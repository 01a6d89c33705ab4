"""The periodic work of the registry: ticks, and work over all services in parts. Pure; the loop and the simulation run
it."""

from __future__ import annotations

from collections.abc import Callable

from registry_server.core.attention import AttentiveClock
from registry_server.core.clock_steps import ClockSteps
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant

FIGURES_EVERY = 1.0
"""Seconds between two changes of a service that are nothing but load figures."""

SAVE_HEARTBEATS_EVERY = 10.0
"""Seconds of beats that a crash may lose; they are only shown, never judged by."""

SAVED_A_SECOND = 1000
"""Services whose last heartbeat is stored within a second, at most. With more than that a round takes several seconds:
to store all rows of a large fleet in one go costs more than its heartbeats."""

SAVED_TOGETHER = 250
"""Of these, the ones that are stored before other work has its turn."""

OWNED_FOR = 30 * 86_400.0
"""Seconds for which the id of a removed service still belongs to its owner."""

COMPACT_EVERY = 600.0
"""Seconds between two looks for events that are older than is kept."""


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
        """Whether a round over the heartbeats to store is under way."""
        self._saved_at = now
        self._parts_left = 0

    def tick(self, now: float, wall: Callable[[], float]) -> float:
        """Handle a tick, after earlier input was read. Return the seconds of a stall that ended here, else 0.0."""
        stall = self.clock.tick(now)
        if stall:
            self._registry.withdraw_preauthorized()
        self._registry.tick(self.instant(now, wall()))
        return stall

    def instant(self, now: float, wall: float) -> Instant:
        """Return a moment on all clocks, from the monotonic one and the wall clock."""
        return Instant(wall, self.clock.read(now), self._steps.read(wall, now))

    def parts(self, now: float) -> list[Callable[[], bool]]:
        """Return the parts of the work that is due. Call each until it returns False, with time for other work in
        between."""
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
        """Return whether to look for events that are older than the retention."""
        due = now - self._compacted_at >= self._compact_every
        if due:
            self._compacted_at = now
        return due

    def oldest_kept(self, now: float, wall: float, retention: float) -> float:
        """Return the moment, in seconds since the epoch, before which events are deleted.

        By the clock as it was before it was set forward: a clock that is wrong by a month for a minute deletes nothing.
        """
        return wall - max(0.0, self.instant(now, wall).set_by) - retention

    def release_owners(self, now: float, wall: float) -> None:
        """End the ownership of ids whose services were removed long ago."""
        self._registry.release_owners(self.oldest_kept(now, wall, OWNED_FOR), self.instant(now, wall))

    def streams_broke(self, broken: list[Record], now: Instant, monotonic: float) -> None:
        """Handle services whose streams broke, or whose programs crashed."""
        # After a stall it is unknown how long ago that was: TRON judges it, and takes the stall into account.
        if broken and not self.clock.lags(monotonic):
            self._registry.streams_broke(broken, now)
