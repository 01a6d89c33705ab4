"""The table of rights: every RPC, for each role, with the id of the caller and with one of another owner.

The servers are the real servicers on a real port, behind the real interceptor; only the credentials are given. A new
RPC without a row fails. `pytest -s` prints the outcomes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from grid.events.v1 import event_service_pb2_grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc
from grid.tron.v1 import tron_service_pb2_grpc
from grid_model import access_codec
from grid_model.access import CALLER_TOKEN, ON_BEHALF_OF, Grant, Principal, Role
from grid_model.declaration import Declaration
from grid_model.errors import CredentialExpired, PrincipalNotFound, Unauthenticated
from grid_model.event import Event
from grid_model.service import Maintenance, ServiceRole
from grpc_health.v1 import health_pb2_grpc
from tron_client.channel import open_aio_channel
from tron_client.endpoint import Endpoint
from tron_client.errors import from_rpc_error

import registry_server.server
from grid_hosting.access.remote_access import RemoteAccess
from grid_hosting.authentication import Authentication
from grid_hosting.credential import CertificateRules, Credential
from grid_hosting.grpc_server import BoundServer, build_server
from grid_hosting.health import HealthService
from grid_hosting.sinks.dispatcher import Dispatcher
from grid_hosting.watermark import Watermark
from registry_server.config import Config
from registry_server.core.publish_rate import PUBLISHED_A_SECOND
from registry_server.io.callers import Callers
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_health import RegistryHealth
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_registry import RegistryService
from registry_server.io.loop import RegistryLoop
from registry_server.io.method_roles import METHOD_ROLES
from registry_server.io.store.sqlite import SqliteStore
from tron.config import Config as TronConfig
from tron.live_policy import LivePolicy
from tron.monitor import Monitor
from tron.operator_relay import OperatorRelay
from tron.policy_store import PolicyStore
from tron.probe import Prober
from tron.rpc import method_roles as tron_roles
from tron.rpc.health import TRON_SERVICE
from tron.rpc.tron import TronService
from tron.stats import Stats

OWN, FOREIGN = "own-1", "foreign-1"
OBSERVER = "tron-heartbeat-monitor"

# ok: done, or answered in full. part: only the liveness. none: not found, or not among what is answered. denied:
# PERMISSION_DENIED. owner: NOT_OWNER. who: UNAUTHENTICATED. Two words: with the own id, and with the foreign one; the
# grants of the agent match both ids. `carried` is a relay that speaks for the agent, which it names in the message
# on a Heartbeat stream, else in the metadata; `forward` a relay that forwards the token of the operator, `team` an
# operator of own-* only, `lead` an administrator of own-*, as earlier versions granted it.
TABLE = """
                            nobody agent    observer relay  carried  forward judge  team      lead      operator admin
