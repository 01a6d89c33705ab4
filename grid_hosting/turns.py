"""Work on an event loop, cut into turns that are short enough for everyone else."""

from __future__ import annotations

import asyncio
import time

from grid_hosting.pauses import PAUSES, Moment

LONGEST = 0.005
"""Seconds of one turn; a piece that begins within it may end after it."""


class Turn:
    """The present turn of the loop, spent on one thing. Between two small pieces: `if turn.over: await turn.rest()`."""

    __slots__ = ("_began", "_cause")

    def __init__(self, cause: str) -> None:
        self._cause = cause
        self._began = Moment.now()

    @property
    def over(self) -> bool:
        """Whether others should run before the next piece."""
        return time.perf_counter() - self._began.at >= LONGEST

    async def rest(self) -> None:
        """Let others run."""
        self.end()
        await asyncio.sleep(0)
        self._began = Moment.now()

    def end(self) -> None:
        """Note how long this turn was."""
        PAUSES.since(self._began, self._cause)
