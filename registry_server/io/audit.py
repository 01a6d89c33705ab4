"""The audit log of the registry: acts are stored one by one, refusals when their window ends."""

from __future__ import annotations

import asyncio
import time

import structlog
from grid_model.errors import Draining

from grid_hosting.access.audit import AuditRecord, RefusalCounts
from grid_hosting.access.store import AccessStoreError
from registry_server.io.access import Access

log = structlog.get_logger("access")

LOOK_EVERY = 1.0
"""Seconds between two looks for a window of refusals that has ended."""

MOST_WAITING = 2000
"""Records of refusals that wait for the disk. Overflow rule: further ones are dropped, which the log says."""


class AuditTrail:
    """Stores records in access.db. Acts wait for the disk, refusals never do."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._counts = RefusalCounts()
        self._waiting: list[AuditRecord] = []
        self._wake = asyncio.Event()

    async def act(self, record: AuditRecord) -> None:
        """Store a record, and return once it is durable. Raises Draining if it cannot be stored."""
        try:
            await self._access.append_audit([record])
        except AccessStoreError as error:
            log.error("audit_not_written", why=str(error), method=record.method, actor=record.actor)
            raise Draining("done, but the audit log cannot be written; see the registry's log") from error

    def refused(self, record: AuditRecord) -> None:
        """Count a refusal."""
        self._add(self._counts.refused(record, time.monotonic()))

    async def run(self) -> None:
        """Store the records of refusals until cancelled, then those that remain."""
        try:
            while True:
                try:
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._wake.wait()
                except TimeoutError:
                    self._add(self._counts.advance(time.monotonic()))
                self._wake.clear()
                await self._store()
        finally:
            self._add(self._counts.end())
            await asyncio.shield(self._store())

    def _add(self, records: list[AuditRecord]) -> None:
        if not records:
            return
        if len(self._waiting) + len(records) > MOST_WAITING:
            log.error("audit_not_written", why=f"{MOST_WAITING} records wait for the disk", dropped=len(records))
            return
        self._waiting += records
        self._wake.set()

    async def _store(self) -> None:
        records, self._waiting = self._waiting, []
        if not records:
            return
        try:
            await self._access.append_audit(records)
        except AccessStoreError as error:
            log.error("audit_not_written", why=str(error))
            self._waiting = records + self._waiting
