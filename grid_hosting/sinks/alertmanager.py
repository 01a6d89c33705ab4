"""The sink for a Prometheus Alertmanager, through its API v2: an alert is sent, renewed while it fires, and resolved.

An Alertmanager keeps alerts in memory, and considers an alert resolved if it is not renewed. So firing alerts are kept
on disk beside the queue and sent again every `renew_every` seconds, until they are resolved or `active_for` has passed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import httpx2
import structlog
from grid_model.event import Severity
from grid_model.moments import rfc3339

from grid_hosting.sinks import SinkRefused, SinkUnavailable
from grid_hosting.sinks.firing import FiringAlert, FiringAlerts
from grid_hosting.sinks.http_client import request
from grid_hosting.sinks.journal import QueueTable, Row
from grid_hosting.sinks.notice import OperatorNotice

log = structlog.get_logger("operator")

LASTS = 15
"""Number of renewals that may fail before the Alertmanager considers an alert resolved."""

KEPT = 10_000
"""Maximum number of firing alerts. Beyond it, the alert that was sent longest ago is no longer renewed."""

BATCH = 500
"""Maximum number of alerts in one request."""

PATH = "/api/v2/alerts"


@dataclass(frozen=True, slots=True)
class Renewal:
    """How often and for how long firing alerts are sent again, in seconds."""

    renew_every: float = 60.0
    active_for: float = 86_400.0
    """How long an alert that is never resolved is renewed. The limit ends alerts about services that never return."""

    @property
    def lasts(self) -> float:
        """How long the Alertmanager keeps an alert that is not renewed, in seconds."""
        return LASTS * self.renew_every


@dataclass(slots=True)
class AlertmanagerSink:
    """The sink for one Alertmanager; each member of a cluster needs a sink of its own. `url` is the base URL, and
    `labels` are added to every alert."""

    name: str
    url: str
    labels: dict[str, str]
    headers: dict[str, str]
    renewal: Renewal
    timeout: float
    table: QueueTable
    client: httpx2.AsyncClient
    _firing: FiringAlerts = field(default_factory=lambda: FiringAlerts(KEPT))
    _failing: bool = False
    # A renewal must not overtake the word that an alert is resolved.
    _calling: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        for row in self.table.take_found():
            try:
                notice = OperatorNotice.from_json(row.text)
            except (ValueError, TypeError, RecursionError) as error:
                log.error("notice_unreadable", sink=self.name, why=str(error), text=row.text)
                self.table.remove(row.number)
                continue
            _, gone = self._firing.record(notice, row.at, row.number)
            self._forget(gone)

    async def deliver(self, notice: OperatorNotice) -> None:
        """Send the alert of a notice. If the notice is `resolved`, it ends earlier alerts: tell the Alertmanager that
        these are resolved, except alerts that were never sent to it. Raises SinkUnavailable or SinkRefused."""
        async with self._calling:
            now = time.time()
            if notice.resolved:
                over = self._firing.ended_by(notice)
                if over:
                    await self._post(self._ended(each, notice) for each in over)
                for each in over:
                    self._firing.end(each)
                self._forget(over)
                return
            await self._post([self._active(notice, now)])
            if notice.severity is Severity.INFO:
                return  # news, not a state: it expires on its own
            firing, gone = self._firing.record(notice, now)
            self.table.put(Row(firing.number, now, notice.to_json()))
            self._forget(gone)

    async def run(self) -> None:
        """Renew the firing alerts until cancelled. Alerts from before the start are renewed at once, because they may
        be overdue."""
        if not self._firing:
            await asyncio.sleep(self.renewal.renew_every)
        while True:
            try:
                async with asyncio.timeout(self.timeout):
                    await self._renew()
            except (SinkUnavailable, SinkRefused, TimeoutError) as error:
                if not self._failing:
                    log.warning("renewal_failing", sink=self.name, why=str(error) or "no answer in time")
                self._failing = True
            else:
                if self._failing:
                    log.info("renewal_recovered", sink=self.name)
                self._failing = False
            await asyncio.sleep(self.renewal.renew_every)

    async def _renew(self) -> None:
        async with self._calling:
            now = time.time()
            lapsed = self._firing.sent_before(now - self.renewal.active_for)
            for each in lapsed:
                self._firing.end(each)
                log.info("alert_not_renewed", sink=self.name, alert_id=each.notice.alert_id, type=each.notice.type)
            self._forget(lapsed)
            alerts = iter([self._active(each.notice, now) for each in self._firing.all()])
            while batch := list(islice(alerts, BATCH)):
                await self._post(batch)

    def _forget(self, gone: Iterable[FiringAlert]) -> None:
        for each in gone:
            self.table.remove(each.number)

    async def _post(self, alerts: Iterable[dict[str, Any]]) -> None:
        headers = {**self.headers, "content-type": "application/json"}
        await request(self.client, "POST", self.url.rstrip("/") + PATH, json.dumps(list(alerts)).encode(), headers)

    def _active(self, notice: OperatorNotice, now: float) -> dict[str, Any]:
        return alert(notice, self.labels, now + self.renewal.lasts)

    def _ended(self, firing: FiringAlert, by: OperatorNotice) -> dict[str, Any]:
        # Never before it began, which an Alertmanager refuses; and in its past, or it would not be over.
        ends_at = max(firing.notice.occurred_at, min(by.occurred_at, time.time()))
        return alert(firing.notice, self.labels, ends_at)


def alert(notice: OperatorNotice, labels: dict[str, str], ends_at: float) -> dict[str, Any]:
    """Return one alert in the form of the API. Labels identify the alert, so they contain no value that changes between
    re-sends."""
    named = {
        **labels,
        "alertname": notice.type,
        "severity": notice.severity.name.lower(),
        "service_id": notice.service_id,
        "service_name": notice.service_name,
    }
    annotations = {
        "summary": notice.message,
        "alert_id": notice.alert_id,
        "cause": notice.cause,
        "recipient": notice.recipient,
        "why": notice.why,
        "details": json.dumps(notice.details) if notice.details else "",
    }
    return {
        "labels": {name: value for name, value in named.items() if value},
        "annotations": {name: value for name, value in annotations.items() if value},
        "startsAt": rfc3339(notice.occurred_at),
        "endsAt": rfc3339(ends_at),
    }
