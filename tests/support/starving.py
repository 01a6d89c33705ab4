"""Takes the processor from running programs: by stopping them, or by others who want it more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BUSY = "import os, sys; os.nice(int(sys.argv[1])); print(flush=True)\nwhile True: pass"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP to one process until the block ends."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def co_tenants(for_each_processor: int, nice: int) -> Iterator[None]:
    """Processes that do nothing but compute, `for_each_processor` of them, until the block ends."""
    count = for_each_processor * (os.cpu_count() or 1)
    busy = [
        subprocess.Popen([sys.executable, "-c", _BUSY, str(nice)], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for process in busy:
            assert process.stdout is not None
            process.stdout.readline()  # it computes from now on
        yield
    finally:
        for process in busy:
            process.kill()
        for process in busy:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def renice(pid: int, nice: int) -> None:
    """Make every thread of a process this nice; there is no way back for who is not root."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread.name), nice)
