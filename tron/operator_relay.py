"""Passes the alerts for operators to the sinks, and acknowledges each once the sinks have it on disk.

The registry keeps the waiting alerts, under the recipient "operators", so that no alert is lost when TRON is killed,
and no alerts queue in TRON. A task of its own serves the sinks, so that they never delay a verdict.
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
from grid_model import event_details
from grid_model.event import OPERATORS, Event, Severity
from grid_model.liveness import LivenessCause
from grid_model.observation import Delivery

from grid_hosting.sinks.dispatcher import Dispatcher, NotDurable
from grid_hosting.sinks.notice import LAST_MOMENT, OperatorNotice
from tron import messages

log = structlog.get_logger("operator")

CALL_TIMEOUT = 5.0
RETRY_DELAY = 1.0
"""Seconds before a failed call is tried again."""

MAX_OWN_NOTICES = 100
"""The most notices about the registry that wait to be written to disk. Overflow rule: the oldest is only logged."""


class OperatorRelay:
    """Passes the operators' alerts of one registry to the sinks, and sends notices of its own when the registry is lost
    and when it answers again."""

    def __init__(self, channel: grpc.aio.Channel, dispatcher: Dispatcher) -> None:
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._dispatcher = dispatcher
        self._deliveries: Mapping[str, Delivery] = {}
        self._own_notices: deque[OperatorNotice] = deque(maxlen=MAX_OWN_NOTICES)
        self._loss = ""
        self._told_plainly = ""
        """The last alert for which only a plain notice could be sent."""
        self._changed = asyncio.Event()

    def update(self, deliveries: Mapping[str, Delivery]) -> None:
        """Replace the deliveries that wait for operators; called after each frame."""
        self._deliveries = deliveries
        if deliveries:
            self._changed.set()

    def undelivered(self, alert: Event) -> None:
        """Log that no recipient could be notified of an alert so far. The alert keeps waiting for its recipients."""
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
        """Notify operators that the registry has not answered for `seconds`, so that no liveness is evaluated."""
        log.critical("registry_lost", seconds=round(seconds, 2), why=why)
        self._loss = str(uuid.uuid4())
        self._send_own(messages.REGISTRY_LOST, why, seconds)

    def registry_back(self, seconds: float) -> None:
        """Notify operators that the registry answers again. `seconds`: for how long it did not answer."""
        log.warning("registry_back", after_seconds=round(seconds, 2))
        self._send_own(messages.REGISTRY_BACK, "", seconds, resolved=True)

    async def run(self) -> None:
        """Pass alerts to the sinks and acknowledge them until canceled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._relay()
            except NotDurable as error:
                log.error("operators_not_served", why=str(error))
                await asyncio.sleep(RETRY_DELAY)
                self._changed.set()

    async def _relay(self) -> None:
        while self._own_notices:
            await self._dispatcher.submit(self._own_notices[0])
            self._own_notices.popleft()
        for alert_id, delivery in list(self._deliveries.items()):
            await self._dispatcher.submit(self._notice(alert_id, delivery.event))
            request = event_service_pb2.AcknowledgeEventRequest(alert_id=alert_id, recipient=OPERATORS)
            try:
                await self._events.AcknowledgeEvent(request, timeout=CALL_TIMEOUT)
            except grpc.aio.AioRpcError as error:
                # It stays in the registry, and comes with the next frame.
                log.info("operators_not_acknowledged", alert_id=alert_id, why=error.code().name)
                await asyncio.sleep(RETRY_DELAY)

    def _notice(self, alert_id: str, alert: Event) -> OperatorNotice:
        """Return the notice for an alert. If that fails, log the reason and return a plain notice: the alert must not
        wait without end, and it must not stop the alerts behind it."""
        try:
            return to_notice(alert)
        except Exception as error:
            # Logged once for each alert: a plain notice is acknowledged, and a copy that is sent again is the same.
            if alert_id != self._told_plainly:
                self._told_plainly = alert_id
                why = f"{type(error).__name__}: {error}"
                log.error("alert_told_plainly", alert_id=alert_id, type=alert.type, why=why)
            return plain_notice(alert, alert_id, time.time())

    def _send_own(self, message: str, why: str, seconds: float, *, resolved: bool = False) -> None:
        severity = Severity.WARNING if resolved else Severity.CRITICAL
        self._own_notices.append(
            OperatorNotice(
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
        self._changed.set()


def to_notice(alert: Event) -> OperatorNotice:
    """Return the notice that tells operators, through the sinks, of an alert. A time that no notice can have becomes
    the nearest one that it can have. Raises ValueError if the alert has no alert_id or no type."""
    escalated_from = event_details.texts_in(alert.details, "escalated_from")
    return OperatorNotice(
        alert_id=alert.alert_id,
        type=alert.type,
        severity=alert.severity,
        message=alert.message,
        occurred_at=min(max(alert.occurred_at, 0.0), LAST_MOMENT - 1.0),
        service_id=alert.service_id,
        service_name=alert.service_name,
        cause="" if alert.cause is LivenessCause.NONE else alert.cause.name,
        recipient=escalated_from[-1] if escalated_from else "",
        why=event_details.text_in(alert.details, "escalated_because") or messages.NO_OTHER_RECIPIENT,
        details=alert.details,
        resolved=alert.type == "heartbeat_restored",
    )


def plain_notice(alert: Event, alert_id: str, now: float) -> OperatorNotice:
    """Return a notice with the texts of an alert for which `to_notice` fails. `alert_id` is the id under which the copy
    waits; `now` is in seconds since the epoch. This function raises no exception."""
    return OperatorNotice(
        alert_id=alert_id or "unknown",
        type=alert.type or "unknown",
        severity=alert.severity,
        message=alert.message,
        occurred_at=now,
        service_id=alert.service_id,
        service_name=alert.service_name,
        why=messages.NO_OTHER_RECIPIENT,
    )
