"""Alerts to somebody who is not registered escalate, and end if they do not return in time."""

from __future__ import annotations

from grid_model.event import OPERATORS, Event, Severity

from registry_server.core.absent_recipients import KEEP_ALERTS
from registry_server.core.effects import WithdrawCopy
from tests.unit.tron.court import Court, grown


def family() -> Court:
    """A parent and its child."""
    return grown(Court(), {"root": "", "pa": "root", "kid": "pa"})


def test_a_parent_that_returns_in_time_is_told_of_the_death() -> None:
    court = family()
    court.leave("pa")
    court.kill("kid")
    court.run(KEEP_ALERTS - 10.0)
    assert court.about("root") == ["kid"], "it escalated at once"
    assert court.about("pa") == ["kid"], "and waits for the parent all the same"
    court.join("pa", "root")
    court.run(60.0)
    assert court.about("pa") == ["kid"]


def test_for_a_parent_that_stays_away_nothing_waits_for_ever() -> None:
    court = family()
    court.leave("pa")
    court.kill("kid")
    court.run(KEEP_ALERTS + 5.0)
    assert court.mail("pa") == []
    assert court.about("root") == ["kid"]


def test_for_a_parent_that_was_deregistered_nothing_waits_and_the_operators_are_told() -> None:
    court = grown(Court(), {"pa": "", "kid": "pa"})
    court.kill("kid")
    court.run(2.5)
    assert court.about("pa") == ["kid"]
    court.beating.discard("pa")
    court.registry.deregister("pa", "", court.instant())
    court.run(3.0)
    assert court.mail("pa") == []
    assert court.about(OPERATORS) == ["kid"]


def test_what_comes_later_for_a_deregistered_parent_escalates_and_ends_at_once() -> None:
    court = grown(Court(), {"pa": "", "kid": "pa"})
    court.beating.discard("pa")
    court.registry.deregister("pa", "", court.instant())
    court.kill("kid")
    court.run(5.0)
    assert court.mail("pa") == []
    assert court.about(OPERATORS) == ["kid"]


def test_a_deregistered_parent_that_registers_again_is_told_as_before() -> None:
    court = grown(Court(), {"pa": "", "kid": "pa"})
    court.registry.deregister("pa", "", court.instant())
    court.join("pa")
    court.kill("kid")
    court.run(5.0)
    assert court.about("pa") == ["kid"]


def test_a_critical_alert_does_not_end_before_it_escalated() -> None:
    court = family()
    court.leave("pa")
    event = Event("process_exited", alert_id="x", severity=Severity.CRITICAL, recipient="pa")
    court.registry.publish(event, court.instant())
    for _ in range(round(KEEP_ALERTS * 10) + 50):  # without TRON
        court.now += 0.1
        court.registry.tick(court.instant())
    assert [each.alert_id for each in court.mail("pa")] == ["x"]
    court.run(3.0)
    assert [each.alert_id for each in court.mail("root")] == ["x"]
    assert court.mail("pa") == []


def test_an_alert_to_a_name_that_nobody_ever_had_ends_too() -> None:
    court = family()
    court.registry.publish(Event("note", alert_id="x", recipient="nobody"), court.instant())
    court.run(KEEP_ALERTS - 1.0)
    assert len(court.mail("nobody")) == 1
    court.registry.take()
    court.now += 2.0
    court.registry.tick(court.instant())
    assert court.mail("nobody") == []
    writes = [write for write in court.registry.take().writes if type(write) is WithdrawCopy]
    assert [(each.alert_id, each.recipient, each.absent) for each in writes] == [("x", "nobody", True)]


def test_each_copy_has_its_own_time() -> None:
    court = family()
    court.registry.publish(Event("note", alert_id="first", recipient="nobody"), court.instant())
    court.now += 100.0
    court.registry.publish(Event("note", alert_id="second", recipient="nobody"), court.instant())
    court.now += KEEP_ALERTS - 50.0
    court.registry.tick(court.instant())
    assert [each.alert_id for each in court.mail("nobody")] == ["second"]
    court.now += 51.0
    court.registry.tick(court.instant())
    assert court.mail("nobody") == []
