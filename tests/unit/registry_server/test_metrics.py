"""The registry's metrics are read in the same time, however many services and alerts there are."""

from __future__ import annotations

from grid_model.event import Severity

from grid_hosting.telemetry.metrics import Metric, Reading
from grid_hosting.telemetry.program_metrics import program_metrics
from grid_hosting.telemetry.telemetry import read_all
from registry_server.config import Config
from registry_server.core.event_log import EventFilter
from registry_server.core.readers import EventReader, ServiceReader
from registry_server.io.callers import Callers
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import RegistryService
from registry_server.io.loop import RegistryLoop
from registry_server.io.metrics import registry_metrics, registry_queues
from tests.support.call_count import count_calls
from tests.unit.registry_server.builders import make_event, make_spec
from tests.unit.registry_server.test_loop import HeldStore


class Measured:
    """A registry that is not running, and its metrics."""

    def __init__(self) -> None:
        self.loop = RegistryLoop(HeldStore(), event_retention=60.0)
        callers = Callers(self.loop)
        streams = HeartbeatStreams(self.loop, Config(), callers)
        self.services, self.events = RegistryService(self.loop, streams, callers), EventService(self.loop, callers)

        def queues() -> dict[str, tuple[int, int]]:
            return dict(registry_queues(self.loop, streams, self.services, self.events, Config()))

        self.metrics: list[Metric] = [
            *registry_metrics(self.loop, self.services, self.events),
            *program_metrics("registry", queues),
        ]

    def fill(self, count: int) -> None:
        """Register services, and publish an alert for each."""
        registry, now = self.loop.registry, self.loop.now()
        for number in range(count):
            registry.register(make_spec(f"service-{number}"), 0, "", None, now)
            event = make_event("service_down", alert_id=str(number), recipient="r", severity=Severity.CRITICAL)
            registry.publish(event, now)

    def value(self, name: str, *labels: str) -> object:
        """The value of a metric now."""
        found = next(each for each in self.read() if each.metric.name == name)
        return next(point.value for point in found.points if point.labels == labels)

    def read(self) -> list[Reading]:
        """All values of now; none is missing."""
        readings = read_all(self.metrics)
        assert len(readings) == len(self.metrics)
        return readings


async def test_a_scrape_does_not_visit_the_services() -> None:
    measured = Measured()
    measured.fill(10)
    few = count_calls(measured.read)
    measured.fill(900)
    assert measured.value("tron_queue_length", "services") == 900
    assert measured.value("tron_registry_unacknowledged_alerts", "critical") == 900
    assert count_calls(measured.read) < few + 90, "a tenth of the services; clocks are read when they are due"


async def test_the_slowest_reader_counts() -> None:
    measured = Measured()
    loop = measured.loop
    measured.services.readers.add(ServiceReader(loop.registry, loop.commits, 0))
    measured.events.readers.add(EventReader(loop.registry, loop.commits, 0, EventFilter()))
    measured.fill(3)
    loop.commits.revision, loop.commits.sequence = loop.registry.revision, loop.registry.last_event
    late = ServiceReader(loop.registry, loop.commits, 0)
    measured.services.readers.add(late)
    assert measured.value("tron_registry_slowest_reader_lag", "services") == 3
    assert measured.value("tron_registry_slowest_reader_lag", "events") == 3
    measured.services.readers = {late}
    assert measured.value("tron_registry_slowest_reader_lag", "services") == 0
    assert measured.value("tron_queue_length", "watchers") == 1
