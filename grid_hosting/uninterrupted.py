"""Work that goes on to its end although the call that began it is cancelled: what was committed must also be recorded,
or published."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog
from grid_model.errors import QuotaExceeded, TronError

T = TypeVar("T")

log = structlog.get_logger("rpc")

MOST_UNDER_WAY = 1000
"""Pieces of work at the same time. A client that cancels its calls does not end them, so calls do not bound them.
Overflow rule: a further one is refused with QUOTA_EXCEEDED before it begins."""


class Uninterrupted:
    """Owns the work that is under way."""

    def __init__(self) -> None:
        self._under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of the work, which goes on if this call is cancelled. Raises its errors, and
        QuotaExceeded."""
        if len(self._under_way) >= MOST_UNDER_WAY:
            work.close()
            raise QuotaExceeded(f"{MOST_UNDER_WAY} changes are under way; try again")
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_log_failure)
            raise

    async def finish(self, timeout: float) -> None:
        """Wait until all work has ended, for a bounded number of seconds; then cancel the rest."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout)
        for task in self._under_way:
            task.cancel()


def _log_failure(task: asyncio.Task[Any]) -> None:
    """Log what failed after its caller had left; a TronError is an answer, which nobody awaits."""
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, TronError):
        log.error("abandoned_call_failed", exc_info=error)
