"""Who is told of what: stories through the real judge and the real core of the registry."""

from __future__ import annotations

import pytest
from grid_model.event import OPERATORS
from grid_model.liveness import Liveness

from tests.unit.tron.bench import Bench
from tron.explanation import explain
from tron.facts import Kind
from tron.policy import OrphanPolicy, Policy

SUSPECT, DOWN, GONE, BACK = "service_suspect", "service_down", "service_deregistered", "heartbeat_restored"


def family(bench: Bench) -> None:
    """A root, its child, and the child of that, all alive for a while."""
    bench.start("root")
    bench.start("parent", "root")
    bench.start("child", "parent")
    bench.run(3.0)


def test_a_death_is_told_to_the_parent_and_to_nobody_else() -> None:
    bench = Bench()
    family(bench)
    bench.kill("child")
    bench.run(10.0)
    assert bench.told("parent") == [(SUSPECT, "child"), (DOWN, "child"), (GONE, "child")]
    assert bench.told("root") == bench.told(OPERATORS) == []
    assert [event.type for event in bench.programs["parent"].heard] == [SUSPECT, DOWN, GONE]


def test_the_suspicion_is_there_before_tron_hears_of_the_break() -> None:
    bench = Bench()
    family(bench)
    bench.kill("child")
    assert bench.registry.get("child").judgement.liveness is Liveness.SUSPECT


def test_the_death_of_an_orphan_of_nobody_is_told_to_operators_once() -> None:
    bench = Bench()
    bench.start("alone")
    bench.run(3.0)
    bench.kill("alone")
    bench.run(10.0)
    assert bench.told(OPERATORS) == [(DOWN, "alone"), (GONE, "alone")]


def test_a_parent_that_is_not_registered_is_waited_for_and_operators_are_told_at_once() -> None:
    bench = Bench()
    bench.start("child", "nobody")
    bench.run(3.0)
    bench.kill("child")
    bench.run(3.0)
    assert [event.recipient for event in bench.copies(DOWN, "child")] == ["nobody", OPERATORS]
    late = bench.start("nobody")
    bench.run(0.2)
    assert DOWN in [event.type for event in late.heard]


def test_what_is_not_acknowledged_in_time_escalates_under_one_id_to_the_end() -> None:
    bench = Bench(Policy(escalate_after=5.0))
    bench.start("root", acknowledges=False)
    bench.start("parent", "root", acknowledges=False)
    bench.start("child", "parent")
    bench.run(3.0)
    bench.kill("child")
    bench.run(4.0)
    assert [event.recipient for event in bench.copies(DOWN, "child")] == ["parent"]
    bench.run(5.0)
    assert [event.recipient for event in bench.copies(DOWN, "child")] == ["parent", "root"]
    bench.run(6.0)
    copies = bench.copies(DOWN, "child")
    assert [event.recipient for event in copies] == ["parent", "root", OPERATORS]
    assert len({event.alert_id for event in copies}) == 1
    assert copies[-1].details["escalated_from"] == ["parent", "root"]
    bench.run(60.0)
    assert len(bench.copies(DOWN, "child")) == 3


def test_suspicions_do_not_escalate() -> None:
    bench = Bench(Policy(escalate_after=5.0))
    bench.start("root")
    bench.start("parent", "root", acknowledges=False)
    bench.start("child", "parent")
    bench.run(3.0)
    bench.kill("child")
    bench.run(20.0)
    assert {kind for kind, _ in bench.told("root")} == {DOWN, GONE}


def test_what_was_acknowledged_does_not_escalate_when_the_parent_dies_later() -> None:
    bench = Bench()
    family(bench)
    bench.kill("child")
    bench.run(8.0)
    bench.kill("parent")
    bench.run(8.0)
    assert [each for each in bench.told("root") if each[1] == "child"] == []


def test_the_next_live_ancestor_is_told_beyond_all_who_are_gone_also_by_a_tron_that_is_new() -> None:
    bench = Bench()
    bench.start("root")
    for service_id, parent in (("a", "root"), ("b", "a"), ("c", "b"), ("child", "c")):
        bench.start(service_id, parent)
    bench.run(3.0)
    for service_id in ("c", "b", "a"):
        bench.kill(service_id)
        bench.run(10.0)
    assert bench.state("a") is bench.state("b") is bench.state("c") is None
    bench.restart_tron()
    bench.run(1.0)
    bench.kill("child")
    bench.run(5.0)
    assert [event.recipient for event in bench.copies(DOWN, "child")] == ["c", "root"]


