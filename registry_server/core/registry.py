"""The registry's state as one object: commands in, effects out. One writer, no clock, no I/O.

Facts only: nothing here knows what a timeout is. What TRON makes of them is applied in `verdicts`. The parts, in the
order in which they depend on each other: `outgoing`, `published`, `liveness_facts`, `alert_delivery`, `attachments`,
`registrations`, `maintenance`.
"""

from __future__ import annotations

from collections.abc import Iterable

from grid_model.errors import Superseded
from grid_model.event import Event
from grid_model.service import ServiceRole

from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.attachments import Attachments
from registry_server.core.changes import ChangeLog
from registry_server.core.directory import Directory
from registry_server.core.effects import Effects, Left, SupersededBy, UnknownService
from registry_server.core.event_log import EventLog
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.losses import LossAlerts
from registry_server.core.mailbox import Mailboxes
from registry_server.core.maintenance import HeldNotices
from registry_server.core.observations import ObservationFeed
from registry_server.core.observers import Observers
from registry_server.core.outgoing import Outgoing
from registry_server.core.published import PART, Published
from registry_server.core.record import Record
from registry_server.core.registrations import MAX_TOMBSTONES, Registrations
from registry_server.core.service import (
    Copy,
    Instant,
    Intent,
    Judgement,
    Maintenance,
    Report,
    Service,
    ServiceSpec,
    StoredService,
    Tombstone,
)

ANSWERED_LATE = 0.1
"""Attentive seconds for which a registration may wait for its answer without a word about it."""


