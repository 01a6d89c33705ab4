"""An agent's process: the SDK's real session over a simulated link, and a program that takes alerts, if it is well.

The session makes every decision of the heartbeat protocol; here its messages travel on simulated streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any, cast

from grid_model.declaration import Declaration
from grid_model.errors import InvalidRequest, Superseded, TronError
from grid_model.event import Event
from tron_client.alerts import Alert, AlertInbox
from tron_client.protocol import answers, happened, messages
from tron_client.protocol.report import Figures
from tron_client.protocol.session import AgentSession

from registry_server.core import effects
from registry_server.core.service import Report
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
        self, loop: Loop, registry: SimRegistry, observer: Observer, path: Path, spec: Declaration, pid: int, seed: str
    ) -> None:
        super().__init__(loop, f"{spec.service_id}#{pid}")
        self.pid = pid
        self.spec = spec
        self.path = path
        self.dice = Random(seed)
        self.left = False
        """Whether it said goodbye."""
        self.deaf = 0
        """How many causes keep its program from taking alerts."""
        self.stalled = 0
        """How many causes keep its work from making progress, while it beats."""
        self.troubles: dict[object, bool] = {}
        """What is wrong now with it or its link; True: it is the link, and stays behind when it roams."""
        self.hears_since = 0.0
        self.stalled_since: float | None = None
        self.busy_until = 0.0
        """The end of the work that it announced, in virtual time."""
        self.connection: Connection | None = None
        self._registry = registry
        self._observer = observer
        self._channel = Channel(self, registry, path)
        self._instance_ids = 0
        self._session = AgentSession(spec, spec.service_id, spec.heartbeat_interval, self._new_instance_id)
        self._inbox = AlertInbox(self._inbox_emptied)
        self._uses_columns = Random(f"{seed}/columns").random() < 0.5
        """Whether its beats that report nothing new travel in columns, as those of the SDK's shared streams do."""
        self._reported: tuple[object, ...] = ()
        """What it reported last on the stream that is open, and as which incarnation."""
        self._sequence = 0
        self._clean_sequence = 0
        self._clean_registration = False
        self._timer = 0
        self._dispatching = False

    @property
    def incarnation(self) -> int:
        """The incarnation that it holds; 0 before its first registration."""
        return self._session.incarnation

    @property
    def registered_at(self) -> float | None:
        """When the stream that is open began to carry it; None while none does."""
        return self._session.registered_at

    @property
    def may_beat(self) -> bool:
        """Whether its registration was confirmed on the stream that is open."""
        return self._session.confirmed

    @property
    def over(self) -> bool:
        """Whether its session has ended."""
        return self._session.over

    def boot(self) -> None:
        """`Agent.start`."""
        self.up = True
        self._open_stream()

    def stop(self) -> None:
        """`Agent.stop`: say goodbye, within a while."""
        self._inbox.close()
        if not self._session.goodbye("stops"):
            self._finish()
            self.die()
            return
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
        """It beats, and makes no progress."""
        self.stalled += 1
        if self.stalled == 1:
            self.stalled_since = self.loop.now

    def gets_on(self) -> None:
        """It works again."""
        self.stalled -= 1
        if not self.stalled:
            self.stalled_since = None

    def _registry_time(self) -> datetime:
        """The registry's wall clock; read when its answers come, as they carry it."""
        return datetime.fromtimestamp(self._registry.wall(), UTC)

    def declare_busy(self, seconds: float) -> None:
        """`Agent.report(busy_for=...)`, told with a beat at once."""
        self._session.report(Figures(), seconds, self.loop.now, self._registry_time())
        self._session.beat_at_once()
        self.busy_until = self.loop.now + seconds
        self._pump()

    def roams(self, path: Path) -> None:
        """Its host has another network now: what it had on its way is left to the old one."""
        for trouble in [each for each, of_link in self.troubles.items() if of_link]:
            self.healed(trouble)
        self._observer.unwell(self)
        self.path = path
        self._channel.cancel()
        self._channel = Channel(self, self._registry, path)
        if self.connection is not None:
            self._break(self.connection)
        else:
            self.later(0.0, self._open_stream)

    def disturbed(self, trouble: object, *, of_link: bool = False) -> None:
        """Something is wrong with it, or with its link."""
        self.troubles[trouble] = of_link
        self._clean_registration = False
        self._observer.unwell(self)

    def healed(self, trouble: object) -> None:
        """That is over: it is well once what it sends from now on is confirmed."""
        if self.troubles.pop(trouble, None) is not None and not self.troubles:
            self._clean_sequence = self._sequence + 1

    # --- the transport ----------------------------------------------------------------------------------------------

    def _open_stream(self) -> None:
        if not self.over:
            self._channel.open(self._opened)

    def _opened(self, connection: Connection) -> None:
        self.connection = connection
        self._reported = ()
        self._sequence = 0
        self._clean_sequence = 1
        self._session.stream_opened()
        connection.on_message[DOWN] = partial(self._receive, connection)
        connection.on_end[DOWN] = partial(self._ended, connection)
        self._registry.accept(connection)
        self._pump()

    def _break(self, connection: Connection) -> None:
        connection.close(DOWN)
        self._ended(connection, None)

    def _ended(self, connection: Connection, error: Exception | None) -> None:
        if connection is not self.connection:
            return
        self.connection = None
        self._timer += 1
        then = self._session.stream_ended(_stream_error(error), self.loop.now, self.dice.random())
        if isinstance(then, happened.Reconnect):
            self.later(then.delay, self._open_stream)
        else:
            self._handle([then.because] if then.because is not None else [])
            self._finish()

    def _finish(self) -> None:
        self._session.finish()
        self._inbox.close()
        connection, self.connection = self.connection, None
        self._channel.cancel()
        if connection is not None:
            connection.close(DOWN)

    def _wake(self, timer: int) -> None:
        if timer == self._timer:
            self._pump()

    def _pump(self) -> None:
        """Send all that is due, and wake up when more is."""
        session, now = self._session, self.loop.now
        while (connection := self.connection) is not None:
            if not self.stalled and session.beat_due(now):
                session.advance(1)
            message = session.next_message(now)
            if message is None:
                break
            connection.up(self._word(message))
            self.left = self.left or isinstance(message, messages.Goodbye)
            if self.left and not session.sending:
                self._finish()
                self.die()
        self._handle(session.take_happened())
        deadline = None if self.connection is None else session.deadline(now)
        if deadline is not None:
            self._timer += 1
            self.later(deadline - now, partial(self._wake, self._timer))

    def _word(self, message: messages.Outgoing) -> object:
        """The message as it travels; notes what the observer must know of it."""
        match message:
            case messages.Beat():
                self._sequence = message.sequence
                reported = (message.incarnation, message.figures, message.busy_until)
                if self._uses_columns and reported == self._reported:
                    return words.BeatInColumns(
                        message.incarnation, message.sequence, message.activity, message.ack_requested
                    )
                self._reported = reported
                busy_until = None if message.busy_until is None else message.busy_until.timestamp()
                report = Report(message=self.name, activity=message.activity or 0, busy_until=busy_until)
                return words.Beat(
                    message.service_id, message.incarnation, message.sequence, report, message.ack_requested
                )
            case messages.Register():
                self._clean_registration = not self.troubles
                return words.Register(message.declared, message.incarnation, message.instance_id)
            case messages.AlertAck():
                return words.Ack(message.alert_ids)
            case messages.Goodbye():
                return words.Goodbye(message.service_id, message.reason)

    def _receive(self, connection: Connection, word: Any) -> None:
        if connection is not self.connection or self.over:
            return
        self._handle(self._session.receive(_incoming(word, self._registry_time()), self.loop.now))
        if type(word) is words.BeatAck and not self.troubles and word.sequence >= self._clean_sequence:
            self._observer.confirmed(self)

    def _handle(self, events: Sequence[happened.Happened]) -> None:
        for each in events:
            match each:
                case happened.RegistrationConfirmed():
                    self._observer.holds(self, self.incarnation)
                    if self._clean_registration:
                        self._observer.confirmed(self)
                    self._pump()
                case happened.ServiceUnknown():
                    self._pump()
                case happened.AlertReceived():
                    self._offer(each)
                case happened.DownDeclared():
                    self._observer.told_down(self, each.event)
                case happened.TakenOver():
                    self._observer.superseded(self, each.incarnation)
                    self._finish()
                case happened.RegistrationRefused():
                    self._finish()
                case happened.DrainBegan() | happened.StreamGivenUp():
                    if self.connection is not None:
                        self._break(self.connection)

    def _new_instance_id(self) -> str:
        self._instance_ids += 1
        return f"{self.name}/{self._instance_ids}"

    # --- the program ------------------------------------------------------------------------------------------------

    def _offer(self, received: happened.AlertReceived) -> None:
        event: Event = received.event
        self._observer.delivered(self, event)
        reception = self._inbox.offer(Alert(cast(Any, event), self.loop.now, self._acknowledge))
        if self._session.alert_offered(event.alert_id, reception):
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
        self._session.acknowledge(alert_id)
        self._pump()

    def _inbox_emptied(self) -> None:
        self._session.inbox_emptied()
        self._pump()


