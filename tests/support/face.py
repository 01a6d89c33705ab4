"""The whole system behind its HTTP face: registry, TRON and gateway, each a process of its own, and clients for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import Gateway, Monitor, Registry, start_gateway, start_monitor, start_registry
from tests.support.waiting import wait_until

ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?")
"""What `utcnow().isoformat()` writes: no zone, and no fraction if it is zero."""

SQL_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
"""What CURRENT_TIMESTAMP of SQLite writes."""


@dataclass(frozen=True)
class Face:
    """A running system, and one HTTP client for each port."""

    registry: Registry
    monitor: Monitor
    gateway: Gateway
    rest: httpx.Client
    tron: httpx.Client
    events: httpx.Client

    def register(self, service_id: str, **fields: Any) -> httpx.Response:
        """POST /register with what a client must send, and `fields` on top."""
        body = {"service_id": service_id, "name": service_id, "type": "agent", "role": "production", "url": "u"}
        return self.rest.post("/register", json={**body, "caps": ["work"], **fields})

    def beat(self, service_id: str, **fields: Any) -> httpx.Response:
        """PUT /heartbeat."""
        return self.rest.put("/heartbeat", json={"service_id": service_id, **fields})

    def get(self, service_id: str) -> dict[str, Any]:
        """GET /services/{service_id}, which must be there."""
        answer = self.rest.get(f"/services/{service_id}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def listed(self, service_id: str) -> dict[str, Any] | None:
        """The item of GET /services; None if there is none."""
        found: list[dict[str, Any]] = self.rest.get("/services").json()["items"]
        return next((each for each in found if each["service_id"] == service_id), None)

    def wait_watched(self, timeout: float = 10.0) -> None:
        """Wait until TRON judges and the gateway shows it."""

        def watched() -> bool:
            return "true" in self.rest.get("/services").headers.get_list("x-tron-watching")

        wait_until(watched, timeout, "TRON watches")


@contextmanager
def clients(gateway: Gateway) -> Iterator[tuple[httpx.Client, httpx.Client, httpx.Client]]:
    """A client for each of the ports 6121, 6109 and 6102."""
    with (
        httpx.Client(base_url=gateway.url("registry_http"), timeout=10) as rest,
        httpx.Client(base_url=gateway.url("tron_http"), timeout=10) as tron,
        httpx.Client(base_url=gateway.url("events_http"), timeout=10) as events,
    ):
        yield rest, tron, events


@contextmanager
def start_face(folder: Path, *gateway_arguments: str) -> Iterator[Face]:
    """Run all three below `folder` until the block ends. Yields when TRON judges."""
    with (
        start_registry(folder / "registry") as registry,
        start_monitor(folder / "monitor", registry.address) as monitor,
        start_gateway(folder / "gateway", registry.address, monitor.address, *gateway_arguments) as gateway,
        clients(gateway) as (rest, tron, events),
    ):
        face = Face(registry, monitor, gateway, rest, tron, events)
        face.wait_watched()
        yield face


def check_no_traceback(face: Face) -> None:
    """Nothing went wrong without an error at the client."""
    for program in (face.registry, face.monitor, face.gateway):
        assert program.process.poll() is None, program.log
        assert "Traceback" not in program.log, program.log
