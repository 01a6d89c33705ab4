"""Decides how a parent handles children that fail: restart, wait, or escalate. This module reads no clock and does no
I/O.

All times are seconds on one monotonic clock, passed in as `now`. `Supervision` receives facts and returns decisions;
supervisor.py carries them out and reports their results.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal

from tron_client.restart_history import RestartHistory, RestartLimits

if TYPE_CHECKING:
    from datetime import datetime

    from tron_client.models import Service

REMEMBERED = 1000
"""The number of handled alerts that are remembered, so that a repetition of one is recognized. Overflow rule: the
oldest is forgotten."""

_SLACK = 1.0
"""Seconds that a restart may exceed its time until it counts as stuck: the restart reports its own timeout first."""


def lives(service: Service | None, failed_incarnation: int) -> bool:
    """Return whether a service is alive again after its incarnation `failed_incarnation` failed. While the liveness of
    the service is UNKNOWN, the service counts as alive if a newer incarnation of it is connected."""
    if service is None:
        return False
    if service.liveness == "UNKNOWN":
        return _lives_anew(service, failed_incarnation)
    return service.liveness == "ALIVE" and service.liveness_cause != "STALLED"


def needs_restart(service: Service | None, failed_incarnation: int) -> bool:
    """Return whether a service that failed still needs a restart. `failed_incarnation` is the last incarnation that
    failed.

    A service that has registered again needs no restart, although the old verdict about it may remain for a moment. A
    service that is SUSPECT needs no restart either, because it has come back since the failure. If such a service fails
    again, another alert follows.
    """
    if service is None:
        return True
    suspect = service.liveness == "SUSPECT" and service.liveness_cause != "STALLED"
    return not (suspect or lives(service, failed_incarnation) or _lives_anew(service, failed_incarnation))


def died_again(service: Service | None, since: datetime | None) -> bool:
    """Return whether a service is DOWN by a verdict that was reached after `since`."""
    if service is None or since is None or service.liveness != "DOWN" or service.liveness_since is None:
        return False
    return service.liveness_since > since


def _lives_anew(service: Service, failed_incarnation: int) -> bool:
    return service.connected and service.incarnation > failed_incarnation > 0


@dataclass(frozen=True, slots=True)
class Restart:
    """A decision to restart the child now: the `attempt`-th restart within the window, because of the alert `alert_id`.

    `incarnation` is the last incarnation that is known to have failed, 0 if none is known.
    """

    child: str
    attempt: int
    incident: str
    alert_id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Escalate:
    """A decision to send an alert to the agent's own parent, because the child is not restarted again; `why` is the
    reason. `incarnation` has the same meaning as in Restart."""

    child: str
    restarts: int
    why: Literal["max_restarts_exceeded", "restart_stuck"]
    incident: str
    alert_id: str
    incarnation: int


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A decision to acknowledge these alerts, because the supervisor has handled them."""

    alert_ids: tuple[str, ...]


Decision = Restart | Escalate | Acknowledge

Outcome = Literal["up", "not_needed", "failed", "postponed"]
"""How a restart ended. `up`: the child is alive again. `not_needed`: the child was already alive, and nothing was done.
`failed`: the child is not alive. `postponed`: nothing was done, because the state of the child could not be
determined."""

EscalationOutcome = Literal["recorded", "not_needed", "failed"]
"""How an escalation ended. `recorded`: the event is recorded. `not_needed`: the child is alive, so nothing was
recorded. `failed`: the event could not be recorded."""


class _Phase(Enum):
    SOUND = "no failure is known"
    WAITING = "to be restarted when it is due"
    RESTARTING = "being restarted"
    ESCALATING = "restarts are used up, to be escalated"
    ESCALATED = "escalated"


@dataclass(slots=True)
class _Child:
    history: RestartHistory
    phase: _Phase = _Phase.SOUND
    open: dict[str, None] = field(default_factory=dict)  # a set that keeps the order
    due: float = 0.0
    started: float = 0.0
    running: bool = False
    stuck: bool = False
    returned: bool = False  # it was reported alive during its restart, and no failure since
    incarnation: int = 0
    trouble: int = 0  # the number of its failure: it grows whenever one is over
    escalating: tuple[int, int] | None = None  # which trouble, and in which incarnation, is being escalated
    failed_escalations: int = 0


