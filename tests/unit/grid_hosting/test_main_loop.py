"""What a client may send without stopping the task of a gRPC server that accepts all calls, and how its end shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from grid_hosting.grpc_server import BoundServer, build_server
from grid_hosting.start import StartError
from tests.fuzz.http2_bytes import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    call_headers,
    frame,
    header_block,
    message,
)
from tests.support.waiting import eventually

CHECK = b"/grpc.health.v1.Health/Check"
UNIMPLEMENTED = b"grpc-status\x0212"
OK = b"grpc-status\x010"
NOT_UTF_8 = b"\xed\xa0\x80\xff"


@asynccontextmanager
async def serving() -> AsyncIterator[BoundServer]:
    """A server that answers health checks."""

    def register(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)

    bound = build_server("127.0.0.1:0", register=register, services=(), max_message_bytes=1 << 16)
    await bound.server.start()
    try:
        yield bound
    finally:
        await bound.server.stop(None)


async def answer(address: str, headers: dict[bytes, bytes]) -> bytes:
    """All bytes with which the server answers a unary call with these headers in place of the usual ones."""
    block = header_block(list({**dict(call_headers(CHECK)), **headers}.items()))
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS, 1, block))
    writer.write(frame(DATA, END_STREAM, 1, message(b"")))
    answered = b""
    async with asyncio.timeout(10):
        while b"grpc-status" not in answered or len(answered) < answered.index(b"grpc-status") + 14:
            part = await reader.read(1 << 16)
            if not part:
                break
            answered += part
    writer.close()
    return answered


async def healthy(address: str) -> bool:
    """Whether a new client is answered."""
    async with grpc.aio.insecure_channel(address) as channel:
        answered = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return bool(answered.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({b":path": b"/grpc.health.v1.Health/" + NOT_UTF_8}, UNIMPLEMENTED),
        ({b":path": NOT_UTF_8}, UNIMPLEMENTED),
        ({b":path": b"/\x00"}, UNIMPLEMENTED),
        ({b":path": b"/grpc.health.v1.Health/List\x00"}, UNIMPLEMENTED),
        ({b":path": b"/" + b"a" * 12_000}, UNIMPLEMENTED),
        ({b":path": b"/" + NOT_UTF_8, b"x": NOT_UTF_8, b":authority": NOT_UTF_8}, UNIMPLEMENTED),
        ({b":authority": NOT_UTF_8}, OK),
        ({b"x": NOT_UTF_8, b"user-agent": NOT_UTF_8, b"authorization": NOT_UTF_8}, OK),
        ({b"content-type": b"application/grpc+" + NOT_UTF_8}, OK),
    ],
    ids=lambda value: repr(value)[:60],
)
async def test_no_bytes_of_a_call_keep_the_server_from_the_next_one(headers: dict[bytes, bytes], status: bytes) -> None:
    async with serving() as bound:
        for _ in range(3):
            assert status in await answer(bound.address, headers)
        assert await healthy(bound.address)


@pytest.mark.parametrize("header", [b"grpc-timeout", b"grpc-encoding", b":method", b":scheme", b"te", NOT_UTF_8])
async def test_a_header_that_grpc_refuses_ends_its_own_connection_only(header: bytes) -> None:
    async with serving() as bound, asyncio.timeout(20):
        host, _, port = bound.address.rpartition(":")
        block = header_block([(b":path", b"/" + NOT_UTF_8), (header, NOT_UTF_8)])
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
        await writer.drain()
        assert await healthy(bound.address)
        writer.close()


async def test_an_unknown_method_is_unimplemented() -> None:
    async with serving() as bound, grpc.aio.insecure_channel(bound.address) as channel:
        for method in ("/grpc.health.v1.Health/Explode", "/Explode", "/a/ä"):
            # It sends no message: a message that is sent after the answer has arrived ends the call with INTERNAL.
            call: Any = channel.stream_stream(method)(timeout=10)
            assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
            assert await call.details() == "Method not found!"


async def test_answers_to_unknown_methods_leave_nothing_behind() -> None:
    async with serving() as bound, grpc.aio.insecure_channel(bound.address) as channel:
        loop = asyncio.get_running_loop()
        explode: Any = channel.unary_unary("/Explode")
        before = len(asyncio.all_tasks())
        for _ in range(20):
            with pytest.raises(grpc.aio.AioRpcError):
                await explode(b"", timeout=10)
        await eventually(lambda: len(asyncio.all_tasks(loop)) <= before, 10, "their tasks have ended")


async def test_the_end_of_the_main_loop_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> None:
        raise RuntimeError("out of calls")

    async with serving() as bound:
        watching = asyncio.create_task(bound.server.watch())
        assert await healthy(bound.address)
        assert not watching.done()
        monkeypatch.setattr("grid_hosting.main_loop._Core._request_registered_call", fails, raising=False)
        assert await healthy(bound.address)  # it was accepted before the loop asked for the next one
        async with asyncio.timeout(10):
            with pytest.raises(StartError, match=r"accepts no calls any more: RuntimeError: out of calls"):
                await watching


async def test_a_server_that_is_stopped_has_not_failed() -> None:
    async with serving() as bound:
        watching = asyncio.create_task(bound.server.watch())
        assert await healthy(bound.address)
    assert not watching.done()
    watching.cancel()
    await asyncio.wait({watching})
    assert watching.cancelled()
