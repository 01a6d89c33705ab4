"""The registry's process: the real catalogue, verdicts, mailboxes, logs and attentive clock, in a model of its engine.

What is modelled is `registry_server.io.loop` (tickets, group commit, nothing leaves before it is on disk); the doors
are in `sim_doors`. The process may die between any two steps, also on both sides of each commit; it starts again from
the store as the engine does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from registry_server.core.attention import TICK, AttentiveClock
from registry_server.core.catalogue import Catalogue
from registry_server.core.effects import Effects, Write
from registry_server.core.event_log import EventLog
from registry_server.core.record import Record
from registry_server.core.service import Instant, Maintenance
from registry_server.core.verdicts import Verdicts
from registry_server.io.loop import FIGURES_EVERY, INLINE_APART, MAX_INLINE_WRITES, SAVE_HEARTBEATS_EVERY
from registry_server.io.store import StoreError
from tests.simulation import words
from tests.simulation.loop import Act, Loop, Process
from tests.simulation.network import UP, Connection
from tests.simulation.observer import Observer
from tests.simulation.sim_doors import SWEEP, Heartbeats, Observers
from tests.simulation.sim_reading import Calls, Readers
from tests.simulation.sim_store import SimStore

EPOCH = 1_700_000_000.0


@dataclass(slots=True)
class Ticket:
    """Effects on their way to the disk, and what happens when they are there."""

    effects: Effects
    revision: int
    sequence: int
    then: list[Act] = field(default_factory=list)


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
        self.write = store.commit
        """How it writes to the disk."""
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
        self.visible = 0
        """The newest revision that readers may see."""
        self.visible_events = 0
        """The newest event that readers may see."""
        self.draining = False
        self.heartbeats = Heartbeats(self)
        self.observers = Observers(self, self._facts_of)
        self.readers = Readers(self)
        self.calls = Calls(self)
        self._next_id = 0
        self._tickets: deque[Ticket] = deque()
        self._committing = False
        self._inline_at = float("-inf")
        self._figures_at = self.loop.now
        self._heartbeats_at = self.loop.now

    def fresh_catalogue(self, revision: int, incarnation: int, events: EventLog) -> Catalogue:
        """An empty catalogue that goes on with these numbers."""
        return Catalogue(revision=revision, incarnation=incarnation, event_log=events)

    def wall(self) -> float:
        """The wall clock, in seconds since the epoch."""
        return EPOCH + self.loop.now + self.wall_offset

    def now(self) -> Instant:
        """This moment, on both clocks."""
        return Instant(self.wall(), self.clock.read(self.loop.now))

    def next_id(self) -> int:
        """A number for a stream."""
        self._next_id += 1
        return self._next_id

    def accept(self, connection: Connection) -> None:
        """A connection was opened; its first word says what it is."""
        connection.on_message[UP] = partial(self._first_word, connection)
        connection.on_end[UP] = lambda _: None

    def drain(self, reconnect_after: float) -> None:
        """A stop in good order begins: everyone is told to go."""
        self.draining = True
        self.heartbeats.drain(reconnect_after)

    def _first_word(self, connection: Connection, word: Any) -> None:
        if isinstance(word, words.Observe):
            self.observers.open(connection, word)
        elif isinstance(word, words.Watch | words.Subscribe):
            self.readers.open(connection, word)
        elif self.calls.knows(word):
            self.calls.take(connection, word)
        else:
            self.heartbeats.open(connection, word)

    # --- the engine -------------------------------------------------------------------------------------------------

    def owes_answer(self, incarnation: int) -> bool:
        """Whether somebody is registered as this one, and is not told yet, because the disk is slow."""
        waiting = (service for ticket in self._tickets for service in ticket.effects.registered)
        return any(service.incarnation == incarnation for service in waiting)

    def settle(self, then: Act | None = None) -> None:
        """As `Engine.settle`; `then` is done when all that was asked for up to now is on disk."""
        effects = self.catalogue.take()
        revision, sequence = self.catalogue.changes.revision, self.catalogue.events.last
        self.observers.wake(urgent=True)
        tickets = self._tickets
        if not effects.writes and not tickets:
            self.release(effects, revision, sequence)
            if then is not None:
                then()
            return
        if not (effects.empty and tickets and tickets[-1].revision == revision):
            self.catalogue.wait_for_answers(effects.registered)
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
        self.observers.wake(urgent=True)
        if then is not None:
            then()

    def release(self, effects: Effects, revision: int, sequence: int) -> None:
        """What was asked for is on disk: now, and not before, it leaves."""
        for session_id, message in effects.sends:
            self.heartbeats.say(session_id, message)
        if revision > self.visible or sequence > self.visible_events:
            self.visible = max(self.visible, revision)
            self.visible_events = max(self.visible_events, sequence)
            self.readers.serve()

    def _commit(self) -> None:
        """As `Engine._commit_for_ever`: one batch at a time, with all that waits."""
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
            self.write(writes)
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
        while self.catalogue.show_liveness():
            pass
        if now - self._figures_at >= FIGURES_EVERY:
            self._figures_at = now
            while self.catalogue.publish_figures():
                pass
        if now - self._heartbeats_at >= SAVE_HEARTBEATS_EVERY:
            self._heartbeats_at = now
            while self.catalogue.save_heartbeats():
                pass
            self._compact()
        self.settle()
        self.observers.wake(urgent=False)

    def _compact(self) -> None:
        if self._retention is not None:
            first = self.store.first_event_since(self.wall() - self._retention)
            if first > self.catalogue.events.first:
                self.catalogue.compact_events(first)

    def _sweep(self) -> None:
        self.later(SWEEP, self._sweep)
        self.heartbeats.sweep()
