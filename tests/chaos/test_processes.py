"""Kill -9 and SIGSTOP of the programs, the agents and their parents: alone, and several at the same moment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations

import pytest
from tron_client import RegistryClient

from tests.chaos.conftest import Figure
from tests.chaos.ground import FALSE_ALARMS, PARENT, SILENT, Ground, fleet, ground, ids
from tests.support.ears import listening
from tests.support.fleet import agents
from tests.support.processes import is_alive, start_system
from tests.support.starving import stopped
from tests.support.waiting import let_pass, wait_until
from tests.support.writer import Writer

FLEET = fleet("steady", 50)
PROGRAMS = ("registry", "monitor", "gateway")
STOPPED = 5.0
"""Seconds: longer than a silent death takes at an interval of 1 s (`SILENT`), and than a stream may be broken (2 s)."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A system with 50 agents that are well throughout."""
    with ground(tmp_path_factory.mktemp("processes")) as found, agents(found.address, FLEET):
        found.wait_alive(ids(FLEET))
        yield found


def kill(running: Ground, *programs: str) -> dict[str, int]:
    """Kill -9 of several programs at the same moment; return the process ids that they had."""
    pids = {name: running.system.child_pid(name) for name in programs}
    for pid in pids.values():
        os.kill(pid, signal.SIGKILL)
    return pids


def wait_back(running: Ground, killed: dict[str, int]) -> None:
    """Wait until each of them serves again."""
    for name, pid in killed.items():
        running.system.wait_restarted(name, pid)


def test_registry_and_tron_are_killed_together(running: Ground, figure: Figure) -> None:
    """P1, P2: kill -9 of registry and TRON at the same moment, under 50 agents and a client that writes."""
    since = running.mark()
    writer = Writer(running.address)
    writer.start()
    writer.wait_for_more(50)
    killed = kill(running, "registry", "monitor")
    began = time.monotonic()
    wait_back(running, killed)
    running.wait_alive(ids(FLEET))
    took = time.monotonic() - began
    writer.wait_for_more(10)
    writer.stop()
    running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    assert writer.lost(running.client) == ([], [])
    figure(took, "s until all 50 are attached and ALIVE; 0 false alarms, 0 lost writes")


@pytest.mark.chaos
def test_an_agent_dies_together_with_registry_and_tron(running: Ground, figure: Figure) -> None:
    """P3: kill -9 of an agent, the registry and TRON at the same moment: its parent is notified after the restart."""
    with agents(running.address, fleet("doomed", 1)) as process:
        process.kill()
        killed = kill(running, "registry", "monitor")
        began = time.monotonic()
        wait_back(running, killed)
        down = running.parent.wait("service_down", "doomed-0", 30)
        assert down.event.cause is not None
    figure(down.received_at - began, "s until the parent knows, with a reattach window of 3 s")


def test_a_parent_and_its_child_are_killed_together(running: Ground, figure: Figure) -> None:
    """P3: kill -9 of a parent and its child at the same moment: the grandparent is notified of both deaths."""
    with (
        agents(running.address, fleet("lost-parent", 1)) as parent,
        agents(running.address, fleet("lost-child", 1, parent="lost-parent-0")) as child,
    ):
        running.wait_alive({"lost-parent-0", "lost-child-0"})
        began = time.monotonic()
        parent.kill()
        child.kill()
        running.parent.wait_down({"lost-parent-0", "lost-child-0"})
        took = time.monotonic() - began
    figure(took, "s until the grandparent knows of both (grace 2 s)")


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_all_programs_are_killed_together_again_and_again(running: Ground, figure: Figure) -> None:
    """P1, P2: kill -9 of registry, TRON and gateway at the same moment, ten times, under 50 agents and a writer."""
    since = running.mark()
    writer = Writer(running.address, prefix="ten-times")
    writer.start()
    longest = 0.0
    for _ in range(10):
        writer.wait_for_more(20)
        killed = kill(running, *PROGRAMS)
        began = time.monotonic()
        wait_back(running, killed)
        running.wait_alive(ids(FLEET))
        longest = max(longest, time.monotonic() - began)
    writer.stop()
    running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    assert writer.lost(running.client) == ([], [])
    figure(longest, "s at most until all 50 are attached; 0 false alarms, 0 lost writes")


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_programs_are_stopped_in_pairs(running: Ground, figure: Figure) -> None:
    """P2: SIGSTOP for 5 s of each of registry, TRON and gateway, of each pair, and of all three, under 50 agents."""
    since = running.mark()
    longest = 0.0
    for size in (1, 2, 3):
        for programs in combinations(PROGRAMS, size):
            with ExitStack() as held:
                for name in programs:
                    held.enter_context(stopped(running.system.child_pid(name)))
                let_pass(STOPPED)
            longest = max(longest, running.wait_alive(ids(FLEET)))
            running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    figure(longest, "s at most until all 50 are ALIVE again; 0 false alarms")


