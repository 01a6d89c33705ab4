"""The registry's process: the real core, verdicts, mailboxes, logs and attentive clock, in a model of its loop.

What is modelled is `registry_server.io.loop` (tickets, group commit, nothing leaves before it is on disk); the doors
are in `sim_doors`. The process may die between any two steps, also on both sides of each commit; it starts again from
the store as the loop does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from registry_server.core.attention import TICK, AttentiveClock
from registry_server.core.commits import Batch, Commits, PendingCommit
from registry_server.core.effects import Effects, Write
from registry_server.core.event_log import EventLog
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, Maintenance
from registry_server.io.loop import FIGURES_EVERY, SAVE_HEARTBEATS_EVERY
from registry_server.io.store import StoreError
from tests.simulation import words
from tests.simulation.loop import Act, Loop, Process
from tests.simulation.network import UP, Connection
from tests.simulation.observer import Observer
from tests.simulation.sim_doors import SWEEP, Heartbeats, Observers
from tests.simulation.sim_reading import Calls, Readers
from tests.simulation.sim_store import SimStore

EPOCH = 1_700_000_000.0


@dataclass(frozen=True, slots=True)
class Marks:
    """How far everything was released to agents: position, revision, event."""

    position: int
    revision: int
    sequence: int


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
        self.core = Registry()
        self.clock = AttentiveClock(0.0)
        self._dice = dice
        self._facts_of = facts_of
        self._retention = retention
        self._begin()

    def boot(self) -> None:
        """Start from what is stored, as `RegistryLoop.start` does."""
        self.up = True
        self._begin()
        stored = self.store.load()
        events = EventLog(stored.last_sequence, stored.first_sequence)
        self.core = self.fresh_core(stored.revision, stored.incarnation, events)
        beginning = Instant(self.wall(), 0.0)
        self.core.restore(
            stored.services,
            stored.tombstones,
            stored.intents,
            stored.waiting,
            beginning,
            stored.maintenance,
            stored.compacted_revision,
        )
        effects = self.core.take()
        if not self._written(effects.writes):
            return
        self.commits = Commits(revision=self.core.revision, sequence=self.core.last_event)
        self._released = Marks(0, self.commits.revision, self.commits.sequence)
        self.clock = AttentiveClock(self.loop.now)
        self.observer.registry_started(self.core)
        self.later(TICK, self._tick)
        self.later(SWEEP, self._sweep)

    def _begin(self) -> None:
        """Know nothing."""
        self.draining = False
        self.heartbeats = Heartbeats(self)
        self.observers = Observers(self, self._facts_of)
        self.readers = Readers(self)
        self.calls = Calls(self)
        self._next_id = 0
        self.commits = Commits()
        """What is durable, released and shown, by the real rules."""
        self._callers: deque[tuple[int, Act]] = deque()
        self._committing = False
        self._on_disk = 0
        """Everything up to this position was written, in truth."""
        self._released = Marks(0, 0, 0)
        self._figures_at = self.loop.now
        self._heartbeats_at = self.loop.now

    def fresh_core(self, revision: int, incarnation: int, events: EventLog) -> Registry:
        """An empty core that goes on with these numbers."""
        return Registry(revision=revision, incarnation=incarnation, event_log=events)

    @property
    def visible(self) -> int:
        """The newest revision that readers may see."""
        return self.commits.revision

    @property
    def visible_events(self) -> int:
        """The newest event that readers may see."""
        return self.commits.sequence

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

    # --- the loop ---------------------------------------------------------------------------------------------------

    def owes_answer(self, incarnation: int) -> bool:
        """Whether somebody is registered as this one, and is not told yet, because the disk is slow."""
        waiting = (service for commit in self.commits.pending for service in commit.effects.registered)
        return any(service.incarnation == incarnation for service in waiting)

    def flush(self, then: Act | None = None) -> None:
        """As `RegistryLoop.flush`; `then` is done when all that was asked for up to now is released."""
        effects = self.core.take()
        position = self.commits.add(effects, self.core.revision, self.core.last_event)
        self.observers.wake(urgent=True)
        self._send_or_commit(position, effects, then)

    def flush_inline(self, then: Act | None = None) -> None:
        """As `RegistryLoop.flush_inline`: what a life depends on does not wait for the writer's thread."""
        effects = self.core.take()
        position = self.commits.add(effects, self.core.revision, self.core.last_event)
        if self.commits.commits_inline(self.loop.now) and (batch := self.commits.take()) is not None:
            if not self._write(batch):
                return
            self.commits.committed(batch.position, self.loop.now, inline=True)
        self._send_or_commit(position, effects, then)
        self.observers.wake(urgent=True)

    def _send_or_commit(self, position: int, effects: Effects, then: Act | None) -> None:
        if then is not None:
            self._callers.append((position, then))
        if self.commits.next_release == position:
            self._release_next()
        elif self.commits.released_to < position:
            self.core.wait_for_answers(effects.registered)
            self._commit()
        self._answer()

    def _release_next(self) -> None:
        commit = self.commits.release(self.loop.now)
        if commit is None:
            return
        self._check_release(commit)
        for session_id, message in commit.effects.sends:
            self.heartbeats.say(session_id, message)
        self._answer()
        self._show_readers()

    def _answer(self) -> None:
        """Everyone who waits for what is released by now."""
        while self._callers and self._callers[0][0] <= self.commits.released_to:
            self._callers.popleft()[1]()

    def _show_readers(self) -> None:
        self.commits.advance(self.loop.now)
        if self.commits.revision > self._released.revision or self.commits.sequence > self._released.sequence:
            self.observer.breach("P1", "readers are shown what is not on disk, or not released to agents")
        self.readers.serve()
        due = self.commits.due()
        if due is not None:
            self.later(max(0.0, due - self.loop.now), self._show_readers)

    def _check_release(self, commit: PendingCommit) -> None:
        """What leaves is on disk, leaves in order, and reaches agents before readers."""
        released = self._released
        if commit.effects.writes and commit.position > self._on_disk:
            self.observer.breach("P1", f"released what is not on disk: position {commit.position}")
        if commit.position <= released.position:
            self.observer.breach("P7", f"released position {commit.position} after {released.position}")
        if commit.effects.alerts and released.revision < commit.revision <= self.commits.revision:
            self.observer.breach("P7", "readers are shown an alert before its recipient")
        self._released = Marks(
            commit.position, max(released.revision, commit.revision), max(released.sequence, commit.sequence)
        )

    def _commit(self) -> None:
        """As `RegistryLoop._commit_forever`: one batch at a time, with all that waits."""
        if self._committing or (batch := self.commits.take()) is None:
            return
        self._committing = True
        took = self._dice.uniform(*self.disk)
        self.later(took * 0.7, partial(self._reach_disk, batch, took * 0.3))

    def _reach_disk(self, batch: Batch, rest: float) -> None:
        if self._write(batch):
            self.later(rest, partial(self._committed, batch))

    def _committed(self, batch: Batch) -> None:
        self.commits.committed(batch.position, self.loop.now)
        while self.commits.next_release is not None:
            self._release_next()
        self._committing = False
        self._commit()

    def _write(self, batch: Batch) -> bool:
        """Write a batch. False: the process died of it, on this side or on that."""
        if not self._written(batch.lines):
            return False
        self._on_disk = batch.position
        return True

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
        """As `RegistryLoop._keep_time`; what waited in sockets was read before."""
        now = self.loop.now
        self.later(TICK, self._tick)
        if self.clock.tick(now):
            self.observer.registry_heard_nothing()
            self.core.withdraw_preauthorized()
        self.latest_wall = max(self.latest_wall, self.wall())
        self.core.tick(self.now())
        while self.core.show_liveness():
            pass
        if now - self._figures_at >= FIGURES_EVERY:
            self._figures_at = now
            while self.core.publish_figures():
                pass
        if now - self._heartbeats_at >= SAVE_HEARTBEATS_EVERY:
            self._heartbeats_at = now
            while self.core.save_heartbeats():
                pass
            self._compact()
        self.flush()
        self.observers.wake(urgent=False)

    def _compact(self) -> None:
        if self._retention is not None:
            first = self.store.first_event_since(self.wall() - self._retention)
            if first > self.core.first_event:
                self.core.compact_events(first)

    def _sweep(self) -> None:
        self.later(SWEEP, self._sweep)
        self.heartbeats.sweep()