Register                    who    ok/owner denied   denied ok/owner denied  denied denied    denied    denied   denied
Deregister                  who    ok/owner denied   denied ok/owner ok      denied ok/denied ok/denied ok       ok
Heartbeat                   who    ok/owner denied   denied ok/owner denied  denied denied    denied    denied   denied
GetService                  who    ok/none  ok       none   ok/none  ok      ok     ok/none   ok/none   ok       ok
ListServices                who    ok/none  ok       none   ok/none  ok      ok     ok/none   ok/none   ok       ok
ListGoneServices            who    ok/none  ok       none   ok/none  ok      ok     ok/none   ok/none   ok       ok
WatchServices               who    ok/none  ok       none   denied   denied  ok     ok/none   ok/none   ok       ok
ListMaintenance             who    ok/none  ok       none   ok/none  ok      ok     ok/none   ok/none   ok       ok
Promote                     who    denied   denied   denied denied   ok      denied ok/denied ok/denied ok       ok
RecordMaintenance           who    denied   denied   denied denied   ok      ok     ok/denied ok/denied ok       ok
ReleaseOwner                who    denied   denied   denied denied   ok      denied ok/denied ok/denied ok       ok
ObserveLiveness             who    denied   denied   denied denied   denied  ok     denied    denied    denied   denied
GetObservation              who    denied   denied   denied denied   denied  ok     denied    denied    denied   denied
ApplyVerdicts               who    denied   denied   denied denied   denied  ok     denied    denied    denied   denied
SubscribeEvents             who    ok/none  ok       none   denied   denied  ok     ok/none   ok/none   ok       ok
ListEvents                  who    ok/none  ok       none   ok/none  ok      ok     ok/none   ok/none   ok       ok
PublishEvent                who    ok/owner denied   denied ok/owner denied  denied denied    denied    denied   denied
AcknowledgeEvent            who    ok/owner denied   denied ok/owner ok      denied ok/denied ok/denied ok       ok
AcknowledgeEvents           who    ok/owner denied   denied ok/owner ok      denied ok/denied ok/denied ok       ok
Check                       none   ok/none  ok       none   ok/none  ok      ok     ok/none   ok/none   ok       ok
Watch                       none   ok/none  ok       none   denied   denied  ok     ok/none   ok/none   ok       ok
List                        who    denied   denied   denied denied   denied  denied denied    denied    denied   denied
GetStats                    who    denied   ok       denied denied   ok      denied ok        ok        ok       ok
ListAlerts                  who    denied   ok       denied denied   ok      denied ok/denied ok/denied ok       ok
GetPolicy                   who    denied   ok       denied denied   ok      denied ok/denied ok/denied ok       ok
SetPolicy                   who    denied   denied   denied denied   ok      denied ok/denied ok/denied ok       ok
ListPolicyOverrides         who    denied   ok       denied denied   ok      denied ok/none   ok/none   ok       ok
TronService/ListMaintenance who    denied   ok       denied denied   ok      denied ok/none   ok/none   ok       ok
SetMaintenance              who    denied   denied   denied denied   ok      denied ok/denied ok/denied ok       ok
Explain                     who    denied   ok       denied denied   ok      denied ok/denied ok/denied ok       ok
CreateToken                 who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
ListAuditRecords            who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
ListTokens                  who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
RevokeToken                 who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
DenyJwt                     who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
AllowJwt                    who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
ListDeniedJwts              who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
PutPrincipal                who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
ChangeGrants                who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
GetPrincipal                who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
ListPrincipals              who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
DeletePrincipal             who    denied   denied   denied denied   denied  denied denied    denied    denied   ok
WhoAmI                      who    ok       ok       ok     ok       ok      ok     ok        ok        ok       ok
Identify                    who    denied   denied   ok     ok       denied  ok     denied    denied    denied   denied
WatchAccess                 who    denied   denied   ok     denied   denied  ok     denied    denied    denied   denied
AppendAuditRecords          who    denied   denied   ok     ok       denied  ok     denied    denied    denied   denied
"""


def caller(name: str, *grants: tuple[Role, str]) -> Principal:
    """A principal with these grants."""
    return Principal(f"token:{name}", tuple(Grant(role, pattern) for role, pattern in grants))


CALLERS = {
    "agent": caller("agent", (Role.AGENT, "own-*"), (Role.AGENT, "foreign-*")),
    "observer": caller("observer", (Role.OBSERVER, "*")),
    "relay": caller("relay", (Role.RELAY, "*")),
    "judge": caller("judge", (Role.JUDGE, OBSERVER)),
    "team": caller("team", (Role.OPERATOR, "own-*")),
    "operator": caller("operator", (Role.OPERATOR, "*")),
    "lead": caller("lead", (Role.ADMIN, "own-*")),
    "admin": caller("admin", (Role.ADMIN, "*")),
}
NOBODY, CARRIED, FORWARDED = "nobody", "carried", "forward"


def read_table() -> dict[str, dict[str, tuple[str, str]]]:
    """The expected outcomes: by method and caller, with the own and with the foreign id."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    found = {}
    for method, *cells in rows:
        assert len(cells) == len(head), method
        pairs = (cell.split("/") for cell in cells)
        found[method] = {who: (pair[0], pair[-1]) for who, pair in zip(head, pairs, strict=True)}
    return found


