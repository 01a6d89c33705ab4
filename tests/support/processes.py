"""Starts the real programs on loopback, on free ports, and stops them: for the end-to-end and chaos tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support import warm
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GATEWAY_FLAGS = {
    "registry_http": "--registry-http-listen",
    "tron_http": "--tron-http-listen",
    "events_http": "--events-http-listen",
    "hmi_http": "--hmi-listen",
}
READY_SECONDS = 30.0
_METRICS = ("--metrics-listen", "127.0.0.1:0")
_STOP_SECONDS = 20.0


@dataclass(slots=True)
class Program:
    """A running program, its log, and its ready file."""

    process: warm.Process
    log_file: Path
    ready_file: Path

    @property
    def pid(self) -> int:
        """The process's id."""
        return self.process.pid

    @property
    def log(self) -> str:
        """What it has printed so far, stdout and stderr."""
        return self.log_file.read_text(errors="replace")

    @property
    def ready(self) -> dict[str, Any]:
        """What its ready file says now; {} if there is none."""
        try:
            document: dict[str, Any] = json.loads(self.ready_file.read_text())
        except FileNotFoundError:
            return {}
        return document

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        """Wait for the ready file. Raises AssertionError with the log where the program ended or took too long."""

        def is_ready() -> bool:
            assert self.process.poll() is None, f"ended with {self.process.returncode} before it served:\n{self.log}"
            return self.ready_file.exists()

        try:
            wait_until(is_ready, timeout, "ready file")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log}") from None

    def signal(self, number: int) -> None:
        """Send a signal to this process alone."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash does, and reap it."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout: float = _STOP_SECONDS) -> int:
        """Drain it; return its exit code. Raises AssertionError with the log if it had to be killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)  # a test may have stopped it
            self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not drain within {timeout:g} s:\n{self.log}") from None


class Registry(Program):
    """A registry alone."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self.ready["registry_grpc"])


class Monitor(Program):
    """A TRON alone."""

    __slots__ = ()

    @property
    def address(self) -> str:
        """Where it listens."""
        return str(self.ready["tron_grpc"])


class Gateway(Program):
    """A gateway alone."""

    __slots__ = ()

    def url(self, key: str) -> str:
        """Where one of its ports is: `registry_http`, `tron_http`, `events_http` or `hmi_http`."""
        return f"http://{self.ready[key]}"


class System(Program):
    """`tron up` with all that it supervises."""

    __slots__ = ()

    @property
    def registry_address(self) -> str:
        """Where the registry listens; the same after a restart."""
        return str(self.ready["registry_grpc"])

    @property
    def tron_address(self) -> str:
        """Where TRON listens; the same after a restart."""
        return str(self.ready["tron_grpc"])

    def url(self, key: str) -> str:
        """Where a port of the gateway is: `registry_http`, `tron_http`, `events_http` or `hmi_http`."""
        return f"http://{self.ready[key]}"

    def child_pid(self, name: str) -> int:
        """Return the pid of `registry`, `monitor` or `gateway` as it is now."""
        return int(self.ready["pids"][name])

    def kill_child(self, name: str) -> int:
        """Kill a child with SIGKILL; return the pid it had."""
        pid = self.child_pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_restarted(self, name: str, old_pid: int, timeout: float = READY_SECONDS) -> int:
        """Wait until a child serves again as another process; return its pid."""
        wait_until(lambda: self.child_pid(name) != old_pid, timeout, f"{name} serves again")
        return self.child_pid(name)


P = TypeVar("P", bound=Program)


@contextmanager
def start_system(
    tmp_path: Path, *arguments: str, env: Mapping[str, str] | None = None, under: Sequence[str] = ()
) -> Iterator[System]:
    """Run `tron up` below `tmp_path` until the block ends, and drain it then. Yields when all of it serves.

    `under`: a command that runs another command in place of itself.
    """
    metrics = ("--registry-metrics-listen", "--tron-metrics-listen")
    flags = ("--registry-listen", "--tron-listen", *GATEWAY_FLAGS.values(), *metrics)
    addresses = [word for flag in flags for word in (flag, "127.0.0.1:0")]
    command = ("tron_cli", "up", "--data-dir", str(tmp_path / "data"), *addresses, *arguments)
    with _running(System, tmp_path, "system", command, env, under) as system:
        yield system


@contextmanager
def start_registry(
    data_dir: Path,
    *arguments: str,
    listen: str = "127.0.0.1:0",
    env: Mapping[str, str] | None = None,
    under: Sequence[str] = (),
) -> Iterator[Registry]:
    """Run a registry on `data_dir` until the block ends. Its log and ready file are put beside that folder."""
    command = ("registry_server", "--listen", listen, *_METRICS, "--data-dir", str(data_dir), *arguments)
    with _running(Registry, data_dir.parent, "registry", command, env, under) as registry:
        yield registry


@contextmanager
def start_monitor(
    data_dir: Path,
    registry: str,
    *arguments: str,
    listen: str = "127.0.0.1:0",
    env: Mapping[str, str] | None = None,
) -> Iterator[Monitor]:
    """Run a TRON that watches the registry at `registry` until the block ends."""
    command = ["tron", "--listen", listen, *_METRICS, "--registry", registry, "--data-dir", str(data_dir), *arguments]
    with _running(Monitor, data_dir.parent, "monitor", command, env) as monitor:
        yield monitor


@contextmanager
def start_gateway(
    data_dir: Path,
    registry: str,
    tron: str,
    *arguments: str,
    listen: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Iterator[Gateway]:
    """Run a gateway until the block ends. `listen`: addresses by key, for a restart where it was; else free ports."""
    command = ["gateway_http", "--registry", registry, "--tron", tron, "--data-dir", str(data_dir)]
    for key, flag in GATEWAY_FLAGS.items():
        command += [flag, (listen or {}).get(key, "127.0.0.1:0")]
    with _running(Gateway, data_dir.parent, "gateway", [*command, *arguments], env) as gateway:
        yield gateway


@contextmanager
def _running(
    kind: type[P],
    folder: Path,
    name: str,
    command: Sequence[str],
    env: Mapping[str, str] | None,
    under: Sequence[str] = (),
) -> Iterator[P]:
    folder.mkdir(parents=True, exist_ok=True)
    # A folder of its own for each start, so that a restart never believes the ready file of the one before.
    scratch = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))
    log_file, ready_file = scratch / "log", scratch / "ready.json"
    module, *arguments = command
    with log_file.open("wb") as log:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})}
        process = warm.start(
            module, [*arguments, "--ready-file", str(ready_file)], environment, log, under=under, fresh=kind is System
        )
    program = kind(process, log_file, ready_file)
    try:
        program.wait_ready()
        yield program
    except BaseException:
        print(f"--- {name}: {log_file} ---\n{program.log}", file=sys.stderr)  # pytest shows it with the failure
        raise
    finally:
        _end(program)


def _end(program: Program) -> None:
    """Stop a program that may be gone already, at the cost of its log only."""
    if program.process.poll() is None:
        program.stop()


def is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
