"""The Heartbeat stream of an agent, or of a relay for many agents: takes each incoming message and returns all answers.
Pure.

This module decides what is answered on the stream and what ends the stream; the shell and the simulation read, write
and wait.
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

from registry_server.core.columns import PATH
from registry_server.core.commits import Commits
from registry_server.core.effects import Alert, EndStream, Message, Registered, Rejected, UnknownService
from registry_server.core.heartbeats import ReadReport
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
"""Messages that wait for one agent to read. Overflow rule: above it nothing more is read from that agent until all is
written; if it reads nothing for PATIENCE, the stream is ended with READER_TOO_SLOW. Nothing is lost by that, because
alerts are kept until they are acknowledged. Acknowledgements of heartbeats do not queue: the newest counts."""

MAX_REGISTERS = 1000
"""Registrations in one message."""

MOST_ANSWERS = 30
"""Registrations that one message answers: each may have 120 kB on the wire, and clients take 4 MB."""

OUTBOX = 50_000
"""The same, whatever the reason: more than one message of an agent can be answered by, and all alerts in flight."""

PATIENCE = 3.0
"""Attentive seconds that an agent has to read what waits."""

ACK_EVERY = 1.0
"""Seconds between acknowledgements of heartbeats that were not asked for."""

MAX_SEQUENCE = 2**64 - 1

MAX_BEATS = 10_000
"""Heartbeats in one message."""

MAX_REASON = 1000
"""Characters kept of the reason of a goodbye."""


class AgentStream:
    """One stream, which is open in the registry as `session_id`.

    `owes` is called when an acknowledgement waits for `flush_ack`; `wake` when something is to be written, or `failure`
    is set; `broken` with services that are gone, as if a stream of their own had broken.
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
        """`rights`: those of the caller; None if callers may do everything."""
        self._registry = registry
        self._commits = commits
        self._read_report = read_report
        self._owes = owes
        self._wake = wake
        self._broken = broken
        self._rights = rights
        self._held: dict[str, None] = {}
        self._spoken_for: dict[str, Principal] = {}
        """The principals for which a relay has put services on this stream, as they were then."""
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
        """Of a shared stream. All else goes before them: an agent that waits for its registration or for the
        acknowledgement of its heartbeats must not wait for the alerts of others."""
        self.failure: TronError | None = None
        """Why the stream must end; the writer tells the agent, after all that came before."""
        self.refused_id = ""
        """The service whose refusal is the `failure`."""
        self.spoke = False
        """Whether anything was ever said on it."""
        self.progress = 0
        """How many messages were taken to be written."""
        self.listening_since = float("inf")
        """The attentive second since which it is read from."""

    def close(self) -> None:
        """Record that the stream is over: nobody is called any more. The stream that owns this object and this object
        would keep each other in memory otherwise, with all that belongs to the call."""
        self._owes = self._wake = _call_nobody

    # --- up ---------------------------------------------------------------------------------------------------------

    def receive(self, message: AgentMessage, now: Instant, monotonic: float, *, draining: bool = False) -> None:
        """Handle one message from the agent. An error ends a stream that carries no service; otherwise the error is
        answered.

        `monotonic`: the clock that spaces acknowledgements, in seconds.
        """
        try:
            if type(message) is Beats:
                self.spoke = True
                self._receive_beats(message, now, monotonic)
            elif type(message) is Register:
                self.spoke = True
                self._register(message, now, draining=draining)
            elif type(message) is Registers:
                for each in self.each_of(message):
                    self.receive(each, now, monotonic, draining=draining)
            elif type(message) is Invalid:
                self.spoke = self.spoke or bool(message.service_id)
                if message.shared:
                    self._share(message.shared)
                raise message.error
            elif not self.spoke:
                raise InvalidRequest.of(FieldError("kind", "the first message must be register or beats"))
            elif type(message) is AlertAck:
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

    def each_of(self, message: Registers) -> Iterator[AgentMessage]:
        """Yield the messages that `receive` gets instead of this one: one for each registration, or an invalid one if
        there are too many."""
        self.spoke = True
        if message.count > MAX_REGISTERS:
            why = f"has {message.count}; at most {MAX_REGISTERS} are allowed"
            yield Invalid(InvalidRequest.of(FieldError("registers.registers", why)))
            return
        self._many = True
        yield from message.registers

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
            raise Draining("the registry is going away")
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
        """Return why a relay must open a new stream: a principal, for which it has put services on this one, has lost
        rights. What a stream carries is decided once."""
        if self._rights is None:
            return None
        for name, before in self._spoken_for.items():
            now = self._rights.find(name)
            if now is None or not before.is_extended_by(now):
                return CredentialExpired(f"the rights of {name}, for which this stream speaks, have changed")
        return None

    def _receive_beats(self, message: Beats, now: Instant, monotonic: float) -> None:
        beats, columns = message.beats, message.columns
        in_columns = 0 if columns is None else len(columns.incarnations)
        if len(beats) + in_columns > MAX_BEATS:
            path = f"{PATH}.incarnations" if in_columns else "beats.beats"
            beside = f" beside {len(beats)} in beats" if in_columns and beats else ""
            why = f"has {in_columns or len(beats)}{beside}; at most {MAX_BEATS} are allowed"
            raise InvalidRequest.of(FieldError(path, why))
        self._registry.measures.heartbeats += len(beats) + in_columns
        relayed, replaces, rights = message.relayed, message.replaces_figures, self._rights
        if rights is not None and message.on_behalf_of:
            try:
                rights = rights.speaking_for(message.on_behalf_of)
            except PermissionDenied as error:
                self.push(
                    Rejected("", "beats.on_behalf_of", str(error), error.reason, on_behalf_of=message.on_behalf_of)
                )
                return
            if not relayed:
                self._speak_for(rights)
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
        if message.ack_requested or monotonic - self._acked_at >= ACK_EVERY:
            self._acknowledge(monotonic)
        elif not self._unacked:
            self._unacked = True
            self._owes()

    # --- down -------------------------------------------------------------------------------------------------------

    def push(self, message: Message | EndStream) -> None:
        """Add a message for the agent."""
        if isinstance(message, EndStream):
            why = "all who were on it were silent until they were declared down"
            self.end(SilentStream(why if message.services else "nothing was said for too long, and nobody is on it"))
        elif self._shared and isinstance(message, Alert):
            self._push_alert(message)
        elif len(self.outbox) >= OUTBOX:
            self.end(ReaderTooSlow(f"{OUTBOX} messages wait to be read"))
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
        """End the stream for this reason, once. From then on the end of the stream is no evidence about its
        services."""
        if self.failure is None:
            self.ended_by_us(error)
            self.failure = error
            self._wake()

    def ended_by_us(self, error: TronError) -> None:
        """Record that the registry ends the stream, so that the end is no evidence about its services."""
        self._registry.end_session(self.session_id, error.reason)

    def drain(self, reconnect_after: float, now: Instant) -> None:
        """Ask the agent to reconnect elsewhere within this many seconds."""
        self._registry.drain_session(self.session_id, reconnect_after, now)
        self._drain = Drain(reconnect_after)
        self._wake()

    def renew(self, ends_after: float, reason: str, now: Instant) -> None:
        """Ask the agent to open its next stream before this one ends, for this error reason, in `ends_after` seconds.
        An agent that does not know such a request leaves this stream first."""
        self._registry.drain_session(self.session_id, min(ends_after, PATIENCE), now)
        self._drain = Drain(0.0, ends_after, reason)
        self._wake()

    def flush_ack(self, monotonic: float) -> bool:
        """Acknowledge waiting heartbeats, at most once in a while. Return whether none wait any more."""
        if self._unacked and monotonic - self._acked_at >= ACK_EVERY:
            self._acknowledge(monotonic)
        return not self._unacked

    @property
    def has_output(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.outbox or self._alerts) or self._ack is not None or self._drain is not None

    def set_reading(self, now: Instant, *, paused: bool) -> None:
        """Record that nothing is read from the agent, or that it is read again."""
        self._registry.set_reading(self.session_id, now, paused=paused)

    @property
    def is_behind(self) -> bool:
        """Whether nothing more should be read until the waiting messages are written, because there are too many. Never
        true on a shared stream."""
        return len(self.outbox) > HIGH_WATER and not self._shared

    def next_output(self) -> Output | None:
        """Return the next message to write. A message stays in the outbox until `written`, so that an empty outbox
        means that every message has been written."""
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
        """Remove the message that was written."""
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
        """Send alerts that waited for room on a shared stream, once there is enough room. Return whether any was
        sent."""
        if not self._held or len(self._alerts) > HIGH_WATER // 2:
            return False
        held, self._held = self._held, {}
        for recipient in held:
            self._registry.deliver_to(recipient)
        return True

    def is_too_slow(self, since: float, now: Instant) -> ReaderTooSlow | None:
        """Return the error that ends the stream if nothing has been written since this attentive second for too long;
        None otherwise."""
        if now.attentive - since < PATIENCE:
            return None
        return ReaderTooSlow(f"{len(self.outbox)} messages wait, and none was read for {PATIENCE:g} s")

    def _acknowledge(self, monotonic: float) -> None:
        if self._relays:
            self._ack = BeatAck(self._heard, self._registry.revision, self._heard_at)
        else:
            self._ack = BeatAck(self._heard)
        self._unacked = False
        self._acked_at = monotonic
        self._wake()


def _call_nobody() -> None:
    """Take the place of a callback of a stream that is over."""
