"""What agents and TRON find at the registry: a model of `registry_server.io` around the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from registry_server.core.effects import EndStream, Message, Registered, UnknownService
from registry_server.core.errors import (
    DomainError,
    Draining,
    ReaderTooSlow,
    SilentStream,
    Superseded,
    UnknownIncarnation,
)
from registry_server.core.observations import Frame, ObservationFeed
from registry_server.core.record import Record
from registry_server.core.service import Maintenance
from registry_server.core.verdicts import VerdictOutcome, VerdictResult
from registry_server.io.grpc_heartbeat import ACK_EVERY
from tests.simulation import words
from tests.simulation.network import DOWN, UP, Connection

if TYPE_CHECKING:
    from tests.simulation.sim_registry import SimRegistry

SWEEP = 0.25
"""Seconds between two looks for acknowledgements that wait; as `HeartbeatStreams.sweep_for_ever`."""

MAX_IN_FRAME = 5
"""Facts in one message: few, so that small fleets come in several too."""

FRAMES_UNREAD = 32
"""Frames that fit into the flow-control window of an observer that does not read."""


@dataclass(slots=True)
class Stream:
    """A Heartbeat stream."""

    connection: Connection
    session_id: int
    arrived_at: float
    """When something last came on it, in attentive seconds."""
    ended: bool = False
    """Whether we end it, in truth, whatever the catalogue believes."""
    drained_until: float = float("-inf")
    heard: int = 0
    acked_at: float = float("-inf")
    unacked: bool = False


class Heartbeats:
    """The streams of agents, as `grpc_heartbeat`."""

    def __init__(self, registry: SimRegistry) -> None:
        self._registry = registry
        self._streams: dict[int, Stream] = {}

    def open(self, connection: Connection, word: object) -> None:
        """A stream begins with this word."""
        registry = self._registry
        stream = Stream(connection, registry.next_id(), registry.now().attentive)
        self._streams[stream.session_id] = stream
        registry.catalogue.open_session(stream.session_id)
        connection.on_message[UP] = partial(self._take, stream)
        connection.on_end[UP] = partial(self._ended, stream)
        self._take(stream, word)

    def streams(self) -> list[Stream]:
        """All that are open."""
        return list(self._streams.values())

    def evict(self, service_id: str) -> None:
        """The agent read too slowly: we end its stream, as `HeartbeatStream` does."""
        record = self._registry.catalogue.records.get(service_id)
        stream = None if record is None or record.session is None else self._streams.get(record.session)
        if stream is not None:
            self._end(stream, ReaderTooSlow("too much waits to be read"))

    def say(self, session_id: int, message: Message | EndStream) -> None:
        """A word for a stream, which is on disk by now."""
        registry, stream = self._registry, self._streams.get(session_id)
        if stream is not None and isinstance(message, EndStream):
            registry.observer.say(f"registry ends a silent stream with {message.services} services")
            self._end(stream, SilentStream("nobody speaks on it any more"))
        elif stream is not None and not isinstance(message, EndStream):
            self._tell(stream.connection, message)
            if isinstance(message, Registered):
                registry.catalogue.answered(session_id, message.service, registry.now())

    def sweep(self) -> None:
        """Acknowledge what waits for it."""
        for stream in self._streams.values():
            if stream.unacked and self._registry.loop.now - stream.acked_at >= ACK_EVERY:
                self._acknowledge(stream)

    def drain(self, reconnect_after: float) -> None:
        """Everyone is told to go."""
        now = self._registry.now()
        for stream in self._streams.values():
            stream.drained_until = now.attentive + reconnect_after
            self._registry.catalogue.drain_session(stream.session_id, reconnect_after, now)
            stream.connection.down(words.Drain(reconnect_after))

    def _end(self, stream: Stream, error: DomainError) -> None:
        """As `HeartbeatStream._fail`, and what follows."""
        stream.ended = True
        self._registry.catalogue.end_session(stream.session_id, error.reason)
        self._ended(stream)
        stream.connection.close(UP, error)

    def _ended(self, stream: Stream, _: Exception | None = None) -> None:
        """As `Engine.close_session`."""
        registry = self._registry
        if self._streams.pop(stream.session_id, None) is not None:
            now = registry.now()
            if stream.ended or registry.draining or now.attentive <= stream.drained_until:
                records = registry.catalogue.records.values()
                registry.observer.we_ended([each for each in records if each.session == stream.session_id])
            if registry.draining:
                registry.catalogue.end_session(stream.session_id, Draining.reason)
            broken = registry.catalogue.close_session(stream.session_id, now)
            registry.observer.streams_broke(broken)
            if broken and not registry.clock.lags(registry.loop.now):
                registry.verdicts.streams_broke(broken, now)
            registry.flush_inline()

    def _take(self, stream: Stream, word: Any) -> None:
        """As `HeartbeatStream._take`."""
        kind = type(word)
        catalogue = self._registry.catalogue
        stream.arrived_at = self._registry.now().attentive
        try:
            if kind is words.Beat:
                self._take_beat(stream, word)
            elif kind is words.Register:
                self._register(stream, word)
            elif kind is words.Ack:
                catalogue.acknowledge_on_stream(stream.session_id, word.alert_ids, self._registry.now())
            else:
                before = catalogue.records.get(word.service_id)
                catalogue.goodbye(stream.session_id, word.service_id, word.reason, self._registry.now())
                if before is not None and word.service_id not in catalogue.records:
                    self._registry.observer.said_goodbye(before, stream.connection.ends[DOWN])
        except DomainError as error:
            if not catalogue.carries(stream.session_id):
                self._end(stream, error)
        self._registry.flush()

    def _register(self, stream: Stream, word: words.Register) -> None:
        registry, connection = self._registry, stream.connection
        if registry.draining:
            raise Draining("the registry is going away")
        try:
            service = registry.catalogue.register(
                word.spec, word.incarnation, word.instance_id, stream.session_id, registry.now()
            )
        except Superseded as error:
            registry.catalogue.refuse_older(stream.session_id, error)
        except UnknownIncarnation as error:
            self._tell(connection, UnknownService(error.service_id))
        else:
            registry.observer.registered(service, connection.ends[DOWN])

    def _take_beat(self, stream: Stream, beat: words.Beat) -> None:
        registry = self._registry
        record = registry.catalogue.beat(
            stream.session_id, beat.service_id, beat.incarnation, beat.report, registry.now()
        )
        if record is not None:
            registry.observer.heard(record, stream.connection.ends[DOWN])
        stream.heard = max(stream.heard, beat.sequence)
        stream.unacked = True
        if beat.ack_requested or registry.loop.now - stream.acked_at >= ACK_EVERY:
            self._acknowledge(stream)

    def _acknowledge(self, stream: Stream) -> None:
        stream.unacked = False
        stream.acked_at = self._registry.loop.now
        stream.connection.down(words.BeatAck(stream.heard))

    def _tell(self, connection: Connection, message: Message) -> None:
        self._registry.observer.told(message)
        connection.down(message)


@dataclass(slots=True)
class Observing:
    """TRON's stream of facts."""

    connection: Connection
    feed_id: int
    feed: ObservationFeed
    snapshot: bool = True
    told_until: float = 0.0
    unread: int = 0
    waiting: bool = False