def test_a_tron_that_is_killed_anywhere_asks_for_no_copy_twice() -> None:
    bench = Bench(Policy(escalate_after=5.0))
    bench.start("root", acknowledges=False)
    bench.start("parent", "root", acknowledges=False)
    bench.start("child", "parent")
    bench.run(3.0)
    bench.kill("child")
    for _ in range(30):
        bench.run(0.7)
        bench.restart_tron()
    bench.run(10.0)
    for kind in (DOWN, GONE):
        assert [event.recipient for event in bench.copies(kind, "child")] == ["parent", "root", OPERATORS]


def test_a_return_is_told_to_everyone_who_was_told_of_the_death() -> None:
    bench = Bench(Policy(escalate_after=2.0, misses_before_deregister=100))
    bench.start("root")
    bench.start("parent", "root", acknowledges=False)
    bench.start("child", "parent")
    bench.run(3.0)
    bench.kill("child")
    bench.run(6.0)
    assert bench.told("root", DOWN) == [(DOWN, "child")]
    bench.start("child", "parent")
    bench.run(1.0)
    assert bench.told("root", BACK) == bench.told("parent", BACK) == [(BACK, "child")]
    assert len({event.alert_id for event in bench.copies(BACK, "child")}) == 1


def test_a_return_within_the_grace_is_told_to_nobody() -> None:
    bench = Bench()
    family(bench)
    bench.kill("child")
    bench.run(1.0)
    bench.start("child", "parent")
    bench.run(5.0)
    assert bench.told("parent") == [(SUSPECT, "child")]


def test_those_who_fail_with_their_parent_are_listed_and_do_not_escalate() -> None:
    bench = Bench()
    bench.start("root")
    bench.start("parent", "root")
    children = [f"child-{n:02}" for n in range(30)]
    for service_id in children:
        bench.start(service_id, "parent")
    bench.start("grandchild", "child-00")
    bench.run(3.0)
    bench.kill(*children, "grandchild", "parent")
    bench.run(30.0)
    assert bench.told("root") == [(SUSPECT, "parent"), (DOWN, "parent"), (GONE, "parent")]
    assert bench.told(OPERATORS) == []
    (down,) = bench.copies(DOWN, "parent")
    assert sorted(down.details["affected"]) == sorted([*children, "grandchild"])
    assert not [event for event in bench.log if event.type == "cascading_failure"]


def test_who_is_listed_in_an_alert_that_is_listed_itself_is_told_of_though_it_is_gone_by_then() -> None:
    bench = Bench(Policy(reconnect_grace=2.0))
    bench.start("root")
    bench.start("parent", "root")
    bench.start("child", "parent")
    bench.run(3.0)
    for service_id in ("child", "parent", "root"):
        bench.kill(service_id)
        bench.run(0.9)
    bench.run(30.0)
    assert bench.told(OPERATORS, DOWN) == [(DOWN, "root")]
    (down,) = bench.copies(DOWN, "root")
    assert sorted(down.details["affected"]) == ["child", "parent"]


def test_who_is_listed_by_one_that_was_listed_before_it_failed_itself_is_told_of() -> None:
    """The alert of the root lists the parent, and cannot list the child: the parent's own alert must escalate then."""
    bench = Bench(Policy(reconnect_grace=1.0))
    bench.start("root")
    parent = bench.start("parent", "root")
    child = bench.start("child", "parent")
    bench.run(3.0)
    parent.beats = False
    bench.run(0.5)
    bench.kill("root")
    bench.run(0.1)
    child.beats = False
    bench.run(30.0)
    told = [event for event in bench.log if event.recipient == OPERATORS and event.type == DOWN]
    lists = [(event.service_id, event.details["affected"]) for event in told]
    assert lists == [("root", ["parent"]), ("parent", ["child"])]


def test_one_who_was_listed_comes_back_and_dies_again_is_told_again() -> None:
    bench = Bench(Policy(misses_before_deregister=100))
    bench.start("root")
    bench.start("parent", "root")
    bench.start("child", "parent")
    bench.run(3.0)
    bench.kill("child", "parent")
    bench.run(4.0)
    assert bench.told("root", DOWN) == [(DOWN, "parent")]
    bench.start("child", "parent")
    bench.run(3.0)
    bench.kill("child")
    bench.run(4.0)
    assert bench.told("root", DOWN) == [(DOWN, "parent"), (DOWN, "child")]


