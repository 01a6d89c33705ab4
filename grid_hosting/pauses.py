"""How long the event loop of this process was kept from its work, and by what.

A server that is late with everything looks, to itself, like a fleet that falls silent. So each long turn is measured
where it happens (the collector, a commit, a frame, a sweep), and a timer finds what nobody measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger("loop")

SAMPLE_EVERY = 0.05
"""Seconds between two looks of the timer. It sees a pause of this length or more; shorter ones only by chance."""

WORTH_A_LINE = 0.05
"""A new longest pause of at least this many seconds is logged."""

CALLBACKS = "callbacks"
"""The cause of a pause in which this process worked, in turns that nobody measures: messages, mostly."""

STARVED = "starved"
"""The cause of a pause in which this process had no processor, or was stopped."""


class Pauses:
    """The longest pauses of one loop, in seconds, by cause."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}
        self._measured = 0.0
        self._logged_at = float("-inf")

    def note(self, cause: str, seconds: float) -> None:
        """A turn of the loop took this long."""
        self._measured += seconds
        if seconds <= self.longest.get(cause, 0.0):
            return
        self.longest[cause] = seconds
        now = time.monotonic()
        if seconds >= WORTH_A_LINE and now - self._logged_at >= 1.0:
            self._logged_at = now
            log.info("loop_paused", seconds=round(seconds, 4), cause=cause)

    @contextmanager
    def turn(self, cause: str) -> Iterator[None]:
        """Measure what is done inside; it must not await."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.note(cause, time.perf_counter() - began)

    def sampled(self, late: float, busy: float) -> None:
        """The timer came `late` seconds after it was due, in which this thread worked for `busy` seconds."""
        measured, self._measured = self._measured, 0.0
        rest = late - measured
        if rest > 0.0:
            self.note(CALLBACKS if busy >= late / 2 else STARVED, rest)
            self._measured = 0.0

    async def watch(self) -> None:
        """Sample until cancelled; then log the longest pause of each cause."""
        try:
            while True:
                due, used = time.monotonic() + SAMPLE_EVERY, time.thread_time()
                await asyncio.sleep(SAMPLE_EVERY)
                self.sampled(time.monotonic() - due, time.thread_time() - used)
        finally:
            log.info("loop_pauses", **{cause: round(seconds, 4) for cause, seconds in sorted(self.longest.items())})


PAUSES = Pauses()
"""Those of this process: it has one loop."""
