"""The heartbeat protocol of one agent as an object without I/O: it makes every decision, but uses no clock, no random
numbers, no threads and no gRPC.

A transport opens streams, and passes the incoming messages and the current time to the session. It sends what
`next_message` returns, and calls `next_message` again at `deadline`. A `SharedStream` does this for several sessions on
one stream. `now` is in seconds of one monotonic clock. A session is not thread-safe: its transport holds a lock.

    program -> AgentSession <-> transport (threads | simulated link | conformance driver)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tron_client.protocol.answers import (
    Alert,
    BeatAck,
    DeclaredDown,
    Drain,
    Incoming,
    Left,
    Registered,
    Rejected,
    StreamError,
    Superseded,
    UnknownService,
)
from tron_client.protocol.happened import (
    AlertReceived,
    CutOffNoticed,
    DownDeclared,
    DrainBegan,
    FieldRejected,
    Happened,
    HasLeft,
    Reconnect,
    RegistrationConfirmed,
    RegistrationDeferred,
    RegistrationRefused,
    ServiceUnknown,
    Stop,
    StreamGivenUp,
    TakenOver,
)
from tron_client.protocol.messages import Beat, Goodbye, Outgoing, Register
from tron_client.protocol.registration import INVALID_REQUEST, Registration
from tron_client.protocol.report import Figures, Report
from tron_client.protocol.reported_once import MOST_FIELDS, MOST_REASONS, ReportedOnce
from tron_client.protocol.send_queue import SendQueue
from tron_client.schedule import Backoff, CutOff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

SUPERSEDED = "ERROR_REASON_SUPERSEDED"
UNKNOWN_INCARNATION = "ERROR_REASON_UNKNOWN_INCARNATION"


class AgentSession:
    """Registers a service, and keeps it registered with heartbeats on one stream after another, until the session is
    over.

    Outcomes that a method does not return can be fetched with `take_happened`.
    """

    def __init__(
        self,
        declared: Any,
        service_id: str,
        interval: float,
        new_instance_id: Callable[[], str],
        status: str = "ok",
    ) -> None:
        """`declared` is the declared service, which is copied into each registration unread. `interval` is the number
        of seconds between two heartbeats. `new_instance_id` returns a random string, a different one at each call."""
        self.service_id = service_id
        """The service id that was declared, or that the registry assigned."""
        self.service: Any = None
        """The service record that the registry sent last."""
        self.registered_at: float | None = None
        """The time at which the open stream began to carry the service; None while no stream carries it."""
        self.last_error = ""
        """Why the agent is not registered, or was last not registered, for people; empty while no reason is known."""
        self.over = False
        """Whether the session has ended or is about to end, so that no other stream is opened."""
        self.refused: RegistrationRefused | None = None
        """Why the registry refused the first registration; None if it did not."""
        self.superseded_by = 0
        """The incarnation that took over; 0 if none did, or if the registry did not send it."""
        self._registration = Registration(declared, new_instance_id)
        self._queue = SendQueue(interval)
        self._report = Report(status)
        self._backoff = Backoff()
        self._shared = ""
        self._cut_off = CutOff(interval)
        self._state, self._sequence = "starting", 0
        self._given_up = self._cut_off_noticed = self._handing_over = False
        self._drain_within: float | None = None
        self._reasons, self._rejected = ReportedOnce(MOST_REASONS), ReportedOnce(MOST_FIELDS)
        self._happened: list[Happened] = []

    @property
    def incarnation(self) -> int:
        """The incarnation that the agent holds; 0 before the first registration."""
        return self._registration.incarnation

    def state(self, now: float) -> str:
        """Return the agent's state: starting, connected, cut_off, superseded or stopped."""
        cut = self._state == "connected" and self._cut_off.is_cut(now)
        return "cut_off" if cut else self._state

    # --- the transport's side ---------------------------------------------------------------------------------------

    def stream_opened(self, shared: str = "") -> None:
        """Record that a new stream is open, or waits for its connection; the first message on it is the registration.

        `shared` is the random string of this process if its agents may share the stream; it is empty if the stream
        carries this agent alone.
        """
        self.share(shared)
        self._sequence = 0
        self._given_up = False
        self._drain_within = None
        self._queue.start(self._register())

    def share(self, process: str) -> None:
        """Record whether the agents of this process may share the stream. `process` is the random string of this
        process; it is empty if the registry does not offer shared streams."""
        self._shared, self._queue.goodbye_waits_for_answer = process, bool(process)

    @property
    def instance_id(self) -> str:
        """The random string of the registration that is in progress, or that was confirmed last."""
        return self._registration.instance_id

    @property
    def may_be_overtaken(self) -> bool:
        """Whether a registration for a new incarnation waits for its answer and was already sent on an earlier stream.
        The registry may then already have received the registration."""
        return self._registration.may_be_overtaken

    @property
    def given_up(self) -> bool:
        """Whether the registry does not answer on this stream."""
        return self._given_up

    @property
    def sending(self) -> bool:
        """Whether more may be sent on this stream; if not, the transport half-closes it."""
        return self._queue.open and not self._given_up

    @property
    def confirmed(self) -> bool:
        """Whether the registry answered the registration on this stream, so that heartbeats may be sent."""
        return self._queue.confirmed

    @property
    def unanswered(self) -> bool:
        """Whether the registration was sent on this stream, and the registry has not answered it."""
        return self._queue.registration_sent and not self._queue.confirmed and self.refused is None

    @property
    def movable(self) -> bool:
        """Whether another stream may carry the agent now: the session is not over, no goodbye was sent, and no
        registration waits for its answer."""
        return not (self.over or self._queue.goodbye_sent or self._queue.awaits_answer)

    @property
    def leaving(self) -> bool:
        """Whether the program stopped the agent: its goodbye waits or has been sent."""
        return self._queue.leaving

    @property
    def goodbye_sent(self) -> bool:
        """Whether the goodbye was sent on a stream."""
        return self._queue.goodbye_sent

    def next_message(self, now: float) -> Outgoing | None:
        """Return the next message to send; None if there is nothing to send before `deadline`. The transport must call
        this only after it has sent the previous message."""
        if self._given_up:
            return None
        message = self._queue.next_message(now)
        if message is not None:
            if self._shared and isinstance(message, Goodbye):
                return replace(message, incarnation=self.incarnation)
            return message
        if self._queue.beat_due(now):
            self._queue.beat_taken(now)
            return self._beat(now)
        if self._queue.unanswered(now):
            self._give_up()
        return None

    def beat_due(self, now: float) -> bool:
        """Return whether a heartbeat is due."""
        return self._queue.beat_due(now)

    def deadline(self, now: float) -> float | None:
        """Return when to call `next_message` again, as a time of the same clock as `now`. Return None if there is
        nothing to send until another method is called."""
        return None if self._given_up else self._queue.deadline(now)

    def receive(self, message: Incoming, now: float, draw: float = 0.5) -> Sequence[Happened]:
        """Handle an incoming message; return the outcomes. If an answer must be sent, `next_message` returns it. `draw`
        is a new random number, 0 to 1."""
        if self.over:
            return ()
        kind = type(message)
        if kind is BeatAck:
            self._cut_off.heard(now)
            self._cut_off_noticed = False
            return ()
        match message:
            case Alert():
                self._happened.append(AlertReceived(message.alert_id, message.event))
            case Registered():
                self._registered(message, now)
            case UnknownService() if message.incarnation and not message.service_id:
                self._unremembered(message.incarnation)
            case UnknownService():
                self._unknown()
            case Superseded():
                # A registration that the registry cannot know yet is never answered so: it is about the incarnation
                # that was held before.
                if self.incarnation or self.may_be_overtaken:
                    self._step_down(message.incarnation)
            case DeclaredDown():
                self._happened.append(DownDeclared(message.event))
            case Drain() if message.ends_after is None:
                self._drain_within = max(0.0, message.reconnect_after)
                self._queue.close()
                self._happened.append(DrainBegan())
            case Rejected():
                self._reject(message, now, draw)
            case Left():
                self._left(message.incarnation)
        return self.take_happened()

    def take_happened(self) -> Sequence[Happened]:
        """Return the outcomes since the last call, oldest first."""
        if not self._happened:
            return ()
        happened, self._happened = self._happened, []
        return happened

    def stream_ended(self, error: StreamError | None, now: float, draw: float) -> Reconnect | Stop:
        """Handle the end of a stream, or a failed attempt to open one; return whether and when to open the next one.
        `draw` is a new random number, 0 to 1."""
        self._queue.close()
        self._registration.stream_ended(sent=self._queue.registration_sent)
        lived = None if self.registered_at is None else now - self.registered_at
        self.registered_at = None
        if self.over:
            return Stop()
        if self._state == "connected":
            self._state = "cut_off"
        because = self._end_because_of(error, lived)
        if because is not None:
            return Stop(because)
        if lived is not None:
            self._report.stream_broke()
            self._backoff.ended(lived)
        drained = self._drain_within is not None
        delay = self._backoff.next_delay(draw) if self._drain_within is None else draw * self._drain_within
        if self._queue.goodbye_sent and not self._shared:
            self.over = True
            return Stop(left=True)
        trouble = "" if error is None else error.message or error.reason
        if trouble and not self.hindered(trouble, known=lived is not None):
            trouble = ""
        return Reconnect(delay, drained=drained, was_registered=lived is not None, trouble=trouble)

    def hindered(self, why: str, *, known: bool = False) -> bool:
        """Record the reason `why` the agent is not registered, and return whether the caller should report this reason.
        Each reason is reported once. With `known`, the reason is reported elsewhere, so the answer is False."""
        if self.over or self.registered_at is not None:
            return False
        self.last_error = why
        return not known and self._reasons.add(why)

    def finish(self) -> None:
        """Record that the transport has ended: from now on no stream is opened, and no message is sent or received."""
        self.over, self.registered_at = True, None
        self._queue.close()
        if self._state != "superseded":
            self._state = "stopped"

    def register_again(self) -> None:
        """Send the registration once more, because the registry answers other agents on this stream, but not this
        one."""
        self._given_up = False
        self._happened = [each for each in self._happened if not isinstance(each, StreamGivenUp)]
        self._queue.announce(self._register(), pause_beats=True)

    def after_fork(self, *, started: bool) -> None:
        """Detach the session from its stream in a forked child, because the stream belongs to the parent process. If
        `started`, the session ends in the child. Otherwise the child may start it: it has a new instance_id there, so
        that the registry distinguishes it from the session in the parent process."""
        self._registration.rename()
        self._queue.forget()
        if started:
            self.over, self.registered_at = True, None
            if self._state != "superseded":
                self._state, self.last_error = "stopped", "the agent belongs to the parent process"

    # --- the program's side -----------------------------------------------------------------------------------------

    def report(self, figures: Figures, busy_for: float | None, now: float, wall: datetime) -> bool:
        """Store the reported values for the next heartbeat; return whether that heartbeat is sent at once. `wall` is
        the time of the agent's wall clock."""
        urgent = self._report.keep(figures, busy_for, now, wall)
        if urgent:
            self._queue.beat_at_once()
        return urgent

    def advance(self, steps: int) -> None:
        """Raise the activity counter by `steps`; the next heartbeat carries it."""
        self._report.advance(steps)

    def beat_at_once(self) -> None:
        """Send one more heartbeat at once, or as soon as the agent is registered."""
        self._queue.beat_at_once()

    def acknowledge(self, alert_id: str) -> None:
        """Send the acknowledgement of an alert. While no stream carries the service, the acknowledgement waits."""
        self._queue.acknowledge(alert_id)

    def alert_offered(self, alert_id: str, reception: str) -> bool:
        """Record how the inbox answered when an alert was offered to it. `reception` is this answer, a value of
        `tron_client.alerts.Reception`.

        Returns True if the alert had already been acknowledged. The acknowledgement was lost, so it is sent again.
        """
        if reception != "acknowledged":
            return False
        self._queue.acknowledge(alert_id)
        return True

    def inbox_emptied(self) -> None:
        """Register again on the open stream, because the inbox has room again: the registry then sends unacknowledged
        alerts once more."""
        if self.registered_at is not None:
            self._queue.announce(self._register(), pause_beats=False)

    def hand_over(self) -> None:
        """Let another process take over the service: when the agent is superseded, this counts as a normal end from now
        on. Heartbeats continue until the agent is superseded."""
        self._handing_over = True

    def step_aside(self, incarnation: int) -> None:
        """End as superseded by this incarnation, although the session never had a stream: the service was taken over
        while this process waited for the service id."""
        self._step_down(incarnation)

    def goodbye(self, reason: str) -> bool:
        """Begin to leave: send the goodbye as soon as a stream carries the service.

        Returns False if the registry cannot know the service: the session is then over, and no goodbye is sent.
        """
        unknown = not self.incarnation and self._queue.withdraw()
        self.over = self.over or unknown
        self._queue.say_goodbye(Goodbye(self.service_id, reason))
        return not unknown

    def abandon(self) -> None:
        """End without a goodbye; to the registry this looks like a crash."""
        self.over = True
        self._queue.close()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _register(self) -> Register:
        return self._registration.message(self.service_id, self._shared)

    def _beat(self, now: float) -> Beat | None:
        cut_off = self._cut_off
        if cut_off.is_lost(now):
            self._give_up()
            return None
        if cut_off.is_cut(now) and not self._cut_off_noticed:
            self._cut_off_noticed = True
            self._happened.append(CutOffNoticed(cut_off.limit))
        cut_off.beaten(now)
        self._sequence += 1
        report = self._report
        report.urgent = False
        return Beat(
            self.service_id,
            self.incarnation,
            self._sequence,
            cut_off.asks,
            report.figures,
            report.activity,
            report.busy_until(now),
        )

    def _give_up(self) -> None:
        self._given_up = True
        self._happened.append(StreamGivenUp())

    def _registered(self, message: Registered, now: float) -> None:
        self._report.registry_time(message.observed_at, now)
        self.service, self.service_id = message.service, message.service_id
        self._registration.confirm(message.incarnation)
        first = self.registered_at is None
        self._state = "connected"
        self._cut_off.heard(now)
        self._cut_off_noticed = False
        if first:
            self.registered_at = now
            self.last_error = ""
            self._reasons.clear()
        self._queue.confirm(now, beat_at_once=self._report.urgent)
        self._happened.append(RegistrationConfirmed(message.service, first))

    def _unknown(self) -> None:
        self._happened.append(ServiceUnknown(self.incarnation))
        if self._shared and self._queue.leaving:
            self._leave()
            return
        # Each beat on its way is answered so; one registration answers them all. With one for each, this agent might
        # hold one that the next has overtaken, and stop for it.
        if self.incarnation:
            self._forget_incarnation()
            self._queue.announce(self._register(), pause_beats=True)

    def _unremembered(self, incarnation: int) -> None:
        """Register again with the incarnation that the agent holds: the registry does not know to which service an
        incarnation belongs, perhaps because a newer one holds the id."""
        if incarnation == self.incarnation and not self.unanswered:
            self._queue.announce(self._register(), pause_beats=True)

    def _left(self, incarnation: int) -> None:
        if self._shared and self._queue.goodbye_sent and incarnation == self.incarnation:
            self._leave()

    def _leave(self) -> None:
        self._queue.close()
        self.over = True
        self._happened.append(HasLeft())

    def _reject(self, message: Rejected, now: float, draw: float) -> None:
        field, description = message.field, message.description
        if not self._queue.confirmed and not field.startswith("beat"):
            if self.incarnation and not self._shared:
                return
            if self._registration.is_refused_for_good(message.reason):
                self._refuse(f"{field}: {description}" if field else description, ((field, description),))
            elif self._queue.leaving:
                self._leave()
            else:
                self._defer(description, now, draw)
        elif self._rejected.add(field):
            self._happened.append(FieldRejected(field, description))

    def _defer(self, description: str, now: float, draw: float) -> None:
        delay = self._registration.defer(draw)
        self._queue.announce_later(self._register(), now + delay)
        if self.hindered(description):
            self._happened.append(RegistrationDeferred(description, delay))

    def _end_because_of(self, error: StreamError | None, lived: float | None) -> RegistrationRefused | TakenOver | None:
        """Return why no other stream follows; None if another one follows."""
        if error is None:
            return None
        if error.reason == INVALID_REQUEST and lived is None and not self.incarnation:
            self._refuse(error.message, error.fields)
        elif error.reason == SUPERSEDED:
            self._step_down(error.incarnation)
        elif error.reason == UNKNOWN_INCARNATION:
            self._forget_incarnation()
        because = self._happened.pop() if self.over else None
        assert because is None or isinstance(because, RegistrationRefused | TakenOver)
        return because

    def _refuse(self, message: str, fields: tuple[tuple[str, str], ...]) -> None:
        self._queue.close()
        self.refused = RegistrationRefused(message, fields)
        self.over, self.last_error = True, message
        self._happened.append(self.refused)

    def _step_down(self, incarnation: int) -> None:
        if self.over:
            return
        expected = self._handing_over or bool(self._shared and self._queue.leaving)
        self._queue.close()
        self.over, self.superseded_by = True, incarnation
        if not expected:
            self._state = "superseded"
            self.last_error = f"incarnation {incarnation or '?'} took over"
        self._happened.append(TakenOver(incarnation, expected=expected))

    def _forget_incarnation(self) -> None:
        self._registration.begin_anew()