class Observers:
    """TRON's two doors, as `grpc_observer`."""

    def __init__(self, registry: SimRegistry, facts_of: Callable[[Record, Maintenance | None], object]) -> None:
        self._registry = registry
        self._facts_of = facts_of
        self._observing: dict[int, Observing] = {}

    def open(self, connection: Connection, word: words.Observe) -> None:
        """An observer listens from now on."""
        registry = self._registry
        number = registry.next_id()
        observing = Observing(connection, number, registry.catalogue.open_feed(number, word.observer))
        registry.verdicts.stand_down(word.observer)
        self._observing[number] = observing
        connection.on_message[UP] = partial(self._apply, observing)
        connection.on_end[UP] = partial(self._ended, observing)
        self._tell(observing)

    def read(self, connection: Connection) -> None:
        """The observer took a frame from its socket, so that there is room for one more."""
        for observing in self._observing.values():
            if observing.connection is connection:
                observing.unread -= 1
                if observing.waiting and self._registry.up and not self._registry.paused:
                    self._tell(observing)
                return

    def wake(self, *, urgent: bool) -> None:
        """Tell everyone what is new, as their pacing allows; `urgent`: only what must not wait for the tick."""
        observers = self._registry.catalogue.observers
        for observing in self._observing.values():
            if observers.is_due(observing.feed_id, tick=not urgent):
                self._tell(observing)

    def _ended(self, observing: Observing, _: Exception | None = None) -> None:
        if self._observing.pop(observing.feed_id, None) is not None:
            observer = self._registry.catalogue.observers.close(observing.feed_id, self._registry.now())
            self._registry.verdicts.stand_down(observer)

    def _tell(self, observing: Observing) -> None:
        """As `ObserverDoors.observe`."""
        observing.waiting = observing.unread >= FRAMES_UNREAD
        if observing.waiting:
            return
        for part in (parts := observing.feed.take().parts(MAX_IN_FRAME)):
            self._send(observing, part, is_last=part is parts[-1])
        observing.snapshot = False

    def _send(self, observing: Observing, frame: Frame, *, is_last: bool) -> None:
        registry, catalogue = self._registry, self._registry.catalogue
        records, now = catalogue.records, registry.loop.now
        copies, ended = [], []
        for key in frame.copies:
            copy = catalogue.mailboxes.get(*key)
            if copy is None:
                ended.append(key)
            elif copy.event.sequence > registry.visible_events:
                observing.feed.copy(*key)
            else:
                copies.append(copy)
        known = [records[each] for each in frame.changed if each in records]
        snapshot = observing.snapshot and is_last
        if is_last:
            observing.told_until = registry.clock.read(now)
        message = words.Frame(
            now=observing.told_until,
            hearing_since=registry.clock.hears_since(now),
            facts=tuple([self._facts_of(each, catalogue.maintenance_of(each.spec.service_id)) for each in known]),
            beats=frame.beats,
            removed=frame.removed,
            copies=tuple(copies),
            copies_ended=tuple(ended),
            forebears=tuple(catalogue.tombstones.values()) if snapshot else (),
            cascade_alert_id=registry.verdicts.cascade_alert_id if snapshot else "",
            snapshot_complete=snapshot,
        )
        observing.unread += 1
        if is_last:
            catalogue.observers.sent(observing.feed_id, observing.told_until)
        observing.connection.down(message)

    def _apply(self, observing: Observing, word: words.ApplyVerdicts) -> None:
        """As `ObserverDoors.apply`."""
        registry, verdicts = self._registry, self._registry.verdicts
        now, records = registry.now(), registry.catalogue.records
        results: list[VerdictResult] = []
        for verdict in word.verdicts:
            before = records.get(verdict.service_id)
            result = verdicts.apply(verdict, now)
            results.append(result)
            if result.outcome is VerdictOutcome.APPLIED and before is not None:
                registry.observer.judged(before, verdict)
        for notice in word.notices:
            verdicts.notify(notice, now)
        verdicts.stand_by(word.standing, word.withdrawn, held=word.standing_held, observer=word.observer)
        verdicts.cascade_alert_id = word.cascade_alert_id
        registry.catalogue.judged(word.observer, now, word.judged_until)
        answer = partial(observing.connection.down, words.VerdictsApplied(word.call, tuple(results)))
        if word.verdicts or word.notices:
            registry.flush_inline(answer)
        else:
            registry.flush()
            answer()
