"""Heartbeats in columns: each is heard and answered as the same heartbeat in a message of its own would be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, nan
from typing import Any

import pytest
from grid_model.errors import FieldError, InvalidRequest
from grid_model.service import ServiceStatus
from grid_model.verdict import VerdictKind
from hypothesis import given
from hypothesis import strategies as st

from registry_server.core import directory
from registry_server.core.columns import UNSET_ACTIVITY, UNSET_DEPTH, Columns
from registry_server.core.effects import DeclaredDown, Rejected, SupersededBy, UnknownService
from registry_server.core.record import Record
from registry_server.core.service import Report
from tests.unit.registry_server.builders import Grid, at, make_event

AGENT, RELAY = 1, 2
PATH = "beats.columns"


@pytest.fixture
def grid() -> Grid:
    """An empty registry."""
    return Grid()


def beat(
    grid: Grid, session: int, *incarnations: int, relayed: bool = True, replaces: bool = False, **figures: Any
) -> list[Rejected]:
    """Send one message; return what of it is refused."""
    columns = Columns(incarnations, figures=figures)
    now = grid.later()
    grid.open(session)
    return grid.registry.beat_columns(session, columns, now, relayed=relayed, replaces_figures=replaces)


def test_each_incarnation_is_heard_and_nobody_else(grid: Grid) -> None:
    numbers = [grid.register(service_id).incarnation for service_id in "abc"]
    silent = grid.registry.get("b").heard_at
    assert beat(grid, RELAY, numbers[0], numbers[2]) == []
    heard = {service_id: record.heard_at for service_id, record in grid.registry.records.items()}
    assert heard == {"a": grid.time, "b": silent, "c": grid.time}
    assert grid.registry.get("a").last_heartbeat_at == at(grid.time).wall


def test_a_beat_of_a_relay_attaches_nobody_and_that_of_an_agent_does(grid: Grid) -> None:
    number = grid.register("a").incarnation
    beat(grid, RELAY, number)
    assert grid.registry.get("a").session is None
    beat(grid, AGENT, number, relayed=False)
    assert grid.registry.get("a").session == AGENT
    grid.close(AGENT)
    assert grid.registry.get("a").detached_at is not None


def test_an_older_stream_does_not_take_the_service_back(grid: Grid) -> None:
    number = grid.register("a", RELAY).incarnation
    beat(grid, AGENT, number, relayed=False)
    assert grid.registry.get("a").session == RELAY
    assert grid.registry.get("a").heard_at == grid.time


def test_a_superseded_incarnation_is_answered_and_is_no_sign_of_life(grid: Grid) -> None:
    old = grid.register("a", AGENT).incarnation
    new = grid.register("a", AGENT).incarnation
    before = grid.registry.get("a").heard_at
    grid.take()
    assert beat(grid, RELAY, old) == []
    assert grid.said(RELAY, SupersededBy) == [SupersededBy("a", new, old)]
    assert grid.registry.get("a").heard_at == before


def test_who_left_is_unknown_by_its_id_and_who_never_was_by_its_incarnation(grid: Grid) -> None:
    number = grid.register("a", AGENT).incarnation
    grid.goodbye(AGENT)
    grid.take()
    beat(grid, RELAY, number, 2**64 - 1)
    assert grid.said(RELAY, UnknownService) == [UnknownService("a", number), UnknownService("", 2**64 - 1)]


def test_an_incarnation_before_the_service_left_is_superseded_once_it_is_back(grid: Grid) -> None:
    old = grid.register("a", AGENT).incarnation
    grid.goodbye(AGENT)
    new = grid.register("a", AGENT).incarnation
    grid.take()
    beat(grid, RELAY, old)
    assert grid.said(RELAY, SupersededBy) == [SupersededBy("a", new, old)]


def test_past_incarnations_are_remembered_up_to_a_bound(grid: Grid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MOST_PAST", 2)
    numbers = [grid.register("a").incarnation for _ in range(4)]
    grid.take()
    beat(grid, RELAY, *numbers[:3])
    assert grid.said(RELAY, UnknownService) == [UnknownService("", numbers[0])]
    beat(grid, RELAY, *numbers[:3])
    assert [each.superseded for each in grid.said(RELAY, SupersededBy)] == numbers[1:3]


def test_of_a_message_with_zeros_the_others_count(grid: Grid) -> None:
    number = grid.register("a").incarnation
    (rejected,) = beat(grid, RELAY, 0, number, 0)
    assert (rejected.service_id, rejected.field) == ("", f"{PATH}.incarnations")
    assert "2 elements are 0" in rejected.description
    assert grid.registry.get("a").heard_at == grid.time


def test_a_service_that_was_declared_down_is_notified_on_its_own_stream_only(grid: Grid) -> None:
    number = grid.register("a", AGENT).incarnation
    grid.watch()
    grid.declare_down("a")
    grid.take()
    beat(grid, RELAY, number)
    assert grid.said(RELAY, DeclaredDown) == []
    beat(grid, AGENT, number, relayed=False)
    assert len(grid.said(AGENT, DeclaredDown)) == 1


def test_a_column_reports_its_figure_and_keeps_the_others(grid: Grid) -> None:
    first, second = grid.register("a").incarnation, grid.register("b").incarnation
    beat(grid, RELAY, first, second, load=(0.5, nan), queue_depth=(UNSET_DEPTH, 3), status=(0, 2))
    beat(grid, RELAY, first, second, p95_ms=(7.0, nan), activity=(UNSET_ACTIVITY, 9), progress=(0.25, nan))
    beat(grid, RELAY, first, second, loop_lag_seconds=(nan, 0.125))
    assert grid.registry.get("a").report == Report(load=0.5, p95_ms=7.0, progress=0.25)
    assert grid.registry.get("b").report == Report(ServiceStatus(2), queue_depth=3, activity=9, loop_lag=0.125)


def test_a_message_that_replaces_figures_clears_those_that_it_leaves_out(grid: Grid) -> None:
    first, second = grid.register("a").incarnation, grid.register("b").incarnation
    beat(grid, RELAY, first, second, load=(0.5, 0.5), p95_ms=(1.0, 1.0), progress=(0.5, 0.5))
    beat(grid, RELAY, first, second, load=(nan, -2.0), replaces=True)
    assert grid.registry.get("a").report == Report(progress=0.5)
    assert grid.registry.get("b").report == Report(progress=0.5, load=-2.0)


@pytest.mark.parametrize(
    ("figure", "wrong"),
    [("load", inf), ("load", -1.0), ("p95_ms", -inf), ("queue_depth", -1), ("progress", 1.5), ("status", 99),
     ("loop_lag_seconds", -1.0)],
)  # fmt: skip
def test_wrong_figures_are_refused_by_service_and_column_and_the_sign_of_life_counts(
    grid: Grid, figure: str, wrong: Any
) -> None:
    first, second = grid.register("a").incarnation, grid.register("b").incarnation
    good = {"queue_depth": 4, "status": 2}.get(figure, 0.5)
    figures: dict[str, Any] = {figure: (wrong, good)}
    (rejected,) = beat(grid, RELAY, first, second, **figures)
    assert (rejected.service_id, rejected.field) == ("a", f"{PATH}.{figure}")
    assert grid.registry.get("a").heard_at == grid.time
    assert grid.registry.get("a").report == Report()
    assert grid.registry.get("b").report != Report()


def test_a_column_of_another_length_reports_nothing_and_the_others_do(grid: Grid) -> None:
    first, second = grid.register("a").incarnation, grid.register("b").incarnation
    (rejected,) = beat(grid, RELAY, first, second, load=(0.5,), p95_ms=(1.0, 2.0))
    assert (rejected.service_id, rejected.field) == ("", f"{PATH}.load")
    assert rejected.description == "has 1 elements; it must be empty or have 2, as many as incarnations"
    assert grid.registry.get("a").heard_at == grid.time
    assert grid.registry.get("b").report == Report(p95_ms=2.0)


def test_an_incarnation_that_comes_twice_reports_what_comes_last(grid: Grid) -> None:
    number = grid.register("a").incarnation
    beat(grid, RELAY, number, number, load=(0.5, 0.75))
    assert grid.registry.get("a").report.load == 0.75


def test_a_reader_of_heartbeats_hears_of_each(grid: Grid) -> None:
    numbers = [grid.register(service_id).incarnation for service_id in "abc"]
    _, seen = grid.registry.heard_after(0)
    beat(grid, RELAY, *numbers[:2])
    heard, newest = grid.registry.heard_after(seen)
    assert sorted(incarnation for incarnation, _ in heard) == numbers[:2]
    assert grid.registry.heard_after(newest)[0] == []


# --- the same as single beats ---------------------------------------------------------------------------------------

IDS = ("a", "b", "c", "d")
SESSIONS = (1, 2, 3)
FIGURES = {
    "status": st.sampled_from((0, 1, 2, 99)),
    "p95_ms": st.sampled_from((nan, 0.0, 1.5, -1.0, inf)),
    "queue_depth": st.sampled_from((UNSET_DEPTH, 0, 3, -3)),
    "load": st.sampled_from((nan, 0.0, 0.5, -0.5)),
    "progress": st.sampled_from((nan, 0.5, 1.5)),
    "activity": st.sampled_from((UNSET_ACTIVITY, 1, 2)),
    "loop_lag_seconds": st.sampled_from((nan, 0.25, -0.25)),
}


@dataclass(frozen=True)
class Single:
    """The same heartbeat on its own."""

    service_id: str
    incarnation: int
    figures: dict[str, Any]
    sequence: int = 0


def read_single(beat: Single, before: Report, *, replaces_figures: bool) -> Report:
    """What it reports, as the wire's translation reads it."""
    kept = before
    figures = {name: value for name, value in beat.figures.items() if value == value}
    unset = {"status": 0, "queue_depth": UNSET_DEPTH, "activity": UNSET_ACTIVITY}
    figures = {name: value for name, value in figures.items() if value != unset.get(name)}
    if figures.get("status") == 99:
        raise InvalidRequest.of(FieldError("beat.status", "is not known"))
    if "status" in figures:
        figures["status"] = ServiceStatus(figures["status"])
    if "loop_lag_seconds" in figures:
        figures["loop_lag"] = figures.pop("loop_lag_seconds")
    if replaces_figures:
        before = replace(before, p95_ms=None, queue_depth=None, load=None)
    report = replace(before, **figures)
    return kept if report == kept else report  # what does not change is not checked again


