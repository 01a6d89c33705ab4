"""What the agent reports of itself with each beat."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tron_client import arguments, wire
from tron_client.server_clock import ServerClock

if TYPE_CHECKING:
    from grid.registry.v1 import heartbeat_pb2


class Vitals:
    """The newest figures; each beat carries all of them, so that a lost beat loses nothing. Safe from any thread."""

    def __init__(self, status: str) -> None:
        self._lock = threading.Lock()
        self._status = wire.STATUSES.number(status)
        self._p95_ms: float | None = None
        self._queue_depth: int | None = None
        self._load: float | None = None
        self._message: str | None = None
        self._progress: float | None = None
        self._activity: int | None = None
        # When the work is to be done, by our monotonic clock; and by the registry's, once that is known.
        self._busy_end: float | None = None
        self._busy_until: datetime | None = None
        self._registry_clock = ServerClock()
        self._urgent: bool = self._status != wire.STATUSES.number("ok")

    def after_fork(self) -> None:
        """In a forked child."""
        self._lock = threading.Lock()

    def report(
        self,
        status: str | None,
        p95_ms: float | None,
        queue_depth: int | None,
        load: float | None,
        message: str | None,
        progress: float | None,
        busy_for: float | None,
    ) -> bool:
        """Keep what is not None; returns whether it should be told at once.

        Everything is checked before anything is kept: a figure that no beat can carry would end the beats.
        """
        number = self._status if status is None else wire.STATUSES.number(status)
        p95_ms = None if p95_ms is None else arguments.number("p95_ms", p95_ms)
        queue_depth = None if queue_depth is None else arguments.whole("queue_depth", queue_depth)
        load = None if load is None else arguments.number("load", load)
        message = arguments.optional_text("message", message)
        progress = None if progress is None else arguments.number("progress", progress, at_most=1.0)
        busy_for = arguments.optional_seconds("busy_for", busy_for, positive=False)
        with self._lock:
            changed = bool(number != self._status or (message is not None and message != (self._message or "")))
            self._urgent = self._urgent or changed
            self._status = number
            self._p95_ms = self._p95_ms if p95_ms is None else p95_ms
            self._queue_depth = self._queue_depth if queue_depth is None else queue_depth
            self._load = self._load if load is None else load
            self._message = self._message if message is None else message
            self._progress = self._progress if progress is None else progress
            if busy_for is not None:
                self._busy_end, self._busy_until = time.monotonic() + busy_for, None
        return changed

    def advance(self, n: int) -> None:
        """Raise the activity counter; after the largest number that a beat can carry it begins again."""
        steps = arguments.whole("n", n)
        with self._lock:
            self._activity = ((self._activity or 0) + steps) & arguments.MAX_WHOLE

    def registry_time(self, observed_at: datetime | None) -> None:
        """Take note what time it is at the registry."""
        with self._lock:
            self._registry_clock.observed(observed_at, time.monotonic())

    @property
    def urgent(self) -> bool:
        """Whether something that should be told at once was not yet in a beat."""
        return self._urgent

    def untold(self) -> None:
        """The stream broke: whether the last beat arrived is not known, so tell a status that is not ok once more."""
        with self._lock:
            self._urgent = self._urgent or self._status != wire.STATUSES.number("ok")

    def fill(self, beat: heartbeat_pb2.Beat) -> None:
        """Write everything known into a beat."""
        with self._lock:
            self._urgent = False
            beat.status = self._status
            if self._p95_ms is not None:
                beat.p95_ms = self._p95_ms
            if self._queue_depth is not None:
                beat.queue_depth = self._queue_depth
            if self._load is not None:
                beat.load = self._load
            if self._message is not None:
                beat.message = self._message
            if self._progress is not None:
                beat.progress = self._progress
            if self._activity is not None:
                beat.activity = self._activity
            if self._busy_end is not None:
                beat.busy_until.CopyFrom(wire.timestamp(self._busy_by_registry()))

    def _busy_by_registry(self) -> datetime:
        """Until when we are busy, by the registry's clock; the same in each beat, else it would look declared anew."""
        if self._busy_until is None:
            assert self._busy_end is not None
            now = time.monotonic()
            self._busy_until = (self._registry_clock.now(now) or datetime.now(UTC)) + timedelta(
                seconds=self._busy_end - now
            )
        return self._busy_until
