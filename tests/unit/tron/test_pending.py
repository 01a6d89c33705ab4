"""Thousands die at once: a service that dies meanwhile under another parent does not wait for all of them, and no
decision that waits outlives the facts that it was based on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts, Frame

from tests.unit.tron.builders import HELD, POLICY, make_facts
from tron.facts import Kind
from tron.judge import PART, Judge
from tron.messages import HELD_FLAPPING
from tron.orders import Orders
from tron.policy import Policies, Policy

MANY = 1000
GRACE = POLICY.reconnect_grace


def make_fleet(count: int, parent: str, first: int) -> dict[str, Facts]:
    """Children of a parent, connected and alive, by service_id."""
    ids = [f"{parent}-{number:04}" for number in range(count)]
    return {
        each: make_facts(each, parent=parent, incarnation=first + n, interval=60.0, heard_at=99.0)
        for n, each in enumerate(ids)
    }


def frame_at(now: float, *facts: Facts, **more: Any) -> Frame:
    """A frame with these facts."""
    return Frame(now=now, hearing_since=0.0, observations=tuple(facts), snapshot_complete=True, **more)


def broken(facts: Facts, at: float) -> Facts:
    """Its stream broke."""
    return replace(facts, connected=False, detached_at=at, observation=facts.observation + 1)


def suspect(facts: Facts, at: float) -> Facts:
    """The registry suspected it in TRON's name when its stream broke."""
    return replace(broken(facts, at), judged=Liveness.SUSPECT, cause=LivenessCause.DISCONNECTED, judged_at=at)


def rulings(parts: Iterable[Orders]) -> list[tuple[Kind, str]]:
    """What they rule, in order."""
    return [(each.transition.kind, each.transition.service_id) for orders in parts for each in orders.rulings]


def judge_in_which_many_are_due(
    bystanders: dict[str, Facts], policy: Policy = POLICY
) -> tuple[Judge, dict[str, Facts]]:
    """A judge that has decided, and not ruled on, most of MANY deaths under one parent; those that died."""
    many, living = make_fleet(MANY, "many", 1), make_fleet(4 * MANY, "living", 100_000)
    judge = Judge(Policies(policy, {}), "tron")
    judge.learn(frame_at(100.0, *many.values(), *living.values(), *bystanders.values()))
    list(judge.decide_in_parts(0.0, 0.0))
    died = {each.service_id: suspect(each, 110.0) for each in many.values()}
    judge.learn(frame_at(110.0, *died.values()))
    list(judge.decide_in_parts(0.0, 0.0))
    judge.learn(frame_at(110.0 + GRACE))
    ruled = rulings(judge.decide_in_parts(0.0, 0.0))
    assert ruled == [(Kind.DOWN, f"many-{number:04}") for number in range(PART)]
    return judge, died


def test_a_newer_frame_is_read_after_a_part_and_the_rest_is_ruled_on_later() -> None:
    judge, died = judge_in_which_many_are_due({})
    judge.learn(frame_at(112.5))
    ruled = rulings([judge.decide(0.0, 0.0)])
    assert ruled == [(Kind.DOWN, service_id) for service_id in islice(died, PART, None)]


def test_a_death_under_another_parent_does_not_wait_for_all() -> None:
    bystanders = make_fleet(2, "other", 50_000)
    judge, _ = judge_in_which_many_are_due(bystanders)
    judge.learn(frame_at(112.5, *(broken(each, 112.4) for each in bystanders.values())))
    ruled = rulings([judge.decide(0.0, 0.0)])
    assert len(ruled) == MANY - PART + 2
    assert {(Kind.SUSPECT, "other-0000"), (Kind.SUSPECT, "other-0001")} <= set(ruled[:4])


def test_a_few_are_ruled_on_in_the_order_in_which_they_became_due() -> None:
    fleet = {**make_fleet(3, "a", 1), **make_fleet(3, "b", 10)}
    judge = Judge(Policies(POLICY, {}), "tron")
    judge.learn(frame_at(100.0, *fleet.values(), *make_fleet(100, "living", 1000).values()))
    list(judge.decide_in_parts(0.0, 0.0))
    order = ["b-0001", "a-0000", "a-0001", "b-0002", "a-0002"]
    judge.learn(frame_at(101.0, *(broken(fleet[each], 100.1 + n / 10) for n, each in enumerate(order))))
    assert [service_id for _, service_id in rulings(judge.decide_in_parts(0.0, 0.0))] == order


def test_a_service_that_is_heard_before_its_ruling_is_not_accused() -> None:
    judge, died = judge_in_which_many_are_due({})
    back, heard = died["many-0700"], died["many-0800"]
    again = make_facts("many-0700", parent="many", incarnation=back.incarnation, observation=50, heard_at=112.4)
    judge.learn(frame_at(112.5, again, beats=((heard.incarnation, 51, 112.4),)))
    ruled = rulings([judge.decide(0.0, 0.0)])
    assert (Kind.DOWN, "many-0700") not in ruled
    assert (Kind.DOWN, "many-0800") in ruled  # decided again on the newer observation, for its stream is still broken
    assert len(ruled) == MANY - PART - 1


