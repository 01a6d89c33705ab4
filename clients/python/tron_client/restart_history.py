"""How often and how eagerly something is restarted: a supervised child, or a program under `tron run`. Decisions only.

All times are seconds on one monotonic clock, handed in as `now`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestartLimits:
    """How often and how eagerly a child is restarted. Times are seconds."""

    max_restarts: int = 3
    """So many restarts within `window`; the failure after that is escalated."""
    window: float = 300.0
    """The window in which restarts are counted."""
    first_delay: float = 1.0
    """The first restart within the window comes at once, the second this long after the first one ended, then doubling:
    a child that fails at once must not be started in a tight loop."""
    longest_delay: float = 30.0
    restart_timeout: float = 20.0
    """How long a restart may take until the child is alive. Above what the child needs to start, and well below the
    policy's `escalate_after`, or alerts escalate while they are being handled."""
    concurrency: int = 4
    """How many children are restarted at a time, and how many escalated; further ones wait."""

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a limit that cannot be meant."""
        for name in ("max_restarts", "concurrency"):
            if not getattr(self, name) >= 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("window", "restart_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive")
        if not 0 <= self.first_delay <= self.longest_delay:
            raise ValueError("first_delay must be between 0 and longest_delay")


class RestartHistory:
    """The restarts of one program that still count."""

    def __init__(self, limits: RestartLimits) -> None:
        self._limits = limits
        self._started: list[float] = []
        self._ended = float("-inf")
        self.incident = ""
        """The alert with which the trouble began; empty where no restart counts."""

    def count(self, now: float) -> int:
        """How many restarts count."""
        self._started = [at for at in self._started if now - at < self._limits.window]
        if not self._started:
            self.incident = ""
        return len(self._started)

    def next_start(self, now: float) -> float | None:
        """When the next restart may begin, now at the earliest; None if there were enough of them."""
        count = self.count(now)
        if count >= self._limits.max_restarts:
            return None
        if not count:
            return now
        # The exponent is bounded because a float overflows after some thousand restarts.
        delay = min(self._limits.first_delay * 2.0 ** min(count - 1, 32), self._limits.longest_delay)
        return max(now, self._ended + delay)

    def started(self, at: float, incident: str) -> None:
        """A restart began."""
        self._started.append(at)
        self._ended = max(self._ended, at)
        self.incident = self.incident or incident

    def ended(self, now: float) -> None:
        """The restart that ran is over."""
        self._ended = now

    def undo(self) -> None:
        """The restart that began last was not needed, so it does not count."""
        if self._started:
            self._started.pop()
