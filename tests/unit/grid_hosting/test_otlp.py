"""Metrics to a collector: what is sent is what was counted, and a collector that fails disturbs nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1 import metrics_pb2

from grid_hosting.program import ProgramConfig
from grid_hosting.telemetry.histogram import Histogram
from grid_hosting.telemetry.metrics import Metric, counters, gauge, histogram
from grid_hosting.telemetry.telemetry import Telemetry
from tests.support.http_receiver import Receiver, start_receiver
from tests.support.waiting import eventually

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_SDK_DISABLED")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages come quickly, and only where a test says."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")


@pytest.fixture
def logged() -> Iterator[list[structlog.typing.EventDict]]:
    """What is logged meanwhile, by any thread."""
    with structlog.testing.capture_logs() as entries:
        yield entries


def base(receiver: Receiver) -> str:
    """The base URL of the collector."""
    return receiver.url.removesuffix("/hook")


def some_metrics() -> list[Metric]:
    """One of each kind."""
    counted = Histogram((1.0, 2.0))
    for value in (0.5, 1.5, 7.0):
        counted.add(value)
    return [
        counters("tron_ends_total", "Ends.", ("reason",), lambda: {("client",): 3, ("drain",): 1}),
        gauge("tron_lag_seconds", "Lag.", lambda: 0.25),
        gauge("tron_nothing", "Nothing.", lambda: None),
        histogram("tron_commit_seconds", "Commits.", lambda: counted),
    ]


def received(receiver: Receiver) -> dict[str, metrics_pb2.Metric]:
    """The metrics of the newest message, by name."""
    message = ExportMetricsServiceRequest.FromString(receiver.taken[-1].body)
    (resource,) = message.resource_metrics
    (scope,) = resource.scope_metrics
    return {each.name: each for each in scope.metrics}


async def test_a_collector_receives_the_values() -> None:
    with start_receiver() as receiver:
        served = Telemetry("registry", some_metrics(), otlp_endpoint=base(receiver))
        await eventually(lambda: receiver.taken, what="a message")
        served.close()
        delivery = receiver.taken[0]
        found = received(receiver)
    assert (delivery.path, delivery.headers["content-type"]) == ("/v1/metrics", "application/x-protobuf")
    assert found.keys() == {"tron_ends", "tron_lag_seconds", "tron_commit_seconds"}
    ends = found["tron_ends"].sum
    assert ends.is_monotonic
    assert {each.attributes[0].value.string_value: each.as_double for each in ends.data_points} == {
        "client": 3.0,
        "drain": 1.0,
    }
    assert [each.as_double for each in found["tron_lag_seconds"].gauge.data_points] == [0.25]
    assert (found["tron_lag_seconds"].unit, found["tron_ends"].unit) == ("s", "1")
    (point,) = found["tron_commit_seconds"].histogram.data_points
    assert (point.count, point.sum, list(point.explicit_bounds)) == (3, 9.0, [1.0, 2.0])
    assert list(point.bucket_counts) == [1, 1, 1]
    assert not point.HasField("min")


async def test_the_program_is_named_and_attributes_of_the_environment_come_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "site=a")
    with start_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", base(receiver))
        served = Telemetry("monitor", some_metrics())
        await eventually(lambda: receiver.taken, what="a message")
        served.close()
        message = ExportMetricsServiceRequest.FromString(receiver.taken[0].body)
    attributes = {each.key: each.value.string_value for each in message.resource_metrics[0].resource.attributes}
    assert attributes["service.name"] == "tron-monitor"
    assert attributes["service.version"]
    assert attributes["site"] == "a"


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_METRICS_EXPORTER": "none"},
    ],
)
async def test_nothing_is_sent_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    served = Telemetry("registry", some_metrics())
    assert not [each for each in threading.enumerate() if each.name == "otlp"]
    served.close()


async def test_a_collector_that_fails_is_logged_once_and_so_is_its_return(
    logged: list[structlog.typing.EventDict],
) -> None:
    def events() -> list[str]:
        return [each["event"] for each in logged if each["event"].startswith("otlp")]

    with start_receiver() as receiver:
        receiver.answer(400)
        served = Telemetry("registry", some_metrics(), otlp_endpoint=base(receiver))
        await eventually(lambda: len(receiver.requests) >= 3, what="three attempts")
        assert events() == ["otlp_failing"]
        receiver.heal()
        await eventually(lambda: len(events()) == 2, what="its return is logged")
        served.close()
    assert events() == ["otlp_failing", "otlp_recovered"]


async def test_without_the_libraries_the_program_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, logged: list[structlog.typing.EventDict]
) -> None:
    monkeypatch.delitem(sys.modules, "grid_hosting.telemetry.otlp", raising=False)
    monkeypatch.setitem(sys.modules, "requests", None)
    served = Telemetry("registry", some_metrics(), otlp_endpoint="http://127.0.0.1:9")
    served.close()
    (line,) = logged
    assert (line["event"], line["log_level"]) == ("metrics_not_sent", "error")
    assert "tron-grid[otel]" in line["why"]


@pytest.mark.parametrize("url", ["127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://[", "x"])
def test_what_is_no_url_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="is not a URL"):
        ProgramConfig(otlp_endpoint=url)
