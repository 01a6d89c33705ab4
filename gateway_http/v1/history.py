"""The data that a web page needs in addition to the stream: past events, periods in which liveness was not observed,
and open alerts."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from grid_model import wire
from tron_client import TronError

from gateway_http.gateway import Gateway
from gateway_http.replica.tail import KEPT

MOST_OPEN = 1000
MOST_LOST = 100
OPEN_KEPT_FOR = 0.5
"""Seconds for which all requests share one answer of the registry about open alerts."""


class History:
    """Answers GET /v1/history for all web pages. Simultaneous requests share one request to the registry."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._replica = gateway.replica
        self._asking = asyncio.Lock()
        self._open: list[str] = []
        self._lost: list[dict[str, Any]] = []
        self._open_at = float("-inf")

    async def read(self, *, with_events: bool) -> dict[str, Any]:
        """Return events, the time since which the events are complete, the periods in which liveness was not observed,
        the open alerts, and the lost services, for `documents.encoded`."""
        watched = self._gateway.watched
        events = self._replica.events if with_events else []
        # Fewer than are kept: that is all there is, however long ago, unless the page of the newest ended early.
        complete = len(events) < KEPT and self._replica.tail.whole
        covered = events[0].occurred_at if events and not complete else None
        known = [moment for moment in (covered, watched.forgotten_until) if moment is not None]
        return {
            "now": wire.rfc3339(self._replica.now()),
            "events": list(events),
            "covered": wire.rfc3339(max(known, default=datetime.fromtimestamp(0, UTC))),
            "gaps": [[wire.rfc3339(gap.since), wire.rfc3339(gap.until)] for gap in watched.gaps],
            **await self._unacknowledged(),
        }

    def forget_open(self) -> None:
        """Discard the stored list of open alerts, because an alert was acknowledged."""
        self._open_at = float("-inf")

    async def _unacknowledged(self) -> dict[str, Any]:
        """Return the ids of open alerts, and the lost services; the last known ones if the registry does not answer."""
        async with self._asking:
            if time.monotonic() - self._open_at > OPEN_KEPT_FOR:
                try:
                    page = await self._gateway.registry.list_events(limit=MOST_OPEN, unacknowledged=True, newest=True)
                    lost = await self._gateway.registry.list_gone_services(limit=MOST_LOST, unacknowledged=True)
                    self._open = list(dict.fromkeys(event.alert_id for event in page.events))
                    self._lost = [each.to_dict() for each in lost]
                    self._open_at = time.monotonic()
                except TronError:
                    pass  # the page shows by other means that the registry is away
        return {"open": self._open, "lost": self._lost}
