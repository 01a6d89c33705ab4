"""AccessService, its client and its commands, against a server in this process."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from cryptography.x509 import load_pem_x509_certificate
from grid.access.v1 import access_pb2, access_service_pb2, access_service_pb2_grpc
from grid_model.access import LOCAL, Grant, Principal, Role
from grid_model.errors import InvalidRequest, PermissionDenied, PrincipalNotFound, TokenNotFound, Unauthenticated
from tron_cli.app import app
from tron_client.access import AccessClient, PrincipalInfo
from tron_client.errors import from_rpc_error
from typer.testing import CliRunner

from grid_hosting.access.audit import AuditFilter
from grid_hosting.access.book import AccessBook, Registered
from grid_hosting.access.failed_attempts import FREE
from grid_hosting.access.store import FILE, AccessStore
from grid_hosting.access.trail import AuditTrail
from grid_hosting.authentication import Authentication
from grid_hosting.credential import CertificateRules, Credential
from grid_hosting.grpc_server import build_server
from registry_server.io.access import Access
from registry_server.io.grpc_access import MAX_WATCHERS_EACH, AccessService
from registry_server.io.method_roles import METHOD_ROLES
from tests.support.authority import Authority as Ca
from tests.support.issuer import URL as ISSUER
from tests.support.issuer import token as jwt
from tests.support.waiting import wait_until
from tests.unit.grid_hosting.test_authentication import running

WORKER = Grant(Role.AGENT, "worker-*")


ROOT, SERVER = ("tron_" + letter * 43 for letter in "RS")
"""The tokens of an administrator, and of a server that identifies callers."""


class Served:
    """AccessService on a loop of its own. `authentication`: for callers with the tokens above; else for everybody."""

    def __init__(self, folder: Path, *, authentication: bool = True) -> None:
        self.folder = folder
        self._authentication = authentication
        self.address = ""
        self.access: Any = None
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._started.wait(10)

    async def _serve(self) -> None:
        self.access = Access(self.folder)
        authentication = Authentication(self.access, METHOD_ROLES)
        if self._authentication:
            for secret, name, role in ((ROOT, "token:root", Role.ADMIN), (SERVER, "token:server", Role.JUDGE)):
                grants = (Grant(role, "*"),)
                await self.access.change(
                    lambda book, s=secret, n=name, g=grants: book.create_token(s, n, now=1, grants=g)
                )
        service: Any = AccessService(self.access, SimpleNamespace(draining=False), AuditTrail(self.access.append_audit))  # type: ignore[arg-type]

        def register(server: grpc.aio.Server) -> None:
            access_service_pb2_grpc.add_AccessServiceServicer_to_server(service, server)

        bound = build_server(
            "127.0.0.1:0",
            register=register,
            services=(),
            max_message_bytes=1 << 20,
            admission=authentication if self._authentication else None,
        )
        await bound.server.start()
        self.address, self._stop = bound.address, asyncio.Event()
        running = asyncio.create_task(self.access.run())
        self._started.set()
        await self._stop.wait()
        await bound.server.stop(None)
        running.cancel()
        await asyncio.wait({running})

    def stop(self) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A server with authentication; clients have the token of an administrator."""
    monkeypatch.setenv("TRON_TOKEN", ROOT)
    server = Served(tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Served]:
    """A server without authentication, with an empty folder."""
    server = Served(tmp_path / "data", authentication=False)
    yield server
    server.stop()


@pytest.fixture
def client(served: Served) -> Iterator[AccessClient]:
    """A client of it."""
    with AccessClient(served.address) as found:
        yield found


def test_no_file_is_made_until_it_is_needed(open_server: Served) -> None:
    with AccessClient(open_server.address) as client:
        assert client.who_am_i() == LOCAL
        assert not open_server.folder.exists()
        assert client.list_principals() == ()
        assert (open_server.folder / FILE).exists()


