"""Records gaps: times for which a history must show "not observed". Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

KEPT = 200
"""Gaps that are kept. Overflow rule: the oldest is forgotten, and what is known begins after it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The start and the end of a gap; `until` is None while it lasts."""

    since: datetime
    until: datetime | None


class WatchLog:
    """Records whether the services were watched, from the first note on."""

    def __init__(self, kept: int = KEPT) -> None:
        self._gaps: deque[Gap] = deque()
        self._kept = kept
        self.forgotten_until: datetime | None = None
        """Gaps before this moment are no longer known."""

    def note(self, watched: bool, at: datetime) -> None:
        """Record whether the services are watched at a moment, which must not be earlier than the last one."""
        last = self._gaps[-1] if self._gaps else None
        is_open = last is not None and last.until is None
        if watched and last is not None and is_open:
            self._gaps[-1] = Gap(last.since, max(at, last.since))
        elif not watched and not is_open:
            self._gaps.append(Gap(at, None))
            if len(self._gaps) > self._kept:
                self.forgotten_until = self._gaps.popleft().until

    @property
    def gaps(self) -> list[Gap]:
        """Return the gaps, oldest first."""
        return list(self._gaps)
