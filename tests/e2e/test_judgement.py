"""Which recipients are notified of what, with real processes that really die."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from tron_client import Agent, Alert, Event, MonitorClient, RegistryClient

from tests.e2e.raw_agent import unique
from tests.support.agents import agents
from tests.support.waiting import wait_until
from tests.support.watched import Watched, start_watched

PATIENCE = 45.0
"""Seconds. After a stall of the registry, on a busy machine, TRON evaluates nobody for 15 s, and again after the next
stall."""


class Ear:
    """An agent that notes its alerts, and acknowledges them."""

    def __init__(self, registry: str, service_id: str, *, acknowledges: bool = True, parent: str = "") -> None:
        self.heard: list[tuple[float, Alert]] = []
        on_alert = self._note if acknowledges else None
        self.agent = Agent(service_id, parent=parent, registry=registry, heartbeat_interval=1.0, on_alert=on_alert)

    def _note(self, alert: Alert) -> None:
        self.heard.append((time.monotonic(), alert))

    def __enter__(self) -> Ear:
        self.agent.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.stop()

    def types(self, service_id: str = "") -> list[str]:
        """The types of all alerts so far, or of those about one service."""
        return [alert.type for _, alert in list(self.heard) if service_id in ("", alert.service_id)]

    def wait(self, kind: str, service_id: str, timeout: float = PATIENCE) -> tuple[float, Alert]:
        """When it received that, and the alert."""

        def find() -> tuple[float, Alert] | None:
            found = [each for each in list(self.heard) if (each[1].type, each[1].service_id) == (kind, service_id)]
            return found[0] if found else None

        found = wait_until(find, timeout, f"{kind} about {service_id}")
        assert found is not None
        return found


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A registry and TRON."""
    with start_watched(tmp_path_factory.mktemp("judgement")) as running:
        yield running


@contextmanager
def registry(system: Watched) -> Iterator[RegistryClient]:
    """A client of the registry."""
    with RegistryClient(system.registry_address) as client:
        yield client


def events(system: Watched, *types: str, service_id: str = "") -> list[Event]:
    """What is in the log."""
    with registry(system) as client:
        return list(client.list_events(types=types, service_id=service_id, limit=1000).events)


def everybody(system: Watched) -> list[str]:
    """The ids of all who are registered."""
    with registry(system) as client:
        return [each.service_id for each in client.list_services().services]


def test_a_parent_that_dies_with_thirty_children_is_one_notice_with_the_list(system: Watched) -> None:
    root, parent = unique("root"), unique("parent")
    children = [f"{parent}-child-{n:02}" for n in range(30)]
    family = [{"service_id": parent, "parent": root, "heartbeat_interval": 1.0}]
    family += [{"service_id": each, "parent": parent, "heartbeat_interval": 1.0} for each in children]
    with Ear(system.registry_address, root) as ear:
        with agents(system.registry_address, *family) as host:
            host.kill()
            _, down = ear.wait("service_down", parent)
            assert sorted(down.event.details["affected"]) == children
            assert down.event.details["affected_count"] == 30
            for kind in ("service_down", "service_deregistered"):
                wait_until(
                    lambda kind=kind: {each.service_id for each in events(system, kind)} >= set(children),  # type: ignore[misc]
                    PATIENCE,
                    f"{kind} of all children is on record",
                )
            ear.wait("service_deregistered", parent)
        assert ear.types() == ["service_suspect", "service_down", "service_deregistered"]
        assert {alert.service_id for _, alert in ear.heard} == {parent}


def test_the_living_children_of_a_dead_parent_are_told_and_the_root_hears_of_one_death(system: Watched) -> None:
    root, parent = unique("root"), unique("parent")
    with (
        Ear(system.registry_address, root) as ear,
        agents(system.registry_address, {"service_id": parent, "parent": root}) as host,
        Ear(system.registry_address, unique("orphan"), parent=parent) as orphan,
    ):
        host.kill()
        _, told = orphan.wait("parent_down", parent)
        assert (told.event.action, told.event.details["stands_in"]) == ("keep", root)
        _, down = ear.wait("service_down", parent)
        assert down.event.details["orphan_count"] == 1


