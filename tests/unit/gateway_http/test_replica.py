"""The replica and the readers that follow it: each has a place of its own, and none takes what another reads."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grid.registry.v1 import registry_service_pb2, service_pb2

from gateway_http.replica.freshness import PULSE_LOST
from gateway_http.replica.reader import Gap, Reader
from gateway_http.replica.replica import Replica
from gateway_http.upstream.services_feed import ServicesFeed
from tests.support.turn_count import count_rests
from tests.unit.gateway_http.builders import a_service, an_event, micros


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def a_replica(*service_ids: str, clock: Clock | None = None) -> Replica:
    """A replica that follows the registry, at the revision that is the number of its services."""
    replica = Replica(clock or Clock(), ("service_down",))
    replica.begin_snapshot()
    for number, service_id in enumerate(service_ids, 1):
        replica.upserted(number, a_service(service_id, number))
    replica.completed(len(service_ids))
    replica.freshness.heard()
    replica.make_frame()
    return replica


def unread(reader: Reader) -> list[tuple[bool, list[str], list[str], list[str]]]:
    """What a reader has not seen: snapshot, changed, removed, heard."""
    return [
        (each.snapshot, [service.service_id for service in each.upserted], list(each.removed), list(each.heard))
        for each in reader.updates()
    ]


def test_a_reader_begins_with_all_there_is_and_goes_on_with_what_changes() -> None:
    replica = a_replica("a", "b")
    reader = Reader(replica)
    assert unread(reader) == [(True, ["a", "b"], [], [])]
    assert unread(reader) == []
    replica.upserted(3, a_service("c", 3))
    replica.removed(4, "a")
    replica.make_frame()
    assert unread(reader) == [(False, ["c"], ["a"], [])]
    replica.heard([2], [micros(5)])
    replica.make_frame()
    assert unread(reader) == [(False, [], [], ["b"])]


def test_readers_side_by_side_take_nothing_from_each_other() -> None:
    replica = a_replica("a")
    fast, slow = Reader(replica), Reader(replica)
    assert unread(fast) == unread(slow)
    for number in (2, 3):
        replica.upserted(number, a_service("b", 2, status="ok" if number == 2 else "paused"))
        replica.make_frame()
        assert unread(fast) == [(False, ["b"], [], [])]
    assert unread(slow) == [(False, ["b"], [], [])] * 2


def test_a_reader_resumes_from_its_revision() -> None:
    replica = a_replica("a", "b")
    assert unread(Reader(replica, 1)) == [(True, ["a", "b"], [], [])], "older than the first snapshot"
    replica.upserted(3, a_service("c", 3))
    assert unread(Reader(replica, 2)) == [(False, ["c"], [], [])]


def test_a_registry_that_starts_over_is_a_snapshot_for_every_reader() -> None:
    replica = a_replica("a", "b", "c")
    reader = Reader(replica)
    reader.updates()
    replica.lost()
    replica.begin_snapshot()
    replica.upserted(1, a_service("z", 1))
    replica.completed(1)
    replica.make_frame()
    assert unread(reader) == [(True, ["z"], [], [])]


def test_before_the_first_snapshot_there_is_nothing_to_tell() -> None:
    replica = Replica(Clock())
    reader = Reader(replica)
    [update] = reader.updates()
    assert (update.snapshot, update.live, reader.revision) == (False, False, None)
    replica.begin_snapshot()
    replica.upserted(1, a_service("a", 1))
    replica.make_frame()
    assert unread(reader) == []
    replica.completed(1)
    replica.make_frame()
    assert unread(reader) == [(True, ["a"], [], [])]


def test_a_copy_without_a_message_is_no_longer_live() -> None:
    clock = Clock()
    replica = a_replica("a", clock=clock)
    assert (replica.live, replica.stale_for, replica.is_liveness_framed) == (True, 0.0, True)
    clock.seconds += PULSE_LOST
    assert (replica.live, replica.stale_for, replica.is_liveness_framed) == (False, PULSE_LOST, False)
    replica.freshness.heard()
    assert replica.live
    replica.lost()
    assert not replica.live


def test_events_are_told_once_and_a_gap_is_said() -> None:
    replica = a_replica()
    reader, resumed = Reader(replica), Reader(replica, sequence=1)
    assert reader.events() == [], "the log was not read yet"
    old = [an_event(number, "published") for number in (1, 2)]
    replica.log_read(old, [], 2)
    assert (reader.events(), resumed.events()) == ([], [old[1]])
    event = an_event(3, "service_down")
    replica.logged(event)
    assert (reader.events(), resumed.events(), reader.events()) == ([event], [event], [])
    assert replica.alerts.newest(10) == [event]
    replica.log_read([an_event(9, "published")], [], 9)
    assert (reader.events(), resumed.events()) == ([Gap(9)], [Gap(9)])


def test_a_page_of_the_newest_events_that_ended_early_is_not_the_whole_log() -> None:
    replica = a_replica()
    for first, whole in ((1, False), (5, True), (0, True)):
        replica.log_read([an_event(5), an_event(6)], [], 6, first)
        assert replica.tail.whole is whole, first
    replica.log_read([], [], 0, 0)
    assert replica.tail.whole


async def test_the_changes_of_one_message_are_taken_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    replica, rests = a_replica(), count_rests(monkeypatch)
    feed = ServicesFeed(grpc.aio.insecure_channel("127.0.0.1:1"), replica)
    before = replica.revision
    changes = [
        registry_service_pb2.WatchServicesResponse(
            revision=before + number, upserted=service_pb2.Service(service_id=f"s{number}", incarnation=number)
        )
        for number in range(1, 31)
    ]
    together = registry_service_pb2.Changes(changes=changes)
    await feed._take(registry_service_pb2.WatchServicesResponse(revision=before + 30, changes=together))  # noqa: SLF001
    assert replica.revision == before + 30
    assert len(replica.services) == 30
    assert len(rests) >= 29


async def test_a_reader_waits_for_news_and_misses_none() -> None:
    replica = a_replica("a")
    reader = Reader(replica)
    waiting = asyncio.create_task(reader.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    replica.make_frame()
    await asyncio.wait_for(waiting, 5)
    replica.make_frame()
    await asyncio.wait_for(reader.wait(), 5)
    await asyncio.wait_for(reader.wait(timeout=0), 5)
