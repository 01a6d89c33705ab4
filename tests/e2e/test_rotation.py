"""Short-lived client certificates of agents and of TRON are renewed while everything runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from grid_model.access import Grant, Role
from tron_client import Agent
from tron_client.channel import open_channel
from tron_client.client import RegistryClient
from tron_client.endpoint import Endpoint

from grid_hosting.access.book import Registered
from grid_hosting.access.store import AccessStore
from tests.support.certificates import Issued, TestAuthority
from tests.support.processes import Monitor, Registry, start_monitor, start_registry
from tests.support.waiting import wait_until

OBSERVER = "tron-heartbeat-monitor"
SHARED, ALONE = 10, 10
INTERVAL = 1.0
LASTS = timedelta(seconds=6)
"""The agents' certificate. TRON's ends a moment earlier, when the agents' streams move."""

GRANTS = {
    "worker": (Grant(Role.AGENT, "worker-*"),),
    "monitor": (
        Grant(Role.JUDGE, OBSERVER),
        Grant(Role.AGENT, OBSERVER),
        Grant(Role.AGENT, "TRON Heartbeat Monitor"),
    ),
    "reader": (Grant(Role.OBSERVER, "*"),),
}


class Watch:
    """All that a reader sees of the agents' streams."""

    def __init__(self, channel: grpc.Channel) -> None:
        stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._call = stub.WatchServices(registry_service_pb2.WatchServicesRequest())
        self.connected: set[str] = set()
        self.broken: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._call.cancel()
        self._thread.join(10)

    def _read(self) -> None:
        try:
            for answer in self._call:
                service = answer.upserted
                if not service.service_id:
                    continue
                if service.connected:
                    self.connected.add(service.service_id)
                elif service.service_id in self.connected:
                    self.broken.append(service.service_id)
        except grpc.RpcError:
            return


def secured(folder: Path, authority: TestAuthority) -> dict[str, str]:
    """Make the principals of a registry that authenticates certificates; return the variables of the servers."""
    store = AccessStore(folder / "registry")
    for name, grants in GRANTS.items():
        store.change(lambda book, n=f"spiffe:tests/{name}", g=grants: book.put(Registered(n, grants=g)))  # type: ignore[misc]
    store.close()
    server = authority.server()
    return {
        "TRON_SECURITY_CERT": str(server.cert),
        "TRON_SECURITY_KEY": str(server.key),
        "TRON_SECURITY_CLIENT_CA": str(authority.ca),
        "TRON_SECURITY_AUTHENTICATION": "true",
        "TRON_SECURITY_TRUST_DOMAINS": "tests",
    }


@contextmanager
def servers(folder: Path, authority: TestAuthority) -> Iterator[tuple[Registry, Monitor]]:
    """A registry that authenticates certificates, and TRON with one of its own."""
    security = secured(folder, authority)
    with start_registry(folder / "registry", "--no-self-register", env=security) as registry:
        own = authority.issue("monitor", ends=LASTS - timedelta(seconds=1))
        with start_monitor(folder / "monitor", registry.address, env={**security, **own.environment}) as monitor:
            wait_until(lambda: "watching" in monitor.log, 20, "TRON watches")
            yield registry, monitor


def test_streams_move_to_renewed_certificates_before_the_old_ones_end_and_nobody_notices(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tron_client")
    authority = TestAuthority(tmp_path / "ca")
    reader = authority.issue("reader")
    with servers(tmp_path, authority) as (registry, monitor), ExitStack() as stack:
        worker = authority.issue("worker", ends=LASTS)
        ends_at = time.monotonic() + LASTS.total_seconds()
        watch = Watch(stack.enter_context(open_channel(Endpoint(registry.address, **reader.arguments))))
        stack.callback(watch.close)
        agents = [agent_of(registry, worker, number) for number in range(SHARED + ALONE)]
        for agent in agents:
            agent.start()
            stack.callback(agent.stop)
        wait_until(lambda: len(watch.connected) == len(agents) + 1, 10, "all are registered, and TRON too")
        before = [agent.incarnation for agent in agents]
        authority.issue("worker")  # the files are replaced
        authority.issue("monitor")
        wait_until(lambda: moved(caplog) == len(agents), 10, f"{moved(caplog)} have moved: {caplog.text}")
        wait_until(lambda: time.monotonic() > ends_at + INTERVAL, 10, "the old certificates have ended")
        wait_until(lambda: monitor.log.count("watching") >= 2, 10, "TRON has a stream with the new certificate")
        assert watch.broken == [], "each was registered on its next stream before the former closed"
        assert [agent.incarnation for agent in agents] == before
        assert all(agent.healthy for agent in agents)
        with RegistryClient(Endpoint(registry.address, **reader.arguments)) as client:
            assert client.list_events(limit=100).events == ()
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_agents_move_to_another_connection_before_theirs_is_too_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tron_client")
    authority = TestAuthority(tmp_path / "ca")
    security = {**secured(tmp_path, authority), "TRON_SECURITY_MAX_CONNECTION_AGE": "2"}
    worker, reader = authority.issue("worker"), authority.issue("reader")
    with start_registry(tmp_path / "registry", "--no-self-register", env=security) as registry, ExitStack() as stack:
        agents = [agent_of(registry, worker, number) for number in (0, SHARED)]
        for agent in agents:
            agent.start()
            stack.callback(agent.stop)
        watch = Watch(stack.enter_context(open_channel(Endpoint(registry.address, **reader.arguments))))
        stack.callback(watch.close)
        wait_until(lambda: moved(caplog) == 2, 10, f"both have moved: {caplog.text}")
        assert watch.broken == []
        assert [agent.incarnation for agent in agents] == [1, 2]
        assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert caplog.text.count("because=the connection is old") == 2


def agent_of(registry: Registry, worker: Issued, number: int) -> Agent:
    """An agent on the stream of all, or on its own."""
    return Agent(
        f"worker-{number}",
        registry=Endpoint(registry.address, **worker.arguments),
        heartbeat_interval=INTERVAL,
        own_stream=number >= SHARED,
    )


def moved(caplog: pytest.LogCaptureFixture) -> int:
    """How many agents have moved."""
    lines = (each.getMessage() for each in caplog.records)
    return sum(int(line.rpartition("services=")[2]) for line in lines if line.startswith("stream_moved"))
