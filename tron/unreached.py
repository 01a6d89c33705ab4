"""Finds the CRITICAL alerts that have reached no recipient. Nobody can act on such an alert. Pure.

An alert has reached a recipient once a copy of it was sent on an open stream, was acknowledged, or was accepted by the
operators' sinks (which acknowledge their copies). An alert that waits only for recipients without a stream usually
escalates soon, so it is reported only after `UNDELIVERED_AFTER` seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

from grid_model.event import OPERATORS, Event, Severity
from grid_model.observation import Delivery

from tron.facts import NEVER

UNDELIVERED_AFTER = 5.0
"""Attentive seconds after which an alert that has reached no recipient is reported. Longer than the grace (2 s) after
which a parent whose stream broke counts as down, so that the alerts to it escalate."""


class Unreached:
    """The alerts that have reached no recipient yet. Bounded, because the registry bounds the waiting copies."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Delivery]] = {}
        """By alert_id and recipient."""
        self._due: list[tuple[float, str]] = []

    def put(self, delivery: Delivery) -> None:
        """Add a delivery, or replace one that changed."""
        alert = delivery.event
        if alert.severity is not Severity.CRITICAL:
            return
        known = self._waiting.get(alert.alert_id)
        if known is not None:
            known[alert.recipient] = delivery
        elif not delivery.escalated:  # else another copy of it waits, or somebody took that
            self._waiting[alert.alert_id] = {alert.recipient: delivery}
            heappush(self._due, (delivery.since + UNDELIVERED_AFTER, alert.alert_id))

    def end(self, alert_id: str, recipient: str) -> None:
        """Record that a delivery was acknowledged, so that the alert has reached a recipient."""
        self._waiting.pop(alert_id, None)

    @property
    def next_at(self) -> float:
        """The attentive second before which `due` finds nothing unless deliveries are added."""
        return self._due[0][0] if self._due else NEVER

    def due(self, now: float, reaches: Callable[[str], bool]) -> list[Event]:
        """Return the alerts that have reached no recipient for `UNDELIVERED_AFTER` seconds, each only once. `reaches`
        returns whether a recipient has an open stream."""
        found: list[Event] = []
        while self._due and self._due[0][0] <= now:
            _, alert_id = heappop(self._due)
            deliveries = self._waiting.pop(alert_id, None)
            if deliveries is None or any(recipient != OPERATORS and reaches(recipient) for recipient in deliveries):
                continue
            if all(delivery.escalated for delivery in deliveries.values()):
                continue  # the alert of another service lists it
            found.append(next(iter(deliveries.values())).event)
        return found
