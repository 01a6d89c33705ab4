"""The demo fleet on the real system: each agent a process with its real parent, and parents that restart children."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tron_cli.fleet_file import load
from tron_client import Event, RegistryClient, TronError

from tests.support.commands import run_tron
from tests.support.processes import System, is_alive, start_system
from tests.support.waiting import wait_until

ALIVE_WITHIN = 30.0
"""Seconds from the command to a fleet that is alive, however busy the machine; what an idle one needs is measured by
benchmarks/demo_start.py."""

pytestmark = pytest.mark.timeout(240)

STORY = ("restart_started", "restart_succeeded", "restart_failed", "child_escalated")


@dataclass
class Demo:
    """`tron up --demo`, and what people do about it."""

    system: System
    client: RegistryClient
    env: dict[str, str]

    def tron(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `tron` to its end, in another terminal so to speak."""
        return run_tron(*arguments, "--registry", self.system.registry_address, env=self.env)

    def play(self, what: str, service_id: str) -> dict[str, Any]:
        """Do something to an agent."""
        done = self.tron("demo", what, service_id, "--json")
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def story(self, service_id: str) -> list[Event]:
        """What was recorded of an agent, oldest first."""
        return list(self.client.list_events(service_id=service_id, limit=1000).events)

    def told(self, service_id: str) -> list[str]:
        """What parents did about an agent, oldest first."""
        return [event.type for event in self.story(service_id) if event.type in STORY]

    def wait_told(self, service_id: str, what: str, timeout: float = 150.0) -> None:
        """Wait until a parent did something about an agent. Stalls of the registry that follow each other keep TRON
        from evaluating anybody for up to a minute, and a restart that does not finish is tried again after 15 s."""
        try:
            wait_until(lambda: what in self.told(service_id), timeout, f"{what} about {service_id}")
        except AssertionError:
            for event in self.story(service_id):
                print(event.occurred_at, event.type, event.recipient, event.cause, event.message, dict(event.details))
            print(self.tron("explain", service_id).stdout, self.system.log, sep="\n")  # pytest shows it
            raise

    def wait_alive(self, service_id: str, incarnation: int, timeout: float = 30.0) -> None:
        """Wait until an agent lives another life than the one before."""

        def anew() -> bool:
            try:
                service = self.client.get_service(service_id)
            except TronError:
                return False
            return service.liveness == "ALIVE" and service.incarnation > incarnation

        wait_until(anew, timeout, f"{service_id} is alive anew")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """The whole fleet on a fresh data directory."""
    # The path of a socket must be short; those of pytest are not.
    with tempfile.TemporaryDirectory(prefix="tron-") as runtime:
        env = {**os.environ, "XDG_RUNTIME_DIR": runtime}
        with start_system(tmp_path_factory.mktemp("demo"), "--demo", env=env) as system:
            with RegistryClient(system.registry_address) as client:
                ids = {row.service_id for row in load("pas").rows}

                def all_alive() -> bool:
                    return ids <= {each.service_id for each in client.list_services(liveness="ALIVE").services}

                wait_until(all_alive, ALIVE_WITHIN, "every row is alive")
                yield Demo(system, client, env)
            assert system.process.poll() is None, system.log
            assert "Traceback" not in system.log, system.log


def test_every_row_of_the_catalogue_is_soon_alive_with_its_real_parent(demo: Demo) -> None:
    services = {each.service_id: each for each in demo.client.list_services().services}
    for row in load("pas").rows:
        service = services[row.service_id]
        assert (service.name, service.connected) == (row.name, True)
        if not row.system:
            assert (service.parent, service.labels, service.url) == (row.parent, row.labels, row.url)
            assert service.stall_after == row.stall_after
    assert not demo.client.list_events(limit=1000).events


@pytest.fixture(scope="module")
def before(demo: Demo) -> dict[str, int]:
    """The incarnations from before three agents fail, each in its way, and all at the same time."""
    wait_until(lambda: demo.client.get_service("Prog-009").activity > 0, 10, "it makes progress")
    found = {each.service_id: each.incarnation for each in demo.client.list_services().services}
    demo.play("--stall", "Prog-009")
    assert demo.play("--kill", "Dir-Code")["pid"] == 0
    demo.play("--kill-once", "Prog-004")
    return found


