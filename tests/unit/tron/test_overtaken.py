"""A parent that returns gets what is true, and one summary of what it missed; the log keeps every event."""

from __future__ import annotations

import pytest
from grid_model.event import OPERATORS, Event
from grid_model.liveness import Liveness
from grid_model.verdict import AlertCopy

from registry_server.core.effects import AppendEvent, WithdrawCopy
from registry_server.io.store.encoding import decode_judgement, encode
from tests.support.core_pair import PATIENT, CorePair, grown
from tron.policy import Policy

CHILDREN = [f"kid{number:02}" for number in range(16)]


def deaf_parent(pair: CorePair | None = None, *children: str) -> CorePair:
    """A grandparent, a parent that acknowledges nothing, and its children."""
    return grown(pair or CorePair(), {"root": "", "pa": "root", **dict.fromkeys(children, "pa")})


def restart(pair: CorePair, *service_ids: str, after: float = 3.0) -> None:
    """They die, and come back."""
    pair.kill(*service_ids)
    pair.run(after)
    for service_id in service_ids:
        pair.join(service_id, "pa")
    pair.run(0.5)


def types(pair: CorePair, recipient: str) -> list[tuple[str, str]]:
    """What waits for a recipient."""
    return [(event.type, event.service_id) for event in pair.mail(recipient)]


def test_a_parent_that_returns_gets_one_summary_for_each_child_that_lives() -> None:
    pair = deaf_parent(CorePair(Policy(misses_before_deregister=3, guard_ratio=1.0)), *CHILDREN)
    pair.kill("pa")
    pair.run(3.0)
    pair.acknowledge("root")
    restart(pair, *CHILDREN, after=6.0)
    assert {pair.registry.get(each).judgement.liveness for each in CHILDREN} == {Liveness.ALIVE}
    pair.join("pa", "root")
    pair.run(0.2)
    children = [each for each in types(pair, "pa") if each[1] in CHILDREN]
    assert sorted(children) == [("heartbeat_restored", each) for each in CHILDREN]


def test_the_log_keeps_every_event() -> None:
    pair = deaf_parent(None, "kid")
    restart(pair, "kid")
    told = [event.type for event in pair.told("pa")]
    assert told == ["service_suspect", "service_down", "heartbeat_restored"]


def test_the_summary_has_both_times() -> None:
    pair = deaf_parent(None, "kid")
    restart(pair, "kid")
    (summary,) = pair.mail("pa")
    death = pair.told("pa", "service_down")[0]
    assert summary.type == "heartbeat_restored"
    assert summary.details["down_at"].startswith("2023-11-14T22:13:2")
    assert summary.details["missed_deaths"] == 1
    assert summary.details["first_down_at"] == summary.details["down_at"]
    assert summary.message == (
        f"kid is back: it was down from {summary.details['down_at']} to {summary.details['restored_at']}"
    )
    assert death.occurred_at < summary.occurred_at


def test_a_death_that_was_acknowledged_is_no_part_of_the_summary() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(3.0)
    pair.acknowledge("pa")
    pair.join("kid", "pa")
    pair.run(0.5)
    (restored,) = pair.mail("pa")
    assert "missed_deaths" not in restored.details
    assert {"down_at", "restored_at"} <= restored.details.keys()


def test_many_deaths_that_are_over_are_one_summary() -> None:
    pair = deaf_parent(None, "kid")
    for _ in range(3):
        restart(pair, "kid")
    (summary,) = pair.mail("pa")
    assert summary.details["missed_deaths"] == 3
    assert summary.details["first_down_at"] < summary.details["down_at"]
    assert "3 times since" in summary.message
    assert len(pair.told("pa", "service_down")) == 3


def test_a_suspicion_that_is_over_waits_for_nobody() -> None:
    pair = deaf_parent(None, "kid")
    restart(pair, "kid", after=0.5)
    assert pair.told("pa", "service_suspect")
    assert pair.mail("pa") == []


def test_a_missed_beat_that_was_made_up_for_waits_for_nobody() -> None:
    pair = deaf_parent(None, "kid")
    pair.hang("kid")
    pair.run(1.5)
    assert types(pair, "pa") == [("heartbeat_miss", "kid")]
    pair.beating.add("kid")
    pair.run(0.3)
    assert pair.mail("pa") == []


