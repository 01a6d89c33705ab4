"""Decides in advance whether a service is suspect if its stream breaks now, and which alert the suspicion raises. Pure.

Within the reattach window a break causes no suspicion; under maintenance, or while the service is flapping, the
suspicion raises no alert. A decision is valid until a fact about the service, its parent or its policy changes, or
until the attentive second that `suspicion_of` returns with the decision.
"""

from __future__ import annotations

from grid_model.liveness import Liveness
from grid_model.verdict import StandingSuspicion

from tron import alert_book
from tron.damping import Damping
from tron.detector import Detector
from tron.facts import Lease
from tron.hierarchy import Hierarchy
from tron.suppression import FlapLimit


class Preauthorizer:
    """Decides for each service which suspicion the registry applies if its stream breaks; none for the `observer`."""

    def __init__(self, observer: str, detector: Detector, hierarchy: Hierarchy, damping: Damping) -> None:
        self._observer = observer
        self._detector = detector
        self._hierarchy = hierarchy
        self._damping = damping

    def suspicion_of(self, lease: Lease | None, now: float) -> tuple[StandingSuspicion | None, float | None]:
        """Return the suspicion that the registry should hold for a service, or None; and the attentive second at which
        to decide again, or None if the decision does not depend on time."""
        if lease is None or lease.liveness is not Liveness.ALIVE or not lease.facts.connected:
            return None, None
        facts = lease.facts
        if facts.service_id == self._observer:
            return None, None
        held_until = self._detector.break_held_until(lease)
        if now < held_until:
            return None, held_until
        policy = self._hierarchy.policies.of(facts.service_id)
        if facts.maintained or self._damping.is_damped(facts.service_id, now):
            return StandingSuspicion(facts.service_id, facts.incarnation, None), now + policy.flap_window
        alert = alert_book.preauthorized_alert(facts, self._hierarchy.recipient_of(facts))
        if self._damping.count(facts.service_id, now, policy.flap_window) != policy.flap_count - 1:
            return StandingSuspicion(facts.service_id, facts.incarnation, alert), None
        alert = alert_book.flapping(alert, FlapLimit(policy.flap_count, policy.flap_window))
        return StandingSuspicion(facts.service_id, facts.incarnation, alert), now + policy.flap_window
