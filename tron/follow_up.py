"""The work that remains after rulings (verdicts with their alerts): alerts that are held, orphans to be notified,
alerts that escalate. Pure.

Each method returns the copies of alerts that TRON asks the registry to send now.
"""

from __future__ import annotations

from dataclasses import replace

from grid_model.event import OPERATORS, Event
from grid_model.event_types import DEATHS
from grid_model.liveness import Liveness
from grid_model.observation import Delivery, Facts
from grid_model.verdict import AlertCopy

from tron import alert_book, suppression
from tron.audience import Audience, Audiences
from tron.detector import Detector
from tron.escalation import Escalations, next_step
from tron.guard import Guard
from tron.held_deaths import HeldDeaths
from tron.hierarchy import Hierarchy


class FollowUp:
    """Keeps the work that is left for later frames: held alerts, orphans to be notified, and escalations."""

    def __init__(
        self,
        detector: Detector,
        hierarchy: Hierarchy,
        audiences: Audiences,
        escalations: Escalations,
        guard: Guard,
    ) -> None:
        self.held_deaths = HeldDeaths()
        self._detector = detector
        self._hierarchy = hierarchy
        self._audiences = audiences
        self._escalations = escalations
        self._guard = guard
        self._orphans: list[Event] = []
        """Alerts to orphans that did not fit into the call with the verdict."""

    def note_notified(self, service_id: str, notified: tuple[str, ...], held_alert: Event | None) -> None:
        """Record who was notified of a service's last death, or the alert about this death if it is held. The record is
        used until facts from the registry contain the same."""
        lease = self._detector.find(service_id)
        if lease is not None:
            lease.facts = replace(lease.facts, notified=notified, held_alert=held_alert)
            self.note_held(lease.facts)

    def note_held(self, facts: Facts) -> None:
        """Record whether the alert about a service's death is held."""
        if facts.held_alert is not None:
            self.held_deaths.put(facts.service_id)
        else:
            self.held_deaths.end(facts.service_id)

    def after_death(self, facts: Facts, audience: Audience, orphans: list[Event]) -> None:
        """Handle the death of a service whose own alert is sent. The dead service can no longer acknowledge the alerts
        that it received, so they escalate. The alerts in `orphans` are sent in the next frame."""
        recipient = self._hierarchy.lineage.resolve(audience.recipient) or audience.recipient
        self.note_notified(facts.service_id, (recipient,), None)
        self._escalations.look_at(facts.service_id, facts.name)
        self._orphans += orphans

    def after_held_death(self, facts: Facts, alert: Event) -> None:
        """Handle the death of a service whose own alert is held. The dead service can no longer acknowledge the alerts
        that it received about other services, so they escalate nevertheless."""
        self.note_notified(facts.service_id, (), alert)
        self._escalations.look_at(facts.service_id, facts.name)

    @property
    def is_waiting(self) -> bool:
        """Whether alerts are held or were left for the next frame."""
        return bool(self._orphans) or len(self.held_deaths) > 0

    def notify_orphans(self) -> list[AlertCopy]:
        """Return the alerts to orphans that did not fit into the call with the verdict. If the verdict was refused, its
        alerts are left out."""
        orphans, self._orphans = self._orphans, []
        return [AlertCopy(each.alert_id, each) for each in orphans if self._hierarchy.is_down(each.service_id)]

    def release_held_deaths(self, wall: float) -> list[AlertCopy]:
        """Return the alerts about deaths that are no longer held; the orphans are notified in the next frame. `wall`:
        the time in seconds since 1970."""

        def holds(facts: Facts) -> bool:
            return suppression.holds_death(facts, self._hierarchy.recipient_of(facts) or OPERATORS, self._guard)

        copies: list[AlertCopy] = []
        for facts, held in self.held_deaths.release(self._detector.find, holds):
            audience = self._audiences.of_held_death(facts)
            alert = alert_book.released(held, audience.recipient)
            copies.append(AlertCopy(alert.alert_id, alert, notified_about=facts.service_id))
            self._orphans += alert_book.orphan_alerts(alert, audience, wall)
        return copies

    def escalate(self, now: float, limit: int) -> tuple[list[AlertCopy], bool]:
        """Check up to `limit` deliveries that are due. Return copies for the next ancestor, of alerts that were not
        acknowledged in time, or whose recipient is down or unknown; and whether more deliveries may be due."""
        due = self._escalations.due(now, limit)
        copies = [copy for delivery in due if (copy := self._escalated(delivery, now)) is not None]
        return copies, len(due) == limit

    def _escalated(self, delivery: Delivery, now: float) -> AlertCopy | None:
        alert, policies = delivery.event, self._hierarchy.policies
        lease = self._detector.find(alert.service_id)
        held = suppression.holds_escalation(alert.service_id, None if lease is None else lease.facts, self._guard)
        step = next_step(
            delivery,
            now,
            after=policies.of(alert.service_id).escalate_after,
            lost=self._hierarchy.unreachable(alert.recipient),
            hold=policies.default.guard_burst if held else None,
        )
        self._escalations.look_again(delivery, step.again_at)
        if not step.why:
            return None
        is_back = lease is not None and lease.liveness is Liveness.ALIVE
        target = self._hierarchy.next_live(alert.recipient)
        escalated = alert_book.escalated_copy(alert, target, step.why, is_back=is_back)
        about = alert.service_id if alert.type in DEATHS else ""
        return AlertCopy(alert.alert_id, escalated, alert.recipient, about)
