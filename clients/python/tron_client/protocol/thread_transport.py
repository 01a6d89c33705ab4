"""An `AgentSession` over gRPC and threads: bytes, threads, a lock and a channel, no decisions.

One worker thread opens the stream and reads; grpc's thread pulls the messages that are due, so beats leave whatever the
program does. Whenever a stream ends, the worker asks the session whether and when to open the next one.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc, service_pb2

from tron_client import forks, leaving
from tron_client.alerts import Alert, AlertInbox
from tron_client.channel import TRUST, open_channel
from tron_client.errors import FieldError, InvalidRequest, TronError, from_rpc_error
from tron_client.outages import OUTAGES
from tron_client.protocol import codec, happened, stream_log
from tron_client.protocol.messages import Beat
from tron_client.protocol.session import AgentSession
from tron_client.signals import FAREWELLS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tron_client.address import Address
    from tron_client.loop_lag import LoopLag
    from tron_client.models import Service
    from tron_client.protocol.happened import Happened, Reconnect, Stop
    from tron_client.protocol.hooks import Hooks
    from tron_client.protocol.messages import Outgoing
    from tron_client.protocol.report import Figures
    from tron_client.reachability import Answer

_DRAIN_PATIENCE = 0.5
"""Seconds that a draining registry may take to end a stream that we half-closed."""
_FIRST_PATIENCE, _LATER_PATIENCE = 0.8, 5.0
"""Seconds without a registration until its cause is looked for: at first, and after a stream that broke."""


class ThreadTransport:
    """Runs the session of one agent. Safe from any thread."""

    def __init__(
        self,
        declared: service_pb2.Service,
        interval: float,
        address: Address,
        status: str,
        lag: LoopLag,
        hooks: Hooks,
    ) -> None:
        self._changed = threading.Condition(threading.RLock())
        """Guards the session, and is notified when it has something to send or is over."""
        self._session = AgentSession(declared, declared.service_id, interval, _instance_id, status)
        self._address = address
        self._lag = lag
        self._hooks = hooks
        self.inbox = AlertInbox(self._inbox_emptied)
        self._waits = 0
        self._unseen = False
        self._started = False
        self._inherited = False
        self._channel: grpc.Channel | None = None
        self._generation = 0
        self._streams = 0
        self._call: Any = None
        self._worker = threading.Thread(target=self._run, name=f"tron-{declared.service_id}", daemon=True)
        forks.watch(self)

    # --- what programs read -----------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """starting, connected, cut_off, superseded or stopped; computed, so that no dead thread can leave it wrong."""
        with self._changed:
            return self._session.state(time.monotonic())

    @property
    def last_error(self) -> str:
        """What prevents the registration, or prevented it last, in words; empty while nothing is known."""
        return self._session.last_error

    @property
    def service(self) -> Service | None:
        """The record as the registry sent it last."""
        service: Service | None = self._session.service
        return service

    @property
    def service_id(self) -> str:
        """The id that is declared, or that the registry assigned."""
        return self._session.service_id

    @property
    def incarnation(self) -> int:
        """The incarnation that is held; 0 before the first registration."""
        return self._session.incarnation

    @property
    def inherited(self) -> bool:
        """Whether it was started by the parent of this process: over here, and not ours to end."""
        return self._inherited

    @property
    def over(self) -> bool:
        """Whether it has ended or is about to."""
        return self._session.over

    @property
    def superseded_by(self) -> int:
        """The incarnation that took over; 0 if none did, or the registry did not say it."""
        return self._session.superseded_by

    def wait_over(self, timeout: float) -> bool:
        """Whether it is over within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._session.over, timeout)

    def wait_registered(self, timeout: float) -> bool:
        """Whether registered on a stream within `timeout` seconds. Raises InvalidRequest if the registry refused."""
        with self._changed:
            self._changed.wait_for(lambda: self._session.over or self._session.registered_at is not None, timeout)
            refused = self._session.refused
            if refused is not None:
                fields = tuple(FieldError(*each) for each in refused.fields)
                raise InvalidRequest(refused.message, fields=fields)
            return self._session.registered_at is not None

    # --- what programs do -------------------------------------------------------------------------------------------

    def reserve(self) -> None:
        """It belongs to this process from now on, though it is started later."""
        self._started = True

    def start(self) -> None:
        """Start the worker."""
        if self._session.over:
            return
        forks.connecting()
        self._started = True
        leaving.expect(self)
        self._worker.start()

    def report(self, figures: Figures, busy_for: float | None) -> None:
        """Keep what is given for the next beat; a new status or message is sent at once."""
        with self._changed:
            if self._session.report(figures, busy_for, time.monotonic(), datetime.now(UTC)):
                self._changed.notify_all()

    def advance(self, steps: int) -> None:
        """Raise the activity counter."""
        with self._changed:
            self._session.advance(steps)

    def acknowledge(self, alert_id: str) -> None:
        """Acknowledge an alert over the stream."""
        self.inbox.acknowledged(alert_id)
        with self._changed:
            self._session.acknowledge(alert_id)
            self._changed.notify_all()

    def hand_over(self, *, unseen: bool = False) -> None:
        """Another process is to take over: from now on that is the end that was asked for. Beats go on until then.

        `unseen` as in `say_goodbye`.
        """
        self._unseen = self._unseen or unseen
        self._session.hand_over()
        self._close_inbox()

    def step_aside(self, incarnation: int) -> None:
        """Be superseded without having been started."""
        with self._changed:
            self._session.step_aside(incarnation)
            events = self._session.take_happened()
        self._handle(events)
        self._finish()

    def say_goodbye(self, reason: str, *, unseen: bool = False) -> None:
        """Begin to leave: the goodbye goes out as soon as a stream carries it.

        `unseen`: by the program, which a signal is about to end, and which must not come to its own end before.
        """
        self._unseen = self._unseen or unseen
        self._close_inbox()
        with self._changed:  # in one with the opening of a stream, or the registration might slip out meanwhile
            known = self._session.goodbye(reason)
            self._changed.notify_all()
        if not known:
            self.abandon()

    def join(self, timeout: float) -> bool:
        """Whether the worker ended within `timeout` seconds."""
        if self._worker.ident is not None and threading.current_thread() is not self._worker:
            self._worker.join(max(0.0, timeout))
        return not self._worker.is_alive()

    def abandon(self) -> None:
        """End without a goodbye: to the registry this looks like a crash."""
        with self._changed:
            self._session.abandon()
            call, channel = self._call, self._channel
            self._changed.notify_all()
        self._close_inbox()
        if call is not None:
            call.cancel()
        if channel is not None:
            channel.close()
        if self._worker.ident is None:
            self._finish()

    def after_fork(self) -> None:
        """In a forked child: the stream is the parent's. One that was not started yet may be started here."""
        forks.keep(self._call, self._channel)
        self._changed = threading.Condition(threading.RLock())
        self._call = self._channel = None
        self._session.after_fork(started=self._started)
        self._lag.after_fork()
        self.inbox.after_fork(ended=self._started)
        self._inherited = self._inherited or self._started

    # --- the worker -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._session.over:
                delay = self._hold_stream()
                with self._changed:
                    self._changed.wait_for(lambda: self._session.over, delay)
        finally:
            self._finish()

    def _finish(self) -> None:
        with self._changed:
            self._session.finish()
            channel, self._channel = self._channel, None
            self._changed.notify_all()
        self._close_inbox()
        if channel is not None:
            channel.close()
        leaving.left(self)
        FAREWELLS.left(self)

    def _close_inbox(self) -> None:
        if not self._unseen:
            self.inbox.close()

    def _hold_stream(self) -> float:
        """Open one stream and read it to its end; returns the seconds until the next one should be opened."""
        error: TronError | None = None
        try:
            self._read()
        except grpc.RpcError as failed:
            error = from_rpc_error(failed, self._address)
        except Exception:
            if not self._session.over:  # else the channel was closed under us, as intended
                stream_log.failed(self.service_id)
        with self._changed:
            self._call = None
            then = self._session.stream_ended(codec.stream_error(error), time.monotonic(), random.random())
            self._changed.notify_all()
        return self._ended(then, error)

    def _read(self) -> None:
        with self._changed:
            if self._session.over:
                return
            generation = TRUST.generation
            if self._channel is None or self._generation != generation:
                if self._channel is not None:
                    self._channel.close()
                self._channel = open_channel(self._address, generation)
                self._generation = generation
            self._session.stream_opened()
            self._streams += 1
            self._changed.notify_all()
            stub = registry_service_pb2_grpc.RegistryServiceStub(self._channel)
            # Waits for the connection: the channel tries at most 2 s apart, and a refusal would only add our own wait.
            call = stub.Heartbeat(self._requests(self._streams), wait_for_ready=True)
            self._call = call
            patience = _LATER_PATIENCE if self._session.incarnation else _FIRST_PATIENCE
            self._waits = OUTAGES.begin(self._address, self._found, patience)
        try:
            for response in call:
                self._receive(response)
                if self._session.over:
                    return
        finally:
            OUTAGES.end(self._waits)
            call.cancel()

    def _receive(self, response: heartbeat_pb2.HeartbeatResponse) -> None:
        message = codec.decode(response)
        if message is None:
            return
        with self._changed:
            events = self._session.receive(message, time.monotonic())
            if not events:
                return
            self._changed.notify_all()
        self._handle(events)

    def _ended(self, then: Reconnect | Stop, error: TronError | None) -> float:
        stream_log.ended(self.service_id, self._address, then, error)
        if isinstance(then, happened.Reconnect):
            return then.delay
        if then.because is not None:
            self._handle((then.because,))
        return 0.0

    def _found(self, answer: Answer) -> None:
        words = answer.words if answer.kind != "grpc" else f"{answer.words}, and the registration has no answer yet"
        with self._changed:
            new = self._session.hindered(words)
        if new:
            stream_log.not_connected(self.service_id, self._address, words)

    # --- what goes up -----------------------------------------------------------------------------------------------

    def _requests(self, stream: int) -> Iterator[heartbeat_pb2.HeartbeatRequest]:
        """The messages of one stream. gRPC asks for the next one when the one before has left."""
        while (message := self._next_message(stream)) is not None:
            yield codec.encode(message, (self._lag.measure(),) if isinstance(message, Beat) else ())

    def _next_message(self, stream: int) -> Outgoing | None:
        """Wait for the next message; None once there is none on this stream."""
        session = self._session
        message: Outgoing | None = None
        events: Sequence[Happened] = ()
        with self._changed:
            while stream == self._streams:
                now = time.monotonic()
                message = session.next_message(now)
                events = session.take_happened()
                if message is not None or not session.sending:
                    break
                deadline = session.deadline(now)
                self._changed.wait(None if deadline is None else deadline - now)
        if events:
            self._handle(events)
        return message

    # --- what happened ----------------------------------------------------------------------------------------------

    def _handle(self, events: Sequence[Happened]) -> None:
        """Log what happened, and do what it asks of the program and of the stream."""
        for each in events:
            stream_log.happened_to(self.service_id, each)
            match each:
                case happened.RegistrationConfirmed():
                    self._lag.measure()
                    if each.first:
                        OUTAGES.end(self._waits)
                case happened.AlertReceived():
                    self._offer(each)
                case happened.RegistrationDeferred():
                    stream_log.not_connected(self.service_id, self._address, each.message)
                case happened.TakenOver() if not each.expected:
                    self._hooks.superseded(self.service_id, each.incarnation)
                case happened.DownDeclared():
                    self._hooks.declared_down(self.service_id, each.event)
                case happened.DrainBegan():
                    timer = threading.Timer(_DRAIN_PATIENCE, self._call.cancel)
                    timer.daemon = True
                    timer.start()
                case happened.StreamGivenUp():
                    self._break_connection()

    def _offer(self, alert: happened.AlertReceived) -> None:
        reception = self.inbox.offer(Alert(alert.event, time.monotonic(), self.acknowledge))
        if reception == "full" and not self.inbox.closed:
            stream_log.alert_not_taken(self.service_id, alert.alert_id)
        with self._changed:
            if self._session.alert_offered(alert.alert_id, reception):
                self._changed.notify_all()

    def _inbox_emptied(self) -> None:
        with self._changed:
            self._session.inbox_emptied()
            self._changed.notify_all()

    def _break_connection(self) -> None:
        """The registry does not answer on this stream: break it, and do not trust its connection again."""
        with self._changed:
            call = self._call
        TRUST.give_up(self._generation)
        if call is not None:
            call.cancel()


def _instance_id() -> str:
    return uuid.uuid4().hex
