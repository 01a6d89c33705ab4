"""TRON's process: the real judge inside a model of `tron.monitor` and `tron.desk`. All of TRON that is simulated is
here.

It reads frames one by one, judges, has its orders applied and waits for the answer; whatever goes wrong, it begins
again
with nothing but the next snapshot. Its operators' desk hands out what waits for them, and acknowledges it.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from random import Random

from registry_server.catalogue import Record
from registry_server.service import Copy, Event, LivenessCause, Maintenance, Severity, Tombstone
from registry_server.verdicts import Notice as RegistryNotice
from registry_server.verdicts import StandingSuspicion as RegistryStanding
from registry_server.verdicts import Verdict, VerdictKind, VerdictOutcome, VerdictResult
from tests.simulation import words
from tests.simulation.loop import Loop, Process
from tests.simulation.network import DOWN, Channel, Connection, Path
from tests.simulation.observer import Observer
from tests.simulation.sim_registry import EPOCH, SimRegistry
from tron.desk import REST
from tron.facts import (
    OPERATORS,
    AlertDraft,
    Cause,
    Facts,
    Forebear,
    Frame,
    Kind,
    OpenCopy,
    State,
)
from tron.facts import Severity as AlertSeverity
from tron.judge import Judge, Notice, Orders, Ruling
from tron.monitor import CALL_TIMEOUT, WORD_EVERY
from tron.policy import Policies
from tron.standing import StandingSuspicion

OBSERVER = "tron"

KINDS = {
    Kind.MISS: VerdictKind.SUSPECT,
    Kind.SUSPECT: VerdictKind.SUSPECT,
    Kind.STALL: VerdictKind.SUSPECT,
    Kind.DOWN: VerdictKind.DOWN,
    Kind.DEREGISTER: VerdictKind.DEREGISTER,
    Kind.RECOVER: VerdictKind.ALIVE,
    Kind.RESTORE: VerdictKind.ALIVE,
}


class SimTron(Process):
    """One TRON. It keeps nothing: each life begins with a snapshot. Its sinks keep what they were told."""

    def __init__(
        self,
        loop: Loop,
        registry: SimRegistry,
        observer: Observer,
        path: Path,
        policies: Policies,
        dice: Random,
        batch: int,
    ) -> None:
        super().__init__(loop, "tron")
        self.path = path
        self.wall_offset = 0.0
        self.sinks_hang = 0
        """How many causes keep the operators' sinks from taking anything."""
        self._registry = registry
        self._observer = observer
        self._policies = policies
        self._dice = dice
        self._batch = batch
        self._channel = Channel(self, registry, path)
        self._desk_channel = Channel(self, registry, path)
        self._attempt = 0
        self._calls = 0
        self._begin(None)

    def boot(self) -> None:
        """Start with nothing."""
        self.up = True
        self._attempt = 0
        self._serving = False
        self._served: set[str] = set()
        self._connect()

    def wall(self) -> float:
        """Its wall clock, in seconds since the epoch."""
        return EPOCH + self.loop.now + self.wall_offset

    def sinks_take_again(self) -> None:
        """One cause less."""
        self.sinks_hang -= 1

    @property
    def holds_notices(self) -> bool:
        """Whether the guard against mass failures is up."""
        return self.judge.guard.holds

    def _begin(self, connection: Connection | None) -> None:
        """Know nothing."""
        self._connection = connection
        self.judge = Judge(self._policies, OBSERVER)
        self._frames: deque[words.Frame] = deque()
        self._waiting: deque[Orders] = deque()
        self._asked: list[Ruling] = []
        self._call = 0
        self._spoke_at = float("-inf")
        self._standing_held = False
        self._cascade_told = ""

    # --- the loop of `Monitor.run` ----------------------------------------------------------------------------------

    def _connect(self) -> None:
        self._begin(None)
        self._channel.open(self._watch)

    def _watch(self, connection: Connection) -> None:
        self._begin(connection)
        connection.on_message[DOWN] = partial(self._read, connection)
        connection.on_end[DOWN] = partial(self._failed, connection)
        self._registry.accept(connection)
        connection.up(words.Observe(OBSERVER))

    def _failed(self, connection: Connection, _: Exception | None = None) -> None:
        if connection is self._connection:
            connection.close(DOWN)
            self._begin(None)
            wait = self._dice.uniform(0.01, min(0.5, 0.05 * 2**self._attempt))
            self._attempt = min(self._attempt + 1, 8)
            self.later(wait, self._connect)

    def _read(self, connection: Connection, word: words.Frame | words.VerdictsApplied) -> None:
        if connection is not self._connection:
            return
        if isinstance(word, words.Frame):
            self._frames.append(word)
            self._go_on()
        elif word.call == self._call:
            self._answered(word.results)

    # --- the loop of `Monitor._watch` -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Judge the next frame, unless an answer is awaited."""
        while self._frames and not self._call and self._connection is not None:
            frame = self._frames.popleft()
            self._registry.frame_read(self._connection)
            judge = self.judge
            judge.learn(frame_of(frame))
            if not judge.complete:
                continue
            self._attempt = 0
            orders = judge.decide(frame.hearing_since, self.wall())
            held_changed = judge.guard.many_fail != self._standing_held
            if not orders.empty or held_changed or judge.now - self._spoke_at >= WORD_EVERY:
                self._waiting = self._requests(orders)
                self._apply_next()
            else:
                self._look_at_mail()

    def _requests(self, orders: Orders) -> deque[Orders]:
        """The orders in calls of a size that the registry takes, as `Monitor._requests`."""
        requests = deque([Orders(withdrawn=orders.withdrawn)])
        count = 0

        def room() -> Orders:
            nonlocal count
            if count >= self._batch:
                requests.append(Orders())
                count = 0
            count += 1
            return requests[-1]

        for ruling in orders.rulings:
            room().rulings.append(ruling)
        for notice in orders.notices:
            room().notices.append(notice)
        for suspicion in orders.standing:
            room().standing.append(suspicion)
        return requests

    def _apply_next(self) -> None:
        connection = self._connection
        if connection is None:
            return
        orders = self._waiting.popleft()
        self._asked = orders.rulings
        self._calls += 1
        self._call = self._calls
        judge = self.judge
        if not self._waiting:  # only when all of it is there the next observer may believe that it was told
            self._cascade_told = judge.cascade_alert_id
        for ruling in orders.rulings:
            if ruling.transition.kind is Kind.DEREGISTER and (judge.guard.active or judge.guard.many_fail):
                self._observer.breach(
                    "GUARD", f"{ruling.transition.service_id} is given up while deregistrations are held"
                )
        connection.up(
            words.ApplyVerdicts(
                call=self._call,
                observer=OBSERVER,
                verdicts=tuple([verdict_of(each) for each in orders.rulings]),
                notices=tuple([notice_of(each) for each in orders.notices]),
                standing=tuple([standing_of(each) for each in orders.standing]),
                withdrawn=tuple(orders.withdrawn),
                standing_held=judge.guard.many_fail,
                cascade_alert_id=self._cascade_told,
                judged_until=judge.now,
            )
        )
        self.later(CALL_TIMEOUT, partial(self._timed_out, connection, self._call))

    def _timed_out(self, connection: Connection, call: int) -> None:
        if call == self._call and connection is self._connection:
            self._failed(connection)

    def _answered(self, results: tuple[VerdictResult, ...]) -> None:
        self._call = 0
        for ruling, result in reversed(list(zip(self._asked, results, strict=True))):
            if result.outcome in (VerdictOutcome.STALE, VerdictOutcome.INVALID):
                self.judge.refused(ruling)
        if self._waiting:
            self._apply_next()
            return
        self._standing_held = self.judge.guard.many_fail
        self._spoke_at = self.judge.now
        self.judge.suspected.clear()
        self._look_at_mail()
        self._go_on()

    # --- the operators' desk ----------------------------------------------------------------------------------------

    def _look_at_mail(self) -> None:
        """As `Desk.serve_for_ever`: hand over what waits, then acknowledge it, one by one."""
        mail = self.judge.mail
        if not mail or self._serving:
            return
        self._serving = True
        self._served &= mail.keys()
        self._serve(list(mail.values()))

    def _serve(self, waiting: list[OpenCopy]) -> None:
        if not waiting:
            self._serving = False
            return
        alert = waiting[0].alert
        if alert.alert_id in self._served:
            self._acknowledge(alert.alert_id, waiting)
        elif self.sinks_hang:
            self.later(REST, partial(self._serve, waiting))
        else:
            self.later(self._dice.uniform(0.0, 0.05), partial(self._told, waiting))

    def _told(self, waiting: list[OpenCopy]) -> None:
        alert = waiting[0].alert
        self._observer.operators_heard(event_of(alert))
        self._served.add(alert.alert_id)
        self._acknowledge(alert.alert_id, waiting)

    def _acknowledge(self, alert_id: str, waiting: list[OpenCopy]) -> None:
        connection = Connection(self.path, self, self._registry)
        life = self._registry.life
        rest = partial(self._serve, waiting[1:])
        over = False

        def answered(_: object) -> None:
            nonlocal over
            if not over:
                over = True
                connection.close(DOWN)
                rest()

        def failed(_: Exception | None = None) -> None:
            nonlocal over
            if not over:
                over = True
                connection.close(DOWN)
                self.later(REST, rest)

        connection.on_message[DOWN] = answered
        connection.on_end[DOWN] = failed
        if self._registry.up and self._registry.life == life:
            self._registry.accept(connection)
            connection.up(words.Acknowledge(alert_id, OPERATORS))
            self.later(5.0, failed)
        else:
            failed()


