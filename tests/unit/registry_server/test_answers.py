"""Answers with much in them are built in turns, end early by size, and lose and reorder nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from grid.events.v1 import event_service_pb2
from grid.registry.v1 import registry_service_pb2 as pb
from grid_model.declaration import Declaration

from registry_server.core.changes import Change
from registry_server.core.effects import Registered
from registry_server.core.publish_rate import PublishRate
from registry_server.core.reading_rights import PART, ReadingRights
from registry_server.core.registry import Registry
from registry_server.core.rights import Rights
from registry_server.core.service import Instant
from registry_server.core.stream_messages import Registrations
from registry_server.io import answers, translate
from registry_server.io.agent_messages import from_output
from registry_server.io.callers import Callers
from registry_server.io.grpc_events import EventService
from registry_server.io.grpc_listing import ServiceLists
from registry_server.io.loop import RegistryLoop
from tests.support.turn_count import count_rests
from tests.unit.registry_server.builders import make_event
from tests.unit.registry_server.test_listing import NO_CONTEXT, running
from tests.unit.registry_server.test_rights import principal

ZEROS = {"a": [0] * 999}
"""As many values as an object may have: 11 kB on the wire."""


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Each piece of work takes a whole turn; return the number of turns."""
    return count_rests(monkeypatch).__len__


def publish_large(loop: RegistryLoop, count: int) -> None:
    """Publish this many events with ZEROS."""
    for _ in range(count):
        loop.registry.publish(make_event(details=ZEROS), loop.now())


async def all_events(loop: RegistryLoop, **asked: object) -> tuple[list[int], list[int]]:
    """The numbers of all events, read page after page, and the size of each page."""
    service, numbers, sizes, after = EventService(loop, Callers(loop)), [], [], 0
    while True:
        request = event_service_pb2.ListEventsRequest(after_sequence=after, limit=1000, **asked)  # type: ignore[arg-type]
        page = await service.ListEvents(request, NO_CONTEXT)
        numbers += [event.sequence for event in page.events]
        sizes.append(page.ByteSize())
        after = page.next_after_sequence
        if not after:
            return numbers, sizes


async def test_a_page_of_large_events_ends_early_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 100_000)
    async with running(tmp_path) as loop:
        publish_large(loop, 40)
        numbers, sizes = await all_events(loop)
        assert numbers == list(range(1, 41))
        assert len(sizes) == 4
        assert max(sizes) < 100_000 + 20_000


async def test_the_newest_events_that_fit_are_returned_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 100_000)
    async with running(tmp_path) as loop:
        publish_large(loop, 40)
        numbers, sizes = await all_events(loop, newest=True)
        assert numbers == list(range(31, 41))
        assert len(sizes) == 1


async def test_each_event_of_a_page_may_be_encoded_in_a_turn_of_its_own(
    tmp_path: Path, rests: Callable[[], int]
) -> None:
    async with running(tmp_path) as loop:
        publish_large(loop, 40)
        before = rests()
        numbers, _ = await all_events(loop)
        assert numbers == list(range(1, 41))
        assert rests() - before >= 80, "one turn to encode each event, and one to copy it"


async def test_a_page_of_large_services_ends_early_and_none_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rests: Callable[[], int]
) -> None:
    monkeypatch.setattr(answers, "MOST_BYTES", 100_000)
    async with running(tmp_path) as loop:
        names = [f"s{number:02}" for number in range(40)]
        for name in names:
            loop.registry.register(Declaration(name, name, labels=ZEROS), 0, "", None, loop.now())
        lists, listed, token, pages = ServiceLists(loop), [], "", 0
        before = rests()
        while pages == 0 or token:
            page = await lists.page(pb.ListServicesRequest(page_size=10_000, page_token=token))
            listed += [each.service_id for each in page.services]
            token, pages = page.next_page_token, pages + 1
            assert page.ByteSize() < 100_000 + 20_000
            assert page.total_size == 40
        assert listed == names
        assert pages == 4
        assert rests() - before >= 80


def changes_of(count: int) -> list[Change]:
    """Registrations of services with as many labels as a service may have."""
    registry = Registry()
    for number in range(count):
        name = f"s{number:02}"
        registry.register(Declaration(name, name, labels=ZEROS), 0, "", None, Instant(0.0, 0.0))
    return registry.changes_since(0)


