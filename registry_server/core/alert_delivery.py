"""Alerts on their way to recipients: appended, kept, sent, acknowledged, withdrawn. Pure."""

from __future__ import annotations

from collections.abc import Iterable
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
    """Every event, and the copies of alerts that wait for their recipients."""

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

    def restore(self, waiting: Iterable[Delivery], now: Instant) -> None:
        """Take over the copies that wait. The services must have been restored."""
        for copy in waiting:
            self.mailboxes.put(replace(copy, since=now.attentive))
        for id_or_name in self.mailboxes.all_recipients():
            if id_or_name != OPERATORS and self._directory.resolve(id_or_name) is None:
                self.absent.alert_waits(id_or_name, now.attentive)

    def publish(self, event: Event, now: Instant, *, escalated: bool = False) -> tuple[Event, bool]:
        """Append an event; return it, and whether it goes out now. With a recipient it is kept until acknowledged.

        `escalated`: that copy does not escalate.
        """
        recipient = self._directory.resolve(event.recipient) if event.recipient else None
        if recipient is not None:
            event = replace(event, recipient=recipient.spec.service_id)
        event = self.events.append(event)
        self._measures.event(event.type)
        self._outgoing.write(AppendEvent(event, escalated))
        if event.recipient:
            if recipient is None and event.recipient != OPERATORS:
                self.absent.alert_waits(event.recipient, now.attentive)
            dropped = self.mailboxes.put(Delivery(event, now.attentive, escalated))
            self._observers.copy(event.alert_id, event.recipient)
            if dropped is not None:
                self._dropped(dropped, now)
        if recipient is None or recipient.session is None:
            return event, False
        return event, event.alert_id in self.deliver(recipient)

    def acknowledge(self, alert_id: str, recipient: str, now: Instant) -> int:
        """The recipient (empty: everyone) has handled the alert. Return how many copies were waiting."""
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
        """Acknowledge all about this service and for this recipient (each empty: any). Return how many."""
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
        """A copy escalates no further. Return whether it waited and could have."""
        if self.mailboxes.stop_escalation(alert_id, recipient) is None:
            return False
        self._outgoing.write(StopEscalation(alert_id, recipient))
        self._observers.copy(alert_id, recipient)
        return True

    def withdraw(self, copies: Iterable[Delivery], now: Instant, *, absent: bool = False) -> None:
        """These copies wait no more: newer facts have overtaken them, or (`absent`) nobody is there to take them."""
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
        """Withdraw what waits for recipients that have not been registered for too long."""
        for id_or_name in self.absent.due(now.attentive):
            if self._directory.resolve(id_or_name) is None:
                over = self.absent.ended(id_or_name, self.mailboxes.waiting_for(id_or_name), now.attentive)
                self.withdraw(over, now, absent=True)

    def compact(self, first: int) -> None:
        """Forget events older than the number `first`, and the copies of them that nobody acknowledged."""
        self.events.compact(first)
        for copy in self.mailboxes.forget_before(first):
            self._observers.copy(copy.event.alert_id, copy.event.recipient)
        self._outgoing.write(CompactEvents(first))

    # --- recipients -------------------------------------------------------------------------------------------------

    def deliver(self, record: Record) -> set[str]:
        """Send what waits for this service and may go out now; return the alert_ids."""
        if record.session is None:
            return set()
        events = [event for id_or_name in self._directory.names_of(record) for event in self.mailboxes.take(id_or_name)]
        for event in events:
            self._outgoing.send(record.session, Alert(event))
        return {event.alert_id for event in events}

    def written(self, alert_id: str, recipient: str, now: Instant) -> None:
        """A copy of an alert was written to the stream of its recipient."""
        copy = self.mailboxes.get(alert_id, recipient)
        if copy is not None:
            self._measures.delivered_after.add(max(0.0, now.attentive - copy.since))

    def not_sent(self, alert_id: str, recipient: str) -> None:
        """An alert did not fit on the stream of its recipient: it waits for the next `deliver`."""
        self.mailboxes.not_sent(alert_id, recipient)

    def deliver_to(self, recipient: str) -> None:
        """There is room again on the stream of a recipient: send what waits for it."""
        record = self._directory.resolve(recipient)
        if record is not None:
            self.deliver(record)

    def connection_lost(self, record: Record) -> None:
        """What was sent to this service and not acknowledged is sent again on its next stream."""
        for id_or_name in self._directory.names_of(record):
            self.mailboxes.connection_lost(id_or_name)

    def registered(self, record: Record) -> None:
        """The service is registered: its alerts no longer wait for an absent recipient."""
        for id_or_name in self._directory.names_of(record):
            self.absent.returned(id_or_name)

    def left(self, record: Record, now: Instant) -> None:
        """The service is registered no more: what waits for it waits for somebody absent."""
        self.name_released(record.spec.name)
        for id_or_name in (record.spec.service_id, record.spec.name):
            if self._directory.resolve(id_or_name) is None and self.mailboxes.has_waiting(id_or_name):
                self.absent.alert_waits(id_or_name, now.attentive)

    def removed_for_good(self, record: Record, now: Instant) -> None:
        """An operator removed the service: alerts for it do not wait."""
        for id_or_name in {record.spec.service_id, record.spec.name}:
            if self._directory.resolve(id_or_name) is None:
                self.absent.removed(id_or_name, now.attentive)

    def name_released(self, name: str) -> None:
        """If the name means one service again, what waited under it is that one's."""
        named = self._directory.named(name)
        if len(named) == 1:
            self.mailboxes.connection_lost(name)
            self.deliver(named[0])

    def _dropped(self, copy: Delivery, now: Instant) -> None:
        """A mailbox was full. What somebody must act upon goes to operators, who have the largest."""
        event = copy.event
        self._measures.copies_dropped += 1
        self._observers.copy(event.alert_id, event.recipient)
        matters = event.severity is Severity.CRITICAL and not copy.escalated and event.recipient != OPERATORS
        if matters and self.mailboxes.get(event.alert_id, OPERATORS) is None:
            why = f"too many alerts wait for {event.recipient}"
            details = {**event.details, "escalated_from": [event.recipient], "escalated_because": why}
            self.publish(replace(event, recipient=OPERATORS, details=details), now)
