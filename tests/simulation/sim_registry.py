"""The registry's process: the real catalogue, mailboxes, logs and attentive clock inside a model of the engine and
its doors.

What is modelled is `registry_server.engine` (tickets, group commit, nothing leaves before it is on disk), and of
`registry_server.rpc` what is done around the catalogue. The process may die between any two steps, also on both sides
of
each commit; it starts again from the store as the engine does. Nothing else in the simulation touches the catalogue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from registry_server.attention import TICK, AttentiveClock
from registry_server.catalogue import Catalogue, Record
from registry_server.changes import Change
from registry_server.effects import Effects, Registered, SupersededBy, UnknownService, Write
from registry_server.engine import FIGURES_EVERY, INLINE_APART, MAX_INLINE_WRITES, SAVE_HEARTBEATS_EVERY
from registry_server.errors import DomainError, Draining, Superseded, UnknownIncarnation
from registry_server.event_log import EventFilter, EventLog
from registry_server.observations import ObservationFeed
from registry_server.rpc.heartbeat import ACK_EVERY
from registry_server.service import Instant, Maintenance
from registry_server.store import StoreError
from registry_server.verdicts import VerdictOutcome, VerdictResult, Verdicts
from tests.simulation import words
from tests.simulation.loop import Act, Loop, Process
from tests.simulation.network import UP, Connection
from tests.simulation.observer import Observer
from tests.simulation.sim_store import SimStore

EPOCH = 1_700_000_000.0
SWEEP = 0.25
FRAMES_UNREAD = 32
"""Frames that fit into the flow-control window of an observer that does not read."""
CHANGES_UNREAD = 64
EVERYTHING = EventFilter()


@dataclass(slots=True)
class Ticket:
    """Effects on their way to the disk, and what happens when they are there."""

    effects: Effects
    revision: int
    sequence: int
    then: list[Act] = field(default_factory=list)


@dataclass(slots=True)
class Stream:
    """A Heartbeat stream."""

    connection: Connection
    session_id: int
    heard: int = 0
    acked_at: float = float("-inf")
    unacked: bool = False


@dataclass(slots=True)
class Reader:
    """A reader of revisions or of events: a cursor, and how much it has not read yet."""

    connection: Connection
    cursor: int
    of_events: bool
    started: bool = False
    unread: int = 0


@dataclass(slots=True)
class Observing:
    """TRON's stream of facts."""

    connection: Connection
    feed_id: int
    feed: ObservationFeed
    snapshot: bool = True
    unread: int = 0
    waiting: bool = False


