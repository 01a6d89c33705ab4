"""A whole system whose callers authenticate: made of a development one by `tron security enable`, run by `tron up`."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import websocket
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.liveness.v1 import liveness_pb2
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from grid.tron.v1 import tron_service_pb2, tron_service_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tron_client.channel import open_channel
from tron_client.endpoint import Endpoint

from tests.e2e.raw_agent import RawAgent, a_service, seconds
from tests.e2e.refusals import read_refusal
from tests.support.binaries import find_binary
from tests.support.commands import run_tron
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, serving
from tests.support.processes import System, start_registry, start_system
from tests.support.stored_events import stored_alerts
from tests.support.waiting import wait_until

WORKER, TWIN, BOSS, ADMIN = "worker", "twin", "boss", "admin"
GRANTS = {WORKER: "worker-*", TWIN: "worker-*", BOSS: "boss"}
CORE = {"service-registry", "tron-heartbeat-monitor", "service-gateway", "service-event-stream", "service-hmi"}
DENIED, FOREIGN, ENDED = "PERMISSION_DENIED", "NOT_OWNER", "CREDENTIAL_EXPIRED"
METHODS = "/grid.registry.v1.RegistryService/"
OLD_CLIENT = "127.0.0.2"
"""The address from which a legacy client needs no token."""

OWN_PAGE = {"sec-fetch-site": "same-origin"}


@dataclass(frozen=True, slots=True)
class Secured:
    """A running system, the folder with its settings, the tokens of callers: `NAME.token`, and the issuer at which
    people log in."""

    system: System
    folder: Path
    provider: OidcProvider

    @property
    def ca(self) -> Path:
        """The CA bundle that clients trust."""
        return self.folder / "ca" / "ca.pem"

    def token(self, name: str) -> Path:
        """The file with a token."""
        return self.folder / ("data/admin.token" if name == ADMIN else f"{name}.token")

    def environment(self, name: str) -> dict[str, str]:
        """The variables of a client."""
        registry, tron = self.system.registry_address, self.system.tron_address
        files = {"TRON_CA": str(self.ca), "TRON_TOKEN_FILE": str(self.token(name))}
        return {**files, "TRON_REGISTRY": registry, "TRON_MONITOR": tron}

    def tron(self, name: str, *words: str) -> str:
        """Run a command as a principal; return what it printed."""
        done = run_tron(*words, env=os.environ | self.environment(name))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def http(self, address: str = "127.0.0.1") -> httpx.Client:
        """An HTTP client at an address of this machine that trusts the CA."""
        context = ssl.create_default_context(cafile=str(self.ca))
        return httpx.Client(transport=httpx.HTTPTransport(verify=context, local_address=address), timeout=10)

    def bearer(self, name: str) -> dict[str, str]:
        """The header with the token of a principal."""
        return {"authorization": f"Bearer {self.token(name).read_text().strip()}"}

    def channel(self, name: str, address: str | None = None) -> grpc.Channel:
        """A connection of its own with the token of a principal."""
        return open_channel(
            Endpoint(address or self.system.registry_address, ca=self.ca, token_file=self.token(name))
        )  # fmt: skip

    @contextmanager
    def registry(self, name: str) -> Iterator[Any]:
        """The stub of RegistryService for a principal."""
        with self.channel(name) as channel:
            yield registry_service_pb2_grpc.RegistryServiceStub(channel)

    @contextmanager
    def agent(self, name: str) -> Iterator[RawAgent]:
        """A Heartbeat stream of a principal."""
        with RawAgent(self.system.registry_address, self.channel(name)) as agent:
            yield agent

    def refusals(self) -> set[tuple[str, str, str, str]]:
        """The refusals in the audit log: actor, method, target and outcome."""
        printed = self.tron(ADMIN, "audit", "--kind", "refusal", "--json")
        records = [json.loads(line) for line in printed.splitlines()]
        return {(each["actor"], each["method"], each["target"], each["outcome"]) for each in records}


@contextmanager
def trusting(settings: Path, provider: OidcProvider, ca: Path) -> Iterator[None]:
    """Add the issuer to the settings of a system."""
    secret = settings.parent / "oidc.secret"
    secret.touch(0o600)
    secret.write_text(f"{SECRET}\n")
    oidc = f'issuer = "{provider.url}"\nclient_id = "{CLIENT}"\nclient_secret_file = "{secret}"\nca = "{ca}"\n'
    verified = f'issuer = "{provider.url}"\naudience = "{CLIENT}"\nalgorithm = "ES256"\n'
    keys = f'keys_url = "{provider.url}/keys"\nkeys_ca = "{ca}"\nroles = {{ "groups=readers" = ["observer *"] }}\n'
    with settings.open("a") as file:
        file.write(f"\n[security.oidc]\n{oidc}\n[[security.jwt]]\n{verified}{keys}")
    yield


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A development system with a registration, which becomes a secured one."""
    folder = tmp_path_factory.mktemp("secured")
    before = a_service("worker-before", heartbeat_interval=seconds(3600))
    with (
        start_registry(folder / "data" / "registry", "--no-self-register") as registry,
        grpc.insecure_channel(registry.address) as channel,
    ):
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        stub.Register(registry_service_pb2.RegisterRequest(service=before))
    settings = folder / "tron.toml"
    words = ("--data-dir", str(folder / "data"), "--config", str(settings), "--ca-dir", str(folder / "ca"))
    done = run_tron("security", "enable", *words)
    assert done.returncode == 0, done.stderr
    assert tomllib.loads(settings.read_text())["security"]["authentication"] is True
    provider = OidcProvider(secret=SECRET)
    fleet = folder / "fleet.toml"
    fleet.write_text('[[service]]\nservice_id = "demo-1"\nname = "demo-1"\ntype = "agent"\n')
    demo = ("--demo", "--catalogue", str(fleet))
    with (
        serving(provider, folder) as issuer_ca,
        trusting(settings, provider, issuer_ca),
        start_system(folder, "--config", str(settings), *demo, "--legacy-open-to", OLD_CLIENT) as system,
    ):
        found = Secured(system, folder, provider)
        for name, pattern in GRANTS.items():
            words = ("--role", "agent", "--ids", pattern, "--out", str(found.token(name)))
            found.tron(ADMIN, "token", "create", *words)
        yield found
        assert "Traceback" not in system.log, system.log
    alerts = stored_alerts(folder / "data" / "registry")
    assert [each for each in alerts if each[1] in CORE | {"demo-1"}] == [], "programs that stop say goodbye"


