"""A machine that has not enough: file descriptors, and processor time."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tron_client import RegistryClient

from grid_hosting.options import SPEAK_WITHIN
from tests.chaos.conftest import Figure
from tests.chaos.ground import DEATHS, FALSE_ALARMS, WINDOW, fleet, ground, ids, write_settings
from tests.support.ears import listening
from tests.support.fleet import agents
from tests.support.processes import start_monitor, start_registry
from tests.support.starving import co_tenants
from tests.support.waiting import let_pass, wait_until

FILES = 128
"""Open files that the registry may have; it needs some 30 for itself."""


def test_file_descriptors_are_exhausted(tmp_path: Path, figure: Figure) -> None:
    """P2, P3, P4: connections take all file descriptors of the registry: attached agents are served as before."""
    healthy = fleet("steady", 20)
    settings = write_settings(tmp_path)
    few = ("sh", "-c", f'ulimit -n {FILES} && exec "$@"', "few")
    with ExitStack() as held:
        registry = held.enter_context(start_registry(tmp_path / "registry" / "data", under=few))
        held.enter_context(start_monitor(tmp_path / "monitor" / "data", registry.address, "--config", str(settings)))
        parent = held.enter_context(listening(registry.address, "chaos-parent"))
        held.enter_context(agents(registry.address, healthy))
        doomed = held.enter_context(agents(registry.address, fleet("doomed", 1)))
        client = held.enter_context(RegistryClient(registry.address))
        client.list_services()
        since = client.list_events(newest=True, limit=1).last_sequence
        host, _, port = registry.address.rpartition(":")
        with ExitStack() as flood:
            for _ in range(2 * FILES):
                flood.enter_context(socket.create_connection((host, int(port)), timeout=5))
            wait_until(lambda: open_files(registry.pid) >= FILES - 1, 10, "all are taken")
            doomed.kill()
            killed = time.monotonic()
            down = parent.wait("service_down", "doomed-0", 20)
            assert len(client.list_services().services) >= len(healthy), "a call on an open connection is answered"
        with agents(registry.address, fleet("newcomer", 1)):  # which waits until it is registered
            events = client.list_events(after_sequence=since, limit=1000).events  # before the newcomer dies, too
        said = [each for each in events if each.type in FALSE_ALARMS]
        assert {each.service_id for each in said} == {"doomed-0"}
        assert "Traceback" not in registry.log
    figure(down.received_at - killed, "s until the parent knows of a death meanwhile (grace 2 s); 0 false alarms")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_tron_restarts_while_file_descriptors_are_exhausted(tmp_path: Path, figure: Figure) -> None:
    """P2, P4: silent connections take all file descriptors of the registry; kill -9 of TRON, which must reconnect."""
    few = ("sh", "-c", f'ulimit -n {FILES} && exec "$@"', "few")
    with ExitStack() as held:
        registry = held.enter_context(start_registry(tmp_path / "registry" / "data", under=few))
        first = held.enter_context(start_monitor(tmp_path / "monitor" / "data", registry.address))
        healthy = fleet("steady", 20)
        held.enter_context(agents(registry.address, healthy))
        client = held.enter_context(RegistryClient(registry.address))
        since = client.list_events(newest=True, limit=1).last_sequence
        host, _, port = registry.address.rpartition(":")
        for _ in range(FILES):
            held.enter_context(socket.create_connection((host, int(port)), timeout=5))
        wait_until(lambda: open_files(registry.pid) >= FILES - 1, 10, "all are taken")
        first.kill()
        second = held.enter_context(start_monitor(tmp_path / "monitor" / "data", registry.address))
        began = time.monotonic()
        wait_until(lambda: " watching " in second.log, 100, "TRON watches again")
        took = time.monotonic() - began
        assert "monitor_lost" in registry.log, "operators are notified meanwhile"
        events = client.list_events(after_sequence=since, limit=1000).events
        assert [each for each in events if each.type in FALSE_ALARMS] == []
    figure(took, f"s until TRON watches again (silent connections are closed after {SPEAK_WITHIN} s); 0 false alarms")


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_silent_connections_take_the_place_of_http_clients(tmp_path: Path, figure: Figure) -> None:
    """P2, P4: silent connections take all that a port of the gateway allows from a service that beats over HTTP."""
    allowed = 50
    with ground(tmp_path, env={"TRON_GATEWAY_MAX_CONNECTIONS": str(allowed)}) as running, ExitStack() as held:
        url = running.system.url("registry_http")
        body = {"service_id": "over-http", "name": "over-http", "type": "agent", "role": "production", "url": "u"}
        declared = {**body, "caps": ["x"], "heartbeat_interval_s": 60, "ttl_s": 600}
        assert httpx.post(f"{url}/register", json=declared, timeout=10).is_success
        since = running.mark()
        at = urlsplit(url)
        for _ in range(allowed + 10):
            held.enter_context(socket.create_connection((at.hostname, at.port), timeout=5))
        began = time.monotonic()

        def is_heard() -> bool:
            with suppress(httpx.HTTPError):
                answer = httpx.put(f"{url}/heartbeat", json={"service_id": "over-http"}, timeout=5)
                return answer.status_code == 200
            return False

        wait_until(is_heard, 60, "a heartbeat over HTTP is heard")
        took = time.monotonic() - began
        assert running.said(since, FALSE_ALARMS, {"over-http"}) == []
    figure(
        took, "s until the port takes heartbeats again (no request within 30 s); 0 false alarms at an interval of 60 s"
    )


def open_files(pid: int) -> int:
    """How many file descriptors a process has."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


@pytest.mark.chaos
@pytest.mark.timeout(180)
def test_a_starved_machine(tmp_path: Path, figure: Figure) -> None:
    """P2, P3: two busy co-tenants for each processor for 20 s, beside a system with 50 agents; one agent dies."""
    healthy = fleet("steady", 50)
    with ground(tmp_path) as running, agents(running.address, healthy):
        with agents(running.address, fleet("doomed", 1)) as doomed:
            running.wait_alive({*ids(healthy), "doomed-0"})
            since = running.mark()
            with co_tenants(2, 0):
                let_pass(10)
                doomed.kill()
                killed = time.monotonic()
                down = running.parent.wait("service_down", "doomed-0", 30)
                let_pass(8)
        running.wait_alive(ids(healthy))
        let_pass(WINDOW + 2.5)
        assert running.said(since, DEATHS, ids(healthy)) == []
    figure(down.received_at - killed, "s until the parent knows of a death meanwhile (grace 2 s); 0 declared down")
