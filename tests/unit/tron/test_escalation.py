"""Which copies of alerts are looked at, and when."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.event import OPERATORS, Severity
from grid_model.observation import Delivery

from tests.unit.tron.test_alert_book import draft
from tron.alert_book import escalated_copy
from tron.escalation import ASK_AGAIN, Escalations, Step, escalates, next_step
from tron.facts import Kind

DOWN = draft(Kind.DOWN)


def delivery(alert_id: str = "x", recipient: str = "boss", since: float = 5.0, *, escalated: bool = False) -> Delivery:
    """A copy of a death's alert that waits."""
    return Delivery(replace(DOWN, alert_id=alert_id, recipient=recipient), since, escalated)


def due(escalations: Escalations, now: float) -> list[tuple[str, str]]:
    """What is to be looked at."""
    return [(each.event.alert_id, each.event.recipient) for each in escalations.due(now)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Kind.MISS, False),
        (Kind.SUSPECT, False),
        (Kind.DOWN, True),
        (Kind.DEREGISTER, True),
        (Kind.RESTORE, False),
    ],
)
def test_what_somebody_must_act_upon_escalates(kind: Kind, expected: bool) -> None:
    assert escalates(Delivery(draft(kind), 0.0)) is expected


def test_what_is_settled_or_is_with_operators_escalates_no_further() -> None:
    assert not escalates(delivery(escalated=True))
    assert not escalates(delivery(recipient=OPERATORS))
    assert not escalates(delivery(recipient=""))


def test_what_only_its_recipient_can_act_upon_stays() -> None:
    orphan = replace(DOWN, type="parent_down", severity=Severity.CRITICAL)
    assert not escalates(Delivery(orphan, 0.0))


def test_a_copy_is_looked_at_as_soon_as_it_waits_and_again_when_that_is_wanted() -> None:
    escalations = Escalations()
    escalations.put(delivery())
    assert due(escalations, 4.9) == []
    assert due(escalations, 5.0) == [("x", "boss")]
    assert due(escalations, 100.0) == []
    escalations.look_again(delivery(), 35.0)
    assert due(escalations, 34.9) == []
    assert due(escalations, 35.0) == [("x", "boss")]


def test_a_copy_that_waits_no_more_is_not_looked_at() -> None:
    escalations = Escalations()
    escalations.put(delivery())
    escalations.put(delivery(recipient="other"))
    escalations.end("x", "boss")
    escalations.end("x", "boss")
    assert due(escalations, 100.0) == [("x", "other")]
    assert len(escalations) == 1


def test_a_copy_that_was_settled_meanwhile_is_not_looked_at() -> None:
    escalations = Escalations()
    escalations.put(delivery())
    escalations.put(delivery(escalated=True))
    assert due(escalations, 100.0) == []
    assert len(escalations) == 1


def test_what_happens_to_a_recipient_brings_its_mail_forward_each_copy_once() -> None:
    escalations = Escalations()
    for alert_id in ("x", "y"):
        escalations.put(delivery(alert_id))
        escalations.look_again(delivery(alert_id), 35.0)
    escalations.put(delivery("z", "other"))
    escalations.due(10.0)
    escalations.look_at("boss")
    escalations.look_at("boss")
    escalations.look_at("nobody")
    assert sorted(due(escalations, 11.0)) == [("x", "boss"), ("y", "boss")]


def test_what_waits_is_found_by_recipient_and_by_whom_it_tells_of() -> None:
    escalations = Escalations()
    escalations.put(delivery())
    escalations.put(delivery("y", "other"))
    assert [each.event.alert_id for each in escalations.waiting_for("boss")] == ["x"]
    assert escalations.waiting_for("nobody") == []
    assert len(escalations.about("a")) == 2
    assert escalations.about("b") == []


def test_the_copy_for_the_next_is_the_same_alert_and_tells_the_way() -> None:
    second = escalated_copy(escalated_copy(DOWN, "grandpa", "boss is down"), OPERATORS, "grandpa is down", is_back=True)
    assert (second.alert_id, second.recipient) == (DOWN.alert_id, OPERATORS)
    assert second.details["escalated_from"] == ["boss", "grandpa"]
    assert second.details["escalated_because"] == "grandpa is down"
    assert second.details["is_back"]
    assert "escalated_from" not in DOWN.details


def test_a_delivery_escalates_when_its_time_is_up_or_its_recipient_is_lost_and_never_while_it_is_held() -> None:
    waiting = delivery(since=5.0)
    late, lost = "the recipient did not acknowledge the alert within 30 s", "boss is down"
    assert next_step(waiting, 10.0, after=30.0, lost="", hold=None) == Step(35.0)
    assert next_step(waiting, 35.0, after=30.0, lost="", hold=None) == Step(35.0 + ASK_AGAIN, late)
    assert next_step(waiting, 10.0, after=30.0, lost=lost, hold=None) == Step(10.0 + ASK_AGAIN, lost)
    assert next_step(waiting, 99.0, after=30.0, lost=lost, hold=1.0) == Step(100.0)
