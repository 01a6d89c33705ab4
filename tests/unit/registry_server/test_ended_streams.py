"""Which ends of a stream are our doing, and which streams we end because nobody speaks on them any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from grid_model.errors import Draining, ReaderTooSlow, SilentStream
from grid_model.liveness import Liveness, LivenessCause
from grid_model.verdict import StandingSuspicion, VerdictKind, VerdictOutcome

from registry_server.core.columns import Columns
from registry_server.core.effects import EndStream
from registry_server.core.record import Record
from registry_server.core.service import Instant
from registry_server.core.sessions import AT_ONCE, EMPTY_FOR, Sessions
from tests.support.end_stream import end_stream
from tests.unit.registry_server.builders import Grid, make_event
from tests.unit.registry_server.test_agent_stream import Beat, read_report


@pytest.fixture
def grid() -> Grid:
    """A watched registry with a and b on stream 1."""
    grid = Grid()
    grid.watch()
    grid.register("a", 1)
    grid.register("b", 1)
    grid.take()
    return grid


def ends(grid: Grid, after: float = 0.1) -> list[int]:
    """The streams that the registry ends at the tick that comes so many seconds later."""
    grid.registry.tick(grid.later(after))
    return [session for session, message in grid.take().sends if isinstance(message, EndStream)]


def down(grid: Grid, service_id: str) -> None:
    """A service is declared down for its silence."""
    grid.judge(VerdictKind.DOWN, service_id, cause=LivenessCause.SILENT, missed=2)


def close(grid: Grid, session: int = 1) -> list[str]:
    """The stream ends; return for whom that means something."""
    return [record.spec.service_id for record in end_stream(grid.registry, session, grid.later())]


def test_an_end_that_the_other_side_caused_is_a_break(grid: Grid) -> None:
    assert close(grid) == ["a", "b"]
    assert grid.registry.get("a").detached_reason == ""


def test_an_end_that_we_caused_is_none_and_says_why(grid: Grid) -> None:
    assert grid.registry.end_session(1, ReaderTooSlow.reason)
    assert not grid.registry.end_session(1, SilentStream.reason), "the first reason counts"
    assert close(grid) == []
    record = grid.registry.get("a")
    assert (record.session, record.detached_at, record.detached_reason) == (None, grid.time, ReaderTooSlow.reason)
    assert record.judgement.liveness is Liveness.ALIVE


def test_what_was_said_beforehand_of_a_break_is_not_said_of_our_own_end(grid: Grid) -> None:
    alert = make_event("service_suspect", recipient="b", occurred_at=0.0)
    grid.registry.preauthorize([StandingSuspicion("a", grid.registry.get("a").incarnation, alert)], [], held=False)
    grid.registry.end_session(1, ReaderTooSlow.reason)
    now = grid.later()
    grid.registry.streams_broke(end_stream(grid.registry, 1, now), now)
    assert grid.registry.get("a").judgement.liveness is Liveness.ALIVE


def test_a_new_stream_forgets_how_the_one_before_ended(grid: Grid) -> None:
    grid.registry.end_session(1, ReaderTooSlow.reason)
    close(grid)
    grid.register("a", 2, incarnation=grid.registry.get("a").incarnation)
    assert grid.registry.get("a").detached_reason == ""
    assert close(grid, 2) == ["a"]


@pytest.mark.parametrize(("later", "broken"), [(0.9, []), (1.2, ["a", "b"])])
def test_the_end_of_a_drained_stream_is_ours_until_its_time_has_passed(
    grid: Grid, later: float, broken: list[str]
) -> None:
    grid.registry.drain_session(1, 2.0, Instant(0.0, grid.time))
    grid.later(later)
    assert close(grid) == broken
    assert grid.registry.get("a").detached_reason == ("" if broken else Draining.reason)


def test_a_stream_that_ended_before_it_could_be_drained_is_no_error(grid: Grid) -> None:
    assert close(grid) == ["a", "b"]
    grid.registry.drain_session(1, 2.0, Instant(0.0, grid.time))  # its handler is still on its way out
    assert close(grid) == []


def test_who_is_heard_without_a_stream_that_we_ended_can_be_judged_alive(grid: Grid) -> None:
    down(grid, "a")
    grid.registry.end_session(1, SilentStream.reason)
    close(grid)
    grid.beat(9, "a", grid.registry.get("a").incarnation, relayed=True)
    assert grid.judge(VerdictKind.ALIVE, "a").outcome is VerdictOutcome.APPLIED
    assert grid.registry.get("a").judgement.liveness is Liveness.ALIVE


def test_a_stream_is_ended_when_the_last_whom_it_carries_is_down(grid: Grid) -> None:
    down(grid, "a")
    assert ends(grid) == []
    down(grid, "b")
    assert ends(grid) == [1]
    assert ends(grid) == [], "it is said once"
    assert grid.registry.reclaimed_streams == 1
    assert close(grid) == []
    assert grid.registry.get("b").detached_reason == SilentStream.reason


def test_a_stream_on_which_one_was_heard_since_is_not_ended(grid: Grid) -> None:
    down(grid, "a")
    grid.beat(1, "a", grid.registry.get("a").incarnation)
    down(grid, "b")
    assert ends(grid) == []
    down(grid, "a")  # silent once more, while it had not been judged alive yet
    assert grid.registry.get("a").judgement.liveness is Liveness.DOWN


def test_a_stream_is_ended_when_whoever_lived_leaves_it(grid: Grid) -> None:
    down(grid, "a")
    grid.goodbye(1, "b")
    assert ends(grid) == [1]


def test_a_stream_that_carries_nobody_is_ended_after_a_minute_of_silence(grid: Grid) -> None:
    grid.goodbye(1, "a")
    grid.goodbye(1, "b")
    assert ends(grid, EMPTY_FOR - 1) == []
    assert ends(grid, 2) == [1]


def test_a_stream_that_carries_nobody_and_passes_on_beats_is_left_alone(grid: Grid) -> None:
    grid.beat(7, "a", grid.registry.get("a").incarnation, relayed=True)
    for _ in range(4):
        assert ends(grid, EMPTY_FOR - 10) == []
        grid.beat(7, "a", grid.registry.get("a").incarnation, relayed=True)


@pytest.mark.parametrize(
    "says",
    [
        lambda grid: grid.registry.acknowledge_on_stream(7, ["x"], grid.later(0)),
        lambda grid: grid.registry.beats(7, (), read_report, grid.later(0)),
        lambda grid: grid.registry.beats(7, (Beat(""), Beat("x")), read_report, grid.later(0), relayed=True),
        lambda grid: grid.registry.beats(7, (Beat("a", 99),), read_report, grid.later(0), relayed=True),
        lambda grid: grid.registry.beat_columns(7, Columns(()), grid.later(0), relayed=True),
        lambda grid: grid.registry.beat_columns(7, Columns((0, 99)), grid.later(0), relayed=True),
        lambda grid: grid.registry.goodbye(7, "x", "", grid.later(0)),
        lambda grid: grid.registry.goodbye(7, "a", "", grid.later(0)),
        lambda grid: grid.registry.abandon(7, "a", 1, grid.later(0)),
    ],
    ids=["ack", "no beats", "unknown", "not current", "no columns", "unknown columns", "gone", "not mine", "abandoned"],
)
def test_what_is_about_no_service_keeps_no_stream_open(grid: Grid, says: Callable[[Grid], object]) -> None:
    grid.registry.open_session(7)
    ended = ends(grid)
    for _ in range(7):
        says(grid)
        ended += ends(grid, EMPTY_FOR / 6)
    assert ended == [7]


def test_a_stream_that_passes_on_beats_in_columns_is_left_alone(grid: Grid) -> None:
    grid.registry.open_session(7)
    for _ in range(4):
        grid.registry.beat_columns(7, Columns((grid.registry.get("a").incarnation,)), grid.later(0), relayed=True)
        assert ends(grid, EMPTY_FOR - 10) == []


def test_an_older_stream_is_not_kept_open_by_a_service_that_a_newer_one_carries(grid: Grid) -> None:
    incarnation = grid.registry.get("a").incarnation
    for service_id in ("a", "b"):
        grid.beat(7, service_id, grid.registry.get(service_id).incarnation)
    ended = []
    for _ in range(7):
        grid.beat(1, "a", incarnation)
        grid.registry.beat_columns(1, Columns((incarnation,)), grid.later(0))
        ended += ends(grid, EMPTY_FOR / 6)
    assert ended == [1]


def test_a_stream_on_which_nothing_was_ever_said_is_counted_from_the_first_look() -> None:
    grid = Grid()
    grid.later(1000)
    grid.registry.open_session(5)
    assert ends(grid) == []
    assert ends(grid, EMPTY_FOR - 1) == []
    assert ends(grid, 2) == [5]


def test_of_very_many_silent_streams_a_share_is_ended_at_each_tick() -> None:
    sessions = Sessions()
    for number in range(2 * AT_ONCE + 1):
        sessions.open(number)
    assert sessions.silent(0.0, lambda _: None) == []
    found = [sessions.silent(EMPTY_FOR + tick, lambda _: None) for tick in range(4)]
    assert [len(each) for each in found] == [AT_ONCE, AT_ONCE, 1, 0]
    assert sorted(each for share in found for each in share) == list(range(2 * AT_ONCE + 1))


def test_a_stream_of_the_living_is_looked_at_once() -> None:
    grid = Grid()
    grid.register("a")
    sessions = Sessions()
    sessions.open(1)
    sessions[1].services["a"] = 1
    looked: list[str] = []

    def find(service_id: str) -> Record | None:
        looked.append(service_id)
        return grid.registry.get(service_id)

    assert [sessions.silent(float(tick), find) for tick in range(100)] == [[]] * 100
    assert looked == ["a"]
