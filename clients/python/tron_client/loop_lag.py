"""How late the program's event loop runs: beats leave from a thread, so a hung loop must be said."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class LoopLag:
    """Posts a stamp into the loop and measures how long it takes to come back. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._posted: float | None = None
        self._lag: float | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Measure this loop from now on."""
        with self._lock:
            self._loop, self._posted, self._lag = loop, None, None

    def after_fork(self) -> None:
        """In a forked child: the loop is the parent's."""
        self._lock, self._loop, self._posted, self._lag = threading.Lock(), None, None, None

    def measure(self) -> float | None:
        """Seconds that the last stamp took, or that an outstanding one is late; None without a loop. Posts the next."""
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
