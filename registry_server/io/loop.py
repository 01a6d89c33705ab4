"""Runs the core: provides the clock, the disk, the writer thread and the streams; `core` makes the decisions.

Commands run at once on the event loop. One writer thread takes everything that waits and commits it in one transaction,
so that ten thousand registrations at once need only a few fsyncs. `core.releases` decides which messages are sent when.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import structlog
from grid_model.errors import Draining
from grid_model.event import Event

from grid_hosting.pauses import PAUSES
from grid_hosting.telemetry.histogram import SHORT, Histogram
from grid_hosting.turns import Turn
from grid_hosting.watermark import Watermark
from registry_server.core.attention import TICK
from registry_server.core.commits import Commits
from registry_server.core.effects import EndStream, Message, Write
from registry_server.core.event_log import EventFilter, EventLog
from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.releases import Releases, Shell
from registry_server.core.service import Instant
from registry_server.core.upkeep import Upkeep
from registry_server.io.store import Store, StoreError

log = structlog.get_logger("registry")

SAME_INSTANT = 0.0005
"""Seconds within which messages share one reading of the clocks. Reading all clocks for each message took a twelfth of
the time that a message needs."""

CANNOT_WRITE = "the registry cannot write to its disk, and is shutting down"


class RegistryLoop:
    """One running registry. Call `start` before use and `close` after it. While `run` is not running, no command is
    acknowledged."""

    def __init__(self, store: Store, *, event_retention: float) -> None:
        self._store = store
        self._retention = event_retention
        self._writer = ThreadPoolExecutor(1, "registry-store-write")
        self._reader = ThreadPoolExecutor(1, "registry-store-read")
        self._work = asyncio.Event()
        self._detaching = asyncio.Event()
        self._ticked = asyncio.Event()
        self._failure: StoreError | None = None
        # Callers that wait for a commit; as many as there are calls.
        self._unreleased: set[asyncio.Future[None]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outlets: dict[int, Callable[[Message | EndStream], None]] = {}
        self._wake_feeds: dict[int, Callable[[], None]] = {}
        self._next_id = 0
        self.registry = Registry()
        self.commits = Commits()
        self._releases = Releases(self.registry, self.commits, self._shell())
        self._upkeep = Upkeep(self.registry, time.monotonic(), time.time())
        self._instant_at, self._instant = float("-inf"), Instant(0.0, 0.0)
        self.revisions = Watermark()
        """The newest revision that readers may see."""
        self.sequences = Watermark()
        """The sequence number of the newest event that readers may see."""
        self.commit_seconds = Histogram(SHORT)
        self.lines_written = 0
        self.tick_lag = Histogram(SHORT)
        """Seconds by which ticks came late."""
        self.stalls = 0
        self.stalled_seconds = 0.0
        self.draining = False
        self.events_found = 0
        """Number of events in the store at the start."""

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
            stored.owned,
        )
        effects = self.registry.take()
        await loop.run_in_executor(self._writer, self._store.commit, effects.writes)
        self.commits = Commits(revision=self.registry.revision, sequence=self.registry.last_event)
        self._releases = Releases(self.registry, self.commits, self._shell())
        self._releases.show()
        self.events_found = stored.events
        self._upkeep = Upkeep(self.registry, time.monotonic(), time.time())
        self._instant_at = float("-inf")
        log.info("store_loaded", services=len(stored.services), revision=self.revisions.value, events=stored.events)

    async def run(self) -> None:
        """Commit and keep time until cancelled. Raises StoreError: a registry that cannot write must stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit_forever())
            tasks.create_task(self._keep_time())
            tasks.create_task(self._keep_up())
            tasks.create_task(self._detach_forever())
            await self._broken

    async def close(self) -> None:
        """Write the remaining lines, then close the store. `run` must have ended."""
        while self.registry.detaches:
            self._detach_next()
        for _ in range(2):  # the round that is under way, and a whole one
            while self.registry.save_heartbeats():
                pass
        self.flush()
        batch = self._releases.take()
        if batch is not None:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._store.commit, batch.lines)
        self._writer.shutdown()
        self._reader.shutdown()
        self._store.close()

    def now(self) -> Instant:
        """Return the current moment on both clocks; it may be up to SAME_INSTANT seconds old."""
        monotonic = time.monotonic()
        if monotonic - self._instant_at >= SAME_INSTANT:
            self._instant_at, self._instant = monotonic, self._upkeep.instant(monotonic, time.time())
        return self._instant

    @property
    def hearing_since(self) -> float:
        """The attentive time at which the last stall of this process ended."""
        return self._upkeep.clock.hears_since(time.monotonic())

    def flush(self) -> int:
        """Start committing the effects of the commands since the last call. Return their position; see `Commits`."""
        return self._releases.flush()

    def flush_inline(self, then: Callable[[], None] | None = None) -> int:
        """Commit urgent effects, possibly before this method returns; see `Releases.flush_inline`. Raises
        StoreError."""
        if self._failure is not None:
            raise StoreError(str(self._failure))
        try:
            return self._releases.flush_inline(then)
        except StoreError as error:
            self._fail(error)
            if not self._broken.done():
                self._broken.set_exception(error)
            raise

    async def flushed(self) -> None:
        """Flush, and wait until all effects up to now are durable and released. Raises Draining if they never will be,
        because the registry cannot write."""
        released = self._new_caller()
        self._releases.flush(partial(_resolve, released))
        await released

    async def flushed_inline(self) -> None:
        """Commit urgent effects by `flush_inline`, and wait until they are durable and released. Raises Draining if the
        registry cannot write."""
        released = self._new_caller()
        try:
            self.flush_inline(partial(_resolve, released))
        except StoreError:
            raise Draining(CANNOT_WRITE) from None  # `run` ends with the reason
        if released.done():
            await asyncio.sleep(0)  # recipients of messages go first, then the caller
        else:
            await released

    async def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """Return a page of the event log on disk; see `Store.read_events`."""

        def read() -> list[Event]:
            return self._store.read_events(after, limit, wanted, unacknowledged=unacknowledged, newest=newest)

        return await asyncio.get_running_loop().run_in_executor(self._reader, read)

    async def was_sent(self, alert_id: str, recipient: str) -> bool:
        """Return whether this alert was ever addressed to `recipient` (empty: to any recipient); see
        `Store.was_sent`."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, self._store.was_sent, alert_id, recipient)

    # --- streams ----------------------------------------------------------------------------------------------------

    def open_session(self, outlet: Callable[[Message | EndStream], None]) -> int:
        """Open a Heartbeat stream; `outlet` receives each message for it and must not block. Return its number."""
        self._next_id += 1
        self._outlets[self._next_id] = outlet
        self.registry.open_session(self._next_id)
        return self._next_id

    def close_session(self, session_id: int) -> None:
        """Record that the stream ended. A few of its services are detached at once, the others soon after."""
        self._outlets.pop(session_id, None)
        if self.draining:
            self.registry.end_session(session_id, Draining.reason)
        self.registry.stream_ended(session_id, self.now())
        while self.registry.detaches_now(time.monotonic()):
            self._detach_next()
        if self.registry.detaches:
            self._detaching.set()
        with suppress(StoreError):  # `run` ends with it; ten thousand streams that end after that have nothing to add
            self.flush_inline()

    def broken(self, records: list[Record]) -> None:
        """Apply preauthorized suspicions to services whose streams broke, or whose programs crashed; see
        `Upkeep.streams_broke`."""
        self._upkeep.streams_broke(records, self.now(), time.monotonic())

    def open_feed(self, wake: Callable[[], None]) -> int:
        """Return a number for an ObserveLiveness stream; `wake` is called when an urgent fact waits, and at each
        tick."""
        self._next_id += 1
        self._wake_feeds[self._next_id] = wake
        return self._next_id

    def close_feed(self, feed_id: int) -> None:
        """Record that an ObserveLiveness stream ended."""
        self._wake_feeds.pop(feed_id, None)
        self.registry.close_feed(feed_id, self.now())

    # --- inside -----------------------------------------------------------------------------------------------------

    def _new_caller(self) -> asyncio.Future[None]:
        """Return a future for a caller that waits for a commit. Raises Draining if there will be none."""
        if self._failure is not None:
            raise Draining(CANNOT_WRITE)
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unreleased.add(released)
        released.add_done_callback(self._unreleased.discard)
        return released

    def _fail(self, error: StoreError) -> None:
        """Record that the disk failed, and answer the callers that wait for a commit, because there will be none."""
        self._failure = error
        for released in tuple(self._unreleased):
            if not released.done():
                released.set_exception(Draining(CANNOT_WRITE))

    def _wake_observers(self, *, tick: bool = False) -> None:
        now = self.now().attentive
        for feed_id, wake in self._wake_feeds.items():
            if self.draining or self.registry.feed_is_due(feed_id, now, tick=tick):
                wake()

    def _shell(self) -> Shell:
        return Shell(
            monotonic=time.monotonic,
            now=self.now,
            write=self._write,
            wake_writer=self._work.set,
            send=self._send,
            wake_observers=self._wake_observers,
            show=self._show,
            show_later=self._show_later,
        )

    def _write(self, lines: list[Write]) -> None:
        began = time.perf_counter()
        with PAUSES.turn("commit"):
            self._store.commit(lines)
        self._committed(lines, time.perf_counter() - began)

    def _committed(self, lines: list[Write], seconds: float) -> None:
        self.commit_seconds.add(seconds)
        self.lines_written += len(lines)

    def _send(self, session_id: int, message: Message | EndStream) -> None:
        outlet = self._outlets.get(session_id)
        if outlet is not None:
            outlet(message)

    def _show(self) -> None:
        self.revisions.advance(self.commits.revision)
        self.sequences.advance(self.commits.sequence)
        self._wake_observers()

    def _show_later(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._releases.show_due)

    async def _commit_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            while (batch := self._releases.take()) is not None:
                if batch.lines:
                    began = time.perf_counter()
                    try:
                        await loop.run_in_executor(self._writer, self._store.commit, batch.lines)
                    except StoreError as error:
                        self._releases.failed(batch)
                        self._fail(error)
                        raise
                    self._committed(batch.lines, time.perf_counter() - began)
                self._releases.written(batch)
                turn = Turn("release")
                while self._releases.release():
                    if turn.over:
                        await turn.rest()
                turn.end()

    async def _detach_forever(self) -> None:
        """Detach, in turns, the services that could not be detached when their stream ended."""
        while True:
            await self._detaching.wait()
            self._detaching.clear()
            turn = Turn("detach", before_rest=self.flush_inline)
            while self.registry.detaches:
                if turn.over:
                    await turn.rest()
                else:
                    self._detach_next()
            self.flush_inline()
            turn.end()

    def _detach_next(self) -> None:
        record = self.registry.detach_next()
        if record is not None:
            self.broken([record])

    async def _keep_time(self) -> None:
        """Run the ticks; this is the only loop that watches the clock."""
        ticked, reading = time.monotonic(), 0.0
        while True:
            due = ticked + TICK
            # A busy loop takes long to read. If it slept a whole tick before, ticks would be late, and time withheld.
            await asyncio.sleep(max(0.0, TICK - reading))
            # What arrived while we slept, or were stopped, is read before time goes on.
            began = time.monotonic()
            for _ in range(3):
                await asyncio.sleep(0)
            now = ticked = time.monotonic()
            reading = now - began
            with PAUSES.turn("tick"):
                stall = self._upkeep.tick(now, time.time)
                self._instant_at = float("-inf")
                self.flush()
            self.tick_lag.add(max(0.0, now - due))
            if stall:
                self.stalls += 1
                self.stalled_seconds += stall
                log.warning("registry_stalled", seconds=round(stall, 3))
            self._wake_observers(tick=True)
            self._ticked.set()

    async def _keep_up(self) -> None:
        """Do the periodic work over all services, in parts, after ticks: a timer of its own would wake an idle program
        as often again."""
        while True:
            await self._ticked.wait()
            self._ticked.clear()
            now = time.monotonic()
            for part in self._upkeep.parts(now):
                await self._in_parts(part)
            if self._upkeep.compacts(now):
                await self._compact()

    async def _in_parts(self, part: Callable[[], bool]) -> None:
        """Do the work part by part until none is left; other work runs between two parts."""
        more = True
        while more:
            with PAUSES.turn("sweep"):
                more = part()
                self.flush()
            await asyncio.sleep(0)

    async def _compact(self) -> None:
        loop = asyncio.get_running_loop()
        oldest = self._upkeep.oldest_kept(time.monotonic(), time.time(), self._retention)
        first = await loop.run_in_executor(self._reader, self._store.first_event_since, oldest)
        if first > self.registry.first_event:
            self.registry.compact_events(first)
            log.info("events_compacted", first=first)
        self._upkeep.release_owners(time.monotonic(), time.time())


def _resolve(released: asyncio.Future[None]) -> None:
    """Let a caller continue, if it still waits."""
    if not released.done():
        released.set_result(None)
