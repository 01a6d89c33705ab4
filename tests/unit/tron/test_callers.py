"""TRON knows its callers from the registry, and what operators change there is in the audit log of the registry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from grid.access.v1 import access_service_pb2
from grid.tron.v1 import tron_service_pb2, tron_service_pb2_grpc
from grid_model.access import Role
from grid_model.errors import Draining
from tron_client.channel import open_aio_channel
from tron_client.endpoint import Endpoint
from tron_client.errors import from_rpc_error

from grid_hosting.access.audit import AuditKind, AuditRecord
from grid_hosting.access.remote_access import RemoteAccess
from grid_hosting.access.trail import AuditTrail
from grid_hosting.credential import CertificateRules
from grid_hosting.grpc_server import build_server
from grid_hosting.sinks.dispatcher import Dispatcher
from tests.support.secured import (
    ADMIN,
    AGENT,
    MONITOR,
    OBSERVER,
    OPERATOR,
    WRONG,
    Secured,
    bearer,
    secured,
    stored_records,
)
from tests.support.waiting import eventually
from tron.config import Config
from tron.live_policy import LivePolicy
from tron.monitor import Monitor
from tron.operator_relay import OperatorRelay
from tron.policy_store import PolicyStore
from tron.probe import Prober
from tron.rpc.audited_acts import ACTS
from tron.rpc.method_roles import METHOD_ROLES
from tron.rpc.tron import TronService
from tron.stats import Stats

MORE_MISSES = tron_service_pb2.SetPolicyRequest(service_id="a", allow_unknown=True, policy={"misses_before_down": 3})  # type: ignore[arg-type]


@dataclass
class Watched:
    """A registry with authentication, and a TRON that asks it for its callers."""

    registry: Secured
    access: RemoteAccess
    tron: Any
    monitor: Monitor

    async def refused(self, method: str, request: Any, secret: str) -> str:
        """Return the reason for which a call is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await getattr(self.tron, method)(request, metadata=bearer(secret), timeout=10)
        return from_rpc_error(failed.value).reason.removeprefix("ERROR_REASON_")


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    """Run both. The token of TRON is in a file, as `tron up` writes it."""
    token = folder / "monitor.token"
    token.write_text(MONITOR + "\n")
    token.chmod(0o600)
    store = PolicyStore(folder / "tron")
    layers = store.load(Config().thresholds())
    async with (
        secured(folder / "registry") as registry,
        open_aio_channel(Endpoint(registry.address, token_file=token)) as channel,
    ):
        dispatcher = cast("Dispatcher", SimpleNamespace(stats=dict))
        relay = OperatorRelay(channel, dispatcher)
        monitor = Monitor(channel, OBSERVER, layers.policies(), relay, Prober(frozenset()), Stats())
        service = TronService(monitor, LivePolicy(monitor, store, layers), channel, dispatcher)
        access = RemoteAccess(channel, METHOD_ROLES, ACTS, CertificateRules())
        bound = build_server(
            "127.0.0.1:0",
            register=lambda server: tron_service_pb2_grpc.add_TronServiceServicer_to_server(service, server),
            services=(),
            max_message_bytes=1 << 20,
            admission=access.authentication,
            interceptors=(access.auditing,),
        )
        await bound.server.start()
        running = [asyncio.create_task(each.run()) for each in (access, monitor)]
        try:
            async with grpc.aio.insecure_channel(bound.address) as own:
                yield Watched(registry, access, tron_service_pb2_grpc.TronServiceStub(own), monitor)
        finally:
            await bound.server.stop(None)
            for task in running:
                task.cancel()
            await asyncio.wait(running)


def test_every_method_by_which_operators_change_something_is_an_act() -> None:
    assert {method for method, roles in METHOD_ROLES.items() if Role.OPERATOR in roles} == set(ACTS)


