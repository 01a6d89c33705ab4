"""The registry as one object, with one method for each command and each query. It has one writer, no clock and no I/O.

It records facts only, and applies no timeouts. Its state is divided into modules that are used only through this one.
In the order in which they depend on each other, these are: `outgoing`, `ownership`, `parents`, `published`,
`liveness_facts`, `alert_delivery`, `attachments`, `registrations`, `maintenance`, `heartbeats`, `judgements`,
`verdicts`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from grid_model.declaration import Declaration
from grid_model.errors import FieldError, InvalidRequest, ServiceNotFound, Superseded
from grid_model.event import Event
from grid_model.observation import Delivery, ReportDeadline
from grid_model.service import Maintenance, ServiceRole
from grid_model.verdict import AlertCopy, StandingSuspicion, Verdict, VerdictResult

from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.attachments import Attachments
from registry_server.core.changes import ChangeLog
from registry_server.core.directory import Directory
from registry_server.core.effects import Effects, Registered, SupersededBy
from registry_server.core.event_log import EventLog
from registry_server.core.heartbeats import Heartbeats
from registry_server.core.judgements import Judgements
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.mailbox import Mailboxes
from registry_server.core.maintenance import HeldNotices
from registry_server.core.measures import Measures
from registry_server.core.observations import ObservationFeed
from registry_server.core.observers import Observers
from registry_server.core.outgoing import Outgoing
from registry_server.core.ownership import Ownership
from registry_server.core.parents import Parents
from registry_server.core.published import PART, Published
from registry_server.core.record import Record
from registry_server.core.registrations import MAX_TOMBSTONES, Registrations
from registry_server.core.registry_reads import RegistryReads
from registry_server.core.searches import Searches
from registry_server.core.service import Instant, Intent, OwnedId, Report, Service, StoredService, Tombstone
from registry_server.core.verdicts import Verdicts


class Registry(RegistryReads):
    """The registry. Every method is one atomic command; `take()` returns the effects of the commands since its last
    call."""

    def __init__(
        self,
        *,
        revision: int = 0,
        incarnation: int = 0,
        event_log: EventLog | None = None,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.measures = Measures()
        """Counts of the work since the start, for the metrics."""
        self._outgoing = Outgoing(revision)
        self._changes = ChangeLog(revision, tombstones=MAX_TOMBSTONES)
        self._directory = Directory()
        self._observers = Observers()
        records = self.records = self._directory.records
        """All registered services by id. Callers must not change it."""
        self.searches = Searches()
        self._maintenance = HeldNotices(records, self._outgoing)
        self._published = Published(self._changes, records, self._maintenance.by_id)
        self._facts = LivenessFacts(records, self._observers, self._outgoing, revision)
        self._events = event_log or EventLog()
        self._mailboxes = mailboxes or Mailboxes()
        self._delivery = AlertDelivery(
            self._directory, self._observers, self._outgoing, self._events, self._mailboxes, self.measures
        )
        self._attachments = Attachments(
            records, self._delivery, self._facts, self._published, self._outgoing, self.measures
        )
        self._ownership = Ownership(self._outgoing)
        self._parents = Parents(self._directory, self._ownership)
        self._registrations = Registrations(
            self._directory,
            self._ownership,
            self._parents,
            self._changes,
            self._delivery,
            self._facts,
            self._published,
            self._attachments,
            self._outgoing,
            incarnation=incarnation,
        )
        self._heartbeats = Heartbeats(
            self._directory,
            self._delivery,
            self._facts,
            self._published,
            self._attachments,
            self._registrations,
            self._outgoing,
        )
        self.beats = self._heartbeats.beats
        """Record the heartbeats of one message; see `Heartbeats.beats`. This is not a method of its own, because one
        more call for each message would take too long."""
        self.beat_columns = self._heartbeats.columns
        """Record the heartbeats of one message that arrive in columns; see `Heartbeats.columns`."""
        self.set_reading = self._heartbeats.set_reading
        """Record that the registry pauses reading from a stream, or resumes it; see `Heartbeats.set_reading`."""
        self._judgements = Judgements(
            self._directory, self._registrations, self._attachments, self._facts, self._published
        )
        self._verdicts = Verdicts(self._directory, self._delivery, self._judgements, self._published, self._maintenance)
        self._delivery.passed_to_operators = self._verdicts.passed_to_operators

    def take(self) -> Effects:
        """Return the effects of the commands since the last call, in order."""
        return self._outgoing.take(self._changes.revision)

    def restore(
        self,
        services: Iterable[StoredService],
        tombstones: Iterable[Tombstone],
        intents: Iterable[Intent],
        waiting: Iterable[Delivery],
        now: Instant,
        maintenance: Iterable[Maintenance] = (),
        compacted: int = 0,
        owned: Iterable[OwnedId] = (),
    ) -> None:
        """Restore the stored data. Every service is then disconnected, and counts as heard now.

        `compacted`: the revision up to which removals are forgotten.
        """
        self._changes.compacted = compacted
        self._ownership.restore(owned)
        self._maintenance.by_id.update({each.service_id: each for each in maintenance})
        self._registrations.restore(services, tombstones, intents, now)
        self._delivery.restore(waiting, now)

    def follow_parents(self) -> None:
        """Start to record the children of each service. This is needed for readers that may read only their own
        services and the children of their own services."""
        self._directory.follow_parents()

    # --- streams of agents ------------------------------------------------------------------------------------------

    def open_session(self, session_id: int) -> None:
        """Record that a Heartbeat stream was opened."""
        self._attachments.sessions.open(session_id)

    def end_session(self, session_id: int, reason: str) -> bool:
        """Record, before the stream closes, that the registry ends it for an error reason. The end of the stream is
        then no evidence that its services failed.

        Return False if this was recorded before, or if the stream is not open.
        """
        return self._attachments.sessions.end(session_id, reason)

    def drain_session(self, session_id: int, reconnect_after: float, now: Instant) -> None:
        """Record that the registry asked a client to leave this stream within `reconnect_after` seconds. If the stream
        ends within that time, the end counts as caused by the registry.

        Does nothing if the stream has already ended.
        """
        self._attachments.sessions.drain(session_id, now.attentive + reconnect_after)

    def share_session(self, session_id: int) -> None:
        """Record that the stream carries several agents of one process. Each agent is handled separately."""
        self._attachments.sessions[session_id].shared = True

    def stream_ended(self, session_id: int, now: Instant) -> None:
        """Record that the stream ended; `detach_next` detaches its services one after the other."""
        self._attachments.stream_ended(session_id, now)

    def detaches_now(self, now: float) -> bool:
        """Return whether a service waits to be detached, and may be detached at once; see `EndedStreams.admit`."""
        return bool(self._attachments.ended) and self._attachments.ended.admit(now)

    @property
    def detaches(self) -> bool:
        """Whether a service waits to be detached."""
        return bool(self._attachments.ended)

    def detach_next(self) -> Record | None:
        """Detach the next waiting service; see `Attachments.detach_next`."""
        return self._attachments.detach_next()

    def carries(self, session_id: int) -> bool:
        """Return whether the stream carries any service."""
        return bool(self._attachments.sessions[session_id].services)

    def carries_service(self, session_id: int, service_id: str) -> bool:
        """Return whether the stream carries this service."""
        return service_id in self._attachments.sessions[session_id].services

    @property
    def reclaimed_streams(self) -> int:
        """Number of streams that the registry has ended since its start because nothing was received on them any
        more."""
        return self._attachments.reclaimed

    # --- commands of agents -----------------------------------------------------------------------------------------

    def register(
        self,
        spec: Declaration,
        incarnation: int,
        instance_id: str,
        session_id: int | None,
        now: Instant,
        *,
        process: str = "",
        owner: str = "",
    ) -> Service:
        """Start a new incarnation, or re-attach the current one; see `Registrations.register`."""
        service = self._registrations.register(
            spec, incarnation, instance_id, session_id, now, process=process, owner=owner
        )
        self.measures.registrations += 1
        return service

    def register_relayed(
        self, spec: Declaration, incarnation: int, instance_id: str, session_id: int, now: Instant, *, owner: str = ""
    ) -> Service:
        """Register a service that has no stream of its own; the answer is sent on the stream of the relay."""
        service = self._registrations.register(spec, incarnation, instance_id, None, now, owner=owner)
        self._attachments.sessions[session_id].heard_at = now.attentive
        self._outgoing.send(session_id, Registered(service, instance_id, relayed=True))
        return service

    def claim(self, service_id: str, owner: str) -> None:
        """Record the owner of the id of a registered service; the id must not have an owner yet."""
        self._ownership.registered(service_id, owner)
        self._facts.changed_beside_judgement(self.get(service_id))  # its parent may depend on the owner

    def refuse_older(self, session_id: int, error: Superseded) -> None:
        """Notify the client of a stream that a newer incarnation holds the id of its service. The older program stops
        when it receives this message, so the message is sent only once the newer incarnation is on disk."""
        self._outgoing.send(session_id, SupersededBy(error.service_id, error.incarnation))

    def wait_for_answers(self, services: Iterable[Service]) -> None:
        """Record that these registrations have no answer yet, because they wait for the disk; see
        `Heartbeats.wait_for_answers`."""
        self._heartbeats.wait_for_answers(services)

    def answered(self, session_id: int | None, service: Service, now: Instant) -> None:
        """Record that the answer to a registration was sent to the service; see `Heartbeats.answered`."""
        self._heartbeats.answered(session_id, service, now)

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
        """Record a heartbeat; see `Heartbeats.beat`."""
        return self._heartbeats.beat(session_id, service_id, incarnation, report, now, relayed=relayed)

    def acknowledge_on_stream(self, session_id: int, alert_ids: Iterable[str], now: Instant) -> None:
        """Acknowledge the alerts that the services on a stream have handled; see `Heartbeats.acknowledge_on_stream`."""
        self._heartbeats.acknowledge_on_stream(session_id, alert_ids, now)

    def abandon(self, session_id: int, service_id: str, incarnation: int, now: Instant) -> list[Record]:
        """Detach a service whose program crashed while its stream continues with other services; see
        `Heartbeats.abandon`."""
        return self._heartbeats.abandon(session_id, service_id, incarnation, now)

    def goodbye(self, session_id: int, service_id: str, reason: str, now: Instant, incarnation: int = 0) -> None:
        """Remove a service that leaves on purpose; see `Heartbeats.goodbye`."""
        self._heartbeats.goodbye(session_id, service_id, reason, now, incarnation)

    def not_sent(self, alert_id: str, recipient: str) -> None:
        """Record that there was no room for an alert on the stream of its recipient: the alert waits for
        `deliver_to`."""
        self._delivery.not_sent(alert_id, recipient)

    def alert_written(self, alert_id: str, recipient: str, now: Instant) -> None:
        """Record that an alert was written to the stream of its recipient."""
        self._delivery.written(alert_id, recipient, now)

    def deliver_to(self, recipient: str) -> None:
        """Send the alerts that wait for a recipient whose stream has room again."""
        self._delivery.deliver_to(recipient)

    # --- commands of operators --------------------------------------------------------------------------------------

    def deregister(self, service_id: str, reason: str, now: Instant) -> None:
        """Remove a service on purpose; alerts for it are not kept. Raises ServiceNotFound if it is not registered."""
        record = self.get(service_id)
        self._registrations.remove(record, reason or "deregistered", None, now)
        self._delivery.removed_for_good(record, now)

    def release_owner(self, service_id: str, now: Instant) -> str:
        """End the ownership of the id of a service that is not registered, and discard the alerts that wait for the id.
        Return the former owner. Raises InvalidRequest if the service is registered, and ServiceNotFound if the id has
        no owner."""
        if service_id in self.records:
            raise InvalidRequest.of(FieldError("service_id", "the service is still registered; deregister it first"))
        owner = self._ownership.release(service_id)
        if not owner:
            raise ServiceNotFound(f"the id {service_id!r} has no owner")
        self._delivery.released(service_id, now)
        return owner

    def promote(
        self, name: str, from_role: ServiceRole, to_role: ServiceRole, *, may: Callable[[str], bool] = lambda _: True
    ) -> int:
        """Change the role of every service with this name and role; see `Registrations.promote`."""
        return self._registrations.promote(name, from_role, to_role, may=may)

    def hold_notices(self, maintenance: Maintenance) -> Record:
        """Put a service under maintenance; return the record of the service. Raises ServiceNotFound if it is not
        registered."""
        record = self.get(maintenance.service_id)
        self._maintenance.hold(maintenance, self._maintenance_changed)
        return record

    def release_notices(self, service_id: str) -> Record | None:
        """End the maintenance of a service. Return the record of the service; None if the service is not registered.
        Raises ServiceNotFound if the service is neither registered nor under maintenance."""
        record = self.records.get(service_id) if service_id in self._maintenance.by_id else self.get(service_id)
        self._maintenance.release(service_id, self._maintenance_changed)
        return record

    def acknowledge(self, alert_id: str, recipient: str, now: Instant) -> int:
        """Acknowledge an alert for one recipient, or for all recipients if `recipient` is empty. Return how many copies
        were waiting."""
        return self._delivery.acknowledge(alert_id, recipient, now)

    def acknowledge_loss(self, alert_id: str, now: Instant) -> int:
        """Record that an operator acknowledges the loss that this alert reported. Return 1 if that loss was open and
        not acknowledged, else 0."""
        return self._judgements.acknowledge_loss(alert_id, now)

    def acknowledge_matching(self, service_id: str, recipient: str, now: Instant) -> tuple[int, int]:
        """Acknowledge all waiting alerts about a service and for a recipient; an empty `service_id` or `recipient`
        matches all.

        Without a recipient this is an operator's acknowledgement, which also acknowledges losses. Return how many
        copies were waiting, and how many lost services were not acknowledged before.
        """
        count = self._delivery.acknowledge_matching(service_id, recipient, now)
        if recipient:
            return count, 0
        lost = [service_id] if service_id else [*self.records, *self.tombstones]
        return count, sum(self._judgements.acknowledge_lost(each, now) for each in lost)

    def publish(self, event: Event, now: Instant, *, escalated: bool = False) -> tuple[Event, bool]:
        """Append an event to the event log; see `AlertDelivery.publish`."""
        return self._delivery.publish(event, now, escalated=escalated)

    # --- TRON -------------------------------------------------------------------------------------------------------

    def open_feed(self, feed_id: int, observer: str) -> ObservationFeed:
        """Add an observer; its first frame contains all facts. Its earlier preauthorized suspicions become invalid.

        Raises QuotaExceeded.
        """
        copies = ((copy.event.alert_id, copy.event.recipient) for copy in self._mailboxes.all_waiting())
        feed = self._observers.open(feed_id, observer, self.records, copies)
        self._verdicts.withdraw_preauthorized(observer)
        return feed

    def close_feed(self, feed_id: int, now: Instant) -> None:
        """Record that an observer's stream ended; its preauthorized suspicions become invalid."""
        self._verdicts.withdraw_preauthorized(self._observers.close(feed_id, now))

    @property
    def judged_until(self) -> float:
        """The attentive time up to which TRON has evaluated all facts; 0.0 before TRON's first call with verdicts."""
        return self._observers.judged_until

    def feed_is_due(self, feed_id: int, now: float, *, tick: bool) -> bool:
        """Return whether to send the observer a frame at `now` (attentive seconds), at a tick (`tick`) or because an
        urgent fact waits; see `Observers.is_due`."""
        return self._observers.is_due(feed_id, now, tick=tick)

    def frame_sent(self, feed_id: int, until: float, *, facts: bool) -> None:
        """Record that the observer was sent a frame with all facts up to the attentive time `until`; see
        `Pacing.sent`."""
        self._observers.sent(feed_id, until, facts=facts)

    def judged(self, observer: str, now: Instant, until: float | None = None, idle_until: float | None = None) -> None:
        """Record that the observer has evaluated all facts up to the attentive time `until` (None means now); see
        `Observers.judged`."""
        watches = self._observers.judged(observer, now, until, idle_until)
        if watches is not None:
            self._published.set_watched(watches)

    def apply(self, verdict: Verdict, now: Instant) -> VerdictResult:
        """Apply a verdict or refuse it; see `Verdicts.apply`."""
        return self._verdicts.apply(verdict, now)

    def notify(self, copy: AlertCopy, now: Instant) -> bool:
        """Send an alert, or a further copy of an alert; see `Verdicts.notify`."""
        return self._verdicts.notify(copy, now)

    def preauthorize(
        self, suspicions: Iterable[StandingSuspicion], withdrawn: Iterable[int], *, held: bool, observer: str = ""
    ) -> None:
        """Store the observer's preauthorized suspicions; see `Verdicts.preauthorize`."""
        self._verdicts.preauthorize(suspicions, withdrawn, held=held, observer=observer)

    def defer(self, observer: str, deadlines: Iterable[ReportDeadline]) -> None:
        """Report these incarnations to an observer at the deadlines that it has set, and not at each heartbeat; see
        `LivenessFacts.defer`."""
        self._facts.defer(observer, deadlines, self._directory.by_incarnation)

    def withdraw_preauthorized(self) -> None:
        """Invalidate all preauthorized suspicions, because the registry stalled."""
        self._verdicts.withdraw_preauthorized()

    def streams_broke(self, broken: Iterable[Record], now: Instant) -> None:
        """Apply the observer's preauthorized suspicions to the services whose streams broke."""
        self._verdicts.streams_broke(broken, now)

    @property
    def cascade_alert_id(self) -> str:
        """The alert_id of the mass failure that TRON last reported; empty if none is in progress."""
        return self._verdicts.cascade_alert_id

    def report_cascade(self, alert_id: str) -> None:
        """Record the alert_id of the mass failure that TRON reports; empty if none is in progress."""
        self._verdicts.cascade_alert_id = alert_id

    # --- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> None:
        """Check whether TRON is lost, whether the maintenance of a service is over, which streams fell silent, and
        which alerts wait for recipients that are not registered."""
        self._maintenance.release_due(now, self._maintenance_changed)
        if self._observers.are_lost(now):
            self._published.set_watched(False)
        self._delivery.withdraw_absent(now)
        self._attachments.end_silent(now)

    def show_liveness(self, limit: int = PART) -> bool:
        """Show readers a part of the services whose liveness became known or unknown; see `Published.show_liveness`."""
        return self._published.show_liveness(limit)

    def publish_figures(self, limit: int = PART) -> bool:
        """Show readers a part of the new load figures; see `Published.show_figures`."""
        return self._published.show_figures(limit)

    def save_heartbeats(self, limit: int = PART) -> bool:
        """Store the times of the last heartbeats of some services; see `LivenessFacts.save_heartbeats`."""
        return self._facts.save_heartbeats(limit)

    def release_owners(self, oldest: float, now: Instant) -> None:
        """End the ownership of ids whose services were removed before `oldest` (seconds since the epoch)."""
        for service_id in self._ownership.removed_before(oldest):
            self.release_owner(service_id, now)

    def compact_events(self, first: int) -> None:
        """Delete the events with sequence numbers below `first`, and the copies of these events that still wait."""
        self._delivery.compact(first)

    def _maintenance_changed(self, record: Record) -> None:
        self._facts.changed_beside_judgement(record)
        self._published.show(record)
