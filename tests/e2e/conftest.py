"""One registry and one TRON for all tests that leave them as they found them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grid.events.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc, service_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.raw_agent import Beating, beating, open_channel, unique
from tests.support.processes import start_monitor, start_registry
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Client:
    """The unary calls of a client that knows only the contract."""

    address: str
    channel: grpc.Channel

    @property
    def registry(self) -> Any:
        """The stub of RegistryService."""
        return registry_service_pb2_grpc.RegistryServiceStub(self.channel)

    @property
    def events(self) -> Any:
        """The stub of EventService."""
        return event_service_pb2_grpc.EventServiceStub(self.channel)

    def find(self, service_id: str) -> service_pb2.Service | None:
        """The record; None if there is none."""
        try:
            request = registry_service_pb2.GetServiceRequest(service_id=service_id)
            found: service_pb2.Service = self.registry.GetService(request).service
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None
        return found

    def get(self, service_id: str) -> service_pb2.Service:
        """The record."""
        found = self.find(service_id)
        assert found is not None
        return found

    def list_named(self, name: str) -> registry_service_pb2.ListServicesResponse:
        """All services with a name."""
        answer: registry_service_pb2.ListServicesResponse = self.registry.ListServices(
            registry_service_pb2.ListServicesRequest(name=name)
        )
        return answer

    def events_about(self, service_id: str) -> list[event_pb2.Event]:
        """What was recorded about a service, oldest first."""
        return list(self.events.ListEvents(event_service_pb2.ListEventsRequest(service_id=service_id)).events)

    def wait_liveness(self, service_id: str, liveness: liveness_pb2.Liveness.ValueType, timeout: float = 10.0) -> None:
        """Wait until a service is judged so."""
        name = liveness_pb2.Liveness.Name(liveness)
        wait_until(lambda: self.get(service_id).liveness == liveness, timeout, f"{service_id} is {name}")

    def health(self, name: str) -> int:
        """What the standard health service says of a name; raises RpcError if nobody has it."""
        check = health_pb2.HealthCheckRequest(service=name)
        return int(health_pb2_grpc.HealthStub(self.channel).Check(check).status)


@dataclass(frozen=True)
class Grid(Client):
    """A registry and a TRON that watches it."""

    registry_pid: int
    tron_address: str


@pytest.fixture(scope="package")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    """A system that judges, as long as there are tests of this package. They use ids of their own and break nothing."""
    folder = tmp_path_factory.mktemp("grid")
    with (
        start_registry(folder / "registry") as registry,
        start_monitor(folder / "monitor", registry.address) as monitor,
        open_channel(registry.address) as channel,
    ):
        system = Grid(registry.address, channel, registry.pid, monitor.address)
        system.wait_liveness("service-registry", liveness_pb2.LIVENESS_ALIVE)
        yield system
        assert registry.process.poll() is None, registry.log
        assert "call_failed" not in registry.log, registry.log
        assert "Traceback" not in registry.log, registry.log
        assert "Traceback" not in monitor.log, monitor.log


@pytest.fixture
def bystander(grid: Grid) -> Iterator[Beating]:
    """A healthy agent that must not notice what the test does; checked when the test is over."""
    service_id = unique("bystander")
    with beating(grid.address, service_id) as agent:
        grid.wait_liveness(service_id, liveness_pb2.LIVENESS_ALIVE)
        incarnation = grid.get(service_id).incarnation
        yield agent
        agent.check()
        record = grid.get(service_id)
        assert (record.liveness, record.connected, record.incarnation) == (
            liveness_pb2.LIVENESS_ALIVE,
            True,
            incarnation,
        )
        assert grid.events_about(service_id) == [], "it was judged while it was well"
