"""A whole running system of real processes: raw bytes on all its ports, beside an agent that must notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from hypothesis import strategies as st

from tests.e2e.raw_agent import Beating, beating, open_channel
from tests.fuzz.cases import Case, Step
from tests.fuzz.doors import FORBIDDEN
from tests.fuzz.gateway_targets import BODIES, KEYS, ROUTES
from tests.fuzz.http2_bytes import PREFACE, calls
from tests.fuzz.http_bytes import UPGRADE, frames, polls, requests
from tests.fuzz.messages import serialized
from tests.fuzz.registry_targets import MESSAGES, H
from tests.fuzz.targets import Target, sequences, step
from tests.support.face import Face, start_face
from tests.support.waiting import wait_until

READ_FOR = 0.03
"""Seconds without an answer after which a connection is closed: most of what is sent has none."""

LOOK_EVERY = 20
"""Cases between two looks after the bystander."""

MOST_GROWTH = 150
"""MB by which a program may grow."""

BYSTANDER = "the bystander of the fuzzer"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
METHODS = (
    "/grid.registry.v1.RegistryService/Register",
    "/grid.registry.v1.RegistryService/Heartbeat",
    "/grid.registry.v1.RegistryService/Explode",
    "/grid.registry.v1.RegistryService/WatchServices",
    "/grid.tron.v1.TronService/GetStats",
    "/grpc.health.v1.Health/Check",
    REFLECTION,
    "/",
    "*",
    "/grid.registry.v1.RegistryService/Register\x00",
    "/grid.registry.v1.RegistryService/\ud800",
    "grpc.health.v1.Health/Check",
)
WRONG = ("Traceback", "call_failed", "Exception in ASGI", "writer_failed", "Unexpected <class")


class LiveRig:
    """The programs, the bystander, and the addresses."""

    def __init__(self, face: Face, bystander: Beating, channel: grpc.Channel) -> None:
        self._face = face
        self._bystander = bystander
        self._channel = channel
        self._cases = 0
        self._programs = (face.registry, face.monitor, face.gateway)
        self._read = dict.fromkeys(self._programs_by_name, 0)
        self._memory = {name: _memory(pid) for name, pid in self._pids.items()}
        self._addresses = {
            "registry": face.registry.address,
            "tron": face.monitor.address,
            **{key: face.gateway.url(key).removeprefix("http://") for key in KEYS},
        }

    def run(self, case: Case) -> None:
        """Send each step on a connection of its own, all at the same time; steps whose name is a method are calls."""
        self._cases += 1
        asyncio.run(self._send_all(case))
        for name, data in case:
            if name.startswith("/"):
                self._call(name, data)
        self._check_programs()
        if self._cases % LOOK_EVERY == 0:
            self.check()

    def check(self) -> None:
        """The bystander is alive and heard nothing, and no program has grown beyond its bound."""
        self._bystander.check()
        stub = registry_service_pb2_grpc.RegistryServiceStub(self._channel)
        record = stub.GetService(registry_service_pb2.GetServiceRequest(service_id=BYSTANDER), timeout=10).service
        assert (record.liveness, record.connected) == (liveness_pb2.LIVENESS_ALIVE, True), record
        events = event_service_pb2_grpc.EventServiceStub(self._channel)
        about = events.ListEvents(event_service_pb2.ListEventsRequest(service_id=BYSTANDER), timeout=10).events
        assert not about, f"events about the bystander: {about}"
        for name, pid in self._pids.items():
            grown = _memory(pid) - self._memory[name]
            assert grown < MOST_GROWTH, f"{name} has grown by {grown} MB"

    async def _send_all(self, case: Case) -> None:
        steps = [each for each in case if not each.name.startswith("/")]
        await asyncio.gather(*(self._send(each) for each in steps))

    async def _send(self, each: Step) -> None:
        host, _, port = self._addresses[each.name].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        answer = b""
        with suppress(ConnectionError, TimeoutError):
            writer.write(each.data)
            await writer.drain()
            while len(answer) < 1 << 20:
                async with asyncio.timeout(READ_FOR):
                    part = await reader.read(1 << 16)
                if not part:
                    break
                answer += part
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        assert b"Traceback" not in answer, answer[:2000]
        assert b"<class '" not in answer, answer[:2000]
        assert b"HTTP/1.1 500" not in answer, answer[:2000]

    def _call(self, method: str, data: bytes) -> None:
        call: Any = self._channel.stream_stream(method)
        try:
            answers = call(iter([data]), timeout=0.5)
            for _ in range(5):
                next(answers, None)
            answers.cancel()
        except grpc.RpcError as error:
            failed: Any = error
            assert failed.code() not in FORBIDDEN, f"{method}: {failed.code().name} {failed.details()}"

    def _check_programs(self) -> None:
        for name, program in self._programs_by_name.items():
            assert program.process.poll() is None, f"{name} ended: {program.log[-4000:]}"
            log = program.log
            new, self._read[name] = log[self._read[name] :], len(log)
            wrong = [word for word in WRONG if word in new]
            assert not wrong, f"log of {name}: {new[:4000]}"

    @property
    def _programs_by_name(self) -> dict[str, Any]:
        return dict(zip(("registry", "tron", "gateway"), self._programs, strict=True))

    @property
    def _pids(self) -> dict[str, int]:
        return {name: program.pid for name, program in self._programs_by_name.items()}


def _memory(pid: int) -> int:
    """Return the resident memory of a process, in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@contextmanager
def open_live() -> Iterator[LiveRig]:
    """Run the whole system until the block ends."""
    with (
        TemporaryDirectory(prefix="fuzz-") as folder,
        start_face(Path(folder)) as face,
        open_channel(face.registry.address) as channel,
        beating(face.registry.address, BYSTANDER) as bystander,
    ):
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        wanted = registry_service_pb2.GetServiceRequest(service_id=BYSTANDER)
        wait_until(
            lambda: stub.GetService(wanted).service.liveness == liveness_pb2.LIVENESS_ALIVE,
            10,
            "the bystander is alive",
        )
        rig = LiveRig(face, bystander, channel)
        yield rig
        rig.check()


_SENT = serialized(H.HeartbeatRequest, *MESSAGES)
_RAW = (
    calls(METHODS, _SENT)
    | calls(METHODS, _SENT)
    | st.binary(max_size=200)
    | st.binary(max_size=200).map(PREFACE.__add__)
)

LIVE_TARGET = Target(
    "live",
    sequences(
        step("registry", _RAW),
        step("tron", _RAW),
        *(step(key, requests(ROUTES[key], BODIES)) for key in KEYS),
        step("events_http", polls()),
        step("events_http", frames().map(UPGRADE.__add__)),
        step(REFLECTION, st.binary(max_size=30)),
        step("/grid.registry.v1.RegistryService/Heartbeat", _SENT),
    ),
    open_live,
    renewed_after=5000,
)
