"""The SDK's Supervisor on the real system: children are processes, their deaths are real, and TRON judges."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from tron_client import Agent, Alert, FailedChild, RegistryClient, Supervisor

from tests.support.processes import System, start_system
from tests.support.waiting import wait_until

CHILD = """
import signal, sys
from tron_client import Agent
agent = Agent(sys.argv[2], parent=sys.argv[3], heartbeat_interval=1.0, reconnect_grace=0.5, registry=sys.argv[1])
agent.start()
print("registered", flush=True)
signal.pause()
"""

# A parent that hears of a death, says so, and takes forever to act upon it.
SLOW_PARENT = """
import sys, threading
from tron_client import Agent, Supervisor
def restart(failed):
    print("heard", failed.alert.alert_id, flush=True)
    threading.Event().wait()
agent = Agent(sys.argv[2], parent=sys.argv[3], heartbeat_interval=1.0, reconnect_grace=0.5, registry=sys.argv[1])
with agent, Supervisor(agent, restart):
    print("registered", flush=True)
    threading.Event().wait()
"""

STORY = ("restart_started", "restart_succeeded", "restart_failed", "child_escalated")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with start_system(tmp_path_factory.mktemp("supervisor")) as running:
        yield running


@pytest.fixture
def client(system: System) -> Iterator[RegistryClient]:
    with RegistryClient(system.registry_address) as connected:
        yield connected


class Children:
    """Child processes of one parent, as that parent starts them."""

    def __init__(self, system: System, parent: str) -> None:
        self._system = system
        self._parent = parent
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.restarts: list[FailedChild] = []

    def start(self, service_id: str, program: str = CHILD) -> None:
        """End what is left of a child, and start it; returns once it is registered."""
        self.kill(service_id)
        command = [sys.executable, "-c", program, self._system.registry_address, service_id, self._parent]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes[service_id] = process
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "registered"

    def restart(self, failed: FailedChild) -> None:
        """The Supervisor's callback."""
        self.restarts.append(failed)
        self.start(failed.service_id)

    def kill(self, service_id: str) -> None:
        """End a child as a crash does."""
        process = self.processes.pop(service_id, None)
        if process is not None:
            process.kill()
            process.communicate()

    def close(self) -> None:
        """End them all."""
        for service_id in tuple(self.processes):
            self.kill(service_id)


def told(client: RegistryClient, service_id: str) -> list[str]:
    """What a supervisor did about a child, oldest first."""
    events = client.list_events(service_id=service_id, types=STORY, limit=1000).events
    return [event.type for event in events]


def wait_restarted(client: RegistryClient, service_id: str, times: int = 1) -> None:
    """Wait until a child was restarted this many times."""
    wait_until(lambda: told(client, service_id).count("restart_succeeded") == times, 20, f"{service_id} is restarted")


def test_a_child_that_dies_after_each_restart_is_escalated_to_the_grandparent_over_its_own_stream(
    system: System, client: RegistryClient
) -> None:
    heard: list[Alert] = []
    grandparent = Agent("s-grandparent", registry=system.registry_address, heartbeat_interval=1.0)
    parent = Agent("s-parent", parent="s-grandparent", registry=system.registry_address, heartbeat_interval=1.0)
    children = Children(system, "s-parent")
    with (
        grandparent,
        Supervisor(grandparent, lambda _: None, on_alert=heard.append),
        parent,
        Supervisor(parent, children.restart, first_delay=0.1),
    ):
        try:
            children.start("s-child")
            for attempt in (1, 2, 3):
                children.kill("s-child")
                wait_restarted(client, "s-child", attempt)
            children.kill("s-child")
            wait_until(lambda: "child_escalated" in [alert.type for alert in heard], 20, "the grandparent hears")
        finally:
            children.close()
        assert told(client, "s-child") == ["restart_started", "restart_succeeded"] * 3 + ["child_escalated"]
        escalated = next(alert for alert in heard if alert.type == "child_escalated")
        assert (escalated.service_id, escalated.severity, escalated.event.recipient) == (
            "s-child",
            "CRITICAL",
            "s-grandparent",
        )
        downs = client.list_events(service_id="s-child", types=("service_down",)).events
        assert [failed.alert.alert_id for failed in children.restarts] == [event.alert_id for event in downs[:3]]
        assert escalated.event.details["alert_id"] == downs[3].alert_id
        assert escalated.event.details["incident"] == downs[0].alert_id
        wait_until(
            lambda: not client.list_events(recipient="s-parent", unacknowledged=True).events, 5, "all acknowledged"
        )


def test_a_child_that_hangs_is_ended_and_started_anew(system: System, client: RegistryClient) -> None:
    children = Children(system, "h-parent")
    parent = Agent("h-parent", registry=system.registry_address, heartbeat_interval=1.0)
    with parent, Supervisor(parent, children.restart):
        try:
            children.start("h-child")
            before = client.get_service("h-child").incarnation
            children.processes["h-child"].send_signal(signal.SIGSTOP)
            wait_restarted(client, "h-child")
            after = client.get_service("h-child")
            assert (after.liveness, after.incarnation > before) == ("ALIVE", True)
        finally:
            children.close()
    assert [failed.alert.cause for failed in children.restarts] == ["SILENT"]


def test_a_child_that_comes_back_by_itself_is_not_started_twice(system: System, client: RegistryClient) -> None:
    """The second restart is due 20 s after the first one failed: an earlier acknowledgement shows that it recovered."""
    children = Children(system, "b-parent")
    parent = Agent("b-parent", registry=system.registry_address, heartbeat_interval=1.0)

    def fail(failed: FailedChild) -> None:
        children.restarts.append(failed)
        raise RuntimeError("not now")

    with parent, Supervisor(parent, fail, first_delay=20.0):
        try:
            children.start("b-child")
            children.processes["b-child"].send_signal(signal.SIGSTOP)
            wait_until(lambda: "restart_failed" in told(client, "b-child"), 20, "the first restart failed")
            children.processes["b-child"].send_signal(signal.SIGCONT)
            wait_until(
                lambda: not client.list_events(recipient="b-parent", unacknowledged=True).events, 10, "acknowledged"
            )
        finally:
            children.close()
    assert len(children.restarts) == 1


def test_a_supervisor_that_dies_before_it_acted_leaves_the_alert_to_its_next_life(
    system: System, client: RegistryClient
) -> None:
    parents, children = Children(system, "d-grandparent"), Children(system, "d-parent")
    try:
        parents.start("d-parent", SLOW_PARENT)
        children.start("d-child")
        children.kill("d-child")
        slow = parents.processes["d-parent"]
        assert slow.stdout is not None
        heard, alert_id = slow.stdout.readline().split()
        assert heard == "heard"
        parents.kill("d-parent")
        waiting = client.list_events(recipient="d-parent", unacknowledged=True).events
        assert alert_id in {event.alert_id for event in waiting}
        next_life = Agent("d-parent", registry=system.registry_address, heartbeat_interval=1.0)
        with next_life, Supervisor(next_life, children.restart, first_delay=0.1):
            wait_restarted(client, "d-child")
            assert [(failed.alert.alert_id, failed.attempt) for failed in children.restarts] == [(alert_id, 2)]
    finally:
        children.close()
        parents.close()