def test_all_programs_authenticate_to_each_other_and_no_registration_is_lost(secured: Secured) -> None:
    with secured.registry(ADMIN) as registry:

        def live() -> bool:
            services = registry.ListServices(registry_service_pb2.ListServicesRequest()).services
            alive = {each.service_id for each in services if each.liveness == liveness_pb2.LIVENESS_ALIVE}
            return alive >= CORE and "worker-before" in {each.service_id for each in services}

        wait_until(live, 30, "the programs are live, and the service of before is there")


@pytest.mark.needs("grpcurl")
@pytest.mark.parametrize(
    ("port", "method"),
    [
        ("registry_grpc", "grid.registry.v1.RegistryService/ListServices"),
        ("tron_grpc", "grid.tron.v1.TronService/GetStats"),
    ],
)
def test_a_call_without_a_credential_learns_nothing_and_health_is_open(
    secured: Secured, port: str, method: str
) -> None:
    address = str(secured.system.ready[port])
    grpcurl = find_binary("grpcurl")
    assert grpcurl is not None

    def call(name: str, *flags: str) -> subprocess.CompletedProcess[str]:
        command = [grpcurl, "-cacert", str(secured.ca), "-max-time", "10", *flags, address, name]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    credentials = grpc.ssl_channel_credentials(secured.ca.read_bytes())
    with grpc.secure_channel(address, credentials) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert health.status == health_pb2.HealthCheckResponse.SERVING
    assert "Unauthenticated" in call(method).stderr
    assert "Unauthenticated" in call(method, "-H", f"authorization: Bearer tron_{'x' * 43}").stderr
    right = call(method, "-H", f"authorization: Bearer {secured.token(ADMIN).read_text().strip()}")
    assert right.returncode == 0, right.stderr


