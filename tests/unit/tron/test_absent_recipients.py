"""Alerts to somebody who is not registered escalate, and end if they do not return in time."""

from __future__ import annotations

from grid_model.event import OPERATORS, Event, Severity

from registry_server.core.absent_recipients import KEEP_ALERTS
from registry_server.core.effects import WithdrawCopy
from tests.support.core_pair import CorePair, grown


def family() -> CorePair:
    """A parent and its child."""
    return grown(CorePair(), {"root": "", "pa": "root", "kid": "pa"})


def test_a_parent_that_returns_in_time_is_told_of_the_death() -> None:
    pair = family()
    pair.leave("pa")
    pair.kill("kid")
    pair.run(KEEP_ALERTS - 10.0)
    assert pair.about("root") == ["kid"], "it escalated at once"
    assert pair.about("pa") == ["kid"], "and waits for the parent all the same"
    pair.join("pa", "root")
    pair.run(60.0)
    assert pair.about("pa") == ["kid"]


def test_for_a_parent_that_stays_away_nothing_waits_for_ever() -> None:
    pair = family()
    pair.leave("pa")
    pair.kill("kid")
    pair.run(KEEP_ALERTS + 5.0)
    assert pair.mail("pa") == []
    assert pair.about("root") == ["kid"]


def test_for_a_parent_that_was_deregistered_nothing_waits_and_the_operators_are_told() -> None:
    pair = grown(CorePair(), {"pa": "", "kid": "pa"})
    pair.kill("kid")
    pair.run(2.5)
    assert pair.about("pa") == ["kid"]
    pair.beating.discard("pa")
    pair.registry.deregister("pa", "", pair.instant())
    pair.run(3.0)
    assert pair.mail("pa") == []
    assert pair.about(OPERATORS) == ["kid"]


def test_what_comes_later_for_a_deregistered_parent_escalates_and_ends_at_once() -> None:
    pair = grown(CorePair(), {"pa": "", "kid": "pa"})
    pair.beating.discard("pa")
    pair.registry.deregister("pa", "", pair.instant())
    pair.kill("kid")
    pair.run(5.0)
    assert pair.mail("pa") == []
    assert pair.about(OPERATORS) == ["kid"]


def test_a_deregistered_parent_that_registers_again_is_told_as_before() -> None:
    pair = grown(CorePair(), {"pa": "", "kid": "pa"})
    pair.registry.deregister("pa", "", pair.instant())
    pair.join("pa")
    pair.kill("kid")
    pair.run(5.0)
    assert pair.about("pa") == ["kid"]


def test_a_critical_alert_does_not_end_before_it_escalated() -> None:
    pair = family()
    pair.leave("pa")
    event = Event("process_exited", alert_id="x", severity=Severity.CRITICAL, recipient="pa")
    pair.registry.publish(event, pair.instant())
    for _ in range(round(KEEP_ALERTS * 10) + 50):  # without TRON
        pair.now += 0.1
        pair.registry.tick(pair.instant())
    assert [each.alert_id for each in pair.mail("pa")] == ["x"]
    pair.run(3.0)
    assert [each.alert_id for each in pair.mail("root")] == ["x"]
    assert pair.mail("pa") == []


def test_an_alert_to_a_name_that_nobody_ever_had_ends_too() -> None:
    pair = family()
    pair.registry.publish(Event("note", alert_id="x", recipient="nobody"), pair.instant())
    pair.run(KEEP_ALERTS - 1.0)
    assert len(pair.mail("nobody")) == 1
    pair.registry.take()
    pair.now += 2.0
    pair.registry.tick(pair.instant())
    assert pair.mail("nobody") == []
    writes = [write for write in pair.registry.take().writes if type(write) is WithdrawCopy]
    assert [(each.alert_id, each.recipient, each.absent) for each in writes] == [("x", "nobody", True)]


def test_each_copy_has_its_own_time() -> None:
    pair = family()
    pair.registry.publish(Event("note", alert_id="first", recipient="nobody"), pair.instant())
    pair.now += 100.0
    pair.registry.publish(Event("note", alert_id="second", recipient="nobody"), pair.instant())
    pair.now += KEEP_ALERTS - 50.0
    pair.registry.tick(pair.instant())
    assert [each.alert_id for each in pair.mail("nobody")] == ["second"]
    pair.now += 51.0
    pair.registry.tick(pair.instant())
    assert pair.mail("nobody") == []
