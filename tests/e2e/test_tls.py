"""TLS on every port of a whole system, and the refusal to listen beyond loopback without it."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support import warm
from tests.support.authority import Authority
from tests.support.binaries import find_binary
from tests.support.processes import GATEWAY_FLAGS, System, start_registry, start_system
from tests.support.waiting import wait_until

HTTP_PORTS = {
    "registry_http": "/health",
    "tron_http": "/health",
    "events_http": "/health",
    "hmi_http": "/health",
    "registry_metrics": "/metrics",
    "tron_metrics": "/metrics",
}
METRICS_FLAGS = ("--registry-metrics-listen", "--tron-metrics-listen")
UP_LISTENS = ("--registry-listen", "--tron-listen", *GATEWAY_FLAGS.values(), *METRICS_FLAGS)
ONE_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Secured:
    """A system whose ports speak TLS, and the files of its authority."""

    system: System
    folder: Path
    authority: Authority

    @property
    def trust(self) -> ssl.SSLContext:
        """How a client in Python trusts the authority."""
        return ssl.create_default_context(cafile=str(self.bundle))

    @property
    def bundle(self) -> Path:
        """The CA bundle that clients trust."""
        return self.folder / "ca.crt"

    def grpcurl(self, address: str, *arguments: str, plain: bool = False) -> subprocess.CompletedProcess[str]:
        """Call a gRPC port."""
        grpcurl = find_binary("grpcurl")
        assert grpcurl is not None
        how = ("-plaintext",) if plain else ("-cacert", str(self.bundle))
        command = [grpcurl, "-connect-timeout", "3", "-max-time", "10", *how, *arguments[:-1], address, arguments[-1]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=ONE_MINUTE)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """`tron up` with the settings in a file."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority()
    cert, key = authority.issue().write(folder)
    settings = folder / "tron.toml"
    settings.write_text(f'[security]\ncert = "{cert}"\nkey = "{key}"\nca = "{authority.write(folder)}"\n')
    with start_system(folder, "--config", str(settings)) as system:
        yield Secured(system, folder, authority)


@pytest.mark.needs("grpcurl")
@pytest.mark.parametrize("port", ["registry_grpc", "tron_grpc"])
def test_grpc_ports_answer_over_tls_only(secured: Secured, port: str) -> None:
    address = str(secured.system.ready[port])
    healthy = secured.grpcurl(address, "grpc.health.v1.Health/Check")
    assert json.loads(healthy.stdout) == {"status": "SERVING"}, healthy.stderr
    plain = secured.grpcurl(address, "grpc.health.v1.Health/Check", plain=True)
    assert plain.returncode != 0
    assert "SERVING" not in plain.stdout
    assert "Handshake failed" not in secured.system.log, "clients must not be able to fill the disk"


@pytest.mark.parametrize("port", sorted(HTTP_PORTS))
def test_http_ports_answer_over_tls_only(secured: Secured, port: str) -> None:
    address = str(secured.system.ready[port])
    answer = httpx.get(f"https://{address}{HTTP_PORTS[port]}", verify=secured.trust, timeout=10)
    assert answer.status_code == 200
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{address}{HTTP_PORTS[port]}", timeout=10)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://{address}{HTTP_PORTS[port]}", timeout=10)


def test_the_programs_reach_each_other_over_tls(secured: Secured) -> None:
    _wait_watched(secured.system, secured.trust)
    assert f"export TRON_CA={secured.bundle}" in secured.system.log


def test_a_support_bundle_has_the_metrics_of_a_secured_system(secured: Secured) -> None:
    file = secured.folder / "bundle.tar.gz"
    done = _run(
        *("tron_cli", "support-bundle", "--registry", secured.system.registry_address),
        *("--ready-file", str(secured.system.ready_file), "--ca", str(secured.bundle), "--output", str(file)),
    )
    assert done.returncode == 0, done.stderr
    with tarfile.open(file) as bundle:
        names = {name.partition("/")[2] for name in bundle.getnames()}
    assert {f"metrics/{program}.txt" for program in ("registry", "monitor", "gateway")} | {"gateway.json"} <= names


