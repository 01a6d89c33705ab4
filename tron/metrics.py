"""The metrics of TRON: the name, the help text and the source of each value."""

from __future__ import annotations

from grid_hosting.telemetry.metrics import Metric, counter, counters, gauge, gauges, histogram
from tron.monitor import Monitor


def monitor_metrics(monitor: Monitor) -> list[Metric]:
    """Return the metrics about TRON's work since its start and about its current state. Each value is read in constant
    time."""
    stats = monitor.stats

    def services() -> dict[tuple[str, ...], float]:
        detector = monitor.judge.detector
        alive = detector.living.services
        return {("alive",): alive, ("failing",): len(detector) - alive}

    def hold() -> float:
        judge = monitor.judge
        return max(0.0, judge.detector.window_ends(monitor.policies.default) - judge.now)

    return [
        gauge(
            "tron_monitor_watching",
            "1 while TRON receives the registry's facts and evaluates liveness.",
            lambda: stats.watching,
        ),
        gauge(
            "tron_monitor_last_check_timestamp_seconds",
            "When TRON last evaluated liveness, in seconds since the epoch.",
            lambda: stats.last_check,
        ),
        gauges(
            "tron_monitor_services",
            "Services that TRON watches, by state: alive, or failing (suspected or down).",
            ("state",),
            services,
        ),
        counters(
            "tron_monitor_verdicts_total",
            "Verdicts, by kind, cause and the registry's answer; stale means that newer facts came first.",
            ("kind", "cause", "outcome"),
            lambda: stats.verdicts,
        ),
        counter("tron_monitor_alerts_total", "Alerts issued.", lambda: stats.alerts_issued),
        counters(
            "tron_monitor_alerts_held_total",
            "Alerts recorded and not sent, by reason.",
            ("reason",),
            lambda: stats.alerts_held,
        ),
        counter(
            "tron_monitor_alerts_escalated_total",
            "Copies of alerts sent to the next ancestor or to operators.",
            lambda: stats.alerts_escalated,
        ),
        counter(
            "tron_monitor_alerts_undelivered_total",
            "CRITICAL alerts of which no recipient could be notified for 5 s.",
            lambda: stats.alerts_undelivered,
        ),
        gauge(
            "tron_monitor_guard_active",
            "1 while the mass-failure guard holds alerts.",
            lambda: monitor.judge.guard.active,
        ),
        gauge(
            "tron_monitor_hold_seconds",
            "Seconds for which evidence from before the registry's start or stall is still ignored; else 0.",
            hold,
        ),
        histogram(
            "tron_monitor_judgement_seconds",
            "Time from a frame of facts to the registry's answers to the verdicts on it.",
            lambda: stats.judgement_seconds,
        ),
        counter(
            "tron_monitor_registry_streams_broken_total",
            "Streams of facts from the registry that ended.",
            lambda: stats.streams_broken,
        ),
    ]
