"""Acts and refusals at a registry with authentication are in its audit log, and secrets are nowhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog
from grid.access.v1 import access_pb2, access_service_pb2
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2, service_pb2
from grid_model.access import ON_BEHALF_OF, Role
from tron_cli.app import app
from typer.testing import CliRunner

from grid_hosting.access.audit import MOST_KINDS, AuditFilter, AuditKind
from grid_hosting.access.trail import MOST_KINDS_OF_RELAY
from registry_server.io.audited_acts import ACTS
from registry_server.io.method_roles import METHOD_ROLES
from tests.support.secured import ADMIN, AGENT, GATEWAY, MONITOR, WRONG, bearer, secured, stored_records

READING = {"ListTokens", "ListDeniedJwts", "GetPrincipal", "ListPrincipals", "ListAuditRecords"}


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
        ("Register", "token:worker", "boss", "PERMISSION_DENIED"),
        ("Heartbeat", "token:worker", "boss", "PERMISSION_DENIED"),
        ("ListServices", "network:127.0.0.0/24", "", "UNAUTHENTICATED"),
    }


async def test_a_stream_that_ends_because_its_only_agent_is_refused_is_one_record(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        call = system.registry.Heartbeat(metadata=bearer(AGENT))
        register = heartbeat_pb2.Register(service=service_pb2.Service(service_id="boss", name="boss"))
        await call.write(heartbeat_pb2.HeartbeatRequest(register=register))
        assert await call.code() is grpc.StatusCode.PERMISSION_DENIED
        (record,) = await system.records(AuditKind.REFUSAL)
    assert (record.actor, record.target, record.outcome) == ("token:worker", "boss", "PERMISSION_DENIED")
    (stored,) = stored_records(tmp_path)
    assert stored.count == 1


async def test_another_server_reports_what_it_has_to_record_and_the_log_names_that_server(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        wrong_token = {"kind": 2, "actor": "network:10.0.0.0/24", "method": "/m", "outcome": "UNAUTHENTICATED"}
        reports: list[dict[str, Any]] = [
            {"kind": 1, "actor": "token:operator", "method": "/m", "target": "*", "outcome": "OK"},
            {**wrong_token, "count": 3},
            {**wrong_token, "count": 4},
            {"kind": 3, "count": 9},
        ]
        records = [access_pb2.AuditRecord(**each) for each in reports]
        request = access_service_pb2.AppendAuditRecordsRequest(records=records)
        await system.rights.AppendAuditRecords(request, metadata=bearer(MONITOR))
        (act,) = await system.access.read_audit(0, 10, AuditFilter(AuditKind.ACT))
        assert (act.actor, act.via, act.method, act.target) == ("token:operator", "token:program/monitor", "/m", "*")
        for secret in (ADMIN, AGENT):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await system.rights.AppendAuditRecords(request, metadata=bearer(secret))
            assert failed.value.code() is grpc.StatusCode.PERMISSION_DENIED
        too_many = access_service_pb2.AppendAuditRecordsRequest(records=records * 300)
        unset = access_service_pb2.AppendAuditRecordsRequest(records=[access_pb2.AuditRecord(actor="a\nb")])
        timeless = access_service_pb2.AppendAuditRecordsRequest(records=[records[0], records[0]])
        timeless.records[1].at.seconds = 2**62
        for wrong, why in (
            (too_many, "at most 1000"),
            (unset, "records\\[0\\].actor.*records\\[0\\].kind"),
            (timeless, "records\\[1\\].at: is not a valid timestamp"),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=why):
                await system.rights.AppendAuditRecords(wrong, metadata=bearer(GATEWAY))
    reported = [each for each in stored_records(tmp_path) if each.via]
    assert [(each.kind, each.count) for each in reported] == [
        (AuditKind.ACT, 1),
        (AuditKind.REFUSAL, 3),
        (AuditKind.REFUSAL, 4),
    ]
    (dropped,) = [each for each in stored_records(tmp_path) if each.kind is AuditKind.DROPPED]
    assert dropped.count == 9


async def test_a_relay_reports_no_act_of_the_registry_and_drops_no_refusal_of_others(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:

        def report(**fields: Any) -> Any:
            records = [access_pb2.AuditRecord(**{"kind": 1, "actor": "token:root", "outcome": "OK", **fields})]
            request = access_service_pb2.AppendAuditRecordsRequest(records=records)
            return system.rights.AppendAuditRecords(request, metadata=bearer(GATEWAY))

        with pytest.raises(grpc.aio.AioRpcError, match="records its calls itself"):
            await report(method="/grid.access.v1.AccessService/CreateToken")
        assert await system.access.read_audit(0, 10, AuditFilter()) == []
        for number in range(MOST_KINDS):
            await report(kind=2, method=f"GET /{number}", outcome="PERMISSION_DENIED")
        with pytest.raises(grpc.aio.AioRpcError):
            await system.registry.ListServices(registry_service_pb2.ListServicesRequest(), metadata=bearer(WRONG))
        request = access_service_pb2.AppendAuditRecordsRequest(
            records=[
                access_pb2.AuditRecord(
                    kind=access_pb2.AUDIT_KIND_ACT, actor="token:operator", via="token:program/gateway",
                    method="/grid.tron.v1.TronService/SetPolicy",
                )
            ]
        )  # fmt: skip
        request.records[0].at.GetCurrentTime()
        request.records[0].at.seconds -= 60
        await system.rights.AppendAuditRecords(request, metadata=bearer(MONITOR))
        (act,) = await system.access.read_audit(0, 10, AuditFilter(AuditKind.ACT))
        assert act.via == "token:program/gateway"
        assert act.at == pytest.approx(request.records[0].at.ToNanoseconds() / 1e9)
    stored = stored_records(tmp_path)
    assert [each.actor for each in stored if each.kind is AuditKind.REFUSAL and not each.via] == [
        "network:127.0.0.0/24"
    ]
    (dropped,) = [each for each in stored if each.kind is AuditKind.DROPPED]
    assert (dropped.via, dropped.count) == ("token:program/gateway", MOST_KINDS - MOST_KINDS_OF_RELAY)


@pytest.mark.parametrize("name", [b"token:nobody", b"offline", b"token:worker\x1b[2J", b"\xff"])
async def test_a_name_that_no_principal_has_is_no_actor(name: bytes, tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        metadata = (*bearer(GATEWAY), (ON_BEHALF_OF, name))
        request = registry_service_pb2.DeregisterRequest(service_id="boss")
        with pytest.raises(grpc.aio.AioRpcError):
            await system.registry.Deregister(request, metadata=metadata)
        (record,) = await system.records(AuditKind.REFUSAL)
    assert (record.actor, record.via, record.target) == ("token:program/gateway", "", "boss")


async def test_a_record_names_the_principal_for_which_a_relay_speaks(tmp_path: Path) -> None:
    async with secured(tmp_path) as system:
        metadata = (*bearer(GATEWAY), (ON_BEHALF_OF, b"token:worker"))
        with pytest.raises(grpc.aio.AioRpcError):
            await system.registry.Deregister(
                registry_service_pb2.DeregisterRequest(service_id="boss"), metadata=metadata
            )
        (record,) = await system.records(AuditKind.REFUSAL)
        assert (record.actor, record.via, record.target) == ("token:worker", "token:program/gateway", "boss")


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
