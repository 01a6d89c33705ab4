"""The promises of Agent, against a small real registry on loopback."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from grid.registry.v1 import heartbeat_pb2
from tron_client.agent import Agent, Alert
from tron_client.errors import InvalidRequest
from tron_client.testing import FakeRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as registry:
        yield registry


def test_it_registers_beats_and_says_goodbye(fake: FakeRegistry) -> None:
    with Agent("a", caps=["x"], labels={"tier": 2}, registry=fake.address, heartbeat_interval=0.1) as agent:
        assert agent.healthy
        assert agent.service is not None
        assert agent.incarnation == fake.services["a"].incarnation > 0
        assert fake.services["a"].labels == {"tier": 2}
        fake.wait_for(lambda: fake.beats("a") >= 3)
    assert agent.state == "stopped"
    assert fake.goodbyes == {"a": ""}
    assert "a" not in fake.services


def test_it_is_attached_again_with_the_same_incarnation_after_a_restart_of_the_registry(fake: FakeRegistry) -> None:
    with Agent("a", registry=fake.address, heartbeat_interval=0.1) as agent:
        held = agent.incarnation
        fake.stop()
        fake.wait_for(lambda: agent.state == "cut_off")
        fake.start()
        fake.wait_for(lambda: agent.healthy and fake.services["a"].connected, 4)
        assert agent.incarnation == held


def test_fifty_agents_in_one_process_are_back_within_seconds(fake: FakeRegistry) -> None:
    agents = [Agent(f"a{number}", registry=fake.address, heartbeat_interval=1.0) for number in range(50)]
    for agent in agents:
        agent.start()
    fake.cut()
    fake.wait_for(lambda: all(agent.healthy for agent in agents) and len(fake.services) == 50, 4)
    for agent in agents:
        agent.abandon()


def test_a_registry_that_comes_late_is_found(fake: FakeRegistry) -> None:
    fake.stop()
    agent = Agent("a", registry=fake.address, heartbeat_interval=0.1, register_timeout=0.1)
    agent.start()
    assert agent.state == "starting"
    assert not agent.healthy
    fake.start()
    assert agent.wait_registered(5)
    agent.stop()


def test_a_forgotten_service_registers_anew_on_the_same_stream(fake: FakeRegistry) -> None:
    with Agent("a", registry=fake.address, heartbeat_interval=0.1) as agent:
        held = agent.incarnation
        fake.forget("a")
        fake.wait_for(lambda: agent.incarnation > held and "a" in fake.services)
        before = fake.beats("a")
        fake.wait_for(lambda: fake.beats("a") > before)


def test_a_service_that_is_unknown_several_times_over_registers_once(fake: FakeRegistry) -> None:
    unknown = heartbeat_pb2.HeartbeatResponse(unknown_service=heartbeat_pb2.UnknownService(service_id="a"))
    with Agent("a", registry=fake.address, heartbeat_interval=0.1) as agent:
        held = agent.incarnation
        fake.forget("a")
        for _ in range(5):
            fake.send("a", unknown)
        fake.wait_for(lambda: agent.incarnation > held and fake.beats("a") > 0)
        assert agent.incarnation == fake.services["a"].incarnation == held + 1


def test_a_superseded_agent_stops_for_good(fake: FakeRegistry) -> None:
    told: list[int] = []
    agent = Agent("a", registry=fake.address, heartbeat_interval=0.1, on_superseded=told.append)
    agent.start()
    winner = fake.supersede("a")
    fake.wait_for(lambda: agent.state == "superseded" and told == [winner] and not fake.services["a"].connected)
    assert fake.services["a"].incarnation == winner
    agent.stop()
    assert agent.state == "superseded"
    assert fake.goodbyes == {}


def test_a_refused_registration_is_raised_and_ends_the_agent(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = heartbeat_pb2.Rejected(service_id="a", field="service.name", description="too long")
    monkeypatch.setattr(fake, "_register", lambda _: heartbeat_pb2.HeartbeatResponse(rejected=refused))
    agent = Agent("a", registry=fake.address)
    with pytest.raises(InvalidRequest) as caught:
        agent.start()
    assert caught.value.fields[0].field == "service.name"
    fake.wait_for(lambda: agent.state == "stopped")


def test_a_new_status_is_told_at_once_and_figures_are_kept(fake: FakeRegistry) -> None:
    with Agent("a", registry=fake.address, heartbeat_interval=30) as agent:
        agent.report(load=0.5, busy_for=60)
        agent.advance(3)
        agent.report("running", message="step 1")
        fake.wait_for(lambda: fake.beats("a") == 1, 1)
        beat = fake.last_beat("a")
        assert beat is not None
        assert (beat.load, beat.activity, beat.message) == (0.5, 3, "step 1")
        assert beat.HasField("busy_until")
        assert fake.services["a"].status == "running"


async def test_a_blocked_loop_keeps_beating_and_its_lag_is_told(fake: FakeRegistry) -> None:
    async with Agent("a", registry=fake.address, heartbeat_interval=0.1):
        before = fake.beats("a")
        # Blocks the loop until three beats came: the promise itself.
        fake.wait_for(lambda: fake.beats("a") >= before + 4)
        beat = fake.last_beat("a")
        assert beat is not None
        assert beat.loop_lag.ToTimedelta().total_seconds() > 0.1


def test_without_a_loop_no_lag_is_told(fake: FakeRegistry) -> None:
    with Agent("a", registry=fake.address, heartbeat_interval=0.1) as agent:
        loop = asyncio.new_event_loop()
        agent.attach_loop(loop)
        loop.close()
        fake.wait_for(lambda: fake.beats("a") >= 2)
        beat = fake.last_beat("a")
        assert beat is not None
        assert not beat.HasField("loop_lag")


def test_an_alert_is_called_back_soon_and_acknowledged(fake: FakeRegistry) -> None:
    heard: list[tuple[Alert, float]] = []
    listen = lambda alert: heard.append((alert, time.monotonic()))  # noqa: E731
    with Agent("parent", registry=fake.address, on_alert=listen):
        sent = fake.alert("parent", service_id="child", cause="SILENT")
        fake.wait_for(lambda: sent.alert_id in fake.acknowledged)
    alert, called_at = heard[0]
    assert (alert.type, alert.service_id, alert.cause) == ("service_down", "child", "SILENT")
    assert called_at - alert.received_at < 0.1


def test_an_alert_comes_again_after_each_cut_until_it_is_acknowledged(fake: FakeRegistry) -> None:
    heard: list[str] = []

    def fail_twice(alert: Alert) -> None:
        heard.append(alert.alert_id)
        if len(heard) < 3:
            raise RuntimeError("not yet")

    with Agent("parent", registry=fake.address, on_alert=fail_twice, heartbeat_interval=0.2):
        sent = fake.alert("parent")
        for times in (1, 2):
            fake.wait_for(lambda times=times: len(heard) == times)  # type: ignore[misc]
            assert sent.alert_id not in fake.acknowledged
            fake.cut()
        fake.wait_for(lambda: sent.alert_id in fake.acknowledged)
    assert heard == [sent.alert_id] * 3


def test_more_alerts_than_fit_are_sent_again_when_there_is_room(
    fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tron_client.alerts.CAPACITY", 3)
    go = threading.Event()
    heard: set[str] = set()

    def slow(alert: Alert) -> None:
        go.wait(5)
        heard.add(alert.alert_id)

    with Agent("parent", registry=fake.address, on_alert=slow, heartbeat_interval=0.1):
        sent = {fake.alert("parent").alert_id for _ in range(10)}
        fake.wait_for(lambda: fake.beats("parent") >= 2)
        go.set()
        fake.wait_for(lambda: fake.acknowledged == sent)
    assert heard == sent


async def test_alerts_can_be_iterated_and_those_from_before_are_there(fake: FakeRegistry) -> None:
    async with Agent("parent", registry=fake.address) as agent:
        fake.alert("parent", message="one")
        heard = []
        async for alert in agent.alerts():
            heard.append(alert.message)
            alert.acknowledge()
            if len(heard) == 1:
                fake.alert("parent", message="two")
            else:
                break
        assert heard == ["one", "two"]
        await asyncio.to_thread(fake.wait_for, lambda: len(fake.acknowledged) == 2)


def test_the_blocking_iterator_ends_with_the_agent(fake: FakeRegistry) -> None:
    agent = Agent("parent", registry=fake.address)
    agent.start()
    ended = threading.Thread(target=lambda: list(agent.alerts_blocking()))
    ended.start()
    agent.stop()
    ended.join(2)
    assert not ended.is_alive()


def test_who_is_declared_down_is_told(fake: FakeRegistry) -> None:
    told: list[str] = []
    with Agent("a", registry=fake.address, on_declared_down=lambda event: told.append(event.cause)):
        fake.declare_down("a")
        fake.wait_for(lambda: told == ["SILENT"])


def test_a_draining_registry_is_left_and_found_again(fake: FakeRegistry) -> None:
    with Agent("a", registry=fake.address) as agent:
        drain = heartbeat_pb2.HeartbeatResponse(drain=heartbeat_pb2.Drain())
        drain.drain.reconnect_after.FromMilliseconds(50)
        fake.send("a", drain)
        fake.wait_for(lambda: agent.state == "cut_off", 1)
        fake.wait_for(lambda: agent.healthy, 2)


def test_an_abandoned_agent_says_no_goodbye(fake: FakeRegistry) -> None:
    agent = Agent("a", registry=fake.address)
    agent.start()
    agent.abandon()
    fake.wait_for(lambda: not fake.services["a"].connected)
    assert fake.goodbyes == {}
    assert agent.state == "stopped"


def test_starting_and_stopping_twice_is_once(fake: FakeRegistry) -> None:
    agent = Agent("a", registry=fake.address)
    agent.stop()
    agent.start()
    agent.start()
    assert len(fake.services) == 1
    agent.stop("done")
    agent.stop("again")
    assert fake.goodbyes == {"a": "done"}


def test_silence_of_the_registry_is_noticed(fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    with Agent("a", registry=fake.address, heartbeat_interval=1.0) as agent:
        monkeypatch.setattr(fake, "_record_heartbeats", lambda *_: None)
        fake.wait_for(lambda: agent.state == "cut_off", 4)
        assert fake.services["a"].connected  # the stream is open: only the acknowledgements are missing
        monkeypatch.undo()
        fake.wait_for(lambda: agent.healthy, 2)


def test_a_program_that_just_ends_says_goodbye(fake: FakeRegistry) -> None:
    code = f"from tron_client import Agent; Agent('a', registry={fake.address!r}).start()"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=20).returncode == 0
    fake.wait_for(lambda: "a" in fake.goodbyes)
