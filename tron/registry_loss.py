"""Decides when operators are notified that the registry does not answer: one report for each loss. Pure.

A planned restart causes no report: a registry that announced that it is draining gets `after_drain` seconds to come
back, one that disappeared without notice gets `after`. The longer time also applies from TRON's own start, because both
programs are often started together. In any case, a registry that does not answer for `after_drain` seconds is reported.
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
        """The seconds since the registry last answered, or since the start."""
        return self._silent_for

    def answered(self) -> float | None:
        """Record that the registry answered. If its loss was reported, return for how many seconds it did not answer,
        else None."""
        away = self._silent_for if self._reported else None
        self._patience, self._silent_for, self._reported = self._after, 0.0, False
        return away

    def draining(self) -> None:
        """Record that the registry announced that it is draining."""
        self._patience = self._after_drain

    def passed(self, seconds: float) -> float | None:
        """Add seconds in which the registry did not answer although TRON was able to receive an answer. If operators
        must be notified now (once for each loss), return for how many seconds the registry has not answered, else
        None."""
        self._silent_for += seconds
        if self._reported or self._silent_for < self._patience:
            return None
        self._reported = True
        return self._silent_for
