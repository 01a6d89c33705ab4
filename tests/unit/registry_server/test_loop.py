"""What the loop promises about the disk: nothing is sent before its commit, and commits are shared."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from grid.registry.v1 import observation_pb2
from grid_model.declaration import Declaration
from grid_model.errors import Draining, Superseded
from grid_model.event import OPERATORS, Event
from grid_model.liveness import LivenessCause
from grid_model.verdict import Verdict, VerdictKind, VerdictOutcome

from registry_server.core.commits import INLINE_APART, MAX_INLINE_LINES
from registry_server.core.effects import Alert, EndStream, Message, PutService, Registered, SupersededBy, Write
from registry_server.core.event_log import EventFilter
from registry_server.io.grpc_observer import ObserverService
from registry_server.io.loop import RegistryLoop
from registry_server.io.store import Stored, StoreError
from tests.support.waiting import eventually
from tests.unit.registry_server.builders import make_event

OBSERVE = observation_pb2.ObserveLivenessRequest(observer="tron")


class HeldStore:
    """A store whose commits wait until they are let go, and which counts them."""

    def __init__(self) -> None:
        self.commits: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken = False

    def load(self) -> Stored:
        return Stored()

    def commit(self, writes: Sequence[Write]) -> None:
        assert self.gate.wait(10)
        if self.broken:
            raise StoreError("disk full")
        self.commits.append(sum(isinstance(write, PutService) for write in writes))

    def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        return []

    def was_sent(self, alert_id: str, recipient: str) -> bool:
        return False

    def first_event_since(self, recorded_at: float) -> int:
        return 1

    def close(self) -> None:
        return


@asynccontextmanager
async def running(store: HeldStore) -> AsyncIterator[RegistryLoop]:
    loop = RegistryLoop(store, event_retention=60)
    await loop.start()
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        store.gate.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.close()


async def test_ten_thousand_registrations_at_once_are_a_handful_of_commits() -> None:
    store = HeldStore()
    async with running(store) as loop:
        before = len(store.commits)
        told: list[object] = []

        async def register(number: int) -> None:
            loop.registry.register(Declaration(f"s{number}", "s"), 0, "", None, loop.now())
            await loop.flushed()
            told.append(number)

        await asyncio.gather(*(register(number) for number in range(10_000)))
        assert len(told) == 10_000
        assert sum(store.commits[before:]) == 10_000
        assert len(store.commits) - before < 100


async def test_nobody_is_told_before_it_is_on_disk() -> None:
    store = HeldStore()
    async with running(store) as loop:
        told: list[object] = []
        session = loop.open_session(told.append)
        seen_before = loop.revisions.value
        store.gate.clear()
        loop.registry.register(Declaration("a", "a"), 0, "", session, loop.now())
        waiting = asyncio.ensure_future(loop.flushed())
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        assert told == []
        assert loop.revisions.value == seen_before
        store.gate.set()
        await asyncio.wait_for(waiting, 5)
        assert [type(each) for each in told] == [Registered]
        assert loop.revisions.value > seen_before


async def test_a_service_owes_its_next_beat_only_once_it_was_told_that_it_is_registered() -> None:
    store = HeldStore()
    async with running(store) as loop:
        told: list[Message | EndStream] = []
        session = loop.open_session(told.append)
        store.gate.clear()
        loop.registry.register(Declaration("a", "a"), 0, "", session, loop.now())
        loop.flush()
        record = loop.registry.get("a")
        registered_at = record.heard_at
        await eventually(lambda: loop.now().attentive >= registered_at + 0.5)
        assert record.heard_at == registered_at
        silent = Verdict("a", record.incarnation, record.observation, VerdictKind.DOWN, LivenessCause.SILENT)
        ruling = loop.registry.apply(silent, loop.now())
        assert ruling.outcome is VerdictOutcome.STALE, "it waits for us, not we for it"
        store.gate.set()
        await eventually(lambda: bool(told))
        assert isinstance(told[0], Registered)
        assert record.heard_at >= registered_at + 0.5
        silent = replace(silent, observation=record.observation)
        assert loop.registry.apply(silent, loop.now()).outcome is VerdictOutcome.APPLIED


async def test_an_older_one_is_told_to_stop_only_once_the_newer_one_is_on_disk() -> None:
    store = HeldStore()
    async with running(store) as loop:
        told: list[Message | EndStream] = []
        older, newer = loop.open_session(told.append), loop.open_session(lambda _: None)
        loop.registry.register(Declaration("a", "a"), 0, "one", older, loop.now())
        await loop.flushed()
        store.gate.clear()
        loop.registry.register(Declaration("a", "a"), 0, "two", newer, loop.now())
        loop.flush()
        with pytest.raises(Superseded) as caught:
            loop.registry.register(Declaration("a", "a"), 1, "one", older, loop.now())
        loop.registry.refuse_older(older, caught.value)
        loop.flush()
        await asyncio.sleep(0.1)
        assert [type(each) for each in told] == [Registered]
        store.gate.set()
        await eventually(lambda: SupersededBy("a", 2) in told)


async def test_whom_an_alert_concerns_is_told_before_all_other_readers() -> None:
    async with running(HeldStore()) as loop:
        told: list[Message | EndStream] = []
        session = loop.open_session(told.append)
        loop.registry.register(Declaration("parent", "p"), 0, "", session, loop.now())
        await loop.flushed()
        seen_before = loop.revisions.value, loop.sequences.value
        loop.registry.register(Declaration("kid", "k", parent="parent"), 0, "", None, loop.now())
        record = loop.registry.get("kid")
        alert = make_event("service_down", alert_id="x", service_id="kid", recipient="parent")
        down = Verdict("kid", record.incarnation, record.observation, VerdictKind.DOWN, alert=alert)
        assert loop.registry.apply(down, loop.now()).outcome is VerdictOutcome.APPLIED
        await loop.flushed()
        assert isinstance(told[-1], Alert)
        assert (loop.revisions.value, loop.sequences.value) == seen_before
        await asyncio.wait_for(loop.revisions.beyond(seen_before[0]), 5)
        assert loop.sequences.value > seen_before[1]


async def test_a_registry_that_can_not_write_stops_rather_than_lie() -> None:
    store = HeldStore()
    loop = RegistryLoop(store, event_retention=60)
    await loop.start()
    task = asyncio.create_task(loop.run())
    told: list[object] = []
    session = loop.open_session(told.append)
    store.broken = True
    loop.registry.register(Declaration("a", "a"), 0, "", session, loop.now())
    loop.flush()
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(task, 5)
    assert caught.group_contains(StoreError)
    assert told == []


@pytest.mark.parametrize("inline", [False, True])
async def test_callers_of_a_registry_that_cannot_write_are_answered_at_once(inline: bool) -> None:
    """Else each waits until it is cancelled, and with them the end of the registry, and so its next start."""
    store = HeldStore()
    loop = RegistryLoop(store, event_retention=60)
    await loop.start()
    task = asyncio.create_task(loop.run())
    store.gate.clear()
    store.broken = True
    loop.registry.register(Declaration("a", "a"), 0, "", None, loop.now())
    waiting = [asyncio.create_task(loop.flushed()) for _ in range(2)]
    await asyncio.sleep(0)
    store.gate.set()
    for caller in waiting:
        with pytest.raises(Draining, match="cannot write"):
            await asyncio.wait_for(caller, 5)
    with pytest.raises(Draining, match="cannot write"):
        await (loop.flushed_inline() if inline else loop.flushed())
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(task, 5)
    assert caught.group_contains(StoreError)


async def test_streams_that_end_while_a_registry_cannot_write_add_no_error() -> None:
    store = HeldStore()
    loop = RegistryLoop(store, event_retention=60)
    await loop.start()
    sessions = [loop.open_session(lambda _: None) for _ in range(3)]
    for number, session in enumerate(sessions):
        loop.registry.register(Declaration(f"s{number}", "s"), 0, "", session, loop.now())
    store.broken = True
    await asyncio.sleep(INLINE_APART * 2)
    for session in sessions:
        loop.close_session(session)
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(loop.run(), 5)
    assert caught.group_contains(StoreError)


async def quiet(loop: RegistryLoop) -> None:
    """Nothing is on its way to the disk, and nothing was committed on the loop a moment ago."""
    await loop.flushed()
    await asyncio.sleep(INLINE_APART * 2)


async def test_what_lives_hang_on_is_committed_and_told_at_once() -> None:
    store = HeldStore()
    async with running(store) as loop:
        told: list[object] = []
        session = loop.open_session(told.append)
        await quiet(loop)
        before = len(store.commits)
        loop.registry.register(Declaration("a", "a"), 0, "", session, loop.now())
        assert loop.flush_inline() <= loop.commits.released_to
        assert len(store.commits) == before + 1
        assert [type(each) for each in told] == [Registered]
        assert loop.revisions.value == loop.registry.revision


async def test_a_crowd_shares_its_commits() -> None:
    store = HeldStore()
    async with running(store) as loop:
        await quiet(loop)
        for n in range(MAX_INLINE_LINES + 1):
            loop.registry.register(Declaration(f"s{n}", "s"), 0, "", None, loop.now())
        assert loop.flush_inline() > loop.commits.released_to  # too many for the loop
        await quiet(loop)
        loop.registry.register(Declaration("a", "a"), 0, "", None, loop.now())
        assert loop.flush_inline() <= loop.commits.released_to
        loop.registry.register(Declaration("b", "b"), 0, "", None, loop.now())
        assert loop.flush_inline() > loop.commits.released_to  # too soon after the one before
        await loop.flushed()


async def test_nothing_overtakes_what_is_on_its_way_to_the_disk() -> None:
    store = HeldStore()
    async with running(store) as loop:
        told: list[object] = []
        session = loop.open_session(told.append)
        await quiet(loop)
        store.gate.clear()
        loop.registry.register(Declaration("a", "a"), 0, "", session, loop.now())
        loop.flush()
        loop.registry.register(Declaration("b", "b"), 0, "", session, loop.now())
        loop.flush_inline()
        assert told == []
        store.gate.set()
        await asyncio.wait_for(loop.flushed(), 5)
        assert [each.service.spec.service_id for each in told if isinstance(each, Registered)] == ["a", "b"]


async def test_a_disk_that_fails_twice_on_the_loop_says_so_twice() -> None:
    store = HeldStore()
    loop = RegistryLoop(store, event_retention=60)
    await loop.start()
    store.broken = True
    for n in range(2):
        await asyncio.sleep(INLINE_APART * 2)
        loop.registry.register(Declaration(f"s{n}", "s"), 0, "", None, loop.now())
        with pytest.raises(StoreError, match="disk full"):
            loop.flush_inline()
    with pytest.raises(ExceptionGroup) as caught:
        await asyncio.wait_for(loop.run(), 5)
    assert caught.group_contains(StoreError)


async def test_an_observer_is_told_of_a_copy_only_once_it_is_on_disk() -> None:
    """It hands what is for operators to them at once, and they must not hear what a crash can take back."""
    store = HeldStore()
    async with running(store) as loop, aclosing(ObserverService(loop).observe(OBSERVE)) as frames:
        await anext(frames)
        store.gate.clear()
        loop.registry.publish(Event("note", alert_id="n", recipient=OPERATORS), loop.now())
        loop.flush()
        for _ in range(3):
            assert not (await anext(frames)).deliveries
        store.gate.set()
        async with asyncio.timeout(10):
            while not (deliveries := (await anext(frames)).deliveries):
                pass
        assert [each.event.alert_id for each in deliveries] == ["n"]
