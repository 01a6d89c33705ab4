"""Which recipients are notified of what: stories through the real judge and the real core of the registry."""

from __future__ import annotations

import pytest
from grid_model.event import OPERATORS
from grid_model.liveness import Liveness
from grid_model.policy import OrphanPolicy

from registry_server.core.facts import facts_of
from tests.support.program_pair import ProgramPair
from tron.explanation import explain
from tron.facts import Kind
from tron.policy import Policy

SUSPECT, DOWN, GONE, BACK = "service_suspect", "service_down", "service_deregistered", "heartbeat_restored"


def family(pair: ProgramPair) -> None:
    """A root, its child, and the child of that, all alive for a while."""
    pair.start("root")
    pair.start("parent", "root")
    pair.start("child", "parent")
    pair.run(3.0)


def test_a_death_is_told_to_the_parent_and_to_nobody_else() -> None:
    pair = ProgramPair()
    family(pair)
    pair.kill("child")
    pair.run(10.0)
    assert pair.notices("parent") == [(SUSPECT, "child"), (DOWN, "child"), (GONE, "child")]
    assert pair.notices("root") == pair.notices(OPERATORS) == []
    assert [event.type for event in pair.programs["parent"].heard] == [SUSPECT, DOWN, GONE]


def test_the_suspicion_is_there_before_tron_hears_of_the_break() -> None:
    pair = ProgramPair()
    family(pair)
    pair.kill("child")
    assert pair.registry.get("child").judgement.liveness is Liveness.SUSPECT


def test_the_death_of_an_orphan_of_nobody_is_told_to_operators_once() -> None:
    pair = ProgramPair()
    pair.start("alone")
    pair.run(3.0)
    pair.kill("alone")
    pair.run(10.0)
    assert pair.notices(OPERATORS) == [(DOWN, "alone"), (GONE, "alone")]


def test_a_parent_that_is_not_registered_is_waited_for_and_operators_are_told_at_once() -> None:
    pair = ProgramPair()
    pair.start("child", "nobody")
    pair.run(3.0)
    pair.kill("child")
    pair.run(3.0)
    assert [event.recipient for event in pair.copies_of(DOWN, "child")] == ["nobody", OPERATORS]
    late = pair.start("nobody")
    pair.run(0.2)
    assert DOWN in [event.type for event in late.heard]


def test_what_is_not_acknowledged_in_time_escalates_under_one_id_to_the_end() -> None:
    pair = ProgramPair(Policy(escalate_after=5.0))
    pair.start("root", acknowledges=False)
    pair.start("parent", "root", acknowledges=False)
    pair.start("child", "parent")
    pair.run(3.0)
    pair.kill("child")
    pair.run(4.0)
    assert [event.recipient for event in pair.copies_of(DOWN, "child")] == ["parent"]
    pair.run(5.0)
    assert [event.recipient for event in pair.copies_of(DOWN, "child")] == ["parent", "root"]
    pair.run(6.0)
    copies = pair.copies_of(DOWN, "child")
    assert [event.recipient for event in copies] == ["parent", "root", OPERATORS]
    assert len({event.alert_id for event in copies}) == 1
    assert copies[-1].details["escalated_from"] == ["parent", "root"]
    pair.run(60.0)
    assert len(pair.copies_of(DOWN, "child")) == 3


def test_suspicions_do_not_escalate() -> None:
    pair = ProgramPair(Policy(escalate_after=5.0))
    pair.start("root")
    pair.start("parent", "root", acknowledges=False)
    pair.start("child", "parent")
    pair.run(3.0)
    pair.kill("child")
    pair.run(20.0)
    assert {kind for kind, _ in pair.notices("root")} == {DOWN, GONE}


def test_what_was_acknowledged_does_not_escalate_when_the_parent_dies_later() -> None:
    pair = ProgramPair()
    family(pair)
    pair.kill("child")
    pair.run(8.0)
    pair.kill("parent")
    pair.run(8.0)
    assert [each for each in pair.notices("root") if each[1] == "child"] == []


def test_the_next_live_ancestor_is_told_beyond_all_who_are_gone_also_by_a_tron_that_is_new() -> None:
    pair = ProgramPair()
    pair.start("root")
    for service_id, parent in (("a", "root"), ("b", "a"), ("c", "b"), ("child", "c")):
        pair.start(service_id, parent)
    pair.run(3.0)
    for service_id in ("c", "b", "a"):
        pair.kill(service_id)
        pair.run(10.0)
    assert pair.state("a") is pair.state("b") is pair.state("c") is None
    pair.restart_tron()
    pair.run(1.0)
    pair.kill("child")
    pair.run(5.0)
    assert [event.recipient for event in pair.copies_of(DOWN, "child")] == ["c", "root"]