class Supervision:
    """The state of all children of an agent, and the decisions about them. An alert is acknowledged only after the
    supervisor has acted on it: when the child is alive again, or when its failure was escalated."""

    def __init__(self, limits: RestartLimits) -> None:
        self._limits = limits
        self._children: dict[str, _Child] = {}
        self._dealt_with: OrderedDict[str, None] = OrderedDict()

    def recall(self, child: str, started: float, incident: str) -> None:
        """Record a restart by an earlier supervisor process, as read from the event log. Call this before anything
        else, for the oldest restart first."""
        self._child(child).history.started(started, incident)

    def alerted(self, child: str, alert_id: str, incarnation: int, now: float) -> list[Decision]:
        """Record that a child failed, and return the decisions that follow; `incarnation` is the one that failed, 0 if
        it is not known."""
        if alert_id in self._dealt_with:
            return [Acknowledge((alert_id,))]
        known = self._child(child)
        if known.phase is _Phase.ESCALATED and incarnation <= known.incarnation:
            return self._dealt([alert_id])  # the same death, by another name
        known.open[alert_id] = None
        known.returned = False
        known.incarnation = max(known.incarnation, incarnation)
        if known.phase in (_Phase.SOUND, _Phase.ESCALATED):
            self._plan(known, now)
        return self.tick(now)

    def recovered(self, child: str, now: float) -> list[Decision]:
        """Record that a child is alive, no matter why, and return the decisions that follow."""
        known = self._children.get(child)
        if known is None:
            return []
        if known.phase is _Phase.RESTARTING:
            known.returned = True  # what its restart finds decides; if that failed, this does
            return []
        return [*self._settle(known), *self.tick(now)]

    def ended(self, child: str, outcome: Outcome, now: float) -> list[Decision]:
        """Record the outcome of a restart that `tick` returned as a decision, and return the decisions that follow."""
        known = self._children[child]
        known.running = False
        known.history.ended(now)
        decisions: list[Decision] = []
        if outcome in ("not_needed", "postponed"):
            known.history.undo()
        if outcome in ("up", "not_needed") or (known.phase is _Phase.RESTARTING and known.returned):
            decisions += self._settle(known)
        elif known.phase is _Phase.RESTARTING and outcome == "postponed":
            known.phase, known.due = _Phase.WAITING, now + self._limits.first_delay
        elif known.phase is _Phase.RESTARTING:
            self._plan(known, now)
        return decisions + self.tick(now)

    def escalated(self, child: str, outcome: EscalationOutcome, now: float) -> list[Decision]:
        """Record the outcome of an escalation that `tick` returned as a decision, and return the decisions that
        follow."""
        known = self._children[child]
        escalating, known.escalating = known.escalating, None
        if known.phase is not _Phase.ESCALATING or escalating is None or escalating[0] != known.trouble:
            return self.tick(now)  # it recovered meanwhile
        decisions: list[Decision] = []
        if outcome == "not_needed":
            decisions = self._settle(known)
        elif outcome == "failed":
            known.due = now + min(2.0 ** min(known.failed_escalations, 32), self._limits.longest_delay)
            known.failed_escalations += 1
        elif escalating[1] < known.incarnation:
            self._plan(known, now)  # it lived and died again meanwhile
        else:
            known.phase, known.due, known.failed_escalations = _Phase.ESCALATED, now + self._limits.window, 0
            decisions = self._dealt(list(known.open))
            known.open.clear()
        return decisions + self.tick(now)

    def tick(self, now: float) -> list[Decision]:
        """Return the decisions that are due now."""
        decisions: list[Decision] = []
        for name, child in list(self._children.items()):
            if child.phase is _Phase.RESTARTING and now >= self._overdue(child):
                child.phase, child.due, child.stuck = _Phase.ESCALATING, now, True
            if child.phase is _Phase.ESCALATED and child.due <= now and not child.running:
                child.phase = _Phase.SOUND
            idle = child.phase is _Phase.SOUND and not child.running and child.escalating is None
            if idle and not child.history.count(now):
                del self._children[name]
        unsent = [each for each in self._due(_Phase.ESCALATING, now) if each[1].escalating is None]
        decisions += [self._escalate(name, child, now) for name, child in unsent[: self._room_to_escalate()]]
        for name, child in self._due(_Phase.WAITING, now)[: self._room()]:
            alert_id = next(iter(child.open))
            child.history.started(now, alert_id)
            child.phase, child.started, child.running, child.returned = _Phase.RESTARTING, now, True, False
            count = child.history.count(now)
            decisions.append(Restart(name, count, child.history.incident, alert_id, child.incarnation))
        return decisions

    def due_in(self, now: float) -> float | None:
        """Return the seconds until `tick` has something to decide; None if nothing becomes due."""
        children = self._children.values()
        moments = [self._overdue(each) for each in children if each.phase is _Phase.RESTARTING]
        if self._room_to_escalate():
            moments += [each.due for each in children if each.phase is _Phase.ESCALATING and each.escalating is None]
        if self._room():
            moments += [each.due for each in children if each.phase is _Phase.WAITING]
        return max(0.0, min(moments) - now) if moments else None

    def _child(self, name: str) -> _Child:
        return self._children.setdefault(name, _Child(RestartHistory(self._limits)))

    def _due(self, phase: _Phase, now: float) -> list[tuple[str, _Child]]:
        due = [each for each in self._children.items() if each[1].phase is phase and each[1].due <= now]
        return sorted(due, key=lambda each: each[1].due)

    def _plan(self, child: _Child, now: float) -> None:
        start = child.history.next_start(now)
        if child.running or start is None:
            child.phase, child.due, child.stuck = _Phase.ESCALATING, now, child.running
        else:
            child.phase, child.due, child.stuck = _Phase.WAITING, start, False

    def _escalate(self, name: str, child: _Child, now: float) -> Escalate:
        child.escalating = (child.trouble, child.incarnation)
        restarts = child.history.count(now)
        alert_id = next(iter(child.open), "")
        why: Literal["max_restarts_exceeded", "restart_stuck"] = (
            "restart_stuck" if child.stuck else "max_restarts_exceeded"
        )
        return Escalate(name, restarts, why, child.history.incident or alert_id, alert_id, child.incarnation)

    def _settle(self, child: _Child) -> list[Decision]:
        child.phase, child.failed_escalations = _Phase.SOUND, 0
        child.trouble += 1
        dealt = self._dealt(list(child.open))
        child.open.clear()
        return dealt

    def _dealt(self, alert_ids: list[str]) -> list[Decision]:
        if not alert_ids:
            return []
        for alert_id in alert_ids:
            self._dealt_with[alert_id] = None
        while len(self._dealt_with) > REMEMBERED:
            self._dealt_with.popitem(last=False)
        return [Acknowledge(tuple(alert_ids))]

    def _overdue(self, child: _Child) -> float:
        return child.started + self._limits.restart_timeout + _SLACK

    def _room(self) -> int:
        return max(0, self._limits.concurrency - sum(each.running for each in self._children.values()))

    def _room_to_escalate(self) -> int:
        return self._limits.concurrency - sum(each.escalating is not None for each in self._children.values())
