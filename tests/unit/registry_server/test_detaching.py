"""Thousands of streams end at once: their services are detached one by one, and one of another parent does not wait."""

from __future__ import annotations

import pytest

from registry_server.core.effects import SupersededBy
from registry_server.core.ended_streams import AT_ONCE, WINDOW, EndedStreams
from registry_server.core.record import Record
from tests.unit.registry_server.builders import Grid, messages


@pytest.fixture
def grid() -> Grid:
    """A watched registry with a hundred children of one parent and one of another, each on a stream of its own."""
    grid = Grid()
    grid.watch()
    for number in range(100):
        grid.register(f"many-{number}", 10 + number, parent="many")
    grid.register("other", 1, parent="other-parent")
    grid.take()
    return grid


def end_all(grid: Grid) -> None:
    """The hundred streams end, then the other one."""
    for session in (*range(10, 110), 1):
        grid.registry.stream_ended(session, grid.later())


def detached(grid: Grid) -> list[str]:
    """All that are detached now because the other side ended their streams, in order."""
    found: list[Record | None] = []
    while grid.registry.detaches:
        found.append(grid.registry.detach_next())
    return [record.spec.service_id for record in found if record is not None]


def test_each_parent_has_its_turn(grid: Grid) -> None:
    end_all(grid)
    order = detached(grid)
    assert order[:3] == ["many-0", "other", "many-1"]
    assert sorted(order) == sorted(record.spec.service_id for record in grid.registry.records.values())


def test_a_service_is_detached_as_of_the_end_of_its_stream(grid: Grid) -> None:
    end = grid.later()
    grid.registry.stream_ended(1, end)
    grid.later(5.0)
    assert grid.registry.get("other").session == 1
    assert detached(grid) == ["other"]
    assert grid.registry.get("other").detached_at == end.attentive


def test_a_service_that_is_back_on_another_stream_meanwhile_stays_there(grid: Grid) -> None:
    grid.registry.stream_ended(1, grid.later())
    held = grid.registry.get("other").incarnation
    grid.register("other", 2, incarnation=held, parent="other-parent")
    assert detached(grid) == []
    assert grid.registry.get("other").session == 2
    assert grid.registry.get("other").incarnation == held


def test_a_service_that_starts_anew_meanwhile_is_not_detached(grid: Grid) -> None:
    grid.registry.stream_ended(1, grid.later())
    grid.register("other", 2, parent="other-parent")
    assert detached(grid) == []
    assert grid.registry.get("other").session == 2
    assert messages(grid.take(), 2, SupersededBy) == []


def test_a_service_that_was_removed_meanwhile_is_not_detached(grid: Grid) -> None:
    grid.registry.stream_ended(1, grid.later())
    grid.registry.goodbye(1, "other", "", grid.later())
    assert detached(grid) == []


def test_a_stream_that_we_ended_says_nothing_of_its_services(grid: Grid) -> None:
    grid.registry.end_session(1, "ERROR_REASON_DRAINING")
    grid.registry.stream_ended(1, grid.later())
    assert detached(grid) == []
    assert grid.registry.get("other").session is None
    assert grid.registry.get("other").detached_reason == "ERROR_REASON_DRAINING"


def test_a_stream_ends_once(grid: Grid) -> None:
    grid.registry.stream_ended(1, grid.later())
    grid.registry.stream_ended(1, grid.later())
    assert detached(grid) == ["other"]
    grid.registry.stream_ended(1, grid.later())
    assert detached(grid) == []


def test_a_few_are_detached_at_once_and_no_more_within_a_window() -> None:
    ended = EndedStreams()
    assert [ended.admit(1.0) for _ in range(AT_ONCE + 1)] == [True] * AT_ONCE + [False]
    assert not ended.admit(1.0 + WINDOW / 2)
    assert ended.admit(1.0 + 2 * WINDOW)


def test_none_is_detached_at_once_while_many_wait() -> None:
    ended = EndedStreams()
    for number in range(AT_ONCE + 1):
        ended.put("many", number, f"many-{number}")
    assert not ended.admit(1.0)
    ended.take()
    assert ended.admit(1.0)
