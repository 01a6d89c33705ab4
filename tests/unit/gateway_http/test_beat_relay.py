"""Relayed heartbeats: what one message holds, and what becomes of a heartbeat whose incarnation is out of date."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from math import isnan
from typing import Any, cast

import pytest
from grid.registry.v1 import heartbeat_pb2
from grid_model import wire
from grid_model.access import Principal
from grid_model.errors import NotOwner, PermissionDenied
from tron_client import ServiceNotFound

from gateway_http.replica.entry import Reported
from gateway_http.upstream.beat_batch import BATCH_BEATS, UNSET_DEPTH, BeatBatch
from gateway_http.upstream.beat_relay import BeatRelay
from grid_hosting.open_calls import act_as

OK = Reported("ok")


def beats_of(*reported: Reported, columns: bool = True) -> heartbeat_pb2.Beats:
    """The message with these heartbeats, of services 1, 2, 3 and so on."""
    batch = BeatBatch(9, columns=columns)
    for number, each in enumerate(reported, 1):
        batch.add(f"service-{number}", number, each)
    return batch.message().beats


def test_heartbeats_without_figures_are_two_columns() -> None:
    beats = beats_of(OK, Reported("degraded"))
    assert (beats.relayed, beats.ack_requested, beats.replaces_figures, len(beats.beats)) == (True, True, True, 0)
    filled = {field.name for field, _ in beats.columns.ListFields()}
    assert filled == {"incarnations", "sequence", "status"}
    assert (list(beats.columns.incarnations), beats.columns.sequence) == ([1, 2], 9)


def test_a_figure_has_a_column_once_any_heartbeat_reports_it() -> None:
    columns = beats_of(OK, Reported("ok", 2.0, None, 0.5), Reported("ok", None, 3)).columns
    assert [None if isnan(each) else each for each in columns.p95_ms] == [None, 2.0, None]
    assert [None if isnan(each) else each for each in columns.load] == [None, 0.5, None]
    assert list(columns.queue_depth) == [UNSET_DEPTH, UNSET_DEPTH, 3]


@pytest.mark.parametrize("reported", [Reported("ok", message="busy"), Reported("ok", queue_depth=UNSET_DEPTH)])
def test_what_does_not_fit_in_columns_is_a_beat_beside_them(reported: Reported) -> None:
    beats = beats_of(OK, reported)
    assert list(beats.columns.incarnations) == [1]
    (beat,) = beats.beats
    assert (beat.service_id, beat.sequence, beat.message, beat.queue_depth) == (
        "service-2",
        9,
        reported.message or "",
        reported.queue_depth or 0,
    )


def test_without_the_offer_or_the_incarnation_each_is_a_beat() -> None:
    assert [beat.service_id for beat in beats_of(OK, OK, columns=False).beats] == ["service-1", "service-2"]
    batch = BeatBatch(1, columns=True)
    batch.add("a", 0, OK)
    assert [beat.service_id for beat in batch.message().beats.beats] == ["a"]
    assert not batch.message().beats.HasField("columns")


def test_a_message_is_full_with_so_and_so_many_heartbeats_in_either_form() -> None:
    batch = BeatBatch(1, columns=True)
    for number in range(1, BATCH_BEATS):
        batch.add(str(number), number, OK)
    assert not batch.full
    batch.add("another", 0, OK)
    assert batch.full


# --- the stream -----------------------------------------------------------------------------------------------------


class Stream:
    """One Heartbeat stream, played by the test: what was sent, and what comes back."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[heartbeat_pb2.Beats] = asyncio.Queue()
        self.down: asyncio.Queue[heartbeat_pb2.HeartbeatResponse | None] = asyncio.Queue()

    async def write(self, request: heartbeat_pb2.HeartbeatRequest) -> None:
        await self.sent.put(request.beats)

    async def __aiter__(self) -> AsyncIterator[heartbeat_pb2.HeartbeatResponse]:
        while (answer := await self.down.get()) is not None:
            yield answer

    def cancel(self) -> None:
        """The relay ends it."""

    def answer(self, **kind: Any) -> None:
        self.down.put_nowait(heartbeat_pb2.HeartbeatResponse(**kind))

    def acknowledge(self, sequence: int, *, batches: bool = True) -> None:
        heard_at = wire.timestamp_at(1000.0)
        ack = heartbeat_pb2.BeatAck(sequence=sequence, revision=5, heard_at=heard_at, batches=batches)
        self.answer(ack=ack)


class Streams:
    """A channel on which every stream is played by the test."""

    def __init__(self) -> None:
        self.opened: asyncio.Queue[Stream] = asyncio.Queue()

    def __getattr__(self, _: str) -> Any:
        return lambda *_, **__: self._open

    def _open(self, **_: Any) -> Stream:
        stream = Stream()
        self.opened.put_nowait(stream)
        return stream


@contextmanager
def running(streams: Streams) -> Iterator[BeatRelay]:
    """A relay that runs on these streams."""
    relay = BeatRelay(cast(Any, streams))
    task = asyncio.ensure_future(relay.run())
    try:
        yield relay
    finally:
        task.cancel()


async def connected(streams: Streams, *, batches: bool = True) -> Stream:
    """A stream on which the registry listens."""
    stream = await streams.opened.get()
    assert not (await stream.sent.get()).HasField("columns")
    stream.acknowledge(0, batches=batches)
    return stream


async def test_a_heartbeat_travels_in_a_column_and_is_answered_by_the_acknowledgement() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        answer = asyncio.ensure_future(relay.beat("a", 7, OK))
        sent = await stream.sent.get()
        assert list(sent.columns.incarnations) == [7]
        stream.acknowledge(1)
        assert (await answer).revision == 5