@pytest.mark.parametrize("gone", [False, True])
def test_of_a_service_that_is_still_down_or_gone_only_the_suspicion_is_withdrawn(gone: bool) -> None:
    pair = deaf_parent(CorePair(Policy(guard_ratio=1.0)), "kid")
    pair.kill("kid")
    pair.run(6.0 if gone else 2.5)
    assert ("kid" in pair.registry.records) is not gone
    down = [("service_down", "kid")]
    assert types(pair, "pa") == ([*down, ("service_deregistered", "kid")] if gone else down)
    pair.run(60.0)
    assert types(pair, "pa")[:1] == down


def test_a_service_that_was_deregistered_and_returns_is_one_summary_too() -> None:
    pair = deaf_parent(CorePair(Policy(guard_ratio=1.0)), "kid")
    restart(pair, "kid", after=6.0)
    assert pair.told("pa", "service_deregistered")
    (summary,) = pair.mail("pa")
    assert (summary.type, summary.details["missed_deaths"]) == ("heartbeat_restored", 1)


def test_its_escalation_ends() -> None:
    pair = deaf_parent(None, "kid")
    restart(pair, "kid")
    pair.run(PATIENT.escalate_after + 5.0)
    assert pair.mail("root") == []
    assert pair.mail(OPERATORS) == []


def test_whoever_it_escalated_to_gets_the_summary_as_well() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(PATIENT.escalate_after + 3.0)
    assert pair.about("root") == ["kid"]
    pair.join("kid", "pa")
    pair.run(0.5)
    assert types(pair, "root") == types(pair, "pa") == [("heartbeat_restored", "kid")]


def test_a_stall_that_is_over_waits_for_nobody() -> None:
    pair = deaf_parent(None)
    pair.join("slow", "pa", stall_after=2.0)
    pair.run(4.0)
    assert types(pair, "pa") == [("service_stalled", "slow")]
    pair.kill("slow")
    pair.run(0.3)
    pair.join("slow", "pa")
    pair.run(1.0)
    assert pair.mail("pa") == []


def test_an_alert_that_lists_a_service_which_is_still_down_waits_until_that_is_back() -> None:
    pair = grown(CorePair(), {"root": "", "pa": "root", "kid": "pa"})
    pair.kill("kid", "pa")
    pair.run(3.0)
    (death,) = pair.mail("root", "service_down")
    assert death.details["affected"] == ["kid"]
    pair.join("pa", "root")
    pair.run(0.5)
    assert types(pair, "root") == [("service_down", "pa"), ("heartbeat_restored", "pa")]
    pair.join("kid", "pa")
    pair.run(0.5)
    assert types(pair, "root") == [("heartbeat_restored", "pa")]


def test_an_orphan_is_not_told_of_a_parent_that_is_back() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("pa")
    pair.run(3.0)
    assert types(pair, "kid") == [("parent_down", "pa")]
    pair.join("pa", "root")
    pair.run(0.5)
    assert pair.mail("kid") == []


def test_what_waits_for_operators_is_theirs() -> None:
    pair = grown(CorePair(), {"alone": ""})
    pair.kill("alone")
    pair.run(3.0)
    pair.join("alone")
    pair.run(0.5)
    assert [event.type for event in pair.mail(OPERATORS)] == ["service_down", "heartbeat_restored"]


def test_alerts_of_other_programs_are_nobody_elses_to_withdraw() -> None:
    pair = deaf_parent(None, "kid")
    pair.registry.publish(Event("process_exited", alert_id="x", service_id="kid", recipient="pa"), pair.instant())
    restart(pair, "kid")
    assert types(pair, "pa") == [("process_exited", "kid"), ("heartbeat_restored", "kid")]


def test_the_withdrawal_and_the_summary_are_one_command_with_the_verdict() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(3.0)
    pair.join("kid", "pa")
    pair.now += 0.1
    pair.beat("kid")
    pair.judge.learn(pair.frame())
    orders = pair.judge.decide(pair.hearing_since, pair.instant().wall)
    pair.registry.take()
    verdict = orders.rulings[0].verdict()
    pair.registry.apply(verdict, pair.instant())
    writes = [type(write) for write in pair.registry.take().writes if type(write) in (WithdrawCopy, AppendEvent)]
    assert writes == [WithdrawCopy, AppendEvent]


def test_what_waited_behind_the_withdrawn_goes_out() -> None:
    pair = deaf_parent(None, "kid")
    for number in range(300):
        kind = "service_suspect" if number < 256 else "note"
        event = Event(kind, alert_id=str(number), service_id="kid", recipient="pa")
        pair.registry.publish(event, pair.instant())
    assert pair.registry._mailboxes.take("pa") == [], "256 are in flight"  # noqa: SLF001
    pair.kill("kid")
    pair.run(0.3)
    pair.join("kid", "pa")
    pair.run(0.5)
    assert {event.type for event in pair.mail("pa")} == {"note"}
    assert pair.registry._mailboxes.take("pa") == [], "and all that is left has been sent"  # noqa: SLF001


