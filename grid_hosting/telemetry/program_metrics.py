"""The metrics that all programs have: their version, the event loop, queues and operator sinks."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version

from grid_hosting.pauses import PAUSES
from grid_hosting.sinks.sink_worker import SinkStats
from grid_hosting.telemetry.metrics import Counts, Metric, counter, counters, gauge, gauges, histogram
from grid_hosting.tls import ServerTls

Queues = Mapping[str, tuple[int, int]]
"""The queues of a program, by name: the current length and the bound of each."""


def program_metrics(program: str, queues: Callable[[], Queues]) -> list[Metric]:
    """Return the metrics that every program has. `program` is its name; `queues` returns its queues."""
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
        gauges("tron_queue_length", "Number of entries that wait or are open, by queue.", ("queue",), lengths),
        gauges("tron_queue_bound", "Maximum number of entries, by queue.", ("queue",), bounds),
    ]


def sink_queues(stats: Mapping[str, SinkStats], bound: int) -> Queues:
    """Return the queues of all operator sinks: the current length and the maximum length of each. `bound` is the
    maximum length of all of them."""
    return {f"sink:{name}": (each.queued, bound) for name, each in stats.items()}


def sink_metrics(stats: Callable[[], Mapping[str, SinkStats]]) -> list[Metric]:
    """Return the metrics that count the notices of each operator sink. Without sinks, they have no values."""

    def notices() -> Counts:
        found: dict[tuple[str, ...], float] = {}
        for name, each in stats().items():
            outcomes = (("delivered", each.delivered), ("dropped", each.dropped), ("refused", each.refused))
            found |= {(name, outcome): count for outcome, count in outcomes}
        return found

    return [
        counters(
            "tron_sink_notices_total",
            "Notices for operators, by sink and outcome; those that were dropped or refused are lost.",
            ("sink", "outcome"),
            notices,
        ),
        counters(
            "tron_sink_failed_attempts_total",
            "Failed attempts to deliver a notice, by sink; each is repeated.",
            ("sink",),
            lambda: {(name,): each.failed_attempts for name, each in stats().items()},
        ),
    ]


def tls_metrics(tls: ServerTls | None) -> list[Metric]:
    """Return the metrics of a program's certificate. Without TLS, their values are zero."""
    return [
        gauge(
            "tron_tls_certificate_end_seconds",
            "Unix time at which the program's certificate expires; 0 without TLS.",
            lambda: 0.0 if tls is None else tls.certificate.not_after.timestamp(),
        ),
        counter(
            "tron_tls_reload_failures_total",
            "How often renewed certificate files could not be used.",
            lambda: 0 if tls is None else tls.reload_failures,
        ),
    ]


def own_version() -> str:
    """Return the version of the installed package `tron-grid`; `unknown` if it is not installed."""
    try:
        return version("tron-grid")
    except PackageNotFoundError:
        return "unknown"
