"""A verdict is applied only where no newer fact came; what it says outlives what it was said about."""

from __future__ import annotations

import pytest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.verdict import Verdict, VerdictKind, VerdictOutcome

from registry_server.core.effects import AppendEvent, DeclaredDown, PutService, RemoveService, UnknownService
from registry_server.core.observers import BEHIND, GONE_AFTER, STALE_AFTER
from tests.unit.registry_server.builders import OBSERVER, Grid, lines, make_event, messages

ALIVE, SUSPECT, DOWN, DEREGISTER = VerdictKind
APPLIED = VerdictOutcome.APPLIED
SILENT, DISCONNECTED = LivenessCause.SILENT, LivenessCause.DISCONNECTED


@pytest.fixture
def grid() -> Grid:
    """A watched registry with a service that beats on stream 1."""
    grid = Grid()
    grid.watch()
    grid.register("a", 1)
    grid.take()
    return grid


def seen(grid: Grid, service_id: str = "a") -> Liveness:
    """What readers see."""
    return grid.registry.view(grid.registry.get(service_id)).liveness


def test_a_verdict_and_its_alert_become_true_in_one_batch(grid: Grid) -> None:
    alert = make_event("service_down", service_id="a")
    result = grid.judge(DOWN, cause=SILENT, missed=2, alert=alert)
    effects = grid.take()
    (event,) = lines(effects, AppendEvent)
    (stored,) = lines(effects, PutService)
    assert result.outcome is VerdictOutcome.APPLIED
    assert result.alert == event.event == stored.service.judgement.down_event
    assert (stored.service.judgement.liveness, stored.service.judgement.cause) == (Liveness.DOWN, SILENT)
    assert seen(grid) is Liveness.DOWN


def test_what_an_alert_says_was_heard_last_is_what_readers_were_shown(grid: Grid) -> None:
    grid.beat(1)
    reckoned = grid.registry.get("a").last_heartbeat_at - 0.000_4
    grid.take()
    about_it = make_event("service_down", service_id="a", last_seen_at=reckoned)
    others = (
        make_event("parent_down", alert_id="o", service_id="a", last_seen_at=reckoned),
        make_event("parent_down", alert_id="p", service_id="b", last_seen_at=reckoned),
    )
    assert grid.judge(DOWN, cause=SILENT, missed=2, alert=about_it, further=others).outcome is APPLIED
    shown = grid.registry.view(grid.registry.get("a")).last_heartbeat_at
    assert [line.event.last_seen_at for line in lines(grid.take(), AppendEvent)] == [shown, shown, reckoned]


@pytest.mark.parametrize("kind", [SUSPECT, DOWN, DEREGISTER])
def test_a_verdict_based_on_an_older_fact_is_stale_and_changes_nothing(grid: Grid, kind: VerdictKind) -> None:
    before = grid.registry.get("a").observation
    grid.beat(1)
    grid.take()
    assert grid.judge(kind, observation=before, alert=make_event()).outcome is VerdictOutcome.STALE
    assert grid.take().empty
    assert seen(grid) is Liveness.ALIVE


@pytest.mark.parametrize("fact", ["beat", "break", "re-attach"])
def test_every_new_fact_makes_older_verdicts_stale(grid: Grid, fact: str) -> None:
    record = grid.registry.get("a")
    before = record.observation
    if fact == "beat":
        grid.beat(1)
    elif fact == "break":
        grid.close(1)
    else:
        grid.register("a", 2, incarnation=record.incarnation)
    assert grid.judge(DOWN, observation=before).outcome is VerdictOutcome.STALE


def test_nobody_is_given_up_who_is_not_judged_down_and_the_observer_hears_why(grid: Grid) -> None:
    """A call of the observer's last life that was held up may say ALIVE behind the snapshot of its next."""
    grid.judge(DOWN, cause=SILENT, missed=2, alert=make_event("service_down"))
    feed = grid.registry.open_feed(7, OBSERVER)
    feed.take()
    grid.judge(ALIVE)
    assert grid.judge(DEREGISTER, alert=make_event("service_deregistered")).outcome is VerdictOutcome.STALE
    assert seen(grid) is Liveness.ALIVE
    assert feed.take().changed == ("a",)


def test_a_fact_about_somebody_else_makes_no_verdict_stale(grid: Grid) -> None:
    before = grid.registry.get("a").observation
    grid.register("b", 2)
    grid.beat(2, "b")
    assert grid.judge(SUSPECT, observation=before).outcome is VerdictOutcome.APPLIED


