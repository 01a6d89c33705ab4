"""The threads that call the program's callbacks: a few threads for all agents of an Endpoint, and one call at a time
for each agent.

Calls wait in queues (`Lane`). A call that does not return occupies its thread, and delays only the later calls of the
same lane. A coroutine occupies no thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Done = Callable[[], None]
    Job = Callable[[Done], None]

_log = logging.getLogger("tron_client")

_IDLE = 10.0
"""Seconds without a call after which a thread ends."""


class CallbackPool:
    """A pool of at most `most` threads, which are started when there is something to call. Thread-safe."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._jobs: deque[Callable[[], None]] = deque()  # at most one of each lane
        self._threads = 0
        self._idle = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run a job in one of the threads, after the jobs that already wait."""
        with self._changed:
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
            elif self._threads < self._most:
                self._threads += 1
                threading.Thread(target=self._run, name="tron-callbacks", daemon=True).start()

    def after_fork(self) -> None:
        """Drop threads and waiting jobs in a forked child, because both belong to the parent process."""
        self._changed = threading.Condition()
        self._jobs.clear()
        self._threads = self._idle = 0

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job()
            except Exception:
                _log.exception("callback_failed")

    def _next(self) -> Callable[[], None] | None:
        changed = self._changed
        with changed:
            deadline = time.monotonic() + _IDLE
            while not self._jobs:
                left = deadline - time.monotonic()
                if left <= 0:
                    self._threads -= 1
                    return None
                self._idle += 1
                changed.wait(left)
                self._idle -= 1
            return self._jobs.popleft()


class Lane:
    """A queue of jobs that run one after the other, in the order in which they were added. Thread-safe.

    A job is called with one argument, a function. The job must ensure that this function is called once, from any
    thread, when everything that the job began has ended. Then the next job begins.
    """

    def __init__(self, pool: CallbackPool) -> None:
        self._pool = pool
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._busy = False

    def run(self, job: Job) -> None:
        """Run a job in a thread of the pool, after the earlier jobs of this lane."""
        with self._changed:
            self._jobs.append(job)
            if self._busy:
                return
            self._busy = True
        self._pool.submit(self._begin)

    def wait_idle(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until all jobs have ended; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._busy, timeout)

    def after_fork(self) -> None:
        """Drop running and waiting jobs in a forked child."""
        self._changed = threading.Condition()
        self._jobs.clear()
        self._busy = False

    def _begin(self) -> None:
        with self._changed:
            job = self._jobs.popleft()
        job(self._ended)

    def _ended(self) -> None:
        with self._changed:
            if not self._jobs:
                self._busy = False
                self._changed.notify_all()
                return
        self._pool.submit(self._begin)
