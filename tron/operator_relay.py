"""The operators' desk: hands what no agent could be told to the sinks, and acknowledges it once they hold it for good.

What waits is kept by the registry, under the recipient "operators", so that nothing is lost when TRON is killed and
nothing queues here. Sinks never delay a verdict: they are served by a task of their own.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Mapping

import grpc
import structlog
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc

from grid_hosting.sinks import notice as notices
from grid_hosting.sinks.dispatcher import Dispatcher, NotDurable
from grid_hosting.sinks.notice import Notice
from tron.facts import OPERATORS, AlertDraft, Cause, OpenCopy

log = structlog.get_logger("operator")

CALL_TIMEOUT = 5.0
REST = 1.0
"""Seconds before what failed is tried again."""

OWN_NEWS = 100
"""News of TRON's own that wait for the disk. Overflow rule: the oldest is dropped; the log has it."""


class Desk:
    """Serves the operators' mail of one registry, and has news of its own: whether the registry is there."""

    def __init__(self, channel: grpc.aio.Channel, dispatcher: Dispatcher) -> None:
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._dispatcher = dispatcher
        self._mail: Mapping[str, OpenCopy] = {}
        self._news: deque[Notice] = deque(maxlen=OWN_NEWS)
        self._loss = ""
        self._came = asyncio.Event()

    def look(self, mail: Mapping[str, OpenCopy]) -> None:
        """This is what waits now; called after each frame."""
        self._mail = mail
        if mail:
            self._came.set()

    def undelivered(self, alert: AlertDraft) -> None:
        """Nobody at all was notified of an alert so far: one line. It is kept for its recipients."""
        log.warning(
            "alert_undelivered",
            type=alert.type,
            severity=alert.severity.name,
            service_id=alert.service_id,
            recipient=alert.recipient or None,
            cause=alert.cause.name,
            alert_id=alert.alert_id,
            message=alert.message,
        )

    def registry_lost(self, seconds: float, why: str) -> None:
        """TRON has not heard the registry for so long: nobody is judged meanwhile."""
        log.critical("registry_lost", seconds=round(seconds, 2), why=why)
        self._loss = str(uuid.uuid4())
        self._tell_own("the registry does not answer: nobody is judged", why, seconds)

    def registry_back(self, seconds: float) -> None:
        """TRON hears the registry again."""
        log.warning("registry_back", after_seconds=round(seconds, 2))
        self._tell_own("the registry answers again", "", seconds, resolved=True)

    async def serve_for_ever(self) -> None:
        """Take, hand over, acknowledge, until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            try:
                await self._serve()
            except NotDurable as error:
                log.error("operators_not_served", why=str(error))
                await asyncio.sleep(REST)
                self._came.set()

    async def _serve(self) -> None:
        while self._news:
            await self._dispatcher.submit(self._news[0])
            self._news.popleft()
        for alert_id, copy in list(self._mail.items()):
            await self._dispatcher.submit(to_notice(copy.alert))
            request = event_service_pb2.AcknowledgeEventRequest(alert_id=alert_id, recipient=OPERATORS)
            try:
                await self._events.AcknowledgeEvent(request, timeout=CALL_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                # It waits in the registry, and comes with the next frame.
                log.info("operators_not_acknowledged", alert_id=alert_id, why=error.code().name)
                await asyncio.sleep(REST)

    def _tell_own(self, message: str, why: str, seconds: float, *, resolved: bool = False) -> None:
        severity = notices.Severity.WARNING if resolved else notices.Severity.CRITICAL
        self._news.append(
            Notice(
                alert_id=str(uuid.uuid4()) if resolved else self._loss,
                type="registry_lost",
                severity=severity,
                message=message,
                occurred_at=time.time(),
                why=why,
                details={"seconds": round(seconds, 2), "loss": self._loss},
                resolved=resolved,
            )
        )
        self._came.set()


def to_notice(alert: AlertDraft) -> Notice:
    """What operators are told of an alert."""
    way = alert.details.get("escalated_from", ())
    return Notice(
        alert_id=alert.alert_id,
        type=alert.type,
        severity=notices.Severity(alert.severity),
        message=alert.message,
        occurred_at=alert.occurred_at,
        service_id=alert.service_id,
        service_name=alert.service_name,
        cause="" if alert.cause is Cause.NONE else alert.cause.name,
        recipient=way[-1] if way else "",
        why=alert.details.get("escalated_because") or "nobody else is there to be told",
        details=alert.details,
        resolved=alert.type == "heartbeat_restored",
    )