def test_where_the_parent_is_dead_too_the_grandparent_is_told_under_the_same_id(system: Watched) -> None:
    root, parent, child = unique("root"), unique("parent"), unique("child")
    with (
        Ear(system.registry_address, root) as ear,
        agents(system.registry_address, {"service_id": parent, "parent": root}) as second,
        agents(system.registry_address, {"service_id": child, "parent": parent}) as third,
    ):
        second.kill()
        ear.wait("service_down", parent)
        died_at = time.monotonic()
        third.kill()
        at, alert = ear.wait("service_down", child)
        assert at - died_at <= 30 + 1
        assert alert.event.details["escalated_from"] == [parent]
        copies = events(system, "service_down", service_id=child)
        assert [each.recipient for each in copies] == [parent, root]
        assert {each.alert_id for each in copies} == {alert.alert_id}


def test_what_a_parent_does_not_acknowledge_climbs_and_ends_with_the_operators(tmp_path: Path) -> None:
    with start_watched(tmp_path) as system:
        with MonitorClient(system.tron_address) as tron:
            assert tron.set_policy(escalate_after=1.0)["escalate_after"] == 1.0
        deaf, child = unique("deaf"), unique("child")
        with (
            Ear(system.registry_address, deaf, acknowledges=False),
            agents(system.registry_address, {"service_id": child, "parent": deaf}) as host,
        ):
            host.kill()
            down = partial(events, system, "service_down", service_id=child)
            wait_until(lambda: "operators" in [each.recipient for each in down()], PATIENCE, "operators are notified")
            wait_until(lambda: "operators_told" in system.log, 10, "the log says so")

            def open_copies() -> set[str]:
                with registry(system) as client:
                    page = client.list_events(types=("service_down",), service_id=child, unacknowledged=True)
                    return {each.recipient for each in page.events}

            wait_until(lambda: open_copies() == {deaf}, 10, "the operators' copy is acknowledged, the other waits")


def test_the_death_of_most_is_one_alert_and_nobody_is_given_up_while_it_lasts(tmp_path: Path) -> None:
    with start_watched(tmp_path) as system:
        fleets = [[{"service_id": f"fleet-{k}-{n:02}", "heartbeat_interval": 1.0} for n in range(40)] for k in range(5)]
        with (
            agents(system.registry_address, *fleets[0]),
            agents(system.registry_address, *fleets[1]),
            agents(system.registry_address, *fleets[2]) as third,
            agents(system.registry_address, *fleets[3]) as fourth,
            agents(system.registry_address, *fleets[4]) as fifth,
            MonitorClient(system.tron_address) as tron,
        ):
            settled = time.monotonic() + 2.5  # only who has lived for a while is a fleet
            wait_until(lambda: time.monotonic() > settled, 5)
            for host in (third, fourth, fifth):
                host.process.send_signal(signal.SIGKILL)
            wait_until(lambda: tron.get_stats().guard_active, 20, "the guard is up")
            up_at = time.monotonic()
            while tron.get_stats().guard_active:
                assert events(system, "service_deregistered") == []
                assert [each for each in events(system, "service_down") if each.recipient] == []
                time.sleep(0.1)
            held_for, window = time.monotonic() - up_at, float(tron.get_policy()["guard_window"])
            print(f"the guard left {held_for:.2f} s after it was up; its window is {window:g} s")
            assert held_for <= window + 1.0  # on a machine that has nothing else to do: within the window
            (cascade,) = events(system, "cascading_failure")
            assert cascade.details["affected_count"] == 120
            assert cascade.recipient == "operators"
            wait_until(lambda: len(events(system, "service_deregistered")) == 120, PATIENCE, "all are deregistered")
            assert len(events(system, "cascading_failure")) == 1
            stats = tron.get_stats()
            core = [each for each in everybody(system) if not each.startswith("fleet-")]
            assert (stats.healthy_services, stats.down_services) == (80 + len(core), 0)