def test_an_agent_acts_for_its_own_ids_only_and_each_attempt_is_recorded(secured: Secured) -> None:
    with secured.agent(BOSS) as boss, secured.agent(WORKER) as worker, secured.agent(TWIN) as twin:
        incarnation = boss.register("boss").incarnation
        worker.register("worker-1", parent="boss")
        with secured.registry(WORKER) as registry:
            for method, request in (
                (registry.Register, registry_service_pb2.RegisterRequest(service=a_service("boss"))),
                (registry.Deregister, registry_service_pb2.DeregisterRequest(service_id="boss")),
            ):
                with pytest.raises(grpc.RpcError) as refused:
                    method(request)
                assert read_refusal(refused.value).reason == DENIED
        acknowledge = event_service_pb2.AcknowledgeEventRequest(alert_id="any", recipient="boss")
        with secured.channel(WORKER) as channel, pytest.raises(grpc.RpcError) as refused:
            event_service_pb2_grpc.EventServiceStub(channel).AcknowledgeEvent(acknowledge)
        assert read_refusal(refused.value).reason == DENIED
        worker.beat("boss")
        assert worker.wait("rejected")[0].service_id == "boss"
        twin.announce(a_service("worker-1"))
        assert twin.wait_refused().reason == FOREIGN
        with secured.registry(ADMIN) as registry:
            found = registry.GetService(registry_service_pb2.GetServiceRequest(service_id="boss")).service
        assert (found.incarnation, found.connected) == (incarnation, True)
        worker.beat("worker-1")
        worker.wait("ack")
    expected = {
        ("token:worker", METHODS + "Register", "boss", "PERMISSION_DENIED"),
        ("token:worker", METHODS + "Deregister", "boss", "PERMISSION_DENIED"),
        ("token:worker", METHODS + "Heartbeat", "boss", "PERMISSION_DENIED"),
        ("token:worker", "/grid.events.v1.EventService/AcknowledgeEvent", "any", "PERMISSION_DENIED"),
        ("token:twin", METHODS + "Heartbeat", "worker-1", "NOT_OWNER"),
    }
    wait_until(lambda: expected <= secured.refusals(), 10, f"{expected} in {secured.refusals()}")


def test_a_revoked_token_ends_its_streams_with_a_reason(secured: Secured) -> None:
    name = "brief"
    words = ("--role", "agent", "--ids", "brief-*", "--out", str(secured.token(name)), "--json")
    token_id = json.loads(secured.tron(ADMIN, "token", "create", *words))["token_id"]
    with secured.agent(name) as agent, secured.channel(name) as channel:
        agent.register("brief-1")
        watching = registry_service_pb2_grpc.RegistryServiceStub(channel).WatchServices(
            registry_service_pb2.WatchServicesRequest()
        )
        next(watching)
        ended = threading.Event()
        errors: list[grpc.RpcError] = []

        def read() -> None:
            try:
                for _ in watching:
                    pass
            except grpc.RpcError as error:
                errors.append(error)
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        secured.tron(ADMIN, "token", "revoke", token_id)
        assert agent.wait_refused(5).reason == ENDED
        assert ended.wait(5)
        assert read_refusal(errors[0]).reason == ENDED
        with pytest.raises(grpc.RpcError) as refused:
            registry_service_pb2_grpc.RegistryServiceStub(channel).ListServices(
                registry_service_pb2.ListServicesRequest()
            )
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_an_operation_at_tron_needs_a_grant(secured: Secured) -> None:
    request = tron_service_pb2.SetMaintenanceRequest(service_id="worker-before")
    with secured.channel(WORKER, secured.system.tron_address) as channel, pytest.raises(grpc.RpcError) as refused:
        tron_service_pb2_grpc.TronServiceStub(channel).SetMaintenance(request)
    assert read_refusal(refused.value).reason == DENIED
    secured.tron(ADMIN, "maintenance", "worker-before", "--for", "1")


@pytest.mark.parametrize(
    ("port", "path"),
    [
        ("registry_http", "/services"),
        ("registry_http", "/v1/services"),
        ("registry_http", "/metrics"),
        ("tron_http", "/alerts"),
        ("events_http", "/events/recent"),
        ("hmi_http", "/api/tree"),
        ("registry_metrics", "/metrics"),
        ("tron_metrics", "/metrics"),
    ],
)
def test_http_ports_need_a_token(secured: Secured, port: str, path: str) -> None:
    with secured.http() as http:
        url = f"https://{secured.system.ready[port]}{path}"
        assert http.get(url).status_code == 401
        assert http.get(url, headers=secured.bearer(ADMIN)).status_code == 200


