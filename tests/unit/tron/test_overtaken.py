"""A parent that returns gets what is true, and one summary of what it missed; the log keeps every event."""

from __future__ import annotations

import pytest
from grid_model.event import OPERATORS, Event
from grid_model.liveness import Liveness

from registry_server.core.effects import AppendEvent, WithdrawCopy
from tests.unit.tron.court import PATIENT, Court, grown
from tron.policy import Policy

CHILDREN = [f"kid{number:02}" for number in range(16)]


def deaf_parent(court: Court | None = None, *children: str) -> Court:
    """A grandparent, a parent that acknowledges nothing, and its children."""
    return grown(court or Court(), {"root": "", "pa": "root", **dict.fromkeys(children, "pa")})


def restart(court: Court, *service_ids: str, after: float = 3.0) -> None:
    """They die, and come back."""
    court.kill(*service_ids)
    court.run(after)
    for service_id in service_ids:
        court.join(service_id, "pa")
    court.run(0.5)


def types(court: Court, recipient: str) -> list[tuple[str, str]]:
    """What waits for a recipient."""
    return [(event.type, event.service_id) for event in court.mail(recipient)]


def test_a_parent_that_returns_gets_one_summary_for_each_child_that_lives() -> None:
    court = deaf_parent(Court(Policy(misses_before_deregister=3, guard_ratio=1.0)), *CHILDREN)
    court.kill("pa")
    court.run(3.0)
    court.acknowledge("root")
    restart(court, *CHILDREN, after=6.0)
    assert {court.registry.get(each).judgement.liveness for each in CHILDREN} == {Liveness.ALIVE}
    court.join("pa", "root")
    court.run(0.2)
    children = [each for each in types(court, "pa") if each[1] in CHILDREN]
    assert sorted(children) == [("heartbeat_restored", each) for each in CHILDREN]


def test_the_log_keeps_every_event() -> None:
    court = deaf_parent(None, "kid")
    restart(court, "kid")
    told = [event.type for event in court.told("pa")]
    assert told == ["service_suspect", "service_down", "heartbeat_restored"]


def test_the_summary_has_both_times() -> None:
    court = deaf_parent(None, "kid")
    restart(court, "kid")
    (summary,) = court.mail("pa")
    death = court.told("pa", "service_down")[0]
    assert summary.type == "heartbeat_restored"
    assert summary.details["down_at"].startswith("2023-11-14T22:13:2")
    assert summary.details["missed_deaths"] == 1
    assert summary.details["first_down_at"] == summary.details["down_at"]
    assert summary.message == (
        f"kid is back: it was down from {summary.details['down_at']} to {summary.details['restored_at']}"
    )
    assert death.occurred_at < summary.occurred_at


def test_a_death_that_was_acknowledged_is_no_part_of_the_summary() -> None:
    court = deaf_parent(None, "kid")
    court.kill("kid")
    court.run(3.0)
    court.acknowledge("pa")
    court.join("kid", "pa")
    court.run(0.5)
    (restored,) = court.mail("pa")
    assert "missed_deaths" not in restored.details
    assert {"down_at", "restored_at"} <= restored.details.keys()


def test_many_deaths_that_are_over_are_one_summary() -> None:
    court = deaf_parent(None, "kid")
    for _ in range(3):
        restart(court, "kid")
    (summary,) = court.mail("pa")
    assert summary.details["missed_deaths"] == 3
    assert summary.details["first_down_at"] < summary.details["down_at"]
    assert "3 times since" in summary.message
    assert len(court.told("pa", "service_down")) == 3


def test_a_suspicion_that_is_over_waits_for_nobody() -> None:
    court = deaf_parent(None, "kid")
    restart(court, "kid", after=0.5)
    assert court.told("pa", "service_suspect")
    assert court.mail("pa") == []


