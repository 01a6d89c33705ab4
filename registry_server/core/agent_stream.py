"""The Heartbeat stream of an agent, or of a relay that sends for many agents: handles each incoming message and creates
all answers. Pure.

This module decides which answers are sent and when the stream ends. The server and the simulation, which use it, do the
reading, writing and waiting.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, takewhile
from typing import cast

from grid_model.access import Principal
from grid_model.errors import (
    CredentialExpired,
    Draining,
    FieldError,
    InvalidRequest,
    PermissionDenied,
    ReaderTooSlow,
    SilentStream,
    Superseded,
    TronError,
    UnknownIncarnation,
)

from registry_server.core.commits import Commits
from registry_server.core.effects import Alert, EndStream, Message, Registered, Rejected, UnknownService
from registry_server.core.heartbeats import ReadReport
from registry_server.core.message_parts import MAX_REGISTERS, PART, parts_of_acks, parts_of_beats, registrations_of
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.rights import Rights
from registry_server.core.service import Instant
from registry_server.core.stream_messages import (
    Abandoned,
    AgentMessage,
    AlertAck,
    BeatAck,
    Beats,
    Drain,
    Goodbye,
    Invalid,
    Output,
    Register,
    Registers,
    Registrations,
)
from registry_server.core.validation import MAX_INSTANCE_ID, check_id, check_spec, check_text

HIGH_WATER = 4096
"""Number of messages waiting for one agent above which the registry stops reading from it. Overflow rule: nothing more
is read from the agent until all waiting messages are written; if the agent reads none of them for PATIENCE seconds, the
stream ends with READER_TOO_SLOW. No alert is lost by that, because alerts are kept until they are acknowledged.
Acknowledgements of heartbeats do not queue: only the newest one is sent."""

MOST_ANSWERS = 30
"""Maximum number of registrations that one message answers: each answer may have 120 kB on the wire, and clients accept
messages of up to 4 MB."""

OUTBOX = 50_000
"""Maximum number of messages that wait for one agent: more than the answers to one message and all alerts in flight
together. Overflow rule: the stream ends with READER_TOO_SLOW."""

PATIENCE = 3.0
"""Attentive seconds in which an agent must read at least one of the messages that wait for it."""

ACK_EVERY = 1.0
"""Seconds between two acknowledgements of heartbeats, unless a message requests one at once."""

MAX_SEQUENCE = 2**64 - 1

MAX_REASON = 1000
"""Maximum number of characters in the reason of a goodbye; the rest is cut off."""


class AgentStream:
    """One Heartbeat stream; `session_id` is its number in the registry.

    It calls three functions.

    - `owes`    when an acknowledgement waits for `flush_ack`.
    - `wake`    when there is something to write, or when `failure` was set.
    - `broken`  with the record of each service whose program crashed while the stream continues. Such a service is
                handled as if it had had a stream of its own that broke.
    """

    __slots__ = (
        "_ack",
        "_acked_at",
        "_alerts",
        "_broken",
        "_commits",
        "_drain",
        "_heard",
        "_heard_at",
        "_held",
        "_many",
        "_owes",
        "_read_report",
        "_registry",
        "_relays",
        "_rights",
        "_shared",
        "_spoken_for",
        "_unacked",
        "_wake",
        "failure",
        "listening_since",
        "outbox",
        "progress",
        "refused_id",
        "session_id",
        "spoke",
    )

    def __init__(
        self,
        registry: Registry,
        commits: Commits,
        session_id: int,
        read_report: ReadReport,
        *,
        owes: Callable[[], None],
        wake: Callable[[], None],
        broken: Callable[[list[Record]], None],
        rights: Rights | None = None,
    ) -> None:
        """`rights` are the rights of the caller; None means that the caller may do everything."""
        self._registry = registry
        self._commits = commits
        self._read_report = read_report
        self._owes = owes
        self._wake = wake
        self._broken = broken
        self._rights = rights
        self._held: dict[str, None] = {}
        self._spoken_for: dict[str, Principal] = {}
        """The principals for which a relay has put services on this stream, by name, with the grants that they had
        then."""
        self._shared = False
        self._many = False
        self._ack: BeatAck | None = None
        self._drain: Drain | None = None
        self._heard = 0
        self._heard_at = 0.0
        self._relays = False
        self._acked_at = float("-inf")
        self._unacked = False
        self.session_id = session_id
        self.outbox: deque[Message] = deque()
        self._alerts: deque[Alert] = deque()
        """The alerts that wait on a shared stream. All other messages are sent before them: an agent that waits for the
        answer to its registration, or for the acknowledgement of its heartbeats, must not wait for the alerts of other
        agents."""
        self.failure: TronError | None = None
        """The error with which the stream must end; None while it stays open. The agent receives it after all earlier
        messages."""
        self.refused_id = ""
        """The id of the service whose refused message ended the stream; empty if there is none."""
        self.spoke = False
        """Whether the agent has sent a registration or heartbeats on this stream."""
        self.progress = 0
        """Number of calls of `next_output`, which shows whether the writer makes progress."""
        self.listening_since = float("inf")
        """The attentive time since which the registry reads from this stream; infinite before that."""

    def close(self) -> None:
        """Drop the callbacks, because the stream is over. They refer to the owner of this object; otherwise, this
        object and its owner would keep each other in memory, with all data of the call."""
        self._owes = self._wake = _call_nobody

    # --- up ---------------------------------------------------------------------------------------------------------

    def receive(self, message: AgentMessage, now: Instant, monotonic: float, *, draining: bool = False) -> None:
        """Handle one message from the agent with all its parts; see `begin`."""
        for part in self.begin(message, now, monotonic, draining=draining) or ():
            self.begin(part, now, monotonic, draining=draining)

    def begin(
        self, message: AgentMessage, now: Instant, monotonic: float, *, draining: bool = False
    ) -> Iterator[AgentMessage] | None:
        """Handle one message from the agent. Return None; or, for a large message, its parts, none of which is handled
        yet: the caller passes each to `begin`, in their order and before any other message. Other work may run between
        two parts, and each is handled at the time of its own call: the time at which the message arrived could be
        before a verdict that was applied in between.

        A refused message ends the stream if the stream belongs to this agent alone and carries no service yet;
        otherwise the error is sent as an answer.

        `monotonic` is the time in seconds by the clock that decides when acknowledgements are due.
        """
        try:
            if type(message) is Beats:
                self.spoke = True
                return self._receive_beats(message, now, monotonic)
            if type(message) is Register:
                self.spoke = True
                self._register(message, now, draining=draining)
            elif type(message) is Registers:
                self.spoke = True
                self._many = self._many or message.count <= MAX_REGISTERS
                return registrations_of(message)
            elif type(message) is Invalid:
                self.spoke = self.spoke or bool(message.service_id)
                if message.shared:
                    self._share(message.shared)
                raise message.error
            elif not self.spoke:
                raise InvalidRequest.of(FieldError("kind", "the first message must be register, registers or beats"))
            elif type(message) is AlertAck:
                if len(message.alert_ids) > PART:
                    return parts_of_acks(message.alert_ids)
                self._registry.acknowledge_on_stream(self.session_id, message.alert_ids, now)
            elif type(message) is Goodbye:
                check_id("goodbye.service_id", message.service_id)
                self._check_acts_as(message.service_id)
                reason, incarnation = message.reason[:MAX_REASON], message.incarnation
                self._registry.goodbye(self.session_id, message.service_id, reason, now, incarnation)
            elif type(message) is Abandoned:
                check_id("abandoned.service_id", message.service_id)
                self._check_acts_as(message.service_id)
                self._broken(self._registry.abandon(self.session_id, message.service_id, message.incarnation, now))
        except TronError as error:
            self._refuse(message, error)
        return None

    def _check_acts_as(self, service_id: str) -> None:
        if self._rights is not None and not self._registry.carries_service(self.session_id, service_id):
            self._rights.check_acts_as(service_id)

    def _refuse(self, message: AgentMessage, error: TronError) -> None:
        alone = not (type(message) is Register or type(message) is Invalid) or not message.among
        if type(message) is Register and message.on_behalf_of:
            alone = False  # the relay speaks for others, too
        service_id = instance_id = on_behalf_of = ""
        if type(message) is Register:
            service_id, instance_id = message.spec.service_id, message.instance_id[:MAX_INSTANCE_ID]
            on_behalf_of = message.on_behalf_of
        elif type(message) is Invalid:
            service_id, instance_id = message.service_id, message.instance_id[:MAX_INSTANCE_ID]
        elif type(message) is Goodbye or type(message) is Abandoned:
            service_id = message.service_id
        if alone and not self._shared and not self._registry.carries(self.session_id):
            self.refused_id = service_id
            self.end(error)
            return
        fields = error.fields if isinstance(error, InvalidRequest) else (FieldError("", str(error)),)
        for field in fields:
            self.push(Rejected(service_id, field.field, field.description, error.reason, instance_id, on_behalf_of))

    def _share(self, process: str) -> None:
        errors = check_text("register.shared", process, 0, MAX_INSTANCE_ID)
        if errors:
            raise InvalidRequest.of(*errors)
        if not self._shared:
            self._shared = True
            self._registry.share_session(self.session_id)

    def _register(self, message: Register, now: Instant, *, draining: bool) -> None:
        if message.shared:
            self._share(message.shared)
        if draining:
            raise Draining("the registry is shutting down")
        self._commits.admit()
        errors = check_text("register.instance_id", message.instance_id, 0, MAX_INSTANCE_ID)
        if errors:
            raise InvalidRequest.of(*errors)
        spec, owner, rights = check_spec(message.spec), "", self._rights
        incarnation, instance_id, session_id = message.incarnation, message.instance_id, self.session_id
        if rights is not None:
            speaker = rights.speaking_for(message.on_behalf_of)
            owner = speaker.check_registration(spec, incarnation, instance_id)
            if not message.relayed:
                self._speak_for(speaker)
        try:
            if message.relayed:
                self._registry.register_relayed(spec, incarnation, instance_id, session_id, now, owner=owner)
            else:
                self._registry.register(
                    spec, incarnation, instance_id, session_id, now, process=message.shared, owner=owner
                )
        except Superseded as error:
            self._registry.refuse_older(self.session_id, error)
        except UnknownIncarnation:
            self.push(UnknownService(spec.service_id))

    def _speak_for(self, speaker: Rights) -> None:
        if speaker.via is not None:
            self._spoken_for.setdefault(speaker.principal.name, speaker.principal)

    def lost_rights(self) -> TronError | None:
        """Return the error that ends the stream if this is the stream of a relay, and one of the principals for which
        the relay put services on the stream has lost rights since; None otherwise. The rights to services on a stream
        are checked only once, so the relay must open a new stream."""
        if self._rights is None:
            return None
        for name, before in self._spoken_for.items():
            now = self._rights.find(name)
            if now is None or not before.is_extended_by(now):
                return CredentialExpired(f"the rights of {name} have changed; open a new stream to speak for it")
        return None

    def _receive_beats(self, message: Beats, now: Instant, monotonic: float) -> Iterator[Beats] | None:
        beats, columns = message.beats, message.columns
        in_columns = 0 if columns is None else len(columns.incarnations)
        count = len(beats) + in_columns
        relayed, replaces, rights = message.relayed, message.replaces_figures, self._rights
        if rights is not None and message.on_behalf_of:
            try:
                rights = rights.speaking_for(message.on_behalf_of)
            except PermissionDenied as error:
                self._registry.measures.heartbeats += count
                self.push(
                    Rejected("", "beats.on_behalf_of", str(error), error.reason, on_behalf_of=message.on_behalf_of)
                )
                return None
            if not relayed:
                self._speak_for(rights)
        if count > PART:
            return self._divide(message)
        self._registry.measures.heartbeats += count
        for rejected in self._registry.beats(
            self.session_id, beats, self._read_report, now, relayed=relayed, replaces_figures=replaces, rights=rights
        ):
            self.push(replace(rejected, on_behalf_of=message.on_behalf_of) if message.on_behalf_of else rejected)
        for beat in beats:
            if beat.service_id:
                sequence = beat.sequence
                self._heard = min(MAX_SEQUENCE, max(self._heard, sequence) if sequence else self._heard + 1)
        if columns is not None:
            for rejected in self._registry.beat_columns(
                self.session_id, columns, now, relayed=relayed, replaces_figures=replaces, rights=rights
            ):
                self.push(rejected)
            sequence = columns.sequence
            self._heard = min(MAX_SEQUENCE, max(self._heard, sequence) if sequence else self._heard + in_columns)
        self._heard_at, self._relays = now.wall, relayed
        if message.more:
            self._unacked = False  # the acknowledgement of the whole message covers it
        elif message.ack_requested or monotonic - self._acked_at >= ACK_EVERY:
            self._acknowledge(monotonic)
        elif not self._unacked:
            self._unacked = True
            self._owes()
        return None

    def _divide(self, message: Beats) -> Iterator[Beats]:
        parts = parts_of_beats(message)
        for wrong in () if message.columns is None else message.columns.wrong:
            self.push(Rejected("", wrong.field, wrong.description))
        return parts

    # --- down -------------------------------------------------------------------------------------------------------

    def push(self, message: Message | EndStream) -> None:
        """Queue a message for the agent; an EndStream ends the stream instead."""
        if isinstance(message, EndStream):
            why = "all services on the stream have been declared down, and are still silent"
            if not message.services:
                why = "the stream carries no service, and no message about one arrived on it for a long time"
            self.end(SilentStream(why))
        elif self._shared and isinstance(message, Alert):
            self._push_alert(message)
        elif len(self.outbox) >= OUTBOX:
            self.end(ReaderTooSlow(f"the client reads too slowly: {OUTBOX} messages are waiting for it"))
        else:
            self.outbox.append(message)
            self._wake()

    def _push_alert(self, message: Alert) -> None:
        if len(self._alerts) >= HIGH_WATER:
            # The others' heartbeats must be read, so alerts wait where they are kept, until there is room.
            self._registry.not_sent(message.event.alert_id, message.event.recipient)
            self._held[message.event.recipient] = None
        else:
            self._alerts.append(message)
            self._wake()

    def end(self, error: TronError) -> None:
        """End the stream with this error, unless it is already ending. From then on, the end of the stream is no
        evidence that its services failed."""
        if self.failure is None:
            self.ended_by_us(error)
            self.failure = error.with_traceback(None)  # its frames refer to this stream
            self._wake()

    def ended_by_us(self, error: TronError) -> None:
        """Record that the registry, and not the agent, ends the stream. The end of the stream is then no evidence that
        its services failed."""
        self._registry.end_session(self.session_id, error.reason)

    def drain(self, reconnect_after: float, now: Instant) -> None:
        """Ask the agent to reconnect elsewhere within `reconnect_after` seconds."""
        self._registry.drain_session(self.session_id, reconnect_after, now)
        self._drain = Drain(reconnect_after)
        self._wake()

    def renew(self, ends_after: float, reason: str, now: Instant) -> None:
        """Ask the agent to open its next stream before this stream ends in `ends_after` seconds. `reason` is the error
        reason with which this stream will end. An older client does not know this request: it leaves this stream before
        it opens the next one."""
        self._registry.drain_session(self.session_id, min(ends_after, PATIENCE), now)
        self._drain = Drain(0.0, ends_after, reason)
        self._wake()

    def flush_ack(self, monotonic: float) -> bool:
        """Acknowledge the heartbeats that are not acknowledged yet, if the last acknowledgement was sent at least
        ACK_EVERY seconds ago. Return whether all heartbeats are acknowledged now."""
        if self._unacked and monotonic - self._acked_at >= ACK_EVERY:
            self._acknowledge(monotonic)
        return not self._unacked

    @property
    def has_output(self) -> bool:
        """Whether any message waits to be written."""
        return bool(self.outbox or self._alerts) or self._ack is not None or self._drain is not None

    def set_reading(self, now: Instant, *, paused: bool) -> None:
        """Record that the registry pauses reading from the agent (`paused`), or resumes it."""
        self._registry.set_reading(self.session_id, now, paused=paused)

    @property
    def is_behind(self) -> bool:
        """Whether too many messages wait for the agent, so that nothing more should be read from it until they are
        written. Never true on a shared stream."""
        return len(self.outbox) > HIGH_WATER and not self._shared

    def next_output(self) -> Output | None:
        """Return the next message to write; None if there is none. A message stays in the outbox until `written` is
        called, so that an empty outbox means that every message has been written."""
        self.progress += 1
        if self.outbox:
            first = self.outbox[0]
            if self._many and type(first) is Registered:
                following = takewhile(lambda each: type(each) is Registered, islice(self.outbox, MOST_ANSWERS))
                return Registrations(tuple(cast("Iterator[Registered]", following)))
            return first
        if self._ack is not None:
            ack, self._ack = self._ack, None
            return ack
        if self._alerts:
            return self._alerts[0]
        drain, self._drain = self._drain, None
        return drain

    def written(self, output: Output) -> None:
        """Remove a message from its queue, because it has been written to the stream."""
        if type(output) is BeatAck:
            return  # nothing else is written as often, and it never waited in a queue
        if type(output) is Registrations:
            for _ in output.registered:
                self.outbox.popleft()
            return
        for waiting in (self.outbox, self._alerts):
            if waiting and waiting[0] is output:
                waiting.popleft()

    def send_held(self) -> bool:
        """Send the alerts that were held back because too many alerts were waiting on a shared stream. Do nothing and
        return False if none were held back, or if there is still no room for them; otherwise return True."""
        if not self._held or len(self._alerts) > HIGH_WATER // 2:
            return False
        held, self._held = self._held, {}
        for recipient in held:
            self._registry.deliver_to(recipient)
        return True

    def is_too_slow(self, since: float, now: Instant) -> ReaderTooSlow | None:
        """Return the error that ends the stream if the agent has read nothing for PATIENCE seconds; None otherwise.
        `since` is the attentive time at which the agent last read something."""
        if now.attentive - since < PATIENCE:
            return None
        waiting = len(self.outbox)
        return ReaderTooSlow(f"{waiting} messages are waiting for the client, which has read none for {PATIENCE:g} s")

    def _acknowledge(self, monotonic: float) -> None:
        if self._relays:
            self._ack = BeatAck(self._heard, self._registry.revision, self._heard_at)
        else:
            self._ack = BeatAck(self._heard)
        self._unacked = False
        self._acked_at = monotonic
        self._wake()


def _call_nobody() -> None:
    """Do nothing; this replaces the callbacks of a stream that is over."""
