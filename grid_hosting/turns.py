"""Divides work on an event loop into short turns, so that other work is not delayed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

from grid_hosting.pauses import PAUSES, Moment

T = TypeVar("T")

LONGEST = 0.005
"""Maximum number of seconds of one turn. A piece of work that begins within it may end after it."""


class Turn:
    """Work on the event loop that is divided into turns, and its current turn. `cause` names the kind of work, for the
    measurement of pauses. `before_rest` is called at the end of each turn, before other work runs."""

    __slots__ = ("_before_rest", "_began", "_cause")

    def __init__(self, cause: str, before_rest: Callable[[], object] | None = None) -> None:
        self._cause = cause
        self._before_rest = before_rest
        self._began = Moment.now()

    async def each(self, pieces: Iterable[T]) -> AsyncIterator[T]:
        """Yield the pieces of work one by one. If the current turn has lasted too long, let other work run before the
        next piece."""
        for piece in pieces:
            if self.over:
                await self.rest()
            yield piece

    @property
    def over(self) -> bool:
        """Whether other work should run before the next piece."""
        return time.perf_counter() - self._began.at >= LONGEST

    async def rest(self) -> None:
        """End this turn, let other work run, and begin the next turn."""
        if self._before_rest is not None:
            self._before_rest()
        self.end()
        await asyncio.sleep(0)
        self._began = Moment.now()

    def end(self) -> None:
        """Record how long this turn took."""
        PAUSES.since(self._began, self._cause)
