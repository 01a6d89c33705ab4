"""The shell around the judge: reads a frame of facts, evaluates it, applies the verdicts, and repeats; reconnects when
the registry is unavailable.

Frames are evaluated one by one and in order, by their own time. While orders are on their way the registry merges new
facts, so that nothing queues here. TRON keeps no state: it rebuilds its view from the registry's snapshot.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import grpc
import structlog
from google.protobuf.message import Message
from grid.registry.v1 import observation_pb2, registry_service_pb2_grpc
from grid_model.errors import InvalidRequest
from grid_model.liveness import LivenessCause
from grid_model.observation import Facts
from grid_model.observer_codec import (
    decode_facts,
    decode_frame,
    decode_outcome,
    encode_copy,
    encode_deadlines,
    encode_suspicion,
    encode_verdict,
)
from grid_model.verdict import VerdictOutcome
from grid_model.wire import duration
from tron_client.errors import Draining, from_rpc_error

from grid_hosting.pauses import PAUSES
from grid_hosting.turns import Turn
from tron import messages
from tron.facts import Kind
from tron.judge import Judge
from tron.operator_relay import OperatorRelay
from tron.orders import Ruling
from tron.policy import Policies
from tron.probe import Prober
from tron.registry_loss import RegistryLoss
from tron.returns import PATIENCE
from tron.session import Session
from tron.stats import Stats

log = structlog.get_logger("tron")

BATCH_BYTES = 600_000
"""The most bytes of orders in one call; the registry accepts calls of 1 MiB."""

DEADLINE_BYTES = 300
"""The bytes that a report deadline counts for: more than it has, so that one call has at most 2000 deadlines."""

LOOK_EVERY = 0.25
"""Seconds between two checks whether the registry is lost."""

CALL_TIMEOUT = 10.0

REFRESH_TIMEOUT = 1.0


class Monitor:
    """Follows one registry until canceled. `observer` is TRON's own service_id, which is never evaluated;
    `on_watching` is called when TRON begins to evaluate liveness, and when it no longer does."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        observer: str,
        policies: Policies,
        relay: OperatorRelay,
        prober: Prober,
        stats: Stats,
        loss: RegistryLoss | None = None,
        on_watching: Callable[[bool], None] = lambda watching: None,
        patience: float = PATIENCE,
    ) -> None:
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._observer = observer
        self.policies = policies
        self._relay = relay
        self._prober = prober
        self._loss = loss or RegistryLoss()
        self._on_watching = on_watching
        self._why = messages.NEVER_REACHED
        self._patience = patience
        self.judge = Judge(policies, observer, patience)
        """The judge of the current stream; each stream of facts gets a new one."""
        self.stats = stats

    def set_policies(self, policies: Policies) -> None:
        """Use these policies from the next frame on."""
        self.policies = policies
        self.judge.set_policies(policies)

    async def refresh(self, service_id: str) -> None:
        """Ask the registry when a service was last heard, because the registry sends no heartbeats of a service that is
        heard in time. Without an answer within a second, the known facts stay."""
        wanted = observation_pb2.GetObservationRequest(service_id=service_id)
        try:
            response = await self._stub.GetObservation(wanted, timeout=REFRESH_TIMEOUT)
            facts = decode_facts(response.observation)
        except (grpc.aio.AioRpcError, InvalidRequest):
            return
        self.judge.detector.refresh(facts)

    async def run(self) -> None:
        """Watch the registry until canceled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._report_loss())

    async def _follow(self) -> None:
        """Read one stream after another."""
        attempt = 0
        while True:
            self._why = messages.STREAM_ENDED
            contact = False
            try:
                async for _ in self._watch():
                    if not contact:
                        contact, attempt = True, 0
            except grpc.aio.AioRpcError as error:
                self._why = f"{error.code().name}: {error.details()}"
                if isinstance(from_rpc_error(error), Draining):
                    self._loss.draining()
            except InvalidRequest as error:  # a registry of another version, or something in between
                self._why = str(error)
                log.error("frame_invalid", why=self._why)
            finally:
                self._set_watching(False)
            self.stats.streams_broken += contact
            if contact:
                log.warning("registry_stream_broken", why=self._why)
            # Full jitter, at most half a second: freshness counts more here than sparing one server one client.
            await asyncio.sleep(random.uniform(0.01, min(0.5, 0.05 * 2**attempt)))
            attempt = min(attempt + 1, 8)

    async def _report_loss(self) -> None:
        """Report to operators that the registry is lost, also while a stream is open on which nothing arrives."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            # If this process was stopped, the registry may have sent frames all the while.
            lost_for = self._loss.passed(min(now - last, 2 * LOOK_EVERY))
            last = now
            if lost_for is not None:
                self._relay.registry_lost(lost_for, self._why)

    def _set_watching(self, watching: bool) -> None:
        self.stats.watching = watching
        self._on_watching(watching)

    def _record_contact(self) -> None:
        """Record that a message from the registry arrived."""
        away = self._loss.answered()
        if away is not None:
            self._relay.registry_back(away)

    async def _watch(self) -> AsyncIterator[None]:
        """Read one stream, from its snapshot to its end; yield after each evaluated frame."""
        judge = self.judge = Judge(self.policies, self._observer, self._patience)
        session = Session(judge)
        call = self._stub.ObserveLiveness(observation_pb2.ObserveLivenessRequest(observer=self._observer))
        async with aclosing(_read_ahead(call)) as ahead:
            async for message in ahead:
                self._record_contact()
                with PAUSES.turn("frame"):
                    decides = session.read(decode_frame(message))
                if not decides:
                    continue
                began = time.perf_counter()
                await self._judge_frame(session)
                self.stats.judgement_seconds.add(time.perf_counter() - began)
                self._record_suspected(judge)
                for alert in judge.undelivered():
                    self.stats.alerts_undelivered += 1
                    self._relay.undelivered(alert)
                self._relay.update(judge.for_operators)
                self.stats.last_check = time.time()
                if not self.stats.watching:
                    self._set_watching(True)
                    log.info("watching", services=len(judge.detector))
                yield

    async def _judge_frame(self, session: Session) -> None:
        """Decide part by part, and send the orders to the registry; see `Session`."""
        applying: asyncio.Task[None] | None = None
        turn = Turn("judgement")
        try:
            for _ in session.decide(time.time()):
                turn.end()
                if applying is not None and (applying.done() or session.must_wait):
                    await applying
                    applying = None
                if applying is None and session.has_orders:
                    applying = asyncio.create_task(self._apply(session))
                await asyncio.sleep(0)
                turn = Turn("judgement")
            turn.end()
            if applying is not None:
                await applying
            if session.has_orders or session.report_is_due:
                await self._apply(session)
        finally:
            if applying is not None:
                applying.cancel()

    async def _apply(self, session: Session) -> None:
        """Send the decided orders to the registry, or only a confirmation that TRON is watching. Revert what the
        registry refuses."""
        orders = session.take()
        turn = Turn("orders")
        verdicts = [encode_verdict(each.verdict()) async for each in turn.each(orders.rulings)]
        copies = [encode_copy(each) async for each in turn.each(orders.copies)]
        suspicions = [encode_suspicion(each) async for each in turn.each(orders.preauthorized)]
        deadlines = [DEADLINE_BYTES] * len(orders.deadlines)
        calls = session.calls(
            _sizes(verdicts), _sizes(copies), _sizes(suspicions), deadlines, orders.withdrawn, BATCH_BYTES
        )
        turn.end()
        for call in calls:
            request = observation_pb2.ApplyVerdictsRequest(
                observer=self._observer,
                verdicts=verdicts[call.rulings],
                notices=copies[call.copies],
                standing=suspicions[call.preauthorized],
                standing_withdrawn=call.withdrawn,
                standing_held=call.held,
                cascade_alert_id=call.cascade_alert_id,
                judged_until=duration(call.judged_until),
                idle_until=None if call.idle_until is None else duration(call.idle_until),
                report_deadlines=encode_deadlines(orders.deadlines[call.deadlines]),
            )
            response = await self._stub.ApplyVerdicts(request, timeout=CALL_TIMEOUT)
            self._record_contact()
            rulings, outcomes = orders.rulings[call.rulings], [decode_outcome(each) for each in response.results]
            turn = Turn("orders")
            async for ruling, outcome in turn.each(zip(rulings, outcomes, strict=True)):
                self._record_outcome(ruling, outcome)
            turn.end()
            session.answered(rulings, outcomes)
        session.all_answered()
        for copy in orders.copies:
            if copy.alert is not None:
                self.stats.alerts_issued += not copy.escalated_from
                self.stats.alerts_escalated += bool(copy.escalated_from)
                log.info(
                    "alert_climbed" if copy.escalated_from else "alert_sent",
                    type=copy.alert.type,
                    service_id=copy.alert.service_id,
                    recipient=copy.alert.recipient,
                    alert_id=copy.alert_id,
                    why=copy.alert.details.get("escalated_because"),
                )

    def _record_outcome(self, ruling: Ruling, outcome: VerdictOutcome | None) -> None:
        transition, alert = ruling.transition, ruling.alert
        facts = {
            "service_id": transition.service_id,
            "incarnation": transition.incarnation,
            "cause": transition.cause.name,
        }
        self.stats.verdict(transition.kind, transition.cause, outcome)
        if outcome is VerdictOutcome.APPLIED:
            if ruling.suppressed:
                self.stats.held(ruling.suppressed)
            suppressed = {"hushed": ruling.suppressed} if ruling.suppressed else {}
            log.info(transition.kind.meaning.log_word, **facts, missed=transition.missed_beats, **suppressed)
            if transition.kind is Kind.SUSPECT:
                self._probe(transition.facts)
            if alert is not None and not ruling.suppressed:
                self.stats.alerts_issued += 1 + len(ruling.further)
        elif outcome is VerdictOutcome.STALE:
            log.info("verdict_stale", kind=transition.kind.value, **facts)
        elif outcome is VerdictOutcome.INVALID:
            log.error("verdict_invalid", kind=transition.kind.value, **facts)

    def _record_suspected(self, judge: Judge) -> None:
        """Log the services that the registry suspected in TRON's name."""
        suspected, judge.suspected = judge.suspected, []
        for facts in suspected:
            log.info(
                Kind.SUSPECT.meaning.log_word,
                service_id=facts.service_id,
                incarnation=facts.incarnation,
                cause=LivenessCause.DISCONNECTED.name,
                standing=True,
            )
            self.stats.verdict(Kind.SUSPECT, LivenessCause.DISCONNECTED, VerdictOutcome.APPLIED)
            self._probe(facts)
            if not judge.suppression_reason(Kind.SUSPECT, facts):
                self.stats.alerts_issued += 1

    def _probe(self, facts: Facts) -> None:
        if self.policies.of(facts.service_id).confirm_by_probe:
            judge = self.judge
            confirmed = partial(judge.detector.confirm_down, facts.service_id, facts.incarnation)
            self._prober.probe(facts.service_id, facts.url, confirmed)


def _sizes(messages: Sequence[Message]) -> list[int]:
    """Return the size of each message in bytes."""
    return [each.ByteSize() for each in messages]


async def _read_ahead(
    call: grpc.aio.UnaryStreamCall[Any, observation_pb2.ObserveLivenessResponse],
) -> AsyncGenerator[observation_pb2.ObserveLivenessResponse, None]:
    """Yield the messages of a stream, and receive the next one meanwhile. Raises AioRpcError."""
    reading = asyncio.ensure_future(call.read())
    try:
        while isinstance(message := await reading, observation_pb2.ObserveLivenessResponse):  # else it is EOF
            reading = asyncio.ensure_future(call.read())
            yield message
    finally:
        reading.cancel()
        if reading.done() and not reading.cancelled():
            reading.exception()  # the reason of the end is that of what we were about, and not worth a log line
