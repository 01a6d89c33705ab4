"""A metric: its name, its description, and the function that reads its value on request. Pure.

Names follow Prometheus' guide: base units (seconds, bytes), `_total` for values that only grow. Labels have few values,
which are known beforehand, and never the id of a service, which clients choose freely.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from grid_hosting.telemetry.histogram import Bins, Histogram


class Kind(Enum):
    """How a value behaves over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a metric, and the values of its labels in their order."""

    value: float | Bins
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `read` returns its values; it is called on the event loop of the program, so it must be fast."""

    name: str
    kind: Kind
    text: str
    read: Callable[[], Iterable[Point]]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The values of a metric at one moment."""

    metric: Metric
    points: tuple[Point, ...]


Counts = Mapping[tuple[str, ...], float]
"""The values of a metric, by the values of their labels."""


def counter(name: str, text: str, read: Callable[[], float]) -> Metric:
    """Return a metric whose value only grows."""
    return Metric(name, Kind.COUNTER, text, lambda: (Point(read()),))


def counters(name: str, text: str, labels: tuple[str, ...], read: Callable[[], Counts]) -> Metric:
    """Return a metric with several values that only grow."""
    return Metric(name, Kind.COUNTER, text, lambda: _points(read()), labels)


def gauge(name: str, text: str, read: Callable[[], float | None]) -> Metric:
    """Return a metric with a current value; None means that there is no value now."""

    def points() -> tuple[Point, ...]:
        value = read()
        return () if value is None else (Point(value),)

    return Metric(name, Kind.GAUGE, text, points)


def gauges(name: str, text: str, labels: tuple[str, ...], read: Callable[[], Counts]) -> Metric:
    """Return a metric with several current values."""
    return Metric(name, Kind.GAUGE, text, lambda: _points(read()), labels)


def histogram(name: str, text: str, read: Callable[[], Histogram]) -> Metric:
    """Return a metric that counts measured values by size."""
    return Metric(name, Kind.HISTOGRAM, text, lambda: (Point(read().bins()),))


def _points(counts: Counts) -> Iterable[Point]:
    return [Point(value, labels) for labels, value in counts.items()]
