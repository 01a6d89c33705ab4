"""Keeps the events of the replica current: it reads the newest events once, then follows one subscription for all
consumers."""

from __future__ import annotations

import asyncio
import random

import structlog
from tron_client import AsyncRegistryClient, RevisionCompacted, TronError
from tron_client.schedule import Backoff

from gateway_http.replica.replica import Replica
from gateway_http.replica.tail import KEPT

log = structlog.get_logger("gateway")


class EventsFeed:
    """Keeps the events of the replica current while `run` runs."""

    def __init__(self, client: AsyncRegistryClient, replica: Replica) -> None:
        self._client = client
        self._replica = replica

    async def run(self) -> None:
        """Read the newest events and then follow the event log, until cancelled. After an error, start again."""
        backoff = Backoff()
        while True:
            try:
                page = await self._client.list_events(newest=True, limit=KEPT)
                alerts = await self._client.list_events(newest=True, limit=KEPT, types=self._replica.alert_types)
                self._replica.log_read(page.events, alerts.events, page.last_sequence, page.first_sequence)
                async for event in self._client.subscribe_events(page.last_sequence):
                    backoff.reset()
                    self._replica.logged(event)
            except RevisionCompacted as error:
                log.warning("events_compacted", why=error.message)
            except TronError as error:
                log.info("events_not_read", why=error.message)
            await asyncio.sleep(backoff.next_delay(random.random()))
