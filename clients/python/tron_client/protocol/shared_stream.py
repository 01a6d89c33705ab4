"""One stream that carries several agents of a process, as an object without I/O: each agent keeps its `AgentSession`.

The stream numbers its beats, so that one acknowledgement covers all beats up to its number. It also decides about a
drain, the wait before the next stream, and whether the stream is dead. Each agent decides everything else: an event
that concerns one agent neither ends the stream nor affects another agent. `now` is in seconds of one monotonic clock; a
transport holds a lock.

If the registry offers no shared streams, the stream carries only one agent. The answer to the first registration shows
whether the registry offers shared streams: only then the answer contains the instance_id. Until this answer arrives, no
other agent registers.

    programs -> AgentSession, AgentSession, ... <-> SharedStream <-> transport
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tron_client.protocol.answers import Alert, BeatAck, Drain, Incoming, Registered, Rejected, StreamError
from tron_client.protocol.happened import Happened, Reconnect, SharingNotOffered, Stop
from tron_client.protocol.members import Members
from tron_client.protocol.messages import Abandoned, Beat, Beats, Goodbye, OutgoingShared, Register, Registers
from tron_client.protocol.send_queue import ANSWER_PATIENCE
from tron_client.protocol.turns import Turns
from tron_client.schedule import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tron_client.protocol.session import AgentSession

MOST_TOGETHER = 100
"""The greatest number of beats, or of registrations, in one message, so that none of them must wait long for the
others, in the client or in the registry."""

Told = list[tuple["AgentSession", "Sequence[Happened]"]]
"""Pairs of an agent's session and the outcomes for it, oldest first."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """The registry's request to open the next stream before the present one ends at the time `ends_at`. With `renews`,
    the next stream must use another credential."""

    ends_at: float
    renews: bool


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """The consequences of the end of a stream."""

    delay: float | None
    """The seconds until the next stream is opened; None if no agent needs one."""
    agents: tuple[tuple[AgentSession, Reconnect | Stop], ...]
    """The consequence for each agent; the stream no longer carries agents with a `Stop`."""


class SharedStream:
    """Carries the agents that join it, on one stream after another. After each call of a method of an agent's session,
    call `poke` with this session."""

    def __init__(self, process: str = "") -> None:
        """`process` is a random string that is the same for all streams of the process. If it is empty, the stream
        carries only one agent and is not shared."""
        self._process = process
        self._members = Members()
        self._turns: Turns[AgentSession] = Turns()
        self._offered: bool | None = None
        self._opened = False
        self._closing = False
        self._dead = False
        self._first: AgentSession | None = None
        self._begun: set[AgentSession] = set()
        self._ahead: deque[tuple[AgentSession | None, OutgoingShared]] = deque()
        self._unanswered: dict[str, bool] = {}
        """The unanswered registrations of agents that have ended, by instance_id, and whether the agent ended with a
        goodbye."""
        self._batches = False
        """Whether the registry reads beats in columns."""
        self._reported: dict[AgentSession, tuple[object, ...]] = {}
        """The values that each agent reported last on the open stream, and its incarnation then."""
        self._sequence = 0
        self._unacknowledged: deque[tuple[int, AgentSession]] = deque()
        self._heard_at: float | None = None
        self._registered_at: float | None = None
        self._drain_within: float | None = None
        self.held = False
        """Whether the stream stays open although it carries no agent, because some may come back."""
        self._backoff = Backoff()
        self._told: Told = []
        self.renewal: Renewal | None = None
        """The registry's request, on the open stream, to open the next one; None if there was none."""

    # --- agents -----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._members)

    @property
    def sessions(self) -> tuple[AgentSession, ...]:
        """The agents on the stream, in the order in which they joined."""
        return tuple(self._members)

    @property
    def offered(self) -> bool | None:
        """Whether the registry offers shared streams; None while that is unknown."""
        return self._offered if self._process else False

    def join(self, session: AgentSession, name: str = "") -> None:
        """Add an agent, also to a stream that is already open; `name` is the name of the agent's service.

        Raises ValueError if the stream carries another agent and cannot be shared.
        """
        if self._members and self.offered is False:
            raise ValueError("the stream carries another agent and cannot be shared")
        self._members.add(session, name)
        if self._opened and not self._closing:
            self._begin_first() if self.offered is not True else self._begin(session)

    def poke(self, session: AgentSession) -> None:
        """Give this agent's session a turn to send its messages. Call this after each call of a method of the
        session."""
        if session in self._begun:
            self._turns.ask(session)

    def leave(self, session: AgentSession) -> None:
        """Remove an agent that has ended, or that another stream carries."""
        if session in self._begun and session.over and session.unanswered and not self._is_ahead(session):
            self._unanswered[session.instance_id] = session.leaving
        self._members.remove(session)
        self._turns.forget(session)
        self._reported.pop(session, None)
        self._begun.discard(session)
        if session is self._first:
            self._first = None
            if self._opened and not self._closing:
                self._begin_first()

    def hand_over(self, session: AgentSession, to: SharedStream) -> None:
        """Move an agent to another stream, on which it registers again. The registry then assigns the agent to that
        stream, and this stream sends nothing more about it."""
        name = self._members.name_of(session)
        self.leave(session)
        self._ahead = deque(each for each in self._ahead if each[0] is not session)
        to.join(session, name)

    def abandon(self, session: AgentSession) -> bool:
        """End an agent without a goodbye. TRON must treat the agent like one whose own stream has broken.

        Returns True if the transport must break the stream, because the stream carries no other agent.
        """
        alone = len(self._members) <= 1 or self.offered is not True
        on_it = session in self._begun
        if on_it and not alone and not session.goodbye_sent and session.confirmed and session.incarnation:
            self._ahead.append((None, Abandoned(session.service_id, session.incarnation)))
        session.abandon()
        self._closing = self._closing or (on_it and alone)
        self.leave(session)
        self._ahead = deque(each for each in self._ahead if each[0] is not session)
        return on_it and alone

    # --- the transport's side ---------------------------------------------------------------------------------------

    def stream_opened(self) -> None:
        """Record that a new stream is open, or waits for its connection, and let the first agent register on it."""
        self._opened, self._closing, self._dead, self._first = True, False, False, None
        self._offered = None if self._process else False
        self._begun.clear()
        self._turns.clear()
        self._ahead.clear()
        self._unanswered.clear()
        self._unacknowledged.clear()
        self._batches = False
        self._reported.clear()
        self._sequence = 0
        self._heard_at = self._registered_at = self._drain_within = self.renewal = None
        self._begin_first()

    @property
    def sending(self) -> bool:
        """Whether more may be sent on this stream; if not, the transport half-closes it."""
        if not self._opened or self._closing or self._dead:
            return False
        if self.held and not self._members:
            return True
        if self.offered is False:
            return any(each.sending for each in self._begun)
        return bool(self._members or self._ahead)

    @property
    def is_dead(self) -> bool:
        """Whether the registry does not answer: the transport then breaks the stream, and does not use its connection
        again."""
        return self._dead

    def next_message(self, now: float) -> OutgoingShared | None:
        """Return the next message to send; None if there is nothing to send before `deadline`. The transport must call
        this only after it has sent the previous message."""
        if not self._opened or self._closing or self._dead:
            return None
        if self._ahead:
            return self._ahead.popleft()[1]
        beats: list[tuple[Beat, AgentSession]] = []
        registers: list[tuple[Register, AgentSession]] = []
        while max(len(beats), len(registers)) < MOST_TOGETHER and (session := self._turns.take(now)) is not None:
            message = session.next_message(now)
            if session.given_up and not self._goes_on(session, now):
                self._dead = True
                self._collect(session)
                return None
            self._collect(session)
            if type(message) is Beat:
                self._number(message, session)
                beats.append((message, session))
            elif message is not None:
                if type(message) is Register:
                    self._members.registering(session, message.instance_id)
                    if self._batches and not beats:
                        registers.append((message, session))
                        continue
                self._turns.ask(session)  # to be asked again says that this message has left
                if not beats and not registers:
                    return message
                self._ahead.append((session, message))
                break
            self._turns.ask_at(session, session.deadline(now))
        for _, session in registers:
            self._turns.ask(session)
        if not registers:
            return self._beats(beats) if beats else None
        if beats:
            self._ahead.append((None, self._beats(beats)))
        return registers[0][0] if len(registers) == 1 else Registers(tuple(each for each, _ in registers))

    def deadline(self, now: float) -> float | None:
        """Return when to call `next_message` again, as a time of the same clock as `now`. Return None if there is
        nothing to send until another method is called."""
        if not self._opened or self._closing or self._dead:
            return None
        return now if self._ahead else self._turns.deadline(now)

    def receive(self, message: Incoming, now: float, draw: float) -> Told:
        """Handle an incoming message; return the outcomes for each agent. If an answer must be sent, `next_message`
        returns it. `draw` is a new random number, 0 to 1."""
        self._heard_at = now
        kind = type(message)
        if kind is BeatAck:
            self._acknowledged(message, now)  # type: ignore[arg-type]
            return self.take_told()
        if kind is Alert:  # it changes nothing here, and the program waits for it
            for session in self._receivers(message):
                events = session.receive(message, now)
                if events:
                    self._told.append((session, events))
            return self.take_told()
        if type(message) is Drain and message.ends_after is not None:
            self.renewal = Renewal(now + message.ends_after, message.renews)
            return self.take_told()
        if kind is Drain:
            self._drain_within, self._closing = max(0.0, message.reconnect_after), True  # type: ignore[union-attr]
            receivers = tuple(self._begun)
        else:
            self._learn(message)
            self._batches = self._batches or (type(message) is Registered and message.batches)
            receivers = self._receivers(message)
        for session in receivers:
            events = session.receive(message, now, draw)
            if events:
                self._told.append((session, events))
            if kind is Registered:
                self._members.registered(session)
                self._registered_at = now if self._registered_at is None else self._registered_at
            self._after(session)
        return self.take_told()

    def take_told(self) -> Told:
        """Return the outcomes for each agent since the last call."""
        told, self._told = self._told, []
        return told

    def stream_ended(self, error: StreamError | None, now: float, draw: float) -> StreamEnd:
        """Handle the end of a stream, or a failed attempt to open one. `draw` is a new random number, 0 to 1.

        If the stream was shared, the error is about the stream and ends no agent; otherwise the error is about the one
        agent of the stream.
        """
        about_the_stream = None if error is None else StreamError("", error.message or error.reason)
        outcomes: list[tuple[AgentSession, Reconnect | Stop]] = []
        for session in tuple(self._members):
            of_agent = session in self._begun and self.offered is not True
            outcomes.append((session, session.stream_ended(error if of_agent else about_the_stream, now, draw)))
        delay = self._delay(outcomes, now, draw)
        self._opened = False
        self._begun.clear()
        self._turns.clear()
        for session, then in outcomes:
            if isinstance(then, Stop):
                self._members.remove(session)
        agents = tuple(
            (each, replace(then, delay=delay) if isinstance(then, Reconnect) else then) for each, then in outcomes
        )
        return StreamEnd(delay if len(self._members) else None, agents)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _begin(self, session: AgentSession) -> None:
        session.stream_opened(self._process)
        self._begun.add(session)
        self._turns.ask(session)

    def _begin_first(self) -> None:
        """Register one agent, and the others once the registry turns out to offer shared streams."""
        if self._first is not None or self.offered is True:
            return
        self._first = next((each for each in self._members if not each.over and each not in self._begun), None)
        if self._first is not None:
            self._begin(self._first)

    def _learn(self, message: Incoming) -> None:
        """Conclude from the answer to the first registration whether the registry offers shared streams."""
        if self.offered is not None or not isinstance(message, Registered | Rejected):
            return
        if message.instance_id:
            self._offered = True
            for session in tuple(self._members):
                if session not in self._begun:
                    self._begin(session)
        elif isinstance(message, Registered):
            self._offered = False
            for session in tuple(self._members):
                if session is self._first:
                    session.share("")
                else:
                    self._told.append((session, [SharingNotOffered()]))
                    self.leave(session)

    def _receivers(self, message: Incoming) -> tuple[AgentSession, ...]:
        if self.offered is not True:
            return tuple(self._begun)  # one
        if isinstance(message, Registered | Rejected) and message.instance_id in self._unanswered:
            leaving = self._unanswered.pop(message.instance_id)
            if isinstance(message, Registered):
                service_id, incarnation = message.service_id, message.incarnation
                end = Goodbye(service_id, "", incarnation) if leaving else Abandoned(service_id, incarnation)
                self._ahead.append((None, end))
            return ()
        return self._members.receivers(message)

    def _after(self, session: AgentSession) -> None:
        """Handle the consequences of a received message: the agent may have something to send, or be over."""
        if session.over:
            self.leave(session)
        else:
            self.poke(session)

    def _beats(self, beats: list[tuple[Beat, AgentSession]]) -> Beats:
        """The beats as one message: those that report nothing new in columns, if the registry reads them."""
        if not self._batches:
            return Beats(tuple(beat for beat, _ in beats), tuple(session for _, session in beats))
        reporting: list[tuple[Beat, AgentSession]] = []
        alive: list[tuple[Beat, AgentSession]] = []
        for beat, session in beats:
            report = (beat.incarnation, beat.figures, beat.busy_until)
            if self._reported.get(session) == report:
                alive.append((beat, session))
            else:
                self._reported[session] = report
                reporting.append((beat, session))
        return Beats(
            tuple(beat for beat, _ in reporting),
            tuple(session for _, session in (*reporting, *alive)),
            tuple(beat for beat, _ in alive),
        )

    def _is_ahead(self, session: AgentSession) -> bool:
        return any(each is session and type(message) is Register for each, message in self._ahead)

    def _collect(self, session: AgentSession) -> None:
        events = session.take_happened()
        if events:
            self._told.append((session, events))

    def _number(self, beat: Beat, session: AgentSession) -> None:
        self._sequence += 1
        beat.sequence = self._sequence
        self._unacknowledged.append((self._sequence, session))

    def _acknowledged(self, ack: BeatAck, now: float) -> None:
        waiting = self._unacknowledged
        covered: dict[AgentSession, None] = {}
        while waiting and waiting[0][0] <= ack.sequence:
            covered[waiting.popleft()[1]] = None
        for session in covered if self.offered is True else self._begun:
            session.receive(ack, now)

    def _goes_on(self, session: AgentSession, now: float) -> bool:
        """Return whether the stream works although this agent's registration stays unanswered, so that it is sent
        again."""
        heard = self._heard_at is not None and now - self._heard_at < ANSWER_PATIENCE
        if session.confirmed or self.offered is not True or not heard:
            return False
        session.register_again()
        self._turns.ask(session)
        return True

    def _delay(self, outcomes: list[tuple[AgentSession, Reconnect | Stop]], now: float, draw: float) -> float:
        if self._drain_within is not None:
            return draw * self._drain_within
        if self._registered_at is not None:
            self._backoff.ended(now - self._registered_at)
        return self._backoff.next_delay(draw)
