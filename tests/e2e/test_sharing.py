"""Many agents of a process on one stream, against the real registry and TRON.

None of them reaches another, and a process that dies is one failure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.registry.v1 import heartbeat_pb2
from tron_client import Agent, Alert, Endpoint, Event, InvalidRequest, MonitorClient, RegistryClient, TronError

from tests.support.agents import Agents, agents
from tests.support.processes import start_system
from tests.support.waiting import wait_until
from tests.support.watched import Watched, start_watched

PARENTS, CHILDREN_OF_EACH, OTHERS = 20, 5, 130

THREADS = """
import os, sys, threading
import grpc
from grid.registry.v1 import registry_service_pb2_grpc
from tron_client import Agent

def threads():
    return len(os.listdir("/proc/self/task"))

kind, address, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
if kind == "idle":
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(10)
    over = threading.Event()
    stream = registry_service_pb2_grpc.RegistryServiceStub(channel).Heartbeat(iter(over.wait, True))
else:
    running = [Agent(f"{kind}-{n}", registry=address, heartbeat_interval=1.0, on_alert=print) for n in range(count)]
    for agent in running:
        agent.start()
    assert all(agent.healthy for agent in running)
print(threads(), flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with start_watched(tmp_path_factory.mktemp("sharing")) as running:
        yield running


@pytest.fixture
def client(system: Watched) -> Iterator[RegistryClient]:
    with RegistryClient(system.registry_address) as connected:
        yield connected


def events(client: RegistryClient, *, after: int = 0) -> list[Event]:
    """All that was recorded after this number."""
    found: list[Event] = []
    while page := client.list_events(after_sequence=found[-1].sequence if found else after, limit=1000).events:
        found += page
    return found


def newest(client: RegistryClient) -> int:
    return client.list_events(newest=True, limit=1).last_sequence


def establish() -> None:
    """Wait until the guard counts the services that are registered now: it ignores short-lived ones."""
    settled = time.monotonic() + 2.5
    wait_until(lambda: time.monotonic() > settled, 5)


@pytest.fixture
def two(system: Watched, client: RegistryClient) -> Iterator[None]:
    """Two agents of this process that must notice nothing of what a third one does."""
    told: list[object] = []
    quiet = [
        Agent(
            name,
            registry=system.registry_address,
            heartbeat_interval=0.5,
            on_superseded=told.append,
            on_declared_down=told.append,
        )
        for name in ("first", "second")
    ]
    with quiet[0], quiet[1]:
        before = newest(client)
        attached = [client.get_service(agent.service_id) for agent in quiet]
        yield
        for agent, then in zip(quiet, attached, strict=True):
            assert agent.healthy
            now = client.get_service(agent.service_id)
            assert (now.incarnation, now.connected, now.liveness) == (then.incarnation, True, "ALIVE")
        about = {event.service_id for event in events(client, after=before)}
        assert about.isdisjoint({"first", "second"})
        assert told == []


def third(system: Watched, **options: object) -> Agent:
    return Agent("third", registry=system.registry_address, heartbeat_interval=0.5, **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("two")
def test_a_registration_that_the_registry_refuses_is_raised(system: Watched) -> None:
    with pytest.raises(InvalidRequest, match="parent"):
        third(system, parent="third").start()


@pytest.mark.usefixtures("two")
def test_another_process_takes_an_id_over(system: Watched) -> None:
    taken: list[int] = []
    agent = third(system, on_superseded=taken.append)
    agent.start()
    with third(system, own_stream=True) as winner:
        wait_until(lambda: agent.state == "superseded" and taken == [winner.incarnation], 5)


@pytest.mark.usefixtures("two")
def test_a_second_agent_takes_an_id_over_on_the_same_stream(system: Watched, client: RegistryClient) -> None:
    older, newer = third(system), third(system)
    older.start()
    with newer:
        wait_until(lambda: older.state == "superseded", 5)
        older.stop()
        assert client.get_service("third").incarnation == newer.incarnation


@pytest.mark.usefixtures("two")
def test_an_agent_that_was_deregistered_registers_anew(system: Watched, client: RegistryClient) -> None:
    with third(system) as agent:
        held = agent.incarnation
        client.deregister("third")
        wait_until(lambda: agent.incarnation > held and agent.healthy, 5)


@pytest.mark.usefixtures("two")
def test_a_goodbye_is_answered(system: Watched, client: RegistryClient) -> None:
    agent = third(system)
    agent.start()
    before, began = newest(client), time.monotonic()
    agent.stop(timeout=10.0)
    assert time.monotonic() - began < 5.0
    assert not [event for event in events(client, after=before) if event.type.startswith("service_")]


@pytest.mark.usefixtures("two")
def test_an_abandoned_agent_is_judged_as_a_broken_stream(system: Watched, client: RegistryClient) -> None:
    agent = third(system)
    agent.start()
    before = newest(client)
    agent.abandon()

    def suspected() -> list[Event]:
        return [event for event in events(client, after=before) if event.type == "service_suspect"]

    (suspicion,) = wait_until(suspected, 5)
    assert (suspicion.service_id, suspicion.cause) == ("third", "DISCONNECTED")
    client.deregister("third")


def test_a_process_that_dies_is_one_failure(system: Watched, client: RegistryClient) -> None:
    """Each parent has a suspicion for each child, operators have no cascade and at most one notice of them."""
    heard: dict[str, list[tuple[Alert, float]]] = {f"parent-{number}": [] for number in range(PARENTS)}

    def listen(name: str) -> Agent:
        note = heard[name].append
        return Agent(
            name,
            registry=system.registry_address,
            heartbeat_interval=2.0,
            on_alert=lambda alert: note((alert, time.monotonic())),
        )

    children = [
        {"service_id": f"child-{number}-{each}", "parent": f"parent-{number}", "heartbeat_interval": 2.0}
        for number in range(PARENTS)
        for each in range(CHILDREN_OF_EACH)
    ]
    others = [{"service_id": f"other-{number}", "heartbeat_interval": 2.0} for number in range(OTHERS)]
    with ExitStack() as stack:
        stack.enter_context(agents(system.registry_address, *others))
        for name in heard:
            stack.enter_context(listen(name))
        doomed = stack.enter_context(agents(system.registry_address, *children))
        establish()
        before = newest(client)
        killed = time.monotonic()
        doomed.process.kill()

        def suspicions() -> bool:
            return all(
                len([alert for alert, _ in mine if alert.type == "service_suspect"]) >= CHILDREN_OF_EACH
                for mine in heard.values()
            )

        wait_until(suspicions, 30, "each parent has its suspicions")
        last = max(at for mine in heard.values() for alert, at in mine if alert.type == "service_suspect")
        print(f"the last of {len(children)} suspicions was called back {last - killed:.3f} s after the kill")
        wait_until(
            lambda: Counter(event.type for event in events(client, after=before))["service_down"] >= 100,
            40,
            "all are down",
        )
        happened = events(client, after=before)
        kinds = Counter(event.type for event in happened)
        assert kinds["cascading_failure"] == 0
        assert kinds["service_suspect"] == kinds["service_down"] == 100
        for name, mine in heard.items():
            about = {alert.service_id for alert, _ in mine if alert.type == "service_suspect"}
            assert about == {f"child-{name.partition('-')[2]}-{each}" for each in range(CHILDREN_OF_EACH)}
        assert len([event for event in happened if event.recipient == "operators"]) <= 1


@pytest.mark.parametrize(
    ("processes", "agents_of_each"),
    [(8, 5), pytest.param(20, 50, marks=(pytest.mark.endurance, pytest.mark.timeout(600)))],
)
def test_processes_that_are_cut_off_together_are_a_mass_failure_and_nobody_is_deregistered(
    system: Watched, client: RegistryClient, processes: int, agents_of_each: int
) -> None:
    """Several processes hang at once, with several agents each: the guard is up, and all are back afterwards."""
    with MonitorClient(system.tron_address) as tron:
        wait_until(lambda: not tron.get_stats().guard_active, 60, "no mass failure of another test")
    with ExitStack() as stack:
        running: list[Agents] = [
            stack.enter_context(
                agents(
                    system.registry_address,
                    *(
                        {"service_id": f"cut-{process}-{each}", "heartbeat_interval": 1.0}
                        for each in range(agents_of_each)
                    ),
                )
            )
            for process in range(processes)
        ]
        establish()
        before = newest(client)
        for each in running:
            os.kill(each.process.pid, signal.SIGSTOP)
        try:
            wait_until(
                lambda: Counter(event.type for event in events(client, after=before))["cascading_failure"], 20, "guard"
            )
        finally:
            for each in running:
                os.kill(each.process.pid, signal.SIGCONT)
        ids = {f"cut-{process}-{each}" for process in range(processes) for each in range(agents_of_each)}

        def all_back() -> bool:
            alive = client.list_services(liveness="ALIVE").services
            return ids <= {service.service_id for service in alive}

        wait_until(all_back, 30, "all are back")
        kinds = Counter(event.type for event in events(client, after=before) if event.service_id in ids)
        assert kinds["service_deregistered"] == 0
        assert Counter(event.type for event in events(client, after=before))["cascading_failure"] == 1


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs /proc")
def test_a_process_with_many_agents_has_few_threads(system: Watched) -> None:
    """Beside those of gRPC for one idle channel and stream: three, and eight for callbacks."""

    def threads(kind: str, count: int) -> int:
        command = [sys.executable, "-c", THREADS, kind, system.registry_address, str(count)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            answer = process.stdout.readline()
            process.kill()
            return int(answer)

    idle = threads("idle", 0)
    assert threads("many", 500) <= idle + 3 + 8


@pytest.mark.usefixtures("two")
def test_a_callback_that_hangs_and_reports_without_end_disturb_nobody(system: Watched, client: RegistryClient) -> None:
    hangs, go = threading.Event(), threading.Event()

    def hang(_: Alert) -> None:
        hangs.set()
        go.wait(30)

    heard: list[Alert] = []
    with (
        third(system, on_alert=hang) as agent,
        Agent("fourth", registry=system.registry_address, heartbeat_interval=0.5, on_alert=heard.append),
    ):
        client.publish_event("test_event", recipient="third")
        assert hangs.wait(5)
        client.publish_event("test_event", recipient="fourth")
        for number in range(100):
            agent.report(message=str(number))
        wait_until(lambda: heard, 5)
        wait_until(lambda: client.get_service("third").message == "99", 5)
        go.set()


@pytest.mark.parametrize(
    ("kills", "agents_of_each"),
    [(2, 20), pytest.param(20, 300, marks=(pytest.mark.endurance, pytest.mark.timeout(1200)))],
)
def test_a_registry_that_is_killed_again_and_again_accuses_nobody(
    tmp_path: Path, kills: int, agents_of_each: int
) -> None:
    """Two processes with many agents each are back after each kill -9 of the registry, under their incarnations."""
    with start_system(tmp_path) as system, ExitStack() as stack:
        client = stack.enter_context(RegistryClient(system.registry_address))
        ids = [[f"{process}-{each}" for each in range(agents_of_each)] for process in ("one", "two")]
        for each in ids:
            mine = [{"service_id": service_id, "heartbeat_interval": 2.0} for service_id in each]
            stack.enter_context(agents(system.registry_address, *mine))
        expected = {service_id for each in ids for service_id in each}

        def connected() -> dict[str, int]:
            listed = client.list_services().services
            return {each.service_id: each.incarnation for each in listed if each.connected and each.liveness == "ALIVE"}

        def all_back() -> bool:
            try:
                return expected <= connected().keys()
            except TronError:
                return False

        wait_until(all_back, 60, "all are connected")
        incarnations = {service_id: connected()[service_id] for service_id in expected}
        before = newest(client)
        for _ in range(kills):
            system.wait_restarted("registry", system.kill_child("registry"))
            wait_until(all_back, 60, "all are back")
        assert {service_id: connected()[service_id] for service_id in expected} == incarnations
        kinds = Counter(event.type for event in events(client, after=before) if event.service_id in expected)
        assert kinds["service_down"] == kinds["service_deregistered"] == 0
        print(f"{kills} kills, {len(expected)} agents: {dict(kinds) or 'no event'}")


class Listening(grpc.StreamStreamClientInterceptor):
    """Keeps what agents send."""

    def __init__(self) -> None:
        self.sent: list[heartbeat_pb2.HeartbeatRequest] = []

    def intercept_stream_stream(self, continuation: Any, details: Any, requests: Any) -> Any:
        """Pass everything on."""

        def kept() -> Iterator[heartbeat_pb2.HeartbeatRequest]:
            for request in requests:
                self.sent.append(request)
                yield request

        return continuation(details, kept())

    @property
    def in_columns(self) -> set[int]:
        """The incarnations that were named in columns so far."""
        return {number for request in list(self.sent) for number in request.beats.columns.incarnations}


def test_agents_send_what_is_new_once_and_then_beat_in_columns(system: Watched, client: RegistryClient) -> None:
    listening = Listening()
    endpoint = Endpoint(system.registry_address, interceptors=(listening,))
    with ExitStack() as stack:
        running = [
            stack.enter_context(Agent(f"column-{number}", registry=endpoint, heartbeat_interval=0.2))
            for number in range(3)
        ]
        held = {client.get_service(agent.service_id).incarnation for agent in running}
        wait_until(lambda: listening.in_columns == held, 10, "all beat in columns")
        running[0].report(status="running", load=0.5)
        wait_until(lambda: client.get_service("column-0").load == 0.5, 5, "what is new was reported")
        before = client.get_service("column-0").last_heartbeat_at
        wait_until(lambda: client.get_service("column-0").last_heartbeat_at != before, 5, "it beats on")
        told = client.get_service("column-0")
        assert (told.status, told.load, told.liveness) == ("running", 0.5, "ALIVE")
        reports = [beat for request in listening.sent for beat in request.beats.beats if beat.service_id == "column-0"]
        assert len(reports) == 2, "at first, and when something changed"
