"""One stream of facts: what is sent when, in calls of which size, and what is taken back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.liveness import Liveness
from grid_model.observation import Facts, Frame
from grid_model.verdict import VerdictOutcome

from registry_server.core.observers import MOST_UNJUDGED
from tests.unit.tron.builders import POLICY, make_facts
from tron.judge import Judge
from tron.policy import Policies
from tron.session import REPORT_EVERY, Session


@pytest.fixture
def session() -> Session:
    """A stream that has just begun."""
    return Session(Judge(Policies(POLICY, {}), "tron"))


def frame(now: float, *facts: Facts) -> Frame:
    """A frame with these facts."""
    return Frame(now=now, hearing_since=0.0, observations=facts, snapshot_complete=True)


def call_for_all(session: Session) -> list[VerdictOutcome | None]:
    """Decide, and send all of it in one call that is applied; return the outcomes."""
    for _ in session.decide(0.0):
        pass
    orders = session.take()
    outcomes: list[VerdictOutcome | None] = [VerdictOutcome.APPLIED for _ in orders.rulings]
    session.answered(orders.rulings, outcomes)
    session.all_answered()
    return outcomes


def test_nothing_is_decided_before_the_snapshot_is_complete(session: Session) -> None:
    assert not session.read(Frame(now=1.0, hearing_since=0.0))
    assert session.read(frame(1.0))


def test_all_messages_of_a_frame_are_read_before_anything_is_decided(session: Session) -> None:
    session.read(frame(1.0))
    assert not session.read(replace(frame(1.0), continues=True))
    assert session.read(frame(1.0))


def test_a_frame_with_facts_is_reported_at_once_and_a_quiet_one_once_in_a_while(
    session: Session,
) -> None:
    session.read(frame(100.0, make_facts(heard_at=100.0)))
    assert session.report_is_due
    call_for_all(session)
    assert not session.report_is_due, "this frame was reported"
    session.read(frame(100.0 + REPORT_EVERY / 2))
    assert not session.report_is_due
    session.read(frame(100.0 + REPORT_EVERY))
    assert session.report_is_due


def test_frames_that_follow_each_other_at_once_are_reported_though_no_time_passes(session: Session) -> None:
    session.read(frame(100.0, make_facts(heard_at=100.0)))
    call_for_all(session)
    due = []
    for _ in range(MOST_UNJUDGED):
        session.read(frame(100.001))
        due.append(session.report_is_due)
    assert any(due), "the registry sends no more before it hears of one of them"


def test_calls_keep_the_order_and_the_size(session: Session) -> None:
    session.judge.cascade_alert_id = "cascade"
    calls = session.calls([3, 3, 3], [3], [9, 1], [2, 2], [7], most=7)
    assert [(each.rulings, each.copies, each.preauthorized, each.deadlines) for each in calls] == [
        (slice(0, 2), slice(0, 0), slice(0, 0), slice(0, 0)),
        (slice(2, 3), slice(0, 1), slice(0, 0), slice(0, 0)),
        (slice(3, 3), slice(1, 1), slice(0, 1), slice(0, 0)),
        (slice(3, 3), slice(1, 1), slice(1, 2), slice(0, 2)),
    ]
    assert [list(each.withdrawn) for each in calls] == [[7], [], [], []]
    assert [each.cascade_alert_id for each in calls] == ["", "", "", "cascade"]


def test_a_call_without_orders_is_one_call(session: Session) -> None:
    (call,) = session.calls([], [], [], [], [], most=7)
    assert {call.rulings.stop, call.copies.stop, call.preauthorized.stop, call.deadlines.stop} == {0}


def test_what_the_registry_refuses_is_taken_back_and_nothing_else(session: Session) -> None:
    both = [make_facts(each, incarnation=n, heard_at=100.0) for n, each in enumerate(("a", "b"), 1)]
    session.read(frame(100.0, *both))
    call_for_all(session)
    gone = [replace(each, connected=False, detached_at=101.0, observation=each.observation + 1) for each in both]
    session.read(frame(101.0, *gone))
    for _ in session.decide(0.0):
        pass
    orders = session.take()
    assert [each.transition.service_id for each in orders.rulings] == ["a", "b"]
    session.answered(orders.rulings, [VerdictOutcome.STALE, VerdictOutcome.APPLIED])
    session.all_answered()
    detector = session.judge.detector
    judged = {each: lease.liveness for each in "ab" if (lease := detector.find(each)) is not None}
    assert judged == {"a": Liveness.ALIVE, "b": Liveness.SUSPECT}