@pytest.mark.parametrize("batches", [True, False])
async def test_a_message_of_a_watch_ends_early_and_nothing_is_lost(*, batches: bool, rests: Callable[[], int]) -> None:
    changes = changes_of(40)
    parts: tuple[list[Change], ...] = (changes[:25], [], changes[25:])
    found: list[tuple[int, str]] = []
    async with aclosing(answers.watch_messages(parts, batches=batches)) as messages:
        async for message in messages:
            together = message.changes.changes or [message]
            assert len(together) <= (7 if batches else 1)
            assert message.ByteSize() < answers.MOST_BYTES_OF_CHANGES + 20_000
            found += [(each.revision, each.upserted.service_id) for each in together]
    assert found == [(change.revision, change.service_id) for change in changes]
    assert rests() >= 40


async def test_an_answer_to_many_registrations_is_made_of_messages_that_were_built_in_turns(
    rests: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    services = [change.service for change in changes_of(30) if change.service is not None]
    await answers.build_shared(services)
    assert rests() >= 29
    monkeypatch.delattr(translate, "from_service")
    answer = from_output(Registrations(tuple(Registered(each, "") for each in services)))
    assert len(answer.registrations.registered) == 30


async def test_small_changes_fill_a_message() -> None:
    registry = Registry()
    for number in range(65):
        registry.register(Declaration(f"s{number}", "s"), 0, "", None, Instant(0.0, 0.0))
    async with aclosing(answers.watch_messages([registry.changes_since(0)], batches=True)) as messages:
        counts = [len(message.changes.changes) async for message in messages]
    assert counts == [30, 30, 5]


async def test_a_subscriber_that_wants_none_of_thousands_of_events_gives_way(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        for _ in range(5000):
            loop.registry.publish(make_event(), loop.now())
        await loop.flushed()
        context = SilentContext()
        request = event_service_pb2.SubscribeEventsRequest(types=["other"])
        service = EventService(loop, Callers(loop))
        stream = service.SubscribeEvents(request, context)  # type: ignore[arg-type]
        reading = asyncio.ensure_future(anext(stream))
        turns_of_others = 0
        while not service.readers or next(iter(service.readers)).is_behind:
            await asyncio.sleep(0)
            turns_of_others += 1
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        assert turns_of_others >= 10, "one for each page of 500"


class SilentContext:
    """The context of a call, which takes the first headers."""

    async def send_initial_metadata(self, _: object) -> None:
        """Nothing is sent."""


async def test_what_an_older_version_stored_is_still_listed(tmp_path: Path) -> None:
    async with running(tmp_path) as loop:
        large = {"a": [0] * 5400}
        loop.registry.register(Declaration("old", "old", labels=large), 0, "", None, loop.now())
        loop.registry.publish(make_event(details=large), loop.now())
        page = await ServiceLists(loop).page(pb.ListServicesRequest())
        assert [len(each.labels["a"]) for each in page.services] == [5400]  # type: ignore[arg-type]
        events = await EventService(loop, Callers(loop)).ListEvents(event_service_pb2.ListEventsRequest(), NO_CONTEXT)
        assert [len(each.details["a"]) for each in events.events] == [5400]  # type: ignore[arg-type]


AGENT = principal("agent", "agent own-*")
OWN = 600


async def test_a_list_for_an_agent_needs_one_search_which_is_done_in_turns(
    tmp_path: Path, rests: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = 0
    find = ReadingRights._find_ancestors  # noqa: SLF001 - what is counted is inside

    def counted(reading: ReadingRights, found: dict[str, str]) -> Iterator[None]:
        nonlocal begun
        begun += 1
        return find(reading, found)

    monkeypatch.setattr(ReadingRights, "_find_ancestors", counted)
    async with running(tmp_path) as loop:
        registry = loop.registry
        for number in range(OWN):
            spec = Declaration(
                f"own-{number:03}", "own-x", parent=f"own-{number + 1:03}" if number < OWN - 1 else "top"
            )
            registry.register(spec, 0, "", None, loop.now(), owner=AGENT.owner)
        for name in ("top", "stranger"):
            registry.register(Declaration(name, name), 0, "", None, loop.now(), owner="another")

        def reading() -> ReadingRights:
            return ReadingRights(registry, Rights(registry, AGENT, find=lambda _: None, rate=PublishRate()))

        before = rests()
        await answers.ancestors(reading())
        assert rests() - before >= OWN // PART
        page = await ServiceLists(loop).page(pb.ListServicesRequest(page_size=10_000), reading())
        assert len(page.services) == OWN + 1
        assert {each.service_id for each in page.services} >= {"top", "own-000"}
        assert begun == 1
