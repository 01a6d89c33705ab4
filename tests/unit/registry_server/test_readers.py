"""A reader sees each change and event once, in order, and only when it is durable."""

from __future__ import annotations

import pytest
from grid_model.errors import RevisionCompacted

from registry_server.core.commits import Commits
from registry_server.core.event_log import EventFilter, EventLog
from registry_server.core.readers import EventReader, ServiceReader
from registry_server.core.registry import Registry
from tests.unit.registry_server.builders import Grid, at, make_event, read

EVERYTHING = EventFilter()


class Bench:
    """A registry whose commits are made durable by hand."""

    def __init__(self) -> None:
        self.grid = Grid()
        self.registry = self.grid.registry
        self.commits = Commits()

    def commit(self) -> None:
        """Everything so far is durable and released."""
        self.commits.add(self.registry.take(), self.registry.revision, self.registry.last_event)
        batch = self.commits.take()
        if batch is not None:
            self.commits.committed(batch.position, 0.0)
        while self.commits.release(0.0) is not None:
            pass
        self.commits.advance(float("inf"))

    def publish(self, count: int, **fields: str) -> None:
        """So many events."""
        for _ in range(count):
            self.registry.publish(make_event("note", **fields), at(0.0))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_snapshot_has_all_and_then_come_the_changes(bench: Bench) -> None:
    bench.grid.register("a")
    bench.commit()
    reader = ServiceReader(bench.registry, bench.commits, 0)
    (change,) = read(reader.beginning())
    assert (change.service_id, change.revision) == ("a", reader.revision)
    assert read(reader.next()) == []
    bench.grid.register("b", 2)
    assert read(reader.next()) == [], "it is not durable yet"
    bench.commit()
    assert [each.service_id for each in read(reader.next())] == ["b"]
    assert read(reader.next()) == []


def test_a_reader_that_resumes_gets_what_it_missed(bench: Bench) -> None:
    bench.grid.register("a")
    bench.commit()
    revision = bench.registry.revision
    bench.grid.register("b", 2)
    bench.commit()
    reader = ServiceReader(bench.registry, bench.commits, revision)
    assert {each.service_id for each in read(reader.beginning())} == {"b"}


def test_what_changed_while_a_snapshot_waited_for_the_disk_comes_after_it(bench: Bench) -> None:
    bench.grid.register("a")
    reader = ServiceReader(bench.registry, bench.commits, 0)
    bench.grid.register("b", 2)
    bench.commit()
    assert [each.service_id for each in read(reader.beginning())] == ["a"]
    assert [each.service_id for each in read(reader.next())] == ["b"]


def test_a_gap_is_an_error(bench: Bench) -> None:
    bench.registry.restore([], [], [], [], at(0.0), compacted=10)
    with pytest.raises(RevisionCompacted):
        ServiceReader(bench.registry, bench.commits, 5)


def test_events_come_when_they_are_durable_and_match(bench: Bench) -> None:
    reader = EventReader(bench.registry, bench.commits, 0, EventFilter(service_id="a"))
    bench.publish(2, service_id="a")
    bench.publish(1, service_id="b")
    assert not reader.is_behind
    bench.commit()
    assert reader.is_behind
    page = reader.recent()
    assert page is not None
    assert [each.sequence for each in page] == [1, 2]
    assert (reader.sequence, reader.is_behind) == (3, False)


def test_events_that_are_not_in_memory_are_read_from_the_store() -> None:
    registry = Registry(event_log=EventLog(last=7, first=1))
    reader = EventReader(registry, Commits(sequence=7), 2, EVERYTHING)
    assert reader.recent() is None
    found = [make_event("note", sequence=number) for number in range(3, 7)]
    assert [each.sequence for each in reader.stored(found, 5, limit=3)] == [3, 4, 5]
    assert reader.sequence == 5, "a full page: more may follow"
    assert reader.stored([], 7, limit=3) == []
    assert (reader.sequence, reader.is_behind) == (7, False)


def test_events_that_were_deleted_meanwhile_are_a_gap() -> None:
    registry = Registry(event_log=EventLog(last=7, first=1))
    reader = EventReader(registry, Commits(sequence=7), 2, EVERYTHING)
    registry.compact_events(6)
    with pytest.raises(RevisionCompacted):
        reader.stored([], 7)
    with pytest.raises(RevisionCompacted):
        EventReader(registry, Commits(sequence=7), 2, EVERYTHING)
