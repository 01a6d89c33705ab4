"""The request of a call is read only after its caller was admitted, within a time, and of few calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grid_model.errors import Unauthenticated
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tron_client.errors import from_rpc_error

from grid_hosting import options, requests
from grid_hosting.grpc_server import BoundServer, build_server
from grid_hosting.handlers import Handler, WrappingInterceptor, kind_of
from tests.support.waiting import eventually

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"


class Bouncer(WrappingInterceptor):
    """Admits nobody, or everybody; counts the calls."""

    def __init__(self, *, admits: bool) -> None:
        super().__init__()
        self.admits = admits
        self.asked = 0

    def _wrap(self, handler: Any, method: str) -> Handler:
        function, make = kind_of(handler)

        async def answer(request: Any, context: Any) -> Any:
            self.asked += 1
            if not self.admits:
                raise Unauthenticated
            return await function(request, context)

        async def answer_many(request: Any, context: Any) -> AsyncIterator[Any]:
            self.asked += 1
            if not self.admits:
                raise Unauthenticated
            async for response in function(request, context):
                yield response

        wrapper: Any = answer_many if handler.response_streaming else answer
        return make(wrapper, handler.request_deserializer, handler.response_serializer)


class Servicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers, and keeps what it was asked."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        self.names.append(request.service)
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Any) -> AsyncIterator[Any]:
        self.names.append(request.service)
        yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def serving(*, admits: bool = True) -> AsyncIterator[tuple[BoundServer, Bouncer, Servicer, grpc.aio.Channel]]:
    """A server with a bouncer, and a channel to it."""
    bouncer, servicer = Bouncer(admits=admits), Servicer()

    def register(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

    bound = build_server("127.0.0.1:0", register=register, services=(), max_message_bytes=1 << 16, admission=bouncer)
    await bound.server.start()
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            yield bound, bouncer, servicer, channel
    finally:
        await bound.server.stop(None)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str]:
    """The status, the reason and the text with which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await asyncio.wait_for(call.read(), 20)
    return failed.value.code(), from_rpc_error(failed.value).reason, failed.value.details() or ""


@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_a_caller_that_is_not_admitted_is_refused_before_it_sends_a_request(method: str) -> None:
    async with serving(admits=False) as (_, bouncer, servicer, channel):
        call: Any = channel.stream_stream(method)()
        code, reason, _ = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "ERROR_REASON_UNAUTHENTICATED")
        assert bouncer.asked == 1
        assert servicer.names == []


@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_bytes_that_are_no_message_are_not_decoded_for_a_caller_that_is_not_admitted(method: str) -> None:
    async with serving(admits=False) as (_, _, _, channel):
        method_of: Any = channel.stream_stream(method)
        call = method_of(iter([b"\xff"]))
        assert (await refusal(call))[0] is grpc.StatusCode.UNAUTHENTICATED
    async with serving() as (_, _, _, channel):
        method_of = channel.stream_stream(method)
        call = method_of(iter([b"\xff"]))
        code, _, why = await refusal(call)
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert "is not a valid message" in why


@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_a_call_without_a_request_is_refused(method: str) -> None:
    async with serving() as (_, _, servicer, channel):
        call: Any = channel.stream_stream(method)()
        await call.done_writing()
        code, reason, why = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ERROR_REASON_INVALID_REQUEST")
        assert "request: is missing" in why
        assert servicer.names == []


@pytest.mark.parametrize("method", [CHECK, WATCH])
async def test_a_call_whose_request_does_not_come_ends(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "REQUEST_WITHIN", 0.2)
    async with serving() as (_, _, servicer, channel):
        call: Any = channel.stream_stream(method)()
        code, reason, _ = await refusal(call)
        assert (code, reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "ERROR_REASON_SILENT_STREAM")
        assert servicer.names == []


async def test_few_calls_wait_for_their_requests_and_the_next_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MOST_AWAITED_OF_CLIENT", 3)
    async with serving() as (_, bouncer, _, channel):
        waiting: list[Any] = [channel.stream_stream(CHECK)() for _ in range(3)]
        await eventually(lambda: bouncer.asked == 3, 10, "three calls wait")
        code, reason, _ = await refusal(channel.stream_stream(CHECK)())
        assert (code, reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "ERROR_REASON_QUOTA_EXCEEDED")
        for call in waiting:
            call.cancel()
        health: Any = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(10):
            code = grpc.StatusCode.RESOURCE_EXHAUSTED
            while code is grpc.StatusCode.RESOURCE_EXHAUSTED:  # the server has not seen the ends yet
                asked = health.Check(health_pb2.HealthCheckRequest(service="a"))
                code = await asked.code()
            assert code is grpc.StatusCode.OK


async def test_a_connection_has_a_limited_number_of_open_calls_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(options, "CALLS_BESIDE", 50)
    async with serving() as (bound, bouncer, _, channel):
        waiting: list[Any] = [channel.stream_stream(CHECK)() for _ in range(70)]
        await eventually(lambda: bouncer.asked == 50, 20, "as many as may be open are open")
        async with grpc.aio.insecure_channel(bound.address, [("grpc.use_local_subchannel_pool", 1)]) as other:
            health: Any = health_pb2_grpc.HealthStub(other)
            await health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert bouncer.asked == 51
        for call in waiting:
            call.cancel()


async def test_requests_arrive_as_they_were_sent() -> None:
    async with serving() as (_, _, servicer, channel):
        health: Any = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest(service="a"))
        async for _ in health.Watch(health_pb2.HealthCheckRequest(service="b")):
            pass
        assert servicer.names == ["a", "b"]
