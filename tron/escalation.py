"""Decides when an unacknowledged alert escalates to the next ancestor. Pure.

A delivery is one copy of an alert that waits for the acknowledgement of one recipient. The registry keeps the
deliveries, and `hierarchy` knows which recipients are down.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from grid_model.event import OPERATORS, Severity
from grid_model.event_types import NOT_ESCALATED
from grid_model.observation import Delivery

from tron import messages
from tron.facts import NEVER

Key = tuple[str, str]

ASK_AGAIN = 5.0
"""Attentive seconds after which an escalation is requested again if no fact confirms it."""


def escalates(delivery: Delivery) -> bool:
    """Return whether an alert goes to the next ancestor if its recipient does not acknowledge it."""
    alert = delivery.event
    critical = alert.severity is Severity.CRITICAL and alert.type not in NOT_ESCALATED
    return critical and not delivery.escalated and alert.recipient not in ("", OPERATORS)


@dataclass(frozen=True, slots=True)
class Step:
    """The next step for a delivery that is due: when to check it again (attentive seconds), and why it escalates now;
    `why` is empty if it does not escalate."""

    again_at: float
    why: str = ""


def next_step(delivery: Delivery, now: float, after: float, lost: str, hold: float | None) -> Step:
    """Return the next step for a delivery that is checked at `now`. The delivery escalates if it was not acknowledged
    within `after` seconds, or if the recipient cannot acknowledge it. `lost`: why the recipient cannot; empty if it
    can. `hold`: the seconds to wait if alerts about the service are held; None if they are not."""
    if hold is not None:
        return Step(now + hold)
    if not lost and now < delivery.since + after:
        return Step(delivery.since + after)
    return Step(now + ASK_AGAIN, lost or messages.not_acknowledged(after))


class Escalations:
    """All open deliveries, that is, alert copies that wait to be acknowledged, by alert and recipient. Bounded, because
    the registry bounds the waiting copies."""

    def __init__(self) -> None:
        self._deliveries: dict[Key, Delivery] = {}
        self._to: dict[str, dict[Key, None]] = {}
        self._looks: list[tuple[float, Key]] = []

    def __len__(self) -> int:
        return len(self._deliveries)

    def put(self, delivery: Delivery) -> None:
        """Add a delivery, or replace one that changed."""
        key = (delivery.event.alert_id, delivery.event.recipient)
        self._deliveries[key] = delivery
        self._to.setdefault(delivery.event.recipient, {})[key] = None
        if escalates(delivery):
            heappush(self._looks, (delivery.since, key))

    def end(self, alert_id: str, recipient: str) -> None:
        """Record that a delivery was acknowledged, or dropped."""
        key = (alert_id, recipient)
        if self._deliveries.pop(key, None) is not None:
            group = self._to[recipient]
            del group[key]
            if not group:
                del self._to[recipient]

    def waiting_for(self, recipient: str) -> list[Delivery]:
        """Return the deliveries that wait for a recipient and name it by exactly this id or name."""
        return [self._deliveries[key] for key in self._to.get(recipient, ())]

    def about(self, service_id: str) -> list[Delivery]:
        """Return the deliveries of alerts about a service."""
        return [delivery for delivery in self._deliveries.values() if delivery.event.service_id == service_id]

    def look_at(self, service_id: str, name: str | None = None) -> None:
        """Make the next call of `due` return the deliveries for this recipient, because the state of the recipient
        changed. Deliveries may name the recipient by its service_id or by its name."""
        for recipient in (service_id,) if name is None or name == service_id else (service_id, name):
            for key in self._to.get(recipient, ()):
                if escalates(self._deliveries[key]):
                    heappush(self._looks, (0.0, key))

    def look_again(self, delivery: Delivery, at: float) -> None:
        """Have a delivery checked again at this attentive second."""
        heappush(self._looks, (at, (delivery.event.alert_id, delivery.event.recipient)))

    @property
    def next_at(self) -> float:
        """The attentive second before which `due` finds nothing unless deliveries are added."""
        return self._looks[0][0] if self._looks else NEVER

    def due(self, now: float, limit: int | None = None) -> list[Delivery]:
        """Return up to `limit` of the deliveries that should be checked now, each once."""
        found: dict[Key, Delivery] = {}
        while self._looks and self._looks[0][0] <= now and (limit is None or len(found) < limit):
            _, key = heappop(self._looks)
            delivery = self._deliveries.get(key)
            if delivery is not None and escalates(delivery):
                found[key] = delivery
        return list(found.values())
