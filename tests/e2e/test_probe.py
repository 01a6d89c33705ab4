"""`tron probe`: programs that cannot be changed are looked after, and judged like everyone else."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from grid.liveness.v1.liveness_pb2 import LIVENESS_ALIVE, LIVENESS_DOWN

from tests.e2e.conftest import Grid
from tests.support.waiting import wait_until


class Patient:
    """A program with a /health, which can be made to fail."""

    def __init__(self) -> None:
        self.code = 200
        patient = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(patient.code if self.path == "/health" else 404)
                self.end_headers()
                self.wfile.write(b'{"status": "ok"}')

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Where it serves."""
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


@pytest.fixture
def patient() -> Iterator[Patient]:
    """A program that is well."""
    running = Patient()
    yield running
    running.close()


@pytest.fixture
def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_catalogue(folder: Path, **urls: str) -> Path:
    """A catalogue of these, beaten for every second."""
    path = folder / "fleet.toml"
    rows = [f'[[service]]\nservice_id = "{key}"\nname = "{key}"\nurl = "{url}"\n' for key, url in urls.items()]
    path.write_text('title = "t"\n[defaults]\nheartbeat_interval = 1.0\n' + "\n".join(rows))
    return path


def command(*arguments: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "tron_cli", "probe", *arguments]


def test_one_look_says_who_is_well_and_why_the_others_are_not(
    grid: Grid, patient: Patient, closed_port: int, tmp_path: Path
) -> None:
    port = patient.url.rpartition(":")[2]
    catalogue = write_catalogue(
        tmp_path,
        web=patient.url,
        lost=f"{patient.url}/elsewhere",
        plain=f"tcp://127.0.0.1:{port}",
        speaks=f"grpc://{grid.address}",
        silent=f"tcp://127.0.0.1:{closed_port}",
        odd="internal://nothing",
    )
    done = subprocess.run(
        command("--catalogue", str(catalogue), "--once", "--json"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    found = {each["service_id"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert {key for key, each in found.items() if each["well"]} == {"web", "plain", "speaks"}
    assert found["lost"]["why"].endswith("/elsewhere answers with status 404")
    assert "does not accept connections" in found["silent"]["why"]
    assert "cannot be probed" in found["odd"]["why"]


def test_a_program_is_beaten_for_while_it_is_well_and_only_then(
    grid: Grid, patient: Patient, closed_port: int, tmp_path: Path
) -> None:
    catalogue = write_catalogue(tmp_path, probed=patient.url, absent=f"tcp://127.0.0.1:{closed_port}")
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command("--catalogue", str(catalogue), "--registry", grid.address), stdout=output, stderr=output
        )
    try:
        wait_until(lambda: grid.find("probed") is not None, 15, "registered")
        first = grid.get("probed").last_heartbeat_at.ToMicroseconds()
        wait_until(lambda: grid.get("probed").last_heartbeat_at.ToMicroseconds() > first + 2_500_000, 10, "beaten for")
        record = grid.get("probed")
        assert (record.liveness, record.connected) == (LIVENESS_ALIVE, False)
        assert grid.find("absent") is None
        assert "absent is not healthy, so no heartbeat is sent: 127.0.0.1" in log.read_text()
        patient.code = 503
        wait_until(lambda: grid.get("probed").liveness == LIVENESS_DOWN, 10, "down")
        assert "/health answers with status 503" in log.read_text()
        patient.code = 200
        wait_until(lambda: (found := grid.find("probed")) is not None and found.liveness == LIVENESS_ALIVE, 15, "back")
    finally:
        process.terminate()
        process.wait(10)
