"""All of TRON's judgement in one pure object: a frame of facts in, orders for the registry out.

Each transition takes one way through functions of values:

    detector       what became true                                  Transition
    suppression    whether its alert is sent now                     Suppression   maintenance, guard, flap damping
    audience       its recipients, and the services that failed too  Audience      hierarchy, grouping
    alert_book     what is said                                      AlertDraft
    orders         what the registry is asked to do                  Ruling
    here           what stays to be done                             held deaths, orphans, escalations

The judge strings these together and is rebuilt from each snapshot: whatever must survive is a fact that the registry
keeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tron import alert_book, suppression
from tron.audience import Audience, Audiences
from tron.damping import Damping
from tron.detector import Detector
from tron.escalation import Escalations, next_step
from tron.facts import OPERATORS, AlertDraft, Cause, Delivery, Facts, Forebear, Frame, Kind, State, Transition
from tron.grouping import Groups
from tron.guard import Guard
from tron.held_deaths import HeldDeaths
from tron.hierarchy import Hierarchy
from tron.lineage import Lineage
from tron.orders import AlertCopy, Orders, Ruling
from tron.policy import Policies
from tron.preauthorized import Preauthorized, Preauthorizer
from tron.suppression import FAILURES
from tron.unreached import Unreached

ORPHANS_AT_ONCE = 200
"""Orphans that are notified in the transaction of the verdict; the others a tick later, if it was not refused."""

PART = 200
"""Orders that are decided in one go: 10 ms, and one call."""


class Judge:
    """Judges all services of one registry, as of the frames that it is given. `observer` is TRON's own service_id."""

    def __init__(self, policies: Policies, observer: str) -> None:
        self.policies = policies
        self.detector = Detector(policies, exempt=frozenset({observer}))
        self.hierarchy = Hierarchy(policies, self.detector, Lineage())
        self.guard = Guard(policies.default)
        self.damping = Damping()
        self.escalations = Escalations()
        self.groups = Groups()
        self.for_operators: dict[str, Delivery] = {}
        """The alerts that wait for operators, by alert_id: in the registry until they are acknowledged."""
        self.suspected: list[Facts] = []
        """The services that the registry suspected in our name since this was last emptied."""
        self.cascade_alert_id = ""
        self.complete = False
        """Whether the snapshot was read."""
        self.now = 0.0
        self._observer = observer
        self._audiences = Audiences(self.hierarchy, self.detector, self.groups, self.escalations)
        self._unreached = Unreached()
        self._preauthorized = Preauthorized()
        self._preauthorizer = Preauthorizer(observer, self.detector, self.hierarchy, self.damping)
        self._held_deaths = HeldDeaths()
        self._orphans: list[AlertDraft] = []
        """Alerts to orphans for which there was no room with the verdict."""

    def set_policies(self, policies: Policies) -> None:
        """Judge by these from now on."""
        self.policies = self.hierarchy.policies = policies
        self.guard.policy = policies.default
        self.detector.set_policies(policies)
        for lease in self.detector.leases():
            self._preauthorized.touch(lease.facts.service_id)

    def learn(self, frame: Frame) -> None:
        """Take over the registry's facts of one moment."""
        self.now = frame.now
        for forebear in frame.forebears:
            self.hierarchy.lineage.remember(forebear)
        for service_id in frame.removed:
            self._forget(service_id)
        for facts in frame.observations:
            self._learn_facts(facts)
        for incarnation, observation, at in frame.beats:
            self.detector.record_beat(incarnation, observation, at)
        for delivery in frame.deliveries:
            self.escalations.put(delivery)
            self._unreached.put(delivery)
            if delivery.alert.recipient == OPERATORS:
                self.for_operators[delivery.alert.alert_id] = delivery
        for alert_id, recipient in frame.deliveries_ended:
            self.escalations.end(alert_id, recipient)
            self._unreached.end(alert_id, recipient)
            if recipient == OPERATORS:
                self.for_operators.pop(alert_id, None)
        if frame.cascade_alert_id:
            self.cascade_alert_id = frame.cascade_alert_id
            failed = (lease.facts.service_id for lease in self.detector.leases() if lease.state is not State.ALIVE)
            self.guard.resume(frame.now, failed)
        if frame.hearing_since != self.detector.hearing_since:
            self._preauthorized.forget_all(lease.facts.service_id for lease in self.detector.leases())
        self.complete = self.complete or frame.snapshot_complete
        if frame.snapshot_complete:
            self._recount()

    def decide(self, hearing_since: float, wall: float) -> Orders:
        """All that follows from what is known, in one piece; see `decide_in_parts`."""
        whole = Orders()
        for orders in self.decide_in_parts(hearing_since, wall):
            whole.add(orders)
        return whole

    def decide_in_parts(self, hearing_since: float, wall: float, size: int = PART) -> Iterator[Orders]:
        """What follows from all that is known, in parts of about `size` orders; between two of them others may run, and
        an empty part is there only for that. `wall`: the epoch time of the newest frame. Call once a frame, after the
        snapshot is complete; the orders count as accepted until `refused` says otherwise."""
        orders = Orders()
        transitions: list[Transition] = []
        flapping: set[str] = set()
        more = True
        while more:
            # All failures are counted before any is ruled on: many at once are one failure.
            found = self.detector.advance(self.now, hearing_since, size)
            flapping |= {each.service_id for each in found if self._count(each)}
            transitions += found
            more = len(found) == size
            if more:
                yield Orders()
        self._look_for_cascade(orders, wall)
        self._notify_orphans(orders)
        released = self._release_held_deaths(orders, wall)
        for transition in transitions:
            if transition.kind is Kind.DEREGISTER and self._must_wait(transition.service_id, released):
                self.detector.refused(transition)
            else:
                orders.rulings.append(self._rule(transition, wall, reaches_limit=transition.service_id in flapping))
            if len(orders) >= size:
                yield orders
                orders = Orders()
        while self._escalate(orders, size):
            yield orders
            orders = Orders()
        while self._preauthorize(orders, size):
            yield orders
            orders = Orders()
        yield orders

    def refused(self, ruling: Ruling) -> None:
        """The registry knew better. Newer facts are on their way."""
        self.detector.refused(ruling.transition)
        if ruling.transition.kind in FAILURES:
            self.guard.ended(ruling.transition.service_id)  # it does not fail: a newer fact is there
        self._preauthorized.touch(ruling.transition.service_id)
        before = ruling.transition.facts
        self._note_notified(ruling.transition.service_id, before.notified, before.held_alert)
        self.groups.unlist(ruling.subtree)

    def undelivered(self) -> list[AlertDraft]:
        """CRITICAL alerts of which nobody at all was notified in time, each once."""
        return self._unreached.due(self.now, self.hierarchy.is_connected)

    def suppression_reason(self, kind: Kind, facts: Facts) -> str:
        """Why the alert of such a transition is held now; empty if it is sent."""
        return suppression.reason(kind, facts, self.now, self.guard, self.damping)

    # --- facts ------------------------------------------------------------------------------------------------------

    def _learn_facts(self, facts: Facts) -> None:
        service_id = facts.service_id
        before = self.detector.find(service_id)
        self.hierarchy.lineage.put(Forebear(service_id, facts.name, facts.parent))
        self.detector.observe(facts)
        self._preauthorized.touch(service_id)
        if before is None:
            self._touch_children(service_id)
        if facts.judged is State.DOWN and facts.held_alert is not None:
            self._held_deaths.put(service_id)
        else:
            self._held_deaths.end(service_id)
        if facts.judged is State.ALIVE:
            self.groups.unlist((service_id,))
        if before is not None and before.state is State.ALIVE and facts.judged is State.SUSPECT:
            self._preauthorized.used_up(service_id)
            self.suspected.append(facts)
            self.guard.failed(service_id, facts.judged_at, before.judged_at)  # a stream that broke: when is known
            self.damping.suspected(service_id, self.now, self.policies)

    def _forget(self, service_id: str) -> None:
        lease = self.detector.find(service_id)
        self._touch_children(service_id)
        self.detector.forget(service_id)
        self.hierarchy.lineage.remove(service_id)
        self.guard.ended(service_id)
        self._preauthorized.used_up(service_id)
        self._held_deaths.end(service_id)
        self.groups.forget(service_id)
        self.escalations.look_at(service_id, None if lease is None else lease.facts.name)

    def _recount(self) -> None:
        """Services that failed just before we came still count; what was judged before the registry's start does
        not."""
        failing = [each for each in self.detector.leases() if each.state is not State.ALIVE and each.judged_at > 0.0]
        for lease in sorted(failing, key=lambda each: each.judged_at):
            if lease.cause is not Cause.STALLED:
                self.guard.failed(lease.facts.service_id, lease.judged_at, 0.0, _spread(lease.cause, lease.facts))

    # --- one transition ---------------------------------------------------------------------------------------------

    def _count(self, transition: Transition) -> bool:
        """Count a transition for guard and damping. Return whether it is the suspicion that reaches the flap limit."""
        service_id = transition.service_id
        self._preauthorized.touch(service_id)
        if transition.kind in FAILURES:
            facts = transition.facts
            self.guard.failed(service_id, self.now, facts.judged_at, _spread(transition.cause, facts))
            return self.damping.suspected(service_id, self.now, self.policies)
        if transition.kind in (Kind.RECOVER, Kind.RESTORE):
            self.guard.ended(service_id)
            self.groups.unlist((service_id,))
            self._touch_children(service_id)
        return False

    def _must_wait(self, service_id: str, released: set[str]) -> bool:
        """Whether a service is not deregistered yet: in a mass failure, or until the alert of its death is sent."""
        return self.guard.holds or service_id in released or self._held_deaths.is_postponed(service_id)

    def _rule(self, transition: Transition, wall: float, *, reaches_limit: bool) -> Ruling:
        policy = self.policies.of(transition.service_id) if reaches_limit else None
        why = suppression.decide(transition.kind, transition.facts, self.now, self.guard, self.damping, policy)
        audience = self._audiences.of(transition, held=bool(why.reason))
        alerts = alert_book.alerts_of(transition, audience, why, wall, self.now)
        if not alerts:
            return Ruling(transition)
        alert, *further = alerts
        if why.reason:
            self._keep_held(transition, alert)
            return Ruling(transition, alert, why.reason)
        if transition.kind is Kind.RESTORE:
            self._note_notified(transition.service_id, (), None)
        elif transition.kind is Kind.DOWN:
            self._follow_up(transition.facts, audience, alert, further[ORPHANS_AT_ONCE:])
            further = further[:ORPHANS_AT_ONCE]
        return Ruling(transition, alert, "", audience.grouped, audience.subtree, tuple(further))

    # --- what stays to be done --------------------------------------------------------------------------------------

    def _keep_held(self, transition: Transition, alert: AlertDraft) -> None:
        """A death that is held is sent later; other alerts that are held are not."""
        if transition.kind is Kind.DOWN:
            self._note_notified(transition.service_id, (), alert)

    def _follow_up(self, facts: Facts, audience: Audience, alert: AlertDraft, orphans: list[AlertDraft]) -> None:
        """A death was ruled: what waits for the service escalates, its children have another recipient perhaps, and
        its subtree is listed."""
        lineage, recipient = self.hierarchy.lineage, audience.recipient
        self._note_notified(facts.service_id, (lineage.resolve(recipient) or recipient,), None)
        self.escalations.look_at(facts.service_id, facts.name)
        self._touch_children(facts.service_id)
        self.groups.put(facts.service_id, alert.alert_id, audience.subtree)
        self._orphans += orphans

    def _note_notified(self, service_id: str, notified: tuple[str, ...], held_alert: AlertDraft | None) -> None:
        """What the registry will say of a service's last death, before it says so."""
        lease = self.detector.find(service_id)
        if lease is not None:
            lease.facts = replace(lease.facts, notified=notified, held_alert=held_alert)
            if held_alert is not None:
                self._held_deaths.put(service_id)
            else:
                self._held_deaths.end(service_id)

    def _look_for_cascade(self, orders: Orders, wall: float) -> None:
        cascade = self.guard.update(self.now, self.hierarchy)
        self.detector.hold_deregistrations(self.guard.holds)
        if cascade is not None:
            alert = alert_book.cascade_alert(cascade, self._observer, wall, self.now)
            self.cascade_alert_id = alert.alert_id
            orders.copies.append(AlertCopy(alert.alert_id, alert))
        elif not self.guard.active:
            self.cascade_alert_id = ""

    def _notify_orphans(self, orders: Orders) -> None:
        """The orphans for which there was no room with the verdict."""
        orphans, self._orphans = self._orphans, []
        orders.copies += [AlertCopy(each.alert_id, each) for each in orphans if self.hierarchy.is_down(each.service_id)]

    def _release_held_deaths(self, orders: Orders, wall: float) -> set[str]:
        """Send the deaths that nothing holds any more, to their orphans too. Return whose."""

        def holds(facts: Facts) -> bool:
            return suppression.holds_death(facts, self.hierarchy.recipient_of(facts) or OPERATORS, self.guard)

        released: set[str] = set()
        for facts, held in self._held_deaths.release(self.detector.find, holds):
            audience = self._audiences.of_held_death(facts)
            alert = alert_book.released(held, audience.recipient)
            orders.copies.append(AlertCopy(alert.alert_id, alert, notified_about=facts.service_id))
            self._orphans += alert_book.orphan_alerts(alert, audience, wall)
            released.add(facts.service_id)
        return released

    def _escalate(self, orders: Orders, size: int) -> bool:
        """Alerts that are not acknowledged in time, or whose recipient is down or unknown, go to the next ancestor.
        Return whether more may have to."""
        due = self.escalations.due(self.now, size)
        for delivery in due:
            alert = delivery.alert
            lease = self.detector.find(alert.service_id)
            held = suppression.holds_escalation(alert.service_id, None if lease is None else lease.facts, self.guard)
            step = next_step(
                delivery,
                self.now,
                after=self.policies.of(alert.service_id).escalate_after,
                lost=self.hierarchy.unreachable(alert.recipient),
                hold=self.policies.default.guard_burst if held else None,
            )
            self.escalations.look_again(delivery, step.again_at)
            if step.why:
                is_back = lease is not None and lease.state is State.ALIVE
                target = self.hierarchy.next_live(alert.recipient)
                escalated = alert_book.escalated_copy(alert, target, step.why, is_back=is_back)
                notified_about = alert.service_id if alert.type == "service_down" else ""
                orders.copies.append(AlertCopy(alert.alert_id, escalated, alert.recipient, notified_about))
        return len(due) == size

    # --- in advance -------------------------------------------------------------------------------------------------

    def _preauthorize(self, orders: Orders, size: int) -> bool:
        """Decide in advance what follows from a stream that breaks. Return whether more has to be decided."""
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
        return len(touched) == size

    def _touch_children(self, service_id: str) -> None:
        """Their alerts may have another recipient now."""
        for child in self.hierarchy.lineage.children(service_id):
            self._preauthorized.touch(child)


def _spread(cause: Cause, facts: Facts) -> float:
    """To within how many seconds it is known when a service fell silent."""
    return facts.interval if cause is Cause.SILENT else 0.0
