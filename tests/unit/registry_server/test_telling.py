"""Recipients notified with a verdict, or beside one: grouping, quiet verdicts, further alerts, notices."""

from __future__ import annotations

from typing import Any

import pytest
from grid_model.event import Event
from grid_model.verdict import AlertCopy, Verdict, VerdictKind, VerdictOutcome, VerdictResult

from registry_server.core.effects import AppendEvent, RemoveService, StopEscalation
from tests.unit.registry_server.builders import Grid, lines, make_event

ALIVE, SUSPECT, DOWN, DEREGISTER = VerdictKind


@pytest.fixture
def grid() -> Grid:
    """A watched family: grandpa, pa and kid, each on a stream of its own."""
    grid = Grid()
    grid.watch()
    for session, (service_id, parent) in enumerate([("grandpa", ""), ("pa", "grandpa"), ("kid", "pa")], 1):
        grid.register(service_id, session, parent=parent)
    grid.take()
    return grid


def rule(grid: Grid, kind: VerdictKind, service_id: str, **fields: Any) -> VerdictResult:
    """Apply a verdict that is based on the newest facts."""
    record = grid.registry.get(service_id)
    return grid.registry.apply(
        Verdict(service_id, record.incarnation, record.observation, kind, **fields), grid.later()
    )


def down(service_id: str, recipient: str, alert_id: str = "") -> Event:
    """The alert of a death."""
    return make_event(
        "service_down", alert_id=alert_id or f"{service_id} is down", service_id=service_id, recipient=recipient
    )


def told_to(grid: Grid, service_id: str) -> tuple[str, ...]:
    """The recipients that were notified of its death."""
    return grid.registry.get(service_id).judgement.told_to


def waits(grid: Grid, recipient: str) -> list[tuple[str, bool]]:
    """What waits for a recipient, and whether it is settled for the way up."""
    return [(copy.event.alert_id, copy.escalated) for copy in grid.registry.waiting_for(recipient)]


# --- verdicts -------------------------------------------------------------------------------------------------------


def test_a_quiet_verdict_is_recorded_and_told_to_nobody(grid: Grid) -> None:
    result = rule(grid, DOWN, "kid", alert=down("kid", "pa"), quiet=True)
    assert (result.outcome, result.delivered) == (VerdictOutcome.APPLIED, False)
    assert [write.event.recipient for write in lines(grid.take(), AppendEvent)] == [""]
    assert waits(grid, "pa") == []
    assert told_to(grid, "kid") == ()
    assert grid.registry.get("kid").judgement.down_event == result.alert


def test_a_death_remembers_who_was_told_by_the_id_of_who_was_meant(grid: Grid) -> None:
    grid.register("boss", 9, name="Chief")
    rule(grid, DOWN, "kid", alert=down("kid", "Chief"))
    assert told_to(grid, "kid") == ("boss",)


def test_a_suspicion_told_to_somebody_is_not_a_death_told_to_it(grid: Grid) -> None:
    rule(grid, SUSPECT, "kid", alert=make_event("service_suspect", recipient="pa"))
    assert told_to(grid, "kid") == ()


def test_who_is_alive_again_was_told_of_to_nobody_and_is_listed_nowhere(grid: Grid) -> None:
    rule(grid, SUSPECT, "kid")
    rule(grid, DOWN, "pa", alert=down("pa", "grandpa"), folds=("kid",))
    rule(grid, ALIVE, "kid")
    judgement = grid.registry.get("kid").judgement
    assert (judgement.down_event, judgement.told_to, judgement.folded_into) == (None, (), "")