def methods(*services: str) -> dict[str, MethodDescriptor]:
    """All methods of gRPC services, by the name that the table has."""
    pool = descriptor_pool.Default()
    found: dict[str, MethodDescriptor] = {}
    for service in services:
        for method in pool.FindServiceByName(service).methods:
            name = method.name if method.name not in found else f"{method.containing_service.name}/{method.name}"
            found[name] = method
    return found


SERVICES = (*registry_server.server.SERVICES, TRON_SERVICE)
ALL = methods(*dict.fromkeys((*SERVICES, "grid.access.v1.AccessService")))


@dataclass
class Known:
    """An authority whose tokens are the names of the callers."""

    callers: dict[str, Principal] = field(default_factory=lambda: dict(CALLERS))
    revisions: Watermark = field(default_factory=Watermark)

    async def identify(self, credential: Credential, peer: str) -> Principal:
        """Return the caller with this name."""
        if credential.token not in self.callers:
            raise Unauthenticated
        return self.callers[credential.token]

    def revoke(self, name: str) -> None:
        """The credential of a caller is no longer valid."""
        del self.callers[name]
        self.revisions.step()


class System:
    """The servicers of a registry and of a TRON, and the state in which each call finds them."""

    def __init__(self, loop: RegistryLoop, registry: BoundServer, monitor: BoundServer, known: Known) -> None:
        self.loop = loop
        self.known = known
        self.why = ""
        """The text of the last refusal."""
        self._channels = {
            name: grpc.aio.insecure_channel(bound.address) for name, bound in (("tron", monitor), ("", registry))
        }

    def heartbeat(self, who: str) -> Any:
        """Open a stream of a caller."""
        stub = registry_service_pb2_grpc.RegistryServiceStub(self._channels[""])
        return stub.Heartbeat(metadata=metadata(who), timeout=10)

    async def call(self, who: str, method: MethodDescriptor, service_id: str, request: Any = None) -> str:
        """Call the method about a service; return the outcome in the words of the table."""
        self.why = ""
        await self._prepare(method.name)
        channel = self._channels["tron" if "tron" in method.containing_service.full_name else ""]
        kind = {(False, False): "unary_unary", (False, True): "unary_stream", (True, True): "stream_stream"}
        streaming = method.client_streaming, method.server_streaming
        answer_type = message_factory.GetMessageClass(method.output_type)
        stub = getattr(channel, kind[streaming])(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answer_type.FromString,
        )
        try:
            if streaming == (True, True):
                sender = "relay" if who == CARRIED else who  # it names the agent in the message
                return await self._heartbeat(stub(metadata=metadata(sender), timeout=10), who, service_id)
            call = stub(request or request_for(method, service_id), metadata=metadata(who), timeout=10)
            if streaming == (False, True):
                return await self._read(call, method.name, service_id, who)
            return outcome(await call, method.name, service_id)
        except grpc.aio.AioRpcError as error:
            self.why = error.details() or ""
            return refusal(error)

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels.values():
            await channel.close()

    async def _heartbeat(self, call: Any, who: str, service_id: str) -> str:
        on_behalf_of = CALLERS["agent"].name if who == CARRIED else ""
        spec = {"service_id": service_id, "name": service_id}
        register = heartbeat_pb2.Register(service=spec, on_behalf_of=on_behalf_of)  # type: ignore[arg-type]
        await call.write(heartbeat_pb2.HeartbeatRequest(register=register))
        answer = await call.read()
        if answer is grpc.aio.EOF:
            raise await error_of(call)
        call.cancel()
        if answer.WhichOneof("kind") == "rejected":
            self.why = answer.rejected.description
            return {15: "denied", 16: "owner"}[answer.rejected.reason]
        assert answer.registered.service.service_id == service_id
        return "ok"

    async def _read(self, call: Any, method: str, service_id: str, who: str) -> str:
        if method == "SubscribeEvents" and who == "relay":
            await call.initial_metadata()  # it is open, and nothing will come
            call.cancel()
            return "none"
        found = "none"
        async for answer in call:
            if method == "WatchServices":
                if answer.HasField("snapshot_complete"):
                    break
                found = outcome_of_service(answer.upserted, service_id, found)
            elif method == "SubscribeEvents":
                # The event about the foreign service is the older one.
                found = "ok" if answer.event.service_id == service_id or service_id == OWN else "none"
                break
            else:
                found = "none" if method == "Watch" and answer.status == answer.SERVICE_UNKNOWN else "ok"
                break
        call.cancel()
        return found

    async def _prepare(self, method: str) -> None:
        """Both services are registered by their owners, under maintenance, and an alert waits for each."""
        registry, now = self.loop.registry, self.loop.now()
        for service_id, owner in ((FOREIGN, "token:other"), (OWN, CALLERS["agent"].owner)):
            if registry.owner_of(service_id) not in ("", owner):
                raise AssertionError(f"{service_id} was taken")
            spec = Declaration(service_id, service_id, role=ServiceRole.STAGING)
            registry.register(spec, 0, "", None, now, owner=owner)
            registry.hold_notices(Maintenance(service_id, now.wall, None, ""))
            registry.acknowledge_matching("", service_id, now)
            event = Event("note", alert_id=f"alert-{service_id}", service_id=service_id, recipient=service_id)
            registry.publish(event, now)
            if method in ("ReleaseOwner", "ListGoneServices"):
                registry.deregister(service_id, "", now)
        await self.loop.flushed()


