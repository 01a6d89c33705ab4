"""Records the periods in which TRON was not watching the services, so that a history can show them as "not observed".
Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime

KEPT = 200
"""Maximum number of gaps that are kept. Overflow rule: the oldest is forgotten, and the record begins after it."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A period in which the services were not watched; `until` is None while it lasts."""

    since: datetime
    until: datetime | None


class WatchLog:
    """Records the periods in which the services were not watched, from the first call of `note` on."""

    def __init__(self, kept: int = KEPT) -> None:
        self._gaps: deque[Gap] = deque()
        self._kept = kept
        self.forgotten_until: datetime | None = None
        """The time before which gaps are no longer known; None if none was forgotten."""

    def note(self, watched: bool, at: datetime) -> None:
        """Record whether the services are watched at the time `at`, which must not be earlier than in the previous
        call."""
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
        """Return the periods in which the services were not watched, oldest first."""
        return list(self._gaps)
