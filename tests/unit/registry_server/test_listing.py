"""ListServices and ListEvents on a real loop: what changes between two pages, or while one is read, is not lost."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest
from grid.events.v1 import event_service_pb2
from grid.registry.v1 import registry_service_pb2 as pb
from grid_model.declaration import Declaration
from grid_model.errors import InvalidRequest, PageTokenExpired, RevisionCompacted
from grid_model.event import Event

from registry_server.core.event_log import EventFilter
from registry_server.io.callers import Callers
from registry_server.io.grpc_events import Context, EventService
from registry_server.io.grpc_listing import ServiceLists
from registry_server.io.loop import RegistryLoop
from registry_server.io.store.sqlite import SqliteStore
from tests.unit.registry_server.builders import make_event

NO_CONTEXT = cast("Context", None)


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[RegistryLoop]:
    loop = RegistryLoop(SqliteStore(folder), event_retention=3600)
    await loop.start()
    task = asyncio.create_task(loop.run())
    try:
        yield loop
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await loop.close()


def register(loop: RegistryLoop, names: Sequence[str]) -> None:
    for name in names:
        loop.registry.register(Declaration(name, name), 0, "", None, loop.now())


async def test_a_service_that_leaves_between_two_pages_is_told_by_a_watch_from_there(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        names = [f"s{number:04}" for number in range(1101)]
        register(loop, names)
        lists = ServiceLists(loop)
        page = await lists.page(pb.ListServicesRequest())
        loop.registry.deregister("s0005", "", loop.now())
        register(loop, ["s0000a"])
        rest = await lists.page(pb.ListServicesRequest(page_token=page.next_page_token))
        listed = [each.service_id for each in (*page.services, *rest.services)]
        assert listed == names
        assert page.revision == rest.revision
        assert (page.total_size, rest.total_size, rest.next_page_token) == (1101, 1101, "")
        changes = loop.registry.changes_since(rest.revision)
        assert [(each.service_id, each.service is None) for each in changes] == [("s0005", True), ("s0000a", False)]


async def test_lists_of_twenty_thousand_leave_the_loop_to_others(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        register(loop, [f"s{number:05}" for number in range(20_000)])
        await loop.flushed()
        lists = ServiceLists(loop)
        longest = 0.0

        async def look() -> None:
            nonlocal longest
            before = time.thread_time()
            while True:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, before = max(longest, now - before), now

        gc.collect()
        gc.disable()  # its pauses are bounded elsewhere
        try:
            looking = asyncio.create_task(look())
            await asyncio.sleep(0)
            pages = await asyncio.gather(*(lists.page(pb.ListServicesRequest(page_size=10_000)) for _ in range(2)))
            looking.cancel()
        finally:
            gc.enable()
        assert [len(page.services) for page in pages] == [10_000, 10_000]
        assert longest < 0.05, "seconds of processor time between two turns of somebody else"


async def test_an_expired_token_and_other_filters_are_told_apart(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        register(loop, ["a", "b"])
        lists = ServiceLists(loop)
        token = (await lists.page(pb.ListServicesRequest(page_size=1))).next_page_token
        with pytest.raises(InvalidRequest, match="page_token"):
            await lists.page(pb.ListServicesRequest(page_size=1, page_token=token, name="b"))
        with pytest.raises(PageTokenExpired):
            await ServiceLists(loop).page(pb.ListServicesRequest(page_size=1, page_token=token))


async def test_an_event_that_comes_while_the_newest_are_read_is_behind_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as loop:
        read = loop.read_events

        async def and_then_one_comes(
            after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
        ) -> list[Event]:
            events = await read(after, limit, wanted, unacknowledged=unacknowledged, newest=newest)
            loop.registry.publish(make_event("late"), loop.now())
            return events

        monkeypatch.setattr(loop, "read_events", and_then_one_comes)
        loop.registry.publish(make_event("first"), loop.now())
        page = await EventService(loop, Callers(loop)).ListEvents(
            event_service_pb2.ListEventsRequest(newest=True), NO_CONTEXT
        )
        assert [each.type for each in page.events] == ["first"]
        assert page.last_sequence == page.events[-1].sequence, "a subscription from there gets the late one"


async def test_events_that_are_let_go_of_while_a_page_is_read_are_a_gap_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as loop:
        for _ in range(9):
            loop.registry.publish(make_event(), loop.now())
        read = loop.read_events

        async def and_before_that_some_go(
            after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
        ) -> list[Event]:
            loop.registry.compact_events(7)
            await loop.flushed()
            return await read(after, limit, wanted, unacknowledged=unacknowledged, newest=newest)

        monkeypatch.setattr(loop, "read_events", and_before_that_some_go)
        with pytest.raises(RevisionCompacted, match="events after number 3 are no longer kept"):
            await EventService(loop, Callers(loop)).ListEvents(
                event_service_pb2.ListEventsRequest(after_sequence=3), NO_CONTEXT
            )
