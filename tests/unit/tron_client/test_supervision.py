"""What a parent does about its children, decided without a clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tron_client.models import Service
from tron_client.restart_history import RestartHistory, RestartLimits
from tron_client.supervision import (
    Acknowledge,
    Decision,
    Escalate,
    EscalationOutcome,
    Outcome,
    Restart,
    Supervision,
    died_again,
    lives,
    needs_restart,
)

LIMITS = RestartLimits(max_restarts=3, window=100.0, first_delay=1.0, longest_delay=10.0, restart_timeout=20.0)


@pytest.fixture
def core() -> Supervision:
    """A supervisor's core that knows nobody yet."""
    return Supervision(LIMITS)


def down(core: Supervision, alert_id: str, now: float, child: str = "a", incarnation: int = 0) -> list[Decision]:
    """The child is said to be down."""
    return core.alerted(child, alert_id, incarnation, now)


def restart(attempt: int, incident: str = "1", alert_id: str = "1", child: str = "a", incarnation: int = 0) -> Restart:
    """The decision to restart."""
    return Restart(child, attempt, incident, alert_id, incarnation)


def escalate(restarts: int, why: str, incident: str, alert_id: str, incarnation: int = 0) -> Escalate:
    """The decision to escalate."""
    reason: Literal["max_restarts_exceeded", "restart_stuck"] = (
        "restart_stuck" if why == "restart_stuck" else "max_restarts_exceeded"
    )
    return Escalate("a", restarts, reason, incident, alert_id, incarnation)


def test_a_child_that_is_down_is_restarted_at_once_and_the_alert_acknowledged_once_it_is_alive(
    core: Supervision,
) -> None:
    assert down(core, "1", 0.0) == [restart(1)]
    assert core.tick(1.0) == []
    assert core.ended("a", "up", 2.0) == [Acknowledge(("1",))]


@pytest.mark.parametrize("outcome", ["failed", "postponed"])
def test_a_child_that_returned_during_its_failed_restart_needs_no_other(core: Supervision, outcome: Outcome) -> None:
    down(core, "1", 0.0)
    assert core.recovered("a", 1.0) == []
    assert core.ended("a", outcome, 2.0) == [Acknowledge(("1",))]
    assert core.due_in(2.0) is None


def test_a_child_that_returned_and_died_again_during_its_failed_restart_is_restarted(core: Supervision) -> None:
    down(core, "1", 0.0)
    core.recovered("a", 1.0)
    down(core, "2", 1.5, incarnation=2)
    assert core.ended("a", "failed", 2.0) == []
    assert core.tick(20.0) == [restart(2, incarnation=2)]


def test_nothing_is_acknowledged_while_a_restart_failed_and_the_next_is_due(core: Supervision) -> None:
    down(core, "1", 0.0)
    assert core.ended("a", "failed", 2.0) == []
    assert core.due_in(2.0) == 1.0
    assert core.tick(2.9) == []
    assert core.tick(3.0) == [restart(2)]


def test_a_child_whose_every_restart_fails_is_escalated_and_acknowledged_once_that_was_said(core: Supervision) -> None:
    down(core, "1", 0.0)
    core.ended("a", "failed", 1.0)
    core.tick(2.0)
    core.ended("a", "failed", 3.0)
    assert core.due_in(3.0) == 2.0
    core.tick(5.0)
    assert core.ended("a", "failed", 6.0) == [escalate(3, "max_restarts_exceeded", "1", "1")]
    assert core.escalated("a", "recorded", 6.1) == [Acknowledge(("1",))]
    assert core.due_in(6.1) is None


def test_a_child_that_dies_again_after_each_restart_is_escalated_by_the_fourth_alert(core: Supervision) -> None:
    for number, now in enumerate((0.0, 10.0, 20.0), 1):
        assert down(core, str(number), now) == [restart(number, "1", str(number))]
        assert core.ended("a", "up", now + 1.0) == [Acknowledge((str(number),))]
    assert down(core, "4", 30.0) == [escalate(3, "max_restarts_exceeded", "1", "4")]


