"""A call that is over leaves nothing that lived as long as it to the garbage collector: its memory is free at once. The
collector would not find it, because it no longer visits what belongs to a stream that was open for long."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import (
    heartbeat_pb2,
    observation_pb2,
    registry_service_pb2,
    registry_service_pb2_grpc,
    service_pb2,
)
from grid_model import wire
from grpc_health.v1 import health_pb2, health_pb2_grpc

from registry_server import server
from registry_server.config import Config
from tests.support.waiting import eventually

CALLS = 10
OURS = ("registry_server.", "grid_hosting.", "grid_model.")
CALLED = ("builtins.traceback", "builtins.frame", "_asyncio.Task", "grpc._cython.cygrpc.RPCState")
"""What gRPC keeps of a call at the server until it ends."""


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """A registry in this process, without the collector."""
    ready = tmp_path / "ready.json"
    config = Config(
        listen="127.0.0.1:0", metrics_listen="off", data_dir=tmp_path, ready_file=ready, self_register=False
    )
    stop = asyncio.Event()
    serving = asyncio.create_task(server.serve(config, stop))
    await eventually(lambda: ready.exists() or serving.done(), 20, "the registry serves")
    gc.disable()
    yield json.loads(ready.read_text())["registry_grpc"]
    gc.enable()
    stop.set()
    await serving


async def heartbeat(channel: grpc.aio.Channel, number: int) -> None:
    call = registry_service_pb2_grpc.RegistryServiceStub(channel).Heartbeat()
    register = heartbeat_pb2.Register(service=service_pb2.Service(service_id=f"a{number}", name=f"a{number}"))
    register.service.heartbeat_interval.CopyFrom(wire.duration(60.0))
    await call.write(heartbeat_pb2.HeartbeatRequest(register=register))
    answer: Any = await call.read()
    assert answer.HasField("registered")
    beat = heartbeat_pb2.Beats(beats=[heartbeat_pb2.Beat(service_id=f"a{number}")], ack_requested=True)
    await call.write(heartbeat_pb2.HeartbeatRequest(beats=beat))
    answer = await call.read()
    assert answer.HasField("ack")


async def watch(channel: grpc.aio.Channel, number: int) -> None:
    call = registry_service_pb2_grpc.RegistryServiceStub(channel).WatchServices(
        registry_service_pb2.WatchServicesRequest()
    )
    await call.read()


async def observe(channel: grpc.aio.Channel, number: int) -> None:
    request = observation_pb2.ObserveLivenessRequest(observer=f"observer-{number}")
    await registry_service_pb2_grpc.RegistryServiceStub(channel).ObserveLiveness(request).read()


async def subscribe(channel: grpc.aio.Channel, number: int) -> None:
    call = event_service_pb2_grpc.EventServiceStub(channel).SubscribeEvents(
        event_service_pb2.SubscribeEventsRequest(only_new=True)
    )
    await call.initial_metadata()


async def watch_health(channel: grpc.aio.Channel, number: int) -> None:
    await health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()).read()


async def ask_in_vain(channel: grpc.aio.Channel, number: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await registry_service_pb2_grpc.RegistryServiceStub(channel).GetService(
            registry_service_pb2.GetServiceRequest(service_id="nobody")
        )


async def watch_in_vain(channel: grpc.aio.Channel, number: int) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await (
            registry_service_pb2_grpc.RegistryServiceStub(channel)
            .WatchServices(registry_service_pb2.WatchServicesRequest(start_revision=1_000_000))
            .read()
        )


async def beat_in_vain(channel: grpc.aio.Channel, number: int) -> None:
    call: Any = channel.stream_stream("/grid.registry.v1.RegistryService/Heartbeat")()
    await call.write(b"\xff")
    await call.done_writing()
    with pytest.raises(grpc.aio.AioRpcError):
        await call.read()


REFUSED = (ask_in_vain, watch_in_vain, beat_in_vain)


@pytest.mark.parametrize("talk", [heartbeat, watch, observe, subscribe, watch_health, *REFUSED])
async def test_a_call_that_ended_abruptly_is_no_work_for_the_collector(
    address: str, talk: Callable[[grpc.aio.Channel, int], Awaitable[None]]
) -> None:
    loop = asyncio.get_running_loop()
    before = len(asyncio.all_tasks())
    channel = grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
    if talk not in REFUSED:
        await asyncio.gather(*(talk(channel, number) for number in range(CALLS)))
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        if talk in REFUSED:  # these calls end before their channel, and not because of it
            await asyncio.gather(*(talk(channel, number) for number in range(CALLS)))
            await eventually(lambda: len(asyncio.all_tasks(loop)) <= before, 20, "all refusals are sent")
        await channel.close()
        await eventually(lambda: len(asyncio.all_tasks(loop)) <= before, 20, "all calls end")
        gc.collect()
        found = Counter(f"{type(each).__module__}.{type(each).__name__}" for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert {name: count for name, count in found.items() if name.startswith((*OURS, *CALLED))} == {}
