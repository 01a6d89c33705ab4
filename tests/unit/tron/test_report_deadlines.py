"""When the registry is to report a service, and what is concluded before: nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts, ReportDeadline
from grid_model.service import Maintenance

from tests.unit.tron.builders import POLICY, make_detector, make_facts, story, walk
from tron.detector import Detector
from tron.facts import NEVER, Kind
from tron.policy import Policies, Policy


def make_deferred(*facts: Facts, policy: Policy = POLICY) -> tuple[Detector, list[ReportDeadline]]:
    """A detector whose registry takes report deadlines, and those that it was given."""
    detector = make_detector(*facts, policy=policy)
    detector.defers = True
    detector.advance(1.0, 0.0)
    deadlines = [detector.defer(each.service_id) for each in facts]
    return detector, [each for each in deadlines if each is not None]


def test_a_deadline_is_when_a_beat_is_missed_and_each_beat_puts_it_off() -> None:
    _, (deadline,) = make_deferred(make_facts())
    assert deadline == ReportDeadline(1, 2.25, 1.25)


def test_nothing_is_due_of_a_deferred_service_before_the_registry_reports_it() -> None:
    detector, _ = make_deferred(make_facts())
    assert walk(detector, 60.0) == []
    detector.record_beat(1, 10, 1.0)  # the report that nothing was heard since
    assert next(kind for _, kind in story(walk(detector, 61.0, begin=60.1))) is Kind.MISS


def test_a_report_that_it_was_heard_meanwhile_accuses_nobody() -> None:
    detector, _ = make_deferred(make_facts())
    detector.record_beat(1, 15, 59.5)
    assert walk(detector, 60.0, begin=59.6) == []
    again = detector.defer("a")
    assert again is not None
    assert again.due == pytest.approx(60.75)


def test_facts_about_a_deferred_service_end_its_deadline() -> None:
    detector, _ = make_deferred(make_facts())
    detector.observe(make_facts(observation=12, heard_at=1.5))
    assert [kind for _, kind in story(walk(detector, 3.0))] == [Kind.MISS]


def test_the_same_deadline_is_not_set_twice_and_other_thresholds_set_another() -> None:
    detector, _ = make_deferred(make_facts())
    assert detector.defer("a") is None
    detector.set_policies(Policies(replace(POLICY, misses_before_warning=2), {}))
    other = detector.defer("a")
    assert other is not None
    assert other == ReportDeadline(1, 3.25, 2.25)
    assert walk(detector, 60.0) == [], "only the registry knows whether it was heard"


def test_a_busy_service_is_reported_once_it_may_be_silent_no_more() -> None:
    facts = make_facts(busy_until_at=30.0, busy_declared_at=1.0)
    _, (deadline,) = make_deferred(facts)
    assert deadline == ReportDeadline(1, 31.25, 1.25)


def test_a_service_whose_progress_is_judged_is_reported_when_it_makes_none() -> None:
    facts = make_facts(stall_after=5.0, active_at=1.0)
    _, (deadline,) = make_deferred(facts)
    assert deadline == ReportDeadline(1, 2.25, 1.25, 5.0)
    _, (deadline,) = make_deferred(replace(facts, maintenance=Maintenance("a", 0.0)))
    assert deadline.inactivity == NEVER


@pytest.mark.parametrize(
    "facts",
    [
        make_facts(connected=False, detached_at=1.0),
        make_facts(judged=Liveness.SUSPECT, cause=LivenessCause.SILENT),
        make_facts(judged=Liveness.DOWN, cause=LivenessCause.SILENT),
    ],
    ids=["broken", "suspect", "down"],
)
def test_every_beat_of_a_service_that_may_have_failed_is_sent(facts: Facts) -> None:
    _, deadlines = make_deferred(facts)
    assert deadlines == []


def test_a_registry_that_takes_no_deadlines_is_given_none() -> None:
    detector = make_detector(make_facts())
    assert detector.defer("a") is None


def test_what_was_asked_for_changes_no_deadline() -> None:
    detector, _ = make_deferred(make_facts())
    detector.refresh(make_facts(observation=20, heard_at=50.0, worst_gap=0.7, earlier_streams_for=9.0))
    lease = detector.find("a")
    assert lease is not None
    assert (lease.heard_at, lease.facts.worst_gap, lease.facts.earlier_streams_for) == (50.0, 0.7, 9.0)
    assert walk(detector, 60.0) == []


def test_what_was_asked_for_makes_no_verdict_on_older_facts_valid() -> None:
    broken = make_facts(connected=False, detached_at=1.0)
    detector, _ = make_deferred(broken)
    detector.refresh(replace(broken, observation=20, connected=True, detached_at=None, attached_at=1.5))
    decided = [transition for _, transition in walk(detector, 60.0, begin=1.1)]
    assert {each.observation for each in decided} == {broken.observation}, (
        "it is back, and the registry must refuse them"
    )


def test_a_refused_verdict_is_not_repeated_before_newer_facts_arrive() -> None:
    detector = make_detector(make_facts())
    ((_, missed),) = walk(detector, 2.3)
    detector.refused(missed)
    detector.await_facts("a", 1)
    assert walk(detector, 10.0, begin=2.4) == []
    detector.record_beat(1, 11, 9.9)
    assert next(kind for _, kind in story(walk(detector, 12.0, begin=10.1))) is Kind.MISS


def test_a_refused_recovery_takes_the_deadline_with_it() -> None:
    facts = make_facts(judged=Liveness.SUSPECT, cause=LivenessCause.SILENT, judged_at=0.5)
    detector = make_detector(facts)
    detector.defers = True
    (recovery,) = detector.advance(1.0, 0.0)
    assert recovery.kind is Kind.RECOVER
    assert detector.defer("a") is not None
    detector.refused(recovery)  # so the service is not ALIVE in the registry, which ignored the deadline
    (again,) = detector.advance(1.1, 0.0)
    assert again.kind is Kind.RECOVER
    assert detector.defer("a") is not None, "it is sent again"