def test_restarts_outside_the_window_are_forgotten(core: Supervision) -> None:
    for number, now in enumerate((0.0, 40.0, 80.0), 1):
        down(core, str(number), now)
        core.ended("a", "up", now + 1.0)
    assert down(core, "4", 101.0) == [restart(3, "1", "4")]  # the first one counts no more


def test_after_a_quiet_window_the_trouble_is_a_new_one(core: Supervision) -> None:
    down(core, "1", 0.0)
    core.ended("a", "up", 1.0)
    assert down(core, "2", 150.0) == [restart(1, "2", "2")]


def test_the_pause_between_restarts_grows_up_to_its_limit() -> None:
    history = RestartHistory(RestartLimits(max_restarts=9, first_delay=1.0, longest_delay=5.0))
    pauses = []
    for now in range(0, 160, 20):
        start = history.next_start(float(now))
        assert start is not None
        pauses.append(start - now)
        history.started(float(now), "x")
        history.ended(float(now + 20))
    assert pauses == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]


def test_the_same_alert_is_dealt_with_once(core: Supervision) -> None:
    down(core, "1", 0.0)
    assert down(core, "1", 0.5) == []
    core.ended("a", "up", 1.0)
    assert down(core, "1", 2.0) == [Acknowledge(("1",))]  # the acknowledgement was lost on its way


def test_one_child_is_never_restarted_twice_at_once(core: Supervision) -> None:
    down(core, "down", 0.0)
    assert down(core, "deregistered", 1.0) == []
    assert core.ended("a", "up", 2.0) == [Acknowledge(("down", "deregistered"))]


def test_a_restart_is_for_the_last_life_that_is_known_to_have_failed(core: Supervision) -> None:
    down(core, "1", 0.0, incarnation=5)
    down(core, "2", 0.5, incarnation=6)
    core.ended("a", "failed", 1.0)
    assert core.tick(2.0) == [restart(2, incarnation=6)]


def test_a_child_that_came_back_while_it_waited_is_left_alone(core: Supervision) -> None:
    down(core, "1", 0.0)
    core.ended("a", "failed", 1.0)
    assert core.recovered("a", 1.5) == [Acknowledge(("1",))]
    assert core.tick(50.0) == []


def test_a_restart_that_was_not_needed_does_not_count(core: Supervision) -> None:
    down(core, "1", 0.0)
    assert core.ended("a", "not_needed", 1.0) == [Acknowledge(("1",))]
    assert down(core, "2", 2.0) == [restart(1, "2", "2")]


def test_while_nobody_can_say_how_the_child_is_it_is_asked_again_and_nothing_counts(core: Supervision) -> None:
    down(core, "1", 0.0)
    for now in range(1, 20, 2):
        assert core.ended("a", "postponed", float(now)) == []
        assert core.tick(now + 1.0) == [restart(1)]


def test_only_so_many_are_restarted_at_a_time_and_the_longest_due_goes_first(core: Supervision) -> None:
    began = [down(core, name, float(at), child=name) for at, name in enumerate("abcdef")]
    assert [len(each) for each in began] == [1, 1, 1, 1, 0, 0]
    assert core.due_in(6.0) == pytest.approx(0.0 + 21.0 - 6.0)  # only an overdue restart, for there is no room
    assert core.ended("c", "up", 7.0) == [Acknowledge(("c",)), restart(1, "e", "e", "e")]


def test_a_restart_that_does_not_end_is_escalated_and_no_second_one_is_begun(core: Supervision) -> None:
    down(core, "1", 0.0)
    assert core.due_in(0.0) == 21.0
    assert core.tick(21.0) == [escalate(1, "restart_stuck", "1", "1")]
    core.escalated("a", "recorded", 21.1)
    assert down(core, "2", 30.0, incarnation=2) == [escalate(1, "restart_stuck", "1", "2", 2)]
    core.escalated("a", "recorded", 30.1)
    core.ended("a", "failed", 40.0)  # at last
    assert down(core, "3", 50.0, incarnation=3) == [restart(2, "1", "3", incarnation=3)]