def test_a_missed_beat_that_was_made_up_for_waits_for_nobody() -> None:
    court = deaf_parent(None, "kid")
    court.hang("kid")
    court.run(1.5)
    assert types(court, "pa") == [("heartbeat_miss", "kid")]
    court.beating.add("kid")
    court.run(0.3)
    assert court.mail("pa") == []


@pytest.mark.parametrize("gone", [False, True])
def test_of_a_service_that_is_still_down_or_gone_only_the_suspicion_is_withdrawn(gone: bool) -> None:
    court = deaf_parent(Court(Policy(guard_ratio=1.0)), "kid")
    court.kill("kid")
    court.run(6.0 if gone else 2.5)
    assert ("kid" in court.registry.records) is not gone
    down = [("service_down", "kid")]
    assert types(court, "pa") == ([*down, ("service_deregistered", "kid")] if gone else down)
    court.run(60.0)
    assert types(court, "pa")[:1] == down


def test_a_service_that_was_deregistered_and_returns_is_one_summary_too() -> None:
    court = deaf_parent(Court(Policy(guard_ratio=1.0)), "kid")
    restart(court, "kid", after=6.0)
    assert court.told("pa", "service_deregistered")
    (summary,) = court.mail("pa")
    assert (summary.type, summary.details["missed_deaths"]) == ("heartbeat_restored", 1)


def test_its_escalation_ends() -> None:
    court = deaf_parent(None, "kid")
    restart(court, "kid")
    court.run(PATIENT.escalate_after + 5.0)
    assert court.mail("root") == []
    assert court.mail(OPERATORS) == []


def test_whoever_it_escalated_to_gets_the_summary_as_well() -> None:
    court = deaf_parent(None, "kid")
    court.kill("kid")
    court.run(PATIENT.escalate_after + 3.0)
    assert court.about("root") == ["kid"]
    court.join("kid", "pa")
    court.run(0.5)
    assert types(court, "root") == types(court, "pa") == [("heartbeat_restored", "kid")]


def test_a_stall_that_is_over_waits_for_nobody() -> None:
    court = deaf_parent(None)
    court.join("slow", "pa", stall_after=2.0)
    court.run(4.0)
    assert types(court, "pa") == [("service_stalled", "slow")]
    court.kill("slow")
    court.run(0.3)
    court.join("slow", "pa")
    court.run(1.0)
    assert court.mail("pa") == []


def test_an_alert_that_lists_a_service_which_is_still_down_waits_until_that_is_back() -> None:
    court = grown(Court(), {"root": "", "pa": "root", "kid": "pa"})
    court.kill("kid", "pa")
    court.run(3.0)
    (death,) = court.mail("root", "service_down")
    assert death.details["affected"] == ["kid"]
    court.join("pa", "root")
    court.run(0.5)
    assert types(court, "root") == [("service_down", "pa"), ("heartbeat_restored", "pa")]
    court.join("kid", "pa")
    court.run(0.5)
    assert types(court, "root") == [("heartbeat_restored", "pa")]


def test_an_orphan_is_not_told_of_a_parent_that_is_back() -> None:
    court = deaf_parent(None, "kid")
    court.kill("pa")
    court.run(3.0)
    assert types(court, "kid") == [("parent_down", "pa")]
    court.join("pa", "root")
    court.run(0.5)
    assert court.mail("kid") == []


def test_what_waits_for_operators_is_theirs() -> None:
    court = grown(Court(), {"alone": ""})
    court.kill("alone")
    court.run(3.0)
    court.join("alone")
    court.run(0.5)
    assert [event.type for event in court.mail(OPERATORS)] == ["service_down", "heartbeat_restored"]


def test_alerts_of_other_programs_are_nobody_elses_to_withdraw() -> None:
    court = deaf_parent(None, "kid")
    court.registry.publish(Event("process_exited", alert_id="x", service_id="kid", recipient="pa"), court.instant())
    restart(court, "kid")
    assert types(court, "pa") == [("process_exited", "kid"), ("heartbeat_restored", "kid")]


