"""Sends the metrics to an OpenTelemetry collector by OTLP over HTTP, with protobuf. Needs the extra `otel`.

The SDK's instruments are not used: the programs already count, and the values that a `Metric` reads are encoded
directly. The environment variables of OpenTelemetry determine what is sent, and where to.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import requests
import structlog
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from grid_hosting.addresses import is_loopback
from grid_hosting.telemetry.histogram import Bins
from grid_hosting.telemetry.metrics import Kind, Point, Reading
from grid_hosting.telemetry.program_metrics import own_version

log = structlog.get_logger("metrics")

SEND_EVERY = 60.0
"""Seconds between two messages, unless the variable OTEL_METRIC_EXPORT_INTERVAL (in milliseconds) is set."""

CUMULATIVE = export.AggregationTemporality.CUMULATIVE
SCOPE = InstrumentationScope("tron", own_version())


class OtlpSender:
    """Sends the values that `read` returns to a collector, in a thread of its own, until `close` is called."""

    def __init__(self, program: str, endpoint: str, read: Callable[[], list[Reading]]) -> None:
        """`endpoint` is the base URL of the collector; if it is empty, the URL in the environment is used."""
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # we say it once, and when it is over
        session = requests.Session()
        target = endpoint or os.environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "")
        target = target or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
        session.trust_env = not _is_here(target)
        path = f"{endpoint.rstrip('/')}/v1/metrics" if endpoint else None
        self._exporter = OTLPMetricExporter(endpoint=path, session=session)
        self._resource = Resource.create({"service.name": f"tron-{program}", "service.version": own_version()})
        self._read = read
        self._since = time.time_ns()
        self._every = _interval()
        self._ending = threading.Event()
        self._failing = False
        threading.Thread(target=self._send_forever, name="otlp", daemon=True).start()

    def close(self) -> None:
        """Stop sending. A request in progress is not awaited."""
        self._ending.set()
        self._exporter.shutdown()

    def _send_forever(self) -> None:
        while not self._ending.wait(self._every):
            try:
                data = encode(self._read(), self._resource, self._since, time.time_ns())
                # What the collector does not take is not kept: the next message has the newest values.
                result = self._exporter.export(data)
                why = "" if result is export.MetricExportResult.SUCCESS else "the collector did not accept the metrics"
            except Exception as error:  # of the library, too: it must not end the thread
                why = f"{type(error).__name__}: {error}"
            if bool(why) != self._failing and not self._ending.is_set():
                self._failing = bool(why)
                if why:
                    log.warning("otlp_failing", why=why)
                else:
                    log.info("otlp_recovered")


def encode(readings: Iterable[Reading], resource: Resource, since: int, now: int) -> export.MetricsData:
    """Return the values in the data types of OpenTelemetry. `since` and `now` are in nanoseconds since the epoch."""
    metrics = [_metric(reading, since, now) for reading in readings if reading.points]
    scope = export.ScopeMetrics(scope=SCOPE, metrics=metrics, schema_url="")
    return export.MetricsData([export.ResourceMetrics(resource=resource, scope_metrics=[scope], schema_url="")])


def _metric(reading: Reading, since: int, now: int) -> export.Metric:
    metric = reading.metric
    data: export.DataT
    if metric.kind is Kind.HISTOGRAM:
        points = [_histogram_point(metric.labels, point, since, now) for point in reading.points]
        data = export.Histogram(points, CUMULATIVE)
    else:
        numbers = [
            export.NumberDataPoint(_attributes(metric.labels, point), since, now, _number(point))
            for point in reading.points
        ]
        data = export.Sum(numbers, CUMULATIVE, True) if metric.kind is Kind.COUNTER else export.Gauge(numbers)
    unit = "s" if "_seconds" in metric.name else "1"
    return export.Metric(metric.name.removesuffix("_total"), metric.text, unit, data)


def _histogram_point(labels: tuple[str, ...], point: Point, since: int, now: int) -> export.HistogramDataPoint:
    bins = point.value
    assert isinstance(bins, Bins)
    return export.HistogramDataPoint(
        attributes=_attributes(labels, point),
        start_time_unix_nano=since,
        time_unix_nano=now,
        count=sum(bins.counts),
        sum=bins.total,
        bucket_counts=list(bins.counts),
        explicit_bounds=list(bins.bounds),
        min=None,  # type: ignore[arg-type]  # optional on the wire, and not kept
        max=None,  # type: ignore[arg-type]
    )


def _number(point: Point) -> float:
    assert not isinstance(point.value, Bins)
    return float(point.value)


def _attributes(labels: tuple[str, ...], point: Point) -> dict[str, str]:
    return dict(zip(labels, point.labels, strict=True))


def _interval() -> float:
    try:
        return max(0.1, float(os.environ["OTEL_METRIC_EXPORT_INTERVAL"]) / 1000)
    except (KeyError, ValueError):
        return SEND_EVERY


def _is_here(url: str) -> bool:
    """Return whether a collector is on this machine, so that no proxy may be used, even if the environment sets one."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return False
    return host in ("", "localhost") or is_loopback(host)
