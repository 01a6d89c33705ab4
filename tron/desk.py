"""The operators' desk: hands what no agent could be told to the sinks, and acknowledges it once they hold it for good.

What waits is kept by the registry, under the recipient "operators", so that nothing is lost when TRON is killed and
nothing queues here. Sinks never delay a verdict: they are served by a task of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import grpc
import structlog
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc

from tron.facts import OPERATORS, AlertDraft, OpenCopy
from tron.sinks import Sink

log = structlog.get_logger("tron")

CALL_TIMEOUT = 5.0
REST = 1.0
"""Seconds between two attempts to acknowledge."""


class Desk:
    """Serves the operators' mail of one registry."""

    def __init__(self, channel: grpc.aio.Channel, sinks: Sequence[Sink]) -> None:
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._sinks = sinks
        self._mail: Mapping[str, OpenCopy] = {}
        self._came = asyncio.Event()

    def look(self, mail: Mapping[str, OpenCopy]) -> None:
        """This is what waits now; called after each frame."""
        self._mail = mail
        if mail:
            self._came.set()

    def undelivered(self, alert: AlertDraft) -> None:
        """An alert whose recipient is unknown or away; it is kept for the recipient too."""
        for sink in self._sinks:
            sink.undelivered(alert)

    def registry_lost(self, seconds: float, why: str) -> None:
        """TRON has not heard the registry for so long: nobody is judged meanwhile."""
        for sink in self._sinks:
            sink.registry_lost(seconds, why)

    def registry_back(self, seconds: float) -> None:
        """TRON hears the registry again."""
        for sink in self._sinks:
            sink.registry_back(seconds)

    async def serve_for_ever(self) -> None:
        """Take, hand over, acknowledge, until cancelled."""
        served: dict[str, None] = {}
        while True:
            await self._came.wait()
            self._came.clear()
            waiting = dict(self._mail)
            served = {alert_id: None for alert_id in served if alert_id in waiting}
            for alert_id, copy in waiting.items():
                if alert_id not in served:
                    for sink in self._sinks:
                        await sink.tell(copy.alert)
                    served[alert_id] = None
                await self._acknowledge(alert_id)

    async def _acknowledge(self, alert_id: str) -> None:
        request = event_service_pb2.AcknowledgeEventRequest(alert_id=alert_id, recipient=OPERATORS)
        try:
            await self._events.AcknowledgeEvent(request, timeout=CALL_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            log.info("operators_not_acknowledged", alert_id=alert_id, why=error.code().name)
            await asyncio.sleep(REST)
