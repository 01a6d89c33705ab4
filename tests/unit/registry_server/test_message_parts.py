"""A large message on a Heartbeat stream is handled in parts: other work runs in between; the answers stay the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grid.registry.v1 import heartbeat_pb2, service_pb2
from grid_model.errors import InvalidRequest
from hypothesis import given
from hypothesis import strategies as st

from registry_server.config import Config
from registry_server.core.columns import UNSET_ACTIVITY, Columns
from registry_server.core.effects import Rejected, UnknownService
from registry_server.core.message_parts import MAX_ALERT_IDS, MAX_BEATS, PART, parts_of_acks, parts_of_beats
from registry_server.core.stream_messages import AlertAck, BeatAck, Beats, Invalid
from registry_server.io.agent_messages import to_agent_message
from registry_server.io.callers import Callers
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.loop import RegistryLoop
from registry_server.io.store.sqlite import SqliteStore
from tests.support.agent_context import AgentContext
from tests.support.turn_count import count_rests
from tests.support.waiting import eventually
from tests.unit.registry_server.builders import at, make_event
from tests.unit.registry_server.test_agent_stream import Beat, Bench, registers

H = heartbeat_pb2


@pytest.fixture
def bench() -> Bench:
    return Bench()


def fleet(bench: Bench, count: int) -> list[int]:
    """Register this many services on the stream; return their incarnations."""
    for first in range(0, count, 1000):
        bench.receive(registers(*(f"s{number}" for number in range(first, min(count, first + 1000)))))
    bench.written()
    return [bench.registry.get(f"s{number}").incarnation for number in range(count)]


@given(st.integers(0, 3 * PART), st.integers(0, 3 * PART), st.booleans())
def test_the_parts_are_the_message(beats: int, in_columns: int, asked: bool) -> None:
    numbers = list(range(1, in_columns + 1))
    columns = Columns(numbers, 7, {"load": [float(each) for each in numbers]}) if in_columns else None
    whole = Beats([Beat(str(each)) for each in range(beats)], asked, True, True, columns, "token:a")
    parts = list(parts_of_beats(whole))
    assert [each for part in parts for each in part.beats] == list(whole.beats)
    divided = [part.columns for part in parts if part.columns is not None]
    assert [each for part in divided for each in part.incarnations] == numbers
    assert [each for part in divided for each in part.figures["load"]] == [float(each) for each in numbers]
    assert all(len(part.beats) + len(part.columns.incarnations if part.columns else ()) <= PART for part in parts)
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False] * bool(parts)
    assert [part.ack_requested for part in parts[:-1]] == [False] * len(parts[:-1])
    assert all(part.ack_requested == asked for part in parts[-1:])
    assert {(part.relayed, part.replaces_figures, part.on_behalf_of) for part in parts} <= {(True, True, "token:a")}


def test_a_large_message_of_heartbeats_is_acknowledged_once_and_after_its_last_part(bench: Bench) -> None:
    fleet(bench, 2 * PART + 1)
    bench.time = 5.0
    beats = [Beat(f"s{number}", sequence=9) for number in range(2 * PART + 1)]
    parts = bench.stream.begin(Beats(beats, ack_requested=True), at(5.0), 5.0)
    assert parts is not None
    assert bench.registry.get("s0").heard_at < 5.0, "nothing is handled before the first part"
    for number, part in enumerate(parts):
        assert bench.written() == []
        assert bench.stream.begin(part, at(5.0 + number), 5.0 + number) is None
    assert bench.written() == [BeatAck(9)]
    assert [bench.registry.get(f"s{each}").heard_at for each in (0, PART, 2 * PART)] == [5.0, 6.0, 7.0]
    assert bench.registry.measures.heartbeats == 2 * PART + 1


def test_no_acknowledgement_of_earlier_heartbeats_leaves_between_two_parts(bench: Bench) -> None:
    fleet(bench, PART + 1)
    bench.receive(Beats((Beat("s0", sequence=1),)))
    bench.receive(Beats((Beat("s0", sequence=2),)))  # waits for its acknowledgement
    bench.written()
    message = Beats([Beat(f"s{number}", sequence=9) for number in range(PART + 1)])
    parts = bench.stream.begin(message, at(0.5), 0.5)
    assert parts is not None
    first, last = parts
    bench.stream.begin(first, at(0.5), 0.5)
    assert bench.stream.flush_ack(10.0)
    assert bench.written() == []
    bench.stream.begin(last, at(0.5), 0.5)
    assert not bench.stream.flush_ack(0.5), "it is not due"
    assert bench.stream.flush_ack(10.0)
    assert bench.written() == [BeatAck(9)]


def test_wrong_columns_of_a_large_message_are_reported_once_and_change_nothing(bench: Bench) -> None:
    numbers = fleet(bench, 2 * PART)
    right = Columns(numbers, 1, {"load": [0.5] * len(numbers), "queue_depth": [3] * len(numbers)})
    bench.receive(Beats((), True, True, True, right))
    bench.written()
    wrong = Columns(numbers, 2, {"load": [0.25], "queue_depth": [4] * len(numbers)})
    bench.receive(Beats((), True, True, True, wrong))
    why = f"has 1 elements; it must be empty or have {len(numbers)}, as many as incarnations"
    rejected, ack = bench.written()
    assert rejected == Rejected("", "beats.columns.load", why)
    assert isinstance(ack, BeatAck)
    reports = [bench.registry.get(f"s{each}").report for each in (0, 2 * PART - 1)]
    assert [(each.load, each.queue_depth) for each in reports] == [(0.5, 4)] * 2


def test_unknown_services_of_a_large_message_are_answered_as_of_a_small_one(bench: Bench) -> None:
    bench.receive(Beats((Beat(""),)))
    bench.written()
    bench.receive(Beats([Beat(f"x{each}") for each in range(PART + 1)], ack_requested=True))
    *unknown, ack = bench.written()
    assert unknown == [UnknownService(f"x{each}") for each in range(PART + 1)]
    assert isinstance(ack, BeatAck)


def test_too_many_heartbeats_are_refused_before_any_is_handled(bench: Bench) -> None:
    bench.register()
    bench.written()
    assert bench.stream.begin(Beats([Beat("a")] * (MAX_BEATS + 1)), at(5.0), 5.0) is None
    (rejected,) = bench.written()
    assert rejected.field == "beats.beats"
    assert bench.registry.get("a").heard_at == 0.0


def test_too_many_acknowledged_alerts_are_refused_as_a_whole(bench: Bench) -> None:
    bench.register()
    bench.written()
    bench.registry.publish(make_event(recipient="a", alert_id="note"), at(1.0))
    bench.receive(AlertAck(("note",) * (MAX_ALERT_IDS + 1)))
    rejected = next(each for each in bench.written() if isinstance(each, Rejected))
    expected = ("ack.alert_ids", "has 1001 elements; at most 1000 are allowed", InvalidRequest.reason)
    assert (rejected.field, rejected.description, rejected.reason) == expected
    assert bench.registry.waiting_for("a"), "it was not acknowledged"
    bench.receive(AlertAck(("x",) * (MAX_ALERT_IDS - 1) + ("note",)))
    assert not bench.registry.waiting_for("a")


def test_acknowledged_alerts_come_in_parts_and_each_once() -> None:
    ids = [str(each) for each in range(PART + 1)]
    parts = list(parts_of_acks(ids + ids))
    assert [len(each.alert_ids) for each in parts] == [PART, 1]
    assert [each for part in parts for each in part.alert_ids] == ids


def test_columns_that_are_too_long_are_refused_before_they_are_read() -> None:
    columns = H.BeatColumns(incarnations=range(1, MAX_BEATS + 2), activity=[UNSET_ACTIVITY])
    message = to_agent_message(H.HeartbeatRequest(beats=H.Beats(columns=columns)))
    assert isinstance(message, Invalid)
    (field,) = message.error.fields
    expected = ("beats.columns.incarnations", "has 10001 elements; at most 10000 heartbeats are allowed")
    assert (field.field, field.description) == expected


class Agent(AgentContext):
    """The context of a stream: what the agent sends, and what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    async def write(self, message: Any) -> None:
        """Note the kind."""
        self.written.append(message.WhichOneof("kind"))


