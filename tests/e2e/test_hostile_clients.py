"""Clients that are no clients: garbage, floods, silence. They get an answer or nothing, and nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc
from tron_client import MonitorClient

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import Beating, RawAgent, a_service, beating, open_channel, seconds, unique
from tests.e2e.refusals import read_refusal, refused
from tests.support.processes import Registry, start_registry
from tests.support.waiting import wait_until

REGISTRY = "/grid.registry.v1.RegistryService"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
GARBAGE = b"\xff\xff\xff\xff\x00garbage"
LIMIT_PER_CONNECTION = 1024


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that waits a minute for the first word."""
    folder = tmp_path_factory.mktemp("patient")
    with start_registry(folder / "data", "--first-message-timeout", "60") as registry:
        yield registry
        assert registry.process.poll() is None, registry.log
        assert "Traceback" not in registry.log, registry.log


class Flood:
    """One message, and then another again and again, for as long as somebody takes it."""

    def __init__(self, first: heartbeat_pb2.HeartbeatRequest, again: heartbeat_pb2.HeartbeatRequest) -> None:
        self.over = False
        self._first, self._again = first, again

    def __iter__(self) -> Iterator[heartbeat_pb2.HeartbeatRequest]:
        yield self._first
        while not self.over:
            yield self._again


def memory(pid: int) -> int:
    """The resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def deep_labels(levels: int) -> bytes:
    """A RegisterRequest with nested labels, built by hand: Python's protobuf cannot build them, others can."""

    def field(number: int, payload: bytes) -> bytes:
        length, size = b"", len(payload)
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + payload

    struct = b""
    for _ in range(levels):
        struct = field(1, field(1, b"a") + field(2, field(5, struct)))
    return field(1, field(1, b"deep") + field(2, b"deep") + field(7, struct))


@pytest.mark.parametrize(
    "bytes_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 64,
        PREFACE + b"\xff" * 4096,
        PREFACE + SETTINGS + b"\x00\x40\x00\x01\x25\x00\x00\x00\x01" + b"\xff" * 16_384,
        PREFACE + SETTINGS + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["HTTP/1.1", "noise", "noise behind the preface", "broken headers", "a frame of 16 MB", "TLS"],
)
def test_garbage_on_the_port_disturbs_nobody(grid: Grid, bystander: Beating, bytes_: bytes) -> None:
    host, _, port = grid.address.rpartition(":")
    connections = [socket.create_connection((host, int(port)), timeout=5) for _ in range(20)]
    for connection in connections:
        connection.sendall(bytes_)
    bystander.check()
    for connection in connections:
        connection.close()
    bystander.check()


BROKEN: list[tuple[str, str, bytes]] = [
    ("unary", "Register", GARBAGE),
    ("unary with labels of 60 levels", "Register", deep_labels(60)),
    ("unary with labels of 5000 levels", "Register", deep_labels(5000)),
    ("server stream", "WatchServices", GARBAGE),
    ("Heartbeat", "Heartbeat", GARBAGE),
]


@pytest.mark.parametrize(("method", "payload"), [each[1:] for each in BROKEN], ids=[each[0] for each in BROKEN])
def test_a_payload_that_is_no_message_is_refused_without_a_word_of_python(
    grid: Grid, bystander: Beating, method: str, payload: bytes
) -> None:
    with open_channel(grid.address) as channel:
        call: Any = channel.stream_stream(f"{REGISTRY}/{method}")
        refusal = refused(lambda: list(call(iter([payload]), timeout=10)))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    for word in ("<class", "Traceback", "DecodeError", "google.protobuf"):
        assert word not in refusal.text


def test_garbage_in_the_middle_of_a_stream_is_answered_and_the_next_beat_is_heard(grid: Grid) -> None:
    service_id = unique("derailed")
    register = heartbeat_pb2.HeartbeatRequest(register=heartbeat_pb2.Register(service=a_service(service_id)))
    beat = heartbeat_pb2.Beats(beats=[heartbeat_pb2.Beat(service_id=service_id, load=0.5)], ack_requested=True)
    said = [register.SerializeToString(), GARBAGE, heartbeat_pb2.HeartbeatRequest(beats=beat).SerializeToString()]
    with open_channel(grid.address) as channel:
        call: Any = channel.stream_stream(f"{REGISTRY}/Heartbeat")
        heard = list(call(iter(said), timeout=10))
    answers = [heartbeat_pb2.HeartbeatResponse.FromString(each) for each in heard]
    assert {each.WhichOneof("kind") for each in answers} == {"registered", "rejected", "ack"}
    assert [each.rejected.field for each in answers if each.HasField("rejected")] == ["request"]
    assert grid.get(service_id).load == 0.5


