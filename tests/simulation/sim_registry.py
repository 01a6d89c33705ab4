"""The registry's process: the real core, with a simulated clock, disk and network.

The process may die between any two steps, also on both sides of each commit; it starts again from the store as the loop
does. What leaves is checked against what is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

from registry_server.core.attention import TICK, AttentiveClock
from registry_server.core.commits import Batch, Commits, PendingCommit
from registry_server.core.effects import Effects, EndStream, Message, Write
from registry_server.core.event_log import EventLog
from registry_server.core.registry import Registry
from registry_server.core.releases import Releases, Shell
from registry_server.core.service import Instant
from registry_server.core.upkeep import SAVE_HEARTBEATS_EVERY, Upkeep
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


class Died(Exception):
    """The process died of a commit."""


class WatchedCommits(Commits):
    """The real commits, and what is looked at when they release something."""

    def __init__(self, *, revision: int = 0, sequence: int = 0, check: Callable[[PendingCommit], None]) -> None:
        super().__init__(revision=revision, sequence=sequence)
        self._check = check
        self.asked = 0
        """The position up to which commands asked for lines."""

    def add(self, effects: Effects, revision: int, sequence: int) -> int:
        position = super().add(effects, revision, sequence)
        if effects.writes:
            self.asked = position
        return position

    def release(self, now: float) -> PendingCommit | None:
        commit = super().release(now)
        if commit is not None:
            self._check(commit)
        return commit


class SimRegistry(Process):
    """One registry, in as many lives as it takes."""

    def __init__(
        self,
        loop: Loop,
        observer: Observer,
        store: SimStore,
        dice: Random,
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
        """After this many commits the process dies; True: the last one is on disk, and nothing was sent."""
        self.dies: Act = self.die
        """How it dies at a commit."""
        self.core = Registry()
        self._dice = dice
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
            stored.owned,
        )
        effects = self.core.take()
        try:
            if not self._written(effects.writes):
                return
        except StoreError:
            self.dies()
            return
        self._released = Marks(0, self.core.revision, self.core.last_event)
        self._run(self.core.revision, self.core.last_event)
        self.observer.registry_started(self.core)
        self.later(TICK, self._tick)
        self.later(SWEEP, self._sweep)

    def _begin(self) -> None:
        """Know nothing."""
        self.draining = False
        self.heartbeats = Heartbeats(self)
        self.observers = Observers(self)
        self.readers = Readers(self)
        self.calls = Calls(self)
        self._next_id = 0
        self._committing = False
        self._on_disk = 0
        """Everything up to this position was written, in truth."""
        self._failed_after: int | None = None
        """The position after which nothing must ever leave, because it could not be written."""
        self._released = Marks(0, 0, 0)
        self._run(0, 0)

    def _run(self, revision: int, sequence: int) -> None:
        """The core runs from now on; readers may see what is up to these numbers."""
        self.commits = WatchedCommits(revision=revision, sequence=sequence, check=self._check_release)
        self._releases = Releases(
            self.core,
            self.commits,
            Shell(
                monotonic=lambda: self.loop.now,
                now=self.now,
                write=self._write_inline,
                wake_writer=self._commit,
                send=self._send,
                wake_observers=self._wake_observers,
                show=self._show,
                show_later=lambda seconds: self.later(seconds, self._releases.show_due),
            ),
        )
        self.upkeep = Upkeep(self.core, self.loop.now, self.wall(), compact_every=SAVE_HEARTBEATS_EVERY)

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

    @property
    def clock(self) -> AttentiveClock:
        """Its attentive clock."""
        return self.upkeep.clock

    def wall(self) -> float:
        """The wall clock, in seconds since the epoch."""
        return EPOCH + self.loop.now + self.wall_offset

    def now(self) -> Instant:
        """This moment, on both clocks."""
        return self.upkeep.instant(self.loop.now, self.wall())

    def next_id(self) -> int:
        """A number for a stream."""
        self._next_id += 1
        return self._next_id

    def accept(self, connection: Connection) -> None:
        """A connection was opened; its first word says what it is."""
        connection.on_message[UP] = partial(self._first_word, connection)
        connection.on_end[UP] = lambda _: None

    def drain(self, reconnect_after: float) -> None:
        """A stop in good order begins: all clients are asked to leave."""
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
        """As `Releases.flush`: `then` is done when all that was asked for up to now is released."""
        self._ask(self._releases.flush, then)

    def flush_inline(self, then: Act | None = None) -> None:
        """As `Releases.flush_inline`."""
        if self._failed_after is None:  # else the call ends with an error
            with suppress(Died, StoreError):
                self._ask(self._releases.flush_inline, then)

    def _ask(self, flush: Callable[[Act | None], int], then: Act | None) -> None:
        if then is None:
            flush(None)
            return
        asked: list[int] = []

        def answer() -> None:
            if (asked[0] if asked else self.commits.asked) > self._on_disk:
                self.observer.breach("P1", "a caller is answered before what it asked for is on disk")
            then()

        flush(answer)
        asked.append(self.commits.asked)

    def _send(self, session_id: int, message: Message | EndStream) -> None:
        self.heartbeats.say(session_id, message)

    def _wake_observers(self) -> None:
        self.observers.wake(urgent=True)

    def _show(self) -> None:
        if self.commits.revision > self._released.revision or self.commits.sequence > self._released.sequence:
            self.observer.breach("P1", "readers are shown what is not on disk, or not released to agents")
        self.readers.serve()
        self._wake_observers()

    def _check_release(self, commit: PendingCommit) -> None:
        """What leaves is on disk, leaves in order, and reaches agents before readers."""
        released = self._released
        if self._failed_after is not None and commit.position > self._failed_after:
            self.observer.breach("P1", f"released position {commit.position}, which follows what could not be written")
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
        """The writer: one batch at a time, with all that waits."""
        if self._committing or (batch := self._releases.take()) is None:
            return
        self._committing = True
        took = self._dice.uniform(*self.disk)
        self.later(took * 0.7, partial(self._reach_disk, batch, took * 0.3))

    def _reach_disk(self, batch: Batch, rest: float) -> None:
        try:
            written = self._written(batch.lines)
        except StoreError:
            self._releases.failed(batch)
            self._committing = False
            return
        if written:
            self._on_disk = batch.position
            self.later(rest, partial(self._committed, batch))

    def _committed(self, batch: Batch) -> None:
        self._releases.written(batch)
        while self._releases.release():
            pass
        self._committing = False
        self._commit()

    def _write_inline(self, lines: list[Write]) -> None:
        if not self._written(lines):
            raise Died
        self._on_disk = self.commits.asked

    def _written(self, writes: list[Write]) -> bool:
        """Commit. False: the process died of it, on this side or on that. Raises StoreError for a disk that fails: the
        process soon ends."""
        if not writes:
            return True
        last = False
        if self.dies_at_commit is not None:
            left, after = self.dies_at_commit
            last = left <= 1
            self.dies_at_commit = None if last else (left - 1, after)
            if last and not after:
                if self._dice.random() < 0.5:
                    self.dies()
                    return False
                self._failed_after = self._on_disk
                self.later(self._dice.uniform(0.001, 0.05), self.dies)
                raise StoreError("the disk is full")
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
        now = self.loop.now
        self.later(TICK, self._tick)
        if self.upkeep.tick(now, self.wall):
            self.observer.registry_heard_nothing()
        self.latest_wall = max(self.latest_wall, self.wall())
        for part in self.upkeep.parts(now):
            while part():
                pass
        if self.upkeep.compacts(now):
            self._compact()
        self.flush()
        self.observers.wake(urgent=False)

    def _compact(self) -> None:
        if self._retention is not None:
            first = self.store.first_event_since(self.upkeep.oldest_kept(self.loop.now, self.wall(), self._retention))
            if first > self.core.first_event:
                self.core.compact_events(first)

    def _sweep(self) -> None:
        self.later(SWEEP, self._sweep)
        self.heartbeats.sweep()