def test_without_authentication_nobody_changes_who_may_do_what_later(open_server: Served) -> None:
    with closing(AccessStore(open_server.folder)) as store:
        store.change(lambda book: book.create_token(ROOT, "token:root", now=1, grants=(WORKER,)))
    with AccessClient(open_server.address) as client:
        for change in (
            lambda: client.create_token("token:mine", [Grant(Role.ADMIN, "*")]),
            lambda: client.revoke_token("RRRRRRRR"),
            lambda: client.put_principal(PrincipalInfo("token:root", disabled=True)),
            lambda: client.change_grants("token:mine", add=[Grant(Role.ADMIN, "*")]),
            lambda: client.delete_principal("token:root"),
        ):
            with pytest.raises(PermissionDenied, match=r"\[security\] authentication"):
                change()
        (found,) = client.list_principals()
        assert found == PrincipalInfo("token:root", grants=(WORKER,))
        assert [each.principal for each in client.list_tokens()] == ["token:root"]
    with grpc.insecure_channel(open_server.address) as channel:
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        records = [access_pb2.AuditRecord(kind=access_pb2.AUDIT_KIND_ACT, actor="token:root", method="/m")]
        with pytest.raises(grpc.RpcError, match=r"\[security\] authentication"):
            stub.AppendAuditRecords(access_service_pb2.AppendAuditRecordsRequest(records=records), timeout=10)
    with closing(AccessStore(open_server.folder)) as store:
        assert store.read_audit(0, 10, AuditFilter()) == []


def test_a_token_is_created_listed_and_revoked(client: AccessClient) -> None:
    created = client.create_token("token:ci", [WORKER], lifetime=3600, description="for CI")
    assert created.secret.startswith(f"tron_{created.info.token_id}")
    assert created.secret not in repr(created)
    (listed,) = client.list_tokens("token:ci")
    assert listed == created.info
    assert (listed.principal, listed.description, listed.created_by) == ("token:ci", "for CI", "token:root")
    assert client.list_tokens("token:other") == ()
    assert client.get_principal("token:ci") == PrincipalInfo("token:ci", grants=(WORKER,))
    assert client.revoke_token(listed.token_id) == listed
    with pytest.raises(TokenNotFound):
        client.revoke_token(listed.token_id)
    assert client.list_tokens("token:ci") == ()


def test_principals_are_changed_and_deleted(client: AccessClient) -> None:
    wanted = PrincipalInfo("spiffe:tron/a", "jobs", (WORKER,), "a job", disabled=True)
    assert client.put_principal(wanted) == wanted
    assert client.change_grants("spiffe:tron/a", remove=[WORKER]).grants == ()
    assert [each.name for each in client.list_principals()] == ["spiffe:tron/a", "token:root", "token:server"]
    assert client.delete_principal("spiffe:tron/a") == 0
    with pytest.raises(PrincipalNotFound):
        client.get_principal("spiffe:tron/a")
    with pytest.raises(InvalidRequest, match="add: is empty"):
        client.change_grants("spiffe:tron/a")


def test_a_server_learns_the_principal_of_a_token_and_each_change(served: Served, client: AccessClient) -> None:
    created = client.create_token("token:ci", [WORKER])
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)
        me = (("authorization", f"Bearer {SERVER}"),)
        watch = stub.WatchAccess(access_service_pb2.WatchAccessRequest(), timeout=30, metadata=me)
        first = next(watch).revision
        answer = stub.Identify(access_service_pb2.IdentifyRequest(token=created.secret), timeout=10, metadata=me)
        assert (answer.principal.name, answer.revision) == ("token:ci", first)
        client.revoke_token(created.info.token_id)
        # It is sent each second too, so the first one may come again.
        assert next(each.revision for each in watch if each.revision != first) == first + 1
        with pytest.raises(grpc.RpcError) as failed:
            stub.Identify(access_service_pb2.IdentifyRequest(token=created.secret), timeout=10, metadata=me)
        assert from_rpc_error(failed.value).reason == "ERROR_REASON_PRINCIPAL_NOT_FOUND"
        for request in (access_service_pb2.IdentifyRequest(), access_service_pb2.IdentifyRequest(token="")):
            with pytest.raises(grpc.RpcError) as failed:
                stub.Identify(request, timeout=10, metadata=me)
            assert from_rpc_error(failed.value).reason == "ERROR_REASON_INVALID_REQUEST"
        watch.cancel()
        long = access_service_pb2.IdentifyRequest(token="x", peer="ipv4:" + "1" * 128)
        with pytest.raises(grpc.RpcError, match="peer: must have at most 128"):
            stub.Identify(long, timeout=10, metadata=me)