def test_the_withdrawal_and_the_summary_are_one_command_with_the_verdict() -> None:
    court = deaf_parent(None, "kid")
    court.kill("kid")
    court.run(3.0)
    court.join("kid", "pa")
    court.now += 0.1
    court.beat("kid")
    court.judge.learn(court.frame())
    orders = court.judge.decide(court.hearing_since, court.instant().wall)
    court.registry.take()
    verdict = orders.rulings[0].verdict()
    court.registry.apply(verdict, court.instant())
    writes = [type(write) for write in court.registry.take().writes if type(write) in (WithdrawCopy, AppendEvent)]
    assert writes == [WithdrawCopy, AppendEvent]


def test_what_waited_behind_the_withdrawn_goes_out() -> None:
    court = deaf_parent(None, "kid")
    for number in range(300):
        kind = "service_suspect" if number < 256 else "note"
        event = Event(kind, alert_id=str(number), service_id="kid", recipient="pa")
        court.registry.publish(event, court.instant())
    assert court.registry._mailboxes.take("pa") == [], "256 are in flight"  # noqa: SLF001
    court.kill("kid")
    court.run(0.3)
    court.join("kid", "pa")
    court.run(0.5)
    assert {event.type for event in court.mail("pa")} == {"note"}
    assert court.registry._mailboxes.take("pa") == [], "and all that is left has been sent"  # noqa: SLF001


def test_a_new_tron_withdraws_what_the_one_before_could_not() -> None:
    court = deaf_parent(None, "kid")
    court.kill("kid")
    court.run(3.0)
    court.restart_tron()
    court.join("kid", "pa")
    court.run(0.5)
    assert types(court, "pa") == [("heartbeat_restored", "kid")]


def test_who_was_told_of_a_death_that_was_held_first_is_told_of_the_return() -> None:
    court = deaf_parent(None, "kid")
    court.maintain("kid")
    court.kill("kid")
    court.run(3.0)
    court.registry.release_notices("kid")
    decided = court.decide()  # the death is released ...
    court.join("kid", "pa")
    court.judge.learn(court.frame())
    later = court.judge.decide(court.hearing_since, court.instant().wall)  # ... and it is back, before either arrives
    court.apply(decided)
    court.apply(later)
    court.run(0.5)
    assert types(court, "pa") == [("heartbeat_restored", "kid")]


def test_a_suspicion_about_a_service_that_left_on_purpose_waits_for_nobody() -> None:
    court = deaf_parent(None, "kid")
    court.hang("kid")
    court.run(1.5)
    assert types(court, "pa") == [("heartbeat_miss", "kid")]
    court.leave("kid")
    assert court.mail("pa") == []


def test_a_death_that_was_held_overtakes_the_suspicion_once_it_is_told() -> None:
    court = deaf_parent(None, "kid")
    court.kill("kid")
    court.run(0.3)
    court.maintain("kid")
    court.run(3.0)
    assert types(court, "pa") == [("service_suspect", "kid")]
    court.registry.release_notices("kid")
    court.run(0.5)
    assert types(court, "pa") == [("service_down", "kid")]


def test_a_service_that_was_removed_on_purpose_and_is_registered_again_is_one_summary() -> None:
    court = deaf_parent(None, "kid")
    court.kill("kid")
    court.run(3.0)
    court.registry.deregister("kid", "", court.instant())
    assert types(court, "pa") == [("service_down", "kid")], "it is gone"
    court.run(10.0)
    court.join("kid", "pa")
    (summary,) = court.mail("pa")
    assert (summary.type, summary.details["missed_deaths"]) == ("heartbeat_restored", 1)
    assert summary.details["down_at"] < summary.details["restored_at"]
    court.run(40.0)
    assert court.told("root", "service_down") == [], "it does not escalate any more"


def test_a_service_that_registers_for_the_first_time_is_no_return() -> None:
    court = deaf_parent(None)
    court.join("kid", "pa")
    court.run(1.0)
    assert court.told("pa") == []