def test_a_new_tron_withdraws_what_the_one_before_could_not() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(3.0)
    pair.restart_tron()
    pair.join("kid", "pa")
    pair.run(0.5)
    assert types(pair, "pa") == [("heartbeat_restored", "kid")]


def test_who_was_told_of_a_death_that_was_held_first_is_told_of_the_return() -> None:
    pair = deaf_parent(None, "kid")
    pair.maintain("kid")
    pair.kill("kid")
    pair.run(3.0)
    pair.registry.release_notices("kid")
    decided = pair.decide()  # the death is released ...
    pair.join("kid", "pa")
    pair.judge.learn(pair.frame())
    later = pair.judge.decide(pair.hearing_since, pair.instant().wall)  # ... and it is back, before either arrives
    pair.apply(decided)
    pair.apply(later)
    pair.run(0.5)
    assert types(pair, "pa") == [("heartbeat_restored", "kid")]


def test_a_suspicion_about_a_service_that_left_on_purpose_waits_for_nobody() -> None:
    pair = deaf_parent(None, "kid")
    pair.hang("kid")
    pair.run(1.5)
    assert types(pair, "pa") == [("heartbeat_miss", "kid")]
    pair.leave("kid")
    assert pair.mail("pa") == []


def test_a_death_that_was_held_overtakes_the_suspicion_once_it_is_told() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(0.3)
    pair.maintain("kid")
    pair.run(3.0)
    assert types(pair, "pa") == [("service_suspect", "kid")]
    pair.registry.release_notices("kid")
    pair.run(0.5)
    assert types(pair, "pa") == [("service_down", "kid")]


def test_a_service_that_was_removed_on_purpose_and_is_registered_again_is_one_summary() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(3.0)
    pair.registry.deregister("kid", "", pair.instant())
    assert types(pair, "pa") == [("service_down", "kid")], "it is gone"
    pair.run(10.0)
    pair.join("kid", "pa")
    (summary,) = pair.mail("pa")
    assert (summary.type, summary.details["missed_deaths"]) == ("heartbeat_restored", 1)
    assert summary.details["down_at"] < summary.details["restored_at"]
    pair.run(40.0)
    assert pair.told("root", "service_down") == [], "it does not escalate any more"


def test_a_service_that_registers_for_the_first_time_is_no_return() -> None:
    pair = deaf_parent(None)
    pair.join("kid", "pa")
    pair.run(1.0)
    assert pair.told("pa") == []


FAMILY = {"a0": "", "a1": "a0", "a2": "a1", "a3": "a2"}


def listed_death() -> CorePair:
    """A parent and its child die together, and the parent returns: the alert about it waits on, because it lists the
    child."""
    pair = grown(CorePair(), FAMILY)
    pair.kill("a2", "a3")
    pair.run(3.0)
    (death,) = pair.mail("a1", "service_down")
    assert death.details["affected"] == ["a3"]
    pair.join("a2", "a1")
    pair.run(0.5)
    assert types(pair, "a1") == [("service_down", "a2"), ("heartbeat_restored", "a2")]
    return pair


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_copy_that_escalates_after_the_return_is_followed_by_the_return(acknowledged: bool, restarted: bool) -> None:
    pair = listed_death()
    told = pair.mail("a1", "heartbeat_restored")[0].alert_id
    pair.acknowledge("a1", "heartbeat_restored")
    if restarted:
        pair.restart_tron()
    pair.kill("a1")
    pair.run(3.0)
    about = [(event.type, event.service_id) for event in pair.mail("a0") if event.service_id == "a2"]
    assert about == [("service_down", "a2"), ("heartbeat_restored", "a2")]
    if acknowledged:
        pair.acknowledge("a0", "service_down", about="a2")
    pair.join("a3", "a2")
    pair.run(0.5)
    (restored,) = [event for event in pair.mail("a0") if event.service_id == "a2"]
    assert (restored.type, restored.alert_id) == ("heartbeat_restored", told)
    assert restored.details["down_at"] < restored.details["restored_at"]


def test_operators_to_whom_a_copy_escalates_after_the_return_get_the_return_too() -> None:
    pair = grown(CorePair(), {"pa": "", "kid": "pa", "grandkid": "kid"})
    pair.kill("kid", "grandkid")
    pair.run(3.0)
    pair.join("kid", "pa")
    pair.run(PATIENT.escalate_after + 3.0)
    about = [event.type for event in pair.mail(OPERATORS) if event.service_id == "kid"]
    assert about == ["service_down", "heartbeat_restored"]


