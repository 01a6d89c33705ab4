"""A registry with authentication in this process, with callers whose tokens are known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grid.access.v1 import access_service_pb2_grpc
from grid.events.v1 import event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2_grpc
from grid_model.access import Grant, Role

from grid_hosting.access.audit import AuditFilter, AuditKind, AuditRecord
from grid_hosting.access.store import AccessStore
from grid_hosting.access.tokens import RANDOM_BYTES, make_secret
from grid_hosting.access.trail import AuditTrail
from grid_hosting.auditing import Auditing
from grid_hosting.authentication import Authentication
from grid_hosting.grpc_server import build_server
from registry_server.config import Config
from registry_server.io.access import Access
from registry_server.io.audited_acts import ACTS, TARGETS
from registry_server.io.callers import Callers
from registry_server.io.grpc_access import AccessService
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import RegistryService
from registry_server.io.jwt_verification import JwtVerification
from registry_server.io.loop import RegistryLoop
from registry_server.io.method_roles import METHOD_ROLES
from registry_server.io.store.sqlite import SqliteStore
from tests.support.waiting import eventually

ADMIN, AGENT, WRONG, MONITOR, GATEWAY, OPERATOR = (
    make_secret(bytes([number]) * RANDOM_BYTES) for number in range(1, 7)
)
OBSERVER = "tron-heartbeat-monitor"
CALLERS = {
    ADMIN: ("token:root", (Grant(Role.ADMIN, "*"),)),
    AGENT: ("token:worker", (Grant(Role.AGENT, "worker-*"),)),
    MONITOR: ("token:program/monitor", (Grant(Role.JUDGE, OBSERVER),)),
    GATEWAY: ("token:program/gateway", (Grant(Role.RELAY, "*"), Grant(Role.OBSERVER, "*"))),
    OPERATOR: ("token:operator", (Grant(Role.OPERATOR, "*"),)),
}
"""The name and the grants of each token."""


@dataclass
class Secured:
    """A registry with authentication, and its parts."""

    folder: Path
    loop: RegistryLoop
    access: Access
    channel: grpc.aio.Channel
    address: str
    server: grpc.aio.Server

    @property
    def registry(self) -> Any:
        """The stub of RegistryService."""
        return registry_service_pb2_grpc.RegistryServiceStub(self.channel)

    @property
    def events(self) -> Any:
        """The stub of EventService."""
        return event_service_pb2_grpc.EventServiceStub(self.channel)

    @property
    def rights(self) -> Any:
        """The stub of AccessService."""
        return access_service_pb2_grpc.AccessServiceStub(self.channel)

    async def records(self, kind: AuditKind | None = None, count: int = 1) -> list[AuditRecord]:
        """Wait until this many records are stored; return them."""
        await eventually(lambda: len(stored_records(self.folder)) >= count, what="records")
        return await self.access.read_audit(0, 100, AuditFilter(kind))


def stored_records(folder: Path) -> list[AuditRecord]:
    """What another process reads of the log."""
    store = AccessStore(folder)
    try:
        return store.read_audit(0, 100, AuditFilter())
    finally:
        store.close()


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with a token."""
    return (("authorization", f"Bearer {secret}"),)


@asynccontextmanager
async def secured(
    folder: Path, jwts: JwtVerification | None = None, *, max_streams: int = 20_000
) -> AsyncIterator[Secured]:
    """Run one, with the tokens of CALLERS. `jwts`: the issuers of further callers."""
    store = AccessStore(folder)
    for secret, (name, grants) in CALLERS.items():
        store.change(lambda book, s=secret, n=name, g=grants: book.create_token(s, n, now=1.0, grants=g))  # type: ignore[misc]
    store.close()
    loop = RegistryLoop(SqliteStore(folder), event_retention=60)
    await loop.start()
    access = Access(folder, jwts)
    await access.open()
    trail = AuditTrail(access.append_audit)
    callers = Callers(loop, access.find, trail.refused)
    streams = HeartbeatStreams(loop, Config(data_dir=folder, max_streams=max_streams), callers)
    authentication = Authentication(access, METHOD_ROLES, refused=trail.refused)

    def register(server: grpc.aio.Server) -> None:
        services = RegistryService(loop, streams, callers)
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(services, server)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(EventService(loop, callers), server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(AccessService(access, loop, trail), server)

    bound = build_server(
        "127.0.0.1:0",
        register=register,
        services=(),
        max_message_bytes=1 << 20,
        admission=authentication,
        interceptors=(Auditing(trail, ACTS, TARGETS, access.find),),
    )
    await bound.server.start()
    running = [asyncio.create_task(each.run()) for each in (loop, access, trail, authentication)]
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            yield Secured(folder, loop, access, channel, bound.address, bound.server)
    finally:
        await bound.server.stop(None)
        await streams.all_ended(2.0)
        for task in reversed(running):
            task.cancel()
            await asyncio.wait({task})
        await loop.close()
