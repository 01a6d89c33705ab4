"""Who is told what, and who is not: stories with the registry's real cores and a clock by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from grid_model.event import OPERATORS

from registry_server.core.mailbox import Mailboxes
from registry_server.core.registry import Registry
from tests.unit.tron.court import PATIENT, Court, grown
from tron import audience as audience_module
from tron.facts import Kind
from tron.policy import OrphanPolicy, Policy

MISS, SUSPECT, STALL, DOWN, DEREGISTER, RECOVER, RESTORE = Kind

FAMILY = {"root": "", "grandpa": "root", "pa": "grandpa", "kid": "pa"}


@pytest.fixture
def court() -> Court:
    """Root, grandpa, pa and kid, all alive and known."""
    return grown(Court(), FAMILY)


# --- who is told ----------------------------------------------------------------------------------------------------


def test_a_parent_is_told_of_the_suspicion_and_of_the_death(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    assert court.kinds("kid") == [DOWN]  # the suspicion was the registry's, in TRON's name
    assert [event.type for event in court.told("pa")] == ["service_suspect", "service_down"]
    assert court.registry.get("kid").judgement.told_to == ("pa",)


def test_who_has_no_parent_is_told_of_to_operators(court: Court) -> None:
    court.kill("root")
    court.run(2.5)
    assert court.about(OPERATORS) == ["root"]
    assert set(court.judge.for_operators) == {event.alert_id for event in court.mail(OPERATORS)}
    court.acknowledge(OPERATORS)
    court.run(0.2)
    assert court.judge.for_operators == {}


def test_an_alert_that_is_acknowledged_in_time_does_not_escalate(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    court.acknowledge("pa")
    court.run(60.0)
    assert court.mail("grandpa") == []


def test_an_alert_that_nobody_acknowledges_escalates_step_by_step_under_one_id(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    (told,) = court.mail("pa", "service_down")
    for ancestor in ("grandpa", "root", OPERATORS):
        assert court.about(ancestor) == []
        court.run(PATIENT.escalate_after + 0.2)
        (copy,) = court.mail(ancestor, "service_down")
        assert copy.alert_id == told.alert_id
    assert copy.details["escalated_from"] == ["pa", "grandpa", "root"]
    court.run(100.0)
    assert [each.alert_id for each in court.copies] == [told.alert_id] * 3


def test_an_alert_passes_over_everyone_who_is_down(court: Court) -> None:
    court.kill("grandpa")
    court.run(2.5)
    court.kill("pa")
    court.run(2.5)
    court.kill("kid")
    court.run(2.5)
    assert court.about("root") == ["grandpa", "pa", "kid"]


def test_an_alert_to_a_parent_that_leaves_escalates_at_once(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    court.leave("pa")
    court.run(0.2)
    assert court.about("grandpa") == ["kid"]


def test_an_alert_to_a_parent_that_never_came_goes_to_operators() -> None:
    court = grown(Court(), {"kid": "nobody yet"})
    court.kill("kid")
    court.run(2.5)
    assert court.about(OPERATORS) == ["kid"]


def test_an_escalation_goes_on_after_tron_was_restarted(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    court.run(20.0)
    court.restart_tron()
    court.run(9.0)
    assert court.about("grandpa") == []
    court.run(1.5)
    assert court.about("grandpa") == ["kid"]
    court.restart_tron()
    court.run(1.0)
    assert court.about("root") == []


def test_restored_is_told_to_everyone_who_was_told_of_the_death_and_to_nobody_else(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    court.run(PATIENT.escalate_after + 0.5)
    court.join("kid", "pa")
    court.run(0.5)
    assert court.kinds("kid") == [DOWN, RESTORE]
    assert [court.about(each, "heartbeat_restored") for each in ("pa", "grandpa", "root")] == [["kid"], ["kid"], []]


def test_an_alert_that_the_mailbox_drops_is_told_to_operators() -> None:
    court = Court(registry=Registry(mailboxes=Mailboxes(waiting=10)))
    grown(court, {"pa": "", **{f"kid{n}": "pa" for n in range(30)}, **{f"bystander{n}": "" for n in range(100)}})
    court.kill("pa")
    court.kill(*(f"kid{n}" for n in range(30)))
    court.join("pa2")
    court.run(60.0)
    known = set(court.about(OPERATORS)) | set(court.about("pa"))
    for event in court.mail(OPERATORS):
        known |= set(event.details.get("affected", ()))
    assert {f"kid{n}" for n in range(30)} <= known


# --- grouping -------------------------------------------------------------------------------------------------------


def test_a_parent_that_fails_with_its_children_is_one_alert_that_lists_them() -> None:
    kids = [f"kid{n}" for n in range(30)]
    court = grown(Court(), {"root": "", "pa": "root", **dict.fromkeys(kids, "pa")})
    court.kill(*kids[:10], "pa", *kids[10:])
    court.run(60.0)
    (alert,) = court.mail("root", "service_down")
    assert alert.service_id == "pa"
    assert sorted(alert.details["affected"]) == sorted(kids)
    assert court.about(OPERATORS) == ["pa"]  # root did not acknowledge it


@pytest.mark.parametrize("order", [("kid", "pa", "grandpa"), ("grandpa", "pa", "kid"), ("pa", "kid", "grandpa")])
def test_a_branch_that_fails_together_is_one_alert_in_whatever_order(court: Court, order: tuple[str, ...]) -> None:
    for service_id in order:
        court.kill(service_id)
        court.run(0.3)
    court.run(10.0)
    (alert,) = court.mail("root", "service_down")
    assert alert.service_id == "grandpa"
    assert sorted(alert.details["affected"]) == ["kid", "pa"]


def test_who_fails_after_an_ancestors_alert_was_written_is_told_of_though_its_parent_is_listed(court: Court) -> None:
    court.kill("grandpa", "pa")
    court.run(1.9)
    court.hang("kid")
    court.kill("kid")
    court.run(20.0)
    told = {event.service_id for event in court.mail("root", "service_down")}
    listed = {each for event in court.mail("root") for each in event.details.get("affected", ())}
    assert told | listed == {"grandpa", "pa", "kid"}


def test_who_was_listed_and_came_back_is_told_of_when_it_dies_again(court: Court) -> None:
    court.kill("kid", "pa")
    court.run(3.0)
    assert court.about("grandpa") == ["pa"]
    court.join("kid", "pa")
    court.run(3.0)
    court.kill("kid")
    court.run(3.0)
    assert court.about("grandpa") == ["pa", "kid"]


def test_the_living_children_of_the_dead_are_told_and_their_alerts_do_not_escalate(court: Court) -> None:
    court.kill("pa")
    court.run(2.5)
    (told,) = court.mail("kid")
    assert (told.type, told.service_id, told.action) == ("parent_down", "pa", "keep")
    court.run(100.0)
    assert court.about("grandpa", "parent_down") == court.about("pa", "parent_down") == []


@pytest.mark.parametrize("policy", list(OrphanPolicy))
def test_orphans_are_told_by_their_own_policy(policy: OrphanPolicy) -> None:
    court = grown(Court(PATIENT, kid=replace(PATIENT, orphan_policy=policy)), FAMILY)
    court.kill("pa")
    court.run(2.5)
    (told,) = court.mail("kid", "parent_down")
    assert told.action == policy.name.lower()
    assert told.details["stands_in"] == "grandpa"


def test_who_is_adopted_is_told_of_to_the_grandparent_at_once_and_to_the_parent_once_it_is_back() -> None:
    court = grown(Court(replace(PATIENT, orphan_policy=OrphanPolicy.ADOPT)), FAMILY)
    court.kill("pa")
    court.run(2.5)
    court.kill("kid")
    assert court.about("grandpa", "service_suspect")[-1:] == ["kid"]
    court.run(2.5)
    assert court.about("grandpa")[-1:] == ["kid"]
    assert court.mail("pa") == []
    court.join("pa", "grandpa")
    court.join("kid", "pa")
    court.run(1.0)
    court.kill("kid")
    court.run(2.5)
    assert court.about("pa") == ["kid"]


def test_more_orphans_than_fit_one_transaction_are_told_a_tick_later() -> None:
    kids = [f"kid{n}" for n in range(250)]
    court = grown(Court(), {"pa": "", **dict.fromkeys(kids, "pa")})
    court.kill("pa")
    court.run(2.5)
    assert all(court.about(each, "parent_down") == ["pa"] for each in kids)


# --- maintenance ----------------------------------------------------------------------------------------------------


def test_the_children_of_who_died_under_maintenance_are_told_when_it_ends(court: Court) -> None:
    court.maintain("pa")
    court.run(0.2)
    court.kill("pa")
    court.run(20.0)
    assert court.mail("kid") == court.mail("grandpa") == []
    court.registry.release_notices("pa")
    court.run(0.5)
    assert court.about("grandpa") == ["pa"]
    (told,) = court.mail("kid")
    assert (told.type, told.service_id, told.cause.name, told.action) == ("parent_down", "pa", "DISCONNECTED", "keep")


def test_an_alert_that_is_not_acknowledged_escalates_no_further_during_maintenance(court: Court) -> None:
    court.kill("kid")
    court.run(2.5)
    assert court.about("pa") == ["kid"]
    court.maintain("kid")
    court.run(200.0)
    assert court.about("grandpa") == []
    court.registry.release_notices("kid")
    court.run(5.0)
    assert court.about("grandpa") == ["kid"]


def test_a_death_under_maintenance_is_told_when_it_ends(court: Court) -> None:
    court.maintain("kid")
    court.run(0.2)
    court.kill("kid")
    court.run(200.0)
    assert court.kinds("kid") == [DOWN]
    assert court.mail("pa") == []
    court.registry.release_notices("kid")
    court.run(0.3)
    (told,) = court.mail("pa")
    assert (told.type, told.details["was_held_for"]) == ("service_down", "maintenance")
    assert court.registry.get("kid").judgement.told_to == ("pa",)


def test_who_came_back_under_maintenance_is_not_worth_a_word(court: Court) -> None:
    court.maintain("kid")
    court.run(0.2)
    court.kill("kid")
    court.run(5.0)
    court.join("kid", "pa")
    court.run(1.0)
    court.registry.release_notices("kid")
    court.run(1.0)
    assert court.kinds("kid")[-1] is RESTORE
    assert court.mail("pa") == []


def test_a_death_under_maintenance_is_still_held_after_tron_was_restarted_and_told_once(court: Court) -> None:
    court.maintain("kid")
    court.run(0.2)
    court.kill("kid")
    court.run(5.0)
    court.restart_tron()
    court.run(1.0)
    assert court.mail("pa") == []
    court.registry.release_notices("kid")
    court.restart_tron()
    court.run(1.0)
    court.restart_tron()
    court.run(1.0)
    assert [event.type for event in court.mail("pa")] == ["service_down"]


# --- flapping -------------------------------------------------------------------------------------------------------


def flap(court: Court, service_id: str, times: int) -> None:
    """Its stream breaks and comes back."""
    for _ in range(times):
        court.kill(service_id)
        court.run(0.3)
        court.join(service_id, "pa")
        court.run(0.5)


def test_who_flaps_is_told_of_a_few_times_the_last_one_says_so(court: Court) -> None:
    flap(court, "kid", 9)
    told = court.told("pa", "service_suspect")
    assert len(told) == PATIENT.flap_count
    assert [event.details.get("damped", False) for event in told] == [False] * (PATIENT.flap_count - 1) + [True]


def test_a_death_is_told_also_of_who_flaps(court: Court) -> None:
    flap(court, "kid", 9)
    court.kill("kid")
    court.run(3.0)
    assert court.about("pa") == ["kid"]


def test_who_was_quiet_for_a_window_is_told_of_again(court: Court) -> None:
    flap(court, "kid", 9)
    before = len(court.told("pa"))
    court.run(PATIENT.flap_window + 1)
    flap(court, "kid", 1)
    (again,) = court.told("pa")[before:]
    assert "damped" not in again.details


# --- the guard ------------------------------------------------------------------------------------------------------

GUARDED = Policy()


def fleet(size: int = 20) -> tuple[Court, list[str]]:
    """A boss and a fleet below it, guarded, known for a while."""
    members = [f"m{n}" for n in range(size)]
    court = grown(Court(GUARDED), {"boss": "", **dict.fromkeys(members, "boss")})
    return court, members


def test_a_mass_failure_is_one_alert_and_nobody_is_deregistered_while_it_lasts() -> None:
    court, members = fleet()
    court.kill(*members[:12])
    court.run(9.0)
    (alert,) = court.mail(OPERATORS)
    assert (alert.type, alert.details["affected_count"]) == ("cascading_failure", 12)
    assert court.about("boss") == []
    assert court.judge.guard.active
    assert DEREGISTER not in {kind for _, kind, _ in court.judged}


def test_after_a_mass_failure_the_deaths_are_told_and_then_the_dead_are_deregistered() -> None:
    court, members = fleet()
    court.kill(*members[:12])
    court.run(GUARDED.guard_window + 2.0)
    assert not court.judge.guard.active
    assert court.registry.cascade_alert_id == ""
    kinds = [event.type for event in court.mail("boss") if event.service_id == "m0" and event.type != "service_suspect"]
    assert kinds == ["service_down", "service_deregistered"]
    assert sorted(court.about("boss")) == sorted(members[:12])


def test_who_returns_from_a_mass_failure_was_never_told_of() -> None:
    court, members = fleet()
    court.kill(*members[:12])
    court.run(5.0)
    for each in members[:12]:
        court.join(each, "boss")
    court.run(GUARDED.guard_window + 5)
    assert court.about("boss") == court.about("boss", "heartbeat_restored") == []
    assert not court.judge.guard.active


def test_a_tron_that_starts_within_a_mass_failure_does_not_tell_of_it_again() -> None:
    court, members = fleet()
    court.kill(*members[:12])
    court.run(3.0)
    court.restart_tron()
    court.run(3.0)
    assert len(court.mail(OPERATORS, "cascading_failure")) == 1
    assert court.about("boss") == []
    court.run(GUARDED.guard_window)
    assert not court.judge.guard.active
    assert sorted(court.about("boss")) == sorted(members[:12])


def test_a_subtree_that_fails_is_told_by_its_root_and_is_no_mass_failure() -> None:
    court, members = fleet()
    court.kill("boss", *members)
    court.run(5.0)
    assert {event.type for event in court.mail(OPERATORS)} == {"service_down", "service_deregistered"}
    (alert,) = court.mail(OPERATORS, "service_down")
    assert (alert.service_id, alert.details["affected_count"]) == ("boss", len(members))


# --- what the registry says in TRON's name ----------------------------------------------------------------------------


def test_a_broken_stream_is_told_before_tron_looks(court: Court) -> None:
    court.kill("kid")
    assert court.about("pa", "service_suspect") == ["kid"]


def test_after_a_stall_of_the_registry_no_suspicion_stands_until_everybody_could_come_back(court: Court) -> None:
    court.registry.withdraw_preauthorized()
    court.hearing_since = court.now
    court.run(1.0)
    court.kill("kid")
    assert court.mail("pa") == []
    court.run(PATIENT.reattach_window - 1.5)
    assert court.kinds("kid") == []
    court.run(3.0)
    assert court.kinds("kid") == [SUSPECT, DOWN]


def test_what_stands_is_held_while_many_fail() -> None:
    court, members = fleet()
    court.kill(*members[:12])
    court.run(0.2)
    court.kill(members[12])
    assert members[12] not in court.about("boss", "service_suspect")


def test_nobody_is_lost_whenever_the_members_of_a_branch_die() -> None:
    for first in range(0, 30, 3):
        for second in range(0, 30, 3):
            court = grown(Court(), FAMILY)
            moments = {0: "grandpa", first: "pa"} if first else {0: "grandpa"}
            for tick in range(62):
                if tick in moments:
                    court.kill(moments[tick])
                if tick == 0 and not first:
                    court.kill("pa")
                if tick == second:
                    court.kill("kid")
                court.step()
            court.run(20.0)
            told = set(court.about("root"))
            told |= {each for event in court.mail("root") for each in event.details.get("affected", ())}
            assert told == {"grandpa", "pa", "kid"}, (first, second)


def test_restored_is_told_to_the_ancestor_to_whom_the_alert_escalated_after_the_service_was_deregistered() -> None:
    hasty = replace(PATIENT, misses_before_deregister=3)
    court = grown(Court(hasty), FAMILY)
    court.kill("kid")
    court.run(10.0)
    assert court.kinds("kid") == [DOWN, DEREGISTER]
    court.run(PATIENT.escalate_after)
    assert court.about("grandpa") == ["kid"]
    court.join("kid", "pa")
    court.run(0.5)
    assert court.about("grandpa", "heartbeat_restored") == ["kid"]


def test_the_way_up_beyond_who_is_gone_survives_a_restart_of_tron() -> None:
    court = grown(Court(), {"root": ""})
    court.join("pa", "root", name="Director")
    court.join("kid", "Director")
    court.run(3.0)
    court.leave("pa")
    court.run(0.2)
    court.restart_tron()
    court.kill("kid")
    court.run(2.5)
    assert court.about("root") == ["kid"]


def test_the_way_up_is_known_beyond_a_parent_who_left_whether_named_by_id_or_by_name() -> None:
    court = grown(Court(), {"root": "", "grandpa": "root"})
    court.join("pa", "grandpa", name="Director")
    court.join("kid", "Director")
    court.join("other", "pa")
    court.run(3.0)
    court.leave("pa")
    court.kill("kid", "other")
    court.run(2.5)
    assert sorted(court.about("grandpa")) == ["kid", "other"]
    assert court.about(OPERATORS) == []


def test_who_would_be_adopted_is_suspected_to_the_grandparent_also_where_the_parent_left() -> None:
    court = grown(Court(replace(PATIENT, orphan_policy=OrphanPolicy.ADOPT)), FAMILY)
    court.leave("pa")
    court.run(0.3)
    court.kill("kid")
    assert court.about("grandpa", "service_suspect") == ["kid"]


def test_a_suspicion_stands_again_after_a_verdict_was_refused(court: Court) -> None:
    court.hang("kid")
    while not (orders := court.decide()).rulings:
        court.apply(orders)
    court.beat("kid")
    court.apply(orders)
    court.beating.add("kid")
    court.run(0.5)
    assert court.kinds("kid") == []
    court.kill("kid")
    assert court.about("pa", "service_suspect") == ["kid"]


def test_a_death_that_the_registry_refuses_tells_no_orphan() -> None:
    kids = [f"kid{n}" for n in range(250)]
    court = grown(Court(), {"pa": "", **dict.fromkeys(kids, "pa")})
    court.hang("pa")
    orders = court.decide()
    while DOWN not in [each.transition.kind for each in orders.rulings]:
        court.apply(orders)
        orders = court.decide()
    court.beat("pa")
    court.apply(orders)
    court.beating.add("pa")
    court.run(1.0)
    assert court.kinds("pa") == [MISS, RECOVER]
    assert [each for each in kids if court.mail(each)] == []


def test_a_death_that_was_held_is_told_before_the_service_is_deregistered_and_its_return_is_told() -> None:
    court = grown(Court(replace(PATIENT, misses_before_deregister=3)), FAMILY)
    court.maintain("kid", until=30.0)
    court.run(0.2)
    court.kill("kid")
    court.run(40.0)
    assert court.kinds("kid")[-2:] == [DOWN, DEREGISTER]
    assert [event.type for event in court.mail("pa")] == ["service_down", "service_deregistered"]
    court.join("kid", "pa")
    court.run(0.5)
    assert court.about("pa", "heartbeat_restored") == ["kid"]


def test_who_stands_still_while_it_is_maintained_is_told_of_when_that_ends(court: Court) -> None:
    court.join("slow", "pa", stall_after=2.0)
    court.maintain("slow")
    court.run(10.0)
    assert court.mail("pa") == []
    court.registry.release_notices("slow")
    court.run(0.5)
    assert court.about("pa", "service_stalled") == ["slow"]


def test_who_flaps_and_then_stands_still_is_told_of(court: Court) -> None:
    for _ in range(7):
        court.join("slow", "pa", stall_after=2.0)
        court.run(0.5)
        court.kill("slow")
        court.run(0.3)
    court.join("slow", "pa", stall_after=2.0)
    court.run(4.0)
    assert court.about("pa", "service_stalled") == ["slow"]


def test_the_words_about_flapping_are_not_kept_for_a_break_that_comes_much_later(court: Court) -> None:
    flap(court, "kid", PATIENT.flap_count - 1)
    court.run(PATIENT.flap_window + 1)
    flap(court, "kid", 1)
    assert [event.details.get("damped") for event in court.told("pa")] == [None] * PATIENT.flap_count


def test_who_has_no_room_in_the_verdict_of_its_parent_is_told_of_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audience_module, "MAX_GROUPED", 50)
    kids = [f"kid{n}" for n in range(20)]
    court = grown(Court(), {"root": "", "pa": "root", **dict.fromkeys(kids, "pa")})
    court.kill("pa", *kids)
    court.run(5.0)
    listed = court.mail("root", "service_down")[0].details["affected"]
    assert 0 < len(listed) < 20
    assert sorted([*listed, *court.about("root")]) == sorted(["pa", *kids])
