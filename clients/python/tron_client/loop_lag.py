"""Measures how late the program's event loop runs. Heartbeats are sent by a thread even if the loop hangs, so a hung
loop is visible only in this measurement."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class LoopLag:
    """Posts a timestamp to the event loop, and measures how long the loop takes to handle it. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._posted: float | None = None
        self._lag: float | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure this event loop from now on."""
        with self._lock:
            self._loop, self._posted, self._lag = loop, None, None

    def after_fork(self) -> None:
        """Drop the loop in a forked child, because it belongs to the parent process."""
        self._lock, self._loop, self._posted, self._lag = threading.Lock(), None, None, None

    def measure(self) -> float | None:
        """Return by how many seconds the event loop is late, and post the next timestamp. The result is the delay with
        which the loop handled the last timestamp, or the age of a timestamp that it has not handled yet; None if no
        loop is attached or nothing was measured yet."""
        now = time.monotonic()
        with self._lock:
            loop = self._loop
            if loop is None:
                return None
            if self._posted is not None:
                return now - self._posted
            lag, self._posted = self._lag, now
        try:
            loop.call_soon_threadsafe(self._came_back, loop, now)
        except RuntimeError:  # the loop is closed: the program goes on without one
            with self._lock:
                if self._loop is loop:
                    self._loop, self._posted, self._lag = None, None, None
            return None
        return lag

    def _came_back(self, loop: asyncio.AbstractEventLoop, posted: float) -> None:
        with self._lock:
            if self._loop is loop:
                self._lag, self._posted = time.monotonic() - posted, None
