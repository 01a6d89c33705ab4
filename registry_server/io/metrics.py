"""The metrics of the registry: their names, and how each value is read."""

from __future__ import annotations

import time
from collections.abc import Iterable

from grid_hosting.telemetry.metrics import Metric, counter, counters, gauge, gauges, histogram
from grid_hosting.telemetry.program_metrics import Queues
from registry_server.config import Config
from registry_server.core.commits import MAX_LINES
from registry_server.io.grpc_events import MAX_SUBSCRIBERS, EventService
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import MAX_WATCHERS, RegistryService
from registry_server.io.loop import RegistryLoop


def registry_queues(
    loop: RegistryLoop, streams: HeartbeatStreams, services: RegistryService, events: EventService, config: Config
) -> Queues:
    """Return the queues of the registry, with their lengths and bounds."""
    return {
        **loop.registry.queues(),
        "streams": (len(streams), config.max_streams),
        "lines_for_disk": (loop.commits.lines, MAX_LINES),
        "watchers": (len(services.readers), MAX_WATCHERS),
        "subscribers": (len(events.readers), MAX_SUBSCRIBERS),
    }


def registry_metrics(loop: RegistryLoop, services: RegistryService, events: EventService) -> list[Metric]:
    """Return the metrics of the registry's work since its start, and of its current state. Each value is read in
    constant time, or in time proportional to the number of readers."""

    def lags() -> dict[tuple[str, ...], float]:
        revision, sequence = loop.commits.revision, loop.commits.sequence
        return {
            ("services",): _most(revision - each.revision for each in services.readers),
            ("events",): _most(sequence - each.sequence for each in events.readers),
        }

    return [
        counter(
            "tron_registry_heartbeats_total",
            "Heartbeats received.",
            lambda: loop.registry.measures.heartbeats,
        ),
        counter(
            "tron_registry_registrations_total",
            "Registrations accepted, including those that re-attach.",
            lambda: loop.registry.measures.registrations,
        ),
        counters(
            "tron_registry_streams_ended_total",
            "Heartbeat streams that ended, by reason; the reason 'client' means that the client ended the stream.",
            ("reason",),
            lambda: loop.registry.measures.streams_ended,
        ),
        counters(
            "tron_registry_events_total",
            "Events appended to the log, by type; the type 'other' covers all types that TRON does not define.",
            ("type",),
            lambda: loop.registry.measures.events,
        ),
        gauge(
            "tron_registry_watched",
            "1 while TRON evaluates liveness; 0 while it does not, and the liveness of all services is UNKNOWN.",
            lambda: loop.registry.watched,
        ),
        gauge(
            "tron_registry_observer_lag_seconds",
            "Age of the newest facts that TRON has evaluated.",
            lambda: max(0.0, loop.now().attentive - loop.registry.judged_until),
        ),
        gauge(
            "tron_registry_mass_failure",
            "1 while TRON reports a mass failure.",
            lambda: bool(loop.registry.cascade_alert_id),
        ),
        histogram(
            "tron_registry_tick_lag_seconds",
            "Delay of the ticks of the registry, which are due every 0.1 s.",
            lambda: loop.tick_lag,
        ),
        counter(
            "tron_registry_stalls_total",
            "Gaps of more than 1 s between two ticks, during which the registry could not receive messages.",
            lambda: loop.stalls,
        ),
        counter(
            "tron_registry_stalled_seconds_total",
            "Total time for which the registry was stalled.",
            lambda: loop.stalled_seconds,
        ),
        gauge(
            "tron_registry_hearing_seconds",
            "Time for which the registry has been able to receive messages without a stall.",
            lambda: max(0.0, loop.now().attentive - loop.hearing_since),
        ),
        histogram(
            "tron_registry_commit_seconds",
            "Duration of commits to the store.",
            lambda: loop.commit_seconds,
        ),
        counter(
            "tron_registry_lines_written_total",
            "Changes committed to the store.",
            lambda: loop.lines_written,
        ),
        gauges(
            "tron_registry_unacknowledged_alerts",
            "Copies of alerts that wait for an acknowledgement, by severity.",
            ("severity",),
            lambda: loop.registry.unacknowledged.counts(),
        ),
        gauges(
            "tron_registry_oldest_unacknowledged_alert_seconds",
            "Age of the alert that has been waiting longest for an acknowledgement, by severity; 0 if none waits.",
            ("severity",),
            lambda: loop.registry.unacknowledged.ages(time.time()),
        ),
        counter(
            "tron_registry_alert_copies_dropped_total",
            "Copies of alerts that are no longer sent, in most cases because too many wait for their recipient.",
            lambda: loop.registry.measures.copies_dropped,
        ),
        histogram(
            "tron_registry_alert_delivery_seconds",
            "Time from the creation of an alert until it is written to the stream of its recipient.",
            lambda: loop.registry.measures.delivered_after,
        ),
        histogram(
            "tron_registry_alert_acknowledgement_seconds",
            "Time from the creation of an alert until it is acknowledged.",
            lambda: loop.registry.measures.acknowledged_after,
        ),
        gauges(
            "tron_registry_slowest_reader_lag",
            "Number of revisions of services, or of events, by which the slowest reader is behind.",
            ("follows",),
            lags,
        ),
    ]


def _most(lags: Iterable[int]) -> int:
    return max(0, max(lags, default=0))
