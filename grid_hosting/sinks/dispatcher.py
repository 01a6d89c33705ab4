"""All operator sinks of one program: takes a notice, makes it durable, and lets each sink deliver at its own pace."""

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
    """The disk did not take the notice. It was logged, and is delivered while this process lives; submit it again."""


class Dispatcher:
    """A notice is submitted once and delivered at least once by every sink, in order, also across a restart or a kill.

    The log gets each notice at once. Without a journal the log is the only sink. `bound` is how many notices wait for
    one sink; the overflow rule is that of `backlog`. `background` tasks run beside the sinks; `close` is awaited last.
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
        """Return once the notice is on the disk for every sink: what was waited for upstream may be acknowledged then.

        Waits for the disk, never for a sink. A notice that waits already for a sink (the same alert, type and
        recipient) is not queued there again. Raises NotDurable if the disk does not take it.
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
        """Deliver until cancelled, then let go of connections and file. What waits then goes on at the next start."""
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
        """How each sink fares, by its name; the log is not among them."""
        return {worker.name: worker.stats() for worker in self._workers}
