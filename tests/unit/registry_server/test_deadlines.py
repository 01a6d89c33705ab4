"""An observer hears of a service at the deadline that it set, and of no heartbeat before."""

from __future__ import annotations

from typing import Any

import pytest
from grid_model.errors import InvalidRequest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Frame, ReportDeadline
from grid_model.verdict import VerdictKind, VerdictOutcome
from hypothesis import given
from hypothesis import strategies as st

from registry_server.core.commits import Commits
from registry_server.core.deadlines import SPARE_ENTRIES, Deadlines
from registry_server.core.observer_stream import MAX_DEADLINES, ObserverStream, VerdictCall
from registry_server.core.record import Record
from registry_server.core.service import Judgement, Report
from tests.unit.registry_server.builders import OBSERVER, Grid, make_record
from tron.facts import NEVER

SILENCE = 6.0


class Watched:
    """A grid with one service, and an observer that reads frames."""

    def __init__(self, **fields: Any) -> None:
        self.grid = Grid()
        self.stream = ObserverStream(self.grid.registry, Commits(), 1, OBSERVER)
        self.read()
        self.incarnation = self.grid.register("a", 7, **fields).incarnation
        self.read()

    def read(self, after: float = 0.01) -> Frame:
        """The next frame."""
        (frame,) = self.stream.frame(self.grid.later(after), lambda: 0.0)
        return frame

    def defer(self, due_in: float, incarnation: int = 0, inactivity: float = NEVER) -> None:
        """The observer's call with one deadline."""
        due = self.grid.time + due_in
        call = VerdictCall(self.grid.registry, OBSERVER)
        call.defer([ReportDeadline(incarnation or self.incarnation, due, SILENCE, inactivity)])
        call.finish((), self.grid.later(0.0), held=False, cascade_alert_id="", until=None)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_heartbeats_before_the_deadline_are_not_sent(watched: Watched) -> None:
    watched.defer(SILENCE)
    for _ in range(20):
        watched.grid.beat(7)
        assert watched.read().beats == ()


def test_silence_is_reported_at_the_deadline_with_the_last_heartbeat(watched: Watched) -> None:
    watched.defer(SILENCE)
    watched.grid.beat(7)
    record = watched.grid.registry.get("a")
    assert watched.read(SILENCE - 0.1).beats == ()
    assert watched.read(0.1).beats == ((watched.incarnation, record.observation, record.heard_at),)


def test_a_deadline_in_the_past_is_one_for_now(watched: Watched) -> None:
    watched.defer(-5.0)
    assert watched.read(SILENCE).beats != ()


def test_after_the_report_every_heartbeat_is_sent(watched: Watched) -> None:
    watched.defer(SILENCE)
    watched.read(SILENCE)
    for _ in range(3):
        watched.grid.beat(7)
        assert [incarnation for incarnation, _, _ in watched.read().beats] == [watched.incarnation]


def test_facts_that_are_sent_end_the_deadline(watched: Watched) -> None:
    watched.defer(SILENCE)
    watched.grid.close(7)
    assert [each.service_id for each in watched.read().observations] == ["a"]
    watched.grid.beat(8, incarnation=watched.incarnation, relayed=True)
    assert watched.read().beats != ()


def test_facts_that_wait_when_the_deadline_comes_end_it_too(watched: Watched) -> None:
    watched.grid.close(7)
    watched.defer(SILENCE)
    watched.read()
    watched.grid.beat(8, incarnation=watched.incarnation, relayed=True)
    assert watched.read().beats != ()


def test_a_heartbeat_that_waits_when_the_deadline_comes_is_sent_with_the_report(watched: Watched) -> None:
    watched.grid.beat(7)
    watched.defer(SILENCE)
    assert watched.read().beats == ()
    heard_at = watched.grid.registry.get("a").heard_at
    assert [at for _, _, at in watched.read(SILENCE).beats] == [heard_at]


def test_a_service_that_is_not_alive_cannot_be_deferred(watched: Watched) -> None:
    watched.grid.watch()
    watched.grid.judge(VerdictKind.SUSPECT, cause=LivenessCause.SILENT)
    watched.read()
    watched.defer(SILENCE)
    watched.grid.beat(7)
    assert watched.read().beats != ()


def test_an_incarnation_that_is_not_registered_is_ignored(watched: Watched) -> None:
    watched.defer(SILENCE, incarnation=99)
    watched.grid.beat(7)
    assert watched.read().beats != ()


def test_a_newer_incarnation_has_no_deadline(watched: Watched) -> None:
    watched.defer(SILENCE)
    watched.grid.register("a", 8)
    watched.read()
    watched.grid.beat(8)
    assert watched.read().beats != ()


def test_a_refused_verdict_is_followed_by_the_facts(watched: Watched) -> None:
    known = watched.grid.registry.get("a").observation
    watched.defer(SILENCE)
    watched.grid.beat(7)
    result = watched.grid.judge(VerdictKind.SUSPECT, cause=LivenessCause.SILENT, observation=known)
    assert result.outcome is VerdictOutcome.STALE
    (facts,) = watched.read().observations
    assert facts.observation == watched.grid.registry.get("a").observation


