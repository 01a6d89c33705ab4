"""The SDK and the commands against a whole system with mutual TLS, by certificates that `tron ca` made."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tron_client import Agent, AsyncRegistryClient, Endpoint, MonitorClient, RegistryClient

from tests.support.commands import run_tron
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class Secured:
    """A running system, and the directory of its CA."""

    system: System
    folder: Path

    def files(self, name: str) -> dict[str, Any]:
        """The arguments of an Endpoint for one certificate."""
        return {
            "ca": self.folder / "ca.pem",
            "cert": self.folder / f"{name}.pem",
            "key": self.folder / f"{name}-key.pem",
        }

    def endpoint(self, name: str) -> Endpoint:
        """The registry, for a client with this certificate."""
        return Endpoint(self.system.registry_address, **self.files(name))

    def run(self, *arguments: str, name: str = "operator") -> subprocess.CompletedProcess[str]:
        """Run `tron` to its end, with one certificate in its environment."""
        variables = {f"TRON_{key.upper()}": str(path) for key, path in self.files(name).items()}
        return tron(*arguments, TRON_REGISTRY=self.system.registry_address, **variables)


def tron(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `tron` to its end."""
    return run_tron(*arguments, env=os.environ | environment)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A system in which every port requires certificates of clients."""
    folder = tmp_path_factory.mktemp("secured") / "ca"
    for words in (
        ("init", str(folder)),
        ("issue", "servers", "--server", "--dir", str(folder)),
        ("issue", "worker", "--dir", str(folder)),
        ("issue", "operator", "--dir", str(folder)),
    ):
        done = tron("ca", *words)
        assert done.returncode == 0, done.stderr
    flags = ("--cert", str(folder / "servers.pem"), "--key", str(folder / "servers-key.pem"))
    with start_system(folder.parent, *flags, "--client-ca", str(folder / "ca.pem")) as system:
        yield Secured(system, folder)


async def test_agents_and_clients_work_over_mutual_tls(secured: Secured) -> None:
    endpoint = secured.endpoint("worker")
    with Agent("tls-worker", registry=endpoint, heartbeat_interval=0.5) as agent:
        assert agent.wait_registered(10), agent.last_error
        with RegistryClient(endpoint) as client:
            wait_until(lambda: client.get_service("tls-worker").liveness == "ALIVE", 10, "it is alive")
        async with AsyncRegistryClient(endpoint) as aio:
            assert (await aio.get_service("tls-worker")).connected
        with MonitorClient(registry=endpoint) as monitor:
            wait_until(lambda: monitor.get_stats().watching, 10, "TRON watches")


def test_a_watch_and_events_arrive_over_tls(secured: Secured) -> None:
    with RegistryClient(secured.endpoint("operator")) as client:
        changes = client.watch_services()
        with Agent("tls-watched", registry=secured.endpoint("worker"), heartbeat_interval=0.5) as agent:
            assert agent.wait_registered(10)
            upserted = (each.service for each in changes if each.service is not None)
            assert next(each for each in upserted if each.service_id == "tls-watched").connected
        sent = client.publish_event("note", message="over TLS")
        found = next(each for each in client.subscribe_events(sent.sequence - 1) if each.sequence == sent.sequence)
        assert found.message == "over TLS"


def test_commands_work_over_mutual_tls(secured: Secured) -> None:
    for command in (["services"], ["stats"], ["alerts"], ["policy"]):
        done = secured.run(*command)
        assert done.returncode == 0, (command, done.stderr)
    tested = secured.run("selftest")
    assert tested.returncode == 0, tested.stdout + tested.stderr
    run = secured.run("run", "--id", "tls-run", "--interval", "0.5", "--", "true", name="worker")
    assert run.returncode == 0, run.stderr
    assert "could not" not in run.stderr
    with RegistryClient(secured.endpoint("operator")) as client:
        events = client.list_events(service_id="tls-run", types=("process_exited",)).events
    assert [each.service_id for each in events] == ["tls-run"]


def test_a_support_bundle_has_what_secured_programs_answer(secured: Secured, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    done = secured.run("support-bundle", "--output", str(file), "--ready-file", str(secured.system.ready_file))
    assert done.returncode == 0, done.stderr
    with tarfile.open(file) as archive:
        names = {each.removeprefix("tron-support/") for each in archive.getnames()}
    assert {"tron.json", "gateway.json", "metrics/registry.txt", "metrics/monitor.txt"} <= names


def test_a_demo_fleet_runs_over_mutual_tls(secured: Secured, tmp_path: Path) -> None:
    catalogue, ready = tmp_path / "fleet.toml", tmp_path / "ready.json"
    rows = ('service_id = "tls-boss"\nname = "boss"', 'service_id = "tls-child"\nname = "child"\nparent = "tls-boss"')
    catalogue.write_text("".join(f"[[service]]\n{row}\nheartbeat_interval = 1.0\n" for row in rows))
    words = ["demo", "--catalogue", str(catalogue), "--ready-file", str(ready), "--registry"]
    files = [word for name, path in secured.files("worker").items() for word in (f"--{name}", str(path))]
    demo = subprocess.Popen([sys.executable, "-m", "tron_cli", *words, secured.system.registry_address, *files])
    try:
        wait_until(ready.exists, 30, "the fleet is registered")
        with RegistryClient(secured.endpoint("operator")) as client:
            assert client.get_service("tls-child").connected
    finally:
        demo.terminate()
        assert demo.wait(20) == 0


def test_a_renewed_certificate_is_used_while_an_agent_runs(secured: Secured) -> None:
    with (
        Agent("tls-renewed", registry=secured.endpoint("worker"), heartbeat_interval=0.5) as agent,
        RegistryClient(secured.endpoint("worker")) as client,
    ):
        assert agent.wait_registered(10)
        incarnation = client.get_service("tls-renewed").incarnation
        done = tron("ca", "renew", "worker", "--dir", str(secured.folder))
        assert done.returncode == 0, done.stderr
        assert client.get_service("tls-renewed").incarnation == incarnation
        assert agent.state == "connected"


def test_a_system_without_tls_ignores_the_certificates_of_another_one(secured: Secured, tmp_path: Path) -> None:
    variables = {f"TRON_{name.upper()}": str(path) for name, path in secured.files("worker").items()}
    elsewhere = {**variables, "TRON_PROFILE": "production", "TRON_SERVER_NAME": "registry.example"}
    with start_system(tmp_path, env=elsewhere) as system, MonitorClient(system.tron_address) as monitor:
        wait_until(lambda: monitor.get_stats().watching, 20, "TRON follows the registry")


def test_a_client_that_does_not_fit_is_told_why(secured: Secured, tmp_path: Path) -> None:
    address = secured.system.registry_address
    plain = tron("services", TRON_REGISTRY=address)
    assert plain.returncode == 1
    assert "speaks TLS, but this client does not; set TRON_CA" in plain.stderr
    anonymous = tron("services", TRON_REGISTRY=address, TRON_CA=str(secured.folder / "ca.pem"))
    assert "set TRON_CERT and TRON_KEY" in anonymous.stderr
    assert tron("ca", "init", str(tmp_path / "other")).returncode == 0
    foreign = tron("services", TRON_REGISTRY=address, TRON_CA=str(tmp_path / "other" / "ca.pem"))
    assert "was signed by an unknown CA" in foreign.stderr
