"""The attentive clock: silence counts only while the registry was demonstrably able to receive heartbeats.

A process that was stopped, starved or swapped out for a minute did not observe a minute of silence; it observed
nothing. So deadlines do not use the monotonic clock, but the part of its time during which this process kept ticking.
"""

from __future__ import annotations

TICK = 0.1
"""Seconds between two ticks."""

STALL = 1.0
"""A gap of more than this many seconds between two ticks is a stall: clients may have closed their streams
meanwhile."""


WITHHELD = 60.0
"""Maximum seconds that are withheld in one sequence of late ticks. After that, each tick may add up to STALL seconds: a
process that is always slow still reads its input, and failures must be detected there too."""

WITHHELD_AT_ONCE = 5.0
"""Maximum seconds that one late tick adds towards WITHHELD, because a process that was stopped has read nothing
meanwhile."""

RECOVERED_AFTER = 15.0
"""Attentive seconds without a late tick after which a sequence of late ticks is over."""


class AttentiveClock:
    """Counts attentive seconds from readings of the monotonic clock. Each tick adds the time since the previous tick,
    but at most the length of two ticks. If a sequence of late ticks has lost WITHHELD seconds in this way, each tick
    adds up to `stall` seconds instead."""

    def __init__(self, now: float, tick: float = TICK, stall: float = STALL) -> None:
        self._cap = 2 * tick
        self._stall = stall
        self._last = now
        self._time = 0.0
        self._withheld = 0.0
        self._late_at = 0.0
        self.hearing_since = 0.0
        """The attentive time at which the last stall ended; 0.0 if there was none."""

    def tick(self, now: float) -> float:
        """Advance the clock to `now` (monotonic seconds), after pending input was read. Return the length in seconds of
        a stall that ends with this tick; 0.0 if there was none."""
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
        """Return the attentive time at `now` (monotonic seconds), without advancing the clock. The result never
        decreases, and is never later than the attentive time that the next tick will set."""
        return self._time + min(max(0.0, now - self._last), self._most)

    @property
    def _most(self) -> float:
        """Return the maximum seconds that the next tick may add."""
        return self._cap if self._withheld < WITHHELD else self._stall

    def lags(self, now: float) -> bool:
        """Return whether more than two tick lengths have passed without a tick, so that input that is read now may be
        old."""
        return now - self._last > self._cap

    def hears_since(self, now: float) -> float:
        """Return the attentive time at which the last stall ended. During a stall that no tick has noticed yet, this is
        the current time."""
        return self.read(now) if now - self._last > self._stall else self.hearing_since
