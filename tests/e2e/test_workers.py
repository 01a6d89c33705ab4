"""One service in several worker processes: one row, registered as long as one of them serves, and nobody alarmed."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.conftest import Grid
from tests.e2e.raw_agent import unique
from tests.support.processes import is_alive
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
INTERVAL = "3"
"""Seconds between two heartbeats. With one second, a worker that has no processor for 1.3 s, as when all of them end
beside other tests, misses a heartbeat in truth; here it may have none for 3.3 s."""

ALARMS = {"service_suspect", "heartbeat_miss", "service_down", "service_deregistered", "heartbeat_restored"}


class Server:
    """A server of the application `tests.support.served` in a process group of its own."""

    def __init__(self, grid: Grid, command: list[str], log: Path, service_id: str) -> None:
        self.grid, self.log, self.service_id = grid, log, service_id
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "TRON_REGISTRY": grid.address, "SERVED_ID": service_id, "PYTHONPATH": path}
        environment["SERVED_INTERVAL"] = INTERVAL
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=log.parent,
                env=environment | {"TMPDIR": str(log.parent)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def workers(self) -> list[int]:
        """The worker processes: those that have waited for the id or hold it, by their open lock files."""
        pids = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
        return [pid for pid in pids if pid != self.process.pid and self._locks(pid)]

    def holder(self) -> int:
        """The process that holds the id; 0 if none does."""
        held = [pid for pid in self.workers() if any(name.endswith(".id") for name in self._locks(pid))]
        return held[0] if len(held) == 1 else 0

    def incarnation(self) -> int:
        """The incarnation that is registered and connected; 0 if none is."""
        found = self.grid.find(self.service_id)
        return found.incarnation if found is not None and found.connected else 0

    def alarms(self) -> list[str]:
        """What was said about the service, anything but the log of registrations."""
        return [each.type for each in self.grid.events_about(self.service_id) if each.type in ALARMS]

    def stop(self, timeout: float = 30.0) -> None:
        """End it as a service manager does."""
        self.process.terminate()
        self.process.wait(timeout)

    def kill(self) -> None:
        """End all of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()

    def _locks(self, pid: int) -> list[str]:
        names = []
        try:
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                target = os.readlink(descriptor)  # noqa: PTH115
                if target.startswith(f"{self.log.parent}/tron-"):
                    names.append(target)
        except OSError:
            return []
        return names


@contextmanager
def serving(grid: Grid, folder: Path, command: list[str], workers: int) -> Iterator[Server]:
    """A server that is registered, with all its workers in place."""
    server = Server(grid, command, folder / "server.log", unique("served"))
    try:
        wait_until(lambda: server.incarnation() and len(server.workers()) == workers, 40, "all workers serve")
        yield server
    except BaseException:
        print(server.log.read_text(errors="replace"))
        raise
    finally:
        server.kill()


def free_port() -> str:
    """A port that was free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def uvicorn(*arguments: str) -> list[str]:
    """The command of a uvicorn."""
    return ["uvicorn", "tests.support.served:app", "--host", "127.0.0.1", "--port", free_port(), *arguments]


def gunicorn(*arguments: str) -> list[str]:
    """The command of a gunicorn with workers of its own for ASGI."""
    return ["gunicorn", "tests.support.served:app", "-b", "127.0.0.1:0", "-k", "asgi", *arguments]


needs_gunicorn = pytest.mark.skipif(importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(uvicorn("--workers", "3"), id="uvicorn"),
        pytest.param(gunicorn("-w", "3"), id="gunicorn", marks=needs_gunicorn),
        pytest.param(gunicorn("-w", "3", "--preload"), id="gunicorn preload", marks=needs_gunicorn),
    ],
)
def test_workers_share_one_row_and_the_death_of_one_is_no_death_of_the_service(
    grid: Grid, tmp_path: Path, command: list[str]
) -> None:
    with serving(grid, tmp_path, command, 3) as server:
        assert len(grid.list_named("Served").services) == 1
        first, incarnation = server.holder(), server.incarnation()
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.incarnation() > incarnation, 2, "another worker holds the id within the grace")
        assert server.holder() != first
        wait_until(lambda: len(server.workers()) == 3, 30, "the server has replaced the worker")
        wait_until(lambda: server.holder(), 5, "one of them holds the id")
        before = server.incarnation()
        os.kill(server.holder(), signal.SIGTERM)  # a worker that is asked to leave hands the id on
        wait_until(lambda: server.incarnation() > before, 10, "another worker took over")
        assert not {"service_down", "service_deregistered"} & {*server.alarms()}
        said = len(server.alarms())
        server.stop()
        wait_until(lambda: grid.find(server.service_id) is None, 5, "the last one said goodbye")
        assert server.alarms()[said:] == [], "the orderly end alarmed somebody"


def test_an_orderly_end_and_a_replacement_alarm_nobody(grid: Grid, tmp_path: Path) -> None:
    with serving(grid, tmp_path, uvicorn("--workers", "3"), 3) as server:
        before = server.incarnation()
        # Rolling: the next one is there before the last one goes.
        after = Server(grid, uvicorn("--workers", "2"), tmp_path / "server.log", server.service_id)
        try:
            wait_until(lambda: len(after.workers()) == 5, 30, "the workers of the next one wait")
            assert server.incarnation() == before
            server.stop()
            wait_until(lambda: server.incarnation() > before, 5, "one of the next took over")
            after.stop()
            wait_until(lambda: grid.find(server.service_id) is None, 5, "the last one said goodbye")
        finally:
            after.kill()
        assert server.alarms() == []


def test_a_reload_alarms_nobody(grid: Grid, tmp_path: Path) -> None:
    changed = tmp_path / "changed.py"
    changed.touch()
    with serving(grid, tmp_path, uvicorn("--reload", "--reload-dir", str(tmp_path)), 1) as server:
        before, worker = server.incarnation(), server.workers()[0]

        def change() -> bool:
            # Again and again: what uvicorn finds at its first look is no change to it.
            os.utime(changed, (changed.stat().st_mtime + 10,) * 2)
            return not is_alive(worker)

        wait_until(change, 30, "uvicorn has ended the worker")
        wait_until(lambda: server.incarnation() > before, 30, "registered by the reloaded worker")
        assert server.alarms() == []
        server.stop()
        wait_until(lambda: grid.find(server.service_id) is None, 5, "it said goodbye")
        assert server.alarms() == []