def test_a_denied_certificate_is_no_credential_at_any_server(served: Served) -> None:
    assert "serial:ab12 is refused from now on" in run(served, "grant", "deny", "serial:AB:12")
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)

        def identify(serial: str, **credential: str) -> str:
            request = access_service_pb2.IdentifyRequest(certificate_serial=serial, **credential)
            answer = stub.Identify(request, timeout=10, metadata=(("authorization", f"Bearer {SERVER}"),))
            return str(answer.principal.name)

        # It may authenticate its holder, admit to a port beside a token, or only admit to it.
        holder, beside, only = {"spiffe_id": "spiffe://tron/a"}, {"token": SERVER}, dict[str, str]()
        assert [identify("ab13", **each) for each in (holder, beside, only)] == [
            "spiffe:tron/a",
            "token:server",
            "anonymous",
        ]
        for each in (holder, beside, only):
            with pytest.raises(grpc.RpcError) as failed:
                identify("ab12", **each)
            assert from_rpc_error(failed.value).reason == "ERROR_REASON_PRINCIPAL_NOT_FOUND"
        with pytest.raises(grpc.RpcError, match="certificate_serial: must have at most 40"):
            identify("1" * 41)
        assert "is no longer refused" in run(served, "grant", "allow", "serial:ab12")
        assert identify("ab12", **holder) == "spiffe:tron/a"


async def test_an_open_stream_ends_once_its_certificate_is_denied(tmp_path: Path) -> None:
    access, ca, name = Access(tmp_path), Ca(), "spiffe:tron/reader"
    await access.change(lambda book: book.put(Registered(name, grants=(Grant(Role.OBSERVER, "*"),))))
    server, denied, other = ca.issue(), *(ca.issue("a", uris=("spiffe://tron/reader",)) for _ in range(2))
    known: Any = access
    async with running(
        known,
        rules=CertificateRules(frozenset({"tron"})),
        server_credentials=grpc.ssl_server_credentials([(server.key, server.cert)], ca.pem, require_client_auth=True),
        client_credentials=grpc.ssl_channel_credentials(ca.pem, denied.key, denied.cert),
    ) as system:
        call = system.open("UnaryStream", ())
        assert await call.read() == name.encode()
        serials = [load_pem_x509_certificate(each.cert).serial_number for each in (other, denied)]
        for serial in serials:
            assert not call.done()
            wanted = f"serial:{serial:x}"
            await access.change(lambda book, w=wanted: book.change_grants(w, [], [], disabled=True))  # type: ignore[misc]
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call.read()
        assert from_rpc_error(failed.value).reason == "ERROR_REASON_CREDENTIAL_EXPIRED"
        assert (await system.refused("UnaryUnary", ()))[1] == "UNAUTHENTICATED"


def test_no_server_takes_the_watches_of_all_others(served: Served, client: AccessClient) -> None:
    other = client.create_token("token:other", [Grant(Role.RELAY, "*")]).secret
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = access_service_pb2_grpc.AccessServiceStub(channel)

        def watch(secret: str) -> Any:
            metadata = (("authorization", f"Bearer {secret}"),)
            return stub.WatchAccess(access_service_pb2.WatchAccessRequest(), timeout=30, metadata=metadata)

        watches = [watch(SERVER) for _ in range(MAX_WATCHERS_EACH)]
        for each in watches:
            next(each)
        with pytest.raises(grpc.RpcError, match="token:server has 10 open watches"):
            next(watch(SERVER))
        others = watch(other)
        assert next(others).revision
        watches.pop().cancel()
        wait_until(lambda: answered(watch(SERVER)), 10, "the place of a watch that has ended")
        for each in (*watches, others):
            each.cancel()