def test_a_session_of_the_page_acts_as_its_principal_and_ends_with_its_token(secured: Secured) -> None:
    name, base = "viewer", f"https://{secured.system.ready['hmi_http']}"
    words = ("--role", "observer", "--out", str(secured.token(name)), "--json")
    token_id = json.loads(secured.tron(ADMIN, "token", "create", *words))["token_id"]
    token = secured.token(name).read_text().strip()
    with secured.http() as http:
        assert http.post(f"{base}/session", json={"token": token}).status_code == 403, "no page"
        assert http.post(f"{base}/session", json={"token": "tron_wrong"}, headers=OWN_PAGE).status_code == 401
        assert http.post(f"{base}/session", json={"token": token}, headers=OWN_PAGE).status_code == 200
        (cookie,) = http.cookies.jar
        assert (cookie.name, cookie.secure) == ("__Host-tron-session", True)
        assert http.get(f"{base}/session").json()["principal"] == "token:viewer"
        metrics = f"https://{secured.system.ready['registry_http']}/metrics"
        with secured.http() as other:
            shown = other.get(metrics, headers=secured.bearer(name)).text
        assert re.search(r'tron_queue_length{.*queue="sessions".*} 1\.0', shown)
        act = http.post(f"{base}/v1/alerts/acknowledge", json={"all": True}, headers=OWN_PAGE)
        assert (act.status_code, act.json()["reason"]) == (403, "PERMISSION_DENIED")
        with http.stream("GET", f"{base}/v1/stream", headers=OWN_PAGE) as stream:
            assert stream.status_code == 200
            parts = stream.iter_raw()
            next(parts)
            secured.tron(ADMIN, "token", "revoke", token_id)
            for _ in parts:  # it ends, or a read times out: a state follows each 5 s
                pass
        assert http.get(f"{base}/v1/status").status_code == 401


def test_a_person_who_logs_in_at_an_issuer_acts_as_the_subject_of_the_token_until_it_is_denied(
    secured: Secured,
) -> None:
    base, alice = f"https://{secured.system.ready['hmi_http']}", f"jwt:{secured.provider.url}#alice"

    def log_in(http: httpx.Client) -> int:
        begun = http.post(f"{base}/session/oidc", json={}, headers=OWN_PAGE)
        return http.get(secured.provider.authorize(begun.json()["url"])).status_code if begun.is_success else 0

    with secured.http() as http:
        wait_until(lambda: log_in(http) == 200, 20, "registry and gateway have read what the issuer says of itself")
        assert http.get(f"{base}/session").json() == {"principal": alice, "roles": ["observer"], "session": True}
        with http.stream("GET", f"{base}/v1/stream", headers=OWN_PAGE) as stream:
            parts = stream.iter_raw()
            next(parts)
            secured.tron(ADMIN, "grant", "deny", alice)
            for _ in parts:  # it ends, or a read times out: a state follows each 5 s
                pass
        assert http.get(f"{base}/session").status_code == 401
        assert log_in(http) == 403
        wait_until(
            lambda: "GET /session/oidc" in {method for _, method, _, _ in secured.refusals()},
            10,
            "the refusal is recorded",
        )


