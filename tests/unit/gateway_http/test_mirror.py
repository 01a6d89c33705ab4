"""The copy: never older than what was acknowledged, never empty because the registry restarted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway_http.replica.entry import Reported
from gateway_http.replica.mirror import MOST_REMOVED, Mirror
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


def beat(mirror: Mirror, reported: Reported, heard_at: datetime, revision: int) -> None:
    """A beat of `a`, acknowledged."""
    mirror.beaten(mirror.entries["a"].current(), reported, heard_at, revision)


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
    beat(mirror, Reported(status="degraded", load=0.5), at(5), 12)
    assert status(mirror) == "degraded"
    mirror.upsert(12, a_service("a", 1, heard=4, status="ok", role="canary"))
    service = mirror.entries["a"].current()
    assert (service.status, service.load, service.role) == ("degraded", 0.5, "canary")
    assert service.last_heartbeat_at == at(5)


def test_news_that_contains_the_beat_wins(mirror: Mirror) -> None:
    beat(mirror, Reported(status="degraded"), at(5), 12)
    mirror.upsert(13, a_service("a", 1, heard=6, status="running"))
    assert status(mirror) == "running"


def test_the_figures_of_the_newest_beat_replace_all_before_and_its_message_need_not(mirror: Mirror) -> None:
    beat(mirror, Reported(status="degraded", queue_depth=3, message="half way"), at(5), 12)
    beat(mirror, Reported(status="ok", load=0.5), at(6), 13)
    for revision in (13, None):
        if revision is not None:
            mirror.upsert(revision, a_service("a", 1, p95_ms=9.0))
        service = mirror.entries["a"].current()
        assert (service.status, service.message) == ("ok", "half way")
        assert (service.p95_ms, service.queue_depth, service.load) == (None, None, 0.5)


def test_a_beat_of_an_older_incarnation_says_nothing_about_the_next(mirror: Mirror) -> None:
    beat(mirror, Reported(status="degraded"), at(5), 12)
    mirror.upsert(12, a_service("a", 7))
    assert status(mirror) == "ok"


def test_a_beat_survives_a_snapshot_that_was_taken_before_it(mirror: Mirror) -> None:
    mirror.begin_snapshot()
    mirror.upsert(11, a_service("a", 1))
    beat(mirror, Reported(status="degraded"), at(5), 12)
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
    beat(mirror, Reported(status="degraded"), at(5), 12)
    mirror.begin_snapshot()
    mirror.upsert(3, a_service("a", 1))
    mirror.complete(3)
    assert (mirror.epoch, status(mirror), set(mirror.entries)) == (1, "ok", {"a"})
    assert mirror.since(2).snapshot


def test_who_left_is_remembered_for_a_while(mirror: Mirror) -> None:
    mirror.remove(11, "b")
    assert mirror.last_seen("b") is not None
    for number in range(MOST_REMOVED):
        mirror.upsert(12 + 2 * number, a_service("x", 100 + number))
        mirror.remove(13 + 2 * number, "x")
    assert mirror.last_seen("b") is None
    assert mirror.since(10).snapshot, "the removal of b is forgotten, so the gap must be said"


def test_an_acknowledged_registration_is_seen_at_once_and_not_undone_by_older_news(mirror: Mirror) -> None:
    mirror.registered(a_service("a", 9, role="canary"), 15)
    mirror.upsert(12, a_service("a", 1, liveness="DOWN"))
    mirror.remove(13, "a")
    assert mirror.entries["a"].current().incarnation == 9
    mirror.upsert(15, a_service("a", 9, role="canary"))
    mirror.upsert(16, a_service("a", 9, role="staging"))
    assert mirror.entries["a"].current().role == "staging"
    mirror.remove(17, "a")
    assert "a" not in mirror.entries


def test_a_registration_that_is_over_before_its_answer_comes_is_no_news(mirror: Mirror) -> None:
    mirror.upsert(15, a_service("a", 9))
    mirror.remove(16, "a")
    mirror.registered(a_service("a", 9), 15)
    assert "a" not in mirror.entries
    mirror.upsert(17, a_service("a", 10))
    mirror.registered(a_service("a", 9), 15)
    assert mirror.entries["a"].current().incarnation == 10


def test_an_acknowledged_removal_is_seen_at_once_and_not_undone_by_older_news(mirror: Mirror) -> None:
    mirror.deregistered("a", 15)
    assert "a" not in mirror.entries
    mirror.upsert(14, a_service("a", 1))
    assert "a" not in mirror.entries
    mirror.deregistered("never seen here", 16)
    mirror.upsert(15, a_service("never seen here", 3))
    assert "never seen here" not in mirror.entries
    mirror.remove(16, "never seen here")
    mirror.upsert(17, a_service("never seen here", 4))
    mirror.upsert(18, a_service("a", 5))
    assert {"a", "never seen here"} <= set(mirror.entries)
    mirror.deregistered("a", 15)
    assert "a" in mirror.entries, "it came back since"


def test_what_was_acknowledged_survives_a_snapshot_that_was_taken_before_it(mirror: Mirror) -> None:
    mirror.begin_snapshot()
    for each in (a_service("a", 1), a_service("b", 2)):
        mirror.upsert(12, each)
    mirror.registered(a_service("new", 9), 13)
    mirror.deregistered("b", 14)
    mirror.complete(12)
    assert set(mirror.entries) == {"a", "new"}
    mirror.begin_snapshot()
    mirror.upsert(20, a_service("b", 10))
    mirror.complete(20)
    assert set(mirror.entries) == {"b"}, "a snapshot that was taken after it knows better"


def test_an_acknowledged_promotion_is_seen_at_once_and_not_undone_by_older_news(mirror: Mirror) -> None:
    assert mirror.promoted("a", "production", "canary", 15) == ["a"]
    mirror.upsert(12, a_service("a", 1))
    mirror.upsert(13, a_service("b", 2))
    mirror.upsert(14, a_service("c", 3, name="a"))
    roles = {each: entry.current().role for each, entry in mirror.entries.items()}
    assert roles == {"a": "canary", "b": "production", "c": "canary"}
    mirror.upsert(15, a_service("a", 1, role="canary"))
    mirror.upsert(16, a_service("c", 3, name="a"))
    assert mirror.entries["c"].current().role == "production", "declared so since"


def test_whoever_was_heard_after_it_was_judged_down_is_not_down(mirror: Mirror) -> None:
    """On the legacy ports; in /v1 the judgement stays until TRON says otherwise."""
    mirror.upsert(11, a_service("a", 1, liveness="DOWN", liveness_since=at(4)))
    assert mirror.entries["a"].as_heard().liveness == "DOWN"
    beat(mirror, Reported(status="ok"), at(5), 12)
    entry = mirror.entries["a"]
    assert (entry.as_heard().liveness, entry.current().liveness) == ("UNKNOWN", "DOWN")
    assert entry.as_heard() is entry.as_heard(), "so that its row is made once"
    mirror.upsert(13, a_service("a", 1, liveness="DOWN", liveness_since=at(4), load=1.0))
    assert mirror.entries["a"].as_heard().liveness == "UNKNOWN", "the same judgement, told again"
    mirror.upsert(14, a_service("a", 1, liveness="DOWN", liveness_since=at(90)))
    assert mirror.entries["a"].as_heard().liveness == "DOWN"


def test_a_judgement_that_the_watch_tells_after_the_beat_that_overtook_it_is_overtaken(mirror: Mirror) -> None:
    beat(mirror, Reported(status="ok"), at(5), 12)
    mirror.upsert(11, a_service("a", 1, liveness="DOWN", liveness_since=at(4)))
    assert mirror.entries["a"].as_heard().liveness == "UNKNOWN"


@pytest.mark.parametrize("watch_first", [True, False])
def test_a_judgement_of_the_life_before_is_overtaken_by_a_registration(mirror: Mirror, watch_first: bool) -> None:
    again = a_service("a", 9, liveness="DOWN", liveness_since=at(4))
    if watch_first:
        mirror.upsert(15, again)
    mirror.registered(again, 15)
    mirror.upsert(15, again)
    assert mirror.entries["a"].as_heard().liveness == "UNKNOWN"
    mirror.upsert(16, a_service("a", 9, liveness="DOWN", liveness_since=at(99)))
    assert mirror.entries["a"].as_heard().liveness == "DOWN"


def test_each_consumer_learns_what_changed_after_the_version_it_has_seen() -> None:
    mirror = Mirror()
    mirror.begin_snapshot()
    for number, service_id in enumerate("abc", 1):
        mirror.upsert(number, a_service(service_id, number))
    mirror.complete(3)
    versions = [mirror.version]
    assert sorted(mirror.changed_after(0)) == ["a", "b", "c"]
    assert mirror.changed_after(mirror.version) == []
    mirror.heard([1], [micros(5)])
    versions.append(mirror.version)
    mirror.upsert(4, a_service("b", 2, status="paused"))
    mirror.remove(5, "c")
    assert [sorted(mirror.changed_after(version)) for version in versions] == [["a", "b"], ["b"]]
    mirror.upsert(6, a_service("b", 2))
    assert mirror.changed_after(versions[1]) == ["b"], "once, however often it changed"


def test_a_time_outside_the_calendar_is_the_end_of_the_calendar(mirror: Mirror) -> None:
    assert mirror.heard([1, 2], [2**63 - 1, -(2**63)]) == ["a"]
    assert mirror.entries["a"].current().last_heartbeat_at == datetime.max.replace(tzinfo=UTC)
