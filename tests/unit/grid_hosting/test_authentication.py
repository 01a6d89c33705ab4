"""Every call of a secured server has a principal with the right role, for as long as its credential is valid."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.x509 import load_pem_x509_certificate
from grid_model.access import CALLER_TOKEN, LOCAL, ON_BEHALF_OF, Grant, Principal, Role
from grid_model.errors import Draining, QuotaExceeded
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tron_client.errors import from_rpc_error

from grid_hosting import authentication, open_calls
from grid_hosting.authentication import Authentication, current_call, current_principal
from grid_hosting.credential import CertificateRules, Credential
from grid_hosting.grpc_server import build_server
from grid_hosting.open_calls import OpenCalls, current_relay
from grid_hosting.watermark import Watermark
from tests.support.authority import Authority as Ca
from tests.support.known import READER, Known
from tests.support.waiting import eventually

KINDS = {"UnaryUnary": (False, False), "UnaryStream": (False, True), "StreamUnary": (True, False),
         "StreamStream": (True, True), "ReadWrite": (True, True)}  # fmt: skip
METHODS = {name: f"/test.Kinds/{name}" for name in KINDS}
ROLES = dict.fromkeys(METHODS.values(), frozenset({Role.OBSERVER}))
BEARER = (("authorization", "Bearer reader"),)
START = datetime(2030, 1, 1, tzinfo=UTC)


async def one(request: Any, context: Any) -> bytes:
    """Return who calls."""
    if hasattr(request, "__aiter__"):
        async for _ in request:
            pass
    relay = current_relay()
    return f"{current_principal().name}{' by ' if relay else ''}{relay}".encode()


async def many(request: Any, context: Any) -> AsyncIterator[bytes]:
    """Return who calls, and go on until the stream is ended."""
    yield current_principal().name.encode()
    await asyncio.Event().wait()


async def read_write(request: Any, context: Any) -> None:
    """The same, by reads and writes."""
    await context.write(current_principal().name.encode())
    await context.read()
    await context.read()


FUNCTIONS = {"UnaryUnary": one, "UnaryStream": many, "StreamUnary": one, "StreamStream": many, "ReadWrite": read_write}
MAKE = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


@dataclass
class Running:
    """A running server and a channel to it."""

    known: Known
    authentication: Authentication
    channel: Any
    flood: Watermark
    """How many messages of Flood were written, or begun: each is more than a client takes that does not read."""

    async def call(self, kind: str, metadata: Any = BEARER) -> bytes:
        """Return the first answer of a method of this kind; a bidi call sends nothing."""
        call = self.open(kind, metadata)
        return await (call if hasattr(call, "__await__") else call.read())  # type: ignore[no-any-return]

    def open(self, kind: str, metadata: Any = BEARER) -> Any:
        """Begin a call."""
        method = METHODS.get(kind, kind)
        match KINDS.get(kind, (False, False)):
            case False, False:
                return self.channel.unary_unary(method)(b"x", metadata=metadata, timeout=10)
            case False, True:
                return self.channel.unary_stream(method)(b"x", metadata=metadata, timeout=10)
            case True, False:
                return self.channel.stream_unary(method)(iter([b"x"]), metadata=metadata, timeout=10)
        return self.channel.stream_stream(method)(metadata=metadata, timeout=10)

    async def refused(self, kind: str, metadata: Any = BEARER) -> tuple[grpc.StatusCode, str, str]:
        """Return how a call is refused."""
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await self.call(kind, metadata)
        return _status(failed.value)


def _status(error: grpc.aio.AioRpcError) -> tuple[grpc.StatusCode, str, str]:
    return error.code(), from_rpc_error(error).reason.removeprefix("ERROR_REASON_"), error.details() or ""


@asynccontextmanager
async def running(
    known: Known | None = None,
    *,
    roles: Mapping[str, frozenset[Role]] = ROLES,
    rules: CertificateRules = CertificateRules(),  # noqa: B008 - a frozen value
    server_credentials: grpc.ServerCredentials | None = None,
    client_credentials: grpc.ChannelCredentials | None = None,
) -> AsyncIterator[Running]:
    """A server with a method of each kind, health and reflection."""
    known = known or Known()
    interceptor = Authentication(known, roles, rules)
    written = Watermark()

    async def flood(request: Any, context: Any) -> AsyncIterator[bytes]:
        while True:
            written.step()
            yield bytes(3 << 20)

    def register(server: grpc.aio.Server) -> None:
        handlers = {name: MAKE[KINDS[name]](FUNCTIONS[name], bytes, bytes) for name in KINDS}
        handlers["Flood"] = grpc.unary_stream_rpc_method_handler(flood, bytes, bytes)
        handlers["NoRow"] = grpc.unary_unary_rpc_method_handler(one, bytes, bytes)
        server.add_registered_method_handlers("test.Kinds", handlers)
        health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)

    bound = build_server(
        "127.0.0.1:0", register=register, services=("grpc.health.v1.Health",), max_message_bytes=1 << 16,
        credentials=server_credentials, admission=interceptor,
    )  # fmt: skip
    await bound.server.start()
    task = asyncio.create_task(interceptor.run())
    channel = (
        grpc.aio.insecure_channel(bound.address)
        if client_credentials is None
        else grpc.aio.secure_channel(bound.address, client_credentials)
    )
    try:
        async with channel:
            yield Running(known, interceptor, channel, written)
    finally:
        task.cancel()
        await bound.server.stop(None)


def test_without_authentication_every_caller_is_local() -> None:
    assert current_principal() is LOCAL
    assert current_call() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_a_handler_of_each_kind_knows_its_caller(kind: str) -> None:
    async with running() as server:
        assert await server.call(kind) == b"token:reader"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_of_each_kind_without_a_valid_credential_is_refused_without_a_reason(kind: str) -> None:
    async with running() as server:
        for metadata in ((), (("authorization", "Bearer wrong"),), BEARER * 2, (("authorization", "Basic reader"),)):
            assert await server.refused(kind, metadata) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_caller_without_the_role_is_refused(kind: str) -> None:
    async with running() as server:
        code, reason, text = await server.refused(kind, (("authorization", "Bearer worker"),))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert text == f"{METHODS[kind]}: needs the role observer, which token:worker does not have"


async def test_a_method_without_a_row_is_refused() -> None:
    async with running() as server:
        code, _, text = await server.refused("/test.Kinds/NoRow")
    assert (code, text) == (grpc.StatusCode.PERMISSION_DENIED, "/test.Kinds/NoRow: no role may call it")


@pytest.mark.parametrize("kind", ["UnaryStream", "StreamStream", "ReadWrite"])
async def test_an_open_stream_ends_when_its_token_is_revoked_and_others_go_on(kind: str) -> None:
    async with running() as server:
        server.known.tokens["other"] = READER
        revoked, other = server.open(kind), server.open(kind, (("authorization", "Bearer other"),))
        assert await revoked.read() == await other.read() == b"token:reader"
        server.known.change("reader", None)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await revoked.read()
        assert _status(failed.value)[:2] == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED")
        assert len(server.authentication.open_calls) == 1
        assert not other.done()
        other.cancel()


async def test_a_client_that_does_not_read_keeps_no_stream_after_its_token_was_revoked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(open_calls, "FAREWELL", 0.05)
    async with running(roles={"/test.Kinds/Flood": frozenset({Role.OBSERVER})}) as server:
        call = server.channel.unary_stream("/test.Kinds/Flood")(b"x", metadata=BEARER, timeout=60)
        opened = server.authentication.open_calls
        await eventually(lambda: server.flood.value, what="a message on its way")
        server.known.change("reader", None)
        await eventually(lambda: not len(opened), what="the end of the stream")
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            async for _ in call:
                pass
        assert _status(failed.value)[:2] == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_EXPIRED")


async def test_an_open_stream_ends_when_the_rights_of_its_caller_change() -> None:
    async with running() as server:
        call = server.open("UnaryStream")
        await call.read()
        server.known.change("reader", Principal("token:reader", (Grant(Role.OBSERVER, "a*"), Grant(Role.RELAY, "*"))))
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert _status(failed.value)[1:] == (
            "CREDENTIAL_EXPIRED",
            "the rights of this caller have changed; connect again",
        )
        assert await server.call("UnaryUnary") == b"token:reader"


async def test_further_rights_end_no_stream_and_the_loss_of_any_right_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_calls, "EXTEND_WITHIN", 0.05)
    more = Principal("token:reader", (*READER.grants, Grant(Role.AGENT, "*")))
    async with running() as server:
        call = server.open("UnaryStream")
        await call.read()
        (opened,) = server.authentication.open_calls
        asked: list[str] = []
        opened.drain = lambda _, reason: asked.append(reason)
        server.known.change("reader", more)
        await eventually(lambda: opened.principal == more, what="the further rights")
        await eventually(lambda: asked, what="a client that can open another stream is asked to, and others go on")
        assert asked == ["ERROR_REASON_DRAINING"], "the next stream needs no other credential"
        assert not call.done()
        server.known.change("reader", READER)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert _status(failed.value)[1] == "CREDENTIAL_EXPIRED"


async def test_an_open_stream_ends_with_its_credential() -> None:
    known = Known()
    known.tokens["reader"] = Principal("token:reader", READER.grants, ends_at=datetime.now(UTC) + timedelta(seconds=1))
    async with running(known) as server:
        call = server.open("ReadWrite")
        await call.read()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert _status(failed.value)[1:] == ("CREDENTIAL_EXPIRED", "the credential of this call has expired")


RELAY = Principal("token:relay", (Grant(Role.RELAY, "*"), Grant(Role.OBSERVER, "*")))
AS_RELAY = (("authorization", "Bearer relay"),)


def with_relay() -> Known:
    """An authority that knows a relay too."""
    known = Known()
    known.tokens["relay"] = RELAY
    return known


async def test_a_relay_forwards_the_token_of_a_caller_which_then_has_its_own_rights_and_no_more() -> None:
    async with running(with_relay()) as server:
        assert await server.call("UnaryUnary", (*AS_RELAY, (CALLER_TOKEN, "reader"))) == b"token:reader by token:relay"
        code, reason, text = await server.refused("UnaryUnary", (*AS_RELAY, (CALLER_TOKEN, "worker")))
    assert (code, reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert "needs the role observer, which token:worker does not have" in text


@pytest.mark.parametrize(
    "more",
    [
        ((CALLER_TOKEN, "wrong"),),
        ((CALLER_TOKEN, ""),),
        ((CALLER_TOKEN, "two words"),),
        ((CALLER_TOKEN, "reader"), (CALLER_TOKEN, "reader")),
        ((CALLER_TOKEN, "reader"), (ON_BEHALF_OF, b"token:reader")),
    ],
)
async def test_a_forwarded_token_is_one_valid_token(more: Any) -> None:
    async with running(with_relay()) as server:
        assert (await server.refused("UnaryUnary", (*AS_RELAY, *more)))[1] == "UNAUTHENTICATED"


@pytest.mark.parametrize("more", [(CALLER_TOKEN, "relay"), (ON_BEHALF_OF, b"token:relay")])
async def test_a_caller_that_is_no_relay_calls_only_for_itself(more: Any) -> None:
    async with running(with_relay()) as server:
        code, _, text = await server.refused("UnaryUnary", (*BEARER, more))
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert text == "token:reader has no relay grant, so it cannot call for another principal"


async def test_a_relay_calls_for_nobody_on_a_stream_and_names_nobody_where_relays_may_not_call() -> None:
    roles = dict.fromkeys(METHODS.values(), frozenset({Role.OBSERVER, Role.RELAY}))
    for more in ((CALLER_TOKEN, "reader"), (ON_BEHALF_OF, b"token:worker"), (ON_BEHALF_OF, b"")):
        async with running(with_relay(), roles=roles) as server:
            for kind in ("UnaryStream", "StreamUnary", "StreamStream", "ReadWrite"):
                assert "unary calls only" in (await server.refused(kind, (*AS_RELAY, more)))[2]
    async with running(with_relay()) as server:
        text = (await server.refused("UnaryUnary", (*AS_RELAY, (ON_BEHALF_OF, b"token:worker"))))[2]
    assert text == "/test.Kinds/UnaryUnary: a relay cannot call this method for another principal"


async def test_a_relay_with_a_certificate_forwards_a_token_which_is_not_a_second_credential() -> None:
    ca = Ca()
    server, client = ca.issue(), ca.issue("gateway", uris=("spiffe://tron/gateway",))
    known = Known(certificates={"spiffe://tron/gateway": Principal("spiffe:tron/gateway", RELAY.grants)})
    async with running(
        known,
        rules=CertificateRules(frozenset({"tron"})),
        server_credentials=grpc.ssl_server_credentials([(server.key, server.cert)], ca.pem, require_client_auth=True),
        client_credentials=grpc.ssl_channel_credentials(ca.pem, client.key, client.cert),
    ) as system:
        assert await system.call("UnaryUnary", ((CALLER_TOKEN, "reader"),)) == b"token:reader by spiffe:tron/gateway"
        assert (await system.refused("UnaryUnary", BEARER))[1] == "UNAUTHENTICATED"


async def test_many_open_streams_are_checked_together_and_a_check_is_no_attempt_of_their_caller() -> None:
    asked: list[str] = []
    waiting = asyncio.Event()

    class Slow(Known):
        async def identify(self, credential: Credential, peer: str) -> Principal:
            """Answer the checks once all of them have come."""
            if not peer:
                asked.append(credential.token)
                if len(asked) == 20:
                    waiting.set()
                await waiting.wait()
            return await super().identify(credential, peer)

    known = Slow()
    for number in range(20):
        known.tokens[str(number)] = READER
    async with running(known) as server:
        calls = [server.open("UnaryStream", (("authorization", f"Bearer {number}"),)) for number in range(20)]
        for call in calls:
            await call.read()
        for number in range(10):
            del known.tokens[str(number)]
        known.revisions.step()
        for call in calls[:10]:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call.read()
            assert _status(failed.value)[1] == "CREDENTIAL_EXPIRED"
        assert len(server.authentication.open_calls) == 10
        for call in calls[10:]:
            call.cancel()


async def test_open_streams_go_on_for_a_while_if_their_credentials_cannot_be_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("grid_hosting.open_call_checks.LOOK_EVERY", 0.01)
    async with running() as server:
        call, health = server.open("UnaryStream"), health_pb2_grpc.HealthStub(server.channel)
        await call.read()
        server.known.fails = Draining("the registry does not answer")
        assert (await server.refused("UnaryUnary"))[:2] == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
        request = health_pb2.HealthCheckRequest()
        assert (
            await health.Check(request, metadata=BEARER, timeout=10)
        ).status == health_pb2.HealthCheckResponse.SERVING
        server.known.revisions.step()
        assert await server.known.asking.until(lambda: server.known.failed >= 5, 10)
        assert not call.done()
        monkeypatch.setattr("grid_hosting.open_call_checks.UNCONFIRMED_FOR", 0.0)
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert _status(failed.value)[:2] == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_new_call_on_the_open_connection_of_an_expired_certificate_is_refused() -> None:
    known = Known()
    known.tokens["reader"] = Principal("token:reader", READER.grants, ends_at=datetime.now(UTC) - timedelta(seconds=1))
    async with running(known) as server:
        for kind in KINDS:
            assert (await server.refused(kind))[1] == "CREDENTIAL_EXPIRED"


async def test_a_handler_with_its_own_end_is_asked_to_drain_before_and_is_then_ended_once() -> None:
    now, said = [START], list[str]()
    calls = OpenCalls(lambda: now[0], lambda: 0.5)
    with calls.opened(Principal("token:a", ends_at=START + timedelta(minutes=5)), None, "") as call:
        call.end = lambda error: said.append(error.reason)
        call.drain = lambda left, reason: said.append(f"{left:g} s until {reason}")
        for seconds in (0, 237, 238, 299, 300, 301):
            now[0] = START + timedelta(seconds=seconds)
            calls.check_time()
    assert said == ["62 s until ERROR_REASON_CREDENTIAL_EXPIRED", "ERROR_REASON_CREDENTIAL_EXPIRED"]
    assert not len(calls)


@pytest.mark.parametrize("minutes", [(9, 2, 5), (2, 5, 9), (None, 5, 2), (5, None, None)])
async def test_each_stream_ends_with_its_own_credential_whichever_was_opened_first(
    minutes: tuple[int | None, ...],
) -> None:
    now, ended = [START], dict[int, int]()
    calls = OpenCalls(lambda: now[0], lambda: 0.5)
    with ExitStack() as opened:
        for each in minutes:
            ends_at = None if each is None else START + timedelta(minutes=each)
            call = opened.enter_context(calls.opened(Principal("a", ends_at=ends_at), None, ""))
            call.end = lambda _, each=each: ended.setdefault(each, int((now[0] - START).total_seconds()))  # type: ignore[misc, assignment]
            calls.check_time()
        for second in range(601):
            now[0] = START + timedelta(seconds=second)
            calls.check_time()
    assert ended == {each: each * 60 for each in minutes if each is not None}


@pytest.mark.parametrize("credential_minutes", [None, 300])
async def test_a_stream_that_is_too_old_is_asked_to_drain_and_then_ended(credential_minutes: int | None) -> None:
    now, said = [START], list[str]()
    calls = OpenCalls(lambda: now[0], lambda: 1.0, timedelta(hours=1))
    ends = None if credential_minutes is None else START + timedelta(minutes=credential_minutes)
    with calls.opened(Principal("a", ends_at=ends), None, "") as call:
        call.end = lambda error: said.append(error.reason)
        call.drain = lambda left, reason: said.append(f"{left:g} s until {reason}")
        for seconds in range(3601):
            now[0] = START + timedelta(seconds=seconds)
            calls.check_time()
    assert said == ["600 s until ERROR_REASON_DRAINING", "ERROR_REASON_DRAINING"]


async def test_the_streams_of_one_credential_are_asked_to_drain_at_different_times() -> None:
    now, drained = [START], list[float]()
    draws = iter([each / 500 for each in range(500)])
    calls = OpenCalls(lambda: now[0], lambda: next(draws))
    with ExitStack() as opened:
        for _ in range(500):
            call = opened.enter_context(calls.opened(Principal("a", ends_at=START + timedelta(hours=1)), None, ""))
            call.drain = lambda left, _: drained.append(left)
        most = 0
        for seconds in range(3000, 3600):
            now[0], before = START + timedelta(seconds=seconds), len(drained)
            calls.check_time()
            most = max(most, len(drained) - before)
    assert len(drained) == 500
    assert most <= 2, "in a second"
    assert min(drained) > 149


async def test_health_is_open_but_only_for_a_few_watches_of_one_address() -> None:
    async with running() as server:
        health = health_pb2_grpc.HealthStub(server.channel)
        request = health_pb2.HealthCheckRequest()
        assert (await health.Check(request, timeout=10)).status == health_pb2.HealthCheckResponse.SERVING
        watches = [health.Watch(request, timeout=10) for _ in range(4)]
        for each in watches:
            await each.read()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await health.Watch(request, timeout=10).read()
        assert _status(failed.value)[1] == "QUOTA_EXCEEDED"
        known = health.Watch(request, metadata=BEARER, timeout=10)
        assert (await known.read()).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await health.Check(request, metadata=(("authorization", "Bearer wrong"),), timeout=10)
        assert _status(failed.value)[1] == "UNAUTHENTICATED"
        for each in (*watches, known):
            each.cancel()


async def test_all_strangers_together_have_a_bounded_number_of_health_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "MOST_WATCHES", 2)
    async with running() as server:
        health = health_pb2_grpc.HealthStub(server.channel)
        watches = [health.Watch(health_pb2.HealthCheckRequest(), timeout=10) for _ in range(2)]
        for each in watches:
            await each.read()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await health.Watch(health_pb2.HealthCheckRequest(), timeout=10).read()
        assert _status(failed.value)[1] == "QUOTA_EXCEEDED"
        known = health.Watch(health_pb2.HealthCheckRequest(), metadata=BEARER, timeout=10)
        assert (await known.read()).status == health_pb2.HealthCheckResponse.SERVING
        for each in (*watches, known):
            each.cancel()


async def test_a_full_queue_of_questions_ends_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid_hosting.open_call_checks.LOOK_EVERY", 0.01)
    monkeypatch.setattr("grid_hosting.open_call_checks.UNCONFIRMED_FOR", 0.0)
    async with running() as server:
        call = server.open("UnaryStream")
        await call.read()
        server.known.fails = QuotaExceeded("2000 callers wait")
        server.known.revisions.step()
        assert await server.known.asking.until(lambda: server.known.failed >= 5, 10)
        assert not call.done()
        call.cancel()


async def test_reflection_needs_any_principal() -> None:
    async with running() as server:
        stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await stub.ServerReflectionInfo(iter(asked), timeout=10).read()
        assert _status(failed.value)[1] == "UNAUTHENTICATED"
        server.known.tokens["none"] = Principal("token:none")
        metadata = (("authorization", "Bearer none"),)
        answer = await stub.ServerReflectionInfo(iter(asked), metadata=metadata, timeout=10).read()
        assert "grpc.health.v1.Health" in str(answer)


@pytest.mark.parametrize(
    ("uris", "dns", "name", "principal"),
    [
        (("spiffe://tron/reader",), (), "server", b"spiffe:tron/reader"),
        (("spiffe://other/reader",), (), "server", None),
        (("spiffe://tron/reader", "spiffe://tron/admin"), (), "server", None),
        ((), ("spiffe://tron/reader",), "server", None),
        ((), (), "spiffe://tron/reader", None),
        (("https://tron/reader",), (), "spiffe://tron/reader", None),
    ],
)
async def test_only_the_one_spiffe_uri_of_a_certificate_is_an_identity(
    uris: tuple[str, ...], dns: tuple[str, ...], name: str, principal: bytes | None, tmp_path: Path
) -> None:
    ca = Ca()
    server, client = ca.issue(), ca.issue(name, uris=uris, dns=dns)
    known = Known(
        certificates={
            f"spiffe://tron/{each}": Principal(f"spiffe:tron/{each}", READER.grants) for each in ("reader", "admin")
        }
    )
    async with running(
        known,
        rules=CertificateRules(frozenset({"tron"})),
        server_credentials=grpc.ssl_server_credentials([(server.key, server.cert)], ca.pem, require_client_auth=True),
        client_credentials=grpc.ssl_channel_credentials(ca.pem, client.key, client.cert),
    ) as system:
        if principal is None:
            assert (await system.refused("ReadWrite", ()))[1] == "UNAUTHENTICATED"
        else:
            assert await system.call("ReadWrite", ()) == principal
            assert (await system.refused("ReadWrite", BEARER))[1] == "UNAUTHENTICATED"


async def test_a_denied_certificate_is_refused_beside_a_token_and_ends_its_streams() -> None:
    ca, known = Ca(), Known()
    server, client = ca.issue(), ca.issue("host-1")
    async with running(
        known,
        server_credentials=grpc.ssl_server_credentials([(server.key, server.cert)], ca.pem, require_client_auth=True),
        client_credentials=grpc.ssl_channel_credentials(ca.pem, client.key, client.cert),
    ) as system:
        health = health_pb2_grpc.HealthStub(system.channel)
        call = system.open("UnaryStream")
        assert await call.read() == b"token:reader"
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=10)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        assert (await system.refused("UnaryUnary", ()))[1] == "UNAUTHENTICATED", "it only admits to the port"
        known.deny("abc")
        assert await system.call("UnaryUnary") == b"token:reader"
        known.deny(f"{load_pem_x509_certificate(client.cert).serial_number:x}")
        for stream in (call, watch):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await stream.read()
            assert _status(failed.value)[1] == "CREDENTIAL_EXPIRED"
        for kind in KINDS:
            assert (await system.refused(kind))[1] == "UNAUTHENTICATED"
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await health.Check(health_pb2.HealthCheckRequest())
        assert _status(failed.value)[1] == "UNAUTHENTICATED"
        known.fails = Draining("the registry does not answer")
        assert await health.Check(health_pb2.HealthCheckRequest()), "a probe must not restart the server then"


async def test_a_stream_ends_with_its_certificate() -> None:
    ca = Ca()
    ends = datetime.now(UTC) + timedelta(seconds=3)
    server, client = ca.issue(), ca.issue("reader", end=ends, uris=("spiffe://tron/reader",))
    known = Known(certificates={"spiffe://tron/reader": Principal("spiffe:tron/reader", READER.grants)})
    async with running(
        known,
        rules=CertificateRules(frozenset({"tron"})),
        server_credentials=grpc.ssl_server_credentials([(server.key, server.cert)], ca.pem, require_client_auth=True),
        client_credentials=grpc.ssl_channel_credentials(ca.pem, client.key, client.cert),
    ) as system:
        call = system.open("UnaryStream", ())
        await call.read()
        (opened,) = system.authentication.open_calls
        assert opened.principal.ends_at == ends.replace(microsecond=0)
        assert opened.credential is not None
        assert int(opened.credential.serial, 16) == load_pem_x509_certificate(client.cert).serial_number
        call.cancel()