def test_the_stream_of_another_observer_gets_every_heartbeat(watched: Watched) -> None:
    other = ObserverStream(watched.grid.registry, Commits(), 2, "another")
    list(other.frame(watched.grid.later(), lambda: 0.0))
    watched.defer(SILENCE)
    watched.grid.beat(7)
    (frame,) = other.frame(watched.grid.later(), lambda: 0.0)
    assert frame.beats != ()


def test_activity_is_reported_only_when_it_stops() -> None:
    watched = Watched(stall_after=20.0)
    watched.defer(20.0, inactivity=20.0)
    for n in range(1, 5):
        watched.grid.beat(7, report=Report(activity=n))
        assert watched.read() == Frame(watched.grid.time, 0.0)
    for _ in range(17):
        watched.grid.beat(7)
        assert watched.read().observations == ()
    watched.grid.beat(7)
    (facts,) = watched.read(2.0).observations
    assert facts.active_at == watched.grid.registry.get("a").active_at


def test_the_snapshot_says_that_deadlines_are_taken() -> None:
    (frame,) = ObserverStream(Grid().registry, Commits(), 1, OBSERVER).frame(Grid().later(), lambda: 0.0)
    assert frame.takes_deadlines


def test_too_many_deadlines_in_one_call_are_refused_by_name() -> None:
    call = VerdictCall(Grid().registry, OBSERVER)
    with pytest.raises(InvalidRequest, match=r"report_deadlines\.incarnations: has 10001 elements; at most 10000"):
        call.defer([ReportDeadline(1, 0.0, 1.0)] * (MAX_DEADLINES + 1))


# --- the deadlines themselves ----------------------------------------------------------------------------------------


def test_a_deadline_that_is_set_anew_again_and_again_leaves_no_heap_of_old_ones() -> None:
    deadlines, record = Deadlines(), make_record()
    for n in range(10 * SPARE_ENTRIES):
        deadlines.put(record, ReportDeadline(record.incarnation, 86_400.0 * (1 + n % 2), SILENCE))
        deadlines.end(record.incarnation)
    assert deadlines.entries <= SPARE_ENTRIES + 2


def test_those_beyond_the_limit_are_reported_with_the_next_frame() -> None:
    deadlines = Deadlines()
    for incarnation in range(1, 11):
        record = make_record(incarnation=incarnation)
        deadlines.put(record, ReportDeadline(incarnation, 1.0, 1.0))
    assert [len(deadlines.reached(2.0, limit=4)) for _ in range(4)] == [4, 4, 2, 0]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "end", "hear", "look"]),
            st.integers(1, 4),
            st.floats(0.0, 3.0),
            st.floats(0.05, 2.0),
        ),
        max_size=60,
    )
)
def test_every_deadline_is_reported_once_when_it_is_reached_and_never_before(
    steps: list[tuple[str, int, float, float]],
) -> None:
    deadlines, now = Deadlines(), 0.0
    records: dict[int, Record] = {n: make_record(incarnation=n) for n in range(1, 5)}
    expected: dict[int, tuple[float, float]] = {}
    for what, incarnation, seconds, silence in steps:
        record = records[incarnation]
        match what:
            case "put":
                deadlines.put(record, ReportDeadline(incarnation, now + seconds, silence))
                expected[incarnation] = (now + seconds, silence)
            case "end":
                deadlines.end(incarnation)
                expected.pop(incarnation, None)
            case "hear":
                record.heard_at = now
            case "look":
                now += seconds
                due = {n for n, (at, more) in expected.items() if max(at, records[n].heard_at + more) <= now}
                found = [each.incarnation for each in deadlines.reached(now)]
                assert sorted(found) == sorted(due)
                for each in due:
                    del expected[each]
        assert len(deadlines) == len(expected)


def test_the_longest_gap_is_that_between_heartbeats_that_nothing_excuses() -> None:
    grid = Grid()
    grid.register("a", 7)
    record = grid.registry.get("a")
    for _ in range(3):
        grid.beat(7)
    assert record.worst_gap == pytest.approx(1.0)
    grid.later(4.0)
    grid.beat(7, report=Report(busy_until=grid.later(0.0).wall + 30))
    assert record.worst_gap == pytest.approx(5.0)
    grid.later(25.0)
    grid.beat(7)
    assert record.worst_gap == pytest.approx(5.0), "it had said that it would be busy"
    grid.close(7)
    grid.later(60.0)
    grid.register("a", 8, incarnation=record.incarnation)
    grid.beat(8)
    assert record.worst_gap == pytest.approx(5.0), "it had no stream"
    assert record.earlier_streams_for == pytest.approx(35.0), "not the 60 s without a stream"
    assert record.judgement == Judgement(since=record.judgement.since)
    assert record.judgement.liveness is Liveness.ALIVE


def test_a_stream_that_ended_is_no_silence_while_its_service_waits_to_be_detached(watched: Watched) -> None:
    watched.defer(SILENCE)
    watched.grid.registry.stream_ended(7, watched.grid.later(0.01))
    assert watched.read(2 * SILENCE).beats == ()
    while watched.grid.registry.detaches:
        watched.grid.registry.detach_next()
    assert [each.service_id for each in watched.read().observations] == ["a"]