def _incoming(word: Any, registry_time: datetime) -> answers.Incoming:
    """What came down, as the session reads it."""
    match word:
        case words.BeatAck():
            return answers.BeatAck(word.sequence)
        case effects.Registered():
            spec = word.service.spec
            return answers.Registered(spec.service_id, word.service.incarnation, word.service, registry_time)
        case effects.Alert():
            return answers.Alert(word.event.alert_id, word.event)
        case effects.UnknownService():
            return answers.UnknownService(word.service_id, word.incarnation)
        case effects.SupersededBy():
            return answers.Superseded(word.incarnation)
        case effects.DeclaredDown():
            return answers.DeclaredDown(word.event)
        case words.Drain():
            return answers.Drain(word.reconnect_after)
        case effects.Rejected():
            return answers.Rejected(word.field, word.description)
    raise TypeError(f"{word!r} is no message of a heartbeat stream")


def _stream_error(error: Exception | None) -> answers.StreamError | None:
    """Why a stream ended, as the session reads it."""
    if not isinstance(error, TronError):
        return None if error is None else answers.StreamError("", str(error))
    incarnation = error.incarnation if isinstance(error, Superseded) else 0
    fields = error.fields if isinstance(error, InvalidRequest) else ()
    return answers.StreamError(
        error.reason, str(error), incarnation, tuple((each.field, each.description) for each in fields)
    )