def test_a_tron_that_is_killed_anywhere_asks_for_no_copy_twice() -> None:
    pair = ProgramPair(Policy(escalate_after=5.0))
    pair.start("root", acknowledges=False)
    pair.start("parent", "root", acknowledges=False)
    pair.start("child", "parent")
    pair.run(3.0)
    pair.kill("child")
    for _ in range(30):
        pair.run(0.7)
        pair.restart_tron()
    pair.run(10.0)
    for kind in (DOWN, GONE):
        assert [event.recipient for event in pair.copies_of(kind, "child")] == ["parent", "root", OPERATORS]


def test_a_return_is_told_to_everyone_who_was_told_of_the_death() -> None:
    pair = ProgramPair(Policy(escalate_after=2.0, misses_before_deregister=100))
    pair.start("root")
    pair.start("parent", "root", acknowledges=False)
    pair.start("child", "parent")
    pair.run(3.0)
    pair.kill("child")
    pair.run(6.0)
    assert pair.notices("root", DOWN) == [(DOWN, "child")]
    pair.start("child", "parent")
    pair.run(1.0)
    assert pair.notices("root", BACK) == pair.notices("parent", BACK) == [(BACK, "child")]
    assert len({event.alert_id for event in pair.copies_of(BACK, "child")}) == 1


def test_a_return_within_the_grace_is_told_to_nobody() -> None:
    pair = ProgramPair()
    family(pair)
    pair.kill("child")
    pair.run(1.0)
    pair.start("child", "parent")
    pair.run(5.0)
    assert pair.notices("parent") == [(SUSPECT, "child")]


def test_those_who_fail_with_their_parent_are_listed_and_do_not_escalate() -> None:
    pair = ProgramPair()
    pair.start("root")
    pair.start("parent", "root")
    children = [f"child-{n:02}" for n in range(30)]
    for service_id in children:
        pair.start(service_id, "parent")
    pair.start("grandchild", "child-00")
    pair.run(3.0)
    pair.kill(*children, "grandchild", "parent")
    pair.run(30.0)
    assert pair.notices("root") == [(SUSPECT, "parent"), (DOWN, "parent"), (GONE, "parent")]
    assert pair.notices(OPERATORS) == []
    (down,) = pair.copies_of(DOWN, "parent")
    assert sorted(down.details["affected"]) == sorted([*children, "grandchild"])
    assert not [event for event in pair.log if event.type == "cascading_failure"]


def test_who_is_listed_in_an_alert_that_is_listed_itself_is_told_of_though_it_is_gone_by_then() -> None:
    pair = ProgramPair(Policy(reconnect_grace=2.0))
    pair.start("root")
    pair.start("parent", "root")
    pair.start("child", "parent")
    pair.run(3.0)
    for service_id in ("child", "parent", "root"):
        pair.kill(service_id)
        pair.run(0.9)
    pair.run(30.0)
    assert pair.notices(OPERATORS, DOWN) == [(DOWN, "root")]
    (down,) = pair.copies_of(DOWN, "root")
    assert sorted(down.details["affected"]) == ["child", "parent"]


def test_who_is_listed_by_one_that_was_listed_before_it_failed_itself_is_told_of() -> None:
    """The alert of the root lists the parent, and cannot list the child: the parent's own alert must escalate then."""
    pair = ProgramPair(Policy(reconnect_grace=1.0))
    pair.start("root")
    parent = pair.start("parent", "root")
    child = pair.start("child", "parent")
    pair.run(3.0)
    parent.beats = False
    pair.run(0.5)
    pair.kill("root")
    pair.run(0.1)
    child.beats = False
    pair.run(30.0)
    told = [event for event in pair.log if event.recipient == OPERATORS and event.type == DOWN]
    lists = [(event.service_id, event.details["affected"]) for event in told]
    assert lists == [("root", ["parent"]), ("parent", ["child"])]


def test_one_who_was_listed_comes_back_and_dies_again_is_told_again() -> None:
    pair = ProgramPair(Policy(misses_before_deregister=100))
    pair.start("root")
    pair.start("parent", "root")
    pair.start("child", "parent")
    pair.run(3.0)
    pair.kill("child", "parent")
    pair.run(4.0)
    assert pair.notices("root", DOWN) == [(DOWN, "parent")]
    pair.start("child", "parent")
    pair.run(3.0)
    pair.kill("child")
    pair.run(4.0)
    assert pair.notices("root", DOWN) == [(DOWN, "parent"), (DOWN, "child")]