@asynccontextmanager
async def connected(folder: Path) -> Any:
    """A registry, and an agent with a stream that carries `a`."""
    loop = RegistryLoop(SqliteStore(folder), event_retention=60)
    await loop.start()
    keeper = asyncio.create_task(loop.run())
    agent = Agent()
    served = asyncio.create_task(HeartbeatStreams(loop, Config(), Callers(loop)).serve(agent))  # type: ignore[arg-type]
    service = service_pb2.Service(service_id="a", name="a")
    agent.up.put_nowait(H.HeartbeatRequest(register=H.Register(service=service)))
    await eventually(lambda: "registered" in agent.written, what="the registration")
    yield loop, agent
    for task in (served, keeper):
        task.cancel()
        await asyncio.wait({task})
    await loop.close()


def large() -> Iterator[Any]:
    """Messages that are handled in four parts."""
    beats = [H.Beat(service_id="a", load=each) for each in range(4 * PART)]
    yield H.HeartbeatRequest(beats=H.Beats(beats=beats, ack_requested=True))
    columns = H.BeatColumns(incarnations=[1] * (4 * PART), load=range(4 * PART))
    yield H.HeartbeatRequest(beats=H.Beats(columns=columns, ack_requested=True))
    yield H.HeartbeatRequest(ack=H.AlertAck(alert_ids=map(str, range(4 * PART))))


@pytest.mark.parametrize("message", list(large()))
async def test_other_work_runs_between_the_parts_of_a_large_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: Any
) -> None:
    async with connected(tmp_path) as (loop, agent):
        rests = count_rests(monkeypatch)
        agent.up.put_nowait(message)
        agent.up.put_nowait(H.HeartbeatRequest(goodbye=H.Goodbye(service_id="a")))
        await eventually(lambda: "a" not in loop.registry.records, what="the message behind it")
    assert rests.count("stream") == 4
