"""Counts measured values by size: adding one takes less than a microsecond, and the memory is fixed. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

SHORT = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Bounds, in seconds, for work that takes milliseconds: a turn of the event loop, a commit."""

LONG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
"""Bounds, in seconds, for what may take longer because others are involved: the delivery of an alert, for example."""


@dataclass(frozen=True, slots=True)
class Bins:
    """A histogram at one moment. `counts` has one more element than `bounds`, for values above the last bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """The sum of all values."""


class Histogram:
    """Counts of values in bins. A value that equals a bound belongs to the bin that ends there. `bounds` must
    increase."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def bins(self) -> Bins:
        """Return the counts so far."""
        return Bins(self._bounds, tuple(self._counts), self._total)
