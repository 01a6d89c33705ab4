"""The servers of one run, what they cost, and what their logs say of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.support.processes import Monitor, Program, Registry, start_monitor, start_registry, start_system
from tests.support.waiting import wait_until

MAX_STREAMS = 25_000
ENVIRONMENT = {
    "TRON_REGISTRY_MAX_STREAMS": str(MAX_STREAMS),
    **{f"TRON_{program}_LOG_JSON": "true" for program in ("REGISTRY", "MONITOR", "GATEWAY")},
}


class Servers:
    """A registry and TRON, or with `whole` all that `tron up` runs. Use it in a `with` block."""

    def __init__(self, folder: Path, *, whole: bool, env: Mapping[str, str] = MappingProxyType({})) -> None:
        """`env`: further variables, such as those of `_secured`; the data directory of the registry is
        `folder/registry/data`."""
        self._folder = folder
        self._env = {**ENVIRONMENT, **env}
        self._whole = whole
        self._running = ExitStack()
        self._logs: list[Program] = []

    def __enter__(self) -> Servers:
        if self._whole:
            system = self._running.enter_context(start_system(self._folder, env=self._env))
            self._system, self.address = system, system.registry_address
            self._logs.append(system)
        else:
            self._registry = self._start_registry("127.0.0.1:0")
            self.address = self._registry.address
            self._monitor: Monitor = self._running.enter_context(
                start_monitor(self._folder / "monitor" / "data", self.address, env=self._env)
            )
            self._logs.append(self._monitor)
        wait_until(lambda: self.logged("watching"), 30, "TRON watches")
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._running.close()
        except AssertionError as error:  # what was measured is worth more than an orderly end
            print(f"  the end was not orderly: {str(error)[:200]}", flush=True)

    @property
    def pids(self) -> dict[str, int]:
        """The processes as they are now, by name."""
        if self._whole:
            return {name: self._system.child_pid(name) for name in ("registry", "monitor", "gateway")}
        return {"registry": self._registry.pid, "monitor": self._monitor.pid}

    def kill_registry(self) -> None:
        """Kill -9, and start it again if nobody else does; returns when it serves."""
        if self._whole:
            self._system.wait_restarted("registry", self._system.kill_child("registry"))
        else:
            self._registry.kill()
            self._registry = self._start_registry(self.address)

    def logged(self, *events: str) -> list[dict[str, Any]]:
        """The lines of all logs with one of these events, of each program in the order in which they were written."""
        return [line for line in self._lines() if line.get("event") in events]

    def _start_registry(self, listen: str) -> Registry:
        registry = self._running.enter_context(
            start_registry(self._folder / "registry" / "data", listen=listen, env=self._env)
        )
        self._logs.append(registry)
        return registry

    def _lines(self) -> Iterator[dict[str, Any]]:
        for program in self._logs:
            for line in program.log.splitlines():
                try:
                    found = json.loads(line) if line.startswith("{") else None
                except ValueError:
                    continue  # it is being written
                if isinstance(found, dict):
                    yield {"program": type(program).__name__.lower(), **found}


def memory(pid: int) -> float:
    """What a process holds now, in kB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e3


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, user and system; 0 if it is gone."""
    try:
        user, kernel = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(user) + int(kernel)) / os.sysconf("SC_CLK_TCK")


def on_processor(pid: int) -> float:
    """Seconds of processor time of a process, to the nanosecond if the kernel counts so: a paced run uses few ticks."""
    try:
        threads = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        found = sum(int(each.split()[0]) for each in threads) / 1e9
    except OSError:
        return cpu_seconds(pid)
    return found or cpu_seconds(pid)


@contextmanager
def bare(*flags: str) -> Iterator[tuple[str, dict[str, int]]]:
    """A bare server, with these flags of `benchmarks._bare`: its address, and its process."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._bare", *flags], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip(), {"bare": server.pid}
        finally:
            server.terminate()


@contextmanager
def ours(*, whole: bool = False) -> Iterator[tuple[str, dict[str, int]]]:
    """A registry and TRON, or all that `tron up` runs: the registry's address, and the processes."""
    with tempfile.TemporaryDirectory() as folder, Servers(Path(folder), whole=whole) as servers:
        yield servers.address, servers.pids
