"""TRON's process: the real session and judge, with a simulated link, and a model of `tron.operator_relay`.

It reads frames one by one, judges, has its orders applied and waits for the answer; whatever goes wrong, it begins
again with nothing but the next snapshot. Its relay hands operators what waits for them, and acknowledges it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from random import Random

from grid_model.event import OPERATORS
from grid_model.observation import Delivery, Frame
from grid_model.verdict import VerdictResult

from tests.simulation import words
from tests.simulation.loop import Loop, Process
from tests.simulation.network import DOWN, Channel, Connection, Path
from tests.simulation.observer import Observer
from tests.simulation.sim_registry import EPOCH, SimRegistry
from tests.simulation.translation import Translator
from tron.facts import Kind
from tron.judge import Judge
from tron.monitor import CALL_TIMEOUT
from tron.operator_relay import RETRY_DELAY
from tron.orders import Orders
from tron.policy import Policies
from tron.session import Call, Session

OBSERVER = "tron"
END = object()


class SimTron(Process):
    """One TRON. It keeps nothing: each life begins with a snapshot. Its sinks keep what they received."""

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
        self._session = Session(self.judge, self._batch)
        self._parts: Iterator[None] | None = None
        """What is left of the decisions on a frame; None between two frames."""
        self._all_decided = False
        self._orders = Orders()
        """Those that are on their way, in these calls."""
        self._waiting: deque[Call] = deque()
        self._sent = Call(slice(0), slice(0), slice(0), slice(0), (), False, "", 0.0, None)
        self._call = 0
        """The number of the call that is under way; 0 for none."""

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

    # --- frames, as `Monitor._watch` carries them -------------------------------------------------------------------

    def _go_on(self) -> None:
        """Judge until an answer, or a frame, is awaited."""
        while self._connection is not None and self._proceed():
            pass

    def _proceed(self) -> bool:
        """One step. Return False if something must arrive first."""
        session = self._session
        if self._parts is None:
            return self._next_frame()
        if not self._all_decided:
            if self._call and session.must_wait:
                return False
            self._all_decided = next(self._parts, END) is END
            if session.has_orders and not self._call:
                self._send()
            return True
        if self._call:
            return False
        if session.has_orders or session.report_is_due:
            self._send()
            return True
        self._parts = None
        self.judge.suspected.clear()
        self._look_at_mail()
        return True

    def _next_frame(self) -> bool:
        if not self._frames or self._connection is None:
            return False
        frame = self._frames.popleft()
        self._registry.observers.read(self._connection)
        if self._session.read(self._translator.frame(frame)):
            self._attempt = 0
            self._parts = self._session.decide(self.wall())
            self._all_decided = False
        return True

    def _send(self) -> None:
        orders = self._orders = self._session.take()
        rulings, copies, suspicions, deadlines = (
            [1] * len(each) for each in (orders.rulings, orders.copies, orders.preauthorized, orders.deadlines)
        )
        self._waiting = deque(
            self._session.calls(rulings, copies, suspicions, deadlines, orders.withdrawn, self._batch)
        )
        self._apply_next()

    def _apply_next(self) -> None:
        connection = self._connection
        if connection is None:
            return
        call = self._sent = self._waiting.popleft()
        self._calls += 1
        self._call = self._calls
        orders, guard, translator = self._orders, self.judge.guard, self._translator
        rulings = orders.rulings[call.rulings]
        for ruling in rulings:
            if ruling.transition.kind is Kind.DEREGISTER and (guard.active or guard.many_fail):
                self._observer.breach(
                    "GUARD", f"{ruling.transition.service_id} is given up while deregistrations are held"
                )
        connection.up(
            words.ApplyVerdicts(
                call=self._call,
                observer=OBSERVER,
                verdicts=tuple([translator.verdict(each.verdict()) for each in rulings]),
                copies=tuple([translator.copy(each) for each in orders.copies[call.copies]]),
                standing=tuple([translator.suspicion(each) for each in orders.preauthorized[call.preauthorized]]),
                withdrawn=tuple(call.withdrawn),
                standing_held=call.held,
                cascade_alert_id=call.cascade_alert_id,
                judged_until=call.judged_until,
                idle_until=call.idle_until,
                deadlines=tuple(translator.deadlines(orders.deadlines[call.deadlines])),
            )
        )
        self.later(CALL_TIMEOUT, partial(self._timed_out, connection, self._call))

    def _timed_out(self, connection: Connection, call: int) -> None:
        if call == self._call and connection is self._connection:
            self._failed(connection)

    def _answered(self, results: tuple[VerdictResult, ...]) -> None:
        self._call = 0
        self._session.answered(self._orders.rulings[self._sent.rulings], [each.outcome for each in results])
        if self._waiting:
            self._apply_next()
            return
        self._session.all_answered()
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
