"""`alert_undelivered` is said of CRITICAL alerts of which nobody at all was notified, and of no other."""

from __future__ import annotations

from grid_model.declaration import Declaration

from tests.support.core_pair import PATIENT, CorePair, grown


def undelivered(pair: CorePair, seconds: float) -> list[tuple[str, str]]:
    """What is said to be undelivered while time passes, with sinks that take all."""
    found: list[tuple[str, str]] = []
    for _ in range(round(seconds / 0.1)):
        pair.step()
        pair.acknowledge("operators")
        found += [(each.type, each.service_id) for each in pair.judge.undelivered()]
    return found


def test_a_service_without_a_parent_is_told_to_the_operators() -> None:
    pair = grown(CorePair(), {"alone": ""})
    pair.kill("alone")
    assert undelivered(pair, 60.0) == []


def test_a_parent_that_has_a_stream_is_notified() -> None:
    pair = grown(CorePair(), {"boss": "", "worker": "boss"})
    pair.kill("worker")
    assert undelivered(pair, 60.0) == []


def test_where_parent_and_child_die_the_operators_are_notified() -> None:
    pair = grown(CorePair(), {"boss": "", "worker": "boss"})
    pair.kill("worker")
    pair.run(1.0)
    pair.kill("boss")
    assert undelivered(pair, 60.0) == []


def test_an_unknown_parent_is_passed_over_for_the_operators() -> None:
    pair = grown(CorePair(), {"worker": "nobody"})
    pair.kill("worker")
    assert undelivered(pair, 60.0) == []


def unary(pair: CorePair, service_id: str) -> None:
    """A service that registers by a call, so that it has no stream over which it could be notified."""
    spec = Declaration(service_id, service_id, heartbeat_interval=3600.0, ttl=7200.0)
    pair.registry.register(spec, 0, "", None, pair.instant())


def test_a_parent_without_a_stream_is_not_notified_until_the_alert_escalates() -> None:
    pair = CorePair()
    unary(pair, "boss")
    grown(pair, {"worker": "boss"})
    pair.kill("worker")
    assert undelivered(pair, 60.0) == [("service_down", "worker")], "once, and no warnings"


def test_operators_whose_sinks_take_nothing_are_not_notified() -> None:
    pair = grown(CorePair(), {"alone": ""})
    pair.kill("alone")
    pair.run(2.5)
    assert pair.about("operators") == ["alone"]
    assert not pair.judge.undelivered()
    pair.run(5.0)
    assert [each.service_id for each in pair.judge.undelivered()] == ["alone"]
    assert not pair.judge.undelivered()


def test_who_is_listed_in_the_alert_of_another_is_told_of_by_that() -> None:
    pair = grown(CorePair(PATIENT), {"top": "", "boss": "top", "a": "boss", "b": "boss"})
    pair.kill("a", "b", "boss")
    assert undelivered(pair, 60.0) == []
