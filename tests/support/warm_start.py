"""The process that `tests.support.warm` forks programs from: `python -m tests.support.warm_start FD MODULE...`.

It imports the modules once. Each message on the socket FD starts a program in a fork: the message is JSON, and carries
the file descriptors of its stdin, stdout and stderr, and a pipe for the status that it ends with.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import selectors
import socket
import sys
from dataclasses import dataclass, field
from typing import Any


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


def main() -> None:
    """Serve; in each program: run its module as `python -m` does, to the end of the interpreter."""
    descriptor, *modules = sys.argv[1:]
    for each in modules:
        importlib.import_module(each)
    gc.collect()
    gc.freeze()
    wanted = Forge(socket.socket(fileno=int(descriptor))).serve()
    if wanted is None:
        return
    gc.unfreeze()
    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["env"])
    sys.argv = [wanted["module"], *wanted["arguments"]]
    runpy.run_module(wanted["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
