"""Connects the parts of one `Agent`: its session, its inbox, and the stream that carries it. This module makes no
decisions.

"The lock" is the lock of the `Connection` in this package. It guards the sessions of all streams of that `Connection`.
No callback of the program runs while the lock is held.
"""

from __future__ import annotations

import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from tron_client import forks, leaving
from tron_client.alerts import Alert, AlertInbox
from tron_client.errors import FieldError, InvalidRequest
from tron_client.protocol import happened, stream_log
from tron_client.protocol.session import AgentSession
from tron_client.signals import FAREWELLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grid.registry.v1 import service_pb2

    from tron_client.address import Address
    from tron_client.loop_lag import LoopLag
    from tron_client.models import Service
    from tron_client.protocol.happened import Happened
    from tron_client.protocol.hooks import Hooks
    from tron_client.protocol.report import Figures


class Stream(Protocol):
    """The stream that carries an agent. The caller must hold the lock for `poke` and `abandon`."""

    over: bool

    def poke(self, agent: AgentTransport) -> None:
        """Send the messages that this agent's session has to send."""

    def abandon(self, agent: AgentTransport) -> Call | None:
        """Stop carrying this agent, without a goodbye. Return the gRPC call that must be cancelled, or None."""

    def join(self, timeout: float) -> None:
        """Wait until the stream has ended, for at most `timeout` seconds."""


class Call(Protocol):
    """A gRPC stream that can be cancelled."""

    def cancel(self) -> object:
        """Break the stream."""


class Streams(Protocol):
    """The streams to one Endpoint."""

    lock: threading.RLock
    """The lock that guards the sessions of all agents of these streams."""
    address: Address

    def carry(self, agent: AgentTransport) -> None:
        """Carry this agent on one of the streams. The caller must hold the lock."""

    def after_fork(self) -> None:
        """Drop the streams and replace the lock in a forked child, because the streams belong to the parent process."""