def test_socket_io_clients_need_a_token_and_end_with_it(secured: Secured) -> None:
    name, address = "listener", secured.system.ready["events_http"]
    words = ("--role", "observer", "--out", str(secured.token(name)), "--json")
    token_id = json.loads(secured.tron(ADMIN, "token", "create", *words))["token_id"]
    header = [f"Authorization: {secured.bearer(name)['authorization']}"]
    url, trusted = f"wss://{address}/socket.io/?EIO=4&transport=websocket", {"ca_certs": str(secured.ca)}
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(url, timeout=10, sslopt=trusted)
    assert refused.value.status_code == 401
    connection = websocket.create_connection(url, timeout=10, sslopt=trusted, header=header)
    connection.send("40")
    while not str(connection.recv()).startswith("42"):  # the greeting of the application
        pass
    with secured.http() as http:
        polling = f"https://{address}/socket.io/?EIO=4&transport=polling"
        opened = http.get(polling, headers=secured.bearer(name))
        assert opened.status_code == 200
        session = json.loads(opened.text[1:])["sid"]
        assert http.get(f"{polling}&sid={session}").status_code == 401
        statuses: list[int] = []

        def poll() -> None:
            while True:
                statuses.append(http.get(f"{polling}&sid={session}", headers=secured.bearer(name)).status_code)
                if statuses[-1] != 200:
                    return

        waiting = threading.Thread(target=poll)
        waiting.start()
        secured.tron(ADMIN, "token", "revoke", token_id)
        waiting.join(10)
        assert not waiting.is_alive()
        assert statuses[-1] in (400, 401)  # 400: the library ends a poll that was waiting
        assert http.get(f"{polling}&sid={session}", headers=secured.bearer(name)).status_code == 401
    opcode, data = 0, b""
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        opcode, data = connection.recv_data()
    assert int.from_bytes(data[:2], "big") == 1008
    connection.shutdown()  # type: ignore[no-untyped-call]

    def nobody_listens() -> bool:
        with secured.http() as http:
            return bool(http.get(f"https://{address}/health").json()["connected_clients"] == 0)

    wait_until(nobody_listens, 10, "the client is gone")


def test_old_clients_of_a_listed_network_act_as_one_principal_with_its_grants(secured: Secured) -> None:
    base = f"https://{secured.system.ready['registry_http']}"
    row = {"type": "agent", "role": "production", "url": "http://x:1", "caps": ["a"]}
    old, boss = ({"service_id": each, "name": each, **row} for each in ("old-1", "boss"))
    with secured.http(OLD_CLIENT) as http:
        assert http.post(f"{base}/register", json=old).status_code == 401, "nothing is granted"
        secured.tron(ADMIN, "grant", "add", "token:legacy", "--role", "agent", "--ids", "old-*")

        def registered() -> bool:
            return http.post(f"{base}/register", json=old).status_code == 200

        wait_until(registered, 10, "the grant counts")
        beat = {"service_id": "old-1", "status": "ok"}
        assert http.put(f"{base}/heartbeat", json=beat).status_code == 200
        assert http.post(f"{base}/register", json=boss).status_code == 403
        assert [each["service_id"] for each in http.get(f"{base}/services").json()["items"]] == ["old-1"]
        assert http.get(f"{base}/v1/services").status_code == 401
        for header in ("x-forwarded-for", "forwarded", "via"):
            assert http.put(f"{base}/heartbeat", json=beat, headers={header: OLD_CLIENT}).status_code == 401
    with secured.http() as http:
        assert http.put(f"{base}/heartbeat", json=beat).status_code == 401
    refused = ("token:legacy", METHODS + "Register", "boss", "PERMISSION_DENIED")
    wait_until(lambda: refused in secured.refusals(), 10, f"{refused} in {secured.refusals()}")


def test_a_legacy_client_acts_under_its_own_name(secured: Secured) -> None:
    with secured.http() as http:
        base = f"https://{secured.system.ready['registry_http']}"

        def register(service_id: str, name: str) -> int:
            row = {
                "service_id": service_id,
                "name": service_id,
                "type": "agent",
                "role": "production",
                "url": "http://x:1",
                "caps": ["a"],
            }
            return http.post(f"{base}/register", json=row, headers=secured.bearer(name)).status_code

        assert register("worker-legacy", WORKER) == 200
        assert register("captain", TWIN) == 403
        assert register("worker-legacy", TWIN) == 403
        beat = {"service_id": "worker-legacy", "status": "ok"}
        assert http.put(f"{base}/heartbeat", json=beat, headers=secured.bearer(WORKER)).status_code == 200
        shown = {
            each["service_id"] for each in http.get(f"{base}/services", headers=secured.bearer(WORKER)).json()["items"]
        }
        assert "worker-legacy" in shown
        assert not shown & CORE
    with secured.registry(ADMIN) as registry:
        found = registry.GetService(registry_service_pb2.GetServiceRequest(service_id="worker-legacy")).service
    assert found.incarnation
    expected = {
        ("token:twin", METHODS + "Register", "captain", "PERMISSION_DENIED"),
        ("token:twin", METHODS + "Register", "worker-legacy", "NOT_OWNER"),
    }
    wait_until(lambda: expected <= secured.refusals(), 10, f"{expected} in {secured.refusals()}")