def test_a_recipient_of_an_earlier_death_is_notified_of_the_next_return() -> None:
    pair = listed_death()
    pair.kill("a2")
    pair.run(3.0)
    first, second = pair.mail("a1", "service_down")
    pair.registry.acknowledge(second.alert_id, "a1", pair.instant())
    pair.run(PATIENT.escalate_after)
    assert [event.alert_id for event in pair.mail("a0") if event.service_id == "a2"] == [first.alert_id]
    pair.acknowledge("a0")
    pair.join("a2", "a1")
    pair.run(0.5)
    assert types(pair, "a0") == [("heartbeat_restored", "a2")]


def test_a_recipient_that_acknowledges_a_death_before_the_return_is_applied_is_notified_of_it() -> None:
    pair = deaf_parent(None, "kid")
    pair.maintain("kid")
    pair.kill("kid")
    pair.run(3.0)
    pair.registry.release_notices("kid")
    decided = pair.decide()
    pair.join("kid", "pa")
    pair.judge.learn(pair.frame())
    later = pair.judge.decide(pair.hearing_since, pair.instant().wall)
    pair.apply(decided)
    assert pair.acknowledge("pa", "service_down")
    pair.apply(later)
    assert types(pair, "pa") == [("heartbeat_restored", "kid")]


def test_a_return_is_not_withdrawn_before_its_recipient_is_notified_of_the_next_one() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("kid")
    pair.run(PATIENT.escalate_after + 3.0)
    pair.acknowledge("root", "service_down")
    pair.join("kid", "pa")
    pair.run(0.5)
    assert types(pair, "root") == [("heartbeat_restored", "kid")]
    pair.kill("kid")
    pair.run(3.0)
    pair.acknowledge("pa")
    pair.join("kid", "pa")
    pair.run(0.5)
    (restored,) = pair.mail("root")
    assert restored.alert_id == pair.mail("pa")[-1].alert_id, "of the later return"


def test_a_service_that_was_removed_on_purpose_is_reported_as_back_although_its_alert_waits_on() -> None:
    pair = grown(CorePair(), FAMILY)
    pair.kill("a2", "a3")
    pair.run(3.0)
    pair.registry.deregister("a2", "", pair.instant())
    pair.run(1.0)
    pair.join("a2", "a1")
    assert types(pair, "a1") == [("service_down", "a2"), ("heartbeat_restored", "a2")]
    pair.kill("a1")
    pair.run(3.0)
    about = [event.type for event in pair.mail("a0") if event.service_id == "a2"]
    assert about == ["service_down", "heartbeat_restored"]
    pair.join("a3", "a2")
    pair.run(0.5)
    assert [event.type for event in pair.mail("a0") if event.service_id == "a2"] == ["heartbeat_restored"]


def test_an_orphan_is_not_notified_late_of_a_parent_that_is_back() -> None:
    pair = deaf_parent(None, "kid")
    pair.kill("pa")
    pair.run(3.0)
    (orphaned,) = pair.mail("kid", "parent_down")
    pair.join("pa", "root")
    pair.run(0.5)
    late = AlertCopy(orphaned.alert_id, orphaned)
    assert not pair.registry.notify(late, pair.instant())
    assert pair.mail("kid") == []


def test_what_follows_later_copies_is_stored_only_where_one_may_come() -> None:
    pair = listed_death()
    judgement = pair.registry.get("a2").judgement
    assert judgement.returned is not None
    assert "missed_deaths" not in judgement.returned.details
    assert decode_judgement(encode(judgement)) == judgement
    pair.join("a3", "a2")
    pair.run(0.5)
    pair.kill("a2")
    pair.run(3.0)
    pair.join("a2", "a1")
    pair.run(0.5)
    assert pair.registry.get("a2").judgement.returned is None


def test_a_recipient_of_the_removal_only_is_notified_of_the_return() -> None:
    pair = grown(CorePair(Policy(guard_ratio=1.0)), {"root": "", "pa": "root", "kid": "pa"})
    pair.kill("kid")
    pair.run(2.5)
    pair.acknowledge("pa", "service_down")
    pair.kill("pa")
    pair.run(6.0)
    kid = [event.type for event in pair.mail("root") if event.service_id == "kid"]
    assert kid == ["service_deregistered"]
    pair.acknowledge("root")
    pair.join("kid", "pa")
    pair.run(0.5)
    assert [event.type for event in pair.mail("root") if event.service_id == "kid"] == ["heartbeat_restored"]
