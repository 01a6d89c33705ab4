"""Where the records of one server go: acts are written one by one, refusals when their window ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import structlog
from grid_model.errors import Draining, InvalidRequest, TronError

from grid_hosting.access.audit import AuditRecord, RefusalCounts
from grid_hosting.access.store import AccessStoreError
from grid_hosting.uninterrupted import Uninterrupted

T = TypeVar("T")

log = structlog.get_logger("access")

LOOK_EVERY = 1.0
"""Seconds between two looks for a window of refusals that has ended, and between two attempts to write."""

MOST_WAITING = 2000
"""Records of each kind, acts and refusals, that wait to be written. Overflow rule: further ones are dropped, which the
log says."""

MOST_KINDS_OF_RELAY = 50
"""Kinds of refusals that one relay may report within one window; see `RefusalCounts`."""

MOST_RELAYS = 20
"""Relays whose refusals are counted apart. Overflow rule: the others share one count."""

MOST_AT_ONCE = 500
"""Records that are written together."""

END_WITHIN = 3.0
"""Seconds for which acts that are under way go on when the program ends."""

SEVERAL = "several relays"

FAILED = (AccessStoreError, TronError)


class AuditTrail:
    """Writes records by `append`, which returns once they are durable, and raises AccessStoreError or TronError. `run`
    writes those that wait."""

    def __init__(self, append: Callable[[Sequence[AuditRecord]], Awaitable[None]]) -> None:
        self._append = append
        self._counts = RefusalCounts()
        self._of_relays: dict[str, RefusalCounts] = {}
        self._acts: list[AuditRecord] = []
        self._refusals: list[AuditRecord] = []
        self._failing = False
        self._wake = asyncio.Event()
        self._acting = Uninterrupted()

    @property
    def waiting(self) -> int:
        """The number of records that wait to be written."""
        return len(self._acts) + len(self._refusals)

    async def act(self, record: AuditRecord) -> None:
        """Write a record, and return once it is durable. Raises Draining if it cannot be written now: it is written
        later, unless the process ends before."""
        try:
            await self._append([record])
        except FAILED as error:
            log.error(
                "audit_not_written", why=str(error), method=record.method, actor=record.actor, target=record.target
            )
            self._keep(self._acts, [record])
            raise Draining("done, but the audit log cannot be written now; see the log of the server") from error

    async def completed(self, act: Coroutine[Any, Any, T]) -> T:
        """Return the result of an act and its record, which go on to their end if this call is cancelled. Raises the
        errors of the act, and QuotaExceeded."""
        return await self._acting.run(act)

    def refused(self, record: AuditRecord, relay: str = "") -> None:
        """Count a refusal, or as many as the record represents. `relay`: the one that reports it; it has a count of its
        own, so that it cannot drop the refusals of others."""
        counts = self._counts
        if relay:
            if relay not in self._of_relays and len(self._of_relays) >= MOST_RELAYS:
                relay = SEVERAL
            counts = self._of_relays.setdefault(relay, RefusalCounts(relay, MOST_KINDS_OF_RELAY))
        self._keep(self._refusals, counts.refused(record, time.monotonic()))

    async def run(self) -> None:
        """Write the records that wait until cancelled, then those that remain."""
        try:
            while True:
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._wake.wait()
                except TimeoutError:
                    self._advance(time.monotonic())
                self._wake.clear()
                await self._write()
                if self._failing:
                    await asyncio.sleep(LOOK_EVERY)
        finally:
            await asyncio.shield(self._write_the_rest())

    def _advance(self, now: float) -> None:
        self._keep(self._refusals, self._counts.advance(now))
        for relay, counts in list(self._of_relays.items()):
            self._keep(self._refusals, counts.advance(now))
            if counts.is_empty:
                del self._of_relays[relay]

    def _keep(self, waiting: list[AuditRecord], records: list[AuditRecord]) -> None:
        if not records:
            return
        if len(waiting) + len(records) > MOST_WAITING:
            log.error("audit_not_written", why=f"{MOST_WAITING} records wait to be written", dropped=len(records))
            return
        waiting += records
        self._wake.set()

    async def _write(self) -> None:
        for waiting in (self._acts, self._refusals):
            while waiting:
                records = waiting[:MOST_AT_ONCE]
                try:
                    await self._append(records)
                except InvalidRequest as error:  # it will never be taken, and must not keep the others
                    log.error("audit_not_written", why=error.message, dropped=len(records))
                except FAILED as error:
                    if not self._failing:
                        log.error("audit_not_written", why=str(error), waiting=self.waiting)
                    self._failing = True
                    return
                del waiting[: len(records)]
        self._failing = False

    async def _write_the_rest(self) -> None:
        await self._acting.finish(END_WITHIN)
        for counts in (self._counts, *self._of_relays.values()):
            self._keep(self._refusals, counts.end())
        await self._write()
        if self.waiting:
            log.error("audit_not_written", why="the program ends", dropped=self.waiting)
