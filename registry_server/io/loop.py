"""The shell around the catalogue: commands run at once on the event loop, what follows leaves after it is on disk.

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
from dataclasses import dataclass

import structlog

from grid_hosting.pauses import PAUSES
from grid_hosting.turns import Turn
from registry_server.core.attention import TICK, AttentiveClock
from registry_server.core.catalogue import Catalogue
from registry_server.core.effects import Effects, EndStream, Message, Registered
from registry_server.core.errors import Draining, QuotaExceeded
from registry_server.core.event_log import EventFilter, EventLog
from registry_server.core.service import Event, Instant
from registry_server.core.verdicts import Verdicts
from registry_server.io.store import Store, StoreError

log = structlog.get_logger("registry")

MAX_PENDING_WRITES = 200_000
"""Lines that wait for the disk. Overflow rule: new registrations and events are refused with QUOTA_EXCEEDED."""

MAX_INLINE_WRITES = 16
"""What may be committed on the event loop has at most so many lines; see `Engine.settle_now`."""

INLINE_APART = 0.005
"""Seconds between two commits on the event loop: in a crowd they must be shared."""

READERS_AFTER = 0.003
"""Seconds that all other readers wait where an alert goes out to an agent, so that they do not take the processor from
those whom it concerns. Measured on two cores with a gateway: 0.55 of 2.7 ms from the broken stream to the parent."""

FIGURES_EVERY = 1.0
"""Seconds between two changes of a service that are nothing but load figures."""

SAVE_HEARTBEATS_EVERY = 10.0
"""Seconds of beats that a crash may lose; they are only shown, never judged by."""

COMPACT_EVERY = 600.0
"""Seconds between two looks for events that are older than is kept."""


@dataclass(slots=True)
class _Ticket:
    """Effects on their way to the disk, and what becomes visible when they are there."""

    effects: Effects
    revision: int
    sequence: int
    done: asyncio.Future[None]


class Notifier:
    """A number that only grows, and tasks that wait for it to pass theirs."""

    def __init__(self, value: int) -> None:
        self.value = value
        self._waiting: set[asyncio.Future[None]] = set()

    def advance(self, value: int) -> None:
        """Raise the number and wake everyone who waits."""
        if value > self.value:
            self.value = value
            self.wake()

    def wake(self) -> None:
        """Wake everyone, whatever the number."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def beyond(self, value: int) -> None:
        """Wait until the number is greater than `value`, or until somebody calls `wake`."""
        if self.value > value:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)


