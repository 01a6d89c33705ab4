"""A flood of Server-Sent Events clients: beyond the limit they are refused, and nobody else is disturbed."""

from __future__ import annotations

import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from gateway_http.http.event_streams import MOST_STREAMS
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until

BEYOND = 20


@contextmanager
def streams(url: str, count: int) -> Iterator[list[socket.socket]]:
    """So many connections that ask for the stream, and read no more than the test does."""
    at = urlsplit(url)
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            connection = socket.create_connection((str(at.hostname), at.port), timeout=30)
            connection.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: {at.netloc}\r\n\r\n".encode())
            opened.append(connection)
        yield opened
    finally:
        for connection in opened:
            connection.close()


def status(connection: socket.socket) -> int:
    """What is answered."""
    return int(connection.recv(12).split()[1])


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A system of one's own, started by a shell that allows few open files; no other test may find it full."""
    few, many = 256, 2 * MOST_STREAMS
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < many:
        pytest.skip(f"the machine allows {most} open files; this needs {many}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, most))
    try:
        with start_system(tmp_path) as running:
            resource.setrlimit(resource.RLIMIT_NOFILE, (many, most))
            yield running
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_a_flood_of_streams_is_refused_beyond_the_limit_and_disturbs_nobody(system: System) -> None:
    page = system.url("hmi_http")
    with httpx.Client(base_url=system.url("registry_http"), timeout=10) as rest:
        with streams(page, MOST_STREAMS + BEYOND) as flood:
            answers = Counter(map(status, flood))
            assert answers == {200: MOST_STREAMS, 503: BEYOND}
            assert rest.get("/services").status_code == 200
            assert httpx.get(f"{page}/v1/status", timeout=10).json()["live"] is True

        def is_admitted() -> bool:
            with streams(page, 1) as (one,), closing(one):
                return status(one) == 200

        wait_until(is_admitted, 20, "there is room again")
        alive = {each["service_id"]: each["status"] for each in rest.get("/services").json()["items"]}
        assert alive["service-gateway"] == alive["tron-heartbeat-monitor"] == "ok"