class Registry:
    """The registry's state. Every method is one atomic command; `take()` returns what follows from those before."""

    def __init__(
        self,
        *,
        revision: int = 0,
        incarnation: int = 0,
        event_log: EventLog | None = None,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.outgoing = Outgoing(revision)
        self.changes = ChangeLog(revision, tombstones=MAX_TOMBSTONES)
        self.directory = Directory()
        self.observers = Observers()
        records = self.directory.records
        self._maintenance = HeldNotices(records, self.outgoing)
        self.published = Published(self.changes, records, self._maintenance.by_id)
        self.facts = LivenessFacts(records, self.observers, self.outgoing, revision)
        self.delivery = AlertDelivery(
            self.directory, self.observers, self.outgoing, event_log or EventLog(), mailboxes or Mailboxes()
        )
        self.attachments = Attachments(records, self.delivery, self.facts, self.published, self.outgoing)
        self.registrations = Registrations(
            self.directory,
            self.changes,
            self.delivery,
            self.facts,
            self.published,
            self.attachments,
            self.outgoing,
            incarnation=incarnation,
        )

    @property
    def records(self) -> dict[str, Record]:
        """All registered services by id."""
        return self.directory.records

    @property
    def tombstones(self) -> dict[str, Tombstone]:
        """The services that are registered no more, by id, the oldest first."""
        return self.registrations.tombstones

    @property
    def events(self) -> EventLog:
        """Every event."""
        return self.delivery.events

    @property
    def mailboxes(self) -> Mailboxes:
        """The copies of alerts that wait."""
        return self.delivery.mailboxes

    @property
    def loss_alerts(self) -> LossAlerts:
        """Which alerts notify of which losses."""
        return self.registrations.loss_alerts

    @property
    def watched(self) -> bool:
        """Whether somebody passes judgement now; if not, the liveness of all is UNKNOWN."""
        return self.published.watched

    def take(self) -> Effects:
        """What the commands since the last call asked for, in order."""
        return self.outgoing.take(self.changes.revision)

    def restore(
        self,
        services: Iterable[StoredService],
        tombstones: Iterable[Tombstone],
        intents: Iterable[Intent],
        waiting: Iterable[Copy],
        now: Instant,
        maintenance: Iterable[Maintenance] = (),
    ) -> None:
        """Take over what was stored. Everyone is disconnected and was last heard, as far as silence goes, now."""
        self._maintenance.by_id.update({each.service_id: each for each in maintenance})
        self.registrations.restore(services, tombstones, intents, now)
        self.delivery.restore(waiting, now)

    # --- streams of agents ------------------------------------------------------------------------------------------

    def open_session(self, session_id: int) -> None:
        """A Heartbeat stream was opened."""
        self.attachments.sessions.open(session_id)

    def end_session(self, session_id: int, reason: str) -> bool:
        """We end this stream, for an error reason; said before it closes. Return whether that was not known yet.

        Its end then says nothing about the services on it.
        """
        return self.attachments.sessions.end(session_id, reason)

    def drain_session(self, session_id: int, reconnect_after: float, now: Instant) -> None:
        """We ask a client to leave this stream within so many seconds: until then, its end is our doing.

        Nothing if it is over already: its client was faster.
        """
        self.attachments.sessions.drain(session_id, now.attentive + reconnect_after)

    def close_session(self, session_id: int, now: Instant) -> list[Record]:
        """The stream ended; see `Attachments.close`."""
        return self.attachments.close(session_id, now)

    def carries(self, session_id: int) -> bool:
        """Whether the stream carries any service."""
        return bool(self.attachments.sessions[session_id].services)

    # --- commands of agents -----------------------------------------------------------------------------------------

    def register(
        self,
        spec: ServiceSpec,
        incarnation: int,
        instance_id: str,
        session_id: int | None,
        now: Instant,
        *,
        process: str = "",
    ) -> Service:
        """Start a new incarnation, or re-attach the one that is held; see `Registrations.register`."""
        return self.registrations.register(spec, incarnation, instance_id, session_id, now, process=process)

    def refuse_older(self, session_id: int, error: Superseded) -> None:
        """Tell on a stream that a newer incarnation holds the id: once that one is on disk, for the older one stops."""
        self.outgoing.send(session_id, SupersededBy(error.service_id, error.incarnation))

    def wait_for_answers(self, services: Iterable[Service]) -> None:
        """The answers to these registrations wait for the disk, until `answered`."""
        for service in services:
            record = self.records.get(service.spec.service_id)
            if record is not None and record.incarnation == service.incarnation:
                record.unanswered = True

    def answered(self, session_id: int | None, service: Service, now: Instant) -> None:
        """The service knows now that it is registered: only from now on it owes its next heartbeat, however long the
        disk took. It cannot send one before."""
        record = self.records.get(service.spec.service_id)
        if record is None or record.session != session_id or record.incarnation != service.incarnation:
            return
        record.unanswered = False
        if now.attentive - record.heard_at > ANSWERED_LATE:
            self.facts.hear_late(record, now)

    def beat(
        self,
        session_id: int,
        service_id: str,
        incarnation: int,
        report: Report | None,
        now: Instant,
        *,
        relayed: bool = False,
    ) -> Record | None:
        """Record a sign of life. Return the record that was heard, None if the heartbeat was answered instead.

        `report` None keeps what was reported before. `relayed`: the stream only passes it on, and carries nobody by it.
        """
        sessions, send = self.attachments.sessions, self.outgoing.send
        session = sessions[session_id]
        session.heard_at = now.attentive
        record = self.records.get(service_id)
        if record is None:
            self.registrations.send_removed_as_down(service_id, session_id)
            sessions.drop(session_id, service_id)
            send(session_id, UnknownService(service_id))
            return None
        held = incarnation or session.services.get(service_id, 0)
        if (held and held < record.incarnation) or (not incarnation and service_id in session.superseded):
            send(session_id, SupersededBy(service_id, record.incarnation))
            return None
        if held > record.incarnation:
            send(session_id, UnknownService(service_id))
            return None
        overtaken = held and record.session is not None and session_id < record.session
        if record.session != session_id and not relayed and not overtaken:
            # The newest stream that spoke for an incarnation carries it: what an older one still had on its way, when
            # its client gave it up, must not take the service along when it ends. A heartbeat that names no
            # incarnation, from a stream that was never told one, is another client's: the one before must give up.
            self.attachments.attach(record, session_id, now, supersede=not held)
            self.facts.changed(record)
            self.published.show(record)
            self.delivery.deliver(record)
        record.unanswered = False
        self.facts.hear(record, now)
        if record.session == session_id:
            self.registrations.send_declared_down(record, session_id)
        if report is not None and report != record.report:
            self._take_report(record, report, now)
        self.facts.publish_heard(record)
        return record

    def acknowledge_on_stream(self, session_id: int, alert_ids: Iterable[str], now: Instant) -> None:
        """A stream has handled alerts: those that are addressed to a service that it carries. That is a sign of life of
        the service, too: its next heartbeat may be behind thousands of such messages."""
        self.attachments.sessions[session_id].heard_at = now.attentive
        for alert_id in alert_ids:
            for recipient in sorted(self.mailboxes.recipients(alert_id)):
                # By name too, though a namesake may have come since it was delivered.
                for record in self.directory.matching(recipient):
                    if record.session == session_id:
                        self.acknowledge(alert_id, recipient, now)
                        self.facts.hear(record, now)
                        self.facts.publish_heard(record)
                        self.delivery.deliver(record)
                        break

    def share_session(self, session_id: int) -> None:
        """The stream carries the agents of one process, each of them apart."""
        self.attachments.sessions[session_id].shared = True

    def abandon(self, session_id: int, service_id: str, incarnation: int, now: Instant) -> list[Record]:
        """The program of a service is gone while its stream goes on with others. Return whom that breaks off."""
        self.attachments.sessions[session_id].heard_at = now.attentive
        record = self.attachments.abandon(session_id, service_id, incarnation, now)
        return [] if record is None else [record]

    def goodbye(self, session_id: int, service_id: str, reason: str, now: Instant, incarnation: int = 0) -> None:
        """The service leaves on purpose. Only the incarnation that this stream carries can leave by it; if it is named,
        the goodbye is answered once it is durable."""
        session = self.attachments.sessions[session_id]
        session.heard_at = now.attentive
        held = session.services.get(service_id)
        record = self.records.get(service_id)
        if record is None:
            self.outgoing.send(session_id, UnknownService(service_id))
        elif held != record.incarnation or incarnation not in (0, held):
            self.outgoing.send(session_id, SupersededBy(service_id, record.incarnation))
        else:
            self.remove(record, reason or "goodbye", None, now)
            if incarnation:
                self.outgoing.send(session_id, Left(service_id, incarnation))

    # --- commands of operators --------------------------------------------------------------------------------------

    def deregister(self, service_id: str, reason: str, now: Instant) -> None:
        """Remove a service on purpose, for good: alerts for it do not wait. Raises ServiceNotFound."""
        record = self.get(service_id)
        self.remove(record, reason or "deregistered", None, now)
        self.delivery.removed_for_good(record, now)

    def promote(self, name: str, from_role: ServiceRole, to_role: ServiceRole) -> int:
        """Change the role of every instance; see `Registrations.promote`."""
        return self.registrations.promote(name, from_role, to_role)

    def hold_notices(self, maintenance: Maintenance) -> Record:
        """An operator holds notices about a service; it stays with the id. Raises ServiceNotFound."""
        record = self.get(maintenance.service_id)
        self._maintenance.hold(maintenance, self._maintenance_changed)
        return record

    def release_notices(self, service_id: str) -> Record | None:
        """Notices are held no more; None if the service itself is gone. Raises ServiceNotFound if none were held."""
        record = self.records.get(service_id) if service_id in self._maintenance.by_id else self.get(service_id)
        self._maintenance.release(service_id, self._maintenance_changed)
        return record

    def acknowledge(self, alert_id: str, recipient: str, now: Instant) -> int:
        """The recipient (empty: everyone) has handled the alert. Return how many copies were waiting."""
        return self.delivery.acknowledge(alert_id, recipient, now)

    def acknowledge_loss(self, alert_id: str, now: Instant) -> int:
        """An operator acknowledges the loss of which this alert told. Return of how many services: one or none."""
        service_id = self.loss_alerts.find(alert_id)
        return 0 if service_id is None else self.registrations.acknowledge_lost(service_id, now)

    def acknowledge_matching(self, service_id: str, recipient: str, now: Instant) -> tuple[int, int]:
        """Acknowledge every copy that waits, about this service and for this recipient (each empty: any).

        Without a recipient it is an operator's acknowledgement, also of what was lost. Return how many copies waited,
        and how many lost services were not acknowledged before.
        """
        count = self.delivery.acknowledge_matching(service_id, recipient, now)
        if recipient:
            return count, 0
        lost = [service_id] if service_id else [*self.records, *self.tombstones]
        return count, sum(self.registrations.acknowledge_lost(each, now) for each in lost)

    def publish(self, event: Event, now: Instant, *, climbed: bool = False) -> tuple[Event, bool]:
        """Append an event; see `AlertDelivery.publish`."""
        return self.delivery.publish(event, now, climbed=climbed)

    # --- readers ----------------------------------------------------------------------------------------------------

    def get(self, service_id: str) -> Record:
        """The record; raises ServiceNotFound."""
        return self.directory.get(service_id)

    def view(self, record: Record) -> Service:
        """The record as a reader sees it."""
        return self.published.view(record)

    def as_heard(self, shown: Service) -> Service:
        """A service as readers were shown it, with what is no change; see `Published.as_heard`."""
        return self.published.as_heard(shown)

    def is_alive(self, service_id: str) -> bool:
        """Whether a service is registered and judged ALIVE."""
        return self.registrations.is_alive(service_id)

    def maintenance_of(self, service_id: str) -> Maintenance | None:
        """The operator's word that holds notices about a service; None if there is none."""
        return self._maintenance.by_id.get(service_id)

    def all_maintenance(self) -> list[Maintenance]:
        """Every operator's word that holds notices, by service_id."""
        return self._maintenance.all()

    def heard_after(self, observation: int) -> tuple[list[tuple[int, float]], int]:
        """The services that were heard after that observation; see `LivenessFacts.heard_after`."""
        return self.facts.heard_after(observation)

    # --- TRON -------------------------------------------------------------------------------------------------------

    def open_feed(self, feed_id: int, observer: str) -> ObservationFeed:
        """An observer listens from now on; its first frame is everything."""
        copies = ((copy.event.alert_id, copy.event.recipient) for copy in self.mailboxes.all_waiting())
        return self.observers.open(feed_id, observer, self.records, copies)

    def judged(self, observer: str, now: Instant, until: float | None = None) -> None:
        """The observer has judged all facts up to the attentive time `until` (None: now); see `Observers.judged`."""
        watches = self.observers.judged(observer, now, until)
        if watches is not None:
            self.published.set_watched(watches)

    # --- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> None:
        """Notice that nobody watches, that a time of maintenance is over, that streams have fallen silent, and that
        alerts wait for nobody."""
        self._maintenance.release_due(now, self._maintenance_changed)
        if self.observers.are_lost(now):
            self.published.set_watched(False)
        self.delivery.withdraw_absent(now)
        self.attachments.end_silent(now)

    def show_liveness(self, limit: int = PART) -> bool:
        """A part of the work that `judged` or `tick` left; see `Published.show_liveness`."""
        return self.published.show_liveness(limit)

    def publish_figures(self, limit: int = PART) -> bool:
        """A part of what readers are shown now and then; see `Published.show_figures`."""
        return self.published.show_figures(limit)

    def save_heartbeats(self, limit: int = PART) -> bool:
        """A part of what is stored now and then; see `LivenessFacts.save_heartbeats`."""
        return self.facts.save_heartbeats(limit)

    def compact_events(self, first: int) -> None:
        """Forget events older than the number `first`, and the copies of them that nobody acknowledged."""
        self.delivery.compact(first)

    # --- for verdicts -----------------------------------------------------------------------------------------------

    def remove(self, record: Record, reason: str, judgement: Judgement | None, now: Instant) -> None:
        """Remove a service and remember it; `judgement` None if it left on purpose."""
        self.registrations.remove(record, reason, judgement, now)

    def judged_down(self, record: Record) -> None:
        """A service was judged down: perhaps nobody speaks on its stream any more."""
        if record.session is not None:
            self.attachments.sessions.recheck(record.session)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take_report(self, record: Record, report: Report, now: Instant) -> None:
        before, record.report = record.report, report
        telling = report.busy_until != before.busy_until
        if telling:
            record.busy_declared_at = now.attentive
            record.busy_until_at = now.attentive + max(0.0, (report.busy_until or now.wall) - now.wall)
        if report.activity != before.activity:
            record.active_at = now.attentive
            telling = telling or record.spec.stall_after is not None
        if telling:
            self.facts.changed_beside_judgement(record)
        if (report.status, report.message, report.busy_until) != (before.status, before.message, before.busy_until):
            self.published.show(record)
        else:
            self.published.show_later(record.spec.service_id)

    def _maintenance_changed(self, record: Record) -> None:
        self.facts.changed_beside_judgement(record)
        self.published.show(record)
