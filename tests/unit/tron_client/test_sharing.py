"""Many agents of a process on one stream, over gRPC and threads: what one of them does reaches no other."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from grid.registry.v1 import error_reason_pb2, heartbeat_pb2
from tron_client import Agent, Endpoint, InvalidRequest
from tron_client.alerts import Alert
from tron_client.testing import FakeRegistry

INTERVAL = 0.1


class Watched(FakeRegistry):
    """Notes which services were carried by a stream that broke, or were abandoned."""

    def __init__(self, *, sharing: bool = True) -> None:
        super().__init__(sharing=sharing)
        self.broken: list[str] = []
        self.opened = 0

    def _opened(self, stream: Any) -> None:
        self.opened += 1
        super()._opened(stream)

    def _closed(self, stream: Any) -> None:
        super()._closed(stream)
        self.broken += [name for name, each in self.services.items() if not each.connected]


@pytest.fixture
def fake() -> Iterator[Watched]:
    with Watched() as registry:
        yield registry


@pytest.fixture
def two(fake: Watched, caplog: pytest.LogCaptureFixture) -> Iterator[tuple[Agent, Agent]]:
    """Two agents that must notice nothing of what a third one on their stream does."""
    first, second = (Agent(name, registry=fake.address, heartbeat_interval=INTERVAL) for name in ("first", "second"))
    with first, second:
        held = first.incarnation, second.incarnation
        caplog.clear()
        yield first, second
        beats = fake.beats("first"), fake.beats("second")
        fake.wait_for(lambda: fake.beats("first") > beats[0] + 1 and fake.beats("second") > beats[1] + 1)
        assert first.healthy
        assert second.healthy
        assert (first.incarnation, second.incarnation) == held
        assert fake.streams == fake.opened == 1, "nothing broke the stream, and nothing needed another one"
        about_them = [line for line in caplog.messages if "=first" in line or "=second" in line]
        assert about_them == []


def third(fake: FakeRegistry, **options: Any) -> Agent:
    return Agent("third", registry=fake.address, heartbeat_interval=INTERVAL, register_timeout=0.2, **options)


def refusing(fake: FakeRegistry, reason: int, times: int) -> Any:
    """The answer of a registry that refuses to register `third` so often."""
    register, left = fake._register, [times]  # noqa: SLF001

    def answer(registration: heartbeat_pb2.Register) -> heartbeat_pb2.HeartbeatResponse:
        if registration.service.service_id != "third" or not left[0]:
            return register(registration)
        left[0] -= 1
        rejected = heartbeat_pb2.Rejected(
            service_id="third",
            field="service.name",
            description="not this one",
            reason=error_reason_pb2.ErrorReason.ValueType(reason),
            instance_id=registration.instance_id,
        )
        return heartbeat_pb2.HeartbeatResponse(rejected=rejected)

    return answer


@pytest.mark.usefixtures("two")
def test_a_bad_first_registration_is_raised_and_reaches_no_other(
    fake: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake, "_register", refusing(fake, error_reason_pb2.ERROR_REASON_INVALID_REQUEST, 1))
    with pytest.raises(InvalidRequest, match="not this one"):
        third(fake).start()


@pytest.mark.usefixtures("two")
def test_a_quota_is_waited_out(fake: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake, "_register", refusing(fake, error_reason_pb2.ERROR_REASON_QUOTA_EXCEEDED, 2))
    with third(fake) as agent:
        assert agent.wait_registered(5.0)
        assert agent.last_error == ""


@pytest.mark.usefixtures("two")
def test_a_superseded_agent_stops_alone(fake: Watched) -> None:
    told: list[int] = []
    agent = third(fake, on_superseded=told.append)
    agent.start()
    winner = fake.supersede("third")
    fake.wait_for(lambda: agent.state == "superseded" and told == [winner])


@pytest.mark.usefixtures("two")
def test_a_second_agent_of_the_process_supersedes_the_first_whose_goodbye_removes_nothing(fake: Watched) -> None:
    told: list[int] = []
    older, newer = third(fake, on_superseded=told.append), third(fake)
    older.start()
    newer.start()
    fake.wait_for(lambda: older.state == "superseded" and told == [newer.incarnation])
    older.stop()
    assert newer.healthy
    assert fake.services["third"].incarnation == newer.incarnation
    newer.stop()
    assert fake.goodbyes == {"third": ""}


@pytest.mark.usefixtures("two")
def test_an_unknown_service_registers_anew_alone(fake: Watched) -> None:
    with third(fake) as agent:
        held = agent.incarnation
        fake.forget("third")
        fake.wait_for(lambda: agent.incarnation > held and agent.healthy)


@pytest.mark.usefixtures("two")
def test_a_rejected_beat_is_logged_for_its_agent_alone(fake: Watched, caplog: pytest.LogCaptureFixture) -> None:
    rejected = heartbeat_pb2.Rejected(service_id="third", field="beat.load", description="is wrong")
    with third(fake) as agent:
        fake.send("third", heartbeat_pb2.HeartbeatResponse(rejected=rejected))
        fake.wait_for(lambda: "rejected service_id=third field=beat.load why=is wrong" in caplog.messages)
        assert agent.healthy


@pytest.mark.usefixtures("two")
def test_a_goodbye_is_answered_and_the_stream_goes_on(fake: Watched) -> None:
    agent = third(fake)
    agent.start()
    began = time.monotonic()
    agent.stop("done", timeout=5.0)
    assert time.monotonic() - began < 2.0
    assert fake.goodbyes == {"third": "done"}
    assert agent.state == "stopped"
    assert fake.broken == []


@pytest.mark.usefixtures("two")
def test_an_abandoned_agent_breaks_off_alone(fake: Watched) -> None:
    agent = third(fake)
    agent.start()
    agent.abandon()
    fake.wait_for(lambda: not fake.services["third"].connected)
    assert fake.goodbyes == {}


def test_a_callback_that_never_returns_delays_no_other(fake: Watched, two: tuple[Agent, Agent]) -> None:
    hangs, go = threading.Event(), threading.Event()
    heard: list[Alert] = []

    def hang(_: Alert) -> None:
        hangs.set()
        go.wait(30)

    superseded: list[int] = []
    other = Agent("other", registry=fake.address, heartbeat_interval=INTERVAL, on_alert=heard.append)
    agent = third(fake, on_alert=hang, on_superseded=superseded.append)
    with other:
        agent.start()
        fake.alert("third")
        fake.alert("third")
        assert hangs.wait(5)
        sent = fake.alert("other")
        fake.wait_for(lambda: sent.alert_id in fake.acknowledged)
        assert [alert.alert_id for alert in heard] == [sent.alert_id]
        assert agent.healthy
        winner = fake.supersede("third")
        fake.wait_for(lambda: superseded == [winner])  # that does not wait for the alert
        assert two[0].healthy
    go.set()


async def test_coroutines_hold_no_thread(fake: Watched) -> None:
    """More agents than threads wait in a coroutine, and another agent's alert is called back all the same."""
    go, waiting, heard = asyncio.Event(), [], asyncio.Event()
    before = set(threading.enumerate())

    async def wait(alert: Alert) -> None:
        waiting.append(alert)
        await go.wait()

    async def hear(_: Alert) -> None:
        heard.set()

    agents = [Agent(f"a{number}", registry=fake.address, on_alert=wait) for number in range(12)]
    agents.append(Agent("other", registry=fake.address, on_alert=hear))
    for agent in agents:
        await agent.__aenter__()
    for number in range(12):
        fake.alert(f"a{number}")
    fake.alert("other")
    await asyncio.wait_for(heard.wait(), 5)
    names = [thread.name for thread in threading.enumerate() if thread not in before]
    assert names.count("tron-callbacks") <= 8
    go.set()
    for agent in agents:
        await agent.__aexit__(None, None, None)
    assert len(waiting) == 12