def frame_of(frame: words.Frame) -> Frame:
    """What the registry tells, in TRON's values."""
    return Frame(
        now=frame.now,
        hearing_since=frame.hearing_since,
        observations=frame.facts,  # type: ignore[arg-type]
        beats=tuple([(beat.incarnation, beat.observation, beat.at) for beat in frame.beats]),
        removed=frame.removed,
        copies=tuple([_copy_of(copy) for copy in frame.copies]),
        copies_ended=frame.copies_ended,
        forebears=tuple([_forebear_of(stone) for stone in frame.forebears]),
        cascade_alert_id=frame.cascade_alert_id,
        snapshot_complete=frame.snapshot_complete,
    )


def facts_of(record: Record, maintenance: Maintenance | None) -> Facts:
    """What the registry tells TRON about a service."""
    spec, judgement = record.spec, record.judgement
    untold = judgement.down_event if judgement.down_event is not None and not judgement.told_to else None
    return Facts(
        service_id=spec.service_id,
        name=spec.name,
        incarnation=record.incarnation,
        observation=record.observation,
        parent=spec.parent,
        interval=spec.heartbeat_interval,
        reconnect_grace=spec.reconnect_grace,
        connected=record.session is not None,
        streamed=record.streamed,
        attached_at=record.attached_at,
        detached_at=record.detached_at,
        heard_at=record.heard_at,
        last_heartbeat_at=record.last_heartbeat_at,
        judged=_STATES[judgement.liveness],
        cause=_CAUSES[judgement.cause],
        judged_at=record.judged_at,
        missed=judgement.missed_beats,
        stall_after=spec.stall_after,
        active_at=record.active_at,
        busy_until_at=record.busy_until_at,
        busy_declared_at=record.busy_declared_at,
        url=spec.url,
        told_to=judgement.told_to,
        untold=None if untold is None else _draft_of(untold),
        folded_into=judgement.folded_into,
        maintained=maintenance is not None,
        maintenance_reason="" if maintenance is None else maintenance.reason,
    )


