"""A running agent opens its next stream before the present one ends, and is registered on one of them all the time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from grid.registry.v1 import error_reason_pb2, heartbeat_pb2
from grid_model import wire
from tron_client import Agent
from tron_client.endpoint import Endpoint
from tron_client.protocol import stream_move
from tron_client.testing import FakeRegistry

EXPIRES = error_reason_pb2.ERROR_REASON_CREDENTIAL_EXPIRED
OLD = error_reason_pb2.ERROR_REASON_DRAINING


class Renewing(FakeRegistry):
    """Notes what a stream still carried when it closed. While it is `deaf`, it answers nothing but on its first
    stream."""

    def __init__(self) -> None:
        super().__init__()
        self.streams_opened: list[Any] = []
        self.left_behind: set[str] = set()
        self.deaf = False

    @property
    def opened(self) -> int:
        """How many streams were opened."""
        return len(self.streams_opened)

    def ask(self, service_id: str, reason: Any, seconds: float = 60.0) -> None:
        """Ask for the next stream of a service."""
        drain = heartbeat_pb2.Drain(ends_after=wire.duration(seconds), reason=reason)
        self.send(service_id, heartbeat_pb2.HeartbeatResponse(drain=drain))

    def _opened(self, stream: Any) -> None:
        super()._opened(stream)
        self.streams_opened.append(stream)

    def _closed(self, stream: Any) -> None:
        super()._closed(stream)
        self.left_behind |= {each for each, service in self.services.items() if not service.connected}

    def _handle(self, stream: Any, request: heartbeat_pb2.HeartbeatRequest) -> None:
        if not self.deaf or stream is self.streams_opened[0]:
            super()._handle(stream, request)


@pytest.fixture
def fake() -> Iterator[Renewing]:
    """A registry that asks for next streams."""
    with Renewing() as fake:
        yield fake


def threads() -> set[str]:
    """The threads that prepare next streams."""
    return {each.name for each in threading.enumerate() if each.name == "tron-next-stream"}


@pytest.mark.parametrize("own_stream", [False, True])
def test_agents_are_registered_on_the_next_stream_before_the_former_closes(fake: Renewing, own_stream: bool) -> None:
    with ExitStack() as stack:
        agents = [
            stack.enter_context(Agent(each, registry=fake.address, own_stream=own_stream)) for each in ("a", "b", "c")
        ]
        before, opened = [agent.incarnation for agent in agents], fake.opened
        for agent in agents if own_stream else agents[:1]:
            fake.ask(agent.service_id, OLD)
        fake.wait_for(lambda: fake.opened == 2 * opened and fake.streams == opened)
        fake.wait_for(lambda: not threads())
        assert fake.left_behind == set()
        assert [agent.incarnation for agent in agents] == before
        assert [agent.state for agent in agents] == ["connected"] * 3
        agents[1].report(message="still here")
        fake.wait_for(lambda: fake.last_beat("b") is not None)
        alert = fake.alert("c")
        received = next(agents[2].alerts_blocking())
        received.acknowledge()
        fake.wait_for(lambda: alert.alert_id in fake.acknowledged)
    assert fake.goodbyes.keys() == {"a", "b", "c"}


def test_a_credential_that_is_not_renewed_yet_leaves_the_stream_open_until_it_is(
    fake: Renewing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tron_client")
    token = tmp_path / "token"
    token.write_text("before\n")
    token.chmod(0o600)
    with Agent("a", registry=Endpoint(fake.address, token_file=token), heartbeat_interval=0.1) as agent:
        fake.ask("a", EXPIRES)
        fake.wait_for(threads)
        beats = fake.beats("a")
        fake.wait_for(lambda: fake.beats("a") >= beats + 3)
        assert fake.opened == 1
        token.write_text("after\n")
        fake.wait_for(lambda: fake.opened == 2 and fake.streams == 1)
        assert fake.left_behind == set()
        assert agent.healthy
    lines = [each.getMessage().partition(" ")[0] for each in caplog.records]
    assert [each for each in lines if "stream" in each] == ["next_stream_asked", "stream_moved"]


def test_a_stream_that_ends_before_the_renewal_is_opened_again(fake: Renewing, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("before\n")
    token.chmod(0o600)
    with Agent("a", registry=Endpoint(fake.address, token_file=token)) as agent:
        fake.ask("a", EXPIRES)
        fake.wait_for(threads)
        fake.cut()
        fake.wait_for(lambda: fake.opened == 2 and agent.healthy)
        fake.wait_for(lambda: not threads())


def test_an_agent_that_the_next_stream_does_not_answer_returns_and_it_is_tried_again(
    fake: Renewing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_move, "REGISTERED_WITHIN", 0.2)
    with Agent("a", registry=fake.address, heartbeat_interval=0.1) as agent:
        fake.deaf = True
        fake.ask("a", OLD)
        fake.wait_for(lambda: fake.opened >= 3)
        beats = fake.beats("a")
        fake.wait_for(lambda: fake.beats("a") > beats or fake.opened > 3)
        fake.deaf = False
        fake.wait_for(lambda: not threads() and fake.streams == 1)
        assert agent.healthy
        assert fake.left_behind == set()


def test_agents_stop_while_their_next_stream_is_prepared(fake: Renewing, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("before\n")
    token.chmod(0o600)
    with Agent("a", registry=Endpoint(fake.address, token_file=token)):
        fake.ask("a", EXPIRES)
        fake.wait_for(threads)
    fake.wait_for(lambda: not threads() and fake.streams == 0)
    assert fake.goodbyes.keys() == {"a"}