def metadata(who: str) -> tuple[tuple[str, str | bytes], ...]:
    """The credential of a caller."""
    if who == NOBODY:
        return ()
    if who == CARRIED:
        return (("authorization", "Bearer relay"), (ON_BEHALF_OF, CALLERS["agent"].name.encode()))
    if who == FORWARDED:
        return (("authorization", "Bearer relay"), (CALLER_TOKEN, "operator"))
    return (("authorization", f"Bearer {who}"),)


def request_for(method: MethodDescriptor, service_id: str) -> Any:
    """A request about a service."""
    requests: dict[str, dict[str, Any]] = {
        "Register": {"service": {"service_id": service_id, "name": service_id}},
        "Promote": {"name": service_id, "from_role": 2, "to_role": 2},
        "ListServices": {"name": service_id},
        "ListGoneServices": {},
        "WatchServices": {},
        "ListMaintenance": {},
        "ObserveLiveness": {"observer": OBSERVER},
        "ApplyVerdicts": {"observer": OBSERVER},
        "SubscribeEvents": {"after_sequence": 0, "types": ["note"]},
        "ListEvents": {"service_id": service_id},
        "PublishEvent": {"event": {"type": "mine", "service_id": service_id}},
        "AcknowledgeEvent": {"alert_id": f"alert-{service_id}", "recipient": service_id},
        "AcknowledgeEvents": {"recipient": service_id},
        "RecordMaintenance": {"service_id": service_id, "enabled": True},
        "SetMaintenance": {"service_id": service_id, "enabled": True},
        "SetPolicy": {"service_id": service_id, "allow_unknown": True, "policy": {"misses_before_down": 3}},
        "List": {},
        "GetStats": {},
        "ListPolicyOverrides": {},
        "Check": {"service": service_id},
        "Watch": {"service": service_id},
    }
    fields = requests.get(method.name, {"service_id": service_id})
    if "access" in method.containing_service.full_name:
        fields = {}
    return message_factory.GetMessageClass(method.input_type)(**fields)


