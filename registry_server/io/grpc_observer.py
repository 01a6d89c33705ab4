"""TRON's two doors: the facts that it judges by, and the judgement that it came to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import grpc
import structlog
from grid.registry.v1 import observation_pb2

from grid_hosting.pauses import PAUSES
from grid_hosting.turns import Turn
from registry_server.core.errors import Draining, FieldError, InvalidRequest, QuotaExceeded, ReaderTooSlow
from registry_server.core.observations import Frame, ObservationFeed
from registry_server.core.service import Event
from registry_server.core.validation import check_event, check_id
from registry_server.core.verdicts import StandingSuspicion, VerdictOutcome, VerdictResult
from registry_server.io import translate
from registry_server.io.loop import Engine

log = structlog.get_logger("rpc")

Context = grpc.aio.ServicerContext[Any, Any]

MAX_OBSERVERS = 16
MAX_IN_FRAME = 500
"""Facts and copies of alerts in one message: for services about 50 KB, and 5 ms for which nobody else is served."""

MAX_AT_ONCE = 10_000
"""Verdicts, standing suspicions or notices in one call."""


class ObserverDoors:
    """Serves ObserveLiveness and ApplyVerdicts."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._observers = 0

    async def observe(
        self, request: observation_pb2.ObserveLivenessRequest
    ) -> AsyncGenerator[observation_pb2.ObserveLivenessResponse, None]:
        """Facts: at once when a stream opens or breaks, and each tick. Raises QuotaExceeded, ReaderTooSlow."""
        check_id("observer", request.observer)
        if self._observers >= MAX_OBSERVERS:
            raise QuotaExceeded(f"{MAX_OBSERVERS} observers listen; no more are allowed")
        engine = self._engine
        catalogue = engine.catalogue
        wake = asyncio.Event()
        feed_id = engine.open_feed(wake.set)
        self._observers += 1
        try:
            feed = catalogue.open_feed(feed_id, request.observer)
            engine.verdicts.stand_down(request.observer)
            snapshot = True
            told_until = 0.0
            while True:
                if engine.draining:
                    raise Draining("the registry is going away")
                if feed.overflowed:
                    raise ReaderTooSlow("too much happened while nothing was read; start again from a snapshot")
                *parts, last = feed.take().parts(MAX_IN_FRAME)
                taken_at = engine.now().attentive
                for part in parts:
                    # Others are served meanwhile. What they change is told in the next frame, and until all of this
                    # one is told, time does not go on.
                    with PAUSES.turn("frame"):
                        message = self._message(part, feed, told_until)
                    yield message
                    await asyncio.sleep(0)
                told_until = taken_at
                catalogue.observers.sent(feed_id, told_until)
                with PAUSES.turn("frame"):
                    message = self._message(last, feed, told_until)
                if snapshot:
                    message.forebears.extend(translate.from_tombstone(each) for each in catalogue.tombstones.values())
                    message.cascade_alert_id = engine.verdicts.cascade_alert_id
                    message.snapshot_complete = True
                yield message
                snapshot = False
                await wake.wait()
                wake.clear()
        finally:
            self._observers -= 1
            engine.close_feed(feed_id)

    def _message(self, frame: Frame, feed: ObservationFeed, now: float) -> observation_pb2.ObserveLivenessResponse:
        """A frame with the newest facts; what is not on disk yet is left for the next one."""
        engine = self._engine
        catalogue = engine.catalogue
        message = translate.from_frame(frame, catalogue, now, engine.hearing_since)
        for alert_id, recipient in frame.copies:
            copy = catalogue.mailboxes.get(alert_id, recipient)
            if copy is not None and copy.event.sequence > engine.sequences.value:
                feed.copy(alert_id, recipient)  # operators must not be told before it is on disk
            elif copy is None:
                message.deliveries_ended.add(alert_id=alert_id, recipient=recipient)
            else:
                message.deliveries.append(translate.from_copy(copy))
        return message

    async def apply(self, request: observation_pb2.ApplyVerdictsRequest) -> observation_pb2.ApplyVerdictsResponse:
        """Apply what TRON decided, and answer when all of it is on disk. Raises InvalidRequest."""
        check_id("observer", request.observer)
        for name in ("verdicts", "standing", "notices"):
            count = len(getattr(request, name))
            if count > MAX_AT_ONCE:
                raise InvalidRequest(FieldError(name, f"has {count}; at most {MAX_AT_ONCE} are allowed"))
        engine = self._engine
        verdicts = engine.verdicts
        turn = Turn("verdicts", before_rest=engine.flush)
        results: list[VerdictResult] = []
        async for message in turn.each(request.verdicts):
            now = engine.now()
            try:
                verdict = translate.to_verdict(message, now.wall)
                _check_all((verdict.alert, *verdict.further_alerts))
            except InvalidRequest:
                results.append(VerdictResult(VerdictOutcome.INVALID))
            else:
                results.append(verdicts.apply(verdict, now))
        async for notice_message in turn.each(request.notices):
            now = engine.now()
            try:
                notice = translate.to_notice(notice_message, now.wall)
                _check_all((notice.event,))
            except InvalidRequest as error:
                log.error("notice_invalid", alert_id=notice_message.alert_id, why=str(error))
            else:
                verdicts.notify(notice, now)
        standing: list[StandingSuspicion] = []
        async for each in turn.each(request.standing):
            suspicion = translate.to_standing(each, engine.now().wall)
            _check_all((suspicion.alert,))
            standing.append(suspicion)
        turn.end()
        now = engine.now()
        verdicts.stand_by(standing, request.standing_withdrawn, held=request.standing_held, observer=request.observer)
        verdicts.cascade_alert_id = request.cascade_alert_id
        until = translate.seconds("judged_until", request.judged_until) if request.HasField("judged_until") else None
        engine.catalogue.judged(request.observer, now, until)
        if request.verdicts or request.notices:
            await engine.flushed_inline()
        else:
            engine.flush()
        return observation_pb2.ApplyVerdictsResponse(results=[translate.from_result(each) for each in results])


def _check_all(events: Iterable[Event | None]) -> None:
    for event in events:
        if event is not None:
            check_event(event)