def verdict_of(ruling: Ruling) -> Verdict:
    """What TRON tells the registry of a transition."""
    transition = ruling.transition
    return Verdict(
        transition.service_id,
        transition.incarnation,
        transition.observation,
        KINDS[transition.kind],
        LivenessCause(transition.cause),
        transition.missed,
        None if ruling.alert is None else event_of(ruling.alert),
        quiet=bool(ruling.hushed),
        folded=ruling.folded,
        folds=ruling.folds,
        further_alerts=tuple([event_of(each) for each in ruling.further]),
    )


def notice_of(notice: Notice) -> RegistryNotice:
    """An alert without a verdict, or one more copy."""
    event = None if notice.alert is None else event_of(notice.alert)
    return RegistryNotice(notice.alert_id, event, notice.climbs_from, notice.told_about)


def standing_of(suspicion: StandingSuspicion) -> RegistryStanding:
    """What the registry is to say by itself."""
    alert = None if suspicion.alert is None else event_of(suspicion.alert)
    return RegistryStanding(suspicion.service_id, suspicion.incarnation, alert)


def event_of(alert: AlertDraft) -> Event:
    """An alert as the registry keeps it."""
    return Event(
        type=alert.type,
        alert_id=alert.alert_id,
        occurred_at=alert.occurred_at,
        severity=Severity(alert.severity),
        service_id=alert.service_id,
        service_name=alert.service_name,
        recipient=alert.recipient,
        cause=LivenessCause(alert.cause),
        missed_beats=alert.missed_beats,
        last_seen_at=alert.last_seen_at,
        action=alert.action,
        message=alert.message,
        details=dict(alert.details),
    )


def _draft_of(event: Event) -> AlertDraft:
    return AlertDraft(
        alert_id=event.alert_id,
        type=event.type,
        severity=AlertSeverity(event.severity),
        service_id=event.service_id,
        service_name=event.service_name,
        recipient=event.recipient,
        cause=Cause(event.cause),
        missed_beats=event.missed_beats,
        occurred_at=event.occurred_at,
        last_seen_at=event.last_seen_at,
        action=event.action,
        message=event.message,
        details=dict(event.details),
    )


def _copy_of(copy: Copy) -> OpenCopy:
    return OpenCopy(_draft_of(copy.event), copy.since, copy.climbed)


def _forebear_of(stone: Tombstone) -> Forebear:
    return Forebear(stone.service_id, stone.name, stone.parent)


_STATES = {int(state): state for state in State}
_CAUSES = {int(cause): cause for cause in Cause}
