"""Which alerts are firing at an Alertmanager, and what ends them."""

from __future__ import annotations

from grid_model.event import Severity

from grid_hosting.sinks.firing import FiringAlert, FiringAlerts
from tests.support.notices import make_notice


def ids(firing: list[FiringAlert]) -> list[str]:
    """Their alert ids."""
    return [each.notice.alert_id for each in firing]


def test_a_resolved_notice_ends_all_that_stand_of_its_service_and_nothing_else() -> None:
    alerts = FiringAlerts(10)
    alerts.record(make_notice("a", type="service_suspect", severity=Severity.WARNING), 1.0)
    alerts.record(make_notice("b", type="service_down"), 2.0)
    alerts.record(make_notice("c", service_id="other"), 3.0)
    alerts.record(make_notice("d", service_id="", type="cascading_failure"), 4.0)
    restored = make_notice("e", type="heartbeat_restored", severity=Severity.INFO, resolved=True)
    assert ids(alerts.ended_by(restored)) == ["a", "b"]


def test_a_resolved_notice_about_no_service_ends_those_of_its_type() -> None:
    alerts = FiringAlerts(10)
    alerts.record(make_notice("a", service_id="", type="cascading_failure"), 1.0)
    alerts.record(make_notice("b", service_id="", type="registry_lost"), 1.0)
    alerts.record(make_notice("c", service_id="x", type="cascading_failure"), 1.0)
    assert ids(alerts.ended_by(make_notice("z", service_id="", type="cascading_failure", resolved=True))) == ["a"]


def test_the_same_alert_told_again_stands_once_with_its_newest_words() -> None:
    alerts = FiringAlerts(10)
    first, _ = alerts.record(make_notice("a"), 1.0)
    again, gone = alerts.record(make_notice("b"), 2.0)
    assert gone == [first]
    assert alerts.all() == [again]
    assert again.number > first.number


def test_beyond_the_bound_the_one_told_longest_ago_is_forgotten() -> None:
    alerts = FiringAlerts(2)
    for alert_id in ("a", "b", "c"):
        _, gone = alerts.record(make_notice(alert_id, service_id=alert_id), 1.0)
    assert ids(gone) == ["a"]
    assert ids(alerts.all()) == ["b", "c"]


def test_what_was_told_long_ago_is_found_and_ends() -> None:
    alerts = FiringAlerts(10)
    old, _ = alerts.record(make_notice("a", service_id="a"), 1.0)
    alerts.record(make_notice("b", service_id="b"), 5.0)
    assert alerts.sent_before(5.0) == [old]
    alerts.end(old)
    assert len(alerts) == 1


def test_numbers_go_on_above_those_that_were_restored() -> None:
    alerts = FiringAlerts(10)
    restored, _ = alerts.record(make_notice("a", service_id="a"), 1.0, number=41)
    fresh, _ = alerts.record(make_notice("b", service_id="b"), 1.0)
    assert (restored.number, fresh.number) == (41, 42)
