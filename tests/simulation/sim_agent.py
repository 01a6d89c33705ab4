"""An agent's process: the SDK's schedules and its inbox, inside a model of its session.

The model has their table of reactions: what is done on each word of the registry, and on each way in which a stream
ends. Around it is a program that takes alerts and acknowledges them, if it is well.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any, cast

from tron_client.alerts import Alert, AlertInbox
from tron_client.protocol.send_queue import ANSWER_PATIENCE
from tron_client.schedule import Backoff, BeatSchedule, CutOff

from registry_server.core import effects
from registry_server.core.errors import InvalidRequest
from registry_server.core.service import Event, Report, ServiceSpec
from tests.simulation import words
from tests.simulation.loop import Loop, Process
from tests.simulation.network import DOWN, Channel, Connection, Path
from tests.simulation.observer import Observer
from tests.simulation.sim_registry import SimRegistry

STOP_PATIENCE = 2.0
"""Seconds that `Agent.stop` tries to say goodbye."""


class SimAgent(Process):
    """One process under a service_id. Another that is started later under the same id is another process."""

    def __init__(
        self, loop: Loop, registry: SimRegistry, observer: Observer, path: Path, spec: ServiceSpec, pid: int, seed: str
    ) -> None:
        super().__init__(loop, f"{spec.service_id}#{pid}")
        self.pid = pid
        self.spec = spec
        self.path = path
        self.dice = Random(seed)
        self.state = "starting"
        self.incarnation = 0
        self.over = False
        self.left = False
        """Whether it said goodbye."""
        self.deaf = 0
        """How many causes keep its program from taking alerts."""
        self.stalled = 0
        """How many causes keep its work from going on, while it beats."""
        self.troubles: dict[object, bool] = {}
        """What is wrong now with it or its link; True: it is the link, and stays behind when it roams."""
        self.hears_since = 0.0
        self.stalled_since: float | None = None
        self.busy_until = 0.0
        """Until when it announced to be busy, in virtual time."""
        self.registered_at: float | None = None
        self.connection: Connection | None = None
        self._registry = registry
        self._observer = observer
        self._channel = Channel(self, registry, path)
        self._schedule = BeatSchedule(spec.heartbeat_interval)
        self._backoff = Backoff()
        self._cut_off = CutOff(spec.heartbeat_interval)
        self._inbox = AlertInbox(self._reattach)
        self._words = 0
        self._sequence = 0
        self._clean_sequence = 0
        self._clean_registration = False
        self._busy_until: float | None = None
        self._activity = 0
        self._reconnect_in: float | None = None
        self._instance_id = self._fresh_word()
        self._registration: words.Register | None = None
        self._announced_at: float | None = None
        self._registered = False
        self._beat_now = False
        self._acks: dict[str, None] = {}
        self._goodbye: words.Goodbye | None = None
        self._timer = 0
        self._dispatching = False

    def boot(self) -> None:
        """`Agent.start`."""
        self.up = True
        self._open_stream()

    def stop(self) -> None:
        """`Agent.stop`: say goodbye, within a while."""
        self._inbox.close()
        self._goodbye = words.Goodbye(self.spec.service_id, "stops")
        self._pump()
        if self.up:
            self.later(STOP_PATIENCE, self.die)

    def goes_deaf(self) -> None:
        """Its program hangs in a callback: it takes no alerts."""
        self.deaf += 1

    def hears_again(self) -> None:
        """Its program takes alerts again."""
        self.deaf -= 1
        if not self.deaf:
            self.hears_since = self.loop.now
            self._dispatch_soon()

    def stalls(self) -> None:
        """It beats, and gets nothing done."""
        self.stalled += 1
        if self.stalled == 1:
            self.stalled_since = self.loop.now

    def gets_on(self) -> None:
        """It works again."""
        self.stalled -= 1
        if not self.stalled:
            self.stalled_since = None

    def declare_busy(self, seconds: float) -> None:
        """`Agent.report(busy_for=...)`, told with a beat at once."""
        self._busy_until = self._registry.wall() + seconds
        self.busy_until = self.loop.now + seconds
        self._beat_now = True
        self._pump()

    def roams(self, path: Path) -> None:
        """Its host has another network now: what it had on its way is left to the old one."""
        for trouble in [each for each, of_link in self.troubles.items() if of_link]:
            self.healed(trouble)
        self._observer.unwell(self)
        self.path = path
        self._channel.cancel()
        self._channel = Channel(self, self._registry, path)
        connection = self.connection
        if connection is not None:
            connection.close(DOWN)
            self._ended(connection, None)
        else:
            self.later(0.0, self._open_stream)

    def disturbed(self, trouble: object, *, of_link: bool = False) -> None:
        """Something is wrong with it, or with its link."""
        self.troubles[trouble] = of_link
        self._clean_registration = False
        self._observer.unwell(self)

    def healed(self, trouble: object) -> None:
        """That is over: it is well when it is confirmed for what it says from now on."""
        if self.troubles.pop(trouble, None) is not None and not self.troubles:
            self._clean_sequence = self._sequence + 1

    # --- the session ------------------------------------------------------------------------------------------------

    def _open_stream(self) -> None:
        if not self.over:
            self._reconnect_in = None
            self._channel.open(self._opened)

    def _opened(self, connection: Connection) -> None:
        self.connection = connection
        self._sequence = 0
        self._clean_sequence = 1
        self._registration, self._announced_at = self._compose_registration(), None
        self._registered = False
        self._schedule.stop()
        connection.on_message[DOWN] = partial(self._heed, connection)
        connection.on_end[DOWN] = partial(self._ended, connection)
        self._registry.accept(connection)
        self._pump()

    def _ended(self, connection: Connection, error: Exception | None) -> None:
        """As `AgentSession.stream_ended`."""
        if connection is not self.connection:
            return
        self.connection = None
        self._schedule.stop()
        self._timer += 1
        was_registered, self.registered_at = self.registered_at, None
        if self.over:
            return
        if self.state == "connected":
            self.state = "cut_off"
        if isinstance(error, InvalidRequest) and was_registered is None and not self.incarnation:
            self._finish("refused")
            return
        if was_registered is not None:
            self._backoff.ended(self.loop.now - was_registered)
        delay = self._reconnect_in
        if delay is None:
            delay = self._backoff.next_delay(self.dice.random())
        self.later(delay, self._open_stream)

    def _give_up(self) -> None:
        connection = self.connection
        if connection is not None:
            connection.close(DOWN)
            self._ended(connection, None)

    def _heed(self, connection: Connection, word: Any) -> None:
        """As `AgentSession.receive`."""
        if connection is not self.connection or self.over:
            return
        kind = type(word)
        if kind is words.BeatAck:
            self._cut_off.heard(self.loop.now)
            if not self.troubles and word.sequence >= self._clean_sequence:
                self._observer.confirmed(self)
        elif kind is effects.Registered:
            self._take_registered(word.service.incarnation)
        elif kind is effects.Alert:
            self._receive(word.event)
        elif kind is effects.UnknownService:
            if self.incarnation:
                self._forget_incarnation()
                self._announce(pause_beats=True)
        elif kind is effects.SupersededBy:
            self._observer.superseded(self, word.incarnation)
            self._finish("superseded")
        elif kind is effects.DeclaredDown:
            self._observer.told_down(self, word.event)
        elif kind is words.Drain:
            self._reconnect_in = self.dice.uniform(0.0, word.reconnect_after)
            connection.close(DOWN)
            self._ended(connection, None)

    @property
    def may_beat(self) -> bool:
        """Whether it was told that it is registered on the stream that is open."""
        return self._registered

    def _take_registered(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.state = "connected"
        self._cut_off.heard(self.loop.now)
        if self.registered_at is None:
            self.registered_at = self.loop.now
        if not self._schedule.running:
            self._schedule.start(self.loop.now if self._announced_at is None else self._announced_at)
        self._registered, self._announced_at = True, None
        self._observer.holds(self, incarnation)
        if self._clean_registration:
            self._observer.confirmed(self)
        self._pump()

    def _finish(self, state: str) -> None:
        self.state, self.over = state, True
        self.registered_at = None
        self._inbox.close()
        connection, self.connection = self.connection, None
        self._channel.cancel()
        if connection is not None:
            connection.close(DOWN)

    def _reattach(self) -> None:
        if self.registered_at is not None:
            self._announce(pause_beats=False)

    def _forget_incarnation(self) -> None:
        self.incarnation, self._instance_id = 0, self._fresh_word()

    def _fresh_word(self) -> str:
        self._words += 1
        return f"{self.name}/{self._words}"

    def _compose_registration(self) -> words.Register:
        return words.Register(self.spec, self.incarnation, self._instance_id)

    def _beat(self, now: float) -> bool:
        """As `AgentSession._beat`. False: nobody answers on this stream, it was given up."""
        if self._cut_off.is_lost(now):
            self._give_up()
            return False
        self._cut_off.beaten(now)
        self._sequence += 1
        if not self.stalled:
            self._activity += 1
        report = Report(message=self.name, activity=self._activity, busy_until=self._busy_until)
        assert self.connection is not None
        self.connection.up(
            words.Beat(self.spec.service_id, self.incarnation, self._sequence, report, self._cut_off.asks)
        )
        return True

    # --- what it sends ---------------------------------------------------------------------------------------------

    def _announce(self, *, pause_beats: bool) -> None:
        self._registration = self._compose_registration()
        if pause_beats:
            self._registered = False
            self._schedule.stop()
        self._pump()

    def _wake(self, timer: int) -> None:
        if timer == self._timer:
            self._pump()

    def _pump(self) -> None:
        """As `AgentSession.next_message`, for as long as there is something to send."""
        while (connection := self.connection) is not None:
            now = self.loop.now
            if self._registration is not None:
                connection.up(self._registration)
                self._clean_registration = not self.troubles
                self._registration, self._announced_at = None, now
                continue
            if self._acks and self._registered:
                connection.up(words.Ack(tuple(self._acks)))
                self._acks.clear()
                continue
            if self._goodbye is not None:
                connection.up(self._goodbye)
                self.left = True
                self._finish("stopped")
                self.die()
                return
            due_in = self._schedule.due_in(now)
            if due_in == 0.0 or (self._beat_now and due_in is not None):
                self._beat_now = False
                self._schedule.beaten(now)
                if not self._beat(now):
                    return
                continue
            patience = None if self._announced_at is None else self._announced_at + ANSWER_PATIENCE - now
            if patience is not None and patience <= 0:
                self._give_up()
                return
            waits = [each for each in (due_in, patience) if each is not None]
            if waits:
                self._timer += 1
                self.later(min(waits), partial(self._wake, self._timer))
            return

    # --- the program ------------------------------------------------------------------------------------------------

    def _receive(self, event: Event) -> None:
        self._observer.delivered(self, event)
        alert = Alert(cast(Any, event), self.loop.now, self._acknowledge)
        reception = self._inbox.offer(alert)
        if reception == "acknowledged":
            self._acks[event.alert_id] = None
            self._pump()
        elif reception == "taken":
            self._dispatch_soon()

    def _dispatch_soon(self) -> None:
        if not self._dispatching and not self.deaf:
            self._dispatching = True
            self.later(self.dice.uniform(0.0, 0.2), self._dispatch)

    def _dispatch(self) -> None:
        self._dispatching = False
        if self.deaf or self.over:
            return
        alert = self._inbox.take(0.0)
        if alert is not None:
            self._observer.heeded(self, alert.alert_id)
            alert.acknowledge()
            self._inbox.handled(alert.alert_id)
            self._dispatch_soon()

    def _acknowledge(self, alert_id: str) -> None:
        self._inbox.acknowledged(alert_id)
        self._acks[alert_id] = None
        self._pump()