def test_living_children_are_told_that_their_parent_is_down_and_what_to_do() -> None:
    bench = Bench(child=Policy(orphan_policy=OrphanPolicy.STOP), other=Policy(orphan_policy=OrphanPolicy.ADOPT))
    family(bench)
    bench.start("other", "parent")
    bench.run(1.0)
    bench.kill("parent")
    bench.run(3.0)
    actions = {event.recipient: event.action for event in bench.log if event.type == "parent_down"}
    assert actions == {"child": "stop", "other": "adopt"}
    bench.kill("other")
    bench.run(5.0)
    assert [event.recipient for event in bench.copies(DOWN, "other")] == ["root"]


def fleet(bench: Bench, count: int = 20) -> list[str]:
    """Many under one living boss, alive for a while."""
    bench.start("boss")
    service_ids = [f"s{n:02}" for n in range(count)]
    for service_id in service_ids:
        bench.start(service_id, "boss")
    bench.run(3.0)
    return service_ids


def test_a_mass_failure_is_one_alert_then_those_still_dead_are_told_to_their_parent() -> None:
    bench = Bench()
    service_ids = fleet(bench)
    for service_id in service_ids[:12]:
        bench.kill(service_id)
        bench.run(0.1 if service_id in service_ids[::4] else 0.0)
    bench.run(5.0)
    assert bench.judge.guard.active
    (cascade,) = [event for event in bench.log if event.type == "cascading_failure"]
    assert (cascade.recipient, cascade.details["live_count"]) == (OPERATORS, 21)
    assert bench.told("boss", DOWN, GONE) == []
    assert {bench.state(each) for each in service_ids[:12]} == {Liveness.DOWN}
    bench.run(8.0)
    assert not bench.judge.guard.active
    assert bench.told("boss", DOWN) == [(DOWN, each) for each in service_ids[:12]]
    bench.run(5.0)
    assert len(bench.told("boss", GONE)) == 12
    assert len([event for event in bench.log if event.type == "cascading_failure"]) == 1


def test_a_new_tron_does_not_tell_of_a_mass_failure_again() -> None:
    bench = Bench()
    bench_ids = fleet(bench)
    bench.kill(*bench_ids[:12])
    bench.run(1.0)
    bench.restart_tron()
    bench.run(1.0)
    assert bench.judge.guard.active
    assert len([event for event in bench.log if event.type == "cascading_failure"]) == 1
    bench.run(15.0)
    assert not bench.judge.guard.active


def test_deaths_one_after_the_other_are_told_one_by_one() -> None:
    bench = Bench()
    for service_id in fleet(bench)[:12]:
        bench.kill(service_id)
        bench.run(0.4)
    bench.run(3.0)
    assert len(bench.told("boss", DOWN)) == 12
    assert not [event for event in bench.log if event.type == "cascading_failure"]


def test_who_fails_alone_after_a_mass_failure_is_told_of_as_ever() -> None:
    bench = Bench()
    service_ids = fleet(bench)
    bench.kill(*service_ids[:12])
    bench.run(3.0)
    assert bench.judge.guard.active
    bench.kill(service_ids[-1])
    bench.run(3.0)
    assert bench.judge.guard.active
    assert bench.told("boss", DOWN) == [(DOWN, service_ids[-1])]


def test_the_guard_does_not_ratchet_however_often_a_fleet_is_replaced() -> None:
    bench = Bench()
    for _ in range(4):
        bench.kill(*[each for each in fleet(bench) if each != "boss"])
        bench.leave("boss")
        bench.run(30.0)
        assert not bench.judge.guard.holds
    bench.start("boss")
    bench.start("one", "boss")
    bench.run(3.0)
    bench.kill("one")
    bench.run(3.0)
    assert bench.told("boss", DOWN)[-1] == (DOWN, "one")


def test_maintenance_holds_notices_and_removal_and_tells_what_still_holds_when_it_ends() -> None:
    bench = Bench()
    family(bench)
    bench.maintain("child", on=True)
    bench.kill("child")
    bench.run(60.0)
    assert bench.told("parent") == []
    assert bench.state("child") is Liveness.DOWN
    bench.maintain("child", on=False)
    bench.run(0.5)
    assert bench.told("parent", DOWN) == [(DOWN, "child")]
    assert bench.copies(DOWN, "child")[-1].details["was_held_for"] == "maintenance"
    bench.run(5.0)
    assert bench.told("parent", GONE) == [(GONE, "child")]