def test_a_method_that_does_not_exist_is_unimplemented(grid: Grid) -> None:
    with open_channel(grid.address) as channel:
        call: Any = channel.unary_unary(f"{REGISTRY}/Explode")
        refusal = refused(lambda: call(b"", timeout=10))
    assert refusal.code is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_over_the_size_limit_ends_its_own_call_only(grid: Grid, bystander: Beating) -> None:
    with open_channel(grid.address) as channel:
        huge = bytes(2 << 20)
        register: Any = channel.unary_unary(f"{REGISTRY}/Register")
        heartbeat: Any = channel.stream_stream(f"{REGISTRY}/Heartbeat")
        unary = refused(lambda: register(huge, timeout=10))
        stream = refused(lambda: list(heartbeat(iter([huge]), timeout=10)))
        assert {unary.code, stream.code} == {grpc.StatusCode.RESOURCE_EXHAUSTED}


def test_a_stream_on_which_nothing_is_said_is_ended_with_a_reason(tmp_path: Path) -> None:
    with (
        start_registry(tmp_path / "data", "--first-message-timeout", "1") as registry,
        beating(registry.address, "speaks") as speaker,
    ):
        with RawAgent(registry.address) as silent:
            refusal = silent.wait_refused(5)
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "SILENT_STREAM")
        speaker.check()


@pytest.mark.parametrize("what", ["beats", "registrations"])
def test_a_client_that_floods_and_never_reads_is_cut_off_and_costs_no_memory(grid: Grid, what: str) -> None:
    flooder = unique("flooder")
    register = heartbeat_pb2.Register(service=a_service(flooder, url="u" * 2000, heartbeat_interval=seconds(60)))
    beats = heartbeat_pb2.Beats(beats=[heartbeat_pb2.Beat(service_id=f"nobody {n} {'x' * 400}") for n in range(1000)])
    first = heartbeat_pb2.HeartbeatRequest(register=register)
    flood = Flood(first, heartbeat_pb2.HeartbeatRequest(beats=beats) if what == "beats" else first)
    with beating(grid.address, unique("bystander")) as bystander, open_channel(grid.address) as channel:
        before = memory(grid.registry_pid)
        call = registry_service_pb2_grpc.RegistryServiceStub(channel).Heartbeat(iter(flood))

        def is_cut_off() -> bool:
            bystander.check(10)
            record = grid.find(flooder)
            return record is not None and not record.connected

        wait_until(is_cut_off, 20, "the flooder is cut off")
        flood.over = True
        with MonitorClient(grid.tron_address) as tron:
            ended = "READER_TOO_SLOW"
            wait_until(
                lambda: tron.explain(flooder).evidence.get("detached_reason") == ended, 10, "TRON knows who did it"
            )
        assert grid.events_about(flooder) == [], "we ended its stream: that accuses nobody"
        bystander.check(10)
        assert memory(grid.registry_pid) - before < 150
        assert grid.events_about(bystander.service_id) == []
        # Only now does the flooder read: it finds what was on its way, and why it was cut off.
        refusal = refused(lambda: list(call))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "READER_TOO_SLOW")


def test_of_ten_thousand_streams_on_one_connection_the_first_1024_are_served(patient: Registry) -> None:
    with beating(patient.address, "bystander") as bystander:
        counts = asyncio.run(open_streams(patient.address, 10_000, lambda: bystander.check(10)))
        assert counts == {"open": LIMIT_PER_CONNECTION, "QUOTA_EXCEEDED": 10_000 - LIMIT_PER_CONNECTION}
        bystander.check()
        # What was used up is given back.
        with RawAgent(patient.address) as next_one:
            next_one.register("next one")


async def open_streams(address: str, number: int, check: Callable[[], None]) -> dict[str, int]:
    """Open streams on one connection; return how many are open, and why the others are not."""
    async with grpc.aio.insecure_channel(address) as channel:
        await channel.channel_ready()
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        calls: list[Any] = [stub.Heartbeat() for _ in range(number)]
        ends = [asyncio.ensure_future(call.code()) for call in calls]
        deadline = asyncio.get_running_loop().time() + 40
        pending: set[Any] = set(ends)
        while len(pending) > LIMIT_PER_CONNECTION and asyncio.get_running_loop().time() < deadline:
            _, pending = await asyncio.wait(pending, timeout=5, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.to_thread(check)
        counts: Counter[str] = Counter()
        for call, end in zip(calls, ends, strict=True):
            if end.done():
                trailing = await call.trailing_metadata()
                error = grpc.aio.AioRpcError(end.result(), grpc.aio.Metadata(), trailing, await call.details())
                refusal = read_refusal(error)
                counts[refusal.reason or f"{refusal.code.name} {refusal.text}"] += 1
            else:
                counts["open"] += 1
                call.cancel()
        await asyncio.wait(ends)
        return dict(counts)