async def test_a_registry_without_columns_is_sent_beats_by_their_id() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams, batches=False)
        answer = asyncio.ensure_future(relay.beat("a", 7, OK))
        sent = await stream.sent.get()
        assert ([beat.service_id for beat in sent.beats], sent.HasField("columns")) == (["a"], False)
        stream.acknowledge(1, batches=False)
        await answer


@pytest.mark.parametrize(
    "told",
    [
        {"superseded": heartbeat_pb2.Superseded(service_id="a", incarnation=8, superseded_incarnation=7)},
        {"unknown_service": heartbeat_pb2.UnknownService(incarnation=7)},
    ],
    ids=["superseded", "not remembered"],
)
async def test_a_heartbeat_whose_incarnation_is_out_of_date_is_sent_again_by_its_id(told: dict[str, Any]) -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        answers = [asyncio.ensure_future(relay.beat(*each, OK)) for each in (("a", 7), ("b", 9))]
        assert list((await stream.sent.get()).columns.incarnations) == [7, 9]
        stream.answer(**told)
        stream.acknowledge(1)
        assert (await answers[1]).revision == 5
        assert not answers[0].done(), "it is answered by the acknowledgement of the second try"
        again = await stream.sent.get()
        assert [(beat.service_id, beat.incarnation) for beat in again.beats] == [("a", 0)]
        stream.acknowledge(2)
        assert (await answers[0]).revision == 5


async def test_a_service_that_is_not_registered_is_not_found_once_it_was_asked_for_by_its_id() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        answer = asyncio.ensure_future(relay.beat("a", 7, OK))
        await stream.sent.get()
        stream.answer(unknown_service=heartbeat_pb2.UnknownService(service_id="a", incarnation=7))
        stream.acknowledge(1)
        assert [beat.service_id for beat in (await stream.sent.get()).beats] == ["a"]
        stream.answer(unknown_service=heartbeat_pb2.UnknownService(service_id="a"))
        stream.acknowledge(2)
        with pytest.raises(ServiceNotFound):
            await answer


async def test_a_new_stream_begins_without_columns() -> None:
    streams = Streams()
    with running(streams) as relay:
        first = await connected(streams)
        answer = asyncio.ensure_future(relay.beat("a", 7, OK))
        assert list((await first.sent.get()).columns.incarnations) == [7]
        first.down.put_nowait(None)
        second = await connected(streams, batches=False)
        assert [beat.service_id for beat in (await second.sent.get()).beats] == ["a"]
        second.acknowledge(1, batches=False)
        await answer


# --- with authentication --------------------------------------------------------------------------------------------


def beat_as(relay: BeatRelay, name: str, service_id: str, incarnation: int) -> asyncio.Future[Any]:
    """A heartbeat of a client that authenticates as this principal."""

    async def beat() -> Any:
        act_as(Principal(name))
        return await relay.beat(service_id, incarnation, OK)

    return asyncio.ensure_future(beat())


async def test_a_message_has_the_heartbeats_of_one_principal_and_principals_take_turns() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        answers = [
            beat_as(relay, "token:a", "a-1", 1),
            beat_as(relay, "token:b", "b-1", 2),
            beat_as(relay, "token:a", "a-2", 3),
        ]
        for sequence, (principal, incarnations) in enumerate((("token:a", [1, 3]), ("token:b", [2])), 1):
            sent = await stream.sent.get()
            assert (sent.on_behalf_of, list(sent.columns.incarnations)) == (principal, incarnations)
            stream.acknowledge(sequence)
        assert [(await each).revision for each in answers] == [5, 5, 5]


async def test_heartbeats_of_two_principals_for_one_service_are_answered_apart() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        foreign, own = beat_as(relay, "token:foreign", "a", 1), beat_as(relay, "token:owner", "a", 1)
        await stream.sent.get()
        stream.answer(unknown_service=heartbeat_pb2.UnknownService(incarnation=1))  # as for one that was never used
        stream.acknowledge(1)
        assert (await stream.sent.get()).on_behalf_of == "token:owner"
        stream.acknowledge(2)
        assert (await own).revision == 5
        again = await stream.sent.get()
        assert (again.on_behalf_of, [beat.service_id for beat in again.beats]) == ("token:foreign", ["a"])
        stream.answer(rejected=heartbeat_pb2.Rejected(service_id="a", description="not yours", reason=16))  # type: ignore[arg-type]
        stream.acknowledge(3)
        with pytest.raises(NotOwner, match="not yours"):
            await foreign


async def test_a_principal_for_which_the_gateway_may_not_speak_delays_nobody() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        refused, other = beat_as(relay, "token:operator", "a", 1), beat_as(relay, "token:b", "b", 2)
        await stream.sent.get()
        field, reason = "beats.on_behalf_of", 15
        stream.answer(rejected=heartbeat_pb2.Rejected(field=field, description="no", reason=reason))  # type: ignore[arg-type]
        assert (await stream.sent.get()).on_behalf_of == "token:b", "without an acknowledgement of the first one"
        stream.acknowledge(2)
        assert (await other).revision == 5
        with pytest.raises(PermissionDenied, match="no"):
            await refused


async def test_what_is_invalid_is_no_reason_to_refuse_a_heartbeat() -> None:
    streams = Streams()
    with running(streams) as relay:
        stream = await connected(streams)
        answer = beat_as(relay, "token:a", "a", 1)
        await stream.sent.get()
        stream.answer(rejected=heartbeat_pb2.Rejected(service_id="a", field="beat.load", reason=1))  # type: ignore[arg-type]
        stream.acknowledge(1)
        assert (await answer).revision == 5