def test_living_children_are_told_that_their_parent_is_down_and_what_to_do() -> None:
    pair = ProgramPair(child=Policy(orphan_policy=OrphanPolicy.STOP), other=Policy(orphan_policy=OrphanPolicy.ADOPT))
    family(pair)
    pair.start("other", "parent")
    pair.run(1.0)
    pair.kill("parent")
    pair.run(3.0)
    actions = {event.recipient: event.action for event in pair.log if event.type == "parent_down"}
    assert actions == {"child": "stop", "other": "adopt"}
    pair.kill("other")
    pair.run(5.0)
    assert [event.recipient for event in pair.copies_of(DOWN, "other")] == ["root"]


def fleet(pair: ProgramPair, count: int = 20) -> list[str]:
    """Many under one living boss, alive for a while."""
    pair.start("boss")
    service_ids = [f"s{n:02}" for n in range(count)]
    for service_id in service_ids:
        pair.start(service_id, "boss")
    pair.run(3.0)
    return service_ids


def test_a_mass_failure_is_one_alert_then_those_still_dead_are_told_to_their_parent() -> None:
    pair = ProgramPair()
    service_ids = fleet(pair)
    for service_id in service_ids[:12]:
        pair.kill(service_id)
        pair.run(0.1 if service_id in service_ids[::4] else 0.0)
    pair.run(5.0)
    assert pair.judge.guard.active
    (cascade,) = [event for event in pair.log if event.type == "cascading_failure"]
    assert (cascade.recipient, cascade.details["live_count"]) == (OPERATORS, 21)
    assert pair.notices("boss", DOWN, GONE) == []
    assert {pair.state(each) for each in service_ids[:12]} == {Liveness.DOWN}
    pair.run(8.0)
    assert not pair.judge.guard.active
    assert pair.notices("boss", DOWN) == [(DOWN, each) for each in service_ids[:12]]
    pair.run(5.0)
    assert len(pair.notices("boss", GONE)) == 12
    assert len([event for event in pair.log if event.type == "cascading_failure"]) == 1


def test_a_new_tron_does_not_tell_of_a_mass_failure_again() -> None:
    pair = ProgramPair()
    bench_ids = fleet(pair)
    pair.kill(*bench_ids[:12])
    pair.run(1.0)
    pair.restart_tron()
    pair.run(1.0)
    assert pair.judge.guard.active
    assert len([event for event in pair.log if event.type == "cascading_failure"]) == 1
    pair.run(15.0)
    assert not pair.judge.guard.active


def test_deaths_one_after_the_other_are_told_one_by_one() -> None:
    pair = ProgramPair()
    for service_id in fleet(pair)[:12]:
        pair.kill(service_id)
        pair.run(0.4)
    pair.run(3.0)
    assert len(pair.notices("boss", DOWN)) == 12
    assert not [event for event in pair.log if event.type == "cascading_failure"]


def test_who_fails_alone_after_a_mass_failure_is_told_of_as_ever() -> None:
    pair = ProgramPair()
    service_ids = fleet(pair)
    pair.kill(*service_ids[:12])
    pair.run(3.0)
    assert pair.judge.guard.active
    pair.kill(service_ids[-1])
    pair.run(3.0)
    assert pair.judge.guard.active
    assert pair.notices("boss", DOWN) == [(DOWN, service_ids[-1])]


def test_the_guard_does_not_ratchet_however_often_a_fleet_is_replaced() -> None:
    pair = ProgramPair()
    for _ in range(4):
        pair.kill(*[each for each in fleet(pair) if each != "boss"])
        pair.leave("boss")
        pair.run(30.0)
        assert not pair.judge.guard.holds
    pair.start("boss")
    pair.start("one", "boss")
    pair.run(3.0)
    pair.kill("one")
    pair.run(3.0)
    assert pair.notices("boss", DOWN)[-1] == (DOWN, "one")


def test_maintenance_holds_notices_and_removal_and_tells_what_still_holds_when_it_ends() -> None:
    pair = ProgramPair()
    family(pair)
    pair.maintain("child")
    pair.kill("child")
    pair.run(60.0)
    assert pair.notices("parent") == []
    assert pair.state("child") is Liveness.DOWN
    pair.registry.release_notices("child")
    pair.run(0.5)
    assert pair.notices("parent", DOWN) == [(DOWN, "child")]
    assert pair.copies_of(DOWN, "child")[-1].details["was_held_for"] == "maintenance"
    pair.run(5.0)
    assert pair.notices("parent", GONE) == [(GONE, "child")]