def test_facts_that_leave_a_decision_as_it_is_do_not_decide_it_twice() -> None:
    judge, died = judge_in_which_many_are_due({})
    judge.learn(frame_at(112.5, replace(died["many-0700"], maintenance=HELD)))
    ruled = rulings([judge.decide(0.0, 0.0)])
    assert ruled.count((Kind.DOWN, "many-0700")) == 1
    judge.learn(frame_at(112.6))
    assert rulings([judge.decide(0.0, 0.0)]) == []


def test_a_service_that_is_gone_is_not_ruled_on() -> None:
    judge, _ = judge_in_which_many_are_due({})
    judge.learn(frame_at(112.5, removed=("many-0700",)))
    assert (Kind.DOWN, "many-0700") not in rulings([judge.decide(0.0, 0.0)])


def test_a_suspicion_that_waits_is_counted_once_when_the_registry_suspects_first() -> None:
    bystanders = make_fleet(1, "other", 50_000)
    judge, _ = judge_in_which_many_are_due(bystanders)
    (one,) = bystanders.values()
    judge.learn(frame_at(112.5, broken(one, 112.4)))
    parts = judge.decide_in_parts(0.0, 0.0)
    while not judge.damping.count("other-0000", 112.5, 60.0):
        next(parts)
    judge.learn(frame_at(112.6, suspect(one, 112.4)))
    assert judge.damping.count("other-0000", 112.6, 60.0) == 1


def test_a_suspicion_that_is_taken_back_does_not_mark_a_later_one_as_the_last_before_damping() -> None:
    policy = replace(POLICY, flap_count=2, flap_window=5.0)
    one = make_facts("late", parent="many", incarnation=50_000, interval=60.0, heard_at=99.0)
    judge, _ = judge_in_which_many_are_due({"late": one}, policy)
    judge.damping.suspected("late", 112.0, judge.policies)
    judge.learn(frame_at(112.5, broken(one, 112.4)))
    ruled = rulings(judge.decide_in_parts(0.0, 0.0))
    assert judge.damping.count("late", 112.5, 5.0) == policy.flap_count, "the suspicion reached the limit"
    assert (Kind.SUSPECT, "late") not in ruled, "and waits for its ruling"
    judge.learn(frame_at(112.6, replace(one, attached_at=112.5, heard_at=112.5, observation=60)))
    assert (Kind.SUSPECT, "late") not in rulings([judge.decide(0.0, 0.0)])
    judge.learn(frame_at(113.0, replace(one, connected=False, detached_at=113.0, heard_at=112.5, observation=61)))
    (later,) = [
        ruling
        for orders in judge.decide_in_parts(0.0, 0.0)
        for ruling in orders.rulings
        if ruling.transition.service_id == "late"
    ]
    assert later.suppressed == HELD_FLAPPING, "damping began with the suspicion that was taken back"


def test_the_report_deadline_of_a_service_follows_the_verdict_that_ends_its_suspicion() -> None:
    # The registry ignores the deadline of a service that is suspect there: sent earlier, the service would never be
    # reported if it was silent from then on.
    judge = Judge(Policies(POLICY, {}), "tron")
    many = make_fleet(3 * PART, "many", 1)
    judge.learn(frame_at(100.0, *[suspect(each, 99.5) for each in many.values()], takes_deadlines=True))
    list(judge.decide_in_parts(0.0, 1000.0))
    back = [replace(each, observation=each.observation + 2, heard_at=100.5) for each in many.values()]
    returned = [
        replace(each, judged=Liveness.SUSPECT, cause=LivenessCause.DISCONNECTED, judged_at=99.5) for each in back
    ]
    judge.learn(frame_at(100.6, *returned))
    recovered: set[int] = set()
    deferred: set[int] = set()
    for number in range(3):
        if number:
            judge.learn(frame_at(100.6 + number / 10))
        for orders in judge.decide_in_parts(0.0, 1000.6):
            recovered |= {each.transition.incarnation for each in orders.rulings}
            deferred |= {each.incarnation for each in orders.deadlines}
            assert deferred <= recovered
        assert len(recovered) == (number + 1) * PART
    assert deferred == recovered == {each.incarnation for each in many.values()}


def test_a_refused_verdict_takes_back_what_was_decided_after_it() -> None:
    # A death, and the removal that follows it, are decided while the disk of the registry is slow; the service had
    # returned long before. Otherwise TRON would call it restored later, although nobody was notified of its death.
    judge = Judge(Policies(POLICY, {}), "tron")
    gone, *others = make_fleet(20, "p", 1).values()
    judge.learn(frame_at(100.0, suspect(gone, 99.5), *others))
    judge.decide(0.0, 1000.0)
    judge.learn(frame_at(99.5 + GRACE + 0.1))
    orders = judge.decide(0.0, 1003.0)
    (down,) = [each for each in orders.rulings if each.transition.kind is Kind.DOWN]
    judge.learn(frame_at(400.0, *[replace(each, observation=50, heard_at=400.0) for each in others]))
    (removal,) = [each for each in judge.decide(0.0, 1300.0).rulings if each.transition.service_id == gone.service_id]
    assert removal.transition.kind is Kind.DEREGISTER
    judge.refused(down)
    judge.refused(removal)
    lease = judge.detector.find(gone.service_id)
    assert lease is not None
    assert lease.liveness is Liveness.SUSPECT