@pytest.mark.chaos
def test_an_agent_and_the_registry_are_stopped_together(running: Ground, figure: Figure) -> None:
    """P2, P3: SIGSTOP of an agent and the registry, which goes on after 5 s: the agent is reported, nobody else."""
    since = running.mark()
    with agents(running.address, fleet("frozen", 1)) as process, stopped(process.pid):
        with stopped(running.system.child_pid("registry")):
            let_pass(STOPPED)
        began = time.monotonic()
        running.parent.wait_down({"frozen-0"})
        took = time.monotonic() - began
    running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    figure(took, "s after the registry goes on (window 3 s), until the parent knows")


@pytest.mark.chaos
def test_a_parent_and_its_child_are_stopped_together(running: Ground, figure: Figure) -> None:
    """P3: SIGSTOP of a parent and its child at the same moment: the grandparent is notified of both."""
    with (
        agents(running.address, fleet("still-parent", 1)) as parent,
        agents(running.address, fleet("still-child", 1, parent="still-parent-0")) as child,
        stopped(parent.pid),
        stopped(child.pid),
    ):
        took = running.parent.wait_down({"still-parent-0", "still-child-0"}, 60)
    figure(took, f"s until the grandparent knows of both (silent for {SILENT:g} s)")


@pytest.mark.chaos
def test_a_stopped_parent_never_takes_its_alert(running: Ground, figure: Figure) -> None:
    """P3: SIGSTOP of a parent and kill -9 of its child: the grandparent is notified of both deaths."""
    with (
        listening(running.address, "deaf-grandparent", PARENT) as grandparent,
        agents(running.address, fleet("deaf-parent", 1, parent="deaf-grandparent")) as parent,
        agents(running.address, fleet("deaf-child", 1, parent="deaf-parent-0")) as child,
        stopped(parent.pid),
    ):
        child.kill()
        took = grandparent.wait_down({"deaf-parent-0", "deaf-child-0"}, 60)
    figure(took, "s until the grandparent knows of both")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_the_supervisor_itself_is_killed(tmp_path_factory: pytest.TempPathFactory, figure: Figure) -> None:
    """P1: kill -9 of `tron up` with all its children, under a client that writes; then a start on the same folder."""
    folder = tmp_path_factory.mktemp("supervisor")
    with ground(folder) as first:
        writer = Writer(first.address)
        writer.start()
        writer.wait_for_more(50)
        children = [first.system.child_pid(name) for name in PROGRAMS]
        first.system.kill()
        began = time.monotonic()
        writer.stop()
        wait_until(lambda: not any(map(is_alive, children)), 20, "the children die with it")
        with start_system(folder) as second:
            took = time.monotonic() - began
            with RegistryClient(second.registry_address) as client:
                assert writer.lost(client) == ([], [])
    figure(took, "s until a new `tron up` serves; 0 lost writes")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_registry_that_dies_again_and_again(running: Ground, figure: Figure) -> None:
    """P2, P3: kill -9 of the registry ten times, each 0.5 s after its start; an agent died before the first."""
    since = running.mark()
    with agents(running.address, fleet("unseen", 1)) as process:
        running.wait_alive({"unseen-0"})
        process.kill()
        for _ in range(10):
            wait_back(running, kill(running, "registry"))
            let_pass(0.5)
        began = time.monotonic()
        down = running.parent.wait("service_down", "unseen-0", 60)
    running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    figure(down.received_at - began, "s after the last start (window 3 s) until the parent knows; 0 false alarms")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_the_registry_is_stopped_for_longer_than_agents_wait(running: Ground, figure: Figure) -> None:
    """P2, P3: SIGSTOP of the registry for 38 s: agents end their streams after 30 s. An agent dies meanwhile."""
    since = running.mark()
    with agents(running.address, fleet("unheard", 1)) as process:
        running.wait_alive({"unheard-0"})
        with stopped(running.system.child_pid("registry")):
            let_pass(STOPPED)
            process.kill()
            let_pass(33.0)
        began = time.monotonic()
        down = running.parent.wait("service_down", "unheard-0", 60)
    running.wait_alive(ids(FLEET))
    running.settle()
    assert running.said(since, FALSE_ALARMS, ids(FLEET)) == []
    figure(down.received_at - began, "s after it goes on (window 3 s) until the parent knows; 0 false alarms")