def test_alive_is_refused_only_where_the_service_is_disconnected_since(grid: Grid) -> None:
    grid.judge(SUSPECT, cause=SILENT, missed=1)
    assert grid.judge(ALIVE, observation=0).outcome is VerdictOutcome.APPLIED
    grid.judge(SUSPECT, cause=SILENT, missed=1)
    grid.close(1)
    assert grid.judge(ALIVE).outcome is VerdictOutcome.STALE


def test_alive_needs_no_stream_where_the_service_never_had_one(grid: Grid) -> None:
    grid.register("u")
    grid.judge(SUSPECT, "u", cause=SILENT, missed=1)
    assert grid.judge(ALIVE, "u").outcome is VerdictOutcome.APPLIED


def test_the_same_verdict_twice_is_unchanged_and_tells_nobody(grid: Grid) -> None:
    grid.judge(DOWN, cause=SILENT, missed=2, alert=make_event())
    grid.take()
    assert grid.judge(DOWN, cause=SILENT, missed=2, alert=make_event()).outcome is VerdictOutcome.UNCHANGED
    assert grid.take().empty


def test_another_cause_is_another_verdict(grid: Grid) -> None:
    grid.judge(SUSPECT, cause=SILENT, missed=1)
    assert grid.judge(SUSPECT, cause=DISCONNECTED).outcome is VerdictOutcome.APPLIED


def test_a_verdict_on_somebody_who_is_gone_or_came_anew_is_gone(grid: Grid) -> None:
    old = grid.registry.get("a")
    grid.register("a", 1)
    verdicts = [Verdict("a", old.incarnation, old.observation, DOWN), Verdict("nobody", 1, 1, DOWN)]
    for verdict in verdicts:
        assert grid.registry.apply(verdict, grid.later()).outcome is VerdictOutcome.GONE


def test_since_is_when_it_became_true_and_stays_while_the_liveness_does(grid: Grid) -> None:
    grid.judge(SUSPECT, cause=SILENT, missed=1, alert=make_event(occurred_at=123.0))
    assert grid.registry.get("a").judgement.since == 123.0
    grid.judge(SUSPECT, cause=DISCONNECTED, alert=make_event(occurred_at=456.0))
    assert grid.registry.get("a").judgement.since == 123.0
    grid.judge(DOWN, cause=DISCONNECTED, alert=make_event(occurred_at=789.0))
    assert grid.registry.get("a").judgement.since == 789.0


def test_a_judgement_survives_a_new_registration(grid: Grid) -> None:
    event = grid.declare_down()
    grid.register("a", 2)
    judgement = grid.registry.get("a").judgement
    assert (judgement.liveness, judgement.down_event) == (Liveness.DOWN, event)


def test_a_judgement_survives_its_own_deregistration(grid: Grid) -> None:
    event = grid.declare_down()
    assert grid.judge(DEREGISTER).outcome is VerdictOutcome.APPLIED
    (burial,) = lines(grid.take(), RemoveService)
    assert burial.tombstone.judgement is not None
    assert burial.tombstone.judgement.down_event == event
    grid.register("a", 2)
    judgement = grid.registry.get("a").judgement
    assert (judgement.liveness, judgement.down_event) == (Liveness.DOWN, event)
    assert grid.registry.get("a").heard_at > grid.registry.get("a").judged_at


def test_who_left_on_purpose_comes_back_as_alive(grid: Grid) -> None:
    grid.declare_down()
    grid.goodbye(1)
    grid.register("a", 2)
    assert seen(grid) is Liveness.ALIVE


def test_who_was_declared_down_is_told_once_by_its_next_beat(grid: Grid) -> None:
    event = grid.declare_down()
    grid.take()
    for _ in range(3):
        grid.beat(1)
    assert grid.said(1, DeclaredDown) == [DeclaredDown("a", event)]


def test_who_was_declared_down_is_told_once_across_registrations(grid: Grid) -> None:
    event = grid.declare_down()
    grid.take()
    grid.register("a", 1)
    grid.register("a", 2)
    grid.beat(2)
    effects = grid.take()
    assert messages(effects, 1, DeclaredDown) == [DeclaredDown("a", event)]
    assert messages(effects, 2, DeclaredDown) == []


