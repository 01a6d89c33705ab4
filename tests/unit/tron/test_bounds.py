"""What is said stays within what the registry takes, and what is remembered within what lives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from registry_server.core.validation import check_event
from tests.unit.tron.builders import make_detector, make_facts
from tests.unit.tron.test_alert_book import draft
from tron.alert_book import cascade_alert, escalated_copy, with_subtree
from tron.facts import Kind
from tron.guard import Cascade


@pytest.mark.parametrize("letter", ["a", "ж", "漢", "🤖"])
def test_a_list_of_any_letters_is_taken_by_the_registry(letter: str) -> None:
    services = [f"{letter * 40}{n}" for n in range(2000)]
    alert = with_subtree(draft(Kind.DOWN), services, 7)
    check_event(alert)
    check_event(cascade_alert(Cascade(tuple(services), 3000, 1.0), "tron", 1.7e9, 2.0))
    assert alert.details["affected_count"] == 2000
    assert 10 < len(alert.details["affected"]) < 2000


def test_an_alert_that_escalated_all_the_way_up_a_deep_tree_is_taken_by_the_registry() -> None:
    alert = with_subtree(draft(Kind.DOWN), [f"service {n}" for n in range(2000)], 0)
    for n in range(500):
        alert = escalated_copy(alert, "漢" * 300 + str(n), "not acknowledged within 30 s")
    check_event(alert)
    assert alert.details["escalated_from"][-1] == "漢" * 300 + "498"


def test_deadlines_do_not_pile_up_while_facts_come_faster_than_they_are_due() -> None:
    detector = make_detector(*(make_facts(f"s{n}", incarnation=n + 1) for n in range(10)))
    patient = make_facts(interval=86_400.0, incarnation=99)
    for n in range(20_000):
        detector.observe(replace(patient, observation=n + 20))
        if n % 2:
            detector.observe(replace(patient, observation=n + 20, incarnation=100 + n))
    assert len(detector._deadlines) < 1100  # noqa: SLF001
    assert [each.service_id for each in detector.advance(2.3, 0.0)] == [f"s{n}" for n in range(10)]
