"""What the registry reports on its own, in the observer's name, when a stream breaks; and what it does not report."""

from __future__ import annotations

import pytest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.verdict import StandingSuspicion, VerdictKind, VerdictOutcome

from registry_server.core.commits import READERS_AFTER, Commits
from registry_server.core.effects import Alert
from registry_server.core.observer_stream import ObserverStream
from registry_server.core.observers import STALE_AFTER
from tests.support.end_stream import end_stream
from tests.unit.registry_server.builders import Grid, make_event, messages


@pytest.fixture
def grid() -> Grid:
    """A watched registry with a boss on stream 1 and its child on stream 2."""
    grid = Grid()
    grid.watch()
    grid.register("boss", 1)
    grid.register("a", 2, parent="boss")
    grid.take()
    return grid


def preauthorize(grid: Grid, *, told: bool = True, incarnation: int = 0, held: bool = False) -> None:
    """The observer says beforehand what a break of the child's stream means."""
    alert = make_event("service_suspect", recipient="boss", occurred_at=0.0) if told else None
    incarnation = incarnation or grid.registry.get("a").incarnation
    grid.registry.preauthorize([StandingSuspicion("a", incarnation, alert)], [], held=held)


def broken(grid: Grid, session: int = 2) -> Liveness:
    """The stream breaks; return how the child is judged then."""
    now = grid.later()
    grid.registry.streams_broke(end_stream(grid.registry, session, now), now)
    return grid.registry.get("a").judgement.liveness


def test_a_stream_that_breaks_is_suspect_at_once_and_the_parent_is_told_when(grid: Grid) -> None:
    preauthorize(grid)
    assert broken(grid) is Liveness.SUSPECT
    (alert,) = messages(grid.take(), 1, Alert)
    record = grid.registry.get("a")
    assert (alert.event.type, alert.event.occurred_at) == ("service_suspect", record.judgement.since)
    assert alert.event.last_seen_at == record.last_heartbeat_at
    assert record.judgement.cause is LivenessCause.DISCONNECTED


def test_the_recipients_are_notified_before_the_observer_learns_of_it(grid: Grid) -> None:
    stream = ObserverStream(grid.registry, Commits(), 9, "another")
    list(stream.frame(grid.later(0.01), lambda: 0.0))
    preauthorize(grid)
    assert broken(grid) is Liveness.SUSPECT
    assert stream.delay == READERS_AFTER
    now = grid.later()
    grid.registry.streams_broke(end_stream(grid.registry, 1, now), now)  # that one the observer must decide
    assert stream.delay == 0.0


def test_an_observer_that_waits_for_the_tick_is_not_delayed(grid: Grid) -> None:
    stream = ObserverStream(grid.registry, Commits(), 9, "tron")
    list(stream.frame(grid.later(0.01), lambda: 0.0))
    grid.register("b", 3)
    assert stream.delay == 0.0


def test_it_may_be_a_suspicion_that_is_told_to_nobody(grid: Grid) -> None:
    preauthorize(grid, told=False)
    assert broken(grid) is Liveness.SUSPECT
    assert messages(grid.take(), 1, Alert) == []


def test_who_says_nothing_beforehand_judges_afterwards(grid: Grid) -> None:
    assert broken(grid) is Liveness.ALIVE


def test_it_is_used_up_by_the_first_break(grid: Grid) -> None:
    preauthorize(grid)
    broken(grid)
    incarnation = grid.registry.get("a").incarnation
    grid.register("a", 3, incarnation=incarnation, parent="boss")
    grid.judge(VerdictKind.ALIVE)
    assert broken(grid, 3) is Liveness.ALIVE


def test_it_holds_for_the_incarnation_that_it_names(grid: Grid) -> None:
    preauthorize(grid)
    grid.register("a", 3, parent="boss")
    assert broken(grid, 3) is Liveness.ALIVE
    preauthorize(grid, incarnation=99)
    grid.register("a", 4, parent="boss")
    assert broken(grid, 4) is Liveness.ALIVE


def test_a_new_one_takes_the_place_of_the_one_before_and_a_withdrawn_one_is_gone(grid: Grid) -> None:
    preauthorize(grid)
    preauthorize(grid, told=False)
    grid.registry.preauthorize([], [grid.registry.get("a").incarnation], held=False)
    assert broken(grid) is Liveness.ALIVE


def test_it_is_not_applied_while_many_fail(grid: Grid) -> None:
    preauthorize(grid, held=True)
    assert broken(grid) is Liveness.ALIVE


def test_an_onlooker_that_comes_and_goes_changes_nothing(grid: Grid) -> None:
    """Anybody may look at what TRON looks at."""
    preauthorize(grid)
    grid.registry.open_feed(1000, "onlooker")
    grid.registry.close_feed(1000, grid.later())
    assert broken(grid) is Liveness.SUSPECT


def test_what_one_observer_said_does_not_stand_for_the_next(grid: Grid) -> None:
    preauthorize(grid)
    grid.registry.preauthorize([], [], held=False, observer="another")
    assert broken(grid) is Liveness.ALIVE


def test_it_is_not_applied_once_the_observer_is_gone_or_says_nothing_any_more(grid: Grid) -> None:
    preauthorize(grid)
    grid.registry.withdraw_preauthorized()
    assert broken(grid) is Liveness.ALIVE
    grid.register("a", 3, parent="boss")
    preauthorize(grid)
    grid.registry.tick(grid.later(STALE_AFTER + 1))
    assert broken(grid, 3) is Liveness.ALIVE


def test_it_says_nothing_new_of_who_is_suspect_already(grid: Grid) -> None:
    preauthorize(grid)
    grid.judge(VerdictKind.SUSPECT, cause=LivenessCause.SILENT, missed=1)
    broken(grid)
    assert grid.registry.get("a").judgement.cause is LivenessCause.SILENT


def test_who_leaves_on_purpose_is_not_suspected(grid: Grid) -> None:
    preauthorize(grid)
    grid.goodbye(2)
    now = grid.later()
    grid.registry.streams_broke(end_stream(grid.registry, 2, now), now)
    assert messages(grid.take(), 1, Alert) == []


def test_the_observer_that_comes_to_the_same_a_moment_later_tells_nobody_twice(grid: Grid) -> None:
    preauthorize(grid)
    broken(grid)
    grid.take()
    verdict = grid.judge(VerdictKind.SUSPECT, cause=LivenessCause.DISCONNECTED, alert=make_event(recipient="boss"))
    assert verdict.outcome is VerdictOutcome.UNCHANGED
    assert grid.take().empty


def test_what_stands_is_bounded_by_those_who_are_registered(grid: Grid) -> None:
    for n in range(100):
        service = grid.register(f"s{n}", 9)
        grid.registry.preauthorize([StandingSuspicion(f"s{n}", service.incarnation, None)], [], held=False)
        grid.goodbye(9, f"s{n}")
    assert len(grid.registry._verdicts._standing) <= 2 * len(grid.registry.records) + 1  # noqa: SLF001