def answered(watch: Any) -> bool:
    """Whether a watch is served."""
    try:
        return bool(next(watch).revision)
    except grpc.RpcError:
        return False


def test_a_change_by_another_process_is_taken_up(served: Served, client: AccessClient) -> None:
    client.list_principals()
    with closing(AccessStore(served.folder)) as store:
        store.change(lambda book: book.change_grants("token:b", [WORKER], []))
    wait_until(lambda: "token:b" in [each.name for each in client.list_principals()], 10, "the principal")


async def test_a_change_whose_call_is_cancelled_is_published(tmp_path: Path) -> None:
    access = Access(tmp_path)
    await access.open()
    began, stored = threading.Event(), threading.Event()

    def put(book: AccessBook) -> None:
        began.set()
        stored.wait(10)
        book.put(Registered("token:a"))

    seen = access.revisions.value
    change = asyncio.create_task(access.change(put))
    await asyncio.get_running_loop().run_in_executor(None, began.wait, 10)
    change.cancel()
    with pytest.raises(asyncio.CancelledError):
        await change
    stored.set()
    assert await access.revisions.until(lambda: access.revisions.value > seen, 10)
    assert "token:a" in access.book.principals


async def test_a_relay_finds_the_current_grants_of_a_principal_that_may_act(tmp_path: Path) -> None:
    access = Access(tmp_path)
    assert access.find("token:a") is None
    await access.change(lambda book: book.put(Registered("token:a", "team", (WORKER,))))
    assert access.find("token:a") == Principal("token:a", (WORKER,), "team")
    await access.change(lambda book: book.put(Registered("token:a", "team", (WORKER,), disabled=True)))
    assert access.find("token:a") is None


async def test_failed_attempts_delay_no_valid_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    access = Access(tmp_path)
    secret = "tron_" + "A" * 43
    await access.change(lambda book: book.create_token(secret, "token:a", now=0))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    for _ in range(FREE + 3):
        with pytest.raises(Unauthenticated):
            await access.identify(Credential(token="tron_" + "B" * 43), "ipv4:10.0.0.1:1234")
    assert len(waits) == 3
    for _ in range(FREE + 3):
        with pytest.raises(Unauthenticated):  # the check of an open stream whose token was revoked
            await access.identify(Credential(token="tron_" + "C" * 43), "")
    assert (await access.identify(Credential(token=secret), "ipv4:10.0.0.1:99")).name == "token:a"
    assert len(waits) == 3
    assert access.failed_attempts == FREE + 3


def run(served: Served, *arguments: str, code: int = 0) -> str:
    """Run a command; return what it printed."""
    command, address = list(arguments), ["--registry", served.address]
    done = CliRunner().invoke(app, command + address)
    assert done.exit_code == code, done.output
    return done.output


