"""A number that only grows, and tasks that wait for it: how those who read what others write are woken. No queue."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable


class Watermark:
    """A number that only grows. A task that waits gives the number it has seen, so it misses nothing in between."""

    def __init__(self, value: int = 0) -> None:
        self.value = value
        self._waiting: set[asyncio.Future[None]] = set()

    def advance(self, value: int) -> None:
        """Raise the number to `value` and wake all tasks that wait; no effect if it is that high already."""
        if value > self.value:
            self.value = value
            self.wake()

    def step(self) -> None:
        """Raise the number by one and wake all tasks that wait."""
        self.advance(self.value + 1)

    def wake(self) -> None:
        """Wake all tasks that wait, whatever the number."""
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
        """Wait until a condition holds; it is checked now and at each step. Returns False after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not holds():
                    await self.beyond(self.value)
        except TimeoutError:
            return False
        return True
