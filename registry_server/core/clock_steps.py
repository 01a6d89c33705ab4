"""By how much the wall clock was set since the start. Pure: both clocks are arguments.

Deadlines run on the attentive clock, so a wall clock that is set moves none of them. Only moments that agents name by
the registry's wall clock need this: an agent learns that clock from the answer to its registration, and not later.
"""

from __future__ import annotations

SET = 1.0
"""Seconds by which the wall clock must move against the monotonic one to count as set; slower drift adds up to it."""


class ClockSteps:
    """Sums up the steps of a wall clock."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._ahead = wall - monotonic
        self._total = 0.0

    def read(self, wall: float, monotonic: float) -> float:
        """Return the seconds by which it was set forward in all, negative if back, up to this moment."""
        step = wall - monotonic - self._ahead
        if abs(step) >= SET:
            self._ahead += step
            self._total += step
        return self._total


def seconds_until(moment: float, wall: float, set_since: float) -> float:
    """Return the seconds until a moment that an agent named; 0.0 if it is over.

    `set_since`: by how much the clock was set since the agent learned it. An agent that computes by what it learned
    means the clock as it was; one that has a good clock of its own means the clock as it is. The sooner of the two that
    is not over holds: a service is not exempt for an hour because a clock was wrong by one.
    """
    by_this_clock = moment - wall
    left = [each for each in (by_this_clock, by_this_clock + set_since) if each >= 0.0]
    return min(left, default=0.0)