def test_the_commands_create_list_and_revoke_tokens(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "ci.token"
    said = run(
        served, "token", "create", "--role", "agent", "--ids", "worker-*", "--expires", "90d", "--out", str(file)
    )
    assert "token:ci (agent worker-*)" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = file.read_text().rstrip("\n")
    assert secret not in said
    (listed,) = json.loads(run(served, "token", "list", "--principal", "token:ci", "--json"))["tokens"]
    assert secret.startswith(f"tron_{listed['token_id']}")
    assert listed["token_id"] in run(served, "token", "list")
    assert "already exists; use --force to replace it" in run(
        served, "token", "create", "--role", "agent", "--ids", "a", "--out", str(file), code=1
    )
    assert "this is a token" in run(served, "token", "revoke", secret, code=2)
    assert f"Revoked the token {listed['token_id']} of token:ci." in run(served, "token", "revoke", listed["token_id"])
    assert "There are no tokens." in run(served, "token", "list", "--principal", "token:ci")


def test_one_command_creates_a_token_with_a_group_and_several_rights(
    served: Served, client: AccessClient, tmp_path: Path
) -> None:
    def create(name: str, *more: str, code: int = 0) -> str:
        line = ("token", "create", "--role", "agent", "--ids", "worker-*", *more, "--out", str(tmp_path / name))
        return run(served, *line, "--name", "pod", code=code)

    create("first", "--group", "batch", "--grant", "observer *", "--grant", "agent job one")
    pod = client.get_principal("token:pod")
    assert (pod.group, [str(each) for each in pod.grants]) == (
        "batch",
        ["agent worker-*", "observer *", "agent job one"],
    )
    create("second")
    create("third", "--group", "batch")
    assert "group: is 'other', but the group of token:pod is 'batch'" in create("x", "--group", "other", code=1)
    for text in ("observer", "boss *", "agent *a", "agent "):
        assert "--grant" in create("x", "--grant", text, code=2)
    run(served, "grant", "add", "spiffe:tron/pod", "--role", "agent", "--ids", "worker-*", "--group", "batch")
    assert client.get_principal("spiffe:tron/pod").group == "batch"
    run(served, "grant", "add", "spiffe:tron/pod", "--role", "observer")
    assert client.get_principal("spiffe:tron/pod").group == "batch", "it stays"


def test_the_commands_change_grants_and_say_who_calls(served: Served) -> None:
    said = run(served, "grant", "add", "spiffe:tron/a", "--role", "observer")
    assert "spiffe:tron/a now has these rights: observer *." in said
    assert "observer *" in run(served, "grant", "list")
    assert "no rights" in run(served, "grant", "remove", "spiffe:tron/a", "--role", "observer")
    assert json.loads(run(served, "whoami", "--json"))["principal"] == "token:root"


def test_the_commands_deny_jwts_and_allow_them_again(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "lost.jwt"
    file.write_text(jwt("alice") + "\n")
    assert f"Denied the JWT alice-1 of {ISSUER}." in run(served, "token", "deny", "--file", str(file))
    run(served, "token", "deny", "--issuer", ISSUER, "--jti", "2", "--description", "lost")
    first, second = json.loads(run(served, "token", "denied", "--json"))["denied"]
    assert (first["jwt_id"], first["denied_by"], second["description"]) == ("alice-1", "token:root", "lost")
    assert first["ends_at"]
    assert second["ends_at"] is None
    assert "alice-1" in run(served, "token", "denied")
    assert "is no longer denied" in run(served, "token", "allow", "--file", str(file))
    run(served, "token", "allow", "--issuer", ISSUER, "--jti", "2")
    assert "No JWTs are denied." in run(served, "token", "denied")
    assert "no JWT with the id '2'" in run(served, "token", "allow", "--issuer", ISSUER, "--jti", "2", code=1)
    file.write_text(jwt("alice", jti=None))
    assert f"tron grant deny 'jwt:{ISSUER}#alice'" in run(served, "token", "deny", "--file", str(file), code=1)
    file.write_text("secret")
    said = run(served, "token", "deny", "--file", str(file), code=1)
    assert "does not contain a JWT" in said
    assert "secret" not in said
    assert "is refused from now on" in run(served, "grant", "deny", f"jwt:{ISSUER}#alice")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("token", "deny"), "identify the JWT either by --issuer and --jti"),
        (("token", "deny", "--issuer", "https://a"), "identify the JWT either by --issuer and --jti"),
        (("grant", "add", "token:a", "--role", "boss"), "'boss' is not one of agent, observer"),
        (("grant", "add", "token:a", "--role", "agent"), "the role agent requires the ids"),
        (("grant", "add", "token:a", "--role", "agent", "--ids", "a*b"), "a * only at its end"),
        (("token", "create", "--role", "admin", "--expires", "soon", "--out", "x"), "'soon' is not a valid lifetime"),
        (("token", "create", "--role", "admin", "--out", "-"), "requires --name"),
        (("token", "create", "--role", "admin", "--out", "missing/x"), "no such directory"),
    ],
)
def test_bad_arguments_get_a_precise_error(
    arguments: tuple[str, ...], said: str, open_server: Served, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [*arguments, "--registry", open_server.address], env={"COLUMNS": "200"})
    assert done.exit_code
    assert said in " ".join(done.output.replace("│", " ").split())
    assert not open_server.folder.exists()
