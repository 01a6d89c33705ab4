"""Serves TRON's stream of facts and its calls with verdicts; `core.observer_stream` makes the decisions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import structlog
from grid.registry.v1 import observation_pb2
from grid_model import wire
from grid_model.errors import InvalidRequest
from grid_model.observer_codec import (
    decode_copy,
    decode_deadlines,
    decode_suspicion,
    decode_verdict,
    encode_facts,
    encode_frame,
    encode_result,
)
from grid_model.verdict import VerdictOutcome, VerdictResult

from grid_hosting.pauses import PAUSES
from grid_hosting.turns import Turn
from registry_server.core.facts import facts_of
from registry_server.core.observer_stream import ObserverStream, VerdictCall
from registry_server.core.validation import too_many_elements
from registry_server.io.loop import RegistryLoop

log = structlog.get_logger("rpc")

Context = grpc.aio.ServicerContext[Any, Any]

MAX_AT_ONCE = 10_000
"""Maximum number of verdicts, of standing suspicions, and of notices in one call."""


class ObserverService:
    """Serves ObserveLiveness and ApplyVerdicts: converts between the wire and `core.observer_stream`."""

    def __init__(self, loop: RegistryLoop) -> None:
        self._loop = loop

    async def observe(
        self, request: observation_pb2.ObserveLivenessRequest
    ) -> AsyncGenerator[observation_pb2.ObserveLivenessResponse, None]:
        """Yield frames of facts: at once when a stream opens or breaks, and at each tick. Raises QuotaExceeded,
        ReaderTooSlow."""
        loop = self._loop
        wake = asyncio.Event()
        feed_id = loop.open_feed(wake.set)
        try:
            stream = ObserverStream(loop.registry, loop.commits, feed_id, request.observer)
            while True:
                frame = stream.frame(loop.now(), lambda: loop.hearing_since, draining=loop.draining)
                more = True
                while more:
                    with PAUSES.turn("frame"):
                        part = next(frame, None)
                        message = None if part is None else encode_frame(part)
                    more = message is not None
                    if message is not None:
                        yield message
                        await asyncio.sleep(0)
                await wake.wait()
                wake.clear()
                if stream.delay:
                    await asyncio.sleep(stream.delay)
        finally:
            loop.close_feed(feed_id)

    def get(self, service_id: str) -> observation_pb2.GetObservationResponse:
        """Return the current facts about one service. Raises ServiceNotFound."""
        registry = self._loop.registry
        record = registry.get(service_id)
        facts = facts_of(record, registry.maintenance_of(service_id), registry.parent_of(record))
        now = wire.duration(self._loop.now().attentive)
        return observation_pb2.GetObservationResponse(observation=encode_facts(facts), now=now)

    async def apply(self, request: observation_pb2.ApplyVerdictsRequest) -> observation_pb2.ApplyVerdictsResponse:
        """Apply TRON's verdicts, and answer when all of them are durable. Raises InvalidRequest."""
        loop = self._loop
        call = VerdictCall(loop.registry, request.observer)
        for name in ("verdicts", "standing", "notices"):
            count = len(getattr(request, name))
            if count > MAX_AT_ONCE:
                raise InvalidRequest.of(too_many_elements(name, count, MAX_AT_ONCE))
        if request.HasField("report_deadlines"):
            call.defer(decode_deadlines(request.report_deadlines))
        turn = Turn("verdicts", before_rest=loop.flush)
        results: list[VerdictResult] = []
        async for message in turn.each(request.verdicts):
            now = loop.now()
            try:
                results.append(call.apply(decode_verdict(message, now.wall), now))
            except InvalidRequest:
                results.append(VerdictResult(VerdictOutcome.INVALID))
        async for notice in turn.each(request.notices):
            now = loop.now()
            try:
                call.notify(decode_copy(notice, now.wall), now)
            except InvalidRequest as error:
                log.error("notice_invalid", alert_id=notice.alert_id, why=str(error))
        async for each in turn.each(request.standing):
            call.preauthorize(decode_suspicion(each, loop.now().wall))
        turn.end()
        until, idle_until = (
            wire.checked_seconds(name, getattr(request, name)) if request.HasField(name) else None
            for name in ("judged_until", "idle_until")
        )
        call.finish(
            request.standing_withdrawn,
            loop.now(),
            held=request.standing_held,
            cascade_alert_id=request.cascade_alert_id,
            until=until,
            idle_until=idle_until,
        )
        if request.verdicts or request.notices:
            await loop.flushed_inline()
        else:
            loop.flush()
        return observation_pb2.ApplyVerdictsResponse(results=[encode_result(each) for each in results])