def test_an_operator_acts_over_http_and_at_tron_under_its_own_name_until_its_token_is_revoked(secured: Secured) -> None:
    name, port = "oper", secured.system.ready["registry_http"]
    words = ("--role", "operator", "--ids", "worker-*", "--out", str(secured.token(name)), "--json")
    token_id = json.loads(secured.tron(ADMIN, "token", "create", *words))["token_id"]
    with (
        secured.agent(WORKER) as worker,
        secured.http() as http,
        secured.channel(name, secured.system.tron_address) as channel,
    ):
        tron = tron_service_pb2_grpc.TronServiceStub(channel)

        def deregister(service_id: str) -> int:
            request = {"service_id": service_id}
            return http.post(f"https://{port}/deregister", json=request, headers=secured.bearer(name)).status_code

        def refused_at_tron() -> bool:
            try:
                tron.GetStats(tron_service_pb2.GetStatsRequest())
            except grpc.RpcError as error:
                return bool(read_refusal(error).reason == "UNAUTHENTICATED")
            return False

        worker.register("worker-retired")
        assert [deregister("boss"), deregister("worker-retired")] == [403, 200]
        tron.SetMaintenance(tron_service_pb2.SetMaintenanceRequest(service_id="worker-before", enabled=False))
        printed = secured.tron(ADMIN, "audit", "--actor", "token:oper", "--json")
        records = [json.loads(line) for line in printed.splitlines()]
        assert {
            (each["method"].rpartition("/")[2], each["target"], each["outcome"], each["via"]) for each in records
        } == {
            ("Deregister", "boss", DENIED, "token:program/gateway"),
            ("Deregister", "worker-retired", "OK", "token:program/gateway"),
            ("SetMaintenance", "worker-before", "OK", "token:program/monitor"),
        }
        secured.tron(ADMIN, "token", "revoke", token_id)
        wait_until(lambda: deregister("worker-1") == 401, 5, "the gateway refuses the token")
        wait_until(refused_at_tron, 5, "TRON refuses the token")


def test_no_secret_occurs_anywhere_but_in_its_file(secured: Secured) -> None:
    files = [
        *secured.folder.glob("*.token"),
        secured.folder / "oidc.secret",
        *(secured.folder / "data").glob("*.token"),
    ]
    names = {each.name for each in files}
    assert names >= {"monitor.token", "gateway.token", "demo.token", "admin.token", "worker.token"}
    assert all(each.stat().st_mode & 0o077 == 0 for each in (secured.folder / "data", *files))
    secrets = {each.read_text().strip() for each in files}
    # A part of a secret is a leak too; the first 8 characters are the id of the token.
    parts = [re.escape(each.removeprefix("tron_")[8:20]).encode() for each in secrets]
    leaked = re.compile(b"|".join(parts))
    shown: dict[str, str] = {"the log": secured.system.log}
    with secured.http() as http:
        malformed = {"authorization": secured.bearer(WORKER)["authorization"] + " x"}
        shown["an error"] = http.get(
            f"https://{secured.system.ready['registry_http']}/v1/services", headers=malformed
        ).text
        for port in ("registry_http", "registry_metrics", "tron_metrics"):
            shown[port] = http.get(f"https://{secured.system.ready[port]}/metrics", headers=secured.bearer(ADMIN)).text
    for words in (("audit",), ("token", "list"), ("grant", "list"), ("alerts",), ("services",), ("stats",)):
        shown[" ".join(words)] = secured.tron(ADMIN, *words, "--json")
    bundle = secured.folder / "bundle.tar.gz"
    secured.tron(ADMIN, "support-bundle", "--ready-file", str(secured.system.ready_file), "--output", str(bundle))
    with tarfile.open(bundle) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            shown[f"the bundle: {member.name}"] = "" if file is None else file.read().decode(errors="replace")
    assert any(name.endswith("metrics/monitor.txt") for name in shown), "the bundle has what needs a token"
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                shown[f"arguments of {process.name}"] = (process / "cmdline").read_text(errors="replace")
            except OSError:
                continue  # it has ended
    for where, text in shown.items():
        assert leaked.search(text.encode()) is None, where
    for path in secured.folder.rglob("*"):
        if path.is_file() and path not in files:
            assert leaked.search(path.read_bytes()) is None, path
