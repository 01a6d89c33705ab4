"""A reader sees each revision once and in order, or the newest of each service, or learns of the gap."""

from __future__ import annotations

import pytest
from grid_model.errors import RevisionCompacted
from grid_model.liveness import Liveness, LivenessCause
from hypothesis import given, settings
from hypothesis import strategies as st

from registry_server.core.changes import Change, ChangeLog
from registry_server.core.service import Report, Service
from tests.unit.registry_server.builders import make_spec


def service(service_id: str, incarnation: int = 1) -> Service:
    """A state that differs by its incarnation."""
    return Service(
        make_spec(service_id), incarnation, 0.0, 0.0, True, Report(), Liveness.ALIVE, LivenessCause.NONE, 0.0
    )


def revisions(changes: list[Change]) -> list[int]:
    """In the order in which they are sent."""
    return [change.revision for change in changes]


def test_a_reader_that_keeps_up_sees_each_revision_once_and_in_order() -> None:
    log = ChangeLog()
    seen: list[int] = []
    for n in range(20):
        log.upsert("ab"[n % 2], service("ab"[n % 2], n))
        if n % 3 == 0:
            seen += revisions(log.since(seen[-1] if seen else 0))
    seen += revisions(log.since(seen[-1]))
    assert seen == list(range(1, 21))


def test_a_reader_that_lags_gets_the_newest_state_of_each_service_in_order() -> None:
    log = ChangeLog(recent=3)
    for n in range(1, 10):
        log.upsert("a", service("a", n))
    log.upsert("b", service("b"))
    log.remove("c")
    log.upsert("a", service("a", 99))
    log.upsert("d", service("d"))
    assert [(change.service_id, change.revision) for change in log.since(1)] == [
        ("b", 10),
        ("c", 11),
        ("a", 12),
        ("d", 13),
    ]
    assert log.since(1)[1].service is None


def test_a_reader_that_lags_is_not_told_again_what_it_has_seen() -> None:
    log = ChangeLog(recent=1)
    for service_id in "abcd":
        log.upsert(service_id, service(service_id))
    assert [change.service_id for change in log.since(2)] == ["c", "d"]


def test_a_reader_that_is_up_to_date_is_told_nothing() -> None:
    log = ChangeLog(revision=7)
    assert log.since(7) == []
    log.upsert("a", service("a"))
    assert log.since(8) == []


def test_a_forgotten_removal_is_a_gap_that_is_said() -> None:
    log = ChangeLog(recent=2, tombstones=2)
    for service_id in "abc":
        log.upsert(service_id, service(service_id))
    for service_id in "abc":
        log.remove(service_id)
    assert log.compacted == 4
    with pytest.raises(RevisionCompacted):
        log.since(3)
    assert [change.service_id for change in log.since(4)] == ["b", "c"]


def test_a_revision_of_the_future_is_from_another_life() -> None:
    log = ChangeLog(revision=10)
    with pytest.raises(RevisionCompacted):
        log.since(11)


def test_removals_from_before_the_start_are_told_after_it() -> None:
    log = ChangeLog(revision=100)
    log.restore_removed("gone", 40)
    log.upsert("a", service("a"))
    assert [(change.revision, change.service_id) for change in log.since(39)] == [(40, "gone"), (101, "a")]
    assert [change.service_id for change in log.since(40)] == ["a"]


def test_more_removals_from_before_the_start_than_are_kept_are_a_gap() -> None:
    log = ChangeLog(revision=100, tombstones=2)
    for revision, service_id in ((10, "a"), (20, "b"), (30, "c")):
        log.restore_removed(service_id, revision)
    with pytest.raises(RevisionCompacted):
        log.since(9)
    assert [change.service_id for change in log.since(10)] == ["b", "c"]


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["put", "put", "remove", "read"])), max_size=80
    ),
    recent=st.integers(1, 10),
    tombstones=st.integers(1, 6),
)
def test_a_reader_that_resumes_anywhere_ends_with_the_state_of_the_log(
    steps: list[tuple[str, str]], recent: int, tombstones: int
) -> None:
    log = ChangeLog(recent=recent, tombstones=tombstones)
    truth: dict[str, Service] = {}
    copy: dict[str, Service] = {}
    cursor = 0

    def resume() -> None:
        nonlocal cursor
        try:
            changes = log.since(cursor)
        except RevisionCompacted:
            copy.clear()
            copy.update(truth)  # a snapshot
            cursor = log.revision
            return
        assert revisions(changes) == sorted({*revisions(changes)})
        for change in changes:
            assert change.revision > cursor
            cursor = change.revision
            if change.service is None:
                copy.pop(change.service_id, None)
            else:
                copy[change.service_id] = change.service
        assert cursor == log.revision

    for n, (service_id, act) in enumerate(steps):
        if act == "put":
            truth[service_id] = service(service_id, n)
            log.upsert(service_id, truth[service_id])
        elif act == "remove" and service_id in truth:
            del truth[service_id]
            log.remove(service_id)
        elif act == "read":
            resume()
            assert copy == truth
    resume()
    assert copy == truth
