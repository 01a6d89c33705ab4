"""`alert_undelivered` is said of CRITICAL alerts of which nobody at all was notified, and of no other."""

from __future__ import annotations

from registry_server.core.service import ServiceSpec
from tests.unit.tron.court import PATIENT, Court, grown


def undelivered(court: Court, seconds: float) -> list[tuple[str, str]]:
    """What is said to be undelivered while time passes, with sinks that take all."""
    found: list[tuple[str, str]] = []
    for _ in range(round(seconds / 0.1)):
        court.step()
        court.acknowledge("operators")
        found += [(each.type, each.service_id) for each in court.judge.undelivered()]
    return found


def test_a_service_without_a_parent_is_told_to_the_operators() -> None:
    court = grown(Court(), {"alone": ""})
    court.kill("alone")
    assert undelivered(court, 60.0) == []


def test_a_parent_that_has_a_stream_is_notified() -> None:
    court = grown(Court(), {"boss": "", "worker": "boss"})
    court.kill("worker")
    assert undelivered(court, 60.0) == []


def test_where_parent_and_child_die_the_operators_are_notified() -> None:
    court = grown(Court(), {"boss": "", "worker": "boss"})
    court.kill("worker")
    court.run(1.0)
    court.kill("boss")
    assert undelivered(court, 60.0) == []


def test_an_unknown_parent_is_passed_over_for_the_operators() -> None:
    court = grown(Court(), {"worker": "nobody"})
    court.kill("worker")
    assert undelivered(court, 60.0) == []


def unary(court: Court, service_id: str) -> None:
    """A service that registers by a call, so that it has no stream over which it could be notified."""
    spec = ServiceSpec(service_id, service_id, heartbeat_interval=3600.0, ttl=7200.0)
    court.registry.register(spec, 0, "", None, court.instant())


def test_a_parent_without_a_stream_is_not_notified_until_the_alert_escalates() -> None:
    court = Court()
    unary(court, "boss")
    grown(court, {"worker": "boss"})
    court.kill("worker")
    assert undelivered(court, 60.0) == [("service_down", "worker")], "once, and no warnings"


def test_operators_whose_sinks_take_nothing_are_not_notified() -> None:
    court = grown(Court(), {"alone": ""})
    court.kill("alone")
    court.run(2.5)
    assert court.about("operators") == ["alone"]
    assert not court.judge.undelivered()
    court.run(5.0)
    assert [each.service_id for each in court.judge.undelivered()] == ["alone"]
    assert not court.judge.undelivered()


def test_who_is_listed_in_the_alert_of_another_is_told_of_by_that() -> None:
    court = grown(Court(PATIENT), {"top": "", "boss": "top", "a": "boss", "b": "boss"})
    court.kill("a", "b", "boss")
    assert undelivered(court, 60.0) == []
