"""Limits how often a program logs a line that strangers can cause."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

EVERY = 60.0
"""Seconds between two lines of one kind."""


class RareLines:
    """Decides which lines are logged: at most one of each kind within EVERY seconds. The kinds are few and fixed."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` returns seconds."""
        self._clock = clock
        self._logged: dict[str, float] = {}

    def is_due(self, kind: str) -> bool:
        """Return whether a line of this kind is logged now; if so, the next one is due EVERY seconds later."""
        now = self._clock()
        if kind in self._logged and now - self._logged[kind] < EVERY:
            return False
        self._logged[kind] = now
        return True


class RareTexts(logging.Filter):
    """A filter for a logger of a library: passes on at most one line a minute with each of these texts, and all other
    lines."""

    def __init__(self, texts: Iterable[str], lines: RareLines | None = None) -> None:
        super().__init__()
        self._texts = frozenset(texts)
        self._lines = lines or RareLines()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is logged."""
        text = record.getMessage()
        return text not in self._texts or self._lines.is_due(text)
