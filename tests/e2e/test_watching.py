"""Nobody watches, somebody watches, nobody again: judgement is never repeated as if it still held. And restarts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.events.v1 import event_pb2, event_service_pb2
from grid.liveness.v1.liveness_pb2 import LIVENESS_ALIVE, LIVENESS_DOWN, LIVENESS_UNKNOWN
from grid.registry.v1 import (
    heartbeat_pb2,
    observation_pb2,
    registry_service_pb2,
    registry_service_pb2_grpc,
    service_pb2,
)
from grpc_health.v1.health_pb2 import HealthCheckResponse

from tests.e2e.conftest import Client
from tests.e2e.raw_agent import RawAgent, a_service, beating, open_channel, seconds, unique
from tests.support.processes import Registry, start_monitor, start_registry
from tests.support.waiting import wait_until

TRON = "grid.tron.v1.TronService"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
TWO_TICKS = 1.5
"""Two ticks of 100 ms, and what a busy machine needs."""


class Watcher:
    """A reader that resumes automatically, as the contract requires, and checks what it receives."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = threading.Event()
        self._call: Any = None
        self.revision = 0
        self.resumed = 0
        self.gaps = 0
        self.disorder: list[tuple[int, int]] = []
        self.removed: list[str] = []
        self.states: dict[str, list[int]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_state(self, service_id: str, liveness: int, timeout: float) -> None:
        """Wait until the newest state of a service, as this reader sees it, is judged so."""
        wait_until(lambda: self.states.get(service_id, [0])[-1] == liveness, timeout, f"{service_id} is {liveness}")

    def __enter__(self) -> Watcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._call.cancel()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            with open_channel(self._address) as channel:
                stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
                request = registry_service_pb2.WatchServicesRequest(start_revision=self.revision)
                self._call = stub.WatchServices(request, wait_for_ready=True)
                try:
                    for message in self._call:
                        self._take(message)
                except grpc.RpcError as error:
                    if error.code() is grpc.StatusCode.OUT_OF_RANGE:
                        self.gaps += 1
                        self.revision = 0
            self._stop.wait(0.05)

    def _take(self, message: registry_service_pb2.WatchServicesResponse) -> None:
        # Within a snapshot all have the same revision; a change of its own has one of its own.
        if message.revision < self.revision:
            self.disorder.append((self.revision, message.revision))
        if message.HasField("snapshot_complete"):
            self.revision = message.revision
            self.resumed += 1
        elif message.HasField("removed"):
            self.removed.append(message.removed.service_id)
        else:
            seen = self.states.setdefault(message.upserted.service_id, [])
            seen.append(message.upserted.liveness)
        if self.resumed:
            self.revision = message.revision


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry of one's own, with nobody watching."""
    with start_registry(tmp_path / "registry") as program:
        yield program


@pytest.fixture
def client(registry: Registry) -> Iterator[Client]:
    """A client of that registry; it finds it again after a restart."""
    with open_channel(registry.address) as channel:
        yield Client(registry.address, channel)


def test_judgement_holds_only_while_somebody_watches(registry: Registry, client: Client, tmp_path: Path) -> None:
    with beating(registry.address, "agent") as agent, Watcher(registry.address) as watcher:
        assert client.get("agent").liveness == LIVENESS_UNKNOWN
        assert (client.health(TRON), client.health("agent")) == (NOT_SERVING, HealthCheckResponse.UNKNOWN)
        watcher.wait_state("agent", LIVENESS_UNKNOWN, 5)
        with ExitStack() as stack:
            monitor = stack.enter_context(start_monitor(tmp_path / "monitor", registry.address))
            client.wait_liveness("agent", LIVENESS_ALIVE, 5)
            watcher.wait_state("agent", LIVENESS_ALIVE, TWO_TICKS)
            assert (client.health(TRON), client.health("agent")) == (SERVING, SERVING)
            monitor.kill()
            client.wait_liveness("agent", LIVENESS_UNKNOWN, TWO_TICKS)
            watcher.wait_state("agent", LIVENESS_UNKNOWN, TWO_TICKS)
            assert (client.health(TRON), client.health("agent")) == (NOT_SERVING, HealthCheckResponse.UNKNOWN)
            assert client.health("") == SERVING
        with start_monitor(tmp_path / "monitor", registry.address):
            client.wait_liveness("agent", LIVENESS_ALIVE, 5)
            watcher.wait_state("agent", LIVENESS_ALIVE, TWO_TICKS)
            assert client.health(TRON) == SERVING
        assert watcher.states["agent"][0] == LIVENESS_UNKNOWN
        assert LIVENESS_DOWN not in watcher.states["agent"]
        agent.check()
        assert client.events_about("agent") == []
        assert (watcher.disorder, watcher.gaps) == ([], 0)


def test_a_service_that_is_down_is_unknown_without_a_watcher_and_down_again_with_one(
    registry: Registry, client: Client, tmp_path: Path
) -> None:
    with start_monitor(tmp_path / "monitor", registry.address) as monitor:
        with RawAgent(registry.address) as agent:
            agent.register("lost", heartbeat_interval=seconds(60), reconnect_grace=seconds(0.2))
            client.wait_liveness("lost", LIVENESS_ALIVE)
        client.wait_liveness("lost", LIVENESS_DOWN)
        monitor.kill()
        client.wait_liveness("lost", LIVENESS_UNKNOWN, TWO_TICKS)
    with start_monitor(tmp_path / "monitor", registry.address):
        client.wait_liveness("lost", LIVENESS_DOWN)
        assert client.health("lost") == NOT_SERVING
    assert [each.type for each in client.events_about("lost")] == ["service_suspect", "service_down"]


def publish(client: Client, **fields: Any) -> event_pb2.Event:
    """Publish one event; return it as it was recorded."""
    request = event_service_pb2.PublishEventRequest(event=event_pb2.Event(**fields))
    event: event_pb2.Event = client.events.PublishEvent(request).event
    return event


def test_a_registry_that_is_killed_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    data = tmp_path / "registry"
    with start_registry(data) as registry:
        address = registry.address
        with open_channel(address) as channel, RawAgent(address) as agent, Watcher(address) as watcher:
            client = Client(address, channel)
            before = agent.register("agent", caps=["dig"], heartbeat_interval=seconds(30))
            agent.register("parent", heartbeat_interval=seconds(30))
            heard = publish(client, type="note", recipient="agent", message="heard")
            unheard = publish(client, type="note", recipient="agent", message="unheard")
            agent.wait("alert", 2)
            acknowledgement = event_service_pb2.AcknowledgeEventRequest(alert_id=heard.alert_id, recipient="agent")
            assert client.events.AcknowledgeEvent(acknowledgement).acknowledged == 1
            client.registry.Promote(
                registry_service_pb2.PromoteRequest(name="agent", from_role=1, to_role=3)  # type: ignore[arg-type]
            )
            wait_until(lambda: {"agent", "parent"} <= set(watcher.states), 10, "the watcher sees both")
            revision = client.registry.ListServices(registry_service_pb2.ListServicesRequest()).revision
            registry.kill()
            with start_registry(data, listen=address):
                wait_until(lambda: watcher.resumed >= 2, 10, "the watcher is back")
                with open_channel(address) as fresh:
                    client = Client(address, fresh)
                    record = client.get("agent")
                    assert (record.incarnation, record.registered_at, list(record.caps), record.role) == (
                        before.incarnation,
                        before.registered_at,
                        ["dig"],
                        3,
                    )
                    assert not record.connected
                    assert record.liveness == LIVENESS_UNKNOWN
                    events = list(client.events.ListEvents(event_service_pb2.ListEventsRequest()).events)
                    assert [each.sequence for each in events] == list(range(1, len(events) + 1))
                    assert {heard.alert_id, unheard.alert_id} <= {each.alert_id for each in events}
                    assert client.events.AcknowledgeEvent(acknowledgement).acknowledged == 0
                    assert publish(client, type="note").sequence == len(events) + 1
                    with RawAgent(address) as back:
                        again = back.register("agent", incarnation=before.incarnation)
                        assert again.incarnation == before.incarnation
                        alerts = back.wait_alerts("note")
                        assert [each.alert_id for each in alerts] == [unheard.alert_id]
                        assert back.register("newcomer").incarnation > before.incarnation + 1
                        assert back.register("agent").incarnation > before.incarnation + 2
                        wait_until(lambda: "newcomer" in watcher.states, 5, "the watcher sees who is new")
                    listed = client.registry.ListServices(registry_service_pb2.ListServicesRequest())
                    assert listed.revision > revision
                    assert (watcher.removed, watcher.disorder, watcher.gaps) == ([], [], 0)


def test_a_removal_before_the_kill_is_told_to_a_watcher_that_resumes_after_it(tmp_path: Path) -> None:
    data = tmp_path / "registry"
    with start_registry(data) as registry, open_channel(registry.address) as channel:
        address = registry.address
        client = Client(address, channel)
        with RawAgent(address) as agent:
            agent.register("leaves")
            seen = client.registry.ListServices(registry_service_pb2.ListServicesRequest()).revision
        client.registry.Deregister(registry_service_pb2.DeregisterRequest(service_id="leaves"))
        registry.kill()
        with start_registry(data, listen=address), open_channel(address) as fresh:
            stub = registry_service_pb2_grpc.RegistryServiceStub(fresh)
            call = stub.WatchServices(registry_service_pb2.WatchServicesRequest(start_revision=seen))
            told = []
            for message in call:
                if message.HasField("snapshot_complete"):
                    break
                told.append(message)
            call.cancel()
        assert [each.removed.service_id for each in told if each.HasField("removed")] == ["leaves"]
        assert [each.revision for each in told] == sorted(each.revision for each in told)


def test_an_observer_of_very_many_services_is_told_in_parts_and_time_waits_for_the_last(registry: Registry) -> None:
    count = 2500
    with open_channel(registry.address) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        service = service_pb2.Service(name="one of many", heartbeat_interval=seconds(3600))
        registered = [
            stub.Register.future(registry_service_pb2.RegisterRequest(service=service), timeout=30)
            for _ in range(count)
        ]
        expected = {each.result().service.service_id for each in registered}
        call = stub.ObserveLiveness(observation_pb2.ObserveLivenessRequest(observer="onlooker"), timeout=30)
        parts = []
        for message in call:
            parts.append(message)
            if message.snapshot_complete:
                break
        call.cancel()
    told = [each.service_id for part in parts for each in part.observations]
    assert len(told) == len(set(told))
    assert expected <= set(told)
    assert max(len(part.observations) for part in parts) <= 1000
    assert [part.now.ToTimedelta() > timedelta() for part in parts] == [False] * (len(parts) - 1) + [True]


def test_a_reader_that_takes_batches_gets_the_same_changes_in_fewer_messages(registry: Registry) -> None:
    ids = [unique("batched") for _ in range(70)]
    with RawAgent(registry.address) as agent, open_channel(registry.address) as channel:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)

        def register(some: list[str]) -> None:
            each = [heartbeat_pb2.Register(service=a_service(service_id)) for service_id in some]
            agent.say(registers=heartbeat_pb2.Registers(registers=each))
            last = some[-1]
            wait_until(
                lambda: any(r.service.service_id == last for a in agent.every("registrations") for r in a.registered),
                10,
                "all are registered",
            )

        register(ids[:35])
        many = stub.WatchServices(registry_service_pb2.WatchServicesRequest(batches=True), timeout=20)
        one_by_one = stub.WatchServices(registry_service_pb2.WatchServicesRequest(), timeout=20)
        for last, part in ((ids[34], ids[:35]), (ids[-1], ids[35:])):
            found, messages = changes_until(many, last)
            single, more_messages = changes_until(one_by_one, last)
            assert [service_id for _, service_id in found] == [service_id for _, service_id in single] == part
            assert last != ids[-1] or found == single, "each change has its revision"
            assert messages < 35 <= more_messages
            if last != ids[-1]:
                register(ids[35:])
        many.cancel()
        one_by_one.cancel()


def changes_until(watch: Any, last: str) -> tuple[list[tuple[int, str]], int]:
    """Read until this service comes; return revision and service of each change, and how many messages it took."""
    found: list[tuple[int, str]] = []
    for count, message in enumerate(watch, 1):
        each = tuple(message.changes.changes) if message.HasField("changes") else (message,)
        assert len(each) <= 30
        assert message.revision == each[-1].revision
        # The registry is registered too, at whatever time.
        seen = [(one.revision, one.upserted.service_id) for one in each if one.HasField("upserted")]
        found += [one for one in seen if one[1].startswith("batched")]
        if found and found[-1][1] == last:
            return found, count
    raise AssertionError("the watch ended")
