"""Who is registered, who is connected, what was heard: commands in, effects out. One writer, no clock, no I/O.

Facts only: nothing here knows what a timeout is. What TRON makes of them is applied in `verdicts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from registry_server.core import overtaken
from registry_server.core.absent_recipients import AbsentRecipients
from registry_server.core.changes import ChangeLog
from registry_server.core.directory import Directory
from registry_server.core.effects import (
    Acknowledge,
    Alert,
    AppendEvent,
    BuryService,
    CompactEvents,
    DeclaredDown,
    DropIntent,
    DropMaintenance,
    Effects,
    EndStream,
    Message,
    PutHeartbeats,
    PutIntent,
    PutMaintenance,
    PutService,
    Registered,
    ReserveRevisions,
    SettleCopy,
    SupersededBy,
    UnknownService,
    WithdrawCopy,
    Write,
)
from registry_server.core.errors import (
    QuotaExceeded,
    ServiceNotFound,
    SilentStream,
    Superseded,
    UnknownIncarnation,
)
from registry_server.core.event_log import EventLog
from registry_server.core.losses import LossAlerts, is_lost
from registry_server.core.mailbox import Mailboxes
from registry_server.core.observations import Heard, ObservationFeed
from registry_server.core.observers import Observers
from registry_server.core.record import Record
from registry_server.core.service import (
    OPERATORS,
    Copy,
    Event,
    Instant,
    Intent,
    Judgement,
    Liveness,
    LivenessCause,
    Maintenance,
    Report,
    Service,
    ServiceRole,
    ServiceSpec,
    Severity,
    StoredService,
    Tombstone,
)
from registry_server.core.sessions import Sessions

MAX_SERVICES = 200_000
MAX_TOMBSTONES = 10_000
MAX_INSTANCES = 8
"""Registrations remembered for each service, so that a retry is known as one."""

REVISION_BLOCK = 100_000
"""Revisions are reserved on disk in blocks of this size."""

OBSERVATION_BITS = 43
"""Each life of the registry reserves at least one block of revisions; the number of the block is above these bits."""

PART = 250
"""Services that one part of the work over all of them is about: 1 to 2 ms."""

ANSWERED_LATE = 0.1
"""Attentive seconds for which a registration may wait for its answer without a word about it."""


class Catalogue:
    """The registry's state. Every method is one atomic command; `take()` returns what follows from those before."""

    def __init__(
        self,
        *,
        revision: int = 0,
        incarnation: int = 0,
        event_log: EventLog | None = None,
        mailboxes: Mailboxes | None = None,
    ) -> None:
        self.changes = ChangeLog(revision, tombstones=MAX_TOMBSTONES)
        self.events = event_log or EventLog()
        self.mailboxes = mailboxes or Mailboxes()
        self.directory = Directory()
        self.observers = Observers()
        self.loss_alerts = LossAlerts()
        self.absent = AbsentRecipients()
        self.tombstones: dict[str, Tombstone] = {}
        self.watched = False
        """Whether somebody passes judgement now; if not, the liveness of all is UNKNOWN."""
        self.streams_reclaimed = 0
        """How many streams were ended because nobody spoke on them any more, since the start."""
        self._incarnation = incarnation
        # Unlike in any life before, so that an alert_id, which follows from it, never comes twice.
        self._observation = revision // REVISION_BLOCK << OBSERVATION_BITS
        self._ceiling = revision
        self._sessions = Sessions()
        self._intents: dict[str, Intent] = {}
        self._maintenance: dict[str, Maintenance] = {}
        self._sends: list[tuple[int, Message | EndStream]] = []
        self._writes: list[Write] = []
        # Work over all services is cut into parts; in each of these is who still waits for its turn.
        self._unshown: dict[str, None] = {}
        self._unpublished: dict[str, None] = {}
        self._unsaved: dict[str, None] = {}

    @property
    def records(self) -> dict[str, Record]:
        """All registered services by id."""
        return self.directory.records

    @property
    def pending_writes(self) -> int:
        """How many lines for the store the next `take` returns, or one more."""
        return len(self._writes)

    def take(self) -> Effects:
        """What the commands since the last call asked for, in order."""
        if self.changes.revision > self._ceiling - REVISION_BLOCK // 2:
            self._ceiling = self.changes.revision + REVISION_BLOCK
            self._writes.append(ReserveRevisions(self._ceiling))
        effects = Effects(self._sends, self._writes)
        self._sends = []
        self._writes = []
        return effects

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
        for tombstone in sorted(tombstones, key=lambda stone: stone.revision):
            self.tombstones[tombstone.service_id] = tombstone
            self.loss_alerts.put(tombstone.service_id, tombstone.judgement)
            self.changes.restore_removed(tombstone.service_id, tombstone.revision)
        self._intents = {intent.service_id: intent for intent in intents}
        self._maintenance = {each.service_id: each for each in maintenance}
        for copy in waiting:
            self.mailboxes.put(replace(copy, since=now.attentive))
        for stored in services:
            record = Record(
                spec=stored.spec,
                declared_role=stored.declared_role,
                incarnation=stored.incarnation,
                instances=stored.instances,
                registered_at=stored.registered_at,
                last_heartbeat_at=stored.last_heartbeat_at,
                heard_at=now.attentive,
                streamed=stored.streamed,
                report=stored.report,
                active_at=now.attentive,
                judgement=stored.judgement,
                judged_at=now.attentive,
            )
            if stored.report.busy_until is not None:
                record.busy_declared_at = now.attentive
                record.busy_until_at = now.attentive + max(0.0, stored.report.busy_until - now.wall)
            self.directory.add(record)
            self.loss_alerts.put(stored.spec.service_id, stored.judgement)
            self._fact(record)
            self.show(record)
        for word in self.mailboxes.all_recipients():
            if word != OPERATORS and self.directory.resolve(word) is None:
                self.absent.alert_waits(word, now.attentive)

    # --- agents -----------------------------------------------------------------------------------------------------

    def open_session(self, session_id: int) -> None:
        """A Heartbeat stream was opened."""
        self._sessions.open(session_id)

    def end_session(self, session_id: int, reason: str) -> bool:
        """We end this stream, for an error reason; said before it closes. Return whether that was not known yet.

        Its end then says nothing about those whom it carries.
        """
        return self._sessions.end(session_id, reason)

    def drain_session(self, session_id: int, reconnect_after: float, now: Instant) -> None:
        """We ask a client to leave this stream within so many seconds: until then, its end is our doing.

        Nothing where it is over already: its client was faster.
        """
        self._sessions.drain(session_id, now.attentive + reconnect_after)

    def close_session(self, session_id: int, now: Instant) -> list[Record]:
        """The stream ended: whoever it carried is detached. Nobody left by this.

        Return those whose stream the other side ended: for them the end means something.
        """
        session = self._sessions.pop(session_id)
        if session is None:
            return []
        reason = session.reason(now.attentive)
        broken: list[Record] = []
        for service_id in session.services:
            record = self.records.get(service_id)
            if record is not None and record.session == session_id:
                record.session = None
                record.unanswered = False
                record.detached_at, record.detached_reason = now.attentive, reason
                self._lose_connection(record)
                self._fact(record)
                self.show(record)
                if not reason:
                    broken.append(record)
        return broken

    def carries(self, session_id: int) -> bool:
        """Whether the stream carries any service."""
        return bool(self._sessions[session_id].services)

    def register(
        self, spec: ServiceSpec, incarnation: int, instance_id: str, session_id: int | None, now: Instant
    ) -> Service:
        """Start a new incarnation, or re-attach the one that is held; return the record.

        Raises Superseded for an incarnation, or a retried registration, that a newer one has overtaken;
        UnknownIncarnation for one that is not known; InvalidRequest for a parent that would close a circle.
        """
        record = self.records.get(spec.service_id)
        if incarnation:
            record = self._held(spec.service_id, incarnation, session_id)
        elif record is not None and instance_id:
            record = self._retried(record, instance_id)
        else:
            record = None
        if record is None:
            record = self._start_incarnation(spec, instance_id, session_id, now)
        self._hear(record, now)
        if session_id is not None:
            record.streamed = True
            self._attach(record, session_id, now)
        self.keep(record, fresh=True)
        self._fact(record)
        self.show(record)
        service = self.view(record)
        if session_id is not None:
            self._sends.append((session_id, Registered(service)))
            self._tell_declared_down(record, session_id)
            self._deliver_waiting(record)
        return service

    def refuse_older(self, session_id: int, error: Superseded) -> None:
        """Tell on a stream that a newer incarnation holds the id: once that one is on disk, for the older one stops."""
        self._sends.append((session_id, SupersededBy(error.service_id, error.incarnation)))

    def wait_for_answers(self, services: Iterable[Service]) -> None:
        """The answers to these registrations wait for the disk, until `answered`."""
        for service in services:
            record = self.records.get(service.spec.service_id)
            if record is not None and record.incarnation == service.incarnation:
                record.unanswered = True

    def answered(self, session_id: int | None, service: Service, now: Instant) -> None:
        """The service hears now that it is registered: only from now on it owes its next beat, however long the disk
        took. Nobody beats before."""
        record = self.records.get(service.spec.service_id)
        if record is None or record.session != session_id or record.incarnation != service.incarnation:
            return
        record.unanswered = False
        if now.attentive - record.heard_at > ANSWERED_LATE:
            self._observation += 1
            record.observation, record.heard_at = self._observation, now.attentive
            self._tell_heard(record)

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
        """Record a sign of life. Return the record that was heard, None where the beat was answered instead.

        `report` None keeps what was reported before. `relayed`: the stream only passes it on, and carries nobody by it.
        """
        session = self._sessions[session_id]
        session.heard_at = now.attentive
        record = self.records.get(service_id)
        if record is None:
            tombstone = self.tombstones.get(service_id)
            if tombstone and tombstone.judgement and tombstone.judgement.down_event:
                self._sends.append((session_id, DeclaredDown(service_id, tombstone.judgement.down_event)))
            self._sessions.drop(session_id, service_id)
            self._sends.append((session_id, UnknownService(service_id)))
            return None
        held = incarnation or session.services.get(service_id, 0)
        if (held and held < record.incarnation) or (not incarnation and service_id in session.superseded):
            self._sends.append((session_id, SupersededBy(service_id, record.incarnation)))
            return None
        if held > record.incarnation:
            self._sends.append((session_id, UnknownService(service_id)))
            return None
        overtaken = held and record.session is not None and session_id < record.session
        if record.session != session_id and not relayed and not overtaken:
            # The newest stream that spoke for an incarnation carries it: what an older one still had on its way, when
            # its client gave it up, must not take the service along when it ends. A beat that names no incarnation,
            # from a stream that was never told one, is another client's: the one before must give up.
            self._attach(record, session_id, now, give_up=not held)
            self._fact(record)
            self.show(record)
            self._deliver_waiting(record)
        record.unanswered = False
        self._hear(record, now)
        if record.session == session_id:
            self._tell_declared_down(record, session_id)
        if report is not None and report != record.report:
            self._take_report(record, report, now)
        self._tell_heard(record)
        return record

    def acknowledge(self, alert_id: str, recipient: str, now: Instant) -> int:
        """The recipient (empty: everyone) has heard the alert. Return how many copies were waiting."""
        recipients = [recipient] if recipient else sorted(self.mailboxes.recipients(alert_id))
        count = 0
        for word in recipients:
            if self.mailboxes.acknowledge(alert_id, word):
                count += 1
                self.observers.copy(alert_id, word)
            # Written in any case: an alert that is no longer pushed still waits in the store.
            self._writes.append(Acknowledge(alert_id, word, now.wall))
        return count

    def acknowledge_loss(self, alert_id: str, now: Instant) -> int:
        """An operator acknowledges the loss of which this alert told. Return of how many services: one or none."""
        service_id = self.loss_alerts.find(alert_id)
        return 0 if service_id is None else self._acknowledge_lost(service_id, now)

    def acknowledge_matching(self, service_id: str, recipient: str, now: Instant) -> tuple[int, int]:
        """Acknowledge every copy that waits, about this service and for this recipient (each empty: any).

        Without a recipient it is an operator's acknowledgement, also of what was lost. Return how many copies waited,
        and how many lost services were not acknowledged before.
        """
        copies = self.mailboxes.about(service_id) if service_id else self.mailboxes.all_waiting()
        words: set[str] = set()
        if recipient:
            record = self.directory.resolve(recipient)
            words = {recipient, *(() if record is None else self.directory.words_for(record))}
        count = 0
        for copy in copies:
            event = copy.event
            if service_id in ("", event.service_id) and (not words or event.recipient in words):
                count += self.acknowledge(event.alert_id, event.recipient, now)
        for record in {id(each): each for word in words for each in self.directory.bearers(word)}.values():
            self._deliver_waiting(record)
        if recipient:
            return count, 0
        lost = [service_id] if service_id else [*self.records, *self.tombstones]
        return count, sum(self._acknowledge_lost(each, now) for each in lost)

    def acknowledge_on_stream(self, session_id: int, alert_ids: Iterable[str], now: Instant) -> None:
        """A stream has heard alerts: those that are addressed to a service that it carries. That is a sign of life of
        the service, too: its next beat may be behind thousands of such words."""
        self._sessions[session_id].heard_at = now.attentive
        for alert_id in alert_ids:
            for recipient in sorted(self.mailboxes.recipients(alert_id)):
                # By name too, though a namesake may have come since it was delivered.
                for record in self.directory.bearers(recipient):
                    if record.session == session_id:
                        self.acknowledge(alert_id, recipient, now)
                        self._hear(record, now)
                        self._tell_heard(record)
                        self._deliver_waiting(record)
                        break

    def goodbye(self, session_id: int, service_id: str, reason: str, now: Instant) -> None:
        """The service leaves on purpose. Only the incarnation that this stream carries can leave by it."""
        session = self._sessions[session_id]
        session.heard_at = now.attentive
        held = session.services.get(service_id)
        record = self.records.get(service_id)
        if record is None:
            self._sends.append((session_id, UnknownService(service_id)))
        elif held != record.incarnation:
            self._sends.append((session_id, SupersededBy(service_id, record.incarnation)))
        else:
            self.bury(record, reason or "goodbye", None, now)

    def deregister(self, service_id: str, reason: str, now: Instant) -> None:
        """Remove a service on purpose, for good: alerts for it do not wait. Raises ServiceNotFound."""
        record = self.get(service_id)
        self.bury(record, reason or "deregistered", None, now)
        for word in {service_id, record.spec.name}:
            if self.directory.resolve(word) is None:
                self.absent.removed(word, now.attentive)

    def hold_notices(self, maintenance: Maintenance) -> Record:
        """An operator holds notices about a service; it stays with the id. Raises ServiceNotFound."""
        record = self.get(maintenance.service_id)
        self._maintenance[maintenance.service_id] = maintenance
        self._writes.append(PutMaintenance(maintenance))
        self._maintenance_changed(record)
        return record

    def release_notices(self, service_id: str) -> Record | None:
        """Notices are held no more; None where the service itself is gone. Raises ServiceNotFound where none were."""
        record = self.get(service_id) if service_id not in self._maintenance else self.records.get(service_id)
        self._drop_maintenance(service_id)
        return record

    def promote(self, name: str, from_role: ServiceRole, to_role: ServiceRole) -> int:
        """Change the role of every instance; return how many there were. Raises ServiceNotFound where there is none."""
        found = [record for record in self.directory.named(name) if record.spec.role == from_role]
        if not found:
            raise ServiceNotFound(f"no service has the name {name!r} and the role {from_role.name}")
        for record in found:
            record.spec = replace(record.spec, role=to_role)
            intent = Intent(record.spec.service_id, record.declared_role, to_role)
            self._intents[record.spec.service_id] = intent
            self._writes.append(PutIntent(intent))
            self.keep(record)
            self.show(record)
        return len(found)

    # --- readers ----------------------------------------------------------------------------------------------------

    def get(self, service_id: str) -> Record:
        """The record; raises ServiceNotFound."""
        return self.directory.get(service_id)

    def view(self, record: Record) -> Service:
        """The record as a reader sees it: with nobody watching, the last judgement is not repeated."""
        judgement = record.judgement
        known = self.watched
        return Service(
            spec=record.spec,
            incarnation=record.incarnation,
            registered_at=record.registered_at,
            last_heartbeat_at=record.last_heartbeat_at,
            connected=record.session is not None,
            report=record.report,
            liveness=judgement.liveness if known else Liveness.UNKNOWN,
            cause=judgement.cause if known else LivenessCause.NONE,
            since=judgement.since,
            maintenance=self._maintenance.get(record.spec.service_id),
        )

    def as_heard(self, shown: Service) -> Service:
        """A service as readers were shown it, with what is no change: when this incarnation was heard last, and its
        newest figures."""
        record = self.records.get(shown.spec.service_id)
        if record is None or record.incarnation != shown.incarnation:
            return shown
        if self.changes.newest(shown.spec.service_id) is shown:
            return self.view(record)
        said = shown.report
        report = replace(record.report, status=said.status, message=said.message, busy_until=said.busy_until)
        return replace(shown, last_heartbeat_at=record.last_heartbeat_at, report=report)

    def is_alive(self, service_id: str) -> bool:
        """Whether a service is registered and judged ALIVE."""
        record = self.records.get(service_id)
        return record is not None and record.judgement.liveness is Liveness.ALIVE

    def maintenance_of(self, service_id: str) -> Maintenance | None:
        """The operator's word that holds notices about a service; None where there is none."""
        return self._maintenance.get(service_id)

    def all_maintenance(self) -> list[Maintenance]:
        """Every operator's word that holds notices, by service_id."""
        return [self._maintenance[each] for each in sorted(self._maintenance)]

    def heard_after(self, observation: int) -> tuple[list[tuple[int, float]], int]:
        """Who was heard after that observation: incarnation and seconds since the epoch; and the newest observation."""
        heard = [
            (record.incarnation, record.last_heartbeat_at)
            for record in self.records.values()
            if record.observation > observation
        ]
        return heard, self._observation

    # --- events -----------------------------------------------------------------------------------------------------

    def publish(self, event: Event, now: Instant, *, climbed: bool = False) -> tuple[Event, bool]:
        """Append an event; return it, and whether it goes out now. With a recipient it is kept until acknowledged.

        `climbed`: that copy is settled for the way up from the start.
        """
        recipient = self.directory.resolve(event.recipient) if event.recipient else None
        if recipient is not None:
            event = replace(event, recipient=recipient.spec.service_id)
        event = self.events.append(event)
        self._writes.append(AppendEvent(event, climbed))
        if event.recipient:
            if recipient is None and event.recipient != OPERATORS:
                self.absent.alert_waits(event.recipient, now.attentive)
            dropped = self.mailboxes.put(Copy(event, now.attentive, climbed))
            self.observers.copy(event.alert_id, event.recipient)
            if dropped is not None:
                self._dropped(dropped, now)
        if recipient is None or recipient.session is None:
            return event, False
        return event, event.alert_id in self._deliver_waiting(recipient)

    def settle_copy(self, alert_id: str, recipient: str) -> bool:
        """A copy climbs no further. Return whether it waited and could have."""
        if self.mailboxes.settle(alert_id, recipient) is None:
            return False
        self._writes.append(SettleCopy(alert_id, recipient))
        self.observers.copy(alert_id, recipient)
        return True

    def withdraw(self, copies: Iterable[Copy], now: Instant, *, absent: bool = False) -> None:
        """These copies wait no more: newer facts have overtaken them, or (`absent`) nobody is there to take them."""
        freed: dict[str, None] = {}
        for copy in copies:
            alert_id, recipient = copy.event.alert_id, copy.event.recipient
            if self.mailboxes.acknowledge(alert_id, recipient):
                self._writes.append(WithdrawCopy(alert_id, recipient, now.wall, absent))
                self.observers.copy(alert_id, recipient)
                freed[recipient] = None
        for recipient in freed:  # what waited behind them may go out now
            record = self.directory.resolve(recipient)
            if record is not None:
                self._deliver_waiting(record)

    def compact_events(self, first: int) -> None:
        """Forget events older than the number `first`, and the copies of them that nobody acknowledged."""
        self.events.compact(first)
        for copy in self.mailboxes.forget_before(first):
            self.observers.copy(copy.event.alert_id, copy.event.recipient)
        self._writes.append(CompactEvents(first))

    # --- TRON -------------------------------------------------------------------------------------------------------

    def open_feed(self, feed_id: int, observer: str) -> ObservationFeed:
        """An observer listens from now on; its first frame is everything."""
        copies = ((copy.event.alert_id, copy.event.recipient) for copy in self.mailboxes.all_waiting())
        return self.observers.open(feed_id, observer, self.records, copies)

    def judged(self, observer: str, now: Instant, until: float | None = None) -> None:
        """The observer has judged all facts up to the attentive time `until` (None: now); see `Observers.judged`."""
        watches = self.observers.judged(observer, now, until)
        if watches is not None:
            self._set_watched(watches)

    # --- time -------------------------------------------------------------------------------------------------------

    def tick(self, now: Instant) -> None:
        """Notice that nobody watches, that a time of maintenance is over, that streams have fallen silent, and that
        alerts wait for nobody."""
        for each in list(self._maintenance.values()):
            if each.until is not None and each.until <= now.wall:
                self._drop_maintenance(each.service_id)
        if self.observers.are_lost(now):
            self._set_watched(False)
        for word in self.absent.due(now.attentive):
            if self.directory.resolve(word) is None:
                over = self.absent.ended(word, self.mailboxes.waiting_for(word), now.attentive)
                self.withdraw(over, now, absent=True)
        for session_id in self._sessions.silent(now.attentive, self.records.get):
            if self.end_session(session_id, SilentStream.reason):
                self.streams_reclaimed += 1
                services = len(self._sessions[session_id].services)
                self._sends.append((session_id, EndStream(services, self.streams_reclaimed)))

    def show_liveness(self, limit: int = PART) -> bool:
        """Show readers up to `limit` services whose liveness became known, or unknown, with the observer that came or
        went. Return whether more wait."""
        self._show_first(self._unshown, limit)
        return bool(self._unshown)

    def publish_figures(self, limit: int = PART) -> bool:
        """Show readers up to `limit` services of which load figures came: one change a service, however many beats.
        Return whether more wait."""
        self._show_first(self._unpublished, limit)
        return bool(self._unpublished)

    def save_heartbeats(self, limit: int = PART) -> bool:
        """Write down when up to `limit` services were last heard, of those whose beats are not on disk. Return whether
        more wait."""
        heard: list[tuple[str, float]] = []
        for service_id in list(islice(self._unsaved, limit)):
            del self._unsaved[service_id]
            record = self.records.get(service_id)
            if record is not None:
                heard.append((service_id, record.last_heartbeat_at))
        if heard:
            self._writes.append(PutHeartbeats(tuple(heard)))
        return bool(self._unsaved)

    def _show_first(self, waiting: dict[str, None], limit: int) -> None:
        for service_id in list(islice(waiting, limit)):
            del waiting[service_id]
            record = self.records.get(service_id)
            if record is not None:
                self.show(record)

    # --- for verdicts -----------------------------------------------------------------------------------------------

    def bury(self, record: Record, reason: str, judgement: Judgement | None, now: Instant) -> None:
        """Remove a service and remember it; `judgement` None where it left on purpose."""
        service_id = record.spec.service_id
        if record.session is not None:
            self._sessions.drop(record.session, service_id)
            self._lose_connection(record)
        self.directory.remove(record)
        self._name_released(record.spec.name)
        for word in (service_id, record.spec.name):
            if self.directory.resolve(word) is None and self.mailboxes.has_waiting(word):
                self.absent.alert_waits(word, now.attentive)
        if not is_lost(judgement):
            self.loss_alerts.remove(record.judgement)
            self.withdraw(overtaken.over_once_left(self.mailboxes.about(service_id), service_id), now)
        revision = self.changes.remove(service_id)
        spec = record.spec
        tombstone = Tombstone(
            service_id, record.incarnation, revision, now.wall, reason, judgement, spec.name, spec.parent
        )
        while len(self.tombstones) >= MAX_TOMBSTONES:
            self.loss_alerts.remove(self.tombstones.pop(next(iter(self.tombstones))).judgement)
        self.tombstones[service_id] = tombstone
        self._writes.append(BuryService(tombstone))
        self.observers.removed(service_id)

    def rewrite(self, tombstone: Tombstone) -> None:
        """Remember a removed service as it is told here."""
        self.tombstones[tombstone.service_id] = tombstone
        self._writes.append(BuryService(tombstone))

    def show(self, record: Record) -> None:
        """Let readers see the record as it is now."""
        service_id = record.spec.service_id
        if self._unpublished:
            self._unpublished.pop(service_id, None)
        if self._unshown:
            self._unshown.pop(service_id, None)
        self.changes.upsert(service_id, self.view(record))

    def keep(self, record: Record, *, fresh: bool = False) -> None:
        """Have the record stored as it is now; `fresh`: of an incarnation that is not stored yet."""
        self._writes.append(PutService(self._stored(record), fresh=fresh))

    def judged_down(self, record: Record) -> None:
        """A service was judged down: perhaps nobody speaks on its stream any more."""
        if record.session is not None:
            self._sessions.look_at(record.session)

    def fact_beside_judgement(self, record: Record) -> None:
        """Tell observers what changed about a record although no judgement turns on it: older verdicts still hold."""
        self.observers.changed(record.spec.service_id, urgent=False)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _held(self, service_id: str, incarnation: int, session_id: int | None) -> Record:
        record = self.records.get(service_id)
        if record is None:
            tombstone = self.tombstones.get(service_id)
            if session_id is not None and tombstone and tombstone.judgement and tombstone.judgement.down_event:
                self._sends.append((session_id, DeclaredDown(service_id, tombstone.judgement.down_event)))
            raise UnknownIncarnation(service_id, incarnation)
        if incarnation < record.incarnation:
            raise Superseded(service_id, record.incarnation)
        if incarnation > record.incarnation:
            raise UnknownIncarnation(service_id, incarnation)
        return record

    def _retried(self, record: Record, instance_id: str) -> Record | None:
        """The record where `instance_id` holds it already; None where it is new. Raises Superseded."""
        for known, incarnation in record.instances:
            if known == instance_id:
                if incarnation == record.incarnation:
                    return record
                raise Superseded(record.spec.service_id, record.incarnation)
        return None

    def _start_incarnation(self, spec: ServiceSpec, instance_id: str, session_id: int | None, now: Instant) -> Record:
        if len(self.records) >= MAX_SERVICES and spec.service_id not in self.records:
            raise QuotaExceeded(f"{MAX_SERVICES} services are registered; no more are allowed")
        self.directory.refuse_circle(spec)
        before = self.records.get(spec.service_id)
        tombstone = self.tombstones.pop(spec.service_id, None)
        declared_role = spec.role
        intent = self._intents.get(spec.service_id)
        if intent is not None and intent.promoted_from == declared_role:
            spec = replace(spec, role=intent.promoted_to)
        elif intent is not None:
            del self._intents[spec.service_id]
            self._writes.append(DropIntent(spec.service_id))
        self._incarnation += 1
        record = Record(
            spec=spec,
            declared_role=declared_role,
            incarnation=self._incarnation,
            instances=((before.instances if before else ()) + ((instance_id, self._incarnation),))[-MAX_INSTANCES:],
            registered_at=now.wall,
            last_heartbeat_at=now.wall,
            heard_at=now.attentive,
            active_at=now.attentive,
            judgement=Judgement(since=now.wall),
            judged_at=now.attentive,
        )
        # A judgement outlives the incarnation it was passed on: it is TRON that says "restored" where it said "down".
        if before is not None:
            record.judgement, record.judged_at, record.told_down = before.judgement, before.judged_at, before.told_down
            if before.session is not None and before.session != session_id:
                self._give_up(before, before.session, record.incarnation)
            self.directory.remove(before)
        elif tombstone is not None and tombstone.judgement is not None:
            record.judgement, record.judged_at = tombstone.judgement, 0.0
        self.directory.add(record)
        for word in self.directory.words_for(record):
            self.absent.returned(word)
        if before is None and not is_lost(record.judgement):
            self._withdraw_what_is_over(record, now)
        if before is not None and before.spec.name != spec.name:
            self._name_released(before.spec.name)
        return record

    def _attach(self, record: Record, session_id: int, now: Instant, *, give_up: bool = False) -> None:
        old = record.session
        if old is not None and old != session_id:
            if give_up:
                self._give_up(record, old, record.incarnation)
            else:
                self._sessions.drop(old, record.spec.service_id)
        self._lose_connection(record)
        record.session = session_id
        record.attached_at = now.attentive
        record.detached_at, record.detached_reason = None, ""
        session = self._sessions[session_id]
        session.heard_at = now.attentive
        session.services[record.spec.service_id] = record.incarnation
        session.superseded.pop(record.spec.service_id, None)

    def _give_up(self, record: Record, session_id: int, incarnation: int) -> None:
        session = self._sessions.drop(session_id, record.spec.service_id)
        session.superseded[record.spec.service_id] = incarnation
        self._lose_connection(record)
        self._sends.append((session_id, SupersededBy(record.spec.service_id, incarnation)))

    def _hear(self, record: Record, now: Instant) -> None:
        self._observation += 1
        record.observation = self._observation
        record.heard_at = now.attentive
        record.last_heartbeat_at = now.wall
        self._unsaved[record.spec.service_id] = None

    def _tell_heard(self, record: Record) -> None:
        self.observers.heard(record.spec.service_id, Heard(record.incarnation, record.observation, record.heard_at))

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
            self.observers.changed(record.spec.service_id, urgent=False)
        if (report.status, report.message, report.busy_until) != (before.status, before.message, before.busy_until):
            self.show(record)
        else:
            self._unpublished[record.spec.service_id] = None

    def _tell_declared_down(self, record: Record, session_id: int) -> None:
        event = record.judgement.down_event
        if event is not None and not record.told_down:
            record.told_down = True
            self._sends.append((session_id, DeclaredDown(record.spec.service_id, event)))

    def _deliver_waiting(self, record: Record) -> set[str]:
        """Send what waits for this service and may go out now; return the alert_ids."""
        if record.session is None:
            return set()
        events = [event for word in self.directory.words_for(record) for event in self.mailboxes.take(word)]
        self._sends += [(record.session, Alert(event)) for event in events]
        return {event.alert_id for event in events}

    def _lose_connection(self, record: Record) -> None:
        for word in self.directory.words_for(record):
            self.mailboxes.connection_lost(word)

    def _dropped(self, copy: Copy, now: Instant) -> None:
        """A mailbox was full. What somebody must act upon is told to operators, who have the largest."""
        event = copy.event
        self.observers.copy(event.alert_id, event.recipient)
        matters = event.severity is Severity.CRITICAL and not copy.climbed and event.recipient != OPERATORS
        if matters and self.mailboxes.get(event.alert_id, OPERATORS) is None:
            why = f"too many alerts wait for {event.recipient}"
            details = {**event.details, "escalated_from": [event.recipient], "escalated_because": why}
            self.publish(replace(event, recipient=OPERATORS, details=details), now)

    def _withdraw_what_is_over(self, record: Record, now: Instant) -> None:
        """A service that left on purpose is registered again: what waits about its life before is over."""
        service_id = record.spec.service_id
        about = self.mailboxes.about(service_id)
        if not about:
            return
        over = overtaken.over_once_alive(about, service_id, self.is_alive)
        missed = overtaken.missed_deaths(over, service_id)
        if missed:
            over += overtaken.earlier_returns(about, service_id)
            missed = overtaken.missed_deaths(over, service_id)
        self.withdraw(over, now)
        back = overtaken.registered_again(service_id, record.spec.name, record.incarnation, now.wall)
        for recipient, deaths in missed.items():
            both = overtaken.with_both_times(back, deaths.last_down_at)
            self.publish(overtaken.summary(both, recipient, deaths), now)

    def _acknowledge_lost(self, service_id: str, now: Instant) -> int:
        """Return 1 where the service is lost and was not acknowledged before, else 0."""
        record, stone = self.records.get(service_id), self.tombstones.get(service_id)
        judgement = record.judgement if record is not None else stone.judgement if stone is not None else None
        if judgement is None or not is_lost(judgement) or judgement.acknowledged_at is not None:
            return 0
        judgement = replace(judgement, acknowledged_at=now.wall)
        if record is not None:
            record.judgement = judgement
            self.keep(record)
        elif stone is not None:
            self.rewrite(replace(stone, judgement=judgement))
        return 1

    def _drop_maintenance(self, service_id: str) -> None:
        if self._maintenance.pop(service_id, None) is not None:
            self._writes.append(DropMaintenance(service_id))
            record = self.records.get(service_id)
            if record is not None:
                self._maintenance_changed(record)

    def _maintenance_changed(self, record: Record) -> None:
        self.fact_beside_judgement(record)
        self.show(record)

    def _name_released(self, name: str) -> None:
        """Where the name means one service again, what waited under it is that one's."""
        named = self.directory.named(name)
        if len(named) == 1:
            self.mailboxes.connection_lost(name)
            self._deliver_waiting(named[0])

    def _fact(self, record: Record) -> None:
        """Something that judgement may turn on: older verdicts no longer hold."""
        self._observation += 1
        record.observation = self._observation
        # Who registers and is judged alive already can wait for the next tick: thousands may come at once.
        disconnected = record.streamed and record.session is None
        urgent = disconnected or record.judgement.liveness is not Liveness.ALIVE
        self.observers.changed(record.spec.service_id, urgent=urgent)

    def _set_watched(self, watched: bool) -> None:
        if watched != self.watched:
            self.watched = watched
            self._unshown = dict.fromkeys(self.records)
            self.show_liveness()

    def _stored(self, record: Record) -> StoredService:
        self._unsaved.pop(record.spec.service_id, None)
        return StoredService(
            spec=record.spec,
            declared_role=record.declared_role,
            incarnation=record.incarnation,
            instances=record.instances,
            registered_at=record.registered_at,
            last_heartbeat_at=record.last_heartbeat_at,
            streamed=record.streamed,
            report=record.report,
            judgement=record.judgement,
        )
