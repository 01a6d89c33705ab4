"""The alert copies that wait for their recipients: kept until acknowledged, with a bounded number in flight at once."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from itertools import islice

from grid_model import event_details
from grid_model.event import OPERATORS, Event
from grid_model.observation import Delivery

from registry_server.core.unacknowledged import Unacknowledged

WAITING = 1000
"""Maximum number of alerts that are kept for one recipient.

Overflow rule: the oldest alert is no longer sent; it stays in the event log, unacknowledged. If it is critical and has
not escalated yet, it goes to the operators, since no other recipient would be notified.
"""

FOR_OPERATORS = 20_000
"""Maximum number of alerts that are kept for the operators. Overflow rule: the oldest alert is no longer sent; nobody
else can receive it."""

IN_FLIGHT = 256
"""Maximum number of alerts that are sent to one recipient and not yet acknowledged. Overflow rule: the next alert waits
for an acknowledgement."""


class Mailboxes:
    """The alert copies that wait for each recipient. A recipient is the service_id or the name that an event is
    addressed to."""

    def __init__(self, waiting: int = WAITING, in_flight: int = IN_FLIGHT, for_operators: int = FOR_OPERATORS) -> None:
        self._waiting = waiting
        self._for_operators = for_operators
        self._window = in_flight
        self._boxes: dict[str, OrderedDict[str, Delivery]] = {}
        self._sent: dict[str, set[str]] = {}
        self._unsent: dict[str, dict[str, None]] = {}
        """By recipient: the alerts that wait and are not in flight, oldest first; absent until `take` needs it. Without
        it, each `take` would pass over everything in flight."""
        self._recipients: dict[str, set[str]] = {}
        self._about: dict[str, dict[tuple[str, str], None]] = {}
        """By service: the copies, as (alert_id, recipient), that are about the service or list it."""
        self.unacknowledged = Unacknowledged()

    def put(self, copy: Delivery) -> Delivery | None:
        """Keep a copy for its recipient; return the copy that was dropped to make room, if any."""
        event = copy.event
        box = self._boxes.setdefault(event.recipient, OrderedDict())
        if event.alert_id not in box and event.recipient in self._unsent:
            self._unsent[event.recipient][event.alert_id] = None
        box[event.alert_id] = copy
        self.unacknowledged.put(event)
        self._recipients.setdefault(event.alert_id, set()).add(event.recipient)
        for service_id in _services_in(event):
            self._about.setdefault(service_id, {})[event.alert_id, event.recipient] = None
        if len(box) <= (self._for_operators if event.recipient == OPERATORS else self._waiting):
            return None
        _, dropped = box.popitem(last=False)
        self._unlink(dropped.event)
        return dropped

    def get(self, alert_id: str, recipient: str) -> Delivery | None:
        """Return the copy of an alert that waits for this recipient; None if no such copy waits."""
        box = self._boxes.get(recipient)
        return None if box is None else box.get(alert_id)

    def stop_escalation(self, alert_id: str, recipient: str) -> Delivery | None:
        """Mark a waiting copy, so that it does not escalate any further. Return the changed copy; None if no such copy
        waits, or if it was marked before."""
        copy = self.get(alert_id, recipient)
        if copy is None or copy.escalated:
            return None
        changed = self._boxes[recipient][alert_id] = replace(copy, escalated=True)
        return changed

    def waiting_for(self, recipient: str) -> list[Delivery]:
        """Return all copies that wait for a recipient, oldest first."""
        return list(self._boxes.get(recipient, OrderedDict()).values())

    def count_waiting_for(self, recipient: str) -> int:
        """Return how many copies wait for a recipient."""
        return len(self._boxes.get(recipient, ()))

    def about(self, service_id: str) -> list[Delivery]:
        """Return the waiting copies that are about a service or list it, for all recipients, oldest first."""
        return [self._boxes[recipient][alert_id] for alert_id, recipient in self._about.get(service_id, ())]

    def all_recipients(self) -> list[str]:
        """Return all recipients for whom copies wait."""
        return list(self._boxes)

    def has_waiting(self, recipient: str) -> bool:
        """Return whether a copy waits for a recipient."""
        return recipient in self._boxes

    def all_waiting(self) -> list[Delivery]:
        """Return every waiting copy for any recipient."""
        return [copy for box in self._boxes.values() for copy in box.values()]

    def recipients(self, alert_id: str) -> set[str]:
        """Return the recipients that have not acknowledged the alert."""
        return set(self._recipients.get(alert_id, ()))

    def acknowledge(self, alert_id: str, recipient: str) -> bool:
        """Remove the copy for this recipient; return whether it was waiting."""
        box = self._boxes.get(recipient)
        copy = None if box is None else box.pop(alert_id, None)
        if copy is None:
            return False
        self._unlink(copy.event)
        return True

    def forget_before(self, sequence: int) -> list[Delivery]:
        """Remove the copies of all events with sequence numbers below `sequence`, and return these copies."""
        old = [copy for copy in self.all_waiting() if copy.event.sequence < sequence]
        for copy in old:
            self.acknowledge(copy.event.alert_id, copy.event.recipient)
        return old

    def take(self, recipient: str) -> list[Event]:
        """Return the alerts to send to a recipient now, oldest first, up to the limit of alerts in flight. They count
        as in flight from now on."""
        box = self._boxes.get(recipient)
        if not box:
            return []
        sent = self._sent.setdefault(recipient, set())
        unsent = self._unsent.get(recipient)
        if unsent is None:
            unsent = self._unsent[recipient] = dict.fromkeys(each for each in box if each not in sent)
        ready = list(islice(unsent, max(0, self._window - len(sent))))
        for alert_id in ready:
            del unsent[alert_id]
        sent.update(ready)
        return [box[alert_id].event for alert_id in ready]

    def not_sent(self, alert_id: str, recipient: str) -> None:
        """Record that this alert was not sent after all: it is no longer in flight, and `take` returns it again."""
        self._sent.get(recipient, set()).discard(alert_id)
        self._unsent.pop(recipient, None)

    def connection_lost(self, recipient: str) -> None:
        """Record that the recipient has lost its stream: none of its alerts is in flight any more, and `take` returns
        them again."""
        self._sent.pop(recipient, None)
        self._unsent.pop(recipient, None)

    def _unlink(self, event: Event) -> None:
        alert_id, recipient = event.alert_id, event.recipient
        for service_id in _services_in(event):
            about = self._about.get(service_id)
            if about is not None:
                about.pop((alert_id, recipient), None)
                if not about:
                    del self._about[service_id]
        self.unacknowledged.remove(event)
        self._sent.get(recipient, set()).discard(alert_id)
        self._unsent.get(recipient, {}).pop(alert_id, None)
        waiting = self._recipients.get(alert_id)
        if waiting is not None:
            waiting.discard(recipient)
            if not waiting:
                del self._recipients[alert_id]
        if not self._boxes.get(recipient, True):
            del self._boxes[recipient]
            self._sent.pop(recipient, None)
            self._unsent.pop(recipient, None)


def _services_in(event: Event) -> set[str]:
    """Return the ids of the service that an alert is about, and of the services that it lists."""
    return ({*event_details.texts_in(event.details, "affected"), event.service_id}) - {""}
