"""The process that `tests.support.warm` forks programs from: `python -m tests.support.warm_start FD MODULE...`.

It imports the modules once. Each message on the socket FD starts a program in a fork: the message is JSON, and carries
the file descriptors of its stdin, stdout and stderr, and a pipe for the status that it ends with.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
import threading
from dataclasses import dataclass, field
from typing import Any, NoReturn

import tests.support.unprivileged


@dataclass
class Forge:
    """What the process holds: the socket, and of each program its pid and the pipe for its status."""

    requests: socket.socket
    watched: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def serve(self) -> dict[str, Any] | None:
        """Start programs until the socket ends; then return None. In each program: return what it is to run."""
        self.watched.register(self.requests, selectors.EVENT_READ)
        while True:
            for key, _ in self.watched.select():
                if key.fileobj is not self.requests:
                    self._report(int(key.fd), *key.data)
                    continue
                message, descriptors, *_ = socket.recv_fds(self.requests, 1 << 20, 4)
                if not message:
                    return None
                *streams, report = descriptors
                if pid := os.fork():
                    for each in streams:
                        os.close(each)
                    self.watched.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))
                    self.requests.send(str(pid).encode())
                    continue
                self._forget(report)
                for number, each in enumerate(streams):
                    os.dup2(each, number)
                    os.close(each)
                wanted: dict[str, Any] = json.loads(message)
                return wanted

    def _report(self, pidfd: int, pid: int, report: int) -> None:
        _, status = os.waitpid(pid, 0)
        os.write(report, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(report)
        self.watched.unregister(pidfd)
        os.close(pidfd)

    def _forget(self, report: int) -> None:
        """Close what a program must not hold."""
        os.close(report)
        for key in list(self.watched.get_map().values()):
            if key.fileobj is self.requests:
                self.requests.close()
            else:
                os.close(key.fd)
                os.close(key.data[1])
        self.watched.close()


def end(code: str | int | None) -> NoReturn:
    """End the process with this code as `sys.exit` does, but leave what it holds to the kernel: to take every module
    apart costs as much as many a program."""
    if isinstance(code, str):
        sys.exit(code)  # a message, which the interpreter prints
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for threads, as the interpreter does
    atexit._run_exitfuncs()  # noqa: SLF001
    try:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    except (AttributeError, OSError, ValueError):
        sys.exit(code)  # what becomes of this is up to the interpreter
    os._exit((code or 0) & 0xFF)


def main() -> None:
    """Serve; in each program: run its module as `python -m` does, to its end."""
    descriptor, *modules = sys.argv[1:]
    for each in modules:
        importlib.import_module(each)
    gc.collect()
    gc.freeze()
    wanted = Forge(socket.socket(fileno=int(descriptor))).serve()
    if wanted is None:
        return
    if wanted["unprivileged"]:
        tests.support.unprivileged.drop()
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = [wanted["module"], *wanted["arguments"]]
    try:
        runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        end(ended.code)
    end(0)


if __name__ == "__main__":
    main()
