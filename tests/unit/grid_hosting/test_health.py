"""The health service of all servers: a client that does not read delays neither other clients nor the end."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid_hosting.authentication import WATCHES_PER_PEER, Authentication
from grid_hosting.grpc_server import build_server
from grid_hosting.health import HealthService
from tests.support.known import Known
from tests.support.unread_calls import unread_calls
from tests.support.waiting import eventually
from tron.rpc.health import TRON_SERVICE, TronHealth

ROOT = Path(__file__).parents[3]
PROGRAMS = ("grid_hosting", "registry_server", "tron", "gateway_http")
WATCH = "/grpc.health.v1.Health/Watch"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Running:
    """A server with the health of TRON."""

    def __init__(self, server: grpc.aio.Server, address: str, health: TronHealth, service: HealthService) -> None:
        self.server, self.address, self.health, self.service = server, address, health, service


@asynccontextmanager
async def serving(*interceptors: grpc.aio.ServerInterceptor) -> AsyncIterator[Running]:
    """Run a server for the block."""
    health = TronHealth()
    service = HealthService(health)

    def register(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(service, server)

    bound = build_server(
        "127.0.0.1:0",
        register=register,
        services=("grpc.health.v1.Health",),
        max_message_bytes=1 << 16,
        interceptors=interceptors,
    )
    await bound.server.start()
    try:
        yield Running(bound.server, bound.address, health, service)
    finally:
        await bound.server.stop(None)


def watching(channel: grpc.aio.Channel, name: str = TRON_SERVICE) -> Any:
    """Watch the health of a name."""
    return health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=name))


async def read(call: Any) -> int:
    """The next answer of a watch."""
    return int((await asyncio.wait_for(call.read(), 5)).status)


async def test_a_watch_that_is_not_read_delays_neither_the_others_nor_the_end() -> None:
    request = health_pb2.HealthCheckRequest(service=TRON_SERVICE)
    async with serving() as running:
        with unread_calls(running.address, WATCH, request, 3):
            await eventually(lambda: running.service.watches == 3, 5, "the watches are open")
            async with grpc.aio.insecure_channel(running.address) as channel:
                call = watching(channel)
                assert await read(call) == NOT_SERVING
                for _ in range(3):
                    running.health.watching(True)
                    assert await read(call) == SERVING
                    running.health.watching(False)
                    assert await read(call) == NOT_SERVING
                running.health.watching(True)
                assert await read(call) == SERVING
                running.health.drain()
                assert await read(call) == NOT_SERVING
                assert await asyncio.wait_for(call.code(), 5) is grpc.StatusCode.UNAVAILABLE
            await asyncio.wait_for(running.server.stop(0.2), 5)
        await eventually(lambda: running.service.watches == 0, 5, "the watches have ended")


async def test_health_is_known_for_the_server_and_its_service_only() -> None:
    async with serving() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        assert (await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)).status == SERVING
        named = health_pb2.HealthCheckRequest(service=TRON_SERVICE)
        assert (await stub.Check(named, timeout=5)).status == NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.Check(health_pb2.HealthCheckRequest(service="worker-1"), timeout=5)
        assert failed.value.code() is grpc.StatusCode.NOT_FOUND
        call = watching(channel, "worker-1")
        assert await read(call) == UNKNOWN
        call.cancel()


async def test_callers_without_a_credential_have_four_watches_from_one_address() -> None:
    async with (
        serving(Authentication(Known(), {})) as running,
        grpc.aio.insecure_channel(running.address) as channel,
    ):
        calls = [watching(channel, "") for _ in range(WATCHES_PER_PEER)]
        assert [await read(call) for call in calls] == [SERVING] * WATCHES_PER_PEER
        refused = watching(channel, "")
        assert await asyncio.wait_for(refused.code(), 5) is grpc.StatusCode.RESOURCE_EXHAUSTED
        for call in calls:
            call.cancel()


def test_no_program_uses_the_servicer_of_the_library() -> None:
    users = set()
    for program in PROGRAMS:
        for path in (ROOT / program).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("grpc_health.v1"):
                    names = {each.name for each in node.names}
                    users |= {path.name} if names - {"health_pb2", "health_pb2_grpc"} else set()
    assert users == set()


async def test_a_name_that_is_too_long_is_refused_and_not_repeated() -> None:
    asked = health_pb2.HealthCheckRequest(service="x" * 10_000)
    async with serving() as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for call in (stub.Check(asked), stub.Watch(asked)):
            assert await asyncio.wait_for(call.code(), 5) is grpc.StatusCode.INVALID_ARGUMENT
            assert "service: has 10000 characters; at most 512 are allowed" in await call.details()
