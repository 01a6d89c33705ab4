"""Limits how often and how fast a program is restarted: a supervised child, or a program under `tron run`. This module
does no I/O.

All times are seconds on one monotonic clock, passed in as `now`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """How often, and how fast, a child may be restarted. Times are in seconds."""

    max_restarts: int = 3
    """At most this many restarts within `window`; the next failure is escalated."""
    window: float = 300.0
    """The length of the window in which restarts are counted, in seconds."""
    first_delay: float = 1.0
    """The first restart within the window begins at once, the second this many seconds after the first one ended, and
    each further delay is twice as long, so that a child that fails at once is not restarted in a tight loop."""
    longest_delay: float = 30.0
    restart_timeout: float = 20.0
    """How long a restart may take until the child is alive, in seconds. Must be longer than the child needs to start,
    and well below the policy's `escalate_after`, or alerts escalate during the restart."""
    concurrency: int = 4
    """How many children are restarted at the same time, and how many failures are escalated at the same time; the
    others wait."""

    def __post_init__(self) -> None:
        """Raise ValueError, with the name of the field, for an invalid limit."""
        for name in ("max_restarts", "concurrency"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("window", "restart_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive")
        if not 0 <= self.first_delay <= self.longest_delay:
            raise ValueError("first_delay must be between 0 and longest_delay")


class RestartHistory:
    """The restarts of one program that count towards the limit: those that began within the last `window` seconds."""

    def __init__(self, limits: RestartLimits) -> None:
        self._limits = limits
        self._started: list[float] = []
        self._ended = float("-inf")
        self.incident = ""
        """The alert_id of the alert with which this series of failures began; empty while no restart counts."""

    def count(self, now: float) -> int:
        """Return the number of restarts within the window that ends at `now`."""
        self._started = [at for at in self._started if now - at < self._limits.window]
        if not self._started:
            self.incident = ""
        return len(self._started)

    def next_start(self, now: float) -> float | None:
        """Return the time at which the next restart may begin, `now` or later; None if the limit is reached."""
        count = self.count(now)
        if count >= self._limits.max_restarts:
            return None
        if not count:
            return now
        # The exponent is bounded because a float overflows after some thousand restarts.
        delay = min(self._limits.first_delay * 2.0 ** min(count - 1, 32), self._limits.longest_delay)
        return max(now, self._ended + delay)

    def started(self, at: float, incident: str) -> None:
        """Record that a restart began at the time `at`. `incident` is stored only if no earlier restart counts."""
        self._started.append(at)
        self._ended = max(self._ended, at)
        self.incident = self.incident or incident

    def ended(self, now: float) -> None:
        """Record that the current restart ended."""
        self._ended = now

    def undo(self) -> None:
        """Remove the last restart from the count, because it was not needed."""
        if self._started:
            self._started.pop()