def test_a_death_and_return_within_maintenance_is_told_to_nobody() -> None:
    pair = ProgramPair()
    family(pair)
    pair.maintain("child", until=pair.now + 20.0)
    pair.kill("child")
    pair.run(5.0)
    pair.start("child", "parent")
    pair.run(30.0)
    assert pair.notices("parent") == []
    assert pair.registry.maintenance_of("child") is None


def test_too_many_suspicions_are_damped_and_a_death_is_told_all_the_same() -> None:
    pair = ProgramPair(Policy(flap_count=3, flap_window=30.0))
    family(pair)
    for _ in range(6):
        pair.kill("child")
        pair.run(0.5)
        pair.start("child", "parent")
        pair.run(1.0)
    suspicions = pair.copies_of(SUSPECT, "child")
    assert [event.recipient for event in suspicions] == ["parent"] * 3
    assert suspicions[-1].details["damped"] is True
    pair.kill("child")
    pair.run(4.0)
    assert pair.notices("parent", DOWN) == [(DOWN, "child")]
    pair.start("child", "parent")
    pair.run(40.0)
    pair.kill("child")
    pair.run(1.0)
    assert len(pair.notices("parent", SUSPECT)) == 4


def test_who_beats_and_does_not_get_on_is_stalled_and_never_down() -> None:
    pair = ProgramPair()
    pair.start("parent")
    child = pair.start("child", "parent", stall_after=3.0)
    for step in range(40):
        child.activity = step
        pair.run(0.1)
    assert pair.notices("parent") == []
    pair.run(60.0)
    assert pair.notices("parent") == [("service_stalled", "child")]
    assert pair.state("child") is Liveness.SUSPECT
    child.activity = 1000
    pair.run(0.3)
    assert pair.state("child") is Liveness.ALIVE
    assert pair.notices("parent") == [("service_stalled", "child")]


def test_a_child_that_left_on_purpose_alarms_nobody() -> None:
    pair = ProgramPair()
    family(pair)
    pair.leave("child")
    pair.run(10.0)
    assert pair.log == []


@pytest.mark.parametrize(
    ("story", "words", "rule"),
    [
        ("fine", "is alive: last heartbeat", "heard_in_time"),
        ("broken", "is suspect: its stream broke", "stream_broke"),
        ("silent", "is suspect: no heartbeat for", "missed_beats"),
        ("dead", "has been down for", "reconnect_grace"),
        ("stalled", "is stalled: it is sending heartbeats but has made no progress for", "stall_after"),
        ("maintained", "alerts about the service are held for maintenance (new disk)", "heard_in_time"),
        ("damped", "the service is flapping, so further suspicions raise no alert", "heard_in_time"),
    ],
)
def test_an_explanation_says_what_is_known_and_which_rule_fired(story: str, words: str, rule: str) -> None:
    pair = ProgramPair(Policy(flap_count=2, misses_before_deregister=100))
    pair.start("parent")
    child = pair.start("child", "parent", stall_after=3.0 if story == "stalled" else None)
    child.activity = 1
    pair.run(2.5)
    if story in ("broken", "dead"):
        pair.kill("child")
        pair.run(0.5 if story == "broken" else 3.0)
    elif story == "silent":
        child.beats = False
        pair.run(1.5)
    elif story == "stalled":
        pair.run(2.0)
    elif story == "maintained":
        pair.maintain("child")
        pair.run(0.2)
    elif story == "damped":
        for _ in range(3):
            pair.kill("child")
            pair.run(0.2)
            pair.start("child", "parent")
            pair.run(0.2)
    explanation = explain(pair.judge, "child")
    assert explanation is not None
    assert words in explanation.verdict
    assert explanation.rule.startswith(rule)
    assert explanation.deadlines == sorted(explanation.deadlines, key=lambda each: each[1])
    assert explain(pair.judge, "nobody") is None


def test_the_deadlines_are_those_that_come_true() -> None:
    pair = ProgramPair()
    pair.start("parent")
    child = pair.start("child", "parent")
    pair.run(1.0)
    pair.judge.detector.refresh(facts_of(pair.registry.get("child"), None))
    foreseen = pair.judge.detector.deadlines("child")
    assert [kind for kind, _ in foreseen] == [Kind.MISS, Kind.DOWN, Kind.DEREGISTER]
    child.beats = False
    pair.run(10.0)
    for (_, due), kind in zip(foreseen, ("heartbeat_miss", DOWN, GONE), strict=True):
        (event,) = pair.copies_of(kind, "child")
        assert event.occurred_at - 1_700_000_000.0 == pytest.approx(due, abs=0.11)