class Engine:
    """One registry. `start` before use, `close` after; `run` must be running for anything to be acknowledged."""

    def __init__(self, store: Store, *, event_retention: float) -> None:
        self._store = store
        self._retention = event_retention
        self._writer = ThreadPoolExecutor(1, "registry-store-write")
        self._reader = ThreadPoolExecutor(1, "registry-store-read")
        self._tickets: deque[_Ticket] = deque()
        self._pending_writes = 0
        self._work = asyncio.Event()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._clock = AttentiveClock(time.monotonic())
        self._outlets: dict[int, Callable[[Message | EndStream], None]] = {}
        self._wake_feeds: dict[int, Callable[[], None]] = {}
        self._next_id = 0
        self.catalogue = Catalogue()
        self.verdicts = Verdicts(self.catalogue)
        self._inline_at = float("-inf")
        self.revisions = Notifier(0)
        """The newest revision that readers may see."""
        self.sequences = Notifier(0)
        """The newest event that readers may see."""
        self.draining = False
        self.events_found = 0
        """How many events were in the store at the start."""

    async def start(self) -> None:
        """Load the store. Raises StoreError."""
        loop = asyncio.get_running_loop()
        stored = await loop.run_in_executor(self._writer, self._store.load)
        log_of_events = EventLog(stored.last_sequence, stored.first_sequence)
        self.catalogue = Catalogue(revision=stored.revision, incarnation=stored.incarnation, event_log=log_of_events)
        self.verdicts = Verdicts(self.catalogue)
        self.catalogue.changes.compacted = stored.compacted_revision
        # Attentive time begins now: whatever is known was known before it.
        beginning = Instant(time.time(), 0.0)
        self.catalogue.restore(
            stored.services, stored.tombstones, stored.intents, stored.waiting, beginning, stored.maintenance
        )
        effects = self.catalogue.take()
        await loop.run_in_executor(self._writer, self._store.commit, effects.writes)
        self.revisions.advance(self.catalogue.changes.revision)
        self.sequences.advance(self.catalogue.events.last)
        self.events_found = stored.events
        self._clock = AttentiveClock(time.monotonic())
        log.info("store_loaded", services=len(stored.services), revision=self.revisions.value, events=stored.events)

    async def run(self) -> None:
        """Commit and keep time until cancelled. Raises StoreError: a registry that can not write must stop."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._commit_for_ever())
            tasks.create_task(self._keep_time())
            tasks.create_task(self._keep_up())
            await self._broken

    async def close(self) -> None:
        """Write what is left, then let go of the store. `run` must have ended."""
        while self.catalogue.save_heartbeats():
            pass
        self.settle()
        writes = [write for ticket in self._tickets for write in ticket.effects.writes]
        if writes:
            await asyncio.get_running_loop().run_in_executor(self._writer, self._store.commit, writes)
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

    def admit_write(self) -> None:
        """Raise QuotaExceeded while too much waits for the disk."""
        if self._pending_writes > MAX_PENDING_WRITES:
            raise QuotaExceeded(f"{self._pending_writes} changes wait for the disk; try again later")

    def settle(self) -> _Ticket | None:
        """Send the effects of the commands since the last call on their way. Return the ticket that they travel on."""
        effects = self.catalogue.take()
        revision, sequence = self.catalogue.changes.revision, self.catalogue.events.last
        self._wake_observers()
        if not effects.writes and not self._tickets:
            self._release(effects, revision, sequence)
            return None
        if effects.empty and self._tickets and self._tickets[-1].revision == revision:
            return self._tickets[-1]
        self.catalogue.wait_for_answers(effects.registered)
        ticket = _Ticket(effects, revision, sequence, asyncio.get_running_loop().create_future())
        self._tickets.append(ticket)
        self._pending_writes += len(effects.writes)
        self._work.set()
        return ticket

    def settle_now(self) -> _Ticket | None:
        """As `settle`, for what somebody's life hangs on: verdicts, and streams that break.

        With nothing else on its way to the disk, a small commit is made here, without the two thread switches (about
        half a millisecond where cores sleep). What comes in crowds shares commits all the same. Raises StoreError.
        """
        now = time.monotonic()
        crowd = self._tickets or now - self._inline_at < INLINE_APART
        if crowd or self.catalogue.pending_writes > MAX_INLINE_WRITES:
            return self.settle()
        effects = self.catalogue.take()
        revision, sequence = self.catalogue.changes.revision, self.catalogue.events.last
        if effects.writes:
            try:
                with PAUSES.turn("commit"):
                    self._store.commit(effects.writes)
            except StoreError as error:
                if not self._broken.done():
                    self._broken.set_exception(error)
                raise
            self._inline_at = time.monotonic()
        self._release(effects, revision, sequence)
        return None

    async def settled_now(self) -> None:
        """As `settled`, but by `settle_now`."""
        ticket = self.settle_now()
        if ticket is not None:
            await asyncio.shield(ticket.done)
        else:
            await asyncio.sleep(0)  # those who are to be told go first, then the caller

    async def settled(self) -> None:
        """Settle, and wait until all that was asked for up to now is on disk."""
        ticket = self.settle()
        if ticket is not None:
            await asyncio.shield(ticket.done)

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
        self.catalogue.open_session(self._next_id)
        return self._next_id

    def close_session(self, session_id: int) -> None:
        """The stream ended. Raises StoreError."""
        self._outlets.pop(session_id, None)
        now = self.now()
        if self.draining:
            self.catalogue.end_session(session_id, Draining.reason)
        broken = self.catalogue.close_session(session_id, now)
        # After a stall nobody knows how long ago it broke: that is for TRON to judge, which holds back for it.
        if broken and not self._clock.lags(time.monotonic()):
            self.verdicts.streams_broke(broken, now)
        self.settle_now()

    def open_feed(self, wake: Callable[[], None]) -> int:
        """A number for an ObserveLiveness stream; `wake` is called when something urgent waits, and at each tick."""
        self._next_id += 1
        self._wake_feeds[self._next_id] = wake
        return self._next_id

    def close_feed(self, feed_id: int) -> None:
        """The stream ended."""
        self._wake_feeds.pop(feed_id, None)
        self.verdicts.stand_down(self.catalogue.observers.close(feed_id, self.now()))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _wake_observers(self, *, tick: bool = False) -> None:
        for feed_id, wake in self._wake_feeds.items():
            if self.draining or self.catalogue.observers.is_due(feed_id, tick=tick):
                wake()

    def _release(self, effects: Effects, revision: int, sequence: int) -> None:
        for session_id, message in effects.sends:
            outlet = self._outlets.get(session_id)
            if outlet is not None:
                outlet(message)
                if isinstance(message, Registered):
                    self.catalogue.answered(session_id, message.service, self.now())
        if effects.alerts:
            asyncio.get_running_loop().call_later(READERS_AFTER, self._show_readers, revision, sequence)
        else:
            self._show_readers(revision, sequence)

    def _show_readers(self, revision: int, sequence: int) -> None:
        self.revisions.advance(revision)
        self.sequences.advance(sequence)
        self._wake_observers()

    async def _commit_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._work.wait()
            self._work.clear()
            while self._tickets:
                batch = list(self._tickets)
                writes = [write for ticket in batch for write in ticket.effects.writes]
                if writes:
                    await loop.run_in_executor(self._writer, self._store.commit, writes)
                turn = Turn("release")
                async for ticket in turn.each(batch):
                    self._tickets.popleft()
                    self._release(ticket.effects, ticket.revision, ticket.sequence)
                    ticket.done.set_result(None)
                turn.end()
                self._pending_writes -= len(writes)

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
                self.verdicts.stand_down()
            with PAUSES.turn("tick"):
                self.catalogue.tick(self.now())
                self.settle()
            self._wake_observers(tick=True)

    async def _keep_up(self) -> None:
        """What is done for all services, now and then, in parts."""
        figures = heartbeats = compaction = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            await self._in_parts(self.catalogue.show_liveness)
            if now - figures >= FIGURES_EVERY:
                figures = now
                await self._in_parts(self.catalogue.publish_figures)
            if now - heartbeats >= SAVE_HEARTBEATS_EVERY:
                heartbeats = now
                await self._in_parts(self.catalogue.save_heartbeats)
            if now - compaction >= COMPACT_EVERY:
                compaction = now
                await self._compact()

    async def _in_parts(self, part: Callable[[], bool]) -> None:
        """Do a part of the work, and others until none is left; everyone else is served between two of them."""
        more = True
        while more:
            with PAUSES.turn("sweep"):
                more = part()
                self.settle()
            await asyncio.sleep(0)

    async def _compact(self) -> None:
        loop = asyncio.get_running_loop()
        first = await loop.run_in_executor(self._reader, self._store.first_event_since, time.time() - self._retention)
        if first > self.catalogue.events.first:
            self.catalogue.compact_events(first)
            log.info("events_compacted", first=first)
