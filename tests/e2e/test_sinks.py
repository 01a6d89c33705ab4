"""The real programs notify operators over their sinks, also of each other's death, whatever the sinks do."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tron_client import MonitorClient, RegistryClient

from tests.support.agents import agents
from tests.support.processes import start_monitor, start_registry, start_system
from tests.support.waiting import wait_until
from tests.support.watched import start_watched


class Receiver:
    """A webhook's receiver on a port of its own. While it is `ill` it takes connections and never answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.well = threading.Event()
        self.well.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if not receiver.well.wait(30):
                    return
                receiver.got.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Serve no more."""
        self.well.set()
        self._server.shutdown()
        self._server.server_close()

    def types(self) -> list[str]:
        """The types of what came, as CloudEvents name them: the last word."""
        return [each["type"].rpartition(".")[2] for each in list(self.got)]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver until the block ends."""
    running = Receiver()
    try:
        yield running
    finally:
        running.close()


def settings(folder: Path, url: str) -> Path:
    """A tron.toml that tells everything to one webhook."""
    secret = folder / "secret"
    secret.write_text("a secret of more than sixteen bytes")
    hook = f'url = "{url}"\nsecret_file = "{secret}"\n'
    tables = [
        f"[{program}.sinks]\ntimeout = 1.0\nlongest_pause = 0.5\n[[{program}.sinks.webhook]]\n{hook}"
        for program in ("monitor", "registry")
    ]
    path = folder / "tron.toml"
    path.write_text("\n".join(tables))
    return path


def test_a_sink_that_hangs_delays_no_verdict_and_gets_everything_when_it_is_well(tmp_path: Path) -> None:
    with receiver() as hook, start_watched(tmp_path, "--config", str(settings(tmp_path, hook.url))) as system:
        hook.well.clear()
        with MonitorClient(system.tron_address) as tron, RegistryClient(system.registry_address) as client:
            for number in range(3):
                with agents(system.registry_address, {"service_id": f"a{number}", "reconnect_grace": 0.3}) as host:
                    host.kill()
                    wait_until(
                        lambda n=number: client.list_events(service_id=f"a{n}", types=("service_down",)).events,  # type: ignore[misc]
                        5,
                        "it is down in time",
                    )
            wait_until(lambda: tron.get_stats().sinks[0].queued >= 3, 5, "they wait for the sink")
            wait_until(
                lambda: not client.list_events(recipient="operators", unacknowledged=True).events,
                5,
                "the desk is clear",
            )
            hook.well.set()

            def told() -> set[str]:
                return {each["id"] for each in list(hook.got) if each["type"].endswith("service_down")}

            wait_until(lambda: len(told()) == 3, 20, "all is delivered, each under an id of its own")


def test_the_registry_tells_that_tron_is_gone_and_back(tmp_path: Path) -> None:
    with receiver() as hook, start_watched(tmp_path, "--config", str(settings(tmp_path, hook.url))) as system:
        system.monitor.signal(signal.SIGSTOP)
        wait_until(lambda: "monitor_lost" in hook.types(), 15, "it tells that TRON is gone")
        system.monitor.signal(signal.SIGCONT)
        wait_until(lambda: hook.types().count("monitor_lost") == 2, 15, "and that it is back")
        with RegistryClient(system.registry_address) as client:
            types = {each.type for each in client.list_events(limit=1000).events}
        assert types == {"monitor_lost", "monitor_back"}


def test_tron_tells_that_the_registry_is_gone(tmp_path: Path) -> None:
    with (
        receiver() as hook,
        start_registry(tmp_path / "registry") as registry,
        start_monitor(
            tmp_path / "monitor",
            registry.address,
            *("--config", str(settings(tmp_path, hook.url)), "--registry-lost-after", "1"),
        ) as monitor,
    ):
        wait_until(lambda: "watching" in monitor.log, 10, "TRON watches")
        registry.kill()
        wait_until(lambda: "registry_lost" in hook.types(), 15, "it tells that the registry is gone")


def test_a_planned_restart_of_either_program_is_no_incident(tmp_path: Path) -> None:
    with receiver() as hook, start_system(tmp_path, "--config", str(settings(tmp_path, hook.url))) as system:
        with MonitorClient(system.tron_address) as tron:
            wait_until(lambda: tron.get_stats().watching, 10, "TRON watches")
            for program in ("registry", "monitor"):
                old = system.child_pid(program)
                os.kill(old, signal.SIGTERM)
                system.wait_restarted(program, old)
                wait_until(lambda: tron.get_stats().watching, 20, "TRON is watching again")
        with agents(system.registry_address, {"service_id": "alone", "reconnect_grace": 0.3}) as host:
            host.kill()
            wait_until(
                lambda: "service_down" in hook.types(), 15, "operators are notified of a service without a parent"
            )
        assert set(hook.types()) == {"service_down"}
        for word in ("registry_lost", "monitor_lost", "alert_undelivered"):
            assert word not in system.log