async def test_tron_watches_a_registry_with_its_own_token_and_knows_its_callers(tmp_path: Path) -> None:
    async with watched(tmp_path) as system:
        await eventually(lambda: system.monitor.stats.watching, what="watching")
        request = tron_service_pb2.GetStatsRequest()
        assert (await system.tron.GetStats(request, metadata=bearer(OPERATOR), timeout=10)).watching
        assert await system.refused("GetStats", request, WRONG) == "UNAUTHENTICATED"
        assert await system.refused("GetStats", request, AGENT) == "PERMISSION_DENIED"
        assert await system.refused("SetPolicy", MORE_MISSES, AGENT) == "PERMISSION_DENIED"


async def test_what_operators_change_at_tron_and_what_callers_are_refused_is_in_the_log_of_the_registry(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as system:
        await system.tron.SetPolicy(MORE_MISSES, metadata=bearer(OPERATOR), timeout=10)
        (act,) = stored_records(system.registry.folder)
        assert (act.kind, act.actor, act.via, act.method, act.target) == (
            AuditKind.ACT,
            "token:operator",
            "token:program/monitor",
            "/grid.tron.v1.TronService/SetPolicy",
            "a",
        )
        assert act.peer.startswith("ipv4:127.0.0.1")
        await system.refused("SetMaintenance", tron_service_pb2.SetMaintenanceRequest(service_id="a"), AGENT)
        await system.refused("GetStats", tron_service_pb2.GetStatsRequest(), WRONG)
        refusals = await system.registry.records(AuditKind.REFUSAL, 3)
        assert {(each.actor, each.method.rpartition("/")[2], each.via) for each in refusals} == {
            ("token:worker", "SetMaintenance", "token:program/monitor"),
            ("network:127.0.0.0/24", "GetStats", "token:program/monitor"),
        }


async def test_a_revoked_token_is_refused_at_tron_at_once(tmp_path: Path) -> None:
    async with watched(tmp_path) as system:
        request = tron_service_pb2.GetStatsRequest()
        await system.tron.ListPolicyOverrides(tron_service_pb2.ListPolicyOverridesRequest(), metadata=bearer(OPERATOR))
        seen = system.access.authority.revisions.value
        revoke = access_service_pb2.RevokeTokenRequest(token_id=OPERATOR.removeprefix("tron_")[:8])
        await system.registry.rights.RevokeToken(revoke, metadata=bearer(ADMIN))
        assert await system.access.authority.revisions.until(
            lambda: system.access.authority.revisions.value > seen, timeout=10
        )
        assert await system.refused("GetStats", request, OPERATOR) == "UNAUTHENTICATED"


async def test_an_act_that_cannot_be_recorded_is_answered_so_and_recorded_later() -> None:
    written: list[AuditRecord] = []
    fails = True

    async def append(records: Any) -> None:
        if fails:
            raise Draining("the registry does not answer")
        written.extend(records)

    trail = AuditTrail(append)
    act = AuditRecord(1.0, AuditKind.ACT, "token:operator", "/m", "a")
    with pytest.raises(Draining, match="the change was made, but its audit record cannot be written"):
        await trail.act(act)
    trail.refused(AuditRecord(1.0, AuditKind.REFUSAL, "network:10.0.0.0/24", "/m", outcome="UNAUTHENTICATED"))
    assert trail.waiting == 2
    fails = False
    running = asyncio.create_task(trail.run())
    await eventually(lambda: not trail.waiting, what="an empty trail")
    running.cancel()
    await asyncio.wait({running})
    assert [each.kind for each in written] == [AuditKind.ACT, AuditKind.REFUSAL]


async def test_the_records_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.access.trail.MOST_WAITING", 3)

    async def append(records: Any) -> None:
        raise Draining("the registry does not answer")

    trail = AuditTrail(append)
    for number in range(5):
        with pytest.raises(Draining):
            await trail.act(AuditRecord(1.0, AuditKind.ACT, "token:operator", "/m", str(number)))
    assert trail.waiting == 3
