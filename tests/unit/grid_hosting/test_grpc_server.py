"""Where gRPC servers are made: one place, with interceptors behind the one that answers errors, and any credentials."""

from __future__ import annotations

import ast
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grid_model.errors import FieldError, InvalidRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from tron_client.errors import from_rpc_error

from grid_hosting.grpc_server import BoundServer, build_server
from grid_hosting.start import StartError

ROOT = Path(__file__).parents[3]
PROGRAMS = ("grid_hosting", "registry_server", "tron", "gateway_http", "clients/python")
MAKERS = ("MainLoopServer", "grpc.aio.server", "aio.server")
HEALTH = "grpc.health.v1.Health"


class Refusing(grpc.aio.ServerInterceptor):
    """Refuses every call, but those that carry this word."""

    def __init__(self, word: str = "") -> None:
        self._word = word

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        """Refuse in place of the handler."""

        async def refuse(_: Any, __: Any) -> Any:
            raise InvalidRequest.of(FieldError("call", "not today"))

        handler = await continuation(details)
        if self._word and ("word", self._word) in tuple(details.invocation_metadata or ()):
            return handler
        return grpc.unary_unary_rpc_method_handler(refuse, handler.request_deserializer, handler.response_serializer)


def build(listen: str = "127.0.0.1:0", **options: Any) -> BoundServer:
    """A server that answers health checks."""

    def register(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)

    return build_server(listen, register=register, services=(HEALTH,), max_message_bytes=1 << 16, **options)


async def check(channel: grpc.aio.Channel, *metadata: tuple[str, str]) -> Any:
    """Ask for the health of all."""
    return await health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=5, metadata=metadata
    )


async def test_a_server_tells_its_real_port_and_answers() -> None:
    bound = build()
    await bound.server.start()
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            assert (await check(channel)).status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await bound.server.stop(None)


async def test_an_interceptor_sees_each_call_and_its_errors_are_answered_with_a_reason() -> None:
    bound = build(interceptors=[Refusing()])
    await bound.server.start()
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await check(channel)
        assert from_rpc_error(failed.value).reason == "ERROR_REASON_INVALID_REQUEST"
    finally:
        await bound.server.stop(None)


async def test_an_interceptor_decides_about_each_call_anew() -> None:
    bound = build(interceptors=[Refusing("please")])
    await bound.server.start()
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            for _ in range(2):
                assert (await check(channel, ("word", "please"))).status == health_pb2.HealthCheckResponse.SERVING
                with pytest.raises(grpc.aio.AioRpcError):
                    await check(channel)
    finally:
        await bound.server.stop(None)


async def test_a_port_with_credentials_speaks_no_plain_text() -> None:
    bound = build(credentials=grpc.local_server_credentials())
    await bound.server.start()
    try:
        async with grpc.aio.secure_channel(bound.address, grpc.local_channel_credentials()) as channel:
            assert (await check(channel)).status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await bound.server.stop(None)


async def test_an_address_in_use_is_said_in_one_line() -> None:
    bound = build()
    with pytest.raises(StartError, match=r"^127.0.0.1:\d+ is in use; [^\n]*$"):
        build(bound.address)
    await bound.server.stop(None)


def test_servers_are_made_in_one_place() -> None:
    makers = set()
    for program in PROGRAMS:
        for path in (ROOT / program).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in MAKERS:
                    makers.add((str(path.relative_to(ROOT)), ast.unparse(node.func)))
    assert makers == {("grid_hosting/grpc_server.py", "MainLoopServer")}
