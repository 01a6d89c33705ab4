"""Starts Python programs in forks of a process that has imported their modules: a start then costs a tenth.

They are processes of their own, with the arguments, the environment and the exit status of `python -m MODULE`; only
their command line is that of the process they are forked from. `tron up` starts its programs as users do, and a program
is started so too wherever something runs before it, or is set for the interpreter.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias

import tests.support.unprivileged

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODULES = {
    "registry_server": ("registry_server.config", "registry_server.server"),
    "tron": ("tron.config", "tron.server"),
    "gateway_http": ("gateway_http.config", "gateway_http.server"),
    "tests.support.agents": ("grpc", "tron_client.agent"),
    "tests.support.fleet": ("grpc", "tron_client.agent"),
    # `typer` imports pydantic when it reads the first command line.
    "tron_cli": (
        *("tron_cli.app", "pydantic.fields", "pydantic.type_adapter"),
        *("grpc", "tron_client.client", "tron_client.agent", "tron_client.monitor"),
    ),
}
"""What each program imports before it does anything."""

_OF_THE_INTERPRETER = ("PYTHON", "LD_", "LC_", "LANG")


class WarmProcess:
    """A program that was forked, with the methods of `subprocess.Popen` that tests need."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        """The exit status as `Popen` has it; None while it runs."""
        return self._ended(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the exit status. Raises subprocess.TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
                self.returncode = int(os.read(self._status, 16))
                os.close(self._status)
            return self.returncode


Process: TypeAlias = "WarmProcess | subprocess.Popen[bytes]"


def start(
    module: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    output: IO[bytes],
    errors: IO[bytes] | None = None,
    *,
    given: IO[bytes] | None = None,
    under: Sequence[str] = (),
    cwd: Path | None = None,
    fresh: bool = False,
    unprivileged: bool = False,
) -> Process:
    """Run `python -m MODULE`. It reads `given`, or nothing; what it says goes to `output`, or errors to `errors`.
    `under`: a command that runs another command in place of itself; `fresh`: start it as users do in any case;
    `unprivileged`: permission bits bind it, also if we are root."""
    errors = errors or output
    alike = _of_the_interpreter(env) == _of_the_interpreter()
    with Path(os.devnull).open("rb") as nothing:
        if fresh or under or module not in MODULES or not alike or not hasattr(os, "pidfd_open"):
            plain = [sys.executable, "-I", "-S", tests.support.unprivileged.__file__] if unprivileged else []
            command = [*under, *plain, sys.executable, "-m", module, *arguments]
            return subprocess.Popen(command, stdin=given or nothing, stdout=output, stderr=errors, env=env, cwd=cwd)
        wanted = {
            "module": module,
            "arguments": list(arguments),
            "env": dict(env),
            "cwd": str(cwd or Path.cwd()),
            "unprivileged": unprivileged,
        }
        status, report = os.pipe()
        try:
            descriptors = [(given or nothing).fileno(), output.fileno(), errors.fileno(), report]
            return WarmProcess(_forge(module).start(wanted, descriptors), status)
        finally:
            os.close(report)


class Piped:
    """A program that we write lines to, and that writes lines to us. Its errors are printed with ours."""

    def __init__(self, module: str, arguments: Sequence[str], under: Sequence[str] = ()) -> None:
        theirs_in, ours_in = os.pipe()
        ours_out, theirs_out = os.pipe()
        self.stdin, self.stdout = os.fdopen(ours_in, "w"), os.fdopen(ours_out)
        with (
            os.fdopen(theirs_in, "rb") as given,
            os.fdopen(theirs_out, "wb") as output,
            os.fdopen(os.dup(2), "wb") as errors,
        ):
            self.process = start(module, arguments, os.environ, output, errors, given=given, under=under)

    def kill(self) -> None:
        """End it as a crash does."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.stdin, self.stdout):
            with suppress(BrokenPipeError):
                pipe.close()


def run(
    module: str,
    arguments: Sequence[str],
    env: Mapping[str, str],
    *,
    timeout: float,
    cwd: Path | None = None,
    unprivileged: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE` to its end; return how it ended, and what it printed. Raises subprocess.TimeoutExpired."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(module, arguments, env, output, errors, cwd=cwd, unprivileged=unprivileged)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        output.seek(0)
        errors.seek(0)
        said, complained = output.read().decode(), errors.read().decode()
    return subprocess.CompletedProcess([module, *arguments], code, said, complained)


def _of_the_interpreter(env: Mapping[str, str] = os.environ) -> dict[str, str]:
    return {
        name: value
        for name, value in env.items()
        if name.startswith(_OF_THE_INTERPRETER) and name != "PYTHONUNBUFFERED"  # what is forked never buffers
    }


class _Forge:
    """A process that has imported the modules of one program. It ends with ours."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._lock = threading.Lock()
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptor = theirs.fileno()
        command = [sys.executable, "-u", "-m", "tests.support.warm_start", str(descriptor), *modules]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=[descriptor])
        theirs.close()
        atexit.register(self._end)

    def start(self, wanted: Mapping[str, object], descriptors: Sequence[int]) -> int:
        """Start a program; return its pid."""
        with self._lock:
            socket.send_fds(self._ours, [json.dumps(wanted).encode()], descriptors)
            return int(self._ours.recv(16))

    def _end(self) -> None:
        self._ours.close()
        self._process.wait()


_forges: dict[str, _Forge] = {}
_forging = threading.Lock()


def _forge(module: str) -> _Forge:
    with _forging:
        if module not in _forges:
            _forges[module] = _Forge(MODULES[module])
        return _forges[module]
