"""TRON's process: the real judge inside a model of `tron.monitor` and `tron.operator_relay`. All of TRON is here.

It reads frames one by one, judges, has its orders applied and waits for the answer; whatever goes wrong, it begins
again with nothing but the next snapshot. Its relay hands operators what waits for them, and acknowledges it.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from random import Random

from grid_model.event import OPERATORS
from grid_model.observation import Delivery, Frame
from grid_model.verdict import VerdictOutcome, VerdictResult

from tests.simulation import words
from tests.simulation.loop import Loop, Process
from tests.simulation.network import DOWN, Channel, Connection, Path
from tests.simulation.observer import Observer
from tests.simulation.sim_registry import EPOCH, SimRegistry
from tests.simulation.translation import Translator
from tron.facts import Kind
from tron.judge import Judge
from tron.monitor import CALL_TIMEOUT, REPORT_EVERY
from tron.operator_relay import RETRY_DELAY
from tron.orders import Orders, Ruling
from tron.policy import Policies

OBSERVER = "tron"


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
        translator: Translator,
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
        self._translator = translator
        self._channel = Channel(self, registry, path)
        self._relay_channel = Channel(self, registry, path)
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
        self._frames: deque[Frame] = deque()
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

    def _read(self, connection: Connection, word: Frame | words.VerdictsApplied) -> None:
        if connection is not self._connection:
            return
        if isinstance(word, Frame):
            self._frames.append(word)
            self._go_on()
        elif word.call == self._call:
            self._answered(word.results)

    # --- the loop of `Monitor._watch` -------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Judge the next frame, unless an answer is awaited."""
        while self._frames and not self._call and self._connection is not None:
            frame = self._frames.popleft()
            self._registry.observers.read(self._connection)
            judge = self.judge
            told = self._translator.frame(frame)
            judge.learn(told)
            if not judge.complete:
                continue
            self._attempt = 0
            orders = judge.decide(told.hearing_since, self.wall())
            held_changed = judge.guard.many_fail != self._standing_held
            urgent = bool(told.observations or told.removed)
            if not orders.empty or urgent or held_changed or judge.now - self._spoke_at >= REPORT_EVERY:
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
        for copy in orders.copies:
            room().copies.append(copy)
        for suspicion in orders.preauthorized:
            room().preauthorized.append(suspicion)
        return requests

    def _apply_next(self) -> None:
        connection = self._connection
        if connection is None:
            return
        orders = self._waiting.popleft()
        self._asked = orders.rulings
        self._calls += 1
        self._call = self._calls
        judge, translator = self.judge, self._translator
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
                verdicts=tuple([translator.verdict(each.verdict()) for each in orders.rulings]),
                copies=tuple([translator.copy(each) for each in orders.copies]),
                standing=tuple([translator.suspicion(each) for each in orders.preauthorized]),
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

    # --- the relay to operators -------------------------------------------------------------------------------------

    def _look_at_mail(self) -> None:
        """As `OperatorRelay.run`: hand over what waits, then acknowledge it, one by one."""
        mail = self.judge.for_operators
        if not mail or self._serving:
            return
        self._serving = True
        self._served &= mail.keys()
        self._serve(list(mail.values()))

    def _serve(self, waiting: list[Delivery]) -> None:
        if not waiting:
            self._serving = False
            return
        alert = waiting[0].event
        if alert.alert_id in self._served:
            self._acknowledge(alert.alert_id, waiting)
        elif self.sinks_hang:
            self.later(RETRY_DELAY, partial(self._serve, waiting))
        else:
            self.later(self._dice.uniform(0.0, 0.05), partial(self._told, waiting))

    def _told(self, waiting: list[Delivery]) -> None:
        alert = waiting[0].event
        self._observer.operators_heard(alert)
        self._served.add(alert.alert_id)
        self._acknowledge(alert.alert_id, waiting)

    def _acknowledge(self, alert_id: str, waiting: list[Delivery]) -> None:
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
                self.later(RETRY_DELAY, rest)

        connection.on_message[DOWN] = answered
        connection.on_end[DOWN] = failed
        if self._registry.up and self._registry.life == life:
            self._registry.accept(connection)
            connection.up(words.Acknowledge(alert_id, OPERATORS))
            self.later(5.0, failed)
        else:
            failed()
