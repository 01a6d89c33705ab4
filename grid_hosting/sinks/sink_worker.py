"""Runs one sink with its own queue and its own task, so that no other sink and no caller waits for it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from grid_hosting.sinks import Sink, SinkRefused, SinkUnavailable
from grid_hosting.sinks.backlog import Backlog, Entry
from grid_hosting.sinks.journal import Journal, JournalError, Row
from grid_hosting.sinks.notice import OperatorNotice
from grid_hosting.sinks.retry import Retry

log = structlog.get_logger("operator")


@dataclass(frozen=True, slots=True)
class SinkStats:
    """The state of a sink. Counts are since the start; times are in seconds since the epoch."""

    queued: int
    """The number of notices that wait now."""
    delivered: int
    failed_attempts: int
    dropped: int
    """The number of notices that were lost because the queue was full, or because they waited too long."""
    refused: int
    """The number of notices that were lost because the receiver will never accept them."""
    last_error: str
    """The error of the last attempt; empty if it succeeded, or there was none."""
    last_delivered_at: float | None


class SinkWorker:
    """Delivers the notices of one sink in order, one at a time, and retries with a growing pause. Raises ValueError for
    a bound below 1."""

    def __init__(
        self, sink: Sink, journal: Journal, bound: int, retry: Retry, draw: Callable[[], float] = random.random
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._journal = journal
        self._table = journal.table(sink.name)
        self._retry = retry
        self._draw = draw
        self._backlog = Backlog(bound)
        self._more = asyncio.Event()
        self._delivered = self._failed = self._dropped = self._refused = 0
        self._last_error = ""
        self._last_delivered_at: float | None = None
        # Failures in a row, and the monotonic moment of the first of them.
        self._failures = 0
        self._failing_since = 0.0
        self._restore()

    def accept(self, notice: OperatorNotice, now: float) -> bool:
        """Queue a notice; return whether it is new. It is on disk after the journal's next flush."""
        entry, dropped = self._backlog.put(notice, now)
        if entry is not None:
            self._table.put(Row(entry.number, entry.queued_at, notice.to_json()))
            self._more.set()
        if dropped is not None:
            self._drop(dropped, "the queue is full")
        return entry is not None

    def stats(self) -> SinkStats:
        """Return the current state of the sink."""
        return SinkStats(
            queued=len(self._backlog),
            delivered=self._delivered,
            failed_attempts=self._failed,
            dropped=self._dropped,
            refused=self._refused,
            last_error=self._last_error,
            last_delivered_at=self._last_delivered_at,
        )

    async def run(self) -> None:
        """Deliver until cancelled. Waiting notices stay on disk."""
        while True:
            entry = self._backlog.take()
            if entry is None:
                self._more.clear()
                await self._more.wait()
            elif self._retry.is_over(entry.queued_at, time.time()):
                self._backlog.remove(entry)
                self._drop(entry, "it waited too long")
            elif (pause := await self._attempt(entry)) is not None:
                await asyncio.sleep(pause)
                continue
            # The journal has logged the failing disk; deliveries go on.
            with suppress(JournalError):
                await self._journal.flush()

    async def _attempt(self, entry: Entry) -> float | None:
        """Try to deliver once. Return the pause until the next attempt, None if the notice was delivered or refused."""
        asked: float | None = None
        try:
            async with asyncio.timeout(self._retry.timeout):
                await self._sink.deliver(entry.notice)
        except SinkRefused as error:
            self._recovered()
            self._refused += 1
            self._last_error = str(error)
            self._done(entry)
            log.error("notice_refused", sink=self.name, why=str(error), notice=entry.notice.to_json())
            return None
        except TimeoutError:
            why = f"no answer within {self._retry.timeout:g} s"
        except SinkUnavailable as error:
            why, asked = str(error), error.retry_after
        except Exception as error:
            # A bug in one sink must not end the others. It is logged once each time that the sink begins to fail.
            why = f"{type(error).__name__}: {error}"
            if not self._failures:
                log.exception("sink_broken", sink=self.name)
        else:
            self._recovered()
            self._delivered += 1
            self._last_error = ""
            self._last_delivered_at = time.time()
            self._done(entry)
            return None
        return self._failed_with(why, asked, entry)

    def _failed_with(self, why: str, asked: float | None, entry: Entry) -> float:
        self._failed += 1
        self._failures += 1
        self._last_error = why
        log.debug("delivery_failed", sink=self.name, why=why, alert_id=entry.notice.alert_id, failures=self._failures)
        if self._failures == 1:
            self._failing_since = time.monotonic()
            log.warning("sink_failing", sink=self.name, why=why, queued=len(self._backlog))
        return self._retry.pause(self._failures, self._draw(), asked)

    def _recovered(self) -> None:
        if self._failures:
            after = round(time.monotonic() - self._failing_since, 2)
            log.info("sink_recovered", sink=self.name, after_seconds=after, failures=self._failures)
        self._failures = 0

    def _done(self, entry: Entry) -> None:
        self._backlog.remove(entry)
        self._table.remove(entry.number)

    def _drop(self, entry: Entry, why: str) -> None:
        self._dropped += 1
        self._table.remove(entry.number)
        log.error("notice_dropped", sink=self.name, why=why, notice=entry.notice.to_json())

    def _restore(self) -> None:
        """Queue the notices of the previous process, in order. An unreadable notice is left out and logged."""
        for row in self._table.take_found():
            try:
                notice = OperatorNotice.from_json(row.text)
            except (ValueError, TypeError, RecursionError) as error:
                log.error("notice_unreadable", sink=self.name, why=str(error), text=row.text)
                self._table.remove(row.number)
                continue
            if self._backlog.holds(notice):
                self._table.remove(row.number)
            elif (dropped := self._backlog.restore(Entry(row.number, notice, row.at))) is not None:
                self._drop(dropped, "the queue is full")
        if len(self._backlog):
            log.info("notices_restored", sink=self.name, queued=len(self._backlog))