def test_an_escalation_that_could_not_be_said_is_tried_again_and_nothing_acknowledged(core: Supervision) -> None:
    down(core, "1", 0.0)
    core.tick(21.0)
    assert core.escalated("a", "failed", 22.0) == []
    assert core.due_in(22.0) == 1.0
    again = [escalate(1, "restart_stuck", "1", "1")]
    assert core.tick(23.0) == again
    core.escalated("a", "failed", 23.0)
    assert core.due_in(23.0) == 2.0
    assert core.tick(25.0) == again


def escalated(core: Supervision, incarnation: int = 5) -> None:
    """The restarts of the child are used up, and that was escalated."""
    for number in range(3):
        assert down(core, f"down {number}", 5.0 * number, incarnation=incarnation) == [
            restart(number + 1, "down 0", f"down {number}", incarnation=incarnation)
        ]
        core.ended("a", "up", 5.0 * number)
    down(core, "last", 15.0, incarnation=incarnation)
    core.escalated("a", "recorded", 15.0)


def test_what_else_is_said_of_a_death_that_was_escalated_is_acknowledged(core: Supervision) -> None:
    escalated(core)
    assert down(core, "deregistered", 17.0, incarnation=5) == [Acknowledge(("deregistered",))]


def test_the_death_of_a_new_life_is_escalated_again_while_the_window_lasts(core: Supervision) -> None:
    escalated(core)
    assert down(core, "next", 20.0, incarnation=6) == [escalate(3, "max_restarts_exceeded", "down 0", "next", 6)]


def test_a_child_that_came_back_after_its_escalation_starts_with_what_still_counts(core: Supervision) -> None:
    escalated(core)
    assert core.recovered("a", 20.0) == []
    assert down(core, "soon", 30.0, incarnation=6) == [escalate(3, "max_restarts_exceeded", "down 0", "soon", 6)]
    core.escalated("a", "recorded", 30.0)
    core.recovered("a", 40.0)
    assert down(core, "late", 200.0, incarnation=7) == [restart(1, "late", "late", incarnation=7)]


def test_a_child_that_comes_back_while_its_failure_is_being_escalated_is_sound(core: Supervision) -> None:
    down(core, "1", 0.0)
    core.tick(21.0)
    assert core.recovered("a", 21.5) == [Acknowledge(("1",))]
    assert core.escalated("a", "recorded", 22.0) == []
    assert core.ended("a", "up", 23.0) == []
    assert down(core, "2", 24.0) == [restart(2, "1", "2")]


def test_a_child_that_is_found_alive_when_it_is_to_be_escalated_is_sound(core: Supervision) -> None:
    for at in (-30.0, -20.0, -10.0):
        core.recall("a", at, "first")
    down(core, "late news", 0.0)
    assert core.escalated("a", "not_needed", 1.0) == [Acknowledge(("late news",))]
    assert core.due_in(1.0) is None


def test_restarts_of_the_life_before_count(core: Supervision) -> None:
    for at in (-30.0, -20.0, -10.0):
        core.recall("a", at, "first")
    assert down(core, "now", 0.0) == [escalate(3, "max_restarts_exceeded", "first", "now")]


@pytest.mark.parametrize(
    ("field", "limits"),
    [
        ("max_restarts", {"max_restarts": 0}),
        ("concurrency", {"concurrency": 0}),
        ("window", {"window": 0.0}),
        ("restart_timeout", {"restart_timeout": float("nan")}),
        ("first_delay", {"first_delay": 5.0, "longest_delay": 1.0}),
    ],
)
def test_a_limit_that_can_not_be_meant_is_named(field: str, limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=field):
        RestartLimits(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("liveness", "cause", "connected", "incarnation", "alive", "needed"),
    [
        ("ALIVE", "", True, 7, True, False),
        ("ALIVE", "STALLED", True, 7, False, True),
        ("SUSPECT", "DISCONNECTED", False, 7, False, False),
        ("SUSPECT", "STALLED", True, 7, False, True),
        ("DOWN", "SILENT", True, 7, False, True),
        ("DOWN", "SILENT", True, 8, False, False),
        ("DOWN", "DISCONNECTED", False, 8, False, True),
        ("SUSPECT", "STALLED", True, 8, False, False),
        ("UNKNOWN", "", True, 7, False, True),
        ("UNKNOWN", "", True, 8, True, False),
        ("UNKNOWN", "", False, 8, False, True),
    ],
)
def test_who_is_alive_and_who_needs_a_restart(
    liveness: str, cause: str, connected: bool, incarnation: int, alive: bool, needed: bool
) -> None:
    service = Service("a", liveness=liveness, liveness_cause=cause, connected=connected, incarnation=incarnation)
    assert (lives(service, 7), needs_restart(service, 7)) == (alive, needed)


