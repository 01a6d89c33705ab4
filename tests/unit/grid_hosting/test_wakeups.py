"""The wake-ups of gRPC are read at once: those of a burst do not accumulate, and wake the loop only once."""

from __future__ import annotations

import importlib
import json
import socket
import subprocess
import sys

import pytest

from grid_hosting.wakeups import LONGEST_WAIT, _drained, wake_threads_rarely

BURST = """
import asyncio, json
import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grid_hosting import wakeups
from grid_hosting.program import run

sources, handled = [], 0
drained = wakeups._drained

def counted(source, handle):
    sources.append(source)

    def count():
        global handled
        handled += 1
        handle()

    return drained(source, count)

wakeups._drained = counted

async def main(stop):
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = health_pb2_grpc.HealthStub(channel).Check
        answers = await asyncio.gather(*(check(health_pb2.HealthCheckRequest()) for _ in range(1000)))
    await server.stop(None)
    print("FOUND", json.dumps({"answers": len(answers), "sources": len(sources), "handled": handled}))

run(main)
"""


def test_a_program_handles_many_operations_of_grpc_for_one_wake_up() -> None:
    done = subprocess.run([sys.executable, "-c", BURST], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = [each for each in done.stdout.splitlines() if each.startswith("FOUND")]
    found = json.loads(line.removeprefix("FOUND"))
    assert (found["answers"], found["sources"]) == (1000, 1)
    # Each call is at least four operations. Without this, each of them would wake the loop.
    assert 0 < found["handled"] < 4 * 1000


def test_all_bytes_but_one_are_read_before_the_handler_that_reads_one() -> None:
    here, there = socket.socketpair()
    waiting: list[int] = []

    def handle() -> None:
        waiting.append(len(here.recv(4096, socket.MSG_PEEK)))
        here.recv(1)

    with here, there:
        drain = _drained(here, handle)
        for burst in (1, 2, 278):
            there.send(b"1" * burst)
            drain()
        assert waiting == [1, 1, 1]
        drain()  # a turn for bytes that an earlier one has read
        assert waiting == [1, 1, 1]


def test_a_thread_that_waits_in_a_call_is_not_woken_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    common = importlib.import_module("grpc._common")
    monkeypatch.setattr(common, "MAXIMUM_WAIT_TIMEOUT", common.MAXIMUM_WAIT_TIMEOUT)  # restored at the end
    wake_threads_rarely()
    waits: list[float] = []
    arrived = iter((False, True))

    def wait(timeout: float) -> bool:
        waits.append(timeout)
        return True

    common.wait(wait, lambda: next(arrived))
    assert waits == [LONGEST_WAIT]