@pytest.mark.usefixtures("two")
def test_a_hundred_reports_a_second_starve_nobody(fake: Watched) -> None:
    with third(fake) as agent:
        for number in range(100):
            agent.report(message=str(number))
        fake.wait_for(lambda: (beat := fake.last_beat("third")) is not None and beat.message == "99")
        assert agent.healthy


def test_agents_beyond_the_setting_share_a_second_stream(fake: Watched) -> None:
    endpoint = Endpoint(fake.address, agents_per_stream=2)
    agents = [Agent(f"a{number}", registry=endpoint, heartbeat_interval=INTERVAL) for number in range(5)]
    for agent in agents:
        agent.start()
    assert fake.streams == 3
    assert all(agent.healthy for agent in agents)
    for agent in agents:
        agent.stop()
    fake.wait_for(lambda: fake.streams == 0)
    assert fake.broken == []


def test_only_equal_endpoints_share(fake: Watched) -> None:
    with (
        Agent("a", registry=fake.address),
        Agent("b", registry=Endpoint(fake.address)),
        Agent("c", registry=Endpoint(fake.address)),
        Agent("d", registry=fake.address, own_stream=True),
        Agent("e", registry=fake.address),
    ):
        assert fake.streams == 3


def test_an_interceptor_without_a_hash_is_shared_with_nobody(fake: Watched) -> None:
    @dataclass
    class Interceptor(grpc.UnaryUnaryClientInterceptor):
        name: str

        def intercept_unary_unary(self, proceed: Any, details: Any, request: Any) -> Any:
            return proceed(details, request)

    endpoint = Endpoint(fake.address, interceptors=[Interceptor("a")])
    with Agent("a", registry=endpoint) as one, Agent("b", registry=endpoint) as other:
        assert (one.healthy, other.healthy) == (True, True)
        assert fake.streams == 2


