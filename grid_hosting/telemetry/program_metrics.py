"""The metrics that all programs have: program and version, event loop, queues and operator sinks."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from grid_hosting.pauses import PAUSES
from grid_hosting.sinks.sink_worker import SinkStats
from grid_hosting.telemetry.metrics import Counts, Metric, counter, counters, gauge, gauges, histogram
from grid_hosting.tls import ServerTls

Queues = Mapping[str, tuple[int, int]]
"""What can grow in a program, by name: its length now, and its bound."""


def program_metrics(program: str, queues: Callable[[], Queues]) -> list[Metric]:
    """Return the metrics of any program. `program`: its name; `queues` returns the program's queues with their lengths
    and bounds."""
    build: Counts = {(program, own_version(), platform.python_version()): 1.0}

    def lengths() -> Counts:
        return {(name,): length for name, (length, _) in queues().items()}

    def bounds() -> Counts:
        return {(name,): bound for name, (_, bound) in queues().items()}

    return [
        gauges(
            "tron_build_info", "The program and its version; always 1.", ("program", "version", "python"), lambda: build
        ),
        histogram(
            "tron_loop_lag_seconds",
            "Time by which a timer of the event loop came late, sampled 20 times a second.",
            lambda: PAUSES.lag,
        ),
        gauges(
            "tron_loop_longest_pause_seconds",
            "Longest pause of the event loop since the start, by cause.",
            ("cause",),
            lambda: {(cause,): seconds for cause, seconds in PAUSES.longest.items()},
        ),
        gauges("tron_queue_length", "What waits or is open in each queue.", ("queue",), lengths),
        gauges("tron_queue_bound", "The bound of each queue.", ("queue",), bounds),
    ]


def sink_queues(stats: Mapping[str, SinkStats], bound: int) -> Queues:
    """Return the queue of each operator sink."""
    return {f"sink:{name}": (each.queued, bound) for name, each in stats.items()}


def sink_metrics(stats: Callable[[], Mapping[str, SinkStats]]) -> list[Metric]:
    """Return the counts of notices of each operator sink; no values without sinks."""

    def notices() -> Counts:
        found: dict[tuple[str, ...], float] = {}
        for name, each in stats().items():
            outcomes = (("delivered", each.delivered), ("dropped", each.dropped), ("refused", each.refused))
            found |= {(name, outcome): count for outcome, count in outcomes}
        return found

    return [
        counters(
            "tron_sink_notices_total",
            "Notices for operators, by sink and outcome; dropped and refused ones are lost.",
            ("sink", "outcome"),
            notices,
        ),
        counters(
            "tron_sink_failed_attempts_total",
            "Attempts to deliver a notice that failed, by sink; they are repeated.",
            ("sink",),
            lambda: {(name,): each.failed_attempts for name, each in stats().items()},
        ),
    ]


def tls_metrics(tls: ServerTls | None) -> list[Metric]:
    """Return the metrics of a program's certificate; zero without TLS."""
    return [
        gauge(
            "tron_tls_certificate_end_seconds",
            "Unix time at which the program's certificate ends; 0 without TLS.",
            lambda: 0.0 if tls is None else tls.certificate.not_after.timestamp(),
        ),
        counter(
            "tron_tls_reload_failures_total",
            "Renewed certificate files that could not be used.",
            lambda: 0 if tls is None else tls.reload_failures,
        ),
    ]


def own_version() -> str:
    """Return the version of this distribution."""
    try:
        return version("tron-grid")
    except PackageNotFoundError:
        return "unknown"
