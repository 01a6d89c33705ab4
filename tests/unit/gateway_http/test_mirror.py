"""The copy: never older than what was acknowledged, never empty because the registry restarted."""

from __future__ import annotations

import pytest

from gateway_http.mirror import DEPARTED, Mirror, Reported
from tests.unit.gateway_http.builders import a_service, at, micros


@pytest.fixture
def mirror() -> Mirror:
    """A copy with `a` and `b` at revision 10."""
    mirror = Mirror()
    mirror.begin_snapshot()
    for service_id, incarnation in (("a", 1), ("b", 2)):
        mirror.upsert(10, a_service(service_id, incarnation))
    assert not mirror.loaded
    mirror.complete(10)
    return mirror


def status(mirror: Mirror, service_id: str = "a") -> str:
    return mirror.entries[service_id].current().status


def test_nothing_is_shown_before_the_first_snapshot_is_complete() -> None:
    mirror = Mirror()
    mirror.begin_snapshot()
    mirror.upsert(1, a_service())
    assert (mirror.loaded, dict(mirror.entries)) == (False, {})


def test_the_old_copy_stays_until_the_new_one_is_complete(mirror: Mirror) -> None:
    mirror.begin_snapshot()
    mirror.upsert(20, a_service("a", 1, status="error"))
    assert set(mirror.entries) == {"a", "b"}
    assert status(mirror) == "ok"
    mirror.complete(20)
    assert set(mirror.entries) == {"a"}
    assert status(mirror) == "error"


def test_an_acknowledged_beat_is_seen_at_once_and_not_undone_by_older_news(mirror: Mirror) -> None:
    mirror.beaten("a", Reported(status="degraded", load=0.5), at(5), 12)
    assert status(mirror) == "degraded"
    mirror.upsert(12, a_service("a", 1, heard=4, status="ok", role="canary"))
    service = mirror.entries["a"].current()
    assert (service.status, service.load, service.role) == ("degraded", 0.5, "canary")
    assert service.last_heartbeat_at == at(5)


def test_news_that_contains_the_beat_wins(mirror: Mirror) -> None:
    mirror.beaten("a", Reported(status="degraded"), at(5), 12)
    mirror.upsert(13, a_service("a", 1, heard=6, status="running"))
    assert status(mirror) == "running"


def test_beats_add_up_until_then(mirror: Mirror) -> None:
    mirror.beaten("a", Reported(status="degraded", queue_depth=3), at(5), 12)
    mirror.beaten("a", Reported(status="ok", load=0.5), at(6), 13)
    mirror.upsert(13, a_service("a", 1))
    service = mirror.entries["a"].current()
    assert (service.status, service.queue_depth, service.load) == ("ok", 3, 0.5)


def test_a_beat_of_an_older_incarnation_says_nothing_about_the_next(mirror: Mirror) -> None:
    mirror.beaten("a", Reported(status="degraded"), at(5), 12)
    mirror.upsert(12, a_service("a", 7))
    assert status(mirror) == "ok"


def test_a_beat_survives_a_snapshot_that_was_taken_before_it(mirror: Mirror) -> None:
    mirror.begin_snapshot()
    mirror.upsert(11, a_service("a", 1))
    mirror.beaten("a", Reported(status="degraded"), at(5), 12)
    mirror.complete(11)
    assert status(mirror) == "degraded"


def test_who_was_heard_is_news_once(mirror: Mirror) -> None:
    assert mirror.heard([1, 99], [micros(3), micros(3)]) == ["a"]
    assert mirror.heard([1], [micros(3)]) == []
    assert mirror.entries["a"].current().last_heartbeat_at == at(3)


def test_a_reader_is_told_what_changed_since_its_revision(mirror: Mirror) -> None:
    mirror.upsert(11, a_service("c", 3))
    mirror.remove(12, "b")
    changes = mirror.since(10)
    assert ([each.service_id for each in changes.upserted], changes.removed) == (["c"], ("b",))
    assert (changes.snapshot, changes.revision) == (False, 12)
    assert mirror.since(12).upserted == ()


@pytest.mark.parametrize("revision", [None, 5, 99])
def test_a_reader_that_can_not_be_told_gets_all_there_is(mirror: Mirror, revision: int | None) -> None:
    changes = mirror.since(revision)
    assert (changes.snapshot, {each.service_id for each in changes.upserted}) == (True, {"a", "b"})


def test_a_snapshot_of_the_same_life_is_told_as_its_differences(mirror: Mirror) -> None:
    mirror.begin_snapshot()
    mirror.upsert(20, a_service("a", 1))
    mirror.upsert(20, a_service("c", 3))
    mirror.complete(20)
    changes = mirror.since(10)
    assert ([each.service_id for each in changes.upserted], changes.removed) == (["c"], ("b",))


def test_another_life_of_the_registry_starts_over(mirror: Mirror) -> None:
    mirror.beaten("a", Reported(status="degraded"), at(5), 12)
    mirror.begin_snapshot()
    mirror.upsert(3, a_service("a", 1))
    mirror.complete(3)
    assert (mirror.life, status(mirror), set(mirror.entries)) == (1, "ok", {"a"})
    assert mirror.since(2).snapshot


def test_who_left_is_remembered_for_a_while(mirror: Mirror) -> None:
    mirror.remove(11, "b")
    assert mirror.last_seen("b") is not None
    for number in range(DEPARTED):
        mirror.upsert(12 + 2 * number, a_service("x", 100 + number))
        mirror.remove(13 + 2 * number, "x")
    assert mirror.last_seen("b") is None
    assert mirror.since(10).snapshot, "the removal of b is forgotten, so the gap must be said"


def test_an_acknowledged_registration_and_removal_need_no_watch(mirror: Mirror) -> None:
    mirror.registered(a_service("new", 9))
    assert "new" in mirror.entries
    mirror.deregistered("new", 8)
    assert "new" in mirror.entries, "another incarnation was removed"
    mirror.deregistered("new", 9)
    assert "new" not in mirror.entries