def test_with_client_ca_every_port_requires_a_certificate_and_the_programs_present_theirs(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.issue(uris=("spiffe://tests/servers",)).write(tmp_path)
    own_cert, own_key = authority.issue("operator", uris=("spiffe://tests/alice",)).write(tmp_path, "operator")
    bundle = authority.write(tmp_path)
    security = ("--client-ca", str(bundle), "--authentication", "--trust-domains", "tests")
    with start_system(tmp_path, "--cert", str(cert), "--key", str(key), *security) as system:
        trust = ssl.create_default_context(cafile=str(bundle))
        for port, path in HTTP_PORTS.items():
            with pytest.raises(httpx.TransportError):
                httpx.get(f"https://{system.ready[port]}{path}", verify=trust, timeout=10)
        trust.load_cert_chain(own_cert, own_key)
        data = ("--data-dir", str(tmp_path / "data"))
        assert _run("tron_cli", "security", "admin-token", *data).returncode == 0
        bearer = {"authorization": f"Bearer {(tmp_path / 'data' / 'admin.token').read_text().strip()}"}
        _wait_watched(system, trust, bearer)  # the registry looks twice a second for changes by a command
        for port, path in HTTP_PORTS.items():
            url = f"https://{system.ready[port]}{path}"
            assert httpx.get(url, verify=trust, headers=bearer, timeout=10).status_code == 200
        # The certificate is the credential of gRPC calls: of the programs, which have no tokens, and of people.
        assert not list((tmp_path / "data").glob("[mg]*.token"))
        assert _run("tron_cli", "security", "grant-admin", "spiffe:tests/alice", *data).returncode == 0
        files = ("--ca", str(bundle), "--cert", str(own_cert), "--key", str(own_key))
        listing = ("tron_cli", "token", "list", "--registry", system.registry_address, *files)
        wait_until(lambda: "token:admin" in _run(*listing).stdout, 10, "an administrator lists the tokens")


def _wait_watched(system: System, trust: ssl.SSLContext, headers: dict[str, str] | None = None) -> None:
    """Wait until TRON watches, the gateway follows the registry, and the programs have registered."""

    def watched() -> bool:
        url = f"https://{system.ready['registry_http']}/v1/services"
        answer = httpx.get(url, verify=trust, headers=headers, timeout=10)
        ids = {each["service_id"] for each in answer.json().get("services", [])}
        live = (answer.headers.get("x-registry-live"), answer.headers.get("x-tron-watching")) == ("true", "true")
        return live and {"service-registry", "tron-heartbeat-monitor", "service-gateway"} <= ids

    wait_until(watched, 30, "TRON watches, the gateway follows, and all programs have registered")


def test_the_page_finds_the_other_ports_of_its_gateway(secured: Secured) -> None:
    answer = httpx.get(f"https://{secured.system.ready['hmi_http']}/api/metrics", verify=secured.trust, timeout=10)
    services = answer.json()["services"]
    found = {name: services[name]["status"] for name in ("registry", "heartbeat_monitor", "event_stream")}
    assert found == {"registry": "ok", "heartbeat_monitor": "ok", "event_stream": "ok"}


def test_renewed_files_are_used_without_a_restart(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.issue().write(tmp_path)
    files = ("--cert", str(cert), "--key", str(key), "--ca", str(authority.write(tmp_path)))
    with start_registry(tmp_path / "data", *files) as registry:
        authority.issue().write(tmp_path)
        wait_until(lambda: "tls_reloaded" in registry.log, 30, "the renewed files are used")
        cert.write_text("broken")
        wait_until(lambda: "tls_reload_failed" in registry.log, 30, "the broken file is reported")
        assert "contains no certificate" in registry.log


@pytest.mark.parametrize("flag", UP_LISTENS)
def test_tron_up_refuses_an_open_address_in_one_line_before_it_starts_anything(tmp_path: Path, flag: str) -> None:
    others = [word for each in UP_LISTENS if each != flag for word in (each, "127.0.0.1:0")]
    done = _run("tron_cli", "up", "--data-dir", str(tmp_path / "data"), *others, flag, "0.0.0.0:0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    for part in (flag, "0.0.0.0:0", "[security] cert and key", "--insecure-listen"):
        assert part in line
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("module", "flags"),
    [
        ("registry_server", ("--listen", ":0", "--metrics-listen", "off")),
        ("registry_server", ("--listen", "127.0.0.1:0", "--metrics-listen", ":0")),
        ("tron", ("--listen", "[::]:0", "--metrics-listen", "off")),
        ("tron", ("--listen", "127.0.0.1:0", "--metrics-listen", "0.0.0.0:0")),
        ("gateway_http", tuple(word for flag in GATEWAY_FLAGS.values() for word in (flag, "0.0.0.0:0"))),
    ],
)
def test_a_program_refuses_an_open_address_in_one_line(tmp_path: Path, module: str, flags: tuple[str, ...]) -> None:
    ready = tmp_path / "ready.json"
    done = _run(module, *flags, "--data-dir", str(tmp_path / "data"), "--ready-file", str(ready))
    assert done.returncode == 1
    assert not ready.exists()
    line = done.stderr.splitlines()[-1]
    for part in ("other machines can reach", "[security] cert and key", "--insecure-listen"):
        assert part in line
    assert "Traceback" not in done.stderr


def test_insecure_listen_allows_it_with_a_warning(tmp_path: Path) -> None:
    with start_registry(tmp_path / "data", "--insecure-listen", listen="0.0.0.0:0") as registry:
        assert "listening_beyond_loopback" in registry.log
        assert "development_mode" not in registry.log
    with start_registry(tmp_path / "more") as registry:
        assert "all local users have full access" in registry.log


def test_a_bundle_without_a_certificate_stops_tron_up(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("")
    settings = tmp_path / "tron.toml"
    settings.write_text(f'[security]\nca = "{bundle}"\n')
    done = _run(
        "tron_cli",
        "up",
        "--config",
        str(settings),
        "--data-dir",
        str(tmp_path / "data"),
        *(word for each in UP_LISTENS for word in (each, "127.0.0.1:0")),
    )
    assert done.returncode == 2
    assert "[security] ca and client_ca require cert and key" in done.stderr
    assert not (tmp_path / "data").exists()


def test_files_that_cannot_be_used_stop_tron_up_in_one_line(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.issue().write(tmp_path)
    key.chmod(0o644)
    files = ["--cert", str(cert), "--key", str(key), "--ca", str(authority.write(tmp_path))]
    files += [word for flag in UP_LISTENS for word in (flag, "127.0.0.1:0")]
    done = _run("tron_cli", "up", "--data-dir", str(tmp_path / "data"), *files)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "[security] key: " in line
    assert "is accessible to users other than its owner (mode 0644)" in line


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run(module, arguments, os.environ, timeout=ONE_MINUTE)
