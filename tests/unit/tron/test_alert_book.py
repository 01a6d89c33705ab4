"""What is said about a judgement, and that the same judgement is always the same alert."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.event import Event, Severity
from grid_model.liveness import LivenessCause

from tests.unit.tron.builders import make_detector, make_facts, walk
from tron.alert_book import ALERT_TYPES, alert_for
from tron.facts import Kind, Transition

WALL = 1_700_000_100.0


def transitions() -> dict[Kind, Transition]:
    """One of each kind."""
    detector = make_detector(make_facts())
    found = [each for _, each in walk(detector, 4.3)]
    back = make_detector(make_facts())
    found += [each for _, each in walk(back, 3.5)]
    back.record_beat(1, 11, 3.55)
    found += back.advance(3.6, 0.0)
    found += make_detector(make_facts(connected=False, detached_at=2.0)).advance(2.0, 0.0)
    recovering = make_detector(make_facts())
    recovering.advance(2.3, 0.0)
    recovering.record_beat(1, 11, 2.4)
    found += recovering.advance(2.5, 0.0)
    return {each.kind: each for each in found}


BY_KIND = transitions()


def draft(kind: Kind, attentive_now: float = 10.0) -> Event:
    """The alert of a kind."""
    alert = alert_for(BY_KIND[kind], WALL, attentive_now, "boss")
    assert alert is not None
    return alert


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.MISS, ("heartbeat_miss", Severity.WARNING, "warning", LivenessCause.SILENT, 1)),
        (Kind.SUSPECT, ("service_suspect", Severity.WARNING, "suspected", LivenessCause.DISCONNECTED, 0)),
        (Kind.DOWN, ("service_down", Severity.CRITICAL, "marked_down", LivenessCause.SILENT, 2)),
        (Kind.DEREGISTER, ("service_deregistered", Severity.CRITICAL, "deregistered", LivenessCause.SILENT, 3)),
        (Kind.RESTORE, ("heartbeat_restored", Severity.INFO, "restored", LivenessCause.NONE, 0)),
    ],
)
def test_each_kind_has_its_words(kind: Kind, expected: tuple[str, Severity, str, LivenessCause, int]) -> None:
    alert = draft(kind)
    assert (alert.type, alert.severity, alert.action, alert.cause, alert.missed_beats) == expected
    assert (alert.service_id, alert.recipient) == ("a", "boss")
    assert alert.type in ALERT_TYPES


def test_a_recovery_before_anyone_was_declared_down_is_not_worth_a_word() -> None:
    assert alert_for(BY_KIND[Kind.RECOVER], WALL, 10.0, "boss") is None


def test_the_same_judgement_passed_twice_is_the_same_alert() -> None:
    first, second = draft(Kind.DOWN, 10.0), draft(Kind.DOWN, 99.0)
    assert first.alert_id == second.alert_id
    again = make_detector(make_facts())
    assert {alert_for(each, WALL, 4.0, "boss").alert_id for _, each in walk(again, 3.3) if each.kind is Kind.DOWN} == {  # type: ignore[union-attr]
        first.alert_id
    }


def test_another_fact_incarnation_service_or_kind_is_another_alert() -> None:
    down = BY_KIND[Kind.DOWN]
    others = [
        down,
        replace(down, observation=down.observation + 1),
        replace(down, facts=replace(down.facts, incarnation=2)),
        replace(down, facts=replace(down.facts, service_id="b")),
        BY_KIND[Kind.MISS],
    ]
    ids = {alert.alert_id for each in others if (alert := alert_for(each, WALL, 10.0, "boss")) is not None}
    assert len(ids) == len(others)


def test_an_alert_tells_when_it_became_true_and_how_late_that_was_noticed() -> None:
    alert = draft(Kind.MISS, 2.5)
    assert alert.occurred_at == pytest.approx(WALL - 0.25)
    assert alert.details["judged_late_by_seconds"] == pytest.approx(0.25)
    assert alert.details["silent_for_seconds"] == pytest.approx(1.5)
    assert alert.last_seen_at == 1_700_000_001.0


def test_restored_tells_for_how_long_it_was_down() -> None:
    assert draft(Kind.RESTORE, 3.6).details["down_for_seconds"] == pytest.approx(0.3)
