"""When operators are notified that the registry does not answer. Pure: time comes in, one report of each loss goes
out.

A planned restart is no incident: a registry that said that it is draining gets `after_drain` seconds to come back, one
that went without notice gets `after`. The longer time holds from TRON's own start, too, because the two are often
started together. Whatever happens in between, a registry that is not heard for `after_drain` seconds is reported.
"""

from __future__ import annotations

LOST_AFTER = 5.0
LOST_AFTER_DRAIN = 20.0


class RegistryLoss:
    """Counts the seconds since the registry last answered."""

    def __init__(self, after: float = LOST_AFTER, after_drain: float = LOST_AFTER_DRAIN) -> None:
        self._after = after
        self._after_drain = max(after, after_drain)
        self._patience = self._after_drain
        self._silent_for = 0.0
        self._reported = False

    @property
    def silent_for(self) -> float:
        """Seconds since the registry last answered, or since the start."""
        return self._silent_for

    def answered(self) -> float | None:
        """The registry answered. Return how long it was away (seconds) if that was reported, else None."""
        away = self._silent_for if self._reported else None
        self._patience, self._silent_for, self._reported = self._after, 0.0, False
        return away

    def draining(self) -> None:
        """The registry said that it is going away."""
        self._patience = self._after_drain

    def passed(self, seconds: float) -> float | None:
        """Time passed in which the registry could have answered. Return for how long it has not answered if
        operators must be notified now: once for each loss."""
        self._silent_for += seconds
        if self._reported or self._silent_for < self._patience:
            return None
        self._reported = True
        return self._silent_for