STEPS = st.one_of(
    st.tuples(st.just("register"), st.sampled_from(IDS), st.sampled_from((None, *SESSIONS))),
    st.tuples(st.just("goodbye"), st.sampled_from(IDS), st.sampled_from(SESSIONS)),
    st.tuples(st.just("down"), st.sampled_from(IDS), st.just(0)),
    st.tuples(st.just("beats"), st.sampled_from(SESSIONS), st.booleans()),
)


@given(st.data(), st.lists(STEPS, max_size=12))
def test_columns_are_heard_and_answered_as_the_same_beats_one_by_one(data: st.DataObject, steps: list[Any]) -> None:
    one_by_one, in_columns = Grid(), Grid()
    owners: dict[int, str] = {}
    for session in SESSIONS:
        for each in (one_by_one, in_columns):
            each.open(session)
    for kind, what, where in (*steps, ("beats", 1, False)):
        if kind == "register":
            owners[one_by_one.register(what, where).incarnation] = what
            in_columns.register(what, where)
        elif kind == "beats":
            chosen = data.draw(st.lists(st.sampled_from(sorted(owners)), unique=True)) if owners else []
            names = data.draw(st.sets(st.sampled_from(sorted(FIGURES))))
            figures = {name: [data.draw(FIGURES[name]) for _ in chosen] for name in sorted(names)}
            replaces = data.draw(st.booleans())
            current = {record.incarnation for record in one_by_one.registry.records.values()}
            singles = [
                # Figures of an incarnation that is over are refused in one form and not read in the other.
                Single(
                    owners[number], number, {name: column[at] for name, column in figures.items() if number in current}
                )
                for at, number in enumerate(chosen)
            ]
            refused = one_by_one.registry.beats(
                what, singles, read_single, one_by_one.later(), relayed=where, replaces_figures=replaces
            )
            rejected = beat(in_columns, what, *chosen, relayed=where, replaces=replaces, **figures)
            assert {each.service_id for each in rejected} == {each.service_id for each in refused}
        elif what in one_by_one.registry.records:
            for each in (one_by_one, in_columns):
                if kind == "goodbye":
                    each.goodbye(where, what)
                else:
                    each.watch()
                    alert = make_event("service_down", service_id=what)
                    each.judge(VerdictKind.DOWN, what, alert=alert)
        assert said(in_columns) == said(one_by_one)
        assert facts(in_columns) == facts(one_by_one)


def said(grid: Grid) -> list[str]:
    """What is sent, without what only columns say, in any order."""
    found = []
    for session, message in grid.take().sends:
        if isinstance(message, UnknownService):
            message = replace(message, incarnation=0)
        elif isinstance(message, SupersededBy):
            message = replace(message, superseded=0)
        found.append(f"{session} {message}")
    return sorted(found)


def facts(grid: Grid) -> dict[str, Any]:
    """What the registry knows of each service, without the number of the observation."""

    def of(record: Record) -> Any:
        return replace(record, observation=0)

    return {service_id: of(record) for service_id, record in grid.registry.records.items()}
