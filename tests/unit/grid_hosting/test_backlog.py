"""The queue of one sink: its order, its bound, and who is dropped."""

from __future__ import annotations

import pytest
from grid_model.event import Severity
from hypothesis import given
from hypothesis import strategies as st

from grid_hosting.sinks.backlog import Backlog, Entry
from tests.support.notices import make_notice

INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL


def waiting(backlog: Backlog) -> list[str]:
    """Take everything, and return the alert ids in the order in which they came."""
    ids = []
    while (entry := backlog.take()) is not None:
        ids.append(entry.notice.alert_id)
        backlog.remove(entry)
    return ids


def fill(backlog: Backlog, *notices: tuple[str, Severity]) -> list[str]:
    """Put all; return the alert ids of what was dropped, in order."""
    dropped = [backlog.put(make_notice(alert_id, severity=severity), 0.0)[1] for alert_id, severity in notices]
    return [entry.notice.alert_id for entry in dropped if entry is not None]


def test_notices_leave_in_the_order_in_which_they_came_whatever_their_severity() -> None:
    backlog = Backlog(10)
    fill(backlog, ("a", INFO), ("b", CRITICAL), ("c", WARNING), ("d", CRITICAL))
    assert waiting(backlog) == ["a", "b", "c", "d"]
    assert backlog.take() is None


def test_a_notice_that_waits_is_not_queued_twice_and_may_come_again_once_it_is_gone() -> None:
    backlog = Backlog(10)
    notice = make_notice()
    assert backlog.put(notice, 0.0)[0] is not None
    assert backlog.put(make_notice(message="said otherwise"), 0.0) == (None, None)
    assert backlog.put(make_notice(recipient="somebody else"), 0.0)[0] is not None
    assert waiting(backlog) == ["alert-1", "alert-1"]
    assert backlog.put(notice, 0.0)[0] is not None


def test_the_oldest_of_the_lowest_severity_is_dropped_first() -> None:
    backlog = Backlog(4)
    assert fill(backlog, ("a", CRITICAL), ("b", WARNING), ("c", INFO), ("d", INFO)) == []
    assert fill(backlog, ("e", WARNING), ("f", CRITICAL), ("g", CRITICAL)) == ["c", "d", "b"]
    assert waiting(backlog) == ["a", "e", "f", "g"]


def test_a_new_notice_of_the_lowest_severity_is_itself_what_is_dropped() -> None:
    backlog = Backlog(2)
    fill(backlog, ("a", CRITICAL), ("b", WARNING))
    assert fill(backlog, ("c", INFO)) == ["c"]
    assert waiting(backlog) == ["a", "b"]


def test_of_equals_the_newest_are_kept() -> None:
    backlog = Backlog(2)
    assert fill(backlog, ("a", CRITICAL), ("b", CRITICAL), ("c", CRITICAL)) == ["a"]
    assert waiting(backlog) == ["b", "c"]


def test_what_is_in_hand_is_not_dropped() -> None:
    backlog = Backlog(1)
    fill(backlog, ("a", INFO))
    assert backlog.take() is not None
    assert fill(backlog, ("b", CRITICAL), ("c", CRITICAL)) == ["b", "c"]
    assert waiting(backlog) == ["a"]


def test_what_is_restored_keeps_its_number_and_new_ones_come_after_it() -> None:
    backlog = Backlog(2)
    backlog.restore(Entry(7, make_notice("a"), 1.0))
    entry, _ = backlog.put(make_notice("b"), 2.0)
    assert entry is not None
    assert entry.number == 8
    with pytest.raises(ValueError, match="8"):
        backlog.restore(Entry(8, make_notice("c"), 1.0))
    assert backlog.restore(Entry(9, make_notice("d"), 3.0)) == Entry(7, make_notice("a"), 1.0)


STEPS = st.one_of(st.sampled_from(Severity), st.sampled_from(["take", "remove"]))


@given(st.integers(1, 6), st.lists(STEPS, max_size=60))
def test_nothing_important_is_dropped_for_less_and_the_order_is_kept(bound: int, steps: list[Severity | str]) -> None:
    backlog, kept, left = Backlog(bound), list[Entry](), list[int]()
    in_hand: Entry | None = None
    for number, step in enumerate(steps):
        if step == "take":
            in_hand = backlog.take()
            assert in_hand == (kept[0] if kept else None)
        elif step == "remove" and in_hand is not None:
            backlog.remove(in_hand)
            kept.remove(in_hand)
            left.append(in_hand.number)
            in_hand = None
        elif isinstance(step, Severity):
            entry, dropped = backlog.put(make_notice(f"alert {number}", severity=step), 0.0)
            assert entry is not None
            kept.append(entry)
            if dropped is not None:
                kept.remove(dropped)
                assert dropped != in_hand
                assert all(dropped.notice.severity <= each.notice.severity for each in kept if each != in_hand)
                equals = [each.number for each in kept if each.notice.severity == dropped.notice.severity]
                assert all(dropped.number < other for other in equals if in_hand is None or other != in_hand.number)
        assert len(backlog) == len(kept) <= bound
    assert left == sorted(left)


def test_a_queue_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="bound"):
        Backlog(0)
