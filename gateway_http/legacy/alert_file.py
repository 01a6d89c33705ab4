"""Writes the legacy TRON's alert files, one for each UTC day, for tools that read `heartbeat_alerts_YYYYMMDD.jsonl`.

The files are written from the durable event log. After a restart, writing continues after the last event that was
written. So the files also contain the alerts from the time in which the gateway was down. A failed write is tried
again; no request waits for a write.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from grid_model import event_details
from tron_client import AsyncRegistryClient, Event, RevisionCompacted, Service, TronError
from tron_client.schedule import Backoff

from gateway_http.legacy.alerts import BROADCAST, LEGACY_ALERTS, legacy_alert
from gateway_http.legacy.rows import to_json
from grid_hosting.whole_file import write_whole

log = structlog.get_logger("gateway")

PREFIX = "heartbeat_alerts_"
POSITION = "heartbeat_alerts.position"

REMEMBERED = 10_000
"""Number of written alerts that are remembered, so that a further copy of one is not written again. Overflow rule: the
oldest is forgotten, and a later copy of it gets its own line."""


class AlertFiles:
    """Writes the alert files while `run` runs. Files that are older than `days` days are removed."""

    def __init__(
        self,
        client: AsyncRegistryClient,
        folder: Path,
        days: int,
        service_of: Callable[[str], Service | None],
    ) -> None:
        """`service_of` returns the last known record of a service, from which the parent in an alert is taken."""
        self._client = client
        self._folder = folder
        self._days = days
        self._service_of = service_of
        self._written: OrderedDict[str, None] = OrderedDict()
        self._day = ""

    async def run(self) -> None:
        """Follow the event log, and write its alerts to the files, until cancelled."""
        backoff = Backoff(cap=30.0)
        while True:
            try:
                await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
                position = await asyncio.to_thread(self._read_position)
                async for event in self._client.subscribe_events(position, types=LEGACY_ALERTS):
                    await asyncio.to_thread(self._write, self._new_line(event), event.sequence)
                    backoff.reset()
            except RevisionCompacted:
                with suppress(TronError, OSError):
                    page = await self._client.list_events(newest=True, limit=1)
                    # An empty log has no first event: another store, or all was compacted.
                    await asyncio.to_thread(self._write_position, max(page.first_sequence - 1, 0))
            except TronError as error:
                log.info("alert_file_waits", why=error.message)
            except OSError as error:
                self._written.clear()  # the one that could not be written comes again
                log.error("alert_file_not_written", folder=str(self._folder), why=str(error))
            await asyncio.sleep(backoff.next_delay(random.random()))

    def _new_line(self, event: Event) -> tuple[str, bytes] | None:
        """Return the day and the line of an alert; None for a further copy of an alert, and for any other event."""
        escalated = event_details.texts_in(event.details, "escalated_from")
        if event.action == BROADCAST or event.alert_id in self._written or escalated:
            return None
        self._written[event.alert_id] = None
        if len(self._written) > REMEMBERED:
            self._written.popitem(last=False)
        day = (event.occurred_at or datetime.now(UTC)).astimezone(UTC).strftime("%Y%m%d")
        return day, to_json(legacy_alert(event, self._service_of(event.service_id))) + b"\n"

    def _write(self, new: tuple[str, bytes] | None, sequence: int) -> None:
        """Write a line, then the position: after a crash in between, the line is written twice, but never missing."""
        if new is not None:
            day, line = new
            with (self._folder / f"{PREFIX}{day}.jsonl").open("ab") as file:
                file.write(line)
            if day != self._day:
                self._day = day
                self._remove_old(datetime.now(UTC))
        self._write_position(sequence)

    def _remove_old(self, now: datetime) -> None:
        oldest = f"{PREFIX}{now - timedelta(days=self._days):%Y%m%d}.jsonl"
        for path in self._folder.glob(f"{PREFIX}*.jsonl"):
            if path.name < oldest:
                path.unlink(missing_ok=True)

    def _read_position(self) -> int:
        with suppress(FileNotFoundError, ValueError):
            return max(int((self._folder / POSITION).read_text()), 0)
        return 0

    def _write_position(self, sequence: int) -> None:
        write_whole(self._folder / POSITION, f"{sequence}\n")
