"""Writes the audit records of one server: acts immediately, each with a record of its own; refusals in the background,
counted by kind."""

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
"""Seconds between two checks whether a window of refusals has ended, and between two attempts to write."""

MOST_WAITING = 2000
"""Maximum number of acts, and of refusals, that wait to be written. Overflow rule: further records are dropped, and
this is logged."""

MOST_KINDS_OF_RELAY = 50
"""Maximum number of kinds of refusals that one relay may report within one window; see `RefusalCounts`."""

MOST_RELAYS = 20
"""Maximum number of relays whose refusals are counted separately. Overflow rule: all further relays share one count."""

MOST_AT_ONCE = 500
"""Maximum number of records that are written together."""

END_WITHIN = 3.0
"""Seconds for which unfinished acts may continue when the program stops."""

SEVERAL = "several relays"

FAILED = (AccessStoreError, TronError)


class AuditTrail:
    """Writes audit records by calling `append`, which must return once they are durable, and may raise AccessStoreError
    or TronError. `run` writes the records that are waiting."""

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
        """Write the record of an act, and return once it is durable. Raises Draining if it cannot be written now; it is
        then written later, unless the process ends first."""
        try:
            await self._append([record])
        except FAILED as error:
            log.error(
                "audit_not_written", why=str(error), method=record.method, actor=record.actor, target=record.target
            )
            self._keep(self._acts, [record])
            raise Draining(
                "the change was made, but its audit record cannot be written now; see the log of the server"
            ) from error

    async def completed(self, act: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine of an act, which also writes the record of the act, and return its result. The coroutine
        runs to its end even if this call is cancelled. Raises the errors of the act, and QuotaExceeded if too many acts
        are running."""
        return await self._acting.run(act)

    def refused(self, record: AuditRecord, relay: str = "") -> None:
        """Count the refusals that a record represents. `relay`: the relay that reports them; empty if they are refusals
        of this server. Each relay is counted separately, so that no relay can displace the refusals of others."""
        counts = self._counts
        if relay:
            if relay not in self._of_relays and len(self._of_relays) >= MOST_RELAYS:
                relay = SEVERAL
            counts = self._of_relays.setdefault(relay, RefusalCounts(relay, MOST_KINDS_OF_RELAY))
        self._keep(self._refusals, counts.refused(record, time.monotonic()))

    async def run(self) -> None:
        """Write the waiting records until cancelled, and then those that remain."""
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
            log.error(
                "audit_not_written",
                why=f"{MOST_WAITING} records are already waiting to be written",
                dropped=len(records),
            )
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
            log.error("audit_not_written", why="the program stopped before they were written", dropped=self.waiting)
