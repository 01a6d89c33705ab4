"""The attentive clock: silence counts only while the registry was demonstrably able to receive heartbeats.

A process that was stopped, starved or swapped out for a minute did not observe a minute of silence; it observed
nothing. So deadlines do not use the monotonic clock, but the part of its time during which this process kept ticking.
"""

from __future__ import annotations

TICK = 0.1
"""Seconds between two ticks."""

STALL = 1.0
"""A gap between two ticks that is longer than this many seconds is a stall: clients may have given us up meanwhile."""


WITHHELD = 60.0
"""Seconds withheld in one sequence of late ticks after which a tick adds up to STALL: what is always slow reads all the
while, and deaths must be found there too."""

WITHHELD_AT_ONCE = 5.0
"""Seconds that one late tick adds to that at most: nothing is read while the process is stopped."""

RECOVERED_AFTER = 15.0
"""Attentive seconds without a late tick that end a sequence of them."""


class AttentiveClock:
    """Counts attentive seconds from monotonic readings: each tick adds at most two ticks, or more if all ticks have
    been late for long."""

    def __init__(self, now: float, tick: float = TICK, stall: float = STALL) -> None:
        self._cap = 2 * tick
        self._stall = stall
        self._last = now
        self._time = 0.0
        self._withheld = 0.0
        self._late_at = 0.0
        self.hearing_since = 0.0
        """The attentive time since which there was no stall."""

    def tick(self, now: float) -> float:
        """Advance to the monotonic `now`, after pending input was read. Return the length of a stall that ended here,
        or 0.0."""
        gap = max(0.0, now - self._last)
        counted = min(gap, self._most)
        self._time += counted
        self._last = now
        if gap > self._cap:
            self._withheld += min(gap - counted, WITHHELD_AT_ONCE)
            self._late_at = self._time
        elif self._time - self._late_at > RECOVERED_AFTER:
            self._withheld = 0.0
        if gap <= self._stall:
            return 0.0
        self.hearing_since = self._time
        return gap

    def read(self, now: float) -> float:
        """Return the attentive seconds at the monotonic `now`, without advancing. The result never decreases, and never
        passes the next tick."""
        return self._time + min(max(0.0, now - self._last), self._most)

    @property
    def _most(self) -> float:
        """Return the most that the next tick may add."""
        return self._cap if self._withheld < WITHHELD else self._stall

    def lags(self, now: float) -> bool:
        """Return whether more than two tick lengths have passed without a tick, so that input that is read now may be
        old."""
        return now - self._last > self._cap

    def hears_since(self, now: float) -> float:
        """Return the attentive time since which there was no stall, including a stall that is about to be noticed."""
        return self.read(now) if now - self._last > self._stall else self.hearing_since
