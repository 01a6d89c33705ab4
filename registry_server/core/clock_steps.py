"""Measures by how much the wall clock was set since the start. Pure: the readings of both clocks are arguments.

Deadlines use the attentive clock, so setting the wall clock moves none of them. Only the times that agents send, such
as the end of a busy period, need this measurement: an agent reads the registry's wall clock once, in the answer to its
registration, and does not notice when that clock is set later.
"""

from __future__ import annotations

SET = 1.0
"""Seconds by which the wall clock must move relative to the monotonic clock to count as set; slow drift counts once it
has added up to this."""


class ClockSteps:
    """Adds up the steps by which the wall clock was set."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._ahead = wall - monotonic
        self._total = 0.0

    def read(self, wall: float, monotonic: float) -> float:
        """Return by how many seconds the wall clock has been set forward since the start, in total; negative if it was
        set back. The arguments are the current readings of both clocks, in seconds."""
        step = wall - monotonic - self._ahead
        if abs(step) >= SET:
            self._ahead += step
            self._total += step
        return self._total


def seconds_until(moment: float, wall: float, set_since: float) -> float:
    """Return the seconds until `moment`, a time that an agent sent, in seconds since the epoch; 0.0 if it has passed.

    `wall` is the registry's wall clock now; `set_since` is the number of seconds by which that clock was set since the
    agent read it. The agent may have computed `moment` from that reading, or from an accurate clock of its own. So
    there are two possible results, and the smaller one that is not negative is returned: a clock that was wrong by an
    hour must not exempt a service from its deadlines for an hour.
    """
    by_this_clock = moment - wall
    left = [each for each in (by_this_clock, by_this_clock + set_since) if each >= 0.0]
    return min(left, default=0.0)
