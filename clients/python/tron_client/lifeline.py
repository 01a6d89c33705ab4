"""The one stream of an agent, kept up for as long as the agent lives.

One worker thread opens the stream and reads; grpc's thread pulls the beats from the outbox. Whatever ends the stream,
the worker opens the next one, until the agent leaves, is superseded, or was never acceptable.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from grid.registry.v1 import heartbeat_pb2, registry_service_pb2_grpc, service_pb2

from tron_client import forks, leaving, wire
from tron_client.alerts import Alert, AlertInbox
from tron_client.channel import TRUST, open_channel
from tron_client.errors import FieldError, InvalidRequest, Superseded, TronError, UnknownIncarnation, from_rpc_error
from tron_client.models import Event, Service
from tron_client.outages import OUTAGES
from tron_client.outbox import Outbox
from tron_client.schedule import Backoff, CutOff
from tron_client.signals import FAREWELLS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tron_client.address import Address
    from tron_client.loop_lag import LoopLag
    from tron_client.reachability import Answer
    from tron_client.vitals import Vitals

_log = logging.getLogger("tron_client")

_DRAIN_PATIENCE = 0.5
"""Seconds that a draining registry may take to end a stream that we half-closed."""
_FIRST_PATIENCE, _LATER_PATIENCE = 0.8, 5.0
"""Seconds without a registration until it is looked what stands in the way: at first, and after a stream that broke."""
_MOST_TROUBLES = 20
"""Distinct causes that are logged between two registrations."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Whom to call; each call has a short-lived thread of its own, so that it can not hold up the stream."""

    on_superseded: Callable[[int], object] | None
    on_declared_down: Callable[[Event], object] | None


