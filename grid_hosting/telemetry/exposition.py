"""Formats the values of metrics, and the system's data about the process, as text for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from grid_hosting.telemetry.histogram import Bins
from grid_hosting.telemetry.metrics import Kind, Reading

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


def page_of(read: Callable[[], list[Reading]]) -> CollectorRegistry:
    """Return the metrics page of one program. `read` is called for each request, in the thread that handles the
    request."""
    page = CollectorRegistry()
    page.register(_Readings(read))
    ProcessCollector(registry=page)
    return page


def render(page: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the page and its media type, in the format that the Accept header of a request prefers."""
    encode, content_type = choose_encoder(accept)
    return encode(page), content_type


class _Readings(Collector):
    def __init__(self, read: Callable[[], list[Reading]]) -> None:
        self._read = read

    def describe(self) -> Iterable[Family]:
        """Return no descriptions. Without this method, prometheus_client would read the values of all metrics when this
        collector is registered, which is before the program has started."""
        return ()

    def collect(self) -> Iterator[Family]:
        """Yield the current values of all metrics."""
        return map(_family, self._read())


def _family(reading: Reading) -> Family:
    metric = reading.metric
    family: Family
    if metric.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for point in reading.points:
            assert isinstance(point.value, Bins)
            family.add_metric(point.labels, _buckets(point.value), point.value.total)
        return family
    make = CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily
    family = make(metric.name.removesuffix("_total"), metric.text, labels=metric.labels)
    for point in reading.points:
        assert not isinstance(point.value, Bins)
        family.add_metric(point.labels, point.value)
    return family


def _buckets(bins: Bins) -> list[tuple[str, float]]:
    """Yield each bound, and the number of values that are not above it."""
    found, count = [], 0
    for bound, inside in zip((*bins.bounds, float("inf")), bins.counts, strict=True):
        count += inside
        found.append((floatToGoString(bound), float(count)))  # type: ignore[no-untyped-call]
    return found
