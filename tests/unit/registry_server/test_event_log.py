"""Events are numbered without gaps, and a reader learns what is no longer kept."""

from __future__ import annotations

import pytest
from grid_model.errors import RevisionCompacted

from registry_server.core.event_log import EventFilter, EventLog
from tests.unit.registry_server.builders import make_event


def filled(count: int, recent: int = 100) -> EventLog:
    """A log of this many events."""
    log = EventLog(recent=recent)
    for _ in range(count):
        log.append(make_event())
    return log


def numbers(log: EventLog, after: int, limit: int = 100) -> list[int] | None:
    """What memory has, by number."""
    found = log.recent_after(after, limit)
    return None if found is None else [event.sequence for event in found]


def test_numbers_start_at_one_and_have_no_gaps() -> None:
    log = EventLog()
    assert [log.append(make_event()).sequence for _ in range(3)] == [1, 2, 3]


def test_numbers_go_on_after_a_restart() -> None:
    assert EventLog(last=41, first=10).append(make_event()).sequence == 42


def test_a_number_of_the_publisher_is_ignored() -> None:
    assert EventLog().append(make_event(sequence=77)).sequence == 1


def test_a_reader_resumes_behind_any_number_that_is_in_memory() -> None:
    log = filled(5)
    assert numbers(log, 0) == [1, 2, 3, 4, 5]
    assert numbers(log, 3) == [4, 5]
    assert numbers(log, 1, limit=2) == [2, 3]
    assert numbers(log, 5) == []


def test_what_memory_has_forgotten_is_read_from_the_store() -> None:
    log = filled(10, recent=3)
    assert numbers(log, 6) is None
    assert numbers(log, 7) == [8, 9, 10]
    assert numbers(EventLog(last=5), 2) is None


def test_a_number_of_the_future_is_a_gap() -> None:
    with pytest.raises(RevisionCompacted):
        filled(3).check(4)


def test_a_compacted_number_is_a_gap_but_zero_means_the_oldest_that_is_kept() -> None:
    log = filled(10)
    log.compact(6)
    log.check(0)
    log.check(5)
    with pytest.raises(RevisionCompacted):
        log.check(4)
    assert numbers(log, 5) == [6, 7, 8, 9, 10]


def test_compaction_never_goes_back() -> None:
    log = filled(10)
    log.compact(6)
    log.compact(2)
    assert log.first == 6


def test_numbers_go_on_where_every_event_was_compacted() -> None:
    log = filled(3)
    log.compact(4)
    assert log.append(make_event()).sequence == 4


def test_filters_are_combined_and_empty_ones_admit_all() -> None:
    event = make_event("service_down", recipient="boss", service_id="a")
    assert EventFilter().admits(event)
    assert EventFilter("boss", "a", frozenset({"service_down", "x"})).admits(event)
    assert not EventFilter("other", "a").admits(event)
    assert not EventFilter("boss", "b").admits(event)
    assert not EventFilter(types=frozenset({"x"})).admits(event)