@pytest.mark.usefixtures("before")
def test_an_agent_that_dies_at_each_restart_is_restarted_three_times_and_escalated_to_the_grandparent(
    demo: Demo,
) -> None:
    demo.wait_told("Dir-Code", "child_escalated")
    assert demo.told("Dir-Code") == ["restart_started", "restart_failed"] * 3 + ["child_escalated"]
    types = [event.type for event in demo.story("Dir-Code")]
    assert types.index("service_down") < types.index("restart_started")
    down = next(event for event in demo.story("Dir-Code") if event.type == "service_down")
    steps = [event for event in demo.story("Dir-Code") if event.type in STORY]
    assert [step.details["restart_count"] for step in steps] == [1, 1, 2, 2, 3, 3, 3]
    assert {(step.details["parent"], step.details["incident"]) for step in steps} == {("Architect", down.alert_id)}
    escalated = steps[-1]
    assert (escalated.recipient, escalated.severity) == ("PAS Root", "CRITICAL")
    open_alerts = demo.client.list_events(recipient="PAS Root", unacknowledged=True).events
    assert escalated.alert_id in {event.alert_id for event in open_alerts}, "it is kept until somebody acknowledges it"
    shown = demo.tron("alerts", "--service", "Dir-Code").stdout
    assert "restart 3 of 3" in shown
    demo.play("--resume", "Dir-Code")
    demo.wait_alive("Dir-Code", 0)


def test_a_killed_agent_is_started_again_by_its_parent(demo: Demo, before: dict[str, int]) -> None:
    demo.wait_told("Prog-004", "restart_succeeded")
    assert demo.told("Prog-004") == ["restart_started", "restart_succeeded"]
    demo.wait_alive("Prog-004", before["Prog-004"])


def test_an_agent_that_stalls_beats_on_and_is_found_out_and_started_anew(demo: Demo, before: dict[str, int]) -> None:
    demo.wait_told("Prog-009", "restart_succeeded")
    stalled, started, *_ = demo.story("Prog-009")  # it beat all the while: nothing else was said of it before
    assert (stalled.type, stalled.cause, stalled.recipient) == ("service_stalled", "STALLED", "Mgr-Data-01")
    assert (started.type, started.details["why"]) == ("restart_started", "service_stalled")
    demo.wait_alive("Prog-009", before["Prog-009"])


def test_an_agent_that_hangs_is_found_silent_and_started_anew(demo: Demo) -> None:
    before = demo.client.get_service("Mgr-Data-01")
    demo.play("--hang", "Mgr-Data-01")
    demo.wait_told("Mgr-Data-01", "restart_succeeded")
    down = next(event for event in demo.story("Mgr-Data-01") if event.type == "service_down")
    assert down.cause == "SILENT"
    demo.wait_alive("Mgr-Data-01", before.incarnation)


def test_a_mistake_is_said_in_one_line(demo: Demo) -> None:
    done = demo.tron("demo", "--kill", "Dir-Cod")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tron: no agent 'Dir-Cod' in this fleet; did you mean Dir-Code")
    done = demo.tron("demo")
    assert done.returncode == 1
    assert "another demo is running at this registry" in done.stderr


def test_the_core_services_are_registered_once_however_often_and_those_that_run_are_left_alone(demo: Demo) -> None:
    ids = {each.service_id for each in demo.client.list_services().services}
    before = demo.client.get_service("tron-heartbeat-monitor")
    for _ in range(2):
        assert demo.tron("register", "--catalogue", "core").returncode == 0
    assert {each.service_id for each in demo.client.list_services().services} == ids
    after = demo.client.get_service("tron-heartbeat-monitor")
    assert (after.incarnation, after.liveness) == (before.incarnation, "ALIVE")


def test_a_demo_that_is_killed_comes_back_with_all_its_agents(demo: Demo) -> None:
    before = {each.service_id: each.incarnation for each in demo.client.list_services().services}
    old = demo.system.kill_child("demo")
    new = demo.system.wait_restarted("demo", old)
    assert is_alive(new)

    def all_back() -> bool:
        now = {each.service_id: each for each in demo.client.list_services(liveness="ALIVE").services}
        return all(
            row.service_id in now and now[row.service_id].incarnation > before[row.service_id]
            for row in load("pas").rows
            if not row.system
        )

    wait_until(all_back, 30, "all are alive anew")


def test_at_the_end_all_leave_and_nobody_is_alarmed(demo: Demo) -> None:
    before = demo.client.list_events(limit=1).last_sequence
    child = demo.system.child_pid("demo")
    os.kill(child, 15)  # as `tron up` does when it drains; it is started again, for nobody drains
    demo.system.wait_restarted("demo", child)
    events = demo.client.list_events(after_sequence=before, limit=1000).events
    # What was said before and is not acknowledged yet escalates when its recipient leaves; that is no new alarm.
    alarms = [event for event in events if event.type in ("service_suspect", "service_down")]
    assert not [event for event in alarms if "escalated_from" not in event.details]
