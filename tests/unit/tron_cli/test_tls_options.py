"""The options --ca, --cert, --key and --profile of commands, as processes, against a registry behind TLS."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.canned_registry import Canned, canned_registry
from tests.support.certificates import TestAuthority, server_credentials
from tests.support.commands import run_tron
from tests.unit.tron_cli.test_commands import events_sent, heartbeats, service


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    """A CA."""
    return TestAuthority(tmp_path / "ca")


@pytest.fixture
def registry(authority: TestAuthority) -> Iterator[Canned]:
    """A registry that requires certificates of its clients."""
    with canned_registry(credentials=server_credentials(authority.server(), authority.ca)) as canned:
        canned.services = [service("behind-tls")]
        yield canned


def tron(tmp_path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tron` to its end, with only these variables of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TRON_")}
    return run_tron(*arguments, cwd=tmp_path, env=kept | {"XDG_CONFIG_HOME": str(tmp_path / "config")} | environment)


def options_of(files: dict[str, str]) -> list[str]:
    """Return the options that name these files."""
    return [word for name, path in files.items() for word in (f"--{name}", path)]


def test_commands_connect_by_the_files_of_their_options(
    registry: Canned, authority: TestAuthority, tmp_path: Path
) -> None:
    files = options_of(authority.issue("operator").texts)
    at = ["--registry", registry.address, *files]
    for command in (["services"], ["alerts"], ["deregister", "behind-tls"], ["register", "--name", "new"]):
        done = tron(tmp_path, *command, *at)
        assert done.returncode == 0, (command, done.stderr)
    assert "behind-tls" in tron(tmp_path, "services", *at).stdout
    for command in (["stats"], ["explain", "behind-tls"]):  # the registry says where TRON is
        done = tron(tmp_path, *command, *at)
        assert done.returncode == 0, (command, done.stderr)


def test_commands_connect_by_the_files_of_the_environment(
    registry: Canned, authority: TestAuthority, tmp_path: Path
) -> None:
    environment = authority.issue("operator").environment | {"TRON_REGISTRY": registry.address}
    done = tron(tmp_path, "services", **environment)
    assert "behind-tls" in done.stdout, done.stderr


def test_a_profile_gives_a_command_its_addresses_and_files(
    registry: Canned, authority: TestAuthority, tmp_path: Path
) -> None:
    folder = tmp_path / "config" / "tron"
    folder.mkdir(parents=True)
    lines = [f'{name} = "{path}"' for name, path in authority.issue("operator").texts.items()]
    lines += [f'registry = "{registry.address}"', f'tron = "{registry.address}"']
    (folder / "profiles.toml").write_text("\n".join(["[profiles.work]", *lines]))
    assert "behind-tls" in tron(tmp_path, "services", "--profile", "work").stdout
    assert tron(tmp_path, "stats", TRON_PROFILE="work").returncode == 0
    unknown = tron(tmp_path, "services", "--profile", "wrok")
    assert unknown.returncode == 2
    assert "has no profile 'wrok'; its profiles: work" in unknown.stderr
    (folder / "profiles.toml").write_text("\n".join(["[profiles.default]", *lines]))
    assert "behind-tls" in tron(tmp_path, "services").stdout
    elsewhere = tron(tmp_path, "services", "--registry", "127.0.0.1:1")
    assert "no registry is running at 127.0.0.1:1" in elsewhere.stderr


def test_a_program_under_tron_run_finds_the_files_in_its_environment(
    registry: Canned, authority: TestAuthority, tmp_path: Path
) -> None:
    issued = authority.issue("worker")
    at = ["--registry", registry.address, *options_of(issued.texts)]
    done = tron(tmp_path, "run", "--id", "worker", *at, "--", "sh", "-c", "env; cat /proc/$$/cmdline")
    assert done.returncode == 0, done.stderr
    for name, path in issued.environment.items():
        assert f"{name}={path}" in done.stdout
    assert "PRIVATE KEY" not in done.stdout
    [registered] = heartbeats(registry, "register")
    assert registered.register.service.service_id == "worker"
    assert [each.type for each in events_sent(registry)] == ["process_exited"]


@pytest.mark.parametrize("command", [["services"], ["run", "--id", "a", "--", "touch", "started"]])
def test_a_file_that_cannot_be_used_ends_the_command_before_anything_starts(command: list[str], tmp_path: Path) -> None:
    done = tron(tmp_path, command[0], "--ca", "nowhere.pem", *command[1:])
    assert done.returncode == 2
    assert done.stderr.strip() == "tron: --ca: nowhere.pem cannot be read (No such file or directory)"
    assert not (tmp_path / "started").exists()
    named = tron(tmp_path, *command, TRON_CERT="c.pem")
    assert named.returncode == 2
    assert "TRON_CERT: a certificate needs its key" in named.stderr


def test_commands_say_what_is_wrong_with_tls(registry: Canned, authority: TestAuthority, tmp_path: Path) -> None:
    at = ["--registry", registry.address]
    plain = tron(tmp_path, "services", *at)
    assert plain.returncode == 1
    assert "speaks TLS, but this client does not; set TRON_CA" in plain.stderr
    other = tron(tmp_path, "services", *at, "--ca", str(TestAuthority(tmp_path / "other").ca))
    assert "was signed by an unknown CA" in other.stderr
    anonymous = tron(tmp_path, "services", *at, "--ca", str(authority.ca))
    assert "set TRON_CERT and TRON_KEY" in anonymous.stderr
    with canned_registry() as plaintext:
        done = tron(tmp_path, "services", "--registry", plaintext.address, "--ca", str(authority.ca))
    assert f"{plaintext.address} speaks plaintext, but this client is set to use TLS" in done.stderr


class _Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ok"}')

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def test_a_probe_of_a_url_trusts_the_ca_of_the_environment(authority: TestAuthority, tmp_path: Path) -> None:
    import ssl

    issued = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.cert, issued.key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Healthy)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    catalogue = tmp_path / "fleet.toml"
    url = f"https://127.0.0.1:{server.server_address[1]}"
    catalogue.write_text(f'[[service]]\nservice_id = "a"\nname = "a"\nurl = "{url}"\n')
    try:
        probe = ["probe", "--catalogue", str(catalogue), "--once"]
        assert tron(tmp_path, *probe).returncode == 1
        trusting = tron(tmp_path, *probe, TRON_CA=str(authority.ca))
        assert trusting.returncode == 0, trusting.stdout + trusting.stderr
    finally:
        server.shutdown()
        server.server_close()


def test_a_probe_of_a_program_that_speaks_plaintext_stays_plaintext(authority: TestAuthority, tmp_path: Path) -> None:
    catalogue = tmp_path / "fleet.toml"
    with canned_registry() as program:
        catalogue.write_text(f'[[service]]\nservice_id = "a"\nname = "a"\nurl = "grpc://{program.address}"\n')
        done = tron(tmp_path, "probe", "--catalogue", str(catalogue), "--once", TRON_CA=str(authority.ca))
    assert done.returncode == 0, done.stdout + done.stderr