def test_who_is_down_again_is_told_again(grid: Grid) -> None:
    grid.declare_down()
    grid.beat(1)
    grid.judge(ALIVE)
    again = grid.declare_down()
    grid.take()
    grid.beat(1)
    assert grid.said(1, DeclaredDown) == [DeclaredDown("a", again)]


def test_who_was_given_up_learns_why_before_it_is_asked_to_announce_itself(grid: Grid) -> None:
    event = grid.declare_down()
    grid.judge(DEREGISTER)
    grid.take()
    grid.beat(1)
    assert [message for _, message in grid.take().sends] == [DeclaredDown("a", event), UnknownService("a")]


def test_with_nobody_watching_the_liveness_of_all_is_unknown() -> None:
    grid = Grid()
    grid.register("a", 1)
    assert seen(grid) is Liveness.UNKNOWN
    grid.watch()
    assert seen(grid) is Liveness.ALIVE


def test_a_watcher_whose_stream_ended_counts_for_two_ticks_more(grid: Grid) -> None:
    grid.registry.close_feed(999, grid.later(0.0))
    grid.registry.tick(grid.later(GONE_AFTER / 2))
    assert seen(grid) is Liveness.ALIVE
    revision = grid.registry.revision
    grid.registry.tick(grid.later(GONE_AFTER / 2 + 0.001))
    assert seen(grid) is Liveness.UNKNOWN
    (change,) = grid.registry.changes_since(revision)
    assert change.service is not None
    assert change.service.liveness is Liveness.UNKNOWN


def test_a_watcher_that_stands_but_says_nothing_counts_for_a_while(grid: Grid) -> None:
    grid.registry.judged(OBSERVER, grid.later(0.0))
    grid.registry.tick(grid.later(STALE_AFTER - 0.1))
    assert seen(grid) is Liveness.ALIVE
    grid.registry.tick(grid.later(0.2))
    assert seen(grid) is Liveness.UNKNOWN
    grid.registry.judged(OBSERVER, grid.later(0.0))
    assert seen(grid) is Liveness.ALIVE


def test_a_watcher_that_speaks_may_be_late_but_not_by_much(grid: Grid) -> None:
    began = grid.time
    while grid.time < began + BEHIND - 1:
        grid.registry.judged(OBSERVER, grid.later(1.0), began)
        grid.registry.tick(grid.later(0.0))
        assert seen(grid) is Liveness.ALIVE
    grid.registry.judged(OBSERVER, grid.later(1.0), began)
    assert seen(grid) is Liveness.UNKNOWN
    grid.registry.judged(OBSERVER, grid.later(0.0), grid.time - 1)
    assert seen(grid) is Liveness.ALIVE
    grid.registry.judged(OBSERVER, grid.later(0.0), grid.time - BEHIND + 1)
    grid.registry.tick(grid.later(1.0))
    assert seen(grid) is Liveness.UNKNOWN


def test_a_watcher_that_came_back_in_time_was_never_away(grid: Grid) -> None:
    revision = grid.registry.revision
    grid.registry.close_feed(999, grid.later(0.0))
    grid.registry.open_feed(1000, OBSERVER)
    grid.registry.tick(grid.later(GONE_AFTER + 0.1))
    assert grid.registry.revision == revision


def test_a_word_from_a_stranger_does_not_blind_the_registry(grid: Grid) -> None:
    grid.registry.judged("somebody without an ear", grid.later(0.0))
    assert seen(grid) is Liveness.ALIVE


def test_the_last_judgement_is_kept_while_it_is_not_shown(grid: Grid) -> None:
    grid.declare_down()
    grid.registry.tick(grid.later(STALE_AFTER + 1))
    assert seen(grid) is Liveness.UNKNOWN
    grid.registry.judged(OBSERVER, grid.later(0.0))
    assert seen(grid) is Liveness.DOWN


def test_a_service_whose_stream_is_not_read_cannot_be_silent() -> None:
    grid = Grid()
    grid.watch()
    grid.register("a", 1)
    grid.registry.set_reading(1, grid.later(), paused=True)
    grid.later(60.0)
    assert grid.judge(VerdictKind.SUSPECT, cause=LivenessCause.SILENT).outcome is VerdictOutcome.STALE
    grid.registry.set_reading(1, grid.later(), paused=False)
    record = grid.registry.get("a")
    assert (record.heard_at, record.unanswered) == (grid.time, False)
    grid.later(60.0)
    assert grid.judge(VerdictKind.SUSPECT, cause=LivenessCause.SILENT).outcome is VerdictOutcome.APPLIED