def test_who_is_listed_in_an_alert_has_its_own_copies_to_the_dead_settled(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"))
    grid.take()
    rule(grid, DOWN, "pa", alert=down("pa", "grandpa"), folds=("kid", "nobody"))
    assert waits(grid, "pa") == [("kid is down", True)]
    assert waits(grid, "grandpa") == [("pa is down", False)]
    assert lines(grid.take(), StopEscalation) == [StopEscalation("kid is down", "pa")]
    assert grid.registry.get("kid").judgement.folded_into == "pa is down"


def test_an_alert_of_who_is_listed_already_does_not_climb(grid: Grid) -> None:
    rule(grid, SUSPECT, "kid")
    rule(grid, DOWN, "pa", alert=down("pa", "grandpa"), folds=("kid",))
    rule(grid, DOWN, "kid", alert=down("kid", "pa"), folded=True)
    assert waits(grid, "pa") == [("kid is down", True)]


def test_an_alert_climbs_after_all_where_the_one_that_was_to_list_it_was_refused(grid: Grid) -> None:
    stale = Verdict("pa", grid.registry.get("pa").incarnation, 1, DOWN, alert=down("pa", "grandpa"), folds=("kid",))
    assert grid.registry.apply(stale, grid.later()).outcome is VerdictOutcome.STALE
    rule(grid, DOWN, "kid", alert=down("kid", "pa"), folded=True)
    assert waits(grid, "pa") == [("kid is down", False)]


def test_further_alerts_become_true_with_the_verdict_or_not_at_all(grid: Grid) -> None:
    orphan = make_event("parent_down", alert_id="orphan", recipient="kid")
    stale = Verdict("pa", grid.registry.get("pa").incarnation, 1, DOWN, further_alerts=(orphan,))
    grid.registry.apply(stale, grid.later())
    assert waits(grid, "kid") == []
    rule(grid, DOWN, "pa", alert=down("pa", "grandpa"), further_alerts=(orphan,))
    assert waits(grid, "kid") == [("orphan", False)]


# --- notices --------------------------------------------------------------------------------------------------------


def test_a_copy_climbs_once_to_whom_the_notice_names(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"))
    copy = AlertCopy("kid is down", down("kid", "grandpa"), escalated_from="pa", notified_about="kid")
    assert grid.registry.notify(copy, grid.later())
    assert waits(grid, "pa") == [("kid is down", True)]
    assert waits(grid, "grandpa") == [("kid is down", False)]
    assert told_to(grid, "kid") == ("pa", "grandpa")
    grid.take()
    assert not grid.registry.notify(copy, grid.later())
    assert grid.take().empty


def test_a_copy_that_was_acknowledged_meanwhile_does_not_climb(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"))
    grid.registry.acknowledge("kid is down", "pa", grid.later())
    copy = AlertCopy("kid is down", down("kid", "grandpa"), escalated_from="pa", notified_about="kid")
    assert not grid.registry.notify(copy, grid.later())
    assert waits(grid, "grandpa") == []
    assert told_to(grid, "kid") == ("pa",)


def test_a_notice_without_an_event_settles_a_copy_and_says_nothing(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"))
    assert grid.registry.notify(AlertCopy("kid is down", escalated_from="pa"), grid.later())
    assert waits(grid, "pa") == [("kid is down", True)]


def test_a_death_that_was_held_is_told_once(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"), quiet=True)
    release = AlertCopy("kid is down", down("kid", "pa"), notified_about="kid")
    assert grid.registry.notify(release, grid.later())
    assert told_to(grid, "kid") == ("pa",)
    grid.registry.acknowledge("kid is down", "pa", grid.later())
    assert not grid.registry.notify(release, grid.later())
    assert waits(grid, "pa") == []


def test_a_death_that_was_held_and_is_over_is_not_told(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"), quiet=True)
    rule(grid, ALIVE, "kid")
    assert not grid.registry.notify(AlertCopy("kid is down", down("kid", "pa"), notified_about="kid"), grid.later())
    assert waits(grid, "pa") == []


def test_the_same_notice_waits_once_for_the_same_recipient(grid: Grid) -> None:
    cascade = AlertCopy("cascade", make_event("cascading_failure", alert_id="cascade", recipient="operators"))
    assert grid.registry.notify(cascade, grid.later())
    assert not grid.registry.notify(cascade, grid.later())
    assert waits(grid, "operators") == [("cascade", False)]


def test_who_is_told_of_a_death_after_the_service_was_given_up_is_remembered_for_its_return(grid: Grid) -> None:
    rule(grid, DOWN, "kid", alert=down("kid", "pa"))
    rule(grid, DEREGISTER, "kid")
    grid.take()
    copy = AlertCopy("kid is down", down("kid", "grandpa"), escalated_from="pa", notified_about="kid")
    assert grid.registry.notify(copy, grid.later())
    (burial,) = lines(grid.take(), RemoveService)
    assert burial.tombstone.judgement is not None
    assert burial.tombstone.judgement.told_to == ("pa", "grandpa")
    grid.register("kid", 3, parent="pa")
    assert told_to(grid, "kid") == ("pa", "grandpa")


def test_a_death_that_was_held_and_is_judged_again_to_be_told_is_told_once_under_its_id(grid: Grid) -> None:
    """An observer that lags judges a second time, before it hears that its first verdict was recorded in silence."""
    held = rule(grid, DOWN, "kid", alert=down("kid", "pa"), quiet=True)
    assert held.alert is not None
    assert told_to(grid, "kid") == ()
    told = rule(grid, DOWN, "kid", alert=down("kid", "pa", "another id"))
    assert told.outcome is VerdictOutcome.APPLIED
    assert told.alert is not None
    assert (told.alert.alert_id, told.alert.recipient) == (held.alert.alert_id, "pa")
    assert told_to(grid, "kid") == ("pa",)
    for quiet in (False, True):
        again = rule(grid, DOWN, "kid", alert=down("kid", "pa"), quiet=quiet)
        assert again.outcome is VerdictOutcome.UNCHANGED
