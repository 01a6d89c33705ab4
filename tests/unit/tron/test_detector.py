"""Every row of the detector's table, and what holds it back."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts

from tests.unit.tron.builders import HELD, POLICY, WINDOW, make_detector, make_facts, story, walk
from tron.detector import Detector
from tron.facts import Kind, Transition
from tron.hold import LONGEST
from tron.policy import Policies, Policy
from tron.returns import CROWD, PATIENCE, RETURNING, TLS_PATIENCE

MISS, SUSPECT, STALL, DOWN, DEREGISTER, RECOVER, RESTORE = Kind

BROKEN = make_facts(connected=False, detached_at=2.0)


def test_silence_is_a_miss_then_down_then_deregistered() -> None:
    decided = walk(make_detector(make_facts()), 10.0)
    assert story(decided) == [(2.3, MISS), (3.3, DOWN), (4.3, DEREGISTER)]
    assert [(each.cause, each.missed_beats) for _, each in decided] == [(LivenessCause.SILENT, n) for n in (1, 2, 3)]


def test_a_transition_is_due_when_it_became_true_not_when_it_was_noticed() -> None:
    late = make_detector(make_facts()).advance(60.0, 0.0)
    assert [(each.kind, each.due) for each in late] == [(MISS, 2.25), (DOWN, 3.25)]


def test_nobody_is_deregistered_sooner_than_one_interval_after_it_was_declared_down() -> None:
    detector = make_detector(make_facts())
    detector.advance(60.0, 0.0)
    assert story(walk(detector, 62.0, begin=60.1)) == [(61.0, DEREGISTER)]


def test_every_beat_moves_the_deadline() -> None:
    detector = make_detector(make_facts())
    for n in range(2, 50):
        assert walk(detector, n, begin=n - 1) == []
        detector.record_beat(1, 10 + n, float(n))
    assert story(walk(detector, 51.0, begin=49.1)) == [(50.3, MISS)]


def test_a_beat_of_another_incarnation_or_an_older_one_moves_nothing() -> None:
    detector = make_detector(make_facts())
    detector.record_beat(2, 99, 2.0)
    detector.record_beat(1, 10, 2.0)
    assert story(walk(detector, 2.5)) == [(2.3, MISS)]


def test_a_missed_beat_that_comes_is_a_recovery_without_a_word() -> None:
    detector = make_detector(make_facts())
    walk(detector, 2.3)
    detector.record_beat(1, 11, 2.35)
    assert story(walk(detector, 3.3, begin=2.4)) == [(2.4, RECOVER)]
    assert detector.counts()[Liveness.ALIVE] == 1


def test_a_broken_stream_is_suspect_at_once_and_down_after_the_grace() -> None:
    decided = walk(make_detector(BROKEN), 4.1, begin=2.0)
    assert story(decided) == [(2.0, SUSPECT), (4.0, DOWN)]
    assert {each.cause for _, each in decided} == {LivenessCause.DISCONNECTED}


def test_a_grace_of_its_own_comes_before_the_policys() -> None:
    assert story(walk(make_detector(replace(BROKEN, reconnect_grace=0.5)), 2.6, begin=2.0)) == [
        (2.0, SUSPECT),
        (2.5, DOWN),
    ]
    assert story(walk(make_detector(replace(BROKEN, reconnect_grace=0.0)), 2.0, begin=2.0)) == [
        (2.0, SUSPECT),
        (2.0, DOWN),
    ]


def test_a_stream_that_is_back_within_the_grace_is_a_recovery() -> None:
    detector = make_detector(BROKEN)
    walk(detector, 3.0, begin=2.0)
    suspected = make_facts(judged=Liveness.SUSPECT, cause=LivenessCause.DISCONNECTED, judged_at=2.0)
    detector.observe(replace(suspected, observation=11, attached_at=3.05, heard_at=3.05))
    assert story(walk(detector, 4.2, begin=3.1)) == [(3.1, RECOVER)]


def test_who_was_down_and_is_heard_again_is_restored() -> None:
    detector = make_detector(make_facts())
    walk(detector, 3.5)
    detector.record_beat(1, 11, 3.55)
    ((_, restored),) = walk(detector, 4.0, begin=3.6)
    assert (restored.kind, restored.cause, restored.missed_beats) == (RESTORE, LivenessCause.NONE, 0)
    assert restored.facts.judged is Liveness.DOWN


def test_a_stream_that_stands_is_no_beat() -> None:
    silent = make_facts(judged=Liveness.DOWN, cause=LivenessCause.SILENT, judged_at=3.3, attached_at=3.5)
    assert story(walk(make_detector(silent), 4.2, begin=3.6)) == []


def test_a_new_incarnation_inherits_the_judgement_and_is_restored() -> None:
    detector = make_detector(make_facts(judged=Liveness.DOWN, cause=LivenessCause.SILENT, judged_at=3.3))
    detector.observe(
        make_facts(
            incarnation=2, observation=11, judged=Liveness.DOWN, cause=LivenessCause.SILENT, judged_at=3.3, heard_at=5.0
        )
    )
    ((_, restored),) = walk(detector, 5.1, begin=5.1)
    assert (restored.kind, restored.incarnation) == (RESTORE, 2)


def test_who_was_never_on_a_stream_is_judged_by_silence_alone() -> None:
    unary = make_facts(connected=False, streamed=False, attached_at=None)
    assert story(walk(make_detector(unary), 4.0)) == [(2.3, MISS), (3.3, DOWN)]


@pytest.mark.parametrize(
    ("broke_at", "grace", "down_at", "cause"),
    [
        (2.9, 2.0, 3.3, LivenessCause.SILENT),
        (2.5, 0.5, 3.0, LivenessCause.DISCONNECTED),
        (3.2, 60.0, 3.3, LivenessCause.SILENT),
    ],
)
def test_a_break_does_not_put_off_the_end_of_a_silence_that_was_noticed_first(
    broke_at: float, grace: float, down_at: float, cause: LivenessCause
) -> None:
    facts = make_facts(
        connected=False,
        detached_at=broke_at,
        reconnect_grace=grace,
        judged=Liveness.SUSPECT,
        cause=LivenessCause.SILENT,
        judged_at=2.3,
    )
    ((at, down),) = walk(make_detector(facts), 3.8, begin=broke_at)
    assert (at, down.kind, down.cause) == (down_at, DOWN, cause)


def test_who_is_suspected_for_a_break_has_the_whole_grace_however_short_its_interval() -> None:
    facts = make_facts(
        interval=0.1, connected=False, detached_at=1.05, judged=Liveness.SUSPECT, cause=LivenessCause.DISCONNECTED
    )
    assert story(walk(make_detector(facts), 3.2, begin=1.1))[0] == (3.1, DOWN)


ENDED_BY_US = make_facts(connected=False, detached_at=1.5, detached_reason="READER_TOO_SLOW")


def test_a_stream_that_the_registry_ended_says_nothing_and_silence_is_judged_as_ever() -> None:
    decided = walk(make_detector(ENDED_BY_US), 4.4)
    assert story(decided) == [(2.3, MISS), (3.3, DOWN), (4.3, DEREGISTER)]
    assert {each.cause for _, each in decided} == {LivenessCause.SILENT}


def test_who_is_busy_is_excused_where_the_registry_ended_its_stream() -> None:
    busy = replace(ENDED_BY_US, busy_until_at=6.0, busy_declared_at=1.0)
    assert story(walk(make_detector(busy), 8.4)) == [(7.3, MISS), (8.3, DOWN)]
    assert story(walk(make_detector(replace(busy, detached_reason="")), 3.6))[:2] == [(1.5, SUSPECT), (3.5, DOWN)]


def test_a_refused_connection_confirms_nothing_about_a_stream_that_the_registry_ended() -> None:
    detector = make_detector(ENDED_BY_US)
    detector.confirm_down("a", 1)
    assert story(walk(detector, 2.2)) == []


def test_who_is_heard_without_a_stream_after_the_registry_ended_it_is_alive() -> None:
    detector = make_detector(replace(ENDED_BY_US, judged=Liveness.DOWN, cause=LivenessCause.SILENT, judged_at=3.3))
    detector.record_beat(1, 11, 3.5)
    assert story(walk(detector, 3.6, begin=3.6)) == [(3.6, RESTORE)]


AFTER_RESTART = make_facts(connected=False, attached_at=None, heard_at=0.0, judged_at=0.0)


def test_after_a_restart_everyone_has_the_reattach_window() -> None:
    decided = walk(make_detector(AFTER_RESTART), WINDOW + 2.5)
    assert story(decided) == [(WINDOW, SUSPECT), (WINDOW + 2, DOWN)]
    assert decided[0][1].due == WINDOW


def returning(detector: Detector, until: float, *, every: float) -> list[tuple[float, Transition]]:
    """Walk on while other services open their first streams since the restart, one each `every` seconds."""
    decided: list[tuple[float, Transition]] = []
    at = every
    for number in count(2):
        if at > until:
            break
        other = replace(AFTER_RESTART, service_id=f"other-{number}", incarnation=number)
        detector.observe(other)
        decided += walk(detector, at, begin=at - every)
        detector.observe(replace(other, connected=True, attached_at=at, heard_at=at, observation=other.observation + 1))
        at += every
    return decided


def test_the_reattach_window_lasts_while_services_come_back() -> None:
    detector = make_detector(AFTER_RESTART)
    assert "a" not in {each.service_id for _, each in returning(detector, WINDOW + 5, every=0.5)}
    decided = [(at, each) for at, each in walk(detector, WINDOW + 9, begin=WINDOW + 5) if each.service_id == "a"]
    assert story(decided)[0] == (WINDOW + 5 + RETURNING, SUSPECT)


def test_the_reattach_window_ends_after_a_minute_although_services_still_come_back() -> None:
    decided = returning(make_detector(AFTER_RESTART), LONGEST + 5, every=0.5)
    assert story([(at, each) for at, each in decided if each.service_id == "a"])[0] == (LONGEST, SUSPECT)


def test_one_service_that_reconnects_again_and_again_does_not_prolong_the_window() -> None:
    detector = make_detector(AFTER_RESTART)
    other = replace(AFTER_RESTART, service_id="other", incarnation=2)
    decided: list[tuple[float, Transition]] = []
    for second in range(1, int(WINDOW) + 2):
        back = replace(
            other, connected=True, attached_at=float(second), heard_at=float(second), observation=10 + second
        )
        detector.observe(back)
        decided += walk(detector, second + 0.9, begin=float(second))
    assert story([(at, each) for at, each in decided if each.service_id == "a"])[0] == (WINDOW, SUSPECT)


CONNECTED = make_facts(attached_at=0.5, heard_at=0.5)
"""A service that is back already, and silent since; it would miss a heartbeat at 1.75."""

OFTEN = 0.9 * RETURNING / CROWD
"""Seconds between two returns of a crowd."""


def of_a(decided: list[tuple[float, Transition]]) -> list[tuple[float, Kind]]:
    return story([(at, each) for at, each in decided if each.service_id == "a"])


def test_silence_counts_a_little_later_while_a_crowd_returns() -> None:
    decided = [each for _, each in returning(make_detector(CONNECTED), 5.0, every=OFTEN) if each.service_id == "a"]
    assert [each.kind for each in decided] == [MISS, DOWN, DEREGISTER]
    assert [each.due for each in decided[:2]] == pytest.approx([1.75 + PATIENCE, 2.75 + PATIENCE])


def test_silence_counts_later_still_with_tls() -> None:
    detector = Detector(Policies(POLICY, {}), patience=TLS_PATIENCE)
    detector.observe(CONNECTED)
    decided = [each for _, each in returning(detector, 8.0, every=OFTEN) if each.service_id == "a"]
    assert [each.due for each in decided[:2]] == pytest.approx([1.75 + TLS_PATIENCE, 2.75 + TLS_PATIENCE])


def test_a_heartbeat_that_comes_a_little_late_while_a_crowd_returns_is_not_missed() -> None:
    detector = make_detector(CONNECTED)
    assert of_a(returning(detector, 1.9, every=OFTEN)) == []
    detector.record_beat(1, 11, 2.0)
    assert of_a(walk(detector, 2.0 + RETURNING, begin=2.0)) == []


def test_silence_that_is_due_after_the_crowd_counts_at_once() -> None:
    detector = make_detector(CONNECTED)
    returning(detector, 1.6 - RETURNING, every=OFTEN)
    ((_, missed), *_) = [each for each in walk(detector, 3.0, begin=1.6 - RETURNING) if each[1].service_id == "a"]
    assert (missed.kind, missed.due) == (MISS, 1.75)


def test_a_broken_stream_is_evidence_while_a_crowd_returns() -> None:
    detector = make_detector(CONNECTED)
    returning(detector, 1.5, every=OFTEN)
    detector.observe(replace(CONNECTED, connected=False, detached_at=1.5, observation=12))
    assert of_a(walk(detector, 1.6, begin=1.5)) == [(1.5, SUSPECT)]


def test_a_few_services_that_return_delay_no_verdict() -> None:
    decided = returning(make_detector(CONNECTED), 3.0, every=1.5 * RETURNING / CROWD)
    assert of_a(decided)[0][0] == pytest.approx(1.75, abs=0.11)


@pytest.mark.parametrize("streamed", [True, False])
def test_who_was_down_before_a_restart_is_not_deregistered_within_the_window(streamed: bool) -> None:
    down = replace(AFTER_RESTART, streamed=streamed, judged=Liveness.DOWN, cause=LivenessCause.SILENT)
    assert story(walk(make_detector(down), WINDOW + 1)) == [(WINDOW, DEREGISTER)]


def test_a_short_interval_does_not_shorten_the_window() -> None:
    unary = replace(AFTER_RESTART, streamed=False, interval=0.1)
    decided = walk(make_detector(unary), WINDOW + 1)
    assert decided[0][0] == WINDOW


def test_who_re_attached_after_a_restart_is_judged_as_ever() -> None:
    assert story(walk(make_detector(make_facts()), 2.5)) == [(2.3, MISS)]


def test_silence_across_a_stall_of_the_registry_is_held_for_the_window() -> None:
    detector = make_detector(make_facts(heard_at=1.9))
    assert walk(detector, 2.0) == []
    assert story(walk(detector, 2.2 + WINDOW, begin=2.2, hearing_since=2.2)) == [
        (2.2 + WINDOW, MISS),
        (2.2 + WINDOW, DOWN),
    ]


def test_who_is_heard_after_a_stall_is_judged_as_ever() -> None:
    detector = make_detector(make_facts())
    detector.advance(2.2, 2.2)
    detector.record_beat(1, 11, 3.0)
    assert story(walk(detector, 4.5, begin=2.3, hearing_since=2.2)) == [(4.3, MISS)]


def test_a_beat_after_a_stall_ends_the_window_for_whoever_sent_it() -> None:
    detector = make_detector(make_facts())
    assert walk(detector, 5.0, begin=2.2, hearing_since=2.2) == []
    detector.record_beat(1, 11, 5.0)
    assert story(walk(detector, 7.5, begin=5.1, hearing_since=2.2)) == [(6.3, MISS), (7.3, DOWN)]


def test_a_stream_from_before_a_stall_that_breaks_is_held_for_the_window() -> None:
    detector = make_detector(make_facts())
    detector.advance(2.2, 2.2)
    detector.observe(make_facts(observation=11, connected=False, detached_at=2.3))
    decided = walk(detector, 2.2 + WINDOW, begin=2.3, hearing_since=2.2)
    assert story(decided) == [(2.2 + WINDOW, SUSPECT), (2.2 + WINDOW, DOWN)]


def test_a_stream_that_came_after_a_stall_and_breaks_is_suspect_at_once() -> None:
    detector = make_detector(make_facts())
    detector.advance(2.2, 2.2)
    detector.observe(make_facts(observation=11, connected=False, attached_at=2.5, heard_at=2.5, detached_at=3.0))
    assert story(walk(detector, 5.1, begin=3.0, hearing_since=2.2)) == [(3.0, SUSPECT), (5.0, DOWN)]


def test_a_refused_verdict_is_taken_back_and_judged_again() -> None:
    detector = make_detector(make_facts())
    (miss,) = detector.advance(2.3, 0.0)
    detector.refused(miss)
    assert detector.counts()[Liveness.ALIVE] == 1
    (again,) = detector.advance(2.4, 0.0)
    assert (again.kind, again.due) == (miss.kind, miss.due)


def test_refused_verdicts_are_taken_back_one_after_the_other() -> None:
    detector = make_detector(make_facts())
    late = detector.advance(60.0, 0.0)
    for transition in reversed(late):
        detector.refused(transition)
    assert detector.counts()[Liveness.ALIVE] == 1
    detector.record_beat(1, 11, 59.9)
    assert story(walk(detector, 61.2, begin=60.1)) == [(61.2, MISS)]


def test_a_refused_deregistration_is_judged_again() -> None:
    detector = make_detector(make_facts())
    *_, (_, deregistered) = walk(detector, 4.3)
    assert deregistered.kind is DEREGISTER
    assert walk(detector, 9.0, begin=4.4) == []
    detector.refused(deregistered)
    assert story(walk(detector, 10.0, begin=9.1)) == [(9.1, DEREGISTER)]


def test_a_refusal_about_an_older_incarnation_changes_nothing() -> None:
    detector = make_detector(make_facts())
    (miss,) = detector.advance(2.3, 0.0)
    detector.observe(make_facts(incarnation=2, observation=11, heard_at=2.4, judged=Liveness.DOWN, judged_at=2.0))
    detector.refused(miss)
    assert detector.counts()[Liveness.DOWN] == 1


def test_whoever_is_gone_is_not_judged() -> None:
    detector = make_detector(make_facts())
    detector.forget("a")
    detector.forget("a")
    detector.record_beat(1, 11, 2.0)
    assert walk(detector, 10.0) == []
    assert len(detector) == 0


def test_the_judge_is_never_judged_and_alive_if_anyone_thought_otherwise() -> None:
    assert walk(make_detector(make_facts(), exempt="a"), 100.0) == []
    suspected = make_facts(judged=Liveness.SUSPECT, cause=LivenessCause.SILENT)
    assert story(walk(make_detector(suspected, exempt="a"), 100.0)) == [(0.0, RECOVER)]


def test_a_service_is_judged_by_its_own_policy() -> None:
    patient = Policy(misses_before_warning=2, misses_before_down=4, misses_before_deregister=6)
    detector = make_detector(make_facts(), make_facts("b", incarnation=2), b=patient)
    decided = walk(detector, 8.0)
    assert [(at, each.kind) for at, each in decided if each.service_id == "b"] == [
        (3.3, MISS),
        (5.3, DOWN),
        (7.3, DEREGISTER),
    ]
    assert [each.missed_beats for _, each in decided if each.service_id == "b"] == [2, 4, 6]


def test_who_needs_no_warning_goes_down_by_the_same_miss() -> None:
    strict = replace(POLICY, misses_before_down=1)
    assert story(walk(make_detector(make_facts(), policy=strict), 2.3)) == [(2.3, MISS), (2.3, DOWN)]


def test_many_are_judged_oldest_first() -> None:
    detector = make_detector()
    for n in range(9, 0, -1):
        detector.observe(make_facts(f"s{n}", incarnation=n, heard_at=1.0 + n / 100))
    assert [each.service_id for each in detector.advance(2.5, 0.0)] == [f"s{n}" for n in range(1, 10)]


def test_a_detector_counts_how_many_are_judged_how() -> None:
    detector = make_detector(
        make_facts(), make_facts("b", incarnation=2, judged=Liveness.DOWN, cause=LivenessCause.SILENT)
    )
    assert detector.counts() == {Liveness.ALIVE: 1, Liveness.SUSPECT: 0, Liveness.DOWN: 1}


STALLING = make_facts(stall_after=2.0, active_at=1.0, heard_at=2.5)


def test_who_beats_and_does_not_get_on_is_stalled_by_its_own_measure_and_stays_a_suspect() -> None:
    detector = make_detector(STALLING)
    decided = walk(detector, 3.0)
    assert story(decided) == [(3.0, STALL)]
    assert decided[0][1].cause is LivenessCause.STALLED
    for n in range(100):
        detector.record_beat(1, 11 + n, 3.0 + n / 2)
    assert walk(detector, 50.0, begin=3.1) == []


def test_who_is_stalled_and_gets_on_is_back() -> None:
    detector = make_detector(STALLING)
    walk(detector, 3.0)
    stalled = replace(STALLING, judged=Liveness.SUSPECT, cause=LivenessCause.STALLED, judged_at=3.0)
    detector.observe(replace(stalled, observation=11, active_at=5.0, heard_at=5.0))
    assert story(walk(detector, 5.0, begin=5.0)) == [(5.0, RECOVER)]


@pytest.mark.parametrize(("busy_until", "expected"), [(20.0, 22.0), (5000.0, 1803.0)])
def test_who_announced_to_be_busy_is_excused_until_then_or_until_the_cap(busy_until: float, expected: float) -> None:
    busy = replace(STALLING, heard_at=expected - 0.5, busy_until_at=busy_until, busy_declared_at=1.0)
    detector = make_detector(busy)
    assert detector.deadlines("a")[0] == (STALL, expected)


def test_a_patience_shorter_than_a_beat_accuses_nobody_who_beats() -> None:
    """The counter is seen with each beat and not between."""
    detector = make_detector(replace(STALLING, stall_after=0.1, active_at=2.5))
    for n in range(3, 20):
        assert walk(detector, n + 0.2, begin=n - 0.5) == []
        detector.observe(replace(STALLING, stall_after=0.1, observation=10 + n, heard_at=n + 0.2, active_at=n + 0.2))


def test_a_new_stream_says_nothing_of_the_counter_before_its_first_beat() -> None:
    again = replace(STALLING, attached_at=2.9, heard_at=2.9)
    detector = make_detector(again)
    assert walk(detector, 4.1) == []
    detector.record_beat(1, 11, 4.1)
    assert story(walk(detector, 5.0, begin=4.2)) == [(4.9, STALL)]


def test_busy_excuses_silence_but_no_broken_stream() -> None:
    busy = make_facts(busy_until_at=50.0, busy_declared_at=1.0)
    assert walk(make_detector(busy), 50.0) == []
    broken = replace(busy, connected=False, detached_at=2.0)
    assert story(walk(make_detector(broken), 4.0, begin=2.0)) == [(2.0, SUSPECT), (4.0, DOWN)]


def test_a_refused_connection_confirms_a_broken_stream_at_once_and_nothing_else() -> None:
    detector = make_detector(BROKEN)
    walk(detector, 2.1, begin=2.0)
    detector.confirm_down("a", 1)
    assert story(walk(detector, 2.2, begin=2.2)) == [(2.2, DOWN)]
    silent = make_detector(make_facts())
    silent.confirm_down("a", 1)
    assert story(walk(silent, 2.5)) == [(2.3, MISS)]


def test_while_it_is_held_nobody_is_deregistered() -> None:
    detector = make_detector(make_facts())
    detector.hold_deregistrations(True)
    assert story(walk(detector, 30.0)) == [(2.3, MISS), (3.3, DOWN)]
    detector.hold_deregistrations(False)
    assert story(walk(detector, 30.1, begin=30.1)) == [(30.1, DEREGISTER)]


def test_new_thresholds_move_the_deadlines_at_once() -> None:
    detector = make_detector(make_facts())
    detector.set_policies(Policies(Policy(misses_before_down=4, misses_before_deregister=6), {}))
    assert story(walk(detector, 8.0)) == [(2.3, MISS), (5.3, DOWN), (7.3, DEREGISTER)]


# --- standing still, and being busy ---------------------------------------------------------------------------------

GETS_ON = make_facts(stall_after=5.0, active_at=1.0)


def beats(detector: Detector, *, until: float, begin: float = 1.0, step: float = 0.5) -> list[tuple[float, Kind]]:
    """Walk while it beats; what was decided."""
    decided: list[tuple[float, Kind]] = []
    at, observation = begin, 1000 + round(begin * 10)
    while at < until:
        detector.record_beat(1, observation, at)
        decided += story(walk(detector, at + step - 0.1, begin=at))
        at, observation = round(at + step, 3), observation + 1
    return decided


def test_who_beats_and_does_not_get_on_is_stalled_and_never_down_for_it() -> None:
    detector = make_detector(GETS_ON)
    assert beats(detector, until=300.0) == [(6.0, STALL)]
    lease = detector.find("a")
    assert lease is not None
    assert (lease.liveness, lease.cause) == (Liveness.SUSPECT, LivenessCause.STALLED)


def test_who_declares_no_counter_never_stalls() -> None:
    assert beats(make_detector(make_facts()), until=300.0) == []


def test_who_gets_on_again_is_a_recovery() -> None:
    detector = make_detector(GETS_ON)
    beats(detector, until=8.0)
    stalled = replace(GETS_ON, judged=Liveness.SUSPECT, cause=LivenessCause.STALLED, judged_at=6.0)
    detector.observe(replace(stalled, observation=2000, active_at=8.0, heard_at=8.0))
    assert story(walk(detector, 8.2, begin=8.0)) == [(8.0, RECOVER)]


def test_who_is_stalled_and_falls_silent_is_down_and_that_is_the_cause() -> None:
    detector = make_detector(GETS_ON)
    beats(detector, until=8.0)
    ((at, down),) = walk(detector, 10.0, begin=8.0)
    assert (at, down.kind, down.cause) == (9.8, DOWN, LivenessCause.SILENT)


def test_who_is_stalled_and_loses_its_stream_is_down_after_the_grace() -> None:
    detector = make_detector(GETS_ON)
    beats(detector, until=8.0)
    stalled = replace(GETS_ON, judged=Liveness.SUSPECT, cause=LivenessCause.STALLED, judged_at=6.0, heard_at=7.5)
    detector.observe(replace(stalled, observation=2000, connected=False, detached_at=8.0))
    ((at, down),) = walk(detector, 10.5, begin=8.0)
    assert (at, down.kind, down.cause) == (10.0, DOWN, LivenessCause.DISCONNECTED)


def test_nobody_is_called_stalled_under_maintenance() -> None:
    assert beats(make_detector(replace(GETS_ON, maintenance=HELD)), until=20.0) == []


def busy(until: float, declared: float = 1.0, **fields: Any) -> Facts:
    """A service that declared itself busy."""
    return replace(make_facts(**fields), busy_until_at=until, busy_declared_at=declared)


def test_who_is_busy_is_excused_from_silence_and_judged_from_then_on() -> None:
    assert story(walk(make_detector(busy(20.0)), 23.0)) == [(21.3, MISS), (22.3, DOWN)]


def test_who_is_busy_is_excused_from_standing_still() -> None:
    facts = busy(20.0, stall_after=5.0, active_at=1.0)
    assert beats(make_detector(facts), until=40.0) == [(25.0, STALL)]


def test_who_is_busy_and_loses_its_stream_is_found_at_once() -> None:
    facts = busy(600.0, connected=False, detached_at=2.0)
    assert story(walk(make_detector(facts), 4.5, begin=2.0)) == [(2.0, SUSPECT), (4.0, DOWN)]


def test_nobody_is_excused_for_longer_than_the_cap() -> None:
    strict = replace(POLICY, busy_cap=10.0)
    detector = make_detector(busy(10_000.0), policy=strict)
    assert story(walk(detector, 12.5)) == [(12.3, MISS)]
    lease = detector.find("a")
    assert lease is not None
    assert detector.busy_until(lease) == 11.0


# --- what is held, and what is confirmed ----------------------------------------------------------------------------


def test_a_refused_connection_makes_a_suspect_down_at_once() -> None:
    detector = make_detector(BROKEN)
    walk(detector, 2.5, begin=2.0)
    detector.confirm_down("a", 1)
    assert story(walk(detector, 2.6, begin=2.6)) == [(2.6, DOWN)]


def test_a_refused_connection_says_nothing_of_who_is_back_of_another_life_or_of_nobody() -> None:
    detector = make_detector(make_facts())
    detector.confirm_down("a", 1)
    detector.confirm_down("a", 2)
    detector.confirm_down("nobody", 1)
    detector.record_beat(1, 11, 2.0)
    assert walk(detector, 3.0) == []
    detector.observe(replace(BROKEN, observation=12, heard_at=2.0, detached_at=3.0))
    detector.confirm_down("a", 99)
    assert story(walk(detector, 5.0, begin=3.0)) == [(3.0, SUSPECT), (5.0, DOWN)]


def test_what_was_confirmed_is_forgotten_when_the_stream_is_back() -> None:
    detector = make_detector(BROKEN)
    walk(detector, 2.1, begin=2.0)
    detector.confirm_down("a", 1)
    suspect = make_facts(judged=Liveness.SUSPECT, cause=LivenessCause.DISCONNECTED, judged_at=2.0)
    detector.observe(replace(suspect, observation=11, attached_at=2.2, heard_at=2.2))
    assert story(walk(detector, 2.3, begin=2.2)) == [(2.2, RECOVER)]
    broken_again = replace(BROKEN, observation=12, attached_at=2.2, heard_at=2.2, detached_at=3.0, judged_at=2.3)
    detector.observe(broken_again)
    assert story(walk(detector, 5.0, begin=3.0)) == [(3.0, SUSPECT), (5.0, DOWN)]


def test_nobody_is_deregistered_while_that_is_held_and_all_at_once_afterwards() -> None:
    detector = make_detector(make_facts())
    detector.hold_deregistrations(True)
    assert story(walk(detector, 60.0)) == [(2.3, MISS), (3.3, DOWN)]
    detector.hold_deregistrations(False)
    assert story(walk(detector, 60.1, begin=60.1)) == [(60.1, DEREGISTER)]


def test_nobody_is_deregistered_under_maintenance() -> None:
    assert story(walk(make_detector(make_facts(maintenance=HELD)), 60.0)) == [(2.3, MISS), (3.3, DOWN)]


def test_thresholds_that_change_move_the_deadlines_that_stand() -> None:
    detector = make_detector(make_facts())
    walk(detector, 2.0)
    detector.set_policies(Policies(replace(POLICY, tolerance_min=3.0), {}))
    assert walk(detector, 3.9, begin=2.1) == []
    detector.set_policies(Policies(POLICY, {}))
    assert [kind for _, kind in story(walk(detector, 4.0, begin=4.0))] == [MISS, DOWN]


# --- what is said of it ---------------------------------------------------------------------------------------------


def test_deadlines_say_what_will_become_of_it_and_change_nothing() -> None:
    detector = make_detector(make_facts())
    detector.advance(2.0, 0.0)
    foreseen = [(MISS, 2.25), (DOWN, 3.25), (DEREGISTER, 4.25)]
    assert detector.deadlines("a") == foreseen
    assert detector.deadlines("a") == foreseen
    assert story(walk(detector, 4.3, begin=2.1)) == [(2.3, MISS), (3.3, DOWN), (4.3, DEREGISTER)]
    assert detector.deadlines("nobody") == []


def test_deadlines_of_the_judge_of_the_maintained_and_of_the_broken() -> None:
    assert make_detector(make_facts(), exempt="a").deadlines("a") == []
    maintained = make_detector(make_facts(maintenance=HELD))
    assert [kind for kind, _ in maintained.deadlines("a")] == [MISS, DOWN]
    broken = make_detector(BROKEN)
    broken.advance(2.0, 0.0)
    assert [kind for kind, _ in broken.deadlines("a")] == [DOWN, DEREGISTER]
