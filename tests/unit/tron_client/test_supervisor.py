"""The Supervisor with a real agent, threads and event loop, against a small real registry on loopback."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from tron_client import Agent, Alert, FailedChild, RegistryClient, RegistryUnavailable, Service, Supervisor
from tron_client.testing import FakeRegistry

from tests.support.hostile_details import VALUES, everywhere
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tron_client.models import Event


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def parent(fake: FakeRegistry) -> Iterator[Agent]:
    """An agent that has a parent of its own."""
    with Agent("parent", name="Parent", parent="grandparent", registry=fake.address, heartbeat_interval=0.2) as agent:
        yield agent


class Children:
    """Children as they come and go, and how they are restarted."""

    def __init__(self, fake: FakeRegistry) -> None:
        self._fake = fake
        self._agents: dict[str, Agent] = {}
        self.restarts: list[FailedChild] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False
        self._lock = threading.Lock()

    def start(self, service_id: str, parent: str = "parent") -> None:
        """A new life."""
        agent = Agent(
            service_id, name=f"Child {service_id}", parent=parent, registry=self._fake.address, heartbeat_interval=0.2
        )
        agent.start()
        self._agents[service_id] = agent

    def kill(self, service_id: str) -> str:
        """It dies, TRON says so, and its parent is notified; returns the alert_id."""
        self._agents.pop(service_id).abandon()
        self._fake.judge(service_id, "DOWN", "DISCONNECTED")
        return self.accuse(service_id)

    def leave(self, service_id: str) -> None:
        """It says goodbye."""
        self._agents.pop(service_id).stop()

    def accuse(self, service_id: str, kind: str = "service_down", **fields: Any) -> str:
        """The parent is notified of something about it."""
        record = self._fake.services.get(service_id)
        details = {"incarnation": 0 if record is None else record.incarnation}
        told = {"cause": "DISCONNECTED", "severity": "CRITICAL", "details": details} | fields
        return self._fake.alert("parent", type=kind, service_id=service_id, service_name="Child", **told).alert_id

    def restart(self, failed: FailedChild) -> None:
        """The callback."""
        with self._lock:
            self.restarts.append(failed)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.gate.wait(10)
        with self._lock:
            self.at_once -= 1
        if self.broken:
            raise RuntimeError("no such program")
        self.start(failed.service_id)

    def close(self) -> None:
        """All go, as a test ends."""
        self.gate.set()
        for agent in self._agents.values():
            agent.abandon()


@pytest.fixture
def children(fake: FakeRegistry) -> Iterator[Children]:
    family = Children(fake)
    yield family
    family.close()


def recorded(fake: FakeRegistry, *kinds: str) -> list[Event]:
    """What the supervisor wrote down."""
    known = kinds or ("restart_started", "restart_succeeded", "restart_failed", "child_escalated")
    return [event for event in fake.events if event.type in known]


def test_a_dead_child_is_restarted_and_each_step_is_in_the_log(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart, max_restarts=2, window=60.0):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    started, succeeded = recorded(fake)
    assert (started.type, succeeded.type) == ("restart_started", "restart_succeeded")
    assert (started.service_id, started.service_name, started.recipient) == ("a", "Child", "")
    assert (started.severity, started.cause, started.action) == ("INFO", "DISCONNECTED", "restarting")
    assert started.details == {
        "child": "a",
        "parent": "parent",
        "restart_count": 1,
        "max_restarts": 2,
        "window_seconds": 60,
        "why": "service_down",
        "alert_id": alert_id,
        "incident": alert_id,
    }
    assert fake.services["a"].liveness == "ALIVE"


def test_the_alert_is_acknowledged_only_once_the_child_is_alive(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart):
        children.start("a")
        children.gate.clear()
        alert_id = children.kill("a")
        fake.wait_for(lambda: children.restarts)
        before = fake.beats("parent")
        fake.wait_for(lambda: fake.beats("parent") > before + 1)
        assert alert_id not in fake.acknowledged
        children.gate.set()
        fake.wait_for(lambda: alert_id in fake.acknowledged)


def test_after_three_restarts_the_fourth_death_goes_to_the_grandparent_and_is_kept(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart, first_delay=0.01):
        children.start("a")
        alerts = []
        for _ in range(4):
            alerts.append(children.kill("a"))
            fake.wait_for(lambda: alerts[-1] in fake.acknowledged)
    assert [failed.attempt for failed in children.restarts] == [1, 2, 3]
    (escalated,) = recorded(fake, "child_escalated")
    assert (escalated.recipient, escalated.severity, escalated.service_id) == ("grandparent", "CRITICAL", "a")
    assert escalated.details["why"] == "max_restarts_exceeded"
    assert (escalated.details["restart_count"], escalated.details["grandparent"]) == (3, "grandparent")
    assert (escalated.details["alert_id"], escalated.details["incident"]) == (alerts[3], alerts[0])
    assert escalated.alert_id not in fake.acknowledged
    assert [event.severity for event in recorded(fake, "restart_started")] == ["INFO", "WARNING", "WARNING"]


def test_a_callback_that_fails_is_tried_again_and_then_escalated(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.broken = True
    with Supervisor(parent, children.restart, first_delay=0.01):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    kinds = [event.type for event in recorded(fake)]
    assert kinds == ["restart_started", "restart_failed"] * 3 + ["child_escalated"]
    assert recorded(fake, "restart_failed")[0].details["why"] == "no such program"


def test_a_child_that_does_not_come_alive_is_a_restart_that_failed(fake: FakeRegistry, parent: Agent) -> None:
    with Supervisor(parent, lambda _: None, max_restarts=1, restart_timeout=0.3):
        alert_id = fake.alert("parent", service_id="gone").alert_id
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    failed, escalated = recorded(fake, "restart_failed", "child_escalated")
    assert failed.message == "gone: restart 1 of 1 failed: not alive within 0.3 s"
    assert escalated.message == "parent does not restart gone again after 1 restarts in 300 s: no more are allowed"


def test_a_child_that_dies_again_before_it_was_seen_alive_is_noticed_at_once(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    def restart(failed: FailedChild) -> None:
        children.restart(failed)
        if failed.attempt == 1:
            children.kill("a")

    with Supervisor(parent, restart, first_delay=0.01, restart_timeout=60.0):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert recorded(fake, "restart_failed")[0].details["why"] == "the child died again"
    assert [event.type for event in recorded(fake)][-1] == "restart_succeeded"


async def test_a_coroutine_restarts_in_the_event_loop_of_the_program(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    loops = []

    async def restart(failed: FailedChild) -> None:
        loops.append(asyncio.get_running_loop())
        await asyncio.to_thread(children.restart, failed)

    async with Supervisor(parent, restart):
        children.start("a")
        alert_id = children.kill("a")
        await asyncio.to_thread(fake.wait_for, lambda: alert_id in fake.acknowledged)
    assert loops == [asyncio.get_running_loop()]


def test_a_coroutine_needs_no_event_loop(fake: FakeRegistry, parent: Agent, children: Children) -> None:
    async def restart(failed: FailedChild) -> None:
        await asyncio.to_thread(children.restart, failed)

    with Supervisor(parent, restart):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)


async def test_a_coroutine_that_does_not_end_is_cancelled_and_counts_as_failed(
    fake: FakeRegistry, parent: Agent
) -> None:
    async def restart(_: FailedChild) -> None:
        await asyncio.Event().wait()

    async with Supervisor(parent, restart, max_restarts=1, restart_timeout=0.2):
        alert_id = fake.alert("parent", service_id="a").alert_id
        await asyncio.to_thread(fake.wait_for, lambda: alert_id in fake.acknowledged)
    assert recorded(fake, "restart_failed")[0].details["why"] == "the callback did not end within 0.2 s"


def test_a_function_that_does_not_end_is_escalated_and_not_run_twice(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.gate.clear()
    with Supervisor(parent, children.restart, restart_timeout=0.1):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
        assert len(children.restarts) == 1
    (escalated,) = recorded(fake, "child_escalated")
    assert escalated.details["why"] == "restart_stuck"


def test_a_child_that_came_back_by_itself_is_not_restarted(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.start("a")
    alert_id = children.accuse("a")  # late news: the record says that it is alive
    with Supervisor(parent, children.restart):
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert children.restarts == []
    assert recorded(fake) == []


def test_a_child_that_registered_anew_is_not_restarted_though_its_old_judgement_stands(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.start("a")
    alert_id = children.kill("a")
    children.start("a")
    fake.judge("a", "DOWN", "DISCONNECTED")  # TRON has not come to it yet
    with Supervisor(parent, children.restart):
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert children.restarts == []


def test_a_restarted_child_may_be_down_by_its_old_judgement_for_a_moment(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    def restart(failed: FailedChild) -> None:
        since = fake.services["a"].liveness_since
        children.restart(failed)
        fake.judge("a", "DOWN", "DISCONNECTED", since)
        threading.Thread(target=judge_anew, args=(fake.beats("a") + 3,)).start()

    def judge_anew(beats: int) -> None:
        fake.wait_for(lambda: fake.beats("a") >= beats)
        fake.judge("a", "ALIVE")

    with Supervisor(parent, restart):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert [event.type for event in recorded(fake)] == ["restart_started", "restart_succeeded"]


def test_late_news_of_a_child_that_is_alive_are_not_escalated(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart, max_restarts=1):
        children.start("a")
        first = children.kill("a")
        fake.wait_for(lambda: first in fake.acknowledged)
        late = children.accuse("a", "service_deregistered", details={"incarnation": 99})
        fake.wait_for(lambda: late in fake.acknowledged)
    assert recorded(fake, "child_escalated") == []


def test_a_child_that_came_back_while_the_next_restart_waited_is_not_restarted(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.broken = True
    with Supervisor(parent, children.restart, first_delay=20.0, longest_delay=20.0) as supervisor:
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: recorded(fake, "restart_failed"))
        # The event is recorded a moment before the supervisor knows that the restart has ended.
        wait_until(lambda: not supervisor._core._children["a"].running, 10, "the next restart waits")  # noqa: SLF001
        children.start("a")
        children.accuse("a", "heartbeat_restored", severity="INFO")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert len(children.restarts) == 1


def test_the_same_alert_sent_again_is_not_acted_upon_again(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart):
        children.start("a")
        children.gate.clear()
        alert_id = children.kill("a")
        fake.wait_for(lambda: children.restarts)
        fake.cut()
        fake.wait_for(lambda: parent.healthy and fake.services["parent"].connected)
        children.gate.set()
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert len(children.restarts) == 1


def test_down_and_deregistered_of_one_death_are_one_restart(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart):
        children.start("a")
        children.gate.clear()
        alerts = {children.kill("a")}
        fake.wait_for(lambda: children.restarts)
        alerts.add(children.accuse("a", "service_deregistered"))
        children.gate.set()
        fake.wait_for(lambda: alerts <= fake.acknowledged)
    assert len(children.restarts) == 1


def test_many_children_are_restarted_a_few_at_a_time_and_each_once(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    names = [f"c{number}" for number in range(12)]
    with Supervisor(parent, children.restart, concurrency=3):
        for name in names:
            children.start(name)
        children.gate.clear()
        alerts = {children.kill(name) for name in names}
        fake.wait_for(lambda: children.at_once == 3)
        children.gate.set()
        fake.wait_for(lambda: alerts <= fake.acknowledged)
    assert sorted(failed.service_id for failed in children.restarts) == sorted(names)
    assert children.most_at_once == 3


def test_other_alerts_are_passed_on_and_what_is_not_critical_is_acknowledged(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart):
        warning = children.accuse("a", "service_suspect", severity="WARNING")
        critical = children.accuse("a", "cascading_failure")
        last = children.accuse("a", "heartbeat_miss", severity="WARNING")
        fake.wait_for(lambda: {warning, last} <= fake.acknowledged)
        assert critical not in fake.acknowledged
    heard: list[Alert] = []
    with Supervisor(parent, children.restart, on_alert=heard.append):
        fake.cut()
        fake.wait_for(lambda: critical in fake.acknowledged)
    assert [alert.type for alert in heard] == ["cascading_failure"]
    assert children.restarts == []


def test_an_alert_that_climbed_is_about_the_child_of_another_and_is_passed_on(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    heard: list[Alert] = []
    with Supervisor(parent, children.restart, on_alert=heard.append):
        alert_id = children.accuse("a", details={"escalated_from": ["its parent"]})
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert [alert.alert_id for alert in heard] == [alert_id]
    assert children.restarts == []


def test_a_supervisor_without_a_parent_escalates_to_operators(fake: FakeRegistry, children: Children) -> None:
    with (
        Agent("parent", registry=fake.address) as root,
        Supervisor(root, lambda _: None, restart_timeout=0.1, max_restarts=1),
    ):
        alert_id = children.accuse("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    (escalated,) = recorded(fake, "child_escalated")
    assert escalated.recipient == escalated.details["grandparent"] == "operators"


def test_a_stalled_child_is_restarted_until_it_gets_on(fake: FakeRegistry, parent: Agent, children: Children) -> None:
    with Supervisor(parent, children.restart):
        children.start("a")
        fake.judge("a", "ALIVE", "STALLED")
        alert_id = children.accuse("a", "service_stalled", severity="WARNING")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert len(children.restarts) == 1


def test_a_wrapped_program_that_ended_is_restarted_once_it_has_gone(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with Supervisor(parent, children.restart, types=("service_down", "process_exited")):
        children.start("a")
        alert_id = children.accuse("a", "process_exited")  # its goodbye follows
        before = fake.beats("parent")
        fake.wait_for(lambda: fake.beats("parent") > before)
        assert alert_id not in fake.acknowledged
        children.leave("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert len(children.restarts) == 1


def test_what_was_not_acted_upon_is_left_to_the_next_life_which_remembers_the_restarts(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.broken = True
    with Supervisor(parent, children.restart, max_restarts=2, first_delay=20.0, longest_delay=20.0):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: recorded(fake, "restart_failed"))
    assert alert_id not in fake.acknowledged
    fake.cut()  # the registry sends again what nobody acknowledged
    with Supervisor(parent, children.restart, max_restarts=2, first_delay=0.1):
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert [failed.attempt for failed in children.restarts] == [1, 2]
    assert len(recorded(fake, "child_escalated")) == 1


def test_one_failure_escalated_by_two_lives_is_one_alert(
    fake: FakeRegistry, parent: Agent, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    children.broken = True
    with monkeypatch.context() as patched:
        patched.setattr(Alert, "acknowledge", lambda _: None)  # it dies between saying so and acknowledging
        with Supervisor(parent, children.restart, max_restarts=1):
            children.start("a")
            alert_id = children.kill("a")
            fake.wait_for(lambda: recorded(fake, "child_escalated"))
    fake.cut()
    with Supervisor(parent, children.restart, max_restarts=1):
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    first, second = recorded(fake, "child_escalated")
    assert first.alert_id == second.alert_id
    assert len(children.restarts) == 1


def test_while_nobody_can_say_how_a_child_is_nothing_is_done_blindly(
    fake: FakeRegistry, parent: Agent, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = RegistryClient.get_service

    def away_at_first(client: RegistryClient, service_id: str) -> Service:
        asked.append(service_id)
        if len(asked) <= 3:
            assert not children.restarts
            raise RegistryUnavailable("away")
        return real(client, service_id)

    monkeypatch.setattr(RegistryClient, "get_service", away_at_first)
    with Supervisor(parent, children.restart, max_restarts=1, first_delay=0.01):
        children.start("a")
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert [failed.attempt for failed in children.restarts] == [1]


def test_stopping_leaves_what_is_under_way_unacknowledged_and_the_agent_alive(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    children.gate.clear()
    supervisor = Supervisor(parent, children.restart)
    supervisor.start()
    children.start("a")
    alert_id = children.kill("a")
    fake.wait_for(lambda: children.restarts)
    began = time.monotonic()
    supervisor.stop()
    supervisor.stop()
    assert time.monotonic() - began < 1.5
    assert parent.healthy
    assert alert_id not in fake.acknowledged
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tron-supervisor")]


def test_it_ends_with_its_agent(fake: FakeRegistry, children: Children) -> None:
    agent = Agent("parent", registry=fake.address)
    agent.start()
    Supervisor(agent, children.restart, on_alert=lambda _: None).start()
    agent.stop()
    names = {"tron-supervisor-parent", "tron-alerts-parent"}
    fake.wait_for(lambda: names.isdisjoint(thread.name for thread in threading.enumerate()))


def test_one_that_was_never_started_ends_quietly(fake: FakeRegistry, parent: Agent, children: Children) -> None:
    supervisor = Supervisor(parent, children.restart)
    supervisor.stop()
    supervisor.start()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tron-supervisor")]


def test_an_agent_with_a_callback_of_its_own_is_refused(fake: FakeRegistry, children: Children) -> None:
    with pytest.raises(ValueError, match="on_alert"):
        Supervisor(Agent("parent", registry=fake.address, on_alert=print), children.restart)


def test_alerts_and_events_with_any_details_stop_no_supervisor(
    fake: FakeRegistry, parent: Agent, children: Children
) -> None:
    with RegistryClient(fake.address) as client:
        for value in VALUES:
            details = {**everywhere(value), "parent": "parent", "incident": value}
            client.publish_event("restart_started", service_id="other", details=details)
    with Supervisor(parent, children.restart):
        children.start("a")
        hostile = [children.accuse("gone", details=everywhere(value)) for value in VALUES]
        hostile = [each for each, value in zip(hostile, VALUES, strict=True) if value != ["a"] * 50]
        fake.wait_for(lambda: set(hostile) <= set(fake.acknowledged))
        alert_id = children.kill("a")
        fake.wait_for(lambda: alert_id in fake.acknowledged)
    assert fake.services["a"].liveness == "ALIVE"
