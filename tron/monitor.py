"""The shell around the detector: read a frame of facts, judge, apply, and go on; reconnect when the registry is away.

Frames are judged one by one and in order, by their own time. While a verdict is on its way the registry merges what
happens, so that nothing queues here. TRON keeps no state: what it knows is rebuilt from the registry's snapshot.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import structlog
from grid.registry.v1 import observation_pb2, registry_service_pb2_grpc
from tron_client.wire import seconds

from tron.alert_book import AlertDraft, alert_for
from tron.detector import Detector, Kind, State, Transition
from tron.policy import Policies
from tron.sinks import Sink
from tron.translate import from_transition, to_facts

log = structlog.get_logger("tron")

WORD_EVERY = 0.2
"""Attentive seconds between two words to the registry that somebody watches."""

BATCH = 1000
"""Verdicts in one call, so that ten thousand at once do not stand behind each other for long."""

LOST_AFTER = 1.0
"""Seconds without the registry until operators are told."""

CALL_TIMEOUT = 10.0


_LOGGED = {
    Kind.MISS: "beat_missed",
    Kind.SUSPECT: "service_suspected",
    Kind.DOWN: "service_down",
    Kind.DEREGISTER: "service_deregistered",
    Kind.RECOVER: "service_recovered",
    Kind.RESTORE: "service_restored",
}


@dataclass(slots=True)
class Stats:
    """What TRON did since it started; `last_check` in seconds since the epoch."""

    alerts_issued: int = 0
    last_check: float | None = None
    watching: bool = False


class Monitor:
    """Follows one registry, for ever. `observer` is TRON's own service_id; it is never judged by itself."""

    def __init__(self, channel: grpc.aio.Channel, observer: str, policies: Policies, sinks: Sequence[Sink]) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._observer = observer
        self._policies = policies
        self._sinks = sinks
        self._detector = self._fresh()
        self.stats = Stats()

    def states(self) -> dict[State, int]:
        """How many services are judged how."""
        return self._detector.states()

    async def run(self) -> None:
        """Watch until cancelled."""
        attempt = 0
        lost_at = time.monotonic()
        told = False
        while True:
            why = "the stream ended"
            heard = False
            try:
                async for _ in self._watch():
                    if not heard:
                        heard, attempt = True, 0
                        if told:
                            for sink in self._sinks:
                                sink.registry_back(time.monotonic() - lost_at)
                            told = False
            except grpc.aio.AioRpcError as error:
                why = f"{error.code().name}: {error.details()}"
            finally:
                self.stats.watching = False
            if heard:
                lost_at = time.monotonic()
                log.warning("registry_stream_broken", why=why)
            # Full jitter, at most half a second: freshness counts more here than sparing one server one client.
            await asyncio.sleep(random.uniform(0.01, min(0.5, 0.05 * 2**attempt)))
            attempt = min(attempt + 1, 8)
            if not told and time.monotonic() - lost_at > LOST_AFTER:
                told = True
                for sink in self._sinks:
                    sink.registry_lost(time.monotonic() - lost_at, why)

    async def _watch(self) -> AsyncIterator[None]:
        """One stream, from its snapshot to its end; yields after each frame that was judged."""
        self._detector = self._fresh()
        spoke_at = float("-inf")
        complete = False
        call = self._stub.ObserveLiveness(observation_pb2.ObserveLivenessRequest(observer=self._observer))
        async for frame in call:
            now = seconds(frame.now)
            self._learn(frame)
            complete = complete or frame.snapshot_complete
            if not complete:
                continue
            transitions = self._detector.advance(now, seconds(frame.hearing_since))
            if transitions or now - spoke_at >= WORD_EVERY:
                await self._apply(transitions, now)
                spoke_at = now
            self.stats.last_check = time.time()
            if not self.stats.watching:
                self.stats.watching = True
                log.info("watching", services=len(self._detector))
            yield

    def _fresh(self) -> Detector:
        return Detector(self._policies, exempt=frozenset({self._observer}))

    def _learn(self, frame: observation_pb2.ObserveLivenessResponse) -> None:
        now = seconds(frame.now)
        for service_id in frame.removed:
            self._detector.forget(service_id)
        for observation in frame.observations:
            self._detector.observe(to_facts(observation))
        beats = zip(frame.beat_incarnations, frame.beat_observations, frame.beat_ages_ms, strict=True)
        for incarnation, observation_number, age in beats:
            self._detector.heard(incarnation, observation_number, now - age / 1000)

    async def _apply(self, transitions: list[Transition], now: float) -> None:
        """Tell the registry what was decided, or only that somebody watches. What it refuses is taken back."""
        wall = time.time()
        for start in range(0, max(1, len(transitions)), BATCH):
            batch = transitions[start : start + BATCH]
            alerts = [alert_for(transition, wall, now) for transition in batch]
            request = observation_pb2.ApplyVerdictsRequest(
                observer=self._observer,
                verdicts=[from_transition(*each) for each in zip(batch, alerts, strict=True)],
            )
            request.judged_until.FromNanoseconds(int(now * 1e9))
            response = await self._stub.ApplyVerdicts(request, timeout=CALL_TIMEOUT)
            outcomes = list(zip(batch, alerts, response.results, strict=True))
            for transition, alert, result in outcomes:
                self._note(transition, alert, result)
            for transition, _, result in reversed(outcomes):
                if result.outcome in (observation_pb2.VERDICT_OUTCOME_STALE, observation_pb2.VERDICT_OUTCOME_INVALID):
                    self._detector.refused(transition)

    def _note(self, transition: Transition, alert: AlertDraft | None, result: observation_pb2.VerdictResult) -> None:
        facts = {
            "service_id": transition.service_id,
            "incarnation": transition.incarnation,
            "cause": transition.cause.name,
        }
        if result.outcome == observation_pb2.VERDICT_OUTCOME_APPLIED:
            log.info(_LOGGED[transition.kind], **facts, missed=transition.missed)
            if alert is not None:
                self.stats.alerts_issued += 1
                if not result.delivered:
                    for sink in self._sinks:
                        sink.undelivered(alert)
        elif result.outcome == observation_pb2.VERDICT_OUTCOME_STALE:
            log.info("verdict_stale", kind=transition.kind.value, **facts)
        elif result.outcome == observation_pb2.VERDICT_OUTCOME_INVALID:
            log.error("verdict_invalid", kind=transition.kind.value, **facts)
