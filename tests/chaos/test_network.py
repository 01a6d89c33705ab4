"""What networks and middleboxes do to connections: cut, delay, hold back, throttle, and keep the socket of the dead."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tron_client import RegistryClient

from benchmarks._driver import Driver
from tests.chaos.conftest import Figure
from tests.chaos.ground import DEATHS, FALSE_ALARMS, PARENT, SILENT, Ground, fleet, ground, ids, write_settings
from tests.support.ears import listening
from tests.support.fleet import agents
from tests.support.link import link
from tests.support.processes import start_monitor, start_registry
from tests.support.waiting import let_pass, wait_until
from tron.policy import Policy

POLICY_WINDOW = Policy().reattach_window
"""The default, for the storm: in the 3 s of the other scenarios ten thousand cannot come back."""

STORM = int(os.environ.get("CHAOS_STORM", "10000"))
"""Agents of the storm; fewer on a machine that cannot carry them."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A system."""
    with ground(tmp_path_factory.mktemp("network")) as found:
        yield found


def test_a_proxy_keeps_the_socket_of_a_dead_agent_open(running: Ground, figure: Figure) -> None:
    """P3: kill -9 of an agent behind a proxy that keeps its connection to the registry open."""
    with link(running.address) as way, agents(way.address, fleet("ghost", 1)) as process:
        running.wait_alive({"ghost-0"})
        way.keeps_dead = True
        began = time.monotonic()
        process.kill()
        down = running.parent.wait("service_down", "ghost-0", 20)
        assert down.event.cause == "SILENT"
        assert not running.parent.heard("service_suspect", "ghost-0"), "nobody saw a break"
        wait_until(lambda: "stream_reclaimed" in running.system.log, 20, "the registry reclaims the stream")
    figure(down.received_at - began, f"s until the parent knows (bound {SILENT:g} s after the last heartbeat)")


@pytest.mark.chaos
def test_all_connections_are_cut_again_and_again(running: Ground, figure: Figure) -> None:
    """P2: a proxy resets the connections of 50 agents five times, every 3 s; they come back within the grace."""
    healthy = fleet("torn", 50)
    with link(running.address) as way, agents(way.address, healthy):
        running.wait_alive(ids(healthy))
        since = running.mark()
        longest = 0.0
        for _ in range(5):
            assert way.cut() >= 1
            longest = max(longest, running.wait_alive(ids(healthy)))
            let_pass(3.0)
        running.settle()
        assert running.said(since, DEATHS, ids(healthy)) == []
    figure(longest, "s at most until all are ALIVE again (grace 2 s); 0 declared down")


@pytest.mark.chaos
def test_a_slow_network(running: Ground, figure: Figure) -> None:
    """P2: a delay of 2 s in each direction, and then a way down of 20 KB/s, for 50 agents that beat every second."""
    healthy = fleet("distant", 50)
    with link(running.address) as way:
        way.delay = 0.05
        with agents(way.address, healthy):
            running.wait_alive(ids(healthy))
            since = running.mark()
            for step in range(20):  # a queue that fills: a delay that grows faster than the tolerance would be silence
                way.delay = 0.1 * (step + 1)
                let_pass(0.5)
            let_pass(5.0)
            way.bytes_per_second = 20_000
            let_pass(10.0)
            alarms = running.said(since, FALSE_ALARMS, ids(healthy))
            assert alarms == []
            assert ids(healthy) <= running.alive()
    figure(len(alarms), "false alarms in 25 s")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_half_of_the_fleet_is_cut_off_without_a_word(running: Ground, figure: Figure) -> None:
    """P2, P3: nothing gets through to or from 25 of 50 agents for 10 s: these are found, the others are left alone."""
    near, far = fleet("near", 25), fleet("far", 13) + fleet("farther", 12, parent="")
    with link(running.address) as way, agents(running.address, near), agents(way.address, far):
        running.wait_alive(ids(near) | ids(far))
        let_pass(2.5)  # the guard does not count what was alive for less
        since = running.mark()
        way.hold()
        began = time.monotonic()
        wait_until(lambda: {each.service_id for each in running.said(since, DEATHS)} >= ids(far), 20, "all are down")
        took = time.monotonic() - began
        assert running.said(since, ("cascading_failure",)), "half of a fleet at once is a mass failure"
        way.release()
        running.wait_alive(ids(far))
        assert running.said(since, FALSE_ALARMS, ids(near)) == []
    figure(took, f"s until all 25 are down (bound {SILENT:g} s after the last heartbeat); 0 false alarms")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_tron_is_cut_off_from_the_registry(tmp_path: Path, figure: Figure) -> None:
    """P2, P3: nothing gets through between TRON and the registry for 10 s, then it is cut 5 times; two agents die."""
    healthy, settings = fleet("steady", 20), write_settings(tmp_path)
    with ExitStack() as held:
        registry = held.enter_context(start_registry(tmp_path / "registry" / "data"))
        way = held.enter_context(link(registry.address))
        held.enter_context(start_monitor(tmp_path / "monitor" / "data", way.address, "--config", str(settings)))
        parent = held.enter_context(listening(registry.address, PARENT))
        held.enter_context(agents(registry.address, healthy))
        client = held.enter_context(RegistryClient(registry.address))
        first = held.enter_context(agents(registry.address, fleet("held", 1)))
        second = held.enter_context(agents(registry.address, fleet("torn-off", 1)))
        wait_until(lambda: client.get_service("torn-off-0").liveness == "ALIVE", 20, "TRON watches")
        since = client.list_events(newest=True, limit=1).last_sequence
        way.hold()
        first.kill()
        let_pass(10.0)
        assert not parent.heard("service_down", "held-0"), "nobody evaluates liveness"
        way.release()
        began = time.monotonic()
        took = parent.wait("service_down", "held-0", 30).received_at - began
        second.kill()
        for _ in range(5):
            way.cut()
            let_pass(1.0)
        parent.wait("service_down", "torn-off-0", 30)
        events = client.list_events(after_sequence=since, limit=1000).events
        about = {each.service_id for each in events if each.type in FALSE_ALARMS}
        assert about <= {"held-0", "torn-off-0", "tron-heartbeat-monitor"}
    figure(took, "s after the network is back until the parent knows of the death; 0 false alarms")


@pytest.mark.chaos
@pytest.mark.needs("go")
@pytest.mark.timeout(900)
def test_a_storm_of_ten_thousand_reconnects(tmp_path: Path, figure: Figure) -> None:
    """P2: kill -9 of the registry under 10,000 agents with streams of their own, which all come back at once."""
    with (
        ground(tmp_path, window=POLICY_WINDOW) as running,
        Driver(running.address, agents=STORM, per_connection=1, ramp="60s", interval="5s") as driver,
    ):
        assert driver.wait(lambda: driver.heard("attached"), 300, "all to be registered")
        running.settle()
        since, before = running.mark(), len(driver.heard("attached"))
        old = running.system.kill_child("registry")
        began = time.time()
        running.system.wait_restarted("registry", old, 60)
        assert driver.wait(lambda: len(driver.heard("attached")) > before, 120, "all to come back")
        took = driver.heard("attached")[before]["at"] - began
        running.settle(120)
        assert running.said(since, DEATHS) == []
    figure(took, f"s until all {STORM} are attached again (window {POLICY_WINDOW:g} s); 0 declared down")
