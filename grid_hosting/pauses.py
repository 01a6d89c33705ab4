"""Measures how long the event loop of this process was blocked, and by what.

To a server that is late with everything, the fleet seems to fall silent. A turn is one piece of work, during which the
event loop does nothing else. Each long turn is measured where it happens (the collector, a commit, a frame, a sweep),
and a timer detects pauses with any other cause.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from grid_hosting.telemetry.histogram import SHORT, Histogram

log = structlog.get_logger("loop")

SAMPLE_EVERY = 0.05
"""Seconds between two samples of the timer. It detects a pause of this length or more; shorter ones only by chance."""

IDLE_EVERY = 0.2
"""Seconds between two samples while the loop is idle. More frequent samples were a quarter of the work of an idle
program."""

BUSY = 0.1
"""A loop is busy if it works for more than this share of the time. The loop of an idle program works for a thirtieth of
the time."""

WORTH_A_LINE = 0.05
"""A new longest pause of at least this many seconds is logged."""

CALLBACKS = "callbacks"
"""The cause of a pause in which this process worked, but in turns that are not measured one by one, mostly for
messages."""

STARVED = "starved"
"""The cause of a pause in which this process had no processor, or was stopped."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment on two clocks, in seconds: the monotonic clock, and the processor time of this thread."""

    at: float
    worked: float

    @classmethod
    def now(cls) -> Moment:
        """Return the current moment."""
        return cls(time.perf_counter(), time.thread_time())


class Pauses:
    """The longest pauses of one event loop, in seconds, by cause."""

    def __init__(self) -> None:
        self.longest: dict[str, float] = {}
        self.lag = Histogram(SHORT)
        """Seconds by which the timer came late."""
        self._measured = 0.0
        self._logged_at = float("-inf")

    def note(self, cause: str, seconds: float, worked: float) -> None:
        """Record a turn of the loop that took `seconds`. If the thread worked for less than half of this time, the
        cause is recorded as STARVED. `worked`: the seconds for which the thread worked."""
        self._measured += seconds
        if worked < seconds / 2:
            cause = STARVED
        if seconds <= self.longest.get(cause, 0.0):
            return
        self.longest[cause] = seconds
        now = time.monotonic()
        if seconds >= WORTH_A_LINE and now - self._logged_at >= 1.0:
            self._logged_at = now
            log.info("loop_paused", seconds=round(seconds, 4), cause=cause)

    def since(self, began: Moment, cause: str) -> None:
        """Record a turn of the loop that began at the moment `began` and ends now."""
        now = Moment.now()
        self.note(cause, now.at - began.at, now.worked - began.worked)

    @contextmanager
    def turn(self, cause: str) -> Iterator[None]:
        """Measure the `with` block as one turn of the loop. The block must not await."""
        began = Moment.now()
        try:
            yield
        finally:
            self.since(began, cause)

    def sampled(self, late: float, worked: float) -> None:
        """Record that the timer came `late` seconds late, and that this thread worked for `worked` seconds since the
        last sample."""
        self.lag.add(max(0.0, late))
        measured, self._measured = self._measured, 0.0
        if late > measured:
            self.note(CALLBACKS, late - measured, worked - measured)
            self._measured = 0.0

    async def watch(self, step: Callable[[], None] = lambda: None) -> None:
        """Take samples, and call `step` after each one, until cancelled; then log the longest pause of each cause."""
        try:
            every = SAMPLE_EVERY
            while True:
                began = Moment.now()
                await asyncio.sleep(every)
                now = Moment.now()
                worked = now.worked - began.worked
                self.sampled(now.at - began.at - every, worked)
                every = look_every(worked, every)
                step()
        finally:
            log.info("loop_pauses", **{cause: round(seconds, 4) for cause, seconds in sorted(self.longest.items())})


def look_every(worked: float, every: float) -> float:
    """Return the seconds until the next sample: fewer if the loop was busy. `worked`: for how many of the last `every`
    seconds the loop worked."""
    return SAMPLE_EVERY if worked > every * BUSY else IDLE_EVERY


PAUSES = Pauses()
"""The pauses of the event loop of this process."""