def outcome(answer: Any, method: str, service_id: str) -> str:
    """How much of the service is in an answer."""
    if method in ("GetService", "Explain"):
        return outcome_of_service(answer.service, service_id, "none")
    lists = {"ListServices": "services", "ListGoneServices": "services", "ListMaintenance": "held",
             "ListEvents": "events", "ListPolicyOverrides": "overrides"}  # fmt: skip
    if method in lists:
        ids = {each.service_id for each in getattr(answer, lists[method])}
        return "ok" if service_id in ids else "none"
    return "ok"


def outcome_of_service(service: Any, service_id: str, otherwise: str) -> str:
    """How much of the service is in a record."""
    if service.service_id != service_id:
        return otherwise
    return "ok" if service.HasField("heartbeat_interval") else "part"


def refusal(error: grpc.aio.AioRpcError) -> str:
    """The reason of an error in the words of the table."""
    reason = from_rpc_error(error).reason.removeprefix("ERROR_REASON_")
    return {
        "PERMISSION_DENIED": "denied",
        "NOT_OWNER": "owner",
        "UNAUTHENTICATED": "who",
        "SERVICE_NOT_FOUND": "none",
        "ALERT_NOT_FOUND": "none",
    }.get(reason, f"{reason}: {error.details()}")


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    """The error that ended a stream."""
    return grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )


