"""All of TRON's judgement in one pure object: a frame of facts in, orders for the registry out.

Each transition passes through these stages, which are functions of values:

    detector       what became true                                  Transition
    suppression    whether its alert is sent now                     Suppression   maintenance, guard, flap damping
    audience       its recipients, and the services that failed too  Audience      hierarchy, grouping
    alert_book     what the alert contains                           Event
    orders         what the registry is asked to do                  Ruling
    follow_up      what remains to be done                           AlertCopy     held deaths, orphans, escalations

The judge connects these stages. A new judge is created for each snapshot, so everything that must survive is a fact
that the registry keeps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from grid_model.event import OPERATORS, Event
from grid_model.liveness import Liveness, LivenessCause
from grid_model.observation import Delivery, Facts, Forebear, Frame
from grid_model.verdict import AlertCopy

from tron import alert_book, suppression
from tron.audience import Audiences
from tron.damping import Damping
from tron.detector import Detector
from tron.escalation import Escalations
from tron.facts import Kind, Lease, Transition
from tron.follow_up import FollowUp
from tron.grouping import Groups
from tron.guard import Guard
from tron.hierarchy import Hierarchy
from tron.lineage import Lineage
from tron.orders import Orders, Ruling
from tron.pending import PendingTransitions
from tron.policy import Policies
from tron.preauthorized import Preauthorized
from tron.preauthorizer import Preauthorizer
from tron.returns import PATIENCE
from tron.suppression import FAILURES, RETURNS
from tron.unreached import Unreached

ORPHANS_AT_ONCE = 200
"""How many orphans are notified in the transaction of the verdict; the others follow a tick later."""

ALL = sys.maxsize

PART = 100
"""How many orders are decided in one part, which takes about 5 ms and becomes one call. In a mass failure, the alert
about a death under another parent waits for at most two parts; larger parts take less time in all, but lengthen this
wait."""

LISTED_PER_ORDER = 16
"""Listing this many services in an alert takes as long as one order."""


class Judge:
    """Evaluates all services of one registry from the frames that it receives. `observer` is TRON's own
    service_id."""

    def __init__(self, policies: Policies, observer: str, patience: float = PATIENCE) -> None:
        self.policies = policies
        self.detector = Detector(policies, frozenset({observer}), patience)
        self.hierarchy = Hierarchy(policies, self.detector, Lineage())
        self.guard = Guard(policies.default)
        self.damping = Damping()
        self.escalations = Escalations()
        self.groups = Groups()
        self.for_operators: dict[str, Delivery] = {}
        """The alerts that wait for operators, by alert_id: in the registry until they are acknowledged."""
        self.suspected: list[Facts] = []
        """The services that the registry suspected in TRON's name since this list was last emptied."""
        self.cascade_alert_id = ""
        self.complete = False
        """Whether the snapshot was read."""
        self.now = 0.0
        self._observer = observer
        self._audiences = Audiences(self.hierarchy, self.detector, self.groups, self.escalations)
        self._unreached = Unreached()
        self._pending = PendingTransitions()
        self._flapping: set[str] = set()
        """The services whose pending suspicion is the one that reaches the flap limit."""
        self._preauthorized = Preauthorized()
        self._preauthorizer = Preauthorizer(observer, self.detector, self.hierarchy, self.damping)
        self._follow_up = FollowUp(self.detector, self.hierarchy, self._audiences, self.escalations, self.guard)

    def set_policies(self, policies: Policies) -> None:
        """Use these policies from now on."""
        self.policies = self.hierarchy.policies = policies
        self.guard.policy = policies.default
        self.detector.set_policies(policies)
        for lease in self.detector.leases():
            self._preauthorized.touch(lease.facts.service_id)

    def learn(self, frame: Frame) -> None:
        """Add the facts of one frame."""
        self.now = frame.now
        for forebear in frame.forebears:
            self.hierarchy.lineage.remember(forebear)
        for service_id in frame.removed:
            self._forget(service_id)
        for facts in frame.observations:
            self._learn_facts(facts)
        for incarnation, observation, at in frame.beats:
            if self._pending:
                self._take_back_overtaken(self.detector.find_incarnation(incarnation), observation, unless=RETURNS)
            self.detector.record_beat(incarnation, observation, at)
            if self.detector.defers:
                self._defer_again(incarnation)
        for delivery in frame.deliveries:
            self.escalations.put(delivery)
            self._unreached.put(delivery)
            if delivery.event.recipient == OPERATORS:
                self.for_operators[delivery.event.alert_id] = delivery
        for alert_id, recipient in frame.deliveries_ended:
            self.escalations.end(alert_id, recipient)
            self._unreached.end(alert_id, recipient)
            if recipient == OPERATORS:
                self.for_operators.pop(alert_id, None)
        if frame.cascade_alert_id:
            self.cascade_alert_id = frame.cascade_alert_id
            self.guard.resume(frame.now, [lease.facts.service_id for lease in self.detector.failing()])
        if frame.hearing_since != self.detector.hearing_since:
            self._preauthorized.forget_all(lease.facts.service_id for lease in self.detector.leases())
        if frame.takes_deadlines:
            self.detector.defers = True
        self.complete = self.complete or frame.snapshot_complete
        if frame.snapshot_complete:
            self._recount()

    def decide(self, hearing_since: float, wall: float) -> Orders:
        """Return all orders that follow from the known facts, in one piece; see `decide_in_parts`."""
        whole = Orders()
        for orders in self.decide_in_parts(hearing_since, wall, ALL):
            whole.add(orders)
        return whole

    def decide_in_parts(self, hearing_since: float, wall: float, size: int = PART) -> Iterator[Orders]:
        """Yield the orders that follow from all known facts, in parts of about `size` orders. Other work may run
        between two parts; an empty part only gives that opportunity. `wall`: the time of the newest frame in seconds
        since 1970. Call this once for each frame, after the snapshot is complete. The orders count as accepted until
        `refused` is called.

        At most `size` transitions get their ruling (a verdict with its alerts). The other transitions wait for the next
        frame, and take turns with the transitions of that frame. So in a mass failure TRON reads a new frame after each
        call, and an alert to another parent waits for one call, not for thousands of rulings.
        """
        orders = Orders()
        more = True
        while more:
            # All failures are counted before any is ruled on: many at once are one failure.
            found = self.detector.advance(self.now, hearing_since, size)
            for transition in found:
                self._count(transition)
            more = len(found) == size
            if more:
                yield Orders()
        self._look_for_cascade(orders, wall)
        orders.copies += self._follow_up.notify_orphans()
        held_deaths = self._follow_up.release_held_deaths(wall)
        orders.copies += held_deaths
        released = {each.notified_about for each in held_deaths}
        ruled = weight = 0
        while self._pending and ruled < size:
            transition = self._pending.take()
            ruled += 1
            if transition.kind in RETURNS:
                self._preauthorized.touch(transition.service_id)  # its report deadline waited for the ruling
            if transition.kind is Kind.DEREGISTER and self._must_wait(transition.service_id, released):
                self.detector.refused(transition)
            else:
                ruling = self._rule(transition, wall)
                orders.rulings.append(ruling)
                weight += len(ruling.subtree) // LISTED_PER_ORDER
            if len(orders) + weight >= size:
                yield orders
                orders, weight = Orders(), 0
        more = True
        while more:
            copies, more = self._follow_up.escalate(self.now, size)
            orders.copies += copies
            if more:
                yield orders
                orders = Orders()
        while self._preauthorize(orders, size):
            yield orders
            orders = Orders()
        yield orders

    def idle_until(self) -> float:
        """Return the attentive second before which there is nothing to decide unless new facts arrive; the present
        second if there may be something at any moment: while a service is suspect (a stalled one may be so for days) or
        a mass failure is possible, or while decisions or alerts wait."""
        waiting = self._pending or self._follow_up.is_waiting or self.guard.holds
        if waiting or self.detector.counts()[Liveness.SUSPECT] > self.detector.tally.stalled:
            return self.now
        parts = (self.detector, self.escalations, self._unreached, self._preauthorized)
        return max(self.now, min(each.next_at for each in parts))

    def refused(self, ruling: Ruling) -> None:
        """Revert a verdict that the registry refused, and what was decided after it, which relied on it. Decide nothing
        about its service until newer facts arrive."""
        self._take_back_pending(ruling.transition.service_id)
        self._take_back(ruling.transition)
        self.detector.await_facts(ruling.transition.service_id, ruling.transition.incarnation)
        before = ruling.transition.facts
        self._follow_up.note_notified(ruling.transition.service_id, before.notified, before.held_alert)
        self.groups.unlist(ruling.subtree)

    def undelivered(self) -> list[Event]:
        """Return the CRITICAL alerts of which no recipient could be notified in time, each only once."""
        return self._unreached.due(self.now, self.hierarchy.is_connected)

    def suppression_reason(self, kind: Kind, facts: Facts) -> str:
        """Return why an alert about a transition of this kind is held now; empty if it is sent."""
        return suppression.reason(kind, facts, self.now, self.guard, self.damping)

    # --- facts ------------------------------------------------------------------------------------------------------

    def _learn_facts(self, facts: Facts) -> None:
        service_id = facts.service_id
        before = self.detector.find(service_id)
        counted = False
        if before is not None and self._pending.has(service_id):
            counted = self._take_back_overtaken(before, facts.observation)
            if self._pending.has(service_id):  # these facts leave the decision as it is, which the registry will learn
                facts = replace(
                    facts,
                    judged=before.liveness,
                    cause=before.cause,
                    judged_at=before.judged_at,
                    missed_beats=before.missed_beats,
                )
        self.hierarchy.lineage.put(Forebear(service_id, facts.name, facts.parent))
        self.detector.observe(facts)
        self._preauthorized.touch(service_id)
        if before is None:
            self._touch_children(service_id)
        if facts.judged is Liveness.DOWN:
            self._follow_up.note_held(facts)
        else:
            self._follow_up.held_deaths.end(service_id)
        if facts.judged is Liveness.ALIVE:
            self.groups.unlist((service_id,))
        if before is not None and before.liveness is Liveness.ALIVE and facts.judged is Liveness.SUSPECT:
            self._preauthorized.used_up(service_id)
            self.suspected.append(facts)
            self.guard.failed(service_id, facts.judged_at, before.judged_at)  # a stream that broke: when is known
            if not counted:
                self.damping.suspected(service_id, self.now, self.policies)

    def _forget(self, service_id: str) -> None:
        lease = self.detector.find(service_id)
        self._touch_children(service_id)
        self._pending.withdraw(service_id)
        self._flapping.discard(service_id)
        self.detector.forget(service_id)
        self.hierarchy.lineage.remove(service_id)
        self.guard.ended(service_id)
        self._preauthorized.used_up(service_id)
        self._follow_up.held_deaths.end(service_id)
        self.groups.forget(service_id)
        self.escalations.look_at(service_id, None if lease is None else lease.facts.name)

    def _recount(self) -> None:
        """Count services that failed just before this TRON process started, but not verdicts from before the registry's
        start."""
        failing = [lease for lease in self.detector.failing() if lease.judged_at > 0.0]
        for lease in sorted(failing, key=lambda each: each.judged_at):
            if lease.cause is not LivenessCause.STALLED:
                self.guard.failed(lease.facts.service_id, lease.judged_at, 0.0, _spread(lease.cause, lease.facts))

    # --- one transition ---------------------------------------------------------------------------------------------

    def _count(self, transition: Transition) -> None:
        """Count a transition for the guard and for damping; its ruling waits."""
        service_id = transition.service_id
        self._pending.put(transition)
        self._preauthorized.touch(service_id)
        if transition.kind in FAILURES:
            facts = transition.facts
            self.guard.failed(service_id, self.now, facts.judged_at, _spread(transition.cause, facts))
            if self.damping.suspected(service_id, self.now, self.policies):
                self._flapping.add(service_id)
        elif transition.kind in RETURNS:
            self.guard.ended(service_id)
            self.groups.unlist((service_id,))
            self._touch_children(service_id)

    def _take_back_overtaken(
        self, lease: Lease | None, observation: int, *, unless: frozenset[Kind] = frozenset()
    ) -> bool:
        """Revert the decisions about a service that have no ruling yet, if any of them, `unless` of these kinds, is
        older than this observation: the registry would refuse it. Return whether a counted failure is among them."""
        if lease is None or not self._pending.is_overtaken(lease.facts.service_id, observation, unless):
            return False
        return any(each.kind in FAILURES for each in self._take_back_pending(lease.facts.service_id))

    def _take_back_pending(self, service_id: str) -> list[Transition]:
        """Revert the decisions about a service that have no ruling yet. Return them, newest first."""
        withdrawn = self._pending.withdraw(service_id)
        for transition in withdrawn:
            self._take_back(transition)
        return withdrawn

    def _take_back(self, transition: Transition) -> None:
        """Revert a decision."""
        self.detector.refused(transition)
        if transition.kind in FAILURES:
            self._flapping.discard(transition.service_id)
            self.guard.ended(transition.service_id)  # it does not fail: a newer fact is there
        self._preauthorized.touch(transition.service_id)

    def _must_wait(self, service_id: str, released: set[str]) -> bool:
        """Return whether a service must not be deregistered yet: in a mass failure, or until the alert of its death is
        sent."""
        return self.guard.holds or service_id in released or self._follow_up.held_deaths.is_postponed(service_id)

    def _rule(self, transition: Transition, wall: float) -> Ruling:
        policy = None
        if transition.kind in FAILURES and transition.service_id in self._flapping:
            self._flapping.discard(transition.service_id)
            policy = self.policies.of(transition.service_id)
        why = suppression.decide(transition.kind, transition.facts, self.now, self.guard, self.damping, policy)
        audience = self._audiences.of(transition, held=bool(why.reason))
        alerts = alert_book.alerts_of(transition, audience, why, wall, self.now)
        if not alerts:
            return Ruling(transition)
        alert, *further = alerts
        if why.reason:
            if transition.kind is Kind.DOWN:  # it is sent later; no other alert is
                self._follow_up.after_held_death(transition.facts, alert)
            return Ruling(transition, alert, why.reason)
        if transition.kind is Kind.RESTORE:
            self._follow_up.note_notified(transition.service_id, (), None)
        elif transition.kind is Kind.DOWN:
            self._follow_up.after_death(transition.facts, audience, further[ORPHANS_AT_ONCE:])
            self.groups.put(transition.service_id, alert.alert_id, audience.subtree, audience.plain_at)
            self._touch_children(transition.service_id)
            further = further[:ORPHANS_AT_ONCE]
        return Ruling(transition, alert, "", audience.grouped, audience.subtree, tuple(further))

    def _look_for_cascade(self, orders: Orders, wall: float) -> None:
        cascade = self.guard.update(self.now, self.hierarchy)
        self.detector.hold_deregistrations(self.guard.holds)
        if cascade is not None:
            alert = alert_book.cascade_alert(cascade, self._observer, wall, self.now)
            self.cascade_alert_id = alert.alert_id
            orders.copies.append(AlertCopy(alert.alert_id, alert))
        elif not self.guard.active:
            self.cascade_alert_id = ""

    # --- in advance -------------------------------------------------------------------------------------------------

    def _preauthorize(self, orders: Orders, size: int) -> bool:
        """Decide in advance what follows if a stream breaks. Return whether more has to be decided."""
        touched = self._preauthorized.touched(self.now, size)
        for service_id in touched:
            wanted, again_at = self._preauthorizer.suspicion_of(self.detector.find(service_id), self.now)
            if again_at is not None:
                self._preauthorized.touch_at(service_id, again_at)
            suspicion, withdrawn = self._preauthorized.change(service_id, wanted)
            if suspicion is not None:
                orders.preauthorized.append(suspicion)
            if withdrawn is not None:
                orders.withdrawn.append(withdrawn)
            deadline = self.detector.defer(service_id) if self._may_defer(service_id) else None
            if deadline is not None:
                orders.deadlines.append(deadline)
        return len(touched) == size

    def _may_defer(self, service_id: str) -> bool:
        """Return whether the registry would accept a report deadline of this service. It ignores the deadline of a
        service that is still suspect there, so the verdict that ends the suspicion must be sent first."""
        return not self._pending.has(service_id)

    def _defer_again(self, incarnation: int) -> None:
        """The registry sent a heartbeat of this service: if it lives, it need not send the next."""
        lease = self.detector.find_incarnation(incarnation)
        if lease is not None and lease.liveness is Liveness.ALIVE:
            self._preauthorized.touch(lease.facts.service_id)

    def _touch_children(self, service_id: str) -> None:
        """Check the children of a service again, because their alerts may now have another recipient."""
        for child in self.hierarchy.lineage.children(service_id):
            self._preauthorized.touch(child)


def _spread(cause: LivenessCause, facts: Facts) -> float:
    """Return to within how many seconds the start of a service's silence is known."""
    return facts.interval if cause is LivenessCause.SILENT else 0.0