class SimRegistry(Process):
    """One registry, in as many lives as it takes."""

    def __init__(
        self,
        loop: Loop,
        observer: Observer,
        store: SimStore,
        dice: Random,
        facts_of: Callable[[Record, Maintenance | None], object],
        retention: float | None = None,
    ) -> None:
        super().__init__(loop, "registry")
        self.observer = observer
        self.store = store
        self.wall_offset = 0.0
        """How far the wall clock was set forward, in seconds."""
        self.latest_wall = EPOCH
        """The latest that its wall clock ever showed at a tick."""
        self.disk = (0.0005, 0.005)
        """How long a commit takes, in seconds."""
        self.dies_at_commit: tuple[int, bool] | None = None
        """After so many commits the process dies; True: the last one is on disk, and nobody was told."""
        self.dies: Act = self.die
        """How it dies at a commit."""
        self.catalogue = Catalogue()
        self.verdicts = Verdicts(self.catalogue)
        self.clock = AttentiveClock(0.0)
        self._dice = dice
        self._facts_of = facts_of
        self._retention = retention
        self._begin()

    def boot(self) -> None:
        """Start from what is stored, as `Engine.start` does."""
        self.up = True
        self._begin()
        stored = self.store.load()
        events = EventLog(stored.last_sequence, stored.first_sequence)
        self.catalogue = self.fresh_catalogue(stored.revision, stored.incarnation, events)
        self.verdicts = Verdicts(self.catalogue)
        self.catalogue.changes.compacted = stored.compacted_revision
        beginning = Instant(self.wall(), 0.0)
        self.catalogue.restore(
            stored.services, stored.tombstones, stored.intents, stored.waiting, beginning, stored.maintenance
        )
        effects = self.catalogue.take()
        if not self._written(effects.writes):
            return
        self.visible = self.catalogue.changes.revision
        self.visible_events = self.catalogue.events.last
        self.clock = AttentiveClock(self.loop.now)
        self.observer.registry_started(self.catalogue)
        self.later(TICK, self._tick)
        self.later(SWEEP, self._sweep)

    def _begin(self) -> None:
        """Know nothing."""
        self.visible = self.visible_events = 0
        self.draining = False
        self._next_id = 0
        self._streams: dict[int, Stream] = {}
        self._observing: dict[int, Observing] = {}
        self._readers: list[Reader] = []
        self._tickets: deque[Ticket] = deque()
        self._committing = False
        self._inline_at = float("-inf")
        self._figures_at = self.loop.now
        self._heartbeats_at = self.loop.now
        self._calls: dict[type, Callable[[Any, Connection], object]] = {
            words.RegisterCall: self._call_register,
            words.Promote: self._call_promote,
            words.Publish: self._call_publish,
            words.Acknowledge: self._call_acknowledge,
            words.Maintain: self._call_maintain,
            words.Deregister: self._call_deregister,
        }

    def fresh_catalogue(self, revision: int, incarnation: int, events: EventLog) -> Catalogue:
        """An empty catalogue that goes on with these numbers."""
        return Catalogue(revision=revision, incarnation=incarnation, event_log=events)

    def wall(self) -> float:
        """The wall clock, in seconds since the epoch."""
        return EPOCH + self.loop.now + self.wall_offset

    def now(self) -> Instant:
        """This moment, on both clocks."""
        return Instant(self.wall(), self.clock.read(self.loop.now))

    # --- streams ----------------------------------------------------------------------------------------------------

    def accept(self, connection: Connection) -> None:
        """A connection was opened; its first word says what it is."""
        connection.on_message[UP] = partial(self._first_word, connection)
        connection.on_end[UP] = lambda _: None

    def _first_word(self, connection: Connection, word: Any) -> None:
        kind = type(word)
        if kind is words.Observe:
            self._observe(connection, word)
        elif kind is words.Watch or kind is words.Subscribe:
            self._read(connection, word)
        elif kind in self._calls:
            self._call(connection, word)
        else:
            self._next_id += 1
            stream = Stream(connection, self._next_id)
            self._streams[stream.session_id] = stream
            self.catalogue.open_session(stream.session_id)
            connection.on_message[UP] = partial(self._take, stream)
            connection.on_end[UP] = partial(self._stream_ended, stream)
            self._take(stream, word)

    def _stream_ended(self, stream: Stream, _: Exception | None = None) -> None:
        if self._streams.pop(stream.session_id, None) is not None:
            now = self.now()
            broken = self.catalogue.close_session(stream.session_id, now)
            self.observer.streams_broke(broken)
            if broken and not self.draining and not self.clock.lags(self.loop.now):
                self.verdicts.streams_broke(broken, now)
            self.settle_now()

    def _take(self, stream: Stream, word: Any) -> None:
        """One message from an agent, as `HeartbeatStream._take`."""
        kind = type(word)
        try:
            if kind is words.Beat:
                self._take_beat(stream, word)
            elif kind is words.Register:
                self._register(stream, word)
            elif kind is words.Ack:
                self.catalogue.acknowledge_on_stream(stream.session_id, word.alert_ids, self.now())
            else:
                before = self.catalogue.records.get(word.service_id)
                self.catalogue.goodbye(stream.session_id, word.service_id, word.reason, self.now())
                if before is not None and word.service_id not in self.catalogue.records:
                    self.observer.said_goodbye(before, stream.connection.ends[1])
        except DomainError as error:
            if not self.catalogue.carries(stream.session_id):
                self._stream_ended(stream)
                stream.connection.close(UP, error)
        self.settle()

    def _register(self, stream: Stream, word: words.Register) -> None:
        if self.draining:
            raise Draining("the registry is going away")
        connection = stream.connection
        try:
            service = self.catalogue.register(
                word.spec, word.incarnation, word.instance_id, stream.session_id, self.now()
            )
        except Superseded as error:
            self._tell(connection, SupersededBy(error.service_id, error.incarnation))
        except UnknownIncarnation as error:
            self._tell(connection, UnknownService(error.service_id))
        else:
            self.observer.registered(service, connection.ends[1], self.catalogue.records[service.spec.service_id])

    def _take_beat(self, stream: Stream, beat: words.Beat) -> None:
        record = self.catalogue.beat(stream.session_id, beat.service_id, beat.incarnation, beat.report, self.now())
        if record is not None:
            self.observer.heard(record, stream.connection.ends[1])
        stream.heard = max(stream.heard, beat.sequence)
        stream.unacked = True
        if beat.ack_requested or self.loop.now - stream.acked_at >= ACK_EVERY:
            self._acknowledge(stream)

    def _acknowledge(self, stream: Stream) -> None:
        stream.unacked = False
        stream.acked_at = self.loop.now
        stream.connection.down(words.BeatAck(stream.heard))

    def _tell(self, connection: Connection, message: object) -> None:
        self.observer.told(message)
        connection.down(message)

    # --- TRON -------------------------------------------------------------------------------------------------------

    def _observe(self, connection: Connection, word: words.Observe) -> None:
        self._next_id += 1
        observing = Observing(connection, self._next_id, self.catalogue.open_feed(self._next_id, word.observer))
        self.verdicts.stand_down()
        self._observing[observing.feed_id] = observing
        connection.on_message[UP] = partial(self._from_observer, observing)
        connection.on_end[UP] = partial(self._observer_ended, observing)
        self._frame(observing)

    def _observer_ended(self, observing: Observing, _: Exception | None = None) -> None:
        if self._observing.pop(observing.feed_id, None) is not None:
            self.catalogue.close_feed(observing.feed_id, self.now())
            self.verdicts.stand_down()

    def frame_read(self, connection: Connection) -> None:
        """The observer took a frame from its socket, so that there is room for one more."""
        for observing in self._observing.values():
            if observing.connection is connection:
                observing.unread -= 1
                if observing.waiting and self.up and not self.paused:
                    self._frame(observing)
                return

    def _frame(self, observing: Observing) -> None:
        observing.waiting = observing.unread >= FRAMES_UNREAD
        if observing.waiting:
            return
        frame = observing.feed.take()
        catalogue, snapshot = self.catalogue, observing.snapshot
        records, now = catalogue.records, self.loop.now
        copies = [(key, catalogue.mailboxes.get(*key)) for key in frame.copies]
        for key, copy in copies:
            if copy is not None and copy.event.sequence > self.visible_events:
                observing.feed.copy(*key)
        message = words.Frame(
            now=self.clock.read(now),
            hearing_since=self.clock.hears_since(now),
            facts=tuple(
                [
                    self._facts_of(records[each], catalogue.maintenance_of(each))
                    for each in frame.changed
                    if each in records
                ]
            ),
            beats=frame.beats,
            removed=frame.removed,
            copies=tuple(
                [copy for _, copy in copies if copy is not None and copy.event.sequence <= self.visible_events]
            ),
            copies_ended=tuple([key for key, copy in copies if copy is None]),
            forebears=tuple(catalogue.tombstones.values()) if snapshot else (),
            cascade_alert_id=self.verdicts.cascade_alert_id if snapshot else "",
            snapshot_complete=snapshot,
        )
        observing.snapshot = False
        observing.unread += 1
        observing.connection.down(message)

    def _from_observer(self, observing: Observing, word: words.ApplyVerdicts) -> None:
        """As `ObserverDoors.apply`."""
        now, verdicts = self.now(), self.verdicts
        results: list[VerdictResult] = []
        for verdict in word.verdicts:
            before = self.catalogue.records.get(verdict.service_id)
            result = verdicts.apply(verdict, now)
            results.append(result)
            if result.outcome is VerdictOutcome.APPLIED and before is not None:
                self.observer.judged(before, verdict)
        for notice in word.notices:
            verdicts.notify(notice, now)
        verdicts.stand_by(word.standing, word.withdrawn, held=word.standing_held)
        verdicts.cascade_alert_id = word.cascade_alert_id
        self.catalogue.judged(word.observer, now, word.judged_until)
        answer = partial(observing.connection.down, words.VerdictsApplied(word.call, tuple(results)))
        if word.verdicts or word.notices:
            self.settle_now(answer)
        else:
            self.settle()
            answer()

    # --- readers ----------------------------------------------------------------------------------------------------

    def _read(self, connection: Connection, word: words.Watch | words.Subscribe) -> None:
        """As `RegistryService.WatchServices` and `EventService.SubscribeEvents`."""
        catalogue = self.catalogue
        of_events = isinstance(word, words.Subscribe)
        reader = Reader(connection, catalogue.changes.revision, of_events)
        connection.on_message[UP] = partial(self._has_read, reader)
        connection.on_end[UP] = partial(self._reader_ended, reader)
        try:
            if isinstance(word, words.Subscribe):
                reader.cursor, reader.started = word.after_sequence, True
                catalogue.events.check(word.after_sequence)
                changes = []
            elif word.start_revision:
                changes = catalogue.changes.since(word.start_revision)
            else:
                views = [catalogue.view(record) for record in catalogue.records.values()]
                changes = [Change(reader.cursor, view.spec.service_id, view) for view in views]
        except DomainError as error:
            connection.close(UP, error)
            return
        self._readers.append(reader)
        if of_events:
            self._serve(reader)
        else:
            self.settle(partial(self._begin_reading, reader, changes))

    def _begin_reading(self, reader: Reader, changes: list[Change]) -> None:
        for change in changes:
            self._show(reader, change)
        reader.connection.down(words.Changed(reader.cursor, None))
        reader.started = True
        self._serve(reader)

    def _show(self, reader: Reader, change: Change) -> None:
        self.observer.shown(change, self.store)
        reader.unread += 1
        reader.connection.down(words.Changed(change.revision, change))

    def _has_read(self, reader: Reader, count: int) -> None:
        reader.unread -= count
        self._serve(reader)

    def _reader_ended(self, reader: Reader, _: Exception | None = None) -> None:
        if reader in self._readers:
            self._readers.remove(reader)

    def _serve(self, reader: Reader) -> None:
        if not reader.started or reader.unread >= CHANGES_UNREAD:
            return
        try:
            if reader.of_events:
                self._serve_events(reader)
            elif self.visible > reader.cursor:
                for change in self.catalogue.changes.since(reader.cursor):
                    if change.revision > self.visible:
                        break
                    self._show(reader, change)
                reader.cursor = self.visible
        except DomainError as error:
            self._reader_ended(reader)
            reader.connection.close(UP, error)

    def _serve_events(self, reader: Reader) -> None:
        log = self.catalogue.events
        while reader.cursor < self.visible_events and reader.unread < CHANGES_UNREAD:
            log.check(reader.cursor)
            events = log.recent_after(reader.cursor, CHANGES_UNREAD)
            if events is None:
                events = self.store.read_events(reader.cursor, CHANGES_UNREAD, EVERYTHING)
            shown = [event for event in events if event.sequence <= self.visible_events]
            for event in shown:
                reader.unread += 1
                reader.connection.down(event)
            reader.cursor = shown[-1].sequence if shown else self.visible_events

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(self, connection: Connection, word: Any) -> None:
        try:
            value = self._calls[type(word)](word, connection)
        except DomainError as error:
            connection.down(words.Answer(error=error))
            return
        self.settle(partial(self._answer, connection, word, value))

    def _answer(self, connection: Connection, word: object, value: object) -> None:
        self.observer.answered(word, value, connection.ends[1])
        connection.down(words.Answer(value))

    def _call_register(self, word: words.RegisterCall, connection: Connection) -> object:
        service = self.catalogue.register(word.spec, 0, word.instance_id, None, self.now())
        self.observer.registered(service, connection.ends[1], self.catalogue.records[service.spec.service_id])
        return service

    def _call_promote(self, word: words.Promote, connection: Connection) -> object:
        return self.catalogue.promote(word.name, word.from_role, word.to_role)

    def _call_publish(self, word: words.Publish, connection: Connection) -> object:
        return self.catalogue.publish(word.event, self.now())[0]

    def _call_acknowledge(self, word: words.Acknowledge, connection: Connection) -> object:
        return self.catalogue.acknowledge(word.alert_id, word.recipient, self.now())

    def _call_maintain(self, word: words.Maintain, connection: Connection) -> object:
        if word.seconds == 0:
            self.catalogue.release_notices(word.service_id)
            return None
        wall = self.wall()
        until = None if word.seconds is None else wall + word.seconds
        maintenance = Maintenance(word.service_id, wall, until, "works")
        self.catalogue.hold_notices(maintenance)
        return maintenance

    def _call_deregister(self, word: words.Deregister, connection: Connection) -> object:
        record = self.catalogue.get(word.service_id)
        self.catalogue.deregister(word.service_id, "", self.now())
        self.observer.said_goodbye(record, None)
        return None

    # --- the engine -------------------------------------------------------------------------------------------------

    def settle(self, then: Act | None = None) -> None:
        """As `Engine.settle`; `then` is done when all that was asked for up to now is on disk."""
        effects = self.catalogue.take()
        revision, sequence = self.catalogue.changes.revision, self.catalogue.events.last
        self._wake_observers()
        tickets = self._tickets
        if not effects.writes and not tickets:
            self.release(effects, revision, sequence)
            if then is not None:
                then()
            return
        if not (effects.empty and tickets and tickets[-1].revision == revision):
            tickets.append(Ticket(effects, revision, sequence))
        if then is not None:
            tickets[-1].then.append(then)
        self._commit()

    def settle_now(self, then: Act | None = None) -> None:
        """As `Engine.settle_now`: what somebody's life hangs on does not wait for the writer's thread."""
        crowd = self._tickets or self.loop.now - self._inline_at < INLINE_APART
        if crowd or self.catalogue.pending_writes > MAX_INLINE_WRITES:
            self.settle(then)
            return
        effects = self.catalogue.take()
        revision, sequence = self.catalogue.changes.revision, self.catalogue.events.last
        if not self._written(effects.writes):
            return
        if effects.writes:
            self._inline_at = self.loop.now
        self.release(effects, revision, sequence)
        self._wake_observers()
        if then is not None:
            then()

    def _wake_observers(self) -> None:
        for observing in self._observing.values():
            if observing.feed.urgent:
                self._frame(observing)

    def release(self, effects: Effects, revision: int, sequence: int) -> None:
        """What was asked for is on disk: now, and not before, it leaves."""
        for session_id, message in effects.sends:
            stream = self._streams.get(session_id)
            if stream is not None:
                self._tell(stream.connection, message)
                if isinstance(message, Registered):
                    self.catalogue.answered(session_id, message.service, self.now())
        if revision > self.visible or sequence > self.visible_events:
            self.visible = max(self.visible, revision)
            self.visible_events = max(self.visible_events, sequence)
            for reader in list(self._readers):
                self._serve(reader)

    def _commit(self) -> None:
        if self._committing or not self._tickets:
            return
        batch = list(self._tickets)
        self._committing = True
        writes = [write for ticket in batch for write in ticket.effects.writes]
        took = self._dice.uniform(*self.disk)
        self.later(took * 0.7, partial(self._on_disk, batch, writes, took * 0.3))

    def _on_disk(self, batch: list[Ticket], writes: list[Write], rest: float) -> None:
        if self._written(writes):
            self.later(rest, partial(self._committed, batch))

    def _committed(self, batch: list[Ticket]) -> None:
        for ticket in batch:
            self._tickets.popleft()
            self.release(ticket.effects, ticket.revision, ticket.sequence)
            for act in ticket.then:
                act()
        self._committing = False
        self._commit()

    def _written(self, writes: list[Write]) -> bool:
        """Commit. False: the process died of it, on this side or on that."""
        if not writes:
            return True
        last = False
        if self.dies_at_commit is not None:
            left, after = self.dies_at_commit
            last = left <= 1
            self.dies_at_commit = None if last else (left - 1, after)
            if last and not after:
                self.dies()
                return False
        try:
            self.store.commit(writes)
            self.observer.committed(writes)
        except StoreError as error:
            self.observer.breach("P1", f"the store refused what the registry wrote: {error}")
            self.dies()
            return False
        if last:
            self.dies()
        return not last

    # --- time -------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """As `Engine._keep_time`; what waited in sockets was read before."""
        now = self.loop.now
        self.later(TICK, self._tick)
        if self.clock.tick(now):
            self.observer.registry_heard_nothing()
            self.verdicts.stand_down()
        self.latest_wall = max(self.latest_wall, self.wall())
        self.catalogue.tick(self.now())
        if now - self._figures_at >= FIGURES_EVERY:
            self._figures_at = now
            self.catalogue.publish_figures()
        if now - self._heartbeats_at >= SAVE_HEARTBEATS_EVERY:
            self._heartbeats_at = now
            self.catalogue.save_heartbeats()
            self._compact()
        self.settle()
        for observing in self._observing.values():
            self._frame(observing)

    def _compact(self) -> None:
        if self._retention is not None:
            first = self.store.first_event_since(self.wall() - self._retention)
            if first > self.catalogue.events.first:
                self.catalogue.compact_events(first)

    def _sweep(self) -> None:
        self.later(SWEEP, self._sweep)
        for stream in self._streams.values():
            if stream.unacked and self.loop.now - stream.acked_at >= ACK_EVERY:
                self._acknowledge(stream)

    def drain(self, reconnect_after: float) -> None:
        """A stop in good order begins: everyone is told to go."""
        self.draining = True
        for stream in self._streams.values():
            stream.connection.down(words.Drain(reconnect_after))