def test_an_agent_with_a_stream_of_its_own_names_no_process(fake: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    register = fake._register  # noqa: SLF001

    def note(asked: heartbeat_pb2.Register) -> heartbeat_pb2.HeartbeatResponse:
        seen.append(asked.shared)
        return register(asked)

    monkeypatch.setattr(fake, "_register", note)
    with (
        Agent("a", registry=fake.address),
        Agent("b", registry=fake.address),
        Agent("c", registry=fake.address, own_stream=True),
    ):
        assert seen[0] == seen[1] != ""
        assert seen[2] == ""
    assert fake.goodbyes == {"a": "", "b": "", "c": ""}


@pytest.mark.parametrize("at_once", [False, True])
def test_a_registry_without_sharing_gets_a_stream_for_each_agent_and_sees_no_break(
    at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with Watched(sharing=False) as fake:
        agents = [Agent(f"a{number}", registry=fake.address, heartbeat_interval=INTERVAL) for number in range(4)]
        starts = [threading.Thread(target=agent.start) for agent in agents]
        for start in starts:
            start.start()
            if not at_once:
                start.join()
        for start in starts:
            start.join()
        assert all(agent.healthy for agent in agents)
        assert fake.streams == 4
        fake.wait_for(lambda: all(fake.beats(f"a{number}") > 2 for number in range(4)))
        fake.cut()
        fake.wait_for(lambda: fake.opened == 8 and all(agent.healthy for agent in agents))
        fake.broken.clear()
        for agent in agents:
            agent.stop()
        assert fake.services == {}
        assert fake.broken == []
        assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_one_cut_brings_all_of_them_back_on_one_stream(fake: Watched) -> None:
    agents = [Agent(f"a{number}", registry=fake.address, heartbeat_interval=INTERVAL) for number in range(20)]
    for agent in agents:
        agent.start()
    held = [agent.incarnation for agent in agents]
    fake.cut()
    fake.wait_for(lambda: fake.opened == 2 and all(agent.healthy for agent in agents))
    assert [agent.incarnation for agent in agents] == held
    assert fake.streams == 1
    for agent in agents:
        agent.stop()
    assert fake.services == {}


def test_agents_that_come_and_go_leave_no_thread_behind(fake: Watched) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        with Agent("a", registry=fake.address), Agent("b", registry=fake.address):
            assert fake.streams == 1
        fake.wait_for(lambda: fake.streams == 0)
        left = [thread.name for thread in threading.enumerate() if thread not in before]
        assert "tron-stream" not in left


def test_an_agent_that_is_stopped_while_the_registry_is_away_lets_the_others_register(fake: Watched) -> None:
    fake.stop()
    first, second = (Agent(name, registry=fake.address, register_timeout=0.0) for name in ("first", "second"))
    first.start()
    second.start()
    first.stop(timeout=0.1)
    assert first.state == "stopped"
    fake.start()
    assert second.wait_registered(5.0)
    assert set(fake.services) == {"second"}
    second.stop()


@pytest.mark.parametrize("option", ["agents_per_stream", "callback_threads"])
def test_a_setting_below_one_is_refused_by_its_name(option: str) -> None:
    with pytest.raises(InvalidRequest, match=option):
        Endpoint("127.0.0.1:1", **{option: 0})  # type: ignore[arg-type]
