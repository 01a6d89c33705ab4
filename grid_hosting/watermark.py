"""A number that only grows, and for which tasks can wait. It wakes readers when data has changed, without a queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Watermark:
    """A number that only grows. A waiting task passes the number that it has seen, so it misses no change."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._waiting: set[asyncio.Future[None]] = set()

    def advance(self, value: int) -> None:
        """Raise the number to `value` and wake all waiting tasks; do nothing if the number is already that high."""
        if value > self.value:
            self.value = value
            self.wake()

    def step(self) -> None:
        """Raise the number by one and wake all waiting tasks."""
        self.advance(self.value + 1)

    def wake(self) -> None:
        """Wake all waiting tasks, without changing the number."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def beyond(self, value: int, timeout: float | None = None) -> None:
        """Wait until the number is greater than `value`, `wake` is called, or `timeout` seconds have passed."""
        if self.value > value:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await future
        finally:
            self._waiting.discard(future)

    async def until(self, holds: Callable[[], bool], timeout: float) -> bool:
        """Wait until a condition holds, which is checked at once and each time the watermark rises. Return True once it
        holds, or False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    await self.beyond(self.value)
        except TimeoutError:
            return False
        return True
