"""Delivers alerts to their recipients: appends, keeps, sends, acknowledges and withdraws their copies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from grid_model.event import OPERATORS, Event, Severity
from grid_model.observation import Delivery

from registry_server.core.absent_recipients import AbsentRecipients
from registry_server.core.directory import Directory
from registry_server.core.effects import (
    Acknowledge,
    Alert,
    AppendEvent,
    CompactEvents,
    StopEscalation,
    WithdrawCopy,
)
from registry_server.core.event_log import EventLog
from registry_server.core.mailbox import Mailboxes
from registry_server.core.measures import Measures
from registry_server.core.observers import Observers
from registry_server.core.outgoing import Outgoing
from registry_server.core.record import Record
from registry_server.core.service import Instant


class AlertDelivery:
    """Holds the event log, and the alert copies that wait for their recipients."""

    def __init__(
        self,
        directory: Directory,
        observers: Observers,
        outgoing: Outgoing,
        events: EventLog,
        mailboxes: Mailboxes,
        measures: Measures,
    ) -> None:
        self.events = events
        self.mailboxes = mailboxes
        self.absent = AbsentRecipients()
        self._directory = directory
        self._observers = observers
        self._outgoing = outgoing
        self._measures = measures
        self.passed_to_operators: Callable[[Event, Instant], None] = lambda event, now: None
        """Called with each alert that operators receive because the copy for its own recipient was dropped."""

    def restore(self, waiting: Iterable[Delivery], now: Instant) -> None:
        """Restore the alert copies that wait, from the store. The services must have been restored before."""
        for copy in waiting:
            self.mailboxes.put(replace(copy, since=now.attentive))
        for id_or_name in self.mailboxes.all_recipients():
            if id_or_name != OPERATORS and self._directory.resolve(id_or_name) is None:
                self.absent.alert_waits(id_or_name, now.attentive)

    def publish(self, event: Event, now: Instant, *, escalated: bool = False) -> tuple[Event, bool]:
        """Append an event to the log. Return it as stored, and whether it was sent to its recipient at once. An event
        with a recipient is kept until it is acknowledged.

        `escalated`: mark the copy for the recipient, so that it never escalates.
        """
        recipient = self._directory.resolve(event.recipient) if event.recipient else None
        if recipient is not None:
            event = replace(event, recipient=recipient.spec.service_id)
        event = self.events.append(event)
        self._measures.event(event.type)
        self._outgoing.write(AppendEvent(event, escalated, now.wall))
        if event.recipient:
            if recipient is None and event.recipient != OPERATORS:
                self.absent.alert_waits(event.recipient, now.attentive)
            dropped = self.mailboxes.put(Delivery(event, now.attentive, escalated))
            self._observers.copy(event.alert_id, event.recipient)
            if dropped is not None:
                self._dropped(dropped, f"too many alerts are waiting for {dropped.event.recipient}", now)
        if recipient is None or recipient.session is None:
            return event, False
        return event, event.alert_id in self.deliver(recipient)

    def acknowledge(self, alert_id: str, recipient: str, now: Instant) -> int:
        """Acknowledge an alert for one recipient, or for all recipients if `recipient` is empty. Return how many copies
        were waiting."""
        recipients = [recipient] if recipient else sorted(self.mailboxes.recipients(alert_id))
        count = 0
        for id_or_name in recipients:
            copy = self.mailboxes.get(alert_id, id_or_name)
            if copy is not None and self.mailboxes.acknowledge(alert_id, id_or_name):
                count += 1
                self._measures.acknowledged_after.add(max(0.0, now.attentive - copy.since))
                self._observers.copy(alert_id, id_or_name)
            # Written in any case: an alert that is no longer pushed still waits in the store.
            self._outgoing.write(Acknowledge(alert_id, id_or_name, now.wall))
        return count

    def acknowledge_matching(self, service_id: str, recipient: str, now: Instant) -> int:
        """Acknowledge all waiting alerts about a service and for a recipient; an empty `service_id` or `recipient`
        matches all. Return how many copies were waiting."""
        copies = self.mailboxes.about(service_id) if service_id else self.mailboxes.all_waiting()
        ids_or_names: set[str] = set()
        if recipient:
            record = self._directory.resolve(recipient)
            ids_or_names = {recipient, *(() if record is None else self._directory.names_of(record))}
        count = 0
        for copy in copies:
            event = copy.event
            if service_id in ("", event.service_id) and (not ids_or_names or event.recipient in ids_or_names):
                count += self.acknowledge(event.alert_id, event.recipient, now)
        for record in {
            id(each): each for id_or_name in ids_or_names for each in self._directory.matching(id_or_name)
        }.values():
            self.deliver(record)
        return count

    def stop_escalation(self, alert_id: str, recipient: str) -> bool:
        """Mark a waiting copy, so that it does not escalate any further. Return False if no such copy waits, or if it
        was marked before."""
        if self.mailboxes.stop_escalation(alert_id, recipient) is None:
            return False
        self._outgoing.write(StopEscalation(alert_id, recipient))
        self._observers.copy(alert_id, recipient)
        return True

    def withdraw(self, copies: Iterable[Delivery], now: Instant, *, absent: bool = False) -> None:
        """Withdraw these copies, because newer facts have made them obsolete. With `absent`, the reason is that their
        recipient is not registered, or must not receive them."""
        freed: dict[str, None] = {}
        for copy in copies:
            alert_id, recipient = copy.event.alert_id, copy.event.recipient
            if self.mailboxes.acknowledge(alert_id, recipient):
                self._outgoing.write(WithdrawCopy(alert_id, recipient, now.wall, absent))
                self._observers.copy(alert_id, recipient)
                freed[recipient] = None
        for recipient in freed:  # what waited behind them may go out now
            record = self._directory.resolve(recipient)
            if record is not None:
                self.deliver(record)

    def withdraw_absent(self, now: Instant) -> None:
        """Withdraw the alert copies whose recipients have not been registered for too long."""
        for id_or_name in self.absent.due(now.attentive):
            if self._directory.resolve(id_or_name) is None:
                over = self.absent.ended(id_or_name, self.mailboxes.waiting_for(id_or_name), now.attentive)
                self.withdraw(over, now, absent=True)

    def compact(self, first: int) -> None:
        """Delete the events with sequence numbers below `first`, and the copies of these events that still wait."""
        self.events.compact(first)
        for copy in self.mailboxes.forget_before(first):
            self._observers.copy(copy.event.alert_id, copy.event.recipient)
        self._outgoing.write(CompactEvents(first))

    # --- recipients -------------------------------------------------------------------------------------------------

    def deliver(self, record: Record) -> set[str]:
        """Send the alerts that wait for this service, up to the limit of alerts in flight. Return their alert_ids; an
        empty set if no stream carries the service."""
        if record.session is None:
            return set()
        events = [event for id_or_name in self._directory.names_of(record) for event in self.mailboxes.take(id_or_name)]
        for event in events:
            self._outgoing.send(record.session, Alert(event))
        return {event.alert_id for event in events}

    def written(self, alert_id: str, recipient: str, now: Instant) -> None:
        """Record that a copy of an alert was written to the stream of its recipient, to measure how long its delivery
        took."""
        copy = self.mailboxes.get(alert_id, recipient)
        if copy is not None:
            self._measures.delivered_after.add(max(0.0, now.attentive - copy.since))

    def not_sent(self, alert_id: str, recipient: str) -> None:
        """Record that there was no room for an alert on the stream of its recipient: the alert waits for the next
        `deliver`."""
        self.mailboxes.not_sent(alert_id, recipient)

    def deliver_to(self, recipient: str) -> None:
        """Send the alerts that wait for a recipient whose stream has room again."""
        record = self._directory.resolve(recipient)
        if record is not None:
            self.deliver(record)

    def connection_lost(self, record: Record) -> None:
        """Record that no stream carries the service any more: its unacknowledged alerts are sent again on its next
        stream."""
        for id_or_name in self._directory.names_of(record):
            self.mailboxes.connection_lost(id_or_name)

    def registered(self, record: Record) -> None:
        """Record that the service is registered, so that alerts for it no longer wait for an absent recipient."""
        for id_or_name in self._directory.names_of(record):
            self.absent.returned(id_or_name)

    def left(self, record: Record, now: Instant) -> None:
        """Record that the service is no longer registered, so that alerts for it wait for an absent recipient."""
        self.name_released(record.spec.name)
        for id_or_name in (record.spec.service_id, record.spec.name):
            if self._directory.resolve(id_or_name) is None and self.mailboxes.has_waiting(id_or_name):
                self.absent.alert_waits(id_or_name, now.attentive)

    def removed_for_good(self, record: Record, now: Instant) -> None:
        """Record that a Deregister call removed the service, so that alerts for it are not kept."""
        for id_or_name in {record.spec.service_id, record.spec.name}:
            if self._directory.resolve(id_or_name) is None:
                self.absent.removed(id_or_name, now.attentive)

    def name_released(self, name: str) -> None:
        """If exactly one service has this name now, send that service the alerts that are addressed to the name."""
        named = self._directory.named(name)
        if len(named) == 1:
            self.mailboxes.connection_lost(name)
            self.deliver(named[0])

    def released(self, service_id: str, now: Instant) -> None:
        """Withdraw the alert copies for an id that no longer has an owner, so that the next owner of the id does not
        receive them."""
        for copy in self.mailboxes.waiting_for(service_id):
            self._dropped(copy, f"the id {service_id} was released", now)
            self.withdraw((copy,), now, absent=True)

    def refuse(self, record: Record, refuses: Callable[[str], bool], now: Instant) -> None:
        """Withdraw the alert copies that wait for a service and are about children that this service refuses. `refuses`
        returns, for the id of a child, whether the service refuses that child."""
        for id_or_name in self._directory.names_of(record):
            for copy in self.mailboxes.waiting_for(id_or_name):
                if copy.event.service_id and refuses(copy.event.service_id):
                    self._dropped(copy, f"{record.spec.service_id} refuses {copy.event.service_id} as its child", now)
                    self.withdraw((copy,), now, absent=True)

    def _dropped(self, copy: Delivery, why: str, now: Instant) -> None:
        """Handle a copy that is not kept for its recipient. A critical alert that has not escalated goes to the
        operators, who have the largest mailbox."""
        event = copy.event
        self._measures.copies_dropped += 1
        self._observers.copy(event.alert_id, event.recipient)
        matters = event.severity is Severity.CRITICAL and not copy.escalated and event.recipient != OPERATORS
        if matters and self.mailboxes.get(event.alert_id, OPERATORS) is None:
            details = {**event.details, "escalated_from": [event.recipient], "escalated_because": why}
            event, _ = self.publish(replace(event, recipient=OPERATORS, details=details), now)
            self.passed_to_operators(event, now)
