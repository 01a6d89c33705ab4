"""Which recipients are notified of what: stories with the registry's real cores and a manual clock."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.event import OPERATORS
from grid_model.policy import OrphanPolicy

from registry_server.core.mailbox import Mailboxes
from registry_server.core.registry import Registry
from tests.support.core_pair import PATIENT, CorePair, grown
from tron import audience as audience_module
from tron.facts import Kind
from tron.policy import Policy

MISS, SUSPECT, STALL, DOWN, DEREGISTER, RECOVER, RESTORE = Kind

FAMILY = {"root": "", "grandpa": "root", "pa": "grandpa", "kid": "pa"}


@pytest.fixture
def pair() -> CorePair:
    """Root, grandpa, pa and kid, all alive and known."""
    return grown(CorePair(), FAMILY)


# --- recipients -----------------------------------------------------------------------------------------------------


def test_a_parent_is_told_of_the_suspicion_and_of_the_death(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    assert pair.kinds("kid") == [DOWN]  # the suspicion was the registry's, in TRON's name
    assert [event.type for event in pair.told("pa")] == ["service_suspect", "service_down"]
    assert pair.registry.get("kid").judgement.told_to == ("pa",)


def test_who_has_no_parent_is_told_of_to_operators(pair: CorePair) -> None:
    pair.kill("root")
    pair.run(2.5)
    assert pair.about(OPERATORS) == ["root"]
    assert set(pair.judge.for_operators) == {event.alert_id for event in pair.mail(OPERATORS)}
    pair.acknowledge(OPERATORS)
    pair.run(0.2)
    assert pair.judge.for_operators == {}


def test_an_alert_that_is_acknowledged_in_time_does_not_escalate(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    pair.acknowledge("pa")
    pair.run(60.0)
    assert pair.mail("grandpa") == []


def test_an_alert_that_nobody_acknowledges_escalates_step_by_step_under_one_id(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    (told,) = pair.mail("pa", "service_down")
    for ancestor in ("grandpa", "root", OPERATORS):
        assert pair.about(ancestor) == []
        pair.run(PATIENT.escalate_after + 0.2)
        (copy,) = pair.mail(ancestor, "service_down")
        assert copy.alert_id == told.alert_id
    assert copy.details["escalated_from"] == ["pa", "grandpa", "root"]
    pair.run(100.0)
    assert [each.alert_id for each in pair.copies] == [told.alert_id] * 3


def test_an_alert_passes_over_everyone_who_is_down(pair: CorePair) -> None:
    pair.kill("grandpa")
    pair.run(2.5)
    pair.kill("pa")
    pair.run(2.5)
    pair.kill("kid")
    pair.run(2.5)
    assert pair.about("root") == ["grandpa", "pa", "kid"]


def test_an_alert_to_a_parent_that_leaves_escalates_at_once(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    pair.leave("pa")
    pair.run(0.2)
    assert pair.about("grandpa") == ["kid"]


def test_an_alert_to_a_parent_that_never_came_goes_to_operators() -> None:
    pair = grown(CorePair(), {"kid": "nobody yet"})
    pair.kill("kid")
    pair.run(2.5)
    assert pair.about(OPERATORS) == ["kid"]


def test_an_escalation_goes_on_after_tron_was_restarted(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    pair.run(20.0)
    pair.restart_tron()
    pair.run(9.0)
    assert pair.about("grandpa") == []
    pair.run(1.5)
    assert pair.about("grandpa") == ["kid"]
    pair.restart_tron()
    pair.run(1.0)
    assert pair.about("root") == []


def test_restored_is_told_to_everyone_who_was_told_of_the_death_and_to_nobody_else(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    pair.run(PATIENT.escalate_after + 0.5)
    pair.join("kid", "pa")
    pair.run(0.5)
    assert pair.kinds("kid") == [DOWN, RESTORE]
    assert [pair.about(each, "heartbeat_restored") for each in ("pa", "grandpa", "root")] == [["kid"], ["kid"], []]


def test_an_alert_that_the_mailbox_drops_is_told_to_operators() -> None:
    pair = CorePair(registry=Registry(mailboxes=Mailboxes(waiting=10)))
    grown(pair, {"pa": "", **{f"kid{n}": "pa" for n in range(30)}, **{f"bystander{n}": "" for n in range(100)}})
    pair.kill("pa")
    pair.kill(*(f"kid{n}" for n in range(30)))
    pair.join("pa2")
    pair.run(60.0)
    known = set(pair.about(OPERATORS)) | set(pair.about("pa"))
    for event in pair.mail(OPERATORS):
        known |= set(event.details.get("affected", ()))
    assert {f"kid{n}" for n in range(30)} <= known


# --- grouping -------------------------------------------------------------------------------------------------------


def test_a_parent_that_fails_with_its_children_is_one_alert_that_lists_them() -> None:
    kids = [f"kid{n}" for n in range(30)]
    pair = grown(CorePair(), {"root": "", "pa": "root", **dict.fromkeys(kids, "pa")})
    pair.kill(*kids[:10], "pa", *kids[10:])
    pair.run(60.0)
    (alert,) = pair.mail("root", "service_down")
    assert alert.service_id == "pa"
    assert sorted(alert.details["affected"]) == sorted(kids)
    assert pair.about(OPERATORS) == ["pa"]  # root did not acknowledge it


@pytest.mark.parametrize("order", [("kid", "pa", "grandpa"), ("grandpa", "pa", "kid"), ("pa", "kid", "grandpa")])
def test_a_branch_that_fails_together_is_one_alert_in_whatever_order(pair: CorePair, order: tuple[str, ...]) -> None:
    for service_id in order:
        pair.kill(service_id)
        pair.run(0.3)
    pair.run(10.0)
    (alert,) = pair.mail("root", "service_down")
    assert alert.service_id == "grandpa"
    assert sorted(alert.details["affected"]) == ["kid", "pa"]


def test_who_fails_after_an_ancestors_alert_was_written_is_told_of_though_its_parent_is_listed(pair: CorePair) -> None:
    pair.kill("grandpa", "pa")
    pair.run(1.9)
    pair.hang("kid")
    pair.kill("kid")
    pair.run(20.0)
    told = {event.service_id for event in pair.mail("root", "service_down")}
    listed = {each for event in pair.mail("root") for each in event.details.get("affected", ())}
    assert told | listed == {"grandpa", "pa", "kid"}


def test_who_was_listed_and_came_back_is_told_of_when_it_dies_again(pair: CorePair) -> None:
    pair.kill("kid", "pa")
    pair.run(3.0)
    assert pair.about("grandpa") == ["pa"]
    pair.join("kid", "pa")
    pair.run(3.0)
    pair.kill("kid")
    pair.run(3.0)
    assert pair.about("grandpa") == ["pa", "kid"]


def test_the_living_children_of_the_dead_are_told_and_their_alerts_do_not_escalate(pair: CorePair) -> None:
    pair.kill("pa")
    pair.run(2.5)
    (told,) = pair.mail("kid")
    assert (told.type, told.service_id, told.action) == ("parent_down", "pa", "keep")
    pair.run(100.0)
    assert pair.about("grandpa", "parent_down") == pair.about("pa", "parent_down") == []


@pytest.mark.parametrize("policy", list(OrphanPolicy))
def test_orphans_are_told_by_their_own_policy(policy: OrphanPolicy) -> None:
    pair = grown(CorePair(PATIENT, kid=replace(PATIENT, orphan_policy=policy)), FAMILY)
    pair.kill("pa")
    pair.run(2.5)
    (told,) = pair.mail("kid", "parent_down")
    assert told.action == policy.name.lower()
    assert told.details["stands_in"] == "grandpa"


def test_who_is_adopted_is_told_of_to_the_grandparent_at_once_and_to_the_parent_once_it_is_back() -> None:
    pair = grown(CorePair(replace(PATIENT, orphan_policy=OrphanPolicy.ADOPT)), FAMILY)
    pair.kill("pa")
    pair.run(2.5)
    pair.kill("kid")
    assert pair.about("grandpa", "service_suspect")[-1:] == ["kid"]
    pair.run(2.5)
    assert pair.about("grandpa")[-1:] == ["kid"]
    assert pair.mail("pa") == []
    pair.join("pa", "grandpa")
    pair.join("kid", "pa")
    pair.run(1.0)
    pair.kill("kid")
    pair.run(2.5)
    assert pair.about("pa") == ["kid"]


def test_more_orphans_than_fit_one_transaction_are_told_a_tick_later() -> None:
    kids = [f"kid{n}" for n in range(250)]
    pair = grown(CorePair(), {"pa": "", **dict.fromkeys(kids, "pa")})
    pair.kill("pa")
    pair.run(2.5)
    assert all(pair.about(each, "parent_down") == ["pa"] for each in kids)


# --- maintenance ----------------------------------------------------------------------------------------------------


def test_the_children_of_who_died_under_maintenance_are_told_when_it_ends(pair: CorePair) -> None:
    pair.maintain("pa")
    pair.run(0.2)
    pair.kill("pa")
    pair.run(20.0)
    assert pair.mail("kid") == pair.mail("grandpa") == []
    pair.registry.release_notices("pa")
    pair.run(0.5)
    assert pair.about("grandpa") == ["pa"]
    (told,) = pair.mail("kid")
    assert (told.type, told.service_id, told.cause.name, told.action) == ("parent_down", "pa", "DISCONNECTED", "keep")


def test_an_alert_that_is_not_acknowledged_escalates_no_further_during_maintenance(pair: CorePair) -> None:
    pair.kill("kid")
    pair.run(2.5)
    assert pair.about("pa") == ["kid"]
    pair.maintain("kid")
    pair.run(200.0)
    assert pair.about("grandpa") == []
    pair.registry.release_notices("kid")
    pair.run(5.0)
    assert pair.about("grandpa") == ["kid"]


def test_an_alert_that_waits_for_a_recipient_escalates_at_once_though_the_death_of_the_recipient_is_held(
    pair: CorePair,
) -> None:
    pair.kill("kid")
    pair.run(2.5)
    pair.maintain("pa")
    pair.kill("pa")
    pair.run(2.5)
    assert pair.kinds("pa") == [DOWN]
    (told,) = pair.mail("grandpa")
    assert (told.service_id, told.details["escalated_from"]) == ("kid", ["pa"])
    assert pair.told("grandpa", "service_down") == [told]


def test_a_death_under_maintenance_is_told_when_it_ends(pair: CorePair) -> None:
    pair.maintain("kid")
    pair.run(0.2)
    pair.kill("kid")
    pair.run(200.0)
    assert pair.kinds("kid") == [DOWN]
    assert pair.mail("pa") == []
    pair.registry.release_notices("kid")
    pair.run(0.3)
    (told,) = pair.mail("pa")
    assert (told.type, told.details["was_held_for"]) == ("service_down", "maintenance")
    assert pair.registry.get("kid").judgement.told_to == ("pa",)


def test_who_came_back_under_maintenance_is_not_worth_a_word(pair: CorePair) -> None:
    pair.maintain("kid")
    pair.run(0.2)
    pair.kill("kid")
    pair.run(5.0)
    pair.join("kid", "pa")
    pair.run(1.0)
    pair.registry.release_notices("kid")
    pair.run(1.0)
    assert pair.kinds("kid")[-1] is RESTORE
    assert pair.mail("pa") == []


def test_a_death_under_maintenance_is_still_held_after_tron_was_restarted_and_told_once(pair: CorePair) -> None:
    pair.maintain("kid")
    pair.run(0.2)
    pair.kill("kid")
    pair.run(5.0)
    pair.restart_tron()
    pair.run(1.0)
    assert pair.mail("pa") == []
    pair.registry.release_notices("kid")
    pair.restart_tron()
    pair.run(1.0)
    pair.restart_tron()
    pair.run(1.0)
    assert [event.type for event in pair.mail("pa")] == ["service_down"]


# --- flapping -------------------------------------------------------------------------------------------------------


def flap(pair: CorePair, service_id: str, times: int) -> None:
    """Its stream breaks and comes back."""
    for _ in range(times):
        pair.kill(service_id)
        pair.run(0.3)
        pair.join(service_id, "pa")
        pair.run(0.5)


def test_who_flaps_is_told_of_a_few_times_the_last_one_says_so(pair: CorePair) -> None:
    flap(pair, "kid", 9)
    told = pair.told("pa", "service_suspect")
    assert len(told) == PATIENT.flap_count
    assert [event.details.get("damped", False) for event in told] == [False] * (PATIENT.flap_count - 1) + [True]


def test_a_death_is_told_also_of_who_flaps(pair: CorePair) -> None:
    flap(pair, "kid", 9)
    pair.kill("kid")
    pair.run(3.0)
    assert pair.about("pa") == ["kid"]


def test_who_was_quiet_for_a_window_is_told_of_again(pair: CorePair) -> None:
    flap(pair, "kid", 9)
    before = len(pair.told("pa"))
    pair.run(PATIENT.flap_window + 1)
    flap(pair, "kid", 1)
    (again,) = pair.told("pa")[before:]
    assert "damped" not in again.details


# --- the guard ------------------------------------------------------------------------------------------------------

GUARDED = Policy()


def fleet(size: int = 20) -> tuple[CorePair, list[str]]:
    """A boss and a fleet below it, guarded, known for a while."""
    members = [f"m{n}" for n in range(size)]
    pair = grown(CorePair(GUARDED), {"boss": "", **dict.fromkeys(members, "boss")})
    return pair, members


def test_a_mass_failure_is_one_alert_and_nobody_is_deregistered_while_it_lasts() -> None:
    pair, members = fleet()
    pair.kill(*members[:12])
    pair.run(9.0)
    (alert,) = pair.mail(OPERATORS)
    assert (alert.type, alert.details["affected_count"]) == ("cascading_failure", 12)
    assert pair.about("boss") == []
    assert pair.judge.guard.active
    assert DEREGISTER not in {kind for _, kind, _ in pair.judged}


def test_after_a_mass_failure_the_deaths_are_told_and_then_the_dead_are_deregistered() -> None:
    pair, members = fleet()
    pair.kill(*members[:12])
    pair.run(GUARDED.guard_window + 2.0)
    assert not pair.judge.guard.active
    assert pair.registry.cascade_alert_id == ""
    kinds = [event.type for event in pair.mail("boss") if event.service_id == "m0" and event.type != "service_suspect"]
    assert kinds == ["service_down", "service_deregistered"]
    assert sorted(pair.about("boss")) == sorted(members[:12])


def test_who_returns_from_a_mass_failure_was_never_told_of() -> None:
    pair, members = fleet()
    pair.kill(*members[:12])
    pair.run(5.0)
    for each in members[:12]:
        pair.join(each, "boss")
    pair.run(GUARDED.guard_window + 5)
    assert pair.about("boss") == pair.about("boss", "heartbeat_restored") == []
    assert not pair.judge.guard.active


def test_a_tron_that_starts_within_a_mass_failure_does_not_tell_of_it_again() -> None:
    pair, members = fleet()
    pair.kill(*members[:12])
    pair.run(3.0)
    pair.restart_tron()
    pair.run(3.0)
    assert len(pair.mail(OPERATORS, "cascading_failure")) == 1
    assert pair.about("boss") == []
    pair.run(GUARDED.guard_window)
    assert not pair.judge.guard.active
    assert sorted(pair.about("boss")) == sorted(members[:12])


def test_a_subtree_that_fails_is_told_by_its_root_and_is_no_mass_failure() -> None:
    pair, members = fleet()
    pair.kill("boss", *members)
    pair.run(5.0)
    assert {event.type for event in pair.mail(OPERATORS)} == {"service_down", "service_deregistered"}
    (alert,) = pair.mail(OPERATORS, "service_down")
    assert (alert.service_id, alert.details["affected_count"]) == ("boss", len(members))


# --- what the registry says in TRON's name ----------------------------------------------------------------------------


def test_a_broken_stream_is_told_before_tron_looks(pair: CorePair) -> None:
    pair.kill("kid")
    assert pair.about("pa", "service_suspect") == ["kid"]


def test_after_a_stall_of_the_registry_no_suspicion_stands_until_everybody_could_come_back(pair: CorePair) -> None:
    pair.registry.withdraw_preauthorized()
    pair.hearing_since = pair.now
    pair.run(1.0)
    pair.kill("kid")
    assert pair.mail("pa") == []
    pair.run(PATIENT.reattach_window - 1.5)
    assert pair.kinds("kid") == []
    pair.run(3.0)
    assert pair.kinds("kid") == [SUSPECT, DOWN]


def test_what_stands_is_held_while_many_fail() -> None:
    pair, members = fleet()
    pair.kill(*members[:12])
    pair.run(0.2)
    pair.kill(members[12])
    assert members[12] not in pair.about("boss", "service_suspect")


def test_nobody_is_lost_whenever_the_members_of_a_branch_die() -> None:
    for first in range(0, 30, 3):
        for second in range(0, 30, 3):
            pair = grown(CorePair(), FAMILY)
            moments = {0: "grandpa", first: "pa"} if first else {0: "grandpa"}
            for tick in range(62):
                if tick in moments:
                    pair.kill(moments[tick])
                if tick == 0 and not first:
                    pair.kill("pa")
                if tick == second:
                    pair.kill("kid")
                pair.step()
            pair.run(20.0)
            told = set(pair.about("root"))
            told |= {each for event in pair.mail("root") for each in event.details.get("affected", ())}
            assert told == {"grandpa", "pa", "kid"}, (first, second)


def test_restored_is_told_to_the_ancestor_to_whom_the_alert_escalated_after_the_service_was_deregistered() -> None:
    hasty = replace(PATIENT, misses_before_deregister=3)
    pair = grown(CorePair(hasty), FAMILY)
    pair.kill("kid")
    pair.run(10.0)
    assert pair.kinds("kid") == [DOWN, DEREGISTER]
    pair.run(PATIENT.escalate_after)
    assert pair.about("grandpa") == ["kid"]
    pair.join("kid", "pa")
    pair.run(0.5)
    assert pair.about("grandpa", "heartbeat_restored") == ["kid"]


def test_the_way_up_beyond_who_is_gone_survives_a_restart_of_tron() -> None:
    pair = grown(CorePair(), {"root": ""})
    pair.join("pa", "root", name="Director")
    pair.join("kid", "Director")
    pair.run(3.0)
    pair.leave("pa")
    pair.run(0.2)
    pair.restart_tron()
    pair.kill("kid")
    pair.run(2.5)
    assert pair.about("root") == ["kid"]


def test_the_way_up_is_known_beyond_a_parent_who_left_whether_named_by_id_or_by_name() -> None:
    pair = grown(CorePair(), {"root": "", "grandpa": "root"})
    pair.join("pa", "grandpa", name="Director")
    pair.join("kid", "Director")
    pair.join("other", "pa")
    pair.run(3.0)
    pair.leave("pa")
    pair.kill("kid", "other")
    pair.run(2.5)
    assert sorted(pair.about("grandpa")) == ["kid", "other"]
    assert pair.about(OPERATORS) == []


def test_who_would_be_adopted_is_suspected_to_the_grandparent_also_where_the_parent_left() -> None:
    pair = grown(CorePair(replace(PATIENT, orphan_policy=OrphanPolicy.ADOPT)), FAMILY)
    pair.leave("pa")
    pair.run(0.3)
    pair.kill("kid")
    assert pair.about("grandpa", "service_suspect") == ["kid"]


def test_a_suspicion_stands_again_after_a_verdict_was_refused(pair: CorePair) -> None:
    pair.hang("kid")
    while not (orders := pair.decide()).rulings:
        pair.apply(orders)
    pair.beat("kid")
    pair.apply(orders)
    pair.beating.add("kid")
    pair.run(0.5)
    assert pair.kinds("kid") == []
    pair.kill("kid")
    assert pair.about("pa", "service_suspect") == ["kid"]


def test_a_death_that_the_registry_refuses_tells_no_orphan() -> None:
    kids = [f"kid{n}" for n in range(250)]
    pair = grown(CorePair(), {"pa": "", **dict.fromkeys(kids, "pa")})
    pair.hang("pa")
    orders = pair.decide()
    while DOWN not in [each.transition.kind for each in orders.rulings]:
        pair.apply(orders)
        orders = pair.decide()
    pair.beat("pa")
    pair.apply(orders)
    pair.beating.add("pa")
    pair.run(1.0)
    assert pair.kinds("pa") == [MISS, RECOVER]
    assert [each for each in kids if pair.mail(each)] == []


def test_a_death_that_was_held_is_told_before_the_service_is_deregistered_and_its_return_is_told() -> None:
    pair = grown(CorePair(replace(PATIENT, misses_before_deregister=3)), FAMILY)
    pair.maintain("kid", until=30.0)
    pair.run(0.2)
    pair.kill("kid")
    pair.run(40.0)
    assert pair.kinds("kid")[-2:] == [DOWN, DEREGISTER]
    assert [event.type for event in pair.mail("pa")] == ["service_down", "service_deregistered"]
    pair.join("kid", "pa")
    pair.run(0.5)
    assert pair.about("pa", "heartbeat_restored") == ["kid"]


def test_who_stands_still_while_it_is_maintained_is_told_of_when_that_ends(pair: CorePair) -> None:
    pair.join("slow", "pa", stall_after=2.0)
    pair.maintain("slow")
    pair.run(10.0)
    assert pair.mail("pa") == []
    pair.registry.release_notices("slow")
    pair.run(0.5)
    assert pair.about("pa", "service_stalled") == ["slow"]


def test_who_flaps_and_then_stands_still_is_told_of(pair: CorePair) -> None:
    for _ in range(7):
        pair.join("slow", "pa", stall_after=2.0)
        pair.run(0.5)
        pair.kill("slow")
        pair.run(0.3)
    pair.join("slow", "pa", stall_after=2.0)
    pair.run(4.0)
    assert pair.about("pa", "service_stalled") == ["slow"]


def test_the_words_about_flapping_are_not_kept_for_a_break_that_comes_much_later(pair: CorePair) -> None:
    flap(pair, "kid", PATIENT.flap_count - 1)
    pair.run(PATIENT.flap_window + 1)
    flap(pair, "kid", 1)
    assert [event.details.get("damped") for event in pair.told("pa")] == [None] * PATIENT.flap_count


def test_who_has_no_room_in_the_verdict_of_its_parent_is_told_of_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "MAX_GROUPED", 50)
    kids = [f"kid{n}" for n in range(20)]
    pair = grown(CorePair(), {"root": "", "pa": "root", **dict.fromkeys(kids, "pa")})
    pair.kill("pa", *kids)
    pair.run(5.0)
    listed = pair.mail("root", "service_down")[0].details["affected"]
    assert 0 < len(listed) < 20
    assert sorted([*listed, *pair.about("root")]) == sorted(["pa", *kids])
