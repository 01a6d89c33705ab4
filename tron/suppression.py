"""Decides whether an alert is sent now: maintenance, a mass failure and flapping hold it. Pure.

Each function considers one service only, so that it takes the same time in a mass failure as for a single failure.
"""

from __future__ import annotations

from dataclasses import dataclass

from grid_model.event import OPERATORS
from grid_model.observation import Facts
from grid_model.verdict import VerdictKind

from tron import messages
from tron.damping import Damping
from tron.facts import Kind
from tron.guard import Guard
from tron.policy import Policy

FAILURES = frozenset(kind for kind in Kind if kind.meaning.verdict is VerdictKind.SUSPECT and kind is not Kind.STALL)
"""The kinds of suspicion that may lead to DOWN. Only these count for the guard and for damping."""

RETURNS = frozenset(kind for kind in Kind if kind.meaning.verdict is VerdictKind.ALIVE)
"""The kinds of transition that make a service ALIVE again."""


@dataclass(frozen=True, slots=True)
class FlapLimit:
    """The number of suspicions within a window (in seconds) that starts damping."""

    count: int
    window: float


@dataclass(frozen=True, slots=True)
class Suppression:
    """The decision whether an alert is sent now. `reason`: why it is held; empty if it is sent. `last_before`: the flap
    limit, if this suspicion reached it; the alert is then the last one before damping."""

    reason: str = ""
    last_before: FlapLimit | None = None


def decide(kind: Kind, facts: Facts, now: float, guard: Guard, damping: Damping, reached: Policy | None) -> Suppression:
    """Return whether the alert of a transition is sent now. `reached`: the policy whose flap limit this transition
    reached; None if it reached none."""
    why = reason(kind, facts, now, guard, damping)
    if why == messages.HELD_FLAPPING and reached is not None:
        return Suppression(last_before=FlapLimit(reached.flap_count, reached.flap_window))
    return Suppression(why)


def reason(kind: Kind, facts: Facts, now: float, guard: Guard, damping: Damping) -> str:
    """Return why an alert about a transition of this kind is held at `now` (attentive seconds); empty if it is sent."""
    if kind is Kind.RESTORE:
        return "" if facts.notified else messages.HELD_UNREPORTED_FAILURE
    if facts.maintained:
        return messages.HELD_MAINTENANCE
    if guard.covers(facts.service_id) and kind is not Kind.STALL:
        return messages.HELD_MASS_FAILURE
    if kind in FAILURES and damping.is_damped(facts.service_id, now):
        return messages.HELD_FLAPPING
    listed = kind is Kind.DEREGISTER and not facts.parent and facts.service_id in guard.listed
    return messages.HELD_IN_CASCADE if listed else ""


def holds_death(facts: Facts, recipient: str, guard: Guard) -> bool:
    """Return whether the alert about a death, which was held when the service died, must still be held."""
    listed = recipient == OPERATORS and facts.service_id in guard.listed
    return facts.maintained or listed or guard.covers(facts.service_id)


def holds_escalation(service_id: str, facts: Facts | None, guard: Guard) -> bool:
    """Return whether the escalation of alerts about a service is held now. `facts`: None if the service is no longer
    registered."""
    return guard.covers(service_id) or (facts is not None and facts.maintained)