class Lifeline:
    """Registers a service and keeps it registered and beating. Safe from any thread."""

    def __init__(
        self,
        declared: service_pb2.Service,
        interval: float,
        address: Address,
        vitals: Vitals,
        lag: LoopLag,
        hooks: Hooks,
    ) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._declared = declared
        self._address = address
        self._vitals = vitals
        self._lag = lag
        self._hooks = hooks
        self._outbox = Outbox(interval, self._compose_beat, self._give_up)
        self.inbox = AlertInbox(self._reattach)
        self._backoff = Backoff()
        self._cut_off = CutOff(interval)
        self._state = "starting"
        self._service: Service | None = None
        self._service_id = declared.service_id
        self._incarnation = 0
        self._instance_id = uuid.uuid4().hex
        self._sequence = 0
        self._registered_at: float | None = None
        self._reconnect_in: float | None = None
        self._failure: InvalidRequest | None = None
        self._last_error = ""
        self._troubles: set[str] = set()
        self._waits = 0
        self._rejected: set[str] = set()
        self._over = False
        self._told_cut = False
        self._unseen = False
        self._started = False
        self._inherited = False
        self._handing_over = False
        self._superseded_by = 0
        self._channel: grpc.Channel | None = None
        self._generation = 0
        self._call: Any = None
        self._worker = threading.Thread(target=self._run, name=f"tron-{declared.service_id}", daemon=True)
        forks.watch(self)

    @property
    def state(self) -> str:
        """starting, connected, cut_off, superseded or stopped; computed, so that no dead thread can leave it wrong."""
        with self._changed:
            cut = self._state == "connected" and self._cut_off.is_cut(time.monotonic())
            return "cut_off" if cut else self._state

    @property
    def last_error(self) -> str:
        """What stands, or stood last, in the way of the registration, in words; empty while nothing is known to."""
        return self._last_error

    @property
    def service(self) -> Service | None:
        """The record as the registry told it last."""
        return self._service

    @property
    def service_id(self) -> str:
        """The id that is declared, or that the registry assigned."""
        return self._service_id

    @property
    def incarnation(self) -> int:
        """The incarnation that is held; 0 before the first registration."""
        return self._incarnation

    @property
    def inherited(self) -> bool:
        """Whether it was started by the parent of this process: over here, and not ours to end."""
        return self._inherited

    def after_fork(self) -> None:
        """In a forked child: the stream is the parent's. One that was not started yet may be, as a process of its own.

        The parent's copy and ours must not pass for one, so ours gets a word of its own.
        """
        forks.keep(self._call, self._channel)
        self._changed = threading.Condition(threading.RLock())
        self._instance_id = uuid.uuid4().hex
        self._call = self._channel = None
        for each in (self._outbox, self._vitals, self._lag):
            each.after_fork()
        self.inbox.after_fork(ended=self._started)
        if self._started:
            self._inherited = self._over = True
            self._registered_at = None
            if self._state != "superseded":
                self._state, self._last_error = "stopped", "it is an agent of the parent of this process"

    @property
    def over(self) -> bool:
        """Whether it has ended or is about to."""
        return self._over

    @property
    def superseded_by(self) -> int:
        """The incarnation that took over; 0 if none did, or it was not told."""
        return self._superseded_by

    def wait_over(self, timeout: float) -> bool:
        """Whether it is over within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._over, timeout)

    def reserve(self) -> None:
        """It belongs to this process from now on, though it is started later."""
        self._started = True

    def hand_over(self, *, unseen: bool = False) -> None:
        """Another process is to take over: from now on that is the end that was asked for. Beats go on until then.

        `unseen` as in `say_goodbye`.
        """
        self._unseen = self._unseen or unseen
        self._handing_over = True
        self._close_inbox()

    def step_aside(self, incarnation: int) -> None:
        """Be superseded without having been started."""
        with self._changed:
            self._step_down(incarnation)
        self._finish()

    def start(self) -> None:
        """Start the worker."""
        if self._over:
            return
        forks.connecting()
        self._started = True
        leaving.expect(self)
        self._worker.start()

    def wait_registered(self, timeout: float) -> bool:
        """Whether registered on a stream within `timeout` seconds. Raises InvalidRequest where the registry refused."""
        with self._changed:
            self._changed.wait_for(lambda: self._over or self._registered_at is not None, timeout)
            if self._failure is not None:
                raise self._failure
            return self._registered_at is not None

    def beat_now(self) -> None:
        """Beat at once beside the schedule."""
        self._outbox.beat_now()

    def acknowledge(self, alert_id: str) -> None:
        """Acknowledge an alert over the stream."""
        self.inbox.acknowledged(alert_id)
        self._outbox.acknowledge(alert_id)

    def say_goodbye(self, reason: str, *, unseen: bool = False) -> None:
        """Begin to leave: the goodbye goes out as soon as a stream carries it.

        `unseen`: by the program, which a signal is about to end, and which must not come to its own end before.
        """
        self._unseen = self._unseen or unseen
        self._close_inbox()
        with self._changed:  # in one with the opening of a stream, or the registration might slip out meanwhile
            unknown = not self._incarnation and self._outbox.withdraw()
            self._over = self._over or unknown
        if unknown:
            self.abandon()  # nobody knows us, so there is nobody to take leave of
        self._outbox.say_goodbye(heartbeat_pb2.Goodbye(service_id=self._service_id, reason=reason))

    def join(self, timeout: float) -> bool:
        """Whether the worker ended within `timeout` seconds."""
        if self._worker.ident is not None and threading.current_thread() is not self._worker:
            self._worker.join(max(0.0, timeout))
        return not self._worker.is_alive()

    def abandon(self) -> None:
        """End without a goodbye: to the registry this looks like a crash."""
        with self._changed:
            self._over = True
            call, channel = self._call, self._channel
            self._changed.notify_all()
        self._outbox.close()
        self._close_inbox()
        if call is not None:
            call.cancel()
        if channel is not None:
            channel.close()
        if self._worker.ident is None:
            self._finish()

    def _run(self) -> None:
        try:
            while not self._over:
                delay = self._hold_stream()
                with self._changed:
                    if self._outbox.said_goodbye:
                        self._over = True
                    self._changed.wait_for(lambda: self._over, delay)
        finally:
            self._finish()

    def _finish(self) -> None:
        with self._changed:
            self._over, self._registered_at = True, None
            if self._state != "superseded":
                self._state = "stopped"
            channel, self._channel = self._channel, None
            self._changed.notify_all()
        self._outbox.close()
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
        self._reconnect_in = None
        error: TronError | None = None
        try:
            self._read()
        except grpc.RpcError as failed:
            error = from_rpc_error(failed, self._address)
        except Exception:
            if not self._over:  # else the channel was closed under us, as intended
                _log.exception("stream_failed service_id=%s", self._service_id)
        finally:
            self._outbox.close()
        return self._ended(error)

    def _read(self) -> None:
        with self._changed:
            if self._over:
                return
            generation = TRUST.generation
            if self._channel is None or self._generation != generation:
                if self._channel is not None:
                    self._channel.close()
                self._channel = open_channel(self._address, generation)
                self._generation = generation
            self._sequence = 0
            stub = registry_service_pb2_grpc.RegistryServiceStub(self._channel)
            # Waits for the connection: the channel tries at most 2 s apart, and a refusal would only add our own wait.
            call = stub.Heartbeat(self._outbox.open(self._registration()), wait_for_ready=True)
            self._call = call
            patience = _LATER_PATIENCE if self._incarnation else _FIRST_PATIENCE
            self._waits = OUTAGES.begin(self._address, self._found, patience)
        try:
            for response in call:
                self._heed(response)
                if self._over:
                    return
        finally:
            OUTAGES.end(self._waits)
            call.cancel()

    def _ended(self, error: TronError | None) -> float:
        now = time.monotonic()
        with self._changed:
            self._call = None
            was_registered, self._registered_at = self._registered_at, None
            if self._over:
                return 0.0
            if self._state == "connected":
                self._state = "cut_off"
            match error:
                case InvalidRequest() if was_registered is None and not self._incarnation:
                    self._refuse(error)
                    return 0.0
                case Superseded():
                    self._step_down(error.incarnation)
                    return 0.0
                case UnknownIncarnation():
                    self._forget_incarnation()
            if was_registered is not None:
                self._vitals.untold()
                self._backoff.ended(now - was_registered)
            delay = self._reconnect_in
            if delay is None:
                delay = self._backoff.next_delay(random.random())
        if error is not None and not self._outbox.said_goodbye:
            self._hindered(error.message or error.reason, known=was_registered is not None)
        level = logging.DEBUG if was_registered is None or self._outbox.said_goodbye else logging.WARNING
        _log.log(level, "stream_ended service_id=%s error=%r retry_in=%.3f", self._service_id, error, delay)
        return delay

    def _found(self, answer: Answer) -> None:
        words = answer.words if answer.kind != "grpc" else f"{answer.words}, and the registration has no answer yet"
        self._hindered(words, known=False)

    def _hindered(self, why: str, *, known: bool) -> None:
        """Take note of what stands in the way, and log each cause once unless it is `known` from another line."""
        with self._changed:
            if self._over or self._registered_at is not None:
                return
            self._last_error = why
            if known or why in self._troubles or len(self._troubles) >= _MOST_TROUBLES:
                return
            self._troubles.add(why)
        _log.warning("not_connected service_id=%s registry=%s why=%s", self._service_id, self._address, why)

    def _heed(self, response: heartbeat_pb2.HeartbeatResponse) -> None:
        match response.WhichOneof("kind"):
            case "registered":
                told = response.registered
                self._vitals.registry_time(wire.moment(told.observed_at) if told.HasField("observed_at") else None)
                self._registered(Service.from_proto(told.service))
            case "ack":
                with self._changed:
                    self._cut_off.heard(time.monotonic())
                    self._told_cut = False
            case "alert":
                self._receive(Event.from_proto(response.alert.event))
            case "unknown_service":
                _log.warning("service_unknown service_id=%s incarnation=%d", self._service_id, self._incarnation)
                with self._changed:
                    # Each beat on its way is answered so; one registration answers them all. With one for each, we
                    # might hold one that the next has overtaken, and stop for it.
                    if self._incarnation:
                        self._forget_incarnation()
                        self._outbox.announce(self._registration(), pause_beats=True)
            case "superseded":
                with self._changed:
                    self._step_down(response.superseded.incarnation)
            case "declared_down":
                event = Event.from_proto(response.declared_down.event)
                _log.warning(
                    "declared_down service_id=%s cause=%s message=%s", self._service_id, event.cause, event.message
                )
                self._notify("declared_down", self._hooks.on_declared_down, event)
            case "drain":
                self._drain(wire.seconds(response.drain.reconnect_after))
            case "rejected":
                self._reject(response.rejected.field, response.rejected.description)

    def _registered(self, service: Service) -> None:
        now = time.monotonic()
        with self._changed:
            if self._over:
                return
            fresh = self._registered_at is None
            self._service, self._service_id, self._incarnation = service, service.service_id, service.incarnation
            self._state = "connected"
            self._cut_off.heard(now)
            self._told_cut = False
            if fresh:
                self._registered_at = now
                self._last_error = ""
                self._troubles.clear()
                OUTAGES.end(self._waits)
            self._changed.notify_all()
        self._lag.measure()
        self._outbox.registered(beat_now=self._vitals.urgent)
        if fresh:
            _log.info("registered service_id=%s incarnation=%d", service.service_id, service.incarnation)

    def _receive(self, event: Event) -> None:
        match self.inbox.offer(Alert(event, time.monotonic(), self.acknowledge)):
            case "acknowledged":
                self._outbox.acknowledge(event.alert_id)
            case "full" if not self.inbox.closed:
                _log.warning("alert_not_taken service_id=%s alert_id=%s", self._service_id, event.alert_id)

    def _reattach(self) -> None:
        with self._changed:
            if self._registered_at is not None:
                self._outbox.announce(self._registration(), pause_beats=False)

    def _drain(self, within: float) -> None:
        self._reconnect_in = random.uniform(0.0, max(0.0, within))
        _log.info("registry_draining service_id=%s reconnect_in=%.3f", self._service_id, self._reconnect_in)
        self._outbox.close()
        timer = threading.Timer(_DRAIN_PATIENCE, self._call.cancel)
        timer.daemon = True
        timer.start()

    def _reject(self, field: str, description: str) -> None:
        with self._changed:
            if self._registered_at is None and not field.startswith("beat"):
                wrong = FieldError(field, description)
                if not self._incarnation:
                    self._refuse(InvalidRequest(f"{field}: {description}", fields=(wrong,)))
                return
            known = field in self._rejected or len(self._rejected) >= 100
            self._rejected.add(field) if not known else None
        if not known:
            _log.warning("rejected service_id=%s field=%s why=%s", self._service_id, field, description)

    def _refuse(self, failure: InvalidRequest) -> None:
        _log.error("registration_refused service_id=%s why=%s", self._service_id, failure)
        self._failure, self._over, self._last_error = failure, True, str(failure)
        self._changed.notify_all()

    def _step_down(self, incarnation: int) -> None:
        if self._over:
            return
        self._superseded_by = incarnation
        if self._handing_over:
            _log.info("handed_over service_id=%s to_incarnation=%d", self._service_id, incarnation)
            self._over = True
            self._changed.notify_all()
            return
        _log.warning("superseded service_id=%s by_incarnation=%d", self._service_id, incarnation)
        self._state, self._over = "superseded", True
        self._last_error = f"incarnation {incarnation or '?'} took over"
        self._changed.notify_all()
        self._notify("superseded", self._hooks.on_superseded, incarnation)

    def _forget_incarnation(self) -> None:
        # A new word too: with the old one the registration would pass for a retry of the one that is gone.
        self._incarnation, self._instance_id = 0, uuid.uuid4().hex

    def _registration(self) -> heartbeat_pb2.Register:
        service = service_pb2.Service()
        service.CopyFrom(self._declared)
        service.service_id = self._service_id
        service.incarnation = self._incarnation
        return heartbeat_pb2.Register(service=service, instance_id=self._instance_id)

    def _compose_beat(self, now: float) -> heartbeat_pb2.HeartbeatRequest | None:
        lag = self._lag.measure()
        with self._changed:
            if self._cut_off.is_lost(now):
                lost = True
            else:
                lost = False
                if self._cut_off.is_cut(now) and not self._told_cut:
                    self._told_cut = True
                    _log.warning("cut_off service_id=%s limit=%.1f", self._service_id, self._cut_off.limit)
                self._cut_off.beaten(now)
                self._sequence += 1
                beat = heartbeat_pb2.Beat(
                    service_id=self._service_id,
                    incarnation=self._incarnation,
                    sequence=self._sequence,
                    loop_lag=wire.duration(lag),
                )
        if lost:
            self._give_up()
            return None
        self._vitals.fill(beat)
        return heartbeat_pb2.HeartbeatRequest(beats=heartbeat_pb2.Beats(beats=[beat], ack_requested=self._cut_off.asks))

    def _give_up(self) -> None:
        """Nobody answers on this stream: break it, and do not trust its connection again."""
        with self._changed:
            call = self._call
        TRUST.give_up(self._generation)
        _log.warning("stream_given_up service_id=%s", self._service_id)
        if call is not None:
            call.cancel()

    def _notify(self, what: str, callback: Callable[[Any], object] | None, argument: object) -> None:
        if callback is None:
            return

        def call() -> None:
            try:
                callback(argument)
            except Exception:
                _log.exception("callback_failed service_id=%s callback=on_%s", self._service_id, what)

        threading.Thread(target=call, name=f"tron-{what}", daemon=True).start()