def access_of(known: Known) -> Any:
    """An AccessService that answers whatever it is asked, because its rights are those of its methods. It knows the
    callers, for TRON."""

    def unary(name: str) -> Callable[..., Awaitable[Any]]:
        async def answer(self: Any, request: Any, context: Any) -> Any:
            return getattr(access_service_pb2, f"{name}Response")()

        return answer

    async def identify(self: Any, request: Any, context: Any) -> Any:
        if not request.token:
            return access_service_pb2.IdentifyResponse()
        try:
            found = await known.identify(Credential(token=request.token), request.peer)
        except Unauthenticated as error:
            raise PrincipalNotFound("the credential is not valid") from error
        return access_service_pb2.IdentifyResponse(principal=access_codec.encode_principal(found))

    async def watch(self: Any, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            yield access_service_pb2.WatchAccessResponse(revision=known.revisions.value)
            await known.revisions.beyond(known.revisions.value, 1.0)

    names = [method.name for method in access_service_pb2.DESCRIPTOR.services_by_name["AccessService"].methods]
    methods: dict[str, Any] = {name: unary(name) for name in names}
    methods |= {"Identify": identify, "WatchAccess": watch}
    return type("Answers", (access_service_pb2_grpc.AccessServiceServicer,), methods)()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[System]:
    """Serve a registry and a TRON, which evaluates nothing."""
    config = Config(data_dir=folder / "registry", max_streams_per_peer=10_000)
    loop = RegistryLoop(SqliteStore(config.data_dir), event_retention=3600.0)
    await loop.start()
    loop.registry.follow_parents()
    keeper = asyncio.create_task(loop.run())
    known = Known()
    authentication = Authentication(known, METHOD_ROLES)
    by_name = {each.name: each for each in CALLERS.values()}
    callers = Callers(loop, by_name.get)
    streams = HeartbeatStreams(loop, config, callers)
    services = RegistryService(loop, streams, callers)

    def register(server: grpc.aio.Server) -> None:
        registry_service_pb2_grpc.add_RegistryServiceServicer_to_server(services, server)
        event_service_pb2_grpc.add_EventServiceServicer_to_server(EventService(loop, callers), server)
        access_service_pb2_grpc.add_AccessServiceServicer_to_server(access_of(known), server)
        health_pb2_grpc.add_HealthServicer_to_server(HealthService(RegistryHealth(loop, callers)), server)

    registry = build_server(
        "127.0.0.1:0",
        register=register,
        services=registry_server.server.SERVICES,
        max_message_bytes=1 << 20,
        admission=authentication,
    )
    await registry.server.start()
    checking = [asyncio.create_task(authentication.run())]
    token = folder / "monitor.token"
    token.write_text("judge")
    token.chmod(0o600)
    own = open_aio_channel(Endpoint(registry.address, token_file=token))
    access = RemoteAccess(own, tron_roles.METHOD_ROLES, {}, CertificateRules())
    store = PolicyStore(folder / "tron")
    layers = store.load(TronConfig().thresholds())
    dispatcher = cast("Dispatcher", SimpleNamespace(stats=dict))
    monitor = Monitor(own, OBSERVER, layers.policies(), OperatorRelay(own, dispatcher), Prober(frozenset()), Stats())
    judge = TronService(monitor, LivePolicy(monitor, store, layers), own, dispatcher)
    tron_server = build_server(
        "127.0.0.1:0",
        register=lambda server: tron_service_pb2_grpc.add_TronServiceServicer_to_server(judge, server),
        services=(TRON_SERVICE,),
        max_message_bytes=1 << 20,
        admission=access.authentication,
        interceptors=(access.auditing,),
    )
    await tron_server.server.start()
    checking.append(asyncio.create_task(access.run()))
    system = System(loop, registry, tron_server, known)
    try:
        yield system
    finally:
        await system.close()
        await tron_server.server.stop(0)
        checking[1].cancel()
        await asyncio.wait({checking[1]})
        await own.close()
        loop.draining = True
        await registry.server.stop(0)
        await streams.all_ended(2.0)
        keeper.cancel()
        checking[0].cancel()
        await asyncio.wait({keeper, checking[0]})
        await loop.close()


def test_every_rpc_has_a_row_in_the_table_and_roles() -> None:
    assert sorted(read_table()) == sorted(ALL), "add a row for each new RPC"
    named = {f"/{method.containing_service.full_name}/{method.name}" for method in ALL.values()}
    health = {name for name in named if name.startswith("/grpc.health.v1.Health/")}  # open, or without a row
    assert {*METHOD_ROLES, *tron_roles.METHOD_ROLES} == named - health


@pytest.mark.parametrize("method", [name for name in read_table() if name in ALL])
def test_the_table_names_callers_that_exist(method: str) -> None:
    assert set(read_table()[method]) == {NOBODY, CARRIED, FORWARDED, *CALLERS}


async def test_each_role_may_do_what_the_table_says_with_its_own_and_with_a_foreign_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry_server.core.publish_rate.PUBLISHED_A_SECOND", PUBLISHED_A_SECOND * 100)
    table = read_table()
    wrong: list[str] = []
    async with running(tmp_path) as system:
        for name, expected in table.items():
            found = {}
            for who, outcomes in expected.items():
                found[who] = (
                    await system.call(who, ALL[name], OWN),
                    await system.call(who, ALL[name], FOREIGN),
                )
                if found[who] != outcomes:
                    wrong.append(f"{name} by {who}: {found[who]} instead of {outcomes}")
            print(f"{name:28}", *(f"{who} {'/'.join(dict.fromkeys(pair))}" for who, pair in found.items()), sep="  ")
    assert not wrong, "\n".join(wrong)


async def test_a_stream_ends_when_its_credential_is_revoked_and_that_is_no_evidence_about_its_services(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as system:
        stream = system.heartbeat("agent")
        register = heartbeat_pb2.Register(service={"service_id": OWN, "name": OWN})  # type: ignore[arg-type]
        await stream.write(heartbeat_pb2.HeartbeatRequest(register=register))
        assert (await stream.read()).registered.service.service_id == OWN
        system.known.revoke("agent")
        assert from_rpc_error(await error_of(stream)).reason == CredentialExpired.reason
        record = system.loop.registry.get(OWN)
        async with asyncio.timeout(5):
            while record.session is not None:  # noqa: ASYNC110 - a condition of another task
                await asyncio.sleep(0)
        assert record.detached_reason == CredentialExpired.reason
