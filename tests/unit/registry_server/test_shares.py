"""One principal of agents cannot take the streams, watches, subscriptions and ids of all others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.events.v1 import event_service_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2
from grid_model.errors import QuotaExceeded

from grid_hosting import shares
from registry_server.core import registry_reads
from registry_server.io import grpc_events, grpc_registry
from tests.support.secured import AGENT, GATEWAY, Secured, bearer, secured
from tests.unit.registry_server.builders import make_spec
from tests.unit.registry_server.test_rights import RELAY, TWIN, WORKER, Bench, principal

EMPTY = heartbeat_pb2.HeartbeatRequest(beats=heartbeat_pb2.Beats(relayed=True, ack_requested=True))


async def stream(system: Secured, secret: str) -> Any:
    """A Heartbeat stream that was answered."""
    call = system.registry.Heartbeat(metadata=bearer(secret))
    await call.write(EMPTY)
    await call.read()
    return call


async def watch(system: Secured, secret: str) -> Any:
    """A watch that was answered."""
    call = system.registry.WatchServices(registry_service_pb2.WatchServicesRequest(), metadata=bearer(secret))
    await call.read()
    return call


async def subscription(system: Secured, secret: str) -> Any:
    """A subscription that was answered."""
    call = system.events.SubscribeEvents(event_service_pb2.SubscribeEventsRequest(), metadata=bearer(secret))
    await call.initial_metadata()
    if call.done():
        await call.read()
    return call


@pytest.mark.parametrize("opens", [stream, watch, subscription])
async def test_an_agent_leaves_places_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: Callable[[Secured, str], Any]
) -> None:
    monkeypatch.setattr(grpc_registry, "MAX_WATCHERS", 4)
    monkeypatch.setattr(grpc_events, "MAX_SUBSCRIBERS", 4)
    async with secured(tmp_path, max_streams=4) as system:
        calls = [await opens(system, AGENT) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await asyncio.wait_for(opens(system, AGENT), 10)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "for token:worker; one owner may have at most 2 of 4" in (refused.value.details() or "")
        calls += [await opens(system, GATEWAY) for _ in range(2)]
        with pytest.raises(grpc.aio.AioRpcError, match="are open; no more are allowed"):
            await asyncio.wait_for(opens(system, GATEWAY), 10)
        for call in calls:
            call.cancel()


@pytest.fixture(autouse=True)
def one_half(monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of an owner is one half, so that few places are enough."""
    monkeypatch.setattr(shares, "SHARE", Fraction(1, 2))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A registry with room for four services."""
    monkeypatch.setattr(registry_reads, "MAX_SERVICES", 4)
    return Bench()


def test_an_owner_registers_at_most_its_share_of_all_services(bench: Bench) -> None:
    bench.register(WORKER, "worker-1")
    bench.register(WORKER, "worker-2")
    bench.register(WORKER, "worker-2")
    with pytest.raises(QuotaExceeded, match=r"2 services are registered for token:worker; .* at most 2 of 4"):
        bench.register(WORKER, "worker-3")
    bench.register(TWIN, "worker-4")


def test_a_removed_service_leaves_its_place(bench: Bench) -> None:
    for each in ("worker-1", "worker-2"):
        bench.register(WORKER, each)
    bench.registry.deregister("worker-1", "", bench.grid.later())
    bench.register(WORKER, "worker-3")
    with pytest.raises(QuotaExceeded):
        bench.register(WORKER, "worker-1")
    bench.registry.deregister("worker-3", "", bench.grid.later())
    bench.register(WORKER, "worker-1")


def test_a_service_that_is_registered_already_may_return(bench: Bench) -> None:
    for each in ("worker-1", "worker-2"):
        bench.register(WORKER, each)
    incarnation = bench.registry.get("worker-1").incarnation
    assert bench.rights(WORKER).check_registration(make_spec("worker-1"), incarnation) == "token:worker"


def test_the_share_is_that_of_the_principal_for_which_a_relay_speaks(bench: Bench) -> None:
    for each in ("worker-1", "worker-2"):
        bench.register(WORKER, each)
    speaker = bench.rights(RELAY).speaking_for("token:worker")
    with pytest.raises(QuotaExceeded, match="for token:worker"):
        speaker.check_registration(make_spec("worker-3"))


def test_a_relay_registers_services_of_its_own_in_all_places(bench: Bench) -> None:
    gateway = principal("gateway", "relay *", "agent *")
    for number in range(4):
        bench.register(gateway, f"own-{number}")
    with pytest.raises(QuotaExceeded, match=r"^4 services are registered; no more are allowed$"):
        bench.register(gateway, "own-4")