class AgentTransport:
    """Runs the session of one agent on one of the streams to its Endpoint. Thread-safe."""

    def __init__(
        self,
        declared: service_pb2.Service,
        interval: float,
        connection: Streams,
        status: str,
        lag: LoopLag,
        hooks: Hooks,
    ) -> None:
        self.session = AgentSession(declared, declared.service_id, interval, _instance_id, status)
        self.name = declared.name
        self.inbox = AlertInbox(self._inbox_emptied)
        self._connection = connection
        self._changed = threading.Condition(connection.lock)
        """Guards the session, and is notified when the session changed."""
        self._lag = lag
        self._hooks = hooks
        self._unseen = False
        self._started = False
        self._finished = False
        self._inherited = False
        self._carrier: Stream | None = None
        self._last_carrier: Stream | None = None
        forks.watch(self)

    # --- what programs read -----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """The agent's state: starting, connected, cut_off, superseded or stopped. The state is computed at each access,
        so it is correct even if a thread of the SDK has died."""
        with self._changed:
            return self.session.state(time.monotonic())

    @property
    def last_error(self) -> str:
        """The last reason why the agent was not registered, as a text for people; empty while no reason is known."""
        return self.session.last_error

    @property
    def service(self) -> Service | None:
        """The service record that the registry sent last."""
        service: Service | None = self.session.service
        return service

    @property
    def service_id(self) -> str:
        """The service id that was declared, or that the registry assigned."""
        return self.session.service_id

    @property
    def incarnation(self) -> int:
        """The incarnation that the agent holds; 0 before the first registration."""
        return self.session.incarnation

    @property
    def inherited(self) -> bool:
        """Whether the agent was started in the parent process, before this process was forked: in this process it has
        ended."""
        return self._inherited

    @property
    def over(self) -> bool:
        """Whether the agent has ended or is about to end."""
        return self.session.over

    @property
    def superseded_by(self) -> int:
        """The incarnation that superseded the agent; 0 if none did, or if the registry did not send it."""
        return self.session.superseded_by

    def wait_over(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the agent has ended; return whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self.session.over, timeout)

    def wait_registered(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the agent is registered on a stream; return whether it is. Raises
        InvalidRequest if the registry refused the registration."""
        with self._changed:
            self._changed.wait_for(lambda: self.session.over or self.session.registered_at is not None, timeout)
            refused = self.session.refused
            if refused is not None:
                fields = tuple(FieldError(*each) for each in refused.fields)
                raise InvalidRequest(refused.message, fields=fields)
            return self.session.registered_at is not None

    # --- what programs do -------------------------------------------------------------------------------------------

    def reserve(self) -> None:
        """Mark the agent as started in this process, although `start` is called later. In a child that is forked
        meanwhile, the agent then belongs to the parent process."""
        self._started = True

    def start(self) -> None:
        """Start the agent: let a stream carry it."""
        with self._changed:
            if self.session.over:
                return
            forks.connecting()
            self._started = True
            leaving.expect(self)
            self._connection.carry(self)

    def report(self, figures: Figures, busy_for: float | None) -> None:
        """Store the reported values for the next heartbeat; a new status or message is sent at once."""
        with self._changed:
            if self.session.report(figures, busy_for, time.monotonic(), datetime.now(UTC)):
                self._poke()

    def advance(self, steps: int) -> None:
        """Raise the activity counter by `steps`."""
        with self._changed:
            self.session.advance(steps)

    def acknowledge(self, alert_id: str) -> None:
        """Acknowledge an alert: the acknowledgement is sent on the agent's stream."""
        self.inbox.acknowledged(alert_id)
        with self._changed:
            self.session.acknowledge(alert_id)
            self._poke()

    def hand_over(self, *, unseen: bool = False) -> None:
        """Let another process take over the service: when the agent is superseded, this counts as a normal end from now
        on. Heartbeats continue until the agent is superseded.

        `unseen` has the same meaning as in `say_goodbye`.
        """
        self._unseen = self._unseen or unseen
        self.session.hand_over()
        self._close_inbox()

    def step_aside(self, incarnation: int) -> None:
        """End as superseded by this incarnation, although this process never started the agent: the service was taken
        over while this process waited for the service id."""
        with self._changed:
            self.session.step_aside(incarnation)
            events = self.session.take_happened()
        self.handle(events)
        self.finish()

    def say_goodbye(self, reason: str, *, unseen: bool = False) -> None:
        """Begin to leave: send the goodbye as soon as a stream carries the agent.

        `unseen` means that a signal is about to end the program. The program must then not notice that the agent ends;
        otherwise it might exit before the signal ends it.
        """
        self._unseen = self._unseen or unseen
        self._close_inbox()
        with self._changed:  # in one with the opening of a stream, or the registration might slip out meanwhile
            known = self.session.goodbye(reason)
            self._poke()
        if not known:
            self.abandon()

    def join(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until the agent has ended. If the agent's stream carries no other agent, also
        wait until that stream has ended. Return whether the agent has ended."""
        deadline = time.monotonic() + timeout
        with self._changed:
            ended = self._changed.wait_for(lambda: self._finished or self._last_carrier is None, max(0.0, timeout))
            carrier = self._last_carrier
        if carrier is not None and carrier.over:
            carrier.join(deadline - time.monotonic())
        return ended

    def abandon(self) -> None:
        """End the agent without a goodbye: to the registry this looks like a crash."""
        with self._changed:
            call = None if self._carrier is None else self._carrier.abandon(self)
            self.session.abandon()
        if call is not None:
            call.cancel()
        self.finish()

    def after_fork(self) -> None:
        """Detach the agent from the parent's stream in a forked child. An agent that was not started yet may be started
        in the child."""
        self._connection.after_fork()
        self._changed = threading.Condition(self._connection.lock)
        self._carrier = self._last_carrier = None
        self.session.after_fork(started=self._started)
        self._lag.after_fork()
        self.inbox.after_fork(ended=self._started)
        self._inherited = self._inherited or self._started

    # --- the stream's side ------------------------------------------------------------------------------------------

    def carried(self, stream: Stream | None) -> None:
        """Record which stream carries the agent from now on; None if no stream does. The caller must hold the lock."""
        self._carrier = stream
        self._last_carrier = self._last_carrier if stream is None else stream

    def loop_lag(self) -> float | None:
        """Return by how many seconds the program's event loop is late; None if there is no loop, or nothing was
        measured yet."""
        return self._lag.measure()

    def notify(self) -> None:
        """Wake the threads that wait for a change of the session. The caller must hold the lock."""
        self._changed.notify_all()

    def handle(self, events: Sequence[Happened]) -> None:
        """Log each outcome of the session, and call the program's callbacks if an outcome requires it."""
        for each in events:
            if type(each) is happened.AlertReceived:
                self._offer(each)
                continue
            stream_log.happened_to(self.service_id, each)
            match each:
                case happened.RegistrationConfirmed():
                    self._lag.measure()
                case happened.RegistrationDeferred():
                    stream_log.not_connected(self.service_id, self._connection.address, each.message)
                case happened.TakenOver() if not each.expected:
                    self._hooks.superseded(self.service_id, each.incarnation)
                case happened.DownDeclared():
                    self._hooks.declared_down(self.service_id, each.event)

    def finish(self) -> None:
        """Record that the agent has ended, because no stream carries it any more."""
        with self._changed:
            if self._finished:
                return
            self._finished = True
            self.session.finish()
            self._changed.notify_all()
        self._close_inbox()
        leaving.left(self)
        FAREWELLS.left(self)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _poke(self) -> None:
        if self._carrier is not None:
            self._carrier.poke(self)

    def _close_inbox(self) -> None:
        if not self._unseen:
            self.inbox.close()

    def _offer(self, alert: happened.AlertReceived) -> None:
        reception = self.inbox.offer(Alert(alert.event, time.monotonic(), self.acknowledge))
        if reception == "taken":
            return  # the thread that calls the program waits for this one
        if reception == "full" and not self.inbox.closed:
            stream_log.alert_not_taken(self.service_id, alert.alert_id)
        with self._changed:
            if self.session.alert_offered(alert.alert_id, reception):
                self._poke()

    def _inbox_emptied(self) -> None:
        with self._changed:
            self.session.inbox_emptied()
            self._poke()


def _instance_id() -> str:
    return uuid.uuid4().hex
