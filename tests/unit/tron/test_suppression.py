"""Whether an alert is sent now: one service, the guard, and damping."""

from __future__ import annotations

from typing import Any

import pytest
from grid_model.event import OPERATORS
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Facts

from tests.unit.tron.builders import HELD, make_facts
from tests.unit.tron.test_alert_book import draft
from tron import messages
from tron.damping import Damping
from tron.facts import Kind
from tron.guard import Guard
from tron.living import Living
from tron.policy import Policies, Policy
from tron.suppression import FlapLimit, Suppression, decide, holds_death, holds_escalation

POLICY = Policy(flap_count=3, guard_min=2)
SENT = Suppression()


class Empty:
    """A fleet in which nobody is alive."""

    living = Living()

    def unit_of(self, service_id: str) -> str:
        return service_id

    def parent_of(self, _: str) -> None:
        return None


EMPTY = Empty()


def cascade(*service_ids: str) -> Guard:
    """A guard that is up for these services."""
    guard = Guard(POLICY)
    for service_id in service_ids:
        guard.failed(service_id, 10.0, 0.0)
    for now in (10.0, 10.5):
        guard.update(now, EMPTY)
    assert guard.active
    return guard


def damped(service_id: str) -> Damping:
    """Damping that a service has just reached."""
    damping = Damping()
    for now in (8.0, 9.0, 10.0):
        damping.suspected(service_id, now, Policies(POLICY, {}))
    return damping


def decided(
    kind: Kind, facts: Facts, guard: Guard | None = None, damping: Damping | None = None, reached: Policy | None = None
) -> Suppression:
    """What is decided at 10.5."""
    return decide(kind, facts, 10.5, guard or Guard(POLICY), damping or Damping(), reached)


@pytest.mark.parametrize("kind", [Kind.MISS, Kind.SUSPECT, Kind.STALL, Kind.DOWN, Kind.DEREGISTER])
def test_alerts_are_sent_unless_something_holds_them(kind: Kind) -> None:
    assert decided(kind, make_facts()) == SENT
    assert decided(kind, make_facts(maintenance=HELD)) == Suppression(messages.HELD_MAINTENANCE)


@pytest.mark.parametrize("kind", [Kind.MISS, Kind.SUSPECT, Kind.DOWN, Kind.DEREGISTER])
def test_a_mass_failure_holds_the_alerts_of_those_that_failed_in_it_but_not_stalls(kind: Kind) -> None:
    guard = cascade("a", "b")
    assert decided(kind, make_facts("a"), guard) == Suppression(messages.HELD_MASS_FAILURE)
    assert decided(kind, make_facts("c"), guard) == SENT
    assert decided(Kind.STALL, make_facts("a"), guard) == SENT


def test_damping_holds_suspicions_and_never_a_death_a_deregistration_or_a_stall() -> None:
    damping = damped("a")
    for kind in (Kind.MISS, Kind.SUSPECT):
        assert decided(kind, make_facts(), damping=damping) == Suppression(messages.HELD_FLAPPING)
    for kind in (Kind.STALL, Kind.DOWN, Kind.DEREGISTER):
        assert decided(kind, make_facts(), damping=damping) == SENT


def test_the_suspicion_that_reaches_the_flap_limit_is_still_sent_and_names_the_limit() -> None:
    last = decided(Kind.SUSPECT, make_facts(), damping=damped("a"), reached=POLICY)
    assert last == Suppression(last_before=FlapLimit(3, POLICY.flap_window))
    maintained = decided(Kind.SUSPECT, make_facts(maintenance=HELD), damping=damped("a"), reached=POLICY)
    assert maintained == Suppression(messages.HELD_MAINTENANCE)


def test_a_return_is_reported_to_those_notified_of_the_failure_whatever_holds_now() -> None:
    assert decided(Kind.RESTORE, make_facts()) == Suppression(messages.HELD_UNREPORTED_FAILURE)
    assert decided(Kind.RESTORE, make_facts(notified=("boss",), maintenance=HELD), cascade("a", "b")) == SENT


def test_a_service_without_a_parent_that_a_mass_failure_lists_needs_no_alert_of_its_own() -> None:
    guard = cascade("a", "b")
    for now in (30.0, 31.0):
        guard.update(now, EMPTY)
    assert not guard.holds
    assert decided(Kind.DEREGISTER, make_facts(parent=""), guard) == Suppression(messages.HELD_IN_CASCADE)
    assert decided(Kind.DEREGISTER, make_facts(parent="boss"), guard) == SENT


def test_a_held_death_stays_held_by_maintenance_a_mass_failure_and_its_list() -> None:
    down: dict[str, Any] = {
        "judged": Liveness.DOWN,
        "cause": LivenessCause.DISCONNECTED,
        "held_alert": draft(Kind.DOWN),
    }
    guard = cascade("a", "b")
    assert holds_death(make_facts(maintenance=HELD, **down), "boss", Guard(POLICY))
    assert holds_death(make_facts("a", **down), "boss", guard)
    assert not holds_death(make_facts("c", **down), "boss", guard)
    for now in (30.0, 31.0):
        guard.update(now, EMPTY)
    assert holds_death(make_facts("a", **down), OPERATORS, guard)
    assert not holds_death(make_facts("a", **down), "boss", guard)


def test_alerts_escalate_unless_their_service_is_maintained_or_in_a_mass_failure() -> None:
    guard = cascade("a", "b")
    assert holds_escalation("a", None, guard)
    assert not holds_escalation("c", None, guard)
    assert holds_escalation("c", make_facts("c", maintenance=HELD), guard)
    assert not holds_escalation("c", make_facts("c"), guard)
