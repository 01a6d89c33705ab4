"""What beats say: shown to readers and written down, but never once a beat."""

from __future__ import annotations

import pytest
from grid_model.service import ServiceStatus

from registry_server.core.clock_steps import ClockSteps
from registry_server.core.columns import Columns
from registry_server.core.effects import PutHeartbeats, ReserveRevisions
from registry_server.core.registry import Registry
from registry_server.core.service import Instant, Report
from registry_server.core.upkeep import SAVED_A_SECOND, Upkeep
from tests.unit.registry_server.builders import EPOCH, Grid, lines


@pytest.fixture
def grid() -> Grid:
    """An empty registry."""
    return Grid()


def test_load_figures_are_one_change_however_many_beats(grid: Grid) -> None:
    grid.register("a", 1)
    before = grid.registry.revision
    for n in range(10):
        grid.beat(1, report=Report(load=float(n)))
    assert grid.registry.revision == before
    grid.registry.publish_figures()
    (change,) = grid.registry.changes_since(before)
    assert change.service is not None
    assert change.service.report.load == 9.0
    grid.registry.publish_figures()
    assert grid.registry.revision == before + 1


def test_a_status_that_changes_is_shown_at_once(grid: Grid) -> None:
    grid.register("a", 1)
    before = grid.registry.revision
    grid.beat(1, report=Report(status=ServiceStatus.BLOCKED))
    assert grid.registry.revision == before + 1


def test_revisions_are_reserved_before_they_are_given_out(grid: Grid) -> None:
    grid.register("a")
    (reserved,) = lines(grid.take(), ReserveRevisions)
    assert reserved.ceiling > grid.registry.revision
    grid.register("b")
    assert lines(grid.take(), ReserveRevisions) == []


def test_beats_are_written_down_once_and_only_where_one_came(grid: Grid) -> None:
    grid.register("a", 1)
    grid.register("b", 2)
    grid.take()
    grid.beat(1)
    grid.registry.save_heartbeats()
    (written,) = lines(grid.take(), PutHeartbeats)
    assert written.heard == (("a", EPOCH + grid.time),)
    grid.registry.save_heartbeats()
    assert grid.take().empty


def test_beats_are_written_down_in_parts_and_not_of_who_left_meanwhile(grid: Grid) -> None:
    for session, service_id in enumerate("abcd", 1):
        grid.register(service_id, session)
        grid.beat(session, service_id)
    grid.take()
    assert grid.registry.save_heartbeats(limit=2), "the round is not over"
    (first,) = lines(grid.take(), PutHeartbeats)
    rest = sorted(set("abcd") - {service_id for service_id, _ in first.heard})
    grid.goodbye("abcd".index(rest[0]) + 1, rest[0])
    grid.take()
    assert not grid.registry.save_heartbeats(limit=2)
    (second,) = lines(grid.take(), PutHeartbeats)
    assert (len(first.heard), [service_id for service_id, _ in second.heard]) == (2, rest[1:])


@pytest.mark.parametrize("step", [0.0, 3600.0, -3600.0])
@pytest.mark.parametrize("by", ["what it learned", "a clock of its own"])
def test_busy_time_is_as_long_as_declared_though_the_wall_clock_was_set(grid: Grid, step: float, by: str) -> None:
    """An agent learns the registry's clock as it registers; one with a good clock of its own reads the right time."""
    grid.register("a", 1)
    now = grid.later()
    now = Instant(now.wall + step, now.attentive, step)
    busy_until = now.wall + 60.0 - (step if by == "what it learned" else 0.0)
    grid.registry.beat(1, "a", 0, Report(busy_until=busy_until), now)
    record = grid.registry.get("a")
    assert record.busy_until_at == pytest.approx(now.attentive + 60.0)
    assert record.busy_declared_at == now.attentive
    grid.registry.register(record.spec, record.incarnation, "", 1, now)  # it learns the clock as it is now
    grid.registry.beat(1, "a", 0, Report(busy_until=now.wall + 30.0), now)
    assert record.busy_until_at == pytest.approx(now.attentive + 30.0)


def test_busy_time_that_is_over_is_over_however_the_clock_was_set(grid: Grid) -> None:
    grid.register("a", 1)
    now = grid.later()
    for step in (0.0, 3600.0):
        now = Instant(now.wall + step, now.attentive, step)
        grid.registry.beat(1, "a", 0, Report(busy_until=now.wall - step - 1.0), now)
        assert grid.registry.get("a").busy_until_at == now.attentive


def test_a_clock_that_drifts_is_not_set_and_a_step_is_counted_once() -> None:
    steps = ClockSteps(1000.0, 0.0)
    assert steps.read(1010.5, 10.0) == 0.0
    assert steps.read(4611.0, 11.0) == steps.read(4612.0, 12.0) == 3600.0
    assert steps.read(1013.0, 13.0) == 0.0
    assert steps.read(1015.0, 14.0) == 1.0, "drift adds up"


def test_events_are_not_deleted_because_the_wall_clock_was_set_forward() -> None:
    upkeep, month = Upkeep(Registry(), 0.0, 1000.0), 30 * 86_400.0
    assert upkeep.oldest_kept(10.0, 1010.0, 60.0) == 950.0
    assert upkeep.oldest_kept(20.0, 1020.0 + month, 60.0) == 960.0
    assert upkeep.oldest_kept(30.0, 1030.0, 60.0) == 970.0
    assert upkeep.oldest_kept(40.0, 1040.0 - month, 60.0) == 980.0 - month, "older than it was: deletes less"


def test_a_beat_without_a_report_keeps_the_last_one(grid: Grid) -> None:
    grid.register("a", 1)
    grid.beat(1, report=Report(load=0.7))
    grid.beat(1)
    assert grid.registry.get("a").report.load == 0.7
    assert grid.registry.get("a").last_heartbeat_at == EPOCH + grid.time


def test_a_list_shows_the_newest_figures_also_of_what_changed_since_it_began(grid: Grid) -> None:
    grid.register("a", 1)
    (listed,) = grid.registry.shown()
    grid.beat(1, report=Report(load=0.5))
    grid.registry.publish_figures()
    grid.beat(1, report=Report(status=ServiceStatus.BLOCKED, load=0.7))
    shown = grid.registry.as_heard(listed)
    assert (shown.report.load, shown.report.status) == (0.7, ServiceStatus.OK)


def test_the_heartbeats_of_a_large_fleet_are_stored_over_several_seconds(grid: Grid) -> None:
    count = 2 * SAVED_A_SECOND + 10
    numbers = [grid.register(str(number)).incarnation for number in range(count)]
    grid.open(1)
    grid.registry.beat_columns(1, Columns(numbers), grid.later(), relayed=True)
    grid.take()
    upkeep = Upkeep(grid.registry, 0.0, EPOCH)
    stored: list[int] = []
    for tick in range(1, 10 * 25):
        for part in upkeep.parts(tick / 10):
            while part():
                pass
        heard = [each for line in lines(grid.take(), PutHeartbeats) for each in line.heard]
        stored += [len(heard)] if heard else []
    assert stored == [SAVED_A_SECOND, SAVED_A_SECOND, 10]
