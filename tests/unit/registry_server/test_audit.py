"""Acts and refusals at a registry with authentication are in its audit log, and secrets are nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, registry_service_pb2_grpc, service_pb2
from grid_model.access import Grant, Role
from tron_cli.app import app
from typer.testing import CliRunner

from grid_hosting.access.audit import AuditFilter, AuditKind, AuditRecord
from grid_hosting.access.store import AccessStore
from grid_hosting.access.tokens import RANDOM_BYTES, make_secret
from grid_hosting.auditing import Auditing
from grid_hosting.authentication import Authentication
from grid_hosting.grpc_server import build_server
from registry_server.config import Config
from registry_server.io.access import Access
from registry_server.io.audit import AuditTrail
from registry_server.io.audited_acts import ACTS
from registry_server.io.callers import Callers
from registry_server.io.grpc_access import AccessService
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import RegistryService
from registry_server.io.loop import RegistryLoop
from registry_server.io.method_roles import METHOD_ROLES
from registry_server.io.store.sqlite import SqliteStore
from tests.support.waiting import eventually

ADMIN, AGENT = (make_secret(bytes([number]) * RANDOM_BYTES) for number in (1, 2))
WRONG = make_secret(bytes([3]) * RANDOM_BYTES)
READING = {"ListTokens", "GetPrincipal", "ListPrincipals", "ListAuditRecords"}


@dataclass
class Secured:
    """A registry with authentication, and its parts."""

    folder: Path
    access: Access
    channel: grpc.aio.Channel

    @property
    def registry(self) -> Any:
        return registry_service_pb2_grpc.RegistryServiceStub(self.channel)

    @property
    def rights(self) -> Any:
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
    return (("authorization", f"Bearer {secret}"),)


@asynccontextmanager
async def secured(folder: Path) -> AsyncIterator[Secured]:
    store = AccessStore(folder)
    for secret, name, grant in (
        (ADMIN, "token:root", Grant(Role.ADMIN, "*")),
        (AGENT, "token:worker", Grant(Role.AGENT, "worker-*")),
    ):
        store.change(lambda book, s=secret, n=name, g=grant: book.create_token(s, n, now=1.0, grants=[g]))  # type: ignore[misc]
    store.close()
    loop = RegistryLoop(SqliteStore(folder), event_retention=60)
    await loop.start()
    access = Access(folder)
    await access.open()
    trail = AuditTrail(access)
    callers = Callers(loop, access.find, trail.refused)
    streams = HeartbeatStreams(loop, Config(data_dir=folder), callers)
    authentication = Authentication(access, METHOD_ROLES, refused=trail.refused)

    def register(server: grpc.aio.Server) -> None:
        services = RegistryService(loop, streams, callers)
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(services, server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(AccessService(access, loop), server)

    bound = build_server(
        "127.0.0.1:0",
        register=register,
        services=(),
        max_message_bytes=1 << 20,
        interceptors=(authentication, Auditing(trail, ACTS)),
    )
    await bound.server.start()
    running = [asyncio.create_task(each.run()) for each in (loop, access, trail)]
    try:
        async with grpc.aio.insecure_channel(bound.address) as channel:
            yield Secured(folder, access, channel)
    finally:
        await bound.server.stop(None)
        await streams.all_ended(2.0)
        for task in reversed(running):
            task.cancel()
            await asyncio.wait({task})
        await loop.close()


def test_every_method_by_which_operators_and_administrators_change_something_is_an_act() -> None:
    changing = {
        method
        for method, roles in METHOD_ROLES.items()
        if roles & {Role.OPERATOR, Role.ADMIN} and method.rpartition("/")[2] not in READING
    }
    assert changing == set(ACTS)


async def test_an_act_is_a_record_when_it_is_answered(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        request = access_service_pb2.CreateTokenRequest(principal="token:new")
        await system.rights.CreateToken(request, metadata=bearer(ADMIN))
        (record,) = await system.access.read_audit(0, 10, AuditFilter())
        assert (record.kind, record.actor, record.target, record.outcome) == (
            AuditKind.ACT,
            "token:root",
            "token:new",
            "OK",
        )
        assert record.peer.startswith("ipv4:127.0.0.1")
        with pytest.raises(grpc.aio.AioRpcError):
            await system.rights.RevokeToken(
                access_service_pb2.RevokeTokenRequest(token_id="none"), metadata=bearer(ADMIN)
            )
        assert len(await system.access.read_audit(0, 10, AuditFilter())) == 1, "what failed has changed nothing"


async def test_an_agent_outside_its_rights_is_in_the_log_with_each_attempt(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        metadata = bearer(AGENT)
        for method, request in (
            ("Promote", registry_service_pb2.PromoteRequest(name="worker-1", from_role=1, to_role=2)),  # type: ignore[arg-type]
            ("Deregister", registry_service_pb2.DeregisterRequest(service_id="boss")),
            (
                "Register",
                registry_service_pb2.RegisterRequest(service=service_pb2.Service(service_id="boss", name="boss")),
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError):
                await getattr(system.registry, method)(request, metadata=metadata)
        call = system.registry.Heartbeat(metadata=metadata)
        for name in ("worker-1", "boss"):
            service = service_pb2.Service(service_id=name, name=name)
            register = heartbeat_pb2.Register(service=service, shared="process")
            await call.write(heartbeat_pb2.HeartbeatRequest(register=register))
            await call.read()
        with pytest.raises(grpc.aio.AioRpcError):
            await system.registry.ListServices(registry_service_pb2.ListServicesRequest(), metadata=bearer(WRONG))
        found = {
            (each.method.rpartition("/")[2], each.actor, each.target, each.outcome)
            for each in await system.records(AuditKind.REFUSAL, 5)
        }
        call.cancel()
    assert found == {
        ("Promote", "token:worker", "", "PERMISSION_DENIED"),
        ("Deregister", "token:worker", "boss", "PERMISSION_DENIED"),
        ("Register", "token:worker", "", "PERMISSION_DENIED"),
        ("Heartbeat", "token:worker", "boss", "PERMISSION_DENIED"),
        ("ListServices", "network:127.0.0.0/24", "", "UNAUTHENTICATED"),
    }


async def test_many_wrong_credentials_are_two_records(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        calls = [
            system.registry.ListServices(registry_service_pb2.ListServicesRequest(), metadata=bearer(WRONG), timeout=20)
            for _ in range(12)
        ]
        for call in calls:
            with suppress(grpc.aio.AioRpcError):
                await call
    assert [each.count for each in stored_records(tmp_path)] == [1, 11]


async def test_only_an_administrator_reads_the_log_and_no_secret_is_anywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with structlog.testing.capture_logs() as logs:
        async with secured(tmp_path) as system:
            request = access_service_pb2.CreateTokenRequest(principal="token:new", description="d")
            created = (await system.rights.CreateToken(request, metadata=bearer(ADMIN))).secret
            wanted = access_service_pb2.ListAuditRecordsRequest()
            for secret in (AGENT, WRONG, created):
                with pytest.raises(grpc.aio.AioRpcError):
                    await system.rights.ListAuditRecords(wanted, metadata=bearer(secret))
            page = await system.rights.ListAuditRecords(wanted, metadata=bearer(ADMIN))
            tokens = await system.rights.ListTokens(access_service_pb2.ListTokensRequest(), metadata=bearer(ADMIN))
    assert [each.actor for each in page.records if each.outcome == "OK"] == ["token:root"]
    stored = all_bytes(tmp_path)
    said = f"{page}{tokens}{logs}{capfd.readouterr()}".encode() + stored
    for secret in (ADMIN, AGENT, WRONG, created):
        assert secret.encode() not in said
        assert secret.removeprefix("tron_")[12:].encode() not in said


def all_bytes(folder: Path) -> bytes:
    """The content of all files."""
    return b"".join(path.read_bytes() for path in folder.iterdir())


def test_the_command_refuses_a_kind_that_does_not_exist() -> None:
    result = CliRunner().invoke(app, ["audit", "--kind", "what"])
    assert result.exit_code == 2
    assert "act, refusal, dropped" in result.output
