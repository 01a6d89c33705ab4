"""All operator sinks of one program: makes each notice durable, and lets each sink deliver it at its own pace."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from grid_hosting.sinks import BackgroundTask, Sink
from grid_hosting.sinks.journal import Journal, JournalError
from grid_hosting.sinks.log import LogSink
from grid_hosting.sinks.notice import OperatorNotice
from grid_hosting.sinks.retry import Retry
from grid_hosting.sinks.sink_worker import SinkStats, SinkWorker

log = structlog.get_logger("operator")


class NotDurable(Exception):
    """A notice could not be written to disk. It was logged, and it is delivered unless this process ends first; submit
    it again."""


class Dispatcher:
    """Every sink delivers each submitted notice at least once, in order, also across a restart or a kill.

    Each notice is logged at once. Without a journal, the log is the only sink. `bound` is the maximum number of notices
    that wait for one sink; for the overflow rule, see `backlog`. `background` tasks run beside the sinks; `close` is
    awaited last.
    """

    def __init__(
        self,
        sinks: Sequence[Sink] = (),
        journal: Journal | None = None,
        *,
        bound: int = 5000,
        retry: Retry | None = None,
        background: Sequence[BackgroundTask] = (),
        close: Callable[[], Awaitable[None]] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        if sinks and journal is None:
            raise ValueError("sinks need a journal")
        self._log = LogSink()
        self._journal = journal
        self._background = background
        self._close = close
        patience = retry or Retry()
        self._workers = [SinkWorker(sink, journal, bound, patience, draw) for sink in sinks] if journal else []
        if journal is not None:
            for name, count in journal.drop_unclaimed().items():
                log.warning("notices_of_no_sink_dropped", sink=name, count=count)

    async def submit(self, notice: OperatorNotice) -> None:
        """Queue a notice; return once it is on disk for every sink, so that its alert may be acknowledged.

        Waits for the disk, never for a sink. A notice that already waits for a sink (the same alert, type and
        recipient) is not queued there again. Raises NotDurable if the disk does not accept it.
        """
        now = time.time()
        accepted = [worker.accept(notice, now) for worker in self._workers]
        if any(accepted) or not accepted:
            self._log.write(notice)
        if self._journal is None:
            return
        try:
            await self._journal.flush()
        except JournalError as error:
            raise NotDurable(str(error)) from error

    async def run(self) -> None:
        """Deliver until cancelled, then close connections and the file. Waiting notices are delivered after the next
        start."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for worker in (*self._workers, *self._background):
                    tasks.create_task(worker.run())
                await asyncio.Event().wait()
        finally:
            if self._close is not None:
                await self._close()
            if self._journal is not None:
                await self._journal.close()

    def stats(self) -> dict[str, SinkStats]:
        """Return the state of each sink, by its name; the log is not included."""
        return {worker.name: worker.stats() for worker in self._workers}
