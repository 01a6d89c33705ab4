"""The shell around the core: commands run at once on the event loop, what follows leaves after it is on disk.

One writer thread takes everything that waits and commits it in one transaction, so that ten thousand registrations at
once are a handful of fsyncs. Whatever a command asked to be told is told when its commit, and all before it, are done;
readers of revisions and events see nothing earlier either.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import structlog
from grid_model.errors import Draining
from grid_model.event import Event

from grid_hosting.pauses import PAUSES
from grid_hosting.turns import Turn
from grid_hosting.watermark import Watermark
from registry_server.core.attention import TICK, AttentiveClock
from registry_server.core.commits import Batch, Commits, PendingCommit
from registry_server.core.effects import Effects, EndStream, Message, Registered
from registry_server.core.event_log import EventFilter, EventLog
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.service import Instant
from registry_server.io.store import Store, StoreError

log = structlog.get_logger("registry")

FIGURES_EVERY = 1.0
"""Seconds between two changes of a service that are nothing but load figures."""

SAVE_HEARTBEATS_EVERY = 10.0
"""Seconds of beats that a crash may lose; they are only shown, never judged by."""

COMPACT_EVERY = 600.0
"""Seconds between two looks for events that are older than is kept."""


class RegistryLoop:
    """One registry. `start` before use, `close` after; `run` must be running for anything to be acknowledged."""

    def __init__(self, store: Store, *, event_retention: float) -> None:
        self._store = store
        self._retention = event_retention
        self._writer = ThreadPoolExecutor(1, "registry-store-write")
        self._reader = ThreadPoolExecutor(1, "registry-store-read")
        self._callers: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._work = asyncio.Event()
        self._failure: StoreError | None = None
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clock = AttentiveClock(time.monotonic())
        self._outlets: dict[int, Callable[[Message | EndStream], None]] = {}
        self._wake_feeds: dict[int, Callable[[], None]] = {}
        self._next_id = 0
        self._showing: asyncio.TimerHandle | None = None
        self.registry = Registry()
        self.commits = Commits()
        self.revisions = Watermark()
        """The newest revision that readers may see."""
        self.sequences = Watermark()
        """The newest event that readers may see."""
        self.draining = False
        self.events_found = 0
        """How many events were in the store at the start."""

    async def start(self) -> None:
        """Load the store. Raises StoreError."""
        loop = asyncio.get_running_loop()
        stored = await loop.run_in_executor(self._writer, self._store.load)
        log_of_events = EventLog(stored.last_sequence, stored.first_sequence)
        self.registry = Registry(revision=stored.revision, incarnation=stored.incarnation, event_log=log_of_events)
        # Attentive time begins now: whatever is known was known before it.
        beginning = Instant(time.time(), 0.0)
        self.registry.restore(
            stored.services,
            stored.tombstones,
            stored.intents,
            stored.waiting,
            beginning,
            stored.maintenance,
            stored.compacted_revision,
        )
        effects = self.registry.take()
        await loop.run_in_executor(self._writer, self._store.commit, effects.writes)
        self.commits = Commits(revision=self.registry.revision, sequence=self.registry.last_event)
        self._show_readers()
        self.events_found = stored.events
        self._clock = AttentiveClock(time.monotonic())
        log.info("store_loaded", services=len(stored.services), revision=self.revisions.value, events=stored.events)

    async def run(self) -> None:
        """Commit and keep time until cancelled. Raises StoreError: a registry that cannot write must stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit_forever())
            tasks.create_task(self._keep_time())
            tasks.create_task(self._keep_up())
            await self._broken

    async def close(self) -> None:
        """Write what is left, then let go of the store. `run` must have ended."""
        while self.registry.save_heartbeats():
            pass
        self.flush()
        batch = self.commits.take()
        if batch is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._store.commit, batch.lines)
        self._writer.shutdown()
        self._reader.shutdown()
        self._store.close()

    def now(self) -> Instant:
        """This moment, on both clocks."""
        return Instant(time.time(), self._clock.read(time.monotonic()))

    @property
    def hearing_since(self) -> float:
        """The attentive time since which this process did not stall."""
        return self._clock.hears_since(time.monotonic())

    def flush(self) -> int:
        """Start committing what commands asked for since the last call. Return the position of the last of it."""
        position, effects = self._collect()
        self._wake_observers()
        self._send_or_commit(position, effects)
        return position

    def flush_inline(self) -> int:
        """As `flush`, for what a life depends on: verdicts, and streams that break. Raises StoreError."""
        if self._failure is not None:
            raise StoreError(str(self._failure))
        position, effects = self._collect()
        if self.commits.commits_inline(time.monotonic()) and (batch := self.commits.take()) is not None:
            try:
                with PAUSES.turn("commit"):
                    self._store.commit(batch.lines)
            except StoreError as error:
                self._failed(batch, error)
                if not self._broken.done():
                    self._broken.set_exception(error)
                raise
            self.commits.committed(batch.position, time.monotonic(), inline=True)
        self._send_or_commit(position, effects)
        self._wake_observers()
        return position

    async def flushed(self) -> None:
        """Flush, and wait until all that was asked for up to now is durable and released."""
        await self._released(self.flush())

    async def flushed_inline(self) -> None:
        """As `flushed`, but by `flush_inline`."""
        position = self.flush_inline()
        if position <= self.commits.released_to:
            await asyncio.sleep(0)  # recipients of messages go first, then the caller
        else:
            await self._released(position)

    async def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """A page of the log that is on disk; see `Store.read_events`."""

        def read() -> list[Event]:
            return self._store.read_events(after, limit, wanted, unacknowledged=unacknowledged, newest=newest)

        return await asyncio.get_running_loop().run_in_executor(self._reader, read)

    async def was_sent(self, alert_id: str, recipient: str) -> bool:
        """Whether such an alert was ever addressed to `recipient`; see `Store.was_sent`."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._store.was_sent, alert_id, recipient)

    # --- streams ----------------------------------------------------------------------------------------------------

    def open_session(self, outlet: Callable[[Message | EndStream], None]) -> int:
        """A Heartbeat stream; `outlet` takes each message for it and must not block. Return its number."""
        self._next_id += 1
        self._outlets[self._next_id] = outlet
        self.registry.open_session(self._next_id)
        return self._next_id

    def close_session(self, session_id: int) -> None:
        """The stream ended. Raises StoreError."""
        self._outlets.pop(session_id, None)
        now = self.now()
        if self.draining:
            self.registry.end_session(session_id, Draining.reason)
        self.broken(self.registry.close_session(session_id, now))
        self.flush_inline()

    def broken(self, records: list[Record]) -> None:
        """The streams of these services broke, or their programs are gone."""
        # After a stall nobody knows how long ago that was: TRON judges it, which holds back for it.
        if records and not self._clock.lags(time.monotonic()):
            self.registry.streams_broke(records, self.now())

    def open_feed(self, wake: Callable[[], None]) -> int:
        """A number for an ObserveLiveness stream; `wake` is called when something urgent waits, and at each tick."""
        self._next_id += 1
        self._wake_feeds[self._next_id] = wake
        return self._next_id

    def close_feed(self, feed_id: int) -> None:
        """The stream ended."""
        self._wake_feeds.pop(feed_id, None)
        self.registry.close_feed(feed_id, self.now())

    # --- inside -----------------------------------------------------------------------------------------------------

    def _wake_observers(self, *, tick: bool = False) -> None:
        for feed_id, wake in self._wake_feeds.items():
            if self.draining or self.registry.feed_is_due(feed_id, tick=tick):
                wake()

    async def _released(self, position: int) -> None:
        """Wait until everything up to a position is released."""
        if position <= self.commits.released_to:
            return
        if not self._callers or self._callers[-1][0] != position:
            self._callers.append((position, asyncio.get_running_loop().create_future()))
        await asyncio.shield(self._callers[-1][1])

    def _collect(self) -> tuple[int, Effects]:
        """Hand what commands asked for since the last call to the commits; return its position, and what it is."""
        effects = self.registry.take()
        return self.commits.add(effects, self.registry.revision, self.registry.last_event), effects

    def _send_or_commit(self, position: int, effects: Effects) -> None:
        """Release what needs no commit, or is durable already; else have it committed by the writer's thread."""
        if self.commits.next_release == position and (commit := self.commits.release(time.monotonic())) is not None:
            self._release(commit)
            self._show_readers()
        elif self.commits.released_to < position:
            self.registry.wait_for_answers(effects.registered)
            self._work.set()

    def _failed(self, batch: Batch, error: StoreError) -> None:
        """A batch could not be written: nothing of it, or of what follows, is ever released."""
        self.commits.failed(batch.position)
        self._failure = error

    def _release(self, commit: PendingCommit) -> None:
        """Send its messages to agents, then answer its callers."""
        for session_id, message in commit.effects.sends:
            outlet = self._outlets.get(session_id)
            if outlet is not None:
                outlet(message)
                if isinstance(message, Registered):
                    self.registry.answered(session_id, message.service, self.now())
        while self._callers and self._callers[0][0] <= commit.position:
            _, caller = self._callers.popleft()
            if not caller.done():
                caller.set_result(None)

    def _show_readers(self) -> None:
        """Show readers what they may see now, and the rest when that is due."""
        self.commits.advance(time.monotonic())
        if (self.commits.revision, self.commits.sequence) != (self.revisions.value, self.sequences.value):
            self.revisions.advance(self.commits.revision)
            self.sequences.advance(self.commits.sequence)
            self._wake_observers()
        due = self.commits.due()
        if due is not None and self._showing is None:
            delay = max(0.0, due - time.monotonic())
            self._showing = asyncio.get_running_loop().call_later(delay, self._show_due)

    def _show_due(self) -> None:
        self._showing = None
        self._show_readers()

    async def _commit_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            while (batch := self.commits.take()) is not None:
                if batch.lines:
                    try:
                        await loop.run_in_executor(self._writer, self._store.commit, batch.lines)
                    except StoreError as error:
                        self._failed(batch, error)
                        raise
                self.commits.committed(batch.position, time.monotonic())
                turn = Turn("release")
                while (commit := self.commits.release(time.monotonic())) is not None:
                    self._release(commit)
                    self._show_readers()
                    if turn.over:
                        await turn.rest()
                turn.end()

    async def _keep_time(self) -> None:
        """The only loop that watches the clock."""
        while True:
            await asyncio.sleep(TICK)
            # What arrived while we slept, or were stopped, is read before time goes on.
            for _ in range(3):
                await asyncio.sleep(0)
            stall = self._clock.tick(time.monotonic())
            if stall:
                log.warning("registry_stalled", seconds=round(stall, 3))
                self.registry.withdraw_preauthorized()
            with PAUSES.turn("tick"):
                self.registry.tick(self.now())
                self.flush()
            self._wake_observers(tick=True)

    async def _keep_up(self) -> None:
        """What is done for all services, now and then, in parts."""
        figures = heartbeats = compaction = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            await self._in_parts(self.registry.show_liveness)
            if now - figures >= FIGURES_EVERY:
                figures = now
                await self._in_parts(self.registry.publish_figures)
            if now - heartbeats >= SAVE_HEARTBEATS_EVERY:
                heartbeats = now
                await self._in_parts(self.registry.save_heartbeats)
            if now - compaction >= COMPACT_EVERY:
                compaction = now
                await self._compact()

    async def _in_parts(self, part: Callable[[], bool]) -> None:
        """Do a part of the work, and others until none is left; everyone else is served between two of them."""
        more = True
        while more:
            with PAUSES.turn("sweep"):
                more = part()
                self.flush()
            await asyncio.sleep(0)

    async def _compact(self) -> None:
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(self._reader, self._store.first_event_since, time.time() - self._retention)
        if first > self.registry.first_event:
            self.registry.compact_events(first)
            log.info("events_compacted", first=first)