FAULTS = ("DISCONNECTED", "SILENT", "STALLED")


@pytest.mark.parametrize("cause", FAULTS)
def test_the_cause_is_named_right(system: Watched, cause: str) -> None:
    root, child = unique("root"), unique("child")
    declared = {"service_id": child, "parent": root, "heartbeat_interval": 0.5, "stall_after": 2.0}
    with Ear(system.registry_address, root) as ear, agents(system.registry_address, declared) as host:
        if cause == "DISCONNECTED":
            host.kill()
        elif cause == "SILENT":
            host.process.send_signal(signal.SIGSTOP)
        else:
            host.say("freeze")
        kind = "service_stalled" if cause == "STALLED" else "service_down"
        _, alert = ear.wait(kind, child)
        assert alert.cause == cause
        if cause == "STALLED":
            assert "service_down" not in ear.types(child)


def test_who_is_busy_is_not_alarmed_about_and_a_crash_meanwhile_is_found_at_once(system: Watched) -> None:
    root, child = unique("root"), unique("child")
    declared = {"service_id": child, "parent": root, "heartbeat_interval": 0.5, "stall_after": 1.0}
    with Ear(system.registry_address, root) as ear, agents(system.registry_address, declared) as host:
        host.say("busy 60")
        with registry(system) as client:
            wait_until(lambda: client.get_service(child).busy_until is not None, 10, "it is busy")
        host.say("freeze")
        until = time.monotonic() + 4.0  # four times what it allows itself otherwise
        wait_until(lambda: time.monotonic() > until, 10)
        assert ear.types(child) == []
        killed_at = time.monotonic()
        host.kill()
        at, alert = ear.wait("service_suspect", child)
        assert alert.cause == "DISCONNECTED"
        assert at - killed_at < 1.0


def test_maintenance_holds_notices_through_a_new_registration_and_tells_what_still_holds(system: Watched) -> None:
    root, child = unique("root"), unique("child")
    with Ear(system.registry_address, root) as ear, MonitorClient(system.tron_address) as tron:
        with agents(system.registry_address, {"service_id": child, "parent": root}):
            held = tron.set_maintenance(child, True, reason="new disk")
            assert held.maintenance is not None
        with agents(system.registry_address, {"service_id": child, "parent": root}) as again:
            with registry(system) as client:
                assert client.get_service(child).maintenance == held.maintenance
            again.kill()
            wait_until(lambda: events(system, "service_down", service_id=child), PATIENCE, "it is down on record")
            assert ear.types(child) == []
            tron.set_maintenance(child, False)
            _, alert = ear.wait("service_down", child)
            assert alert.event.details["was_held_for"] == "maintenance"


def test_a_parent_that_returns_is_sent_one_summary_for_each_child_that_lives(system: Watched) -> None:
    boss, kids = unique("boss"), [unique("kid") for _ in range(3)]
    declared = [{"service_id": kid, "parent": boss, "reconnect_grace": 0.3} for kid in kids]
    with agents(system.registry_address, *declared) as host:
        host.kill()
        for kid in kids:
            wait_until(partial(events, system, "service_down", service_id=kid), PATIENCE, f"{kid} is down")
    with agents(system.registry_address, *declared):
        for kid in kids:
            wait_until(partial(events, system, "heartbeat_restored", service_id=kid), PATIENCE, f"{kid} is back")
        with Ear(system.registry_address, boss) as ear, registry(system) as client:
            client.publish_event("note", service_id=boss, recipient=boss)
            ear.wait("note", boss)
            for kid in kids:
                _, summary = ear.wait("heartbeat_restored", kid)
                assert {"down_at", "restored_at"} <= summary.event.details.keys()
                assert ear.types(kid) == ["heartbeat_restored"]
                kept = [each.type for each in events(system, service_id=kid)]
                assert {"service_suspect", "service_down", "heartbeat_restored"} <= set(kept)