def test_who_is_down_by_a_newer_judgement_died_again() -> None:
    known = datetime(2026, 1, 1, tzinfo=UTC)
    old, new = (Service("a", liveness="DOWN", liveness_since=at) for at in (known, known + timedelta(seconds=1)))
    assert [died_again(service, known) for service in (None, old, new)] == [False, False, True]
    assert not died_again(new, None)
    assert not died_again(Service("a", liveness="ALIVE", liveness_since=new.liveness_since), known)


def test_who_is_not_registered_any_more_needs_a_restart() -> None:
    assert (lives(None, 7), needs_restart(None, 7)) == (False, True)


CHILDREN = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("alert"), CHILDREN, st.integers(0, 30)),
        st.tuples(st.just("recovered"), CHILDREN),
        st.tuples(st.just("ended"), CHILDREN, st.sampled_from(["up", "not_needed", "failed", "postponed"])),
        st.tuples(st.just("escalated"), CHILDREN, st.sampled_from(["recorded", "not_needed", "failed"])),
        st.tuples(st.just("wait"), st.floats(0.1, 60.0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_the_limits_hold_and_no_alert_is_lost(steps: list[tuple[object, ...]]) -> None:
    limits = RestartLimits(max_restarts=2, window=50.0, restart_timeout=5.0, concurrency=2)
    core = Supervision(limits)
    now, running, telling = 0.0, {}, {}
    began: dict[str, list[float]] = {}
    unanswered: dict[str, str] = {}  # alert_id -> child

    def carry_out(decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case Restart():
                    assert decision.child not in running, "two restarts of one child at once"
                    running[decision.child] = decision
                    assert len(running) <= limits.concurrency
                    recent = [at for at in began.get(decision.child, []) if now - at < limits.window]
                    began[decision.child] = [*recent, now]
                    assert len(began[decision.child]) == decision.attempt <= limits.max_restarts
                case Escalate():
                    assert decision.child not in telling
                    telling[decision.child] = decision
                    assert len(telling) <= limits.concurrency
                case Acknowledge():
                    for alert_id in decision.alert_ids:
                        unanswered.pop(alert_id, None)

    for step in steps:
        match step:
            case ("alert", str(child), int(number)):
                unanswered[f"{child}{number}"] = child
                carry_out(core.alerted(child, f"{child}{number}", 0, now))
            case ("recovered", str(child)):
                carry_out(core.recovered(child, now))
            case ("ended", str(child), outcome) if child in running:
                del running[child]
                if outcome in ("not_needed", "postponed") and began[child]:
                    began[child].pop()
                carry_out(core.ended(child, _OUTCOMES[outcome], now))
            case ("escalated", str(child), ended) if child in telling:
                del telling[child]
                carry_out(core.escalated(child, _ESCALATIONS[ended], now))
            case ("wait", float(seconds)):
                now += seconds
                carry_out(core.tick(now))
    # What is still unanswered is on its way: something runs, is being escalated, or becomes due.
    for _ in range(200):
        if not unanswered:
            break
        for child in list(running):
            del running[child]
            carry_out(core.ended(child, "up", now))
        for child in list(telling):
            del telling[child]
            carry_out(core.escalated(child, "recorded", now))
        due_in = core.due_in(now)
        if due_in is not None:
            now += due_in
            carry_out(core.tick(now))
    assert not unanswered


_OUTCOMES: dict[object, Outcome] = {
    "up": "up",
    "not_needed": "not_needed",
    "failed": "failed",
    "postponed": "postponed",
}
_ESCALATIONS: dict[object, EscalationOutcome] = {"recorded": "recorded", "not_needed": "not_needed", "failed": "failed"}