def test_a_death_and_return_within_maintenance_is_told_to_nobody() -> None:
    bench = Bench()
    family(bench)
    bench.maintain("child", on=True, until=bench.now.wall + 20.0)
    bench.kill("child")
    bench.run(5.0)
    bench.start("child", "parent")
    bench.run(30.0)
    assert bench.told("parent") == []
    assert bench.registry.maintenance_of("child") is None


def test_too_many_suspicions_are_damped_and_a_death_is_told_all_the_same() -> None:
    bench = Bench(Policy(flap_count=3, flap_window=30.0))
    family(bench)
    for _ in range(6):
        bench.kill("child")
        bench.run(0.5)
        bench.start("child", "parent")
        bench.run(1.0)
    suspicions = bench.copies(SUSPECT, "child")
    assert [event.recipient for event in suspicions] == ["parent"] * 3
    assert suspicions[-1].details["damped"] is True
    bench.kill("child")
    bench.run(4.0)
    assert bench.told("parent", DOWN) == [(DOWN, "child")]
    bench.start("child", "parent")
    bench.run(40.0)
    bench.kill("child")
    bench.run(1.0)
    assert len(bench.told("parent", SUSPECT)) == 4


def test_who_beats_and_does_not_get_on_is_stalled_and_never_down() -> None:
    bench = Bench()
    bench.start("parent")
    child = bench.start("child", "parent", stall_after=3.0)
    for step in range(40):
        child.activity = step
        bench.run(0.1)
    assert bench.told("parent") == []
    bench.run(60.0)
    assert bench.told("parent") == [("service_stalled", "child")]
    assert bench.state("child") is Liveness.SUSPECT
    child.activity = 1000
    bench.run(0.3)
    assert bench.state("child") is Liveness.ALIVE
    assert bench.told("parent") == [("service_stalled", "child")]


def test_a_child_that_left_on_purpose_alarms_nobody() -> None:
    bench = Bench()
    family(bench)
    bench.leave("child")
    bench.run(10.0)
    assert bench.log == []


@pytest.mark.parametrize(
    ("story", "words", "rule"),
    [
        ("fine", "is alive: last heartbeat", "heard_in_time"),
        ("broken", "is suspect: its stream broke", "stream_broke"),
        ("silent", "is suspect: no heartbeat for", "missed_beats"),
        ("dead", "has been down for", "reconnect_grace"),
        ("stalled", "is stalled: it is sending heartbeats but has made no progress for", "stall_after"),
        ("maintained", "its alerts are held for maintenance (work)", "heard_in_time"),
        ("damped", "it is flapping, so its suspicions raise no alerts", "heard_in_time"),
    ],
)
def test_an_explanation_says_what_is_known_and_which_rule_fired(story: str, words: str, rule: str) -> None:
    bench = Bench(Policy(flap_count=2, misses_before_deregister=100))
    bench.start("parent")
    child = bench.start("child", "parent", stall_after=3.0 if story == "stalled" else None)
    child.activity = 1
    bench.run(2.5)
    if story in ("broken", "dead"):
        bench.kill("child")
        bench.run(0.5 if story == "broken" else 3.0)
    elif story == "silent":
        child.beats = False
        bench.run(1.5)
    elif story == "stalled":
        bench.run(2.0)
    elif story == "maintained":
        bench.maintain("child", on=True)
        bench.run(0.2)
    elif story == "damped":
        for _ in range(3):
            bench.kill("child")
            bench.run(0.2)
            bench.start("child", "parent")
            bench.run(0.2)
    explanation = explain(bench.judge, "child")
    assert explanation is not None
    assert words in explanation.verdict
    assert explanation.rule.startswith(rule)
    assert explanation.deadlines == sorted(explanation.deadlines, key=lambda each: each[1])
    assert explain(bench.judge, "nobody") is None


def test_the_deadlines_are_those_that_come_true() -> None:
    bench = Bench()
    bench.start("parent")
    child = bench.start("child", "parent")
    bench.run(1.0)
    foreseen = bench.judge.detector.deadlines("child")
    assert [kind for kind, _ in foreseen] == [Kind.MISS, Kind.DOWN, Kind.DEREGISTER]
    child.beats = False
    bench.run(10.0)
    for (_, due), kind in zip(foreseen, ("heartbeat_miss", DOWN, GONE), strict=True):
        (event,) = bench.copies(kind, "child")
        assert event.occurred_at - 1_700_000_000.0 == pytest.approx(due, abs=0.11)
