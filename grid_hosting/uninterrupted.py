"""Runs work to its end even if the call that started it is cancelled, because a change that was committed must also be
recorded or published."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog
from grid_model.errors import QuotaExceeded, TronError

T = TypeVar("T")

log = structlog.get_logger("rpc")

MOST_UNDER_WAY = 1000
"""Maximum number of pieces of work at the same time. A client that cancels its calls does not end the work, so the
number of calls does not limit it. Overflow rule: further work is refused with QUOTA_EXCEEDED before it begins."""


class Uninterrupted:
    """Runs pieces of work, and keeps those that have not ended yet."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run the work, and return its result. The work continues if this call is cancelled. Raises the errors of the
        work, and QuotaExceeded if too much work is running."""
        if len(self._under_way) >= MOST_UNDER_WAY:
            work.close()
            raise QuotaExceeded(f"{MOST_UNDER_WAY} changes are already running; try again")
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def finish(self, timeout: float) -> None:
        """Wait until all work has ended, but at most `timeout` seconds; then cancel the rest."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout)
        for task in self._under_way:
            task.cancel()


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Log an error of work whose caller had left. A TronError is not logged, because it is an answer for the caller."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, TronError):
        log.error("abandoned_call_failed", exc_info=error)
