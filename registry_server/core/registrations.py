"""Records which services are registered, as which incarnation, and which were registered before. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from grid_model.declaration import Declaration
from grid_model.errors import QuotaExceeded, ServiceNotFound, Superseded, UnknownIncarnation
from grid_model.liveness import Liveness
from grid_model.service import ServiceRole

from registry_server.core import overtaken
from registry_server.core.alert_delivery import AlertDelivery
from registry_server.core.attachments import Attachments
from registry_server.core.changes import ChangeLog
from registry_server.core.directory import Directory
from registry_server.core.effects import (
    DeclaredDown,
    DropIntent,
    PutIntent,
    PutService,
    Registered,
    RemoveService,
    SupersededBy,
)
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.losses import LossAlerts, is_lost
from registry_server.core.outgoing import Outgoing
from registry_server.core.ownership import Ownership
from registry_server.core.parents import Parents
from registry_server.core.published import Published
from registry_server.core.record import Record
from registry_server.core.service import Instant, Intent, Judgement, Service, StoredService, Tombstone

MAX_SERVICES = 200_000
MAX_TOMBSTONES = 10_000
MAX_INSTANCES = 8
"""Number of registrations that are remembered for each service, so that a retry is recognized."""


class Registrations:
    """The records of registered services, the tombstones of removed services, and the operators' decisions about
    roles."""

    def __init__(
        self,
        directory: Directory,
        ownership: Ownership,
        parents: Parents,
        changes: ChangeLog,
        delivery: AlertDelivery,
        facts: LivenessFacts,
        published: Published,
        attachments: Attachments,
        outgoing: Outgoing,
        *,
        incarnation: int = 0,
    ) -> None:
        self.tombstones: dict[str, Tombstone] = {}
        self.loss_alerts = LossAlerts()
        self._directory = directory
        self._ownership = ownership
        self._parents = parents
        self._changes = changes
        self._delivery = delivery
        self._facts = facts
        self._published = published
        self._attachments = attachments
        self._outgoing = outgoing
        self._intents: dict[str, Intent] = {}
        self._incarnation = incarnation

    def restore(
        self,
        services: Iterable[StoredService],
        tombstones: Iterable[Tombstone],
        intents: Iterable[Intent],
        now: Instant,
    ) -> None:
        """Restore the stored data. Every service is then disconnected, and counts as heard now."""
        for tombstone in sorted(tombstones, key=lambda tombstone: tombstone.revision):
            self.tombstones[tombstone.service_id] = tombstone
            self.loss_alerts.put(tombstone.service_id, tombstone.judgement)
            self._changes.restore_removed(tombstone.service_id, tombstone.revision)
            self._directory.remember(tombstone.incarnation, tombstone.service_id)
        self._intents = {intent.service_id: intent for intent in intents}
        for stored in services:
            record = Record(
                spec=stored.spec,
                declared_role=stored.declared_role,
                incarnation=stored.incarnation,
                instances=stored.instances,
                registered_at=stored.registered_at,
                last_heartbeat_at=stored.last_heartbeat_at,
                stored_heartbeat_at=stored.last_heartbeat_at,
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
            self._directory.add(record)
            for _, incarnation in stored.instances[:-1]:
                self._directory.remember(incarnation, stored.spec.service_id)
            self.loss_alerts.put(stored.spec.service_id, stored.judgement)
            self._facts.changed(record)
            self._published.show(record)

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
        """Start a new incarnation of a service, or re-attach the current one. Return the service as readers see it.

        `process` is the process whose agents share the stream. `owner` becomes the owner of the id; if it is empty, the
        owner does not change.

        Raises Superseded if the incarnation, or the retried registration, is older than the current one;
        UnknownIncarnation if the incarnation is unknown; InvalidRequest if the parent would create a cycle;
        QuotaExceeded if too many services are registered.
        """
        record = before = self._directory.records.get(spec.service_id)
        if incarnation:
            record = self._held(spec.service_id, incarnation, session_id)
        elif record is not None and instance_id:
            record = self._retried(record, instance_id)
        else:
            record = None
        if record is None:
            record = self._start_incarnation(spec, instance_id, session_id, now)
        self._ownership.registered(spec.service_id, owner)
        if record is not before and (record.spec.refused_children or (before and before.spec.refused_children)):
            self._refuse_children(record, now)
        self._facts.hear(record, now)
        if session_id is not None:
            record.streamed, record.process, record.learned_clock_at = True, process, now.set_by
            self._attachments.attach(record, session_id, now)
        self.keep(record, fresh=True)
        self._facts.changed(record)
        service = self._published.show(record)
        if session_id is not None:
            self._outgoing.send(session_id, Registered(service, instance_id))
            self.send_declared_down(record, session_id)
            self._delivery.deliver(record)
        return service

    def promote(
        self, name: str, from_role: ServiceRole, to_role: ServiceRole, *, may: Callable[[str], bool] = lambda _: True
    ) -> int:
        """Change the role of every service with this name and role, and return the number of these services. A service
        is ignored if `may` returns False for its id. Raises ServiceNotFound if there is no such service."""
        found = [
            record
            for record in self._directory.named(name)
            if record.spec.role == from_role and may(record.spec.service_id)
        ]
        if not found:
            raise ServiceNotFound(f"no service has the name {name!r} and the role {from_role.name}")
        for record in found:
            record.spec = replace(record.spec, role=to_role)
            intent = Intent(record.spec.service_id, record.declared_role, to_role)
            self._intents[record.spec.service_id] = intent
            self._outgoing.write(PutIntent(intent))
            self.keep(record)
            self._published.show(record)
        return len(found)

    def remove(self, record: Record, reason: str, judgement: Judgement | None, now: Instant) -> None:
        """Remove a service, and keep a tombstone of it. `judgement` is the verdict because of which it is removed; None
        if it left on purpose."""
        spec, parent = record.spec, self._parents.parent_of(record)
        service_id = spec.service_id
        if record.session is not None:
            self._attachments.sessions.drop(record.session, service_id)
            self._delivery.connection_lost(record)
        self._directory.remove(record)
        self._delivery.left(record, now)
        if not is_lost(judgement):
            self.loss_alerts.remove(record.judgement)
            self._delivery.withdraw(
                overtaken.over_once_left(self._delivery.mailboxes.about(service_id), service_id), now
            )
        revision = self._changes.remove(service_id)
        tombstone = Tombstone(service_id, record.incarnation, revision, now.wall, reason, judgement, spec.name, parent)
        while len(self.tombstones) >= MAX_TOMBSTONES:
            self.loss_alerts.remove(self.tombstones.pop(next(iter(self.tombstones))).judgement)
        self.rewrite(tombstone)
        self._ownership.removed(service_id, now.wall)
        self._facts.removed(record)

    def rewrite(self, tombstone: Tombstone) -> None:
        """Replace the tombstone of a removed service."""
        self.tombstones[tombstone.service_id] = tombstone
        self._outgoing.write(RemoveService(tombstone))

    def keep(self, record: Record, *, fresh: bool = False) -> None:
        """Store the current record of a service. `fresh`: the incarnation may be new to the store."""
        self._facts.saved(record)
        stored = StoredService(
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
        self._outgoing.write(PutService(stored, fresh=fresh))

    def send_declared_down(self, record: Record, session_id: int) -> None:
        """Notify the service that it was declared down, unless it has been notified of that before."""
        event = record.judgement.down_event
        if event is not None and not record.told_down:
            record.told_down = True
            self._outgoing.send(session_id, DeclaredDown(record.spec.service_id, event))

    def send_removed_as_down(self, service_id: str, session_id: int) -> None:
        """Notify the client of a service that TRON declared the service down, if the service was removed for that
        reason and is no longer registered."""
        tombstone = self.tombstones.get(service_id)
        if tombstone and tombstone.judgement and tombstone.judgement.down_event:
            self._outgoing.send(session_id, DeclaredDown(service_id, tombstone.judgement.down_event))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _held(self, service_id: str, incarnation: int, session_id: int | None) -> Record:
        record = self._directory.records.get(service_id)
        if record is None:
            if session_id is not None:
                self.send_removed_as_down(service_id, session_id)
            raise UnknownIncarnation.of(service_id, incarnation)
        if incarnation < record.incarnation:
            raise Superseded.of(service_id, record.incarnation)
        if incarnation > record.incarnation:
            raise UnknownIncarnation.of(service_id, incarnation)
        return record

    def _retried(self, record: Record, instance_id: str) -> Record | None:
        """Return the record if `instance_id` is that of its current registration; None for a new registration. Raises
        Superseded if it is that of an earlier registration."""
        for known, incarnation in record.instances:
            if known == instance_id:
                if incarnation == record.incarnation:
                    return record
                raise Superseded.of(record.spec.service_id, record.incarnation)
        return None

    def _start_incarnation(self, spec: Declaration, instance_id: str, session_id: int | None, now: Instant) -> Record:
        records = self._directory.records
        if len(records) >= MAX_SERVICES and spec.service_id not in records:
            raise QuotaExceeded(f"{MAX_SERVICES} services are registered; no more are allowed")
        self._directory.refuse_cycle(spec)
        before = records.get(spec.service_id)
        tombstone = self.tombstones.pop(spec.service_id, None)
        declared_role = spec.role
        intent = self._intents.get(spec.service_id)
        if intent is not None and intent.promoted_from == declared_role:
            spec = replace(spec, role=intent.promoted_to)
        elif intent is not None:
            del self._intents[spec.service_id]
            self._outgoing.write(DropIntent(spec.service_id))
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
        # A judgement outlives its incarnation: it is TRON that judges "restored" after it judged "down".
        if before is not None:
            record.judgement, record.judged_at, record.told_down = before.judgement, before.judged_at, before.told_down
            if before.session is not None and before.session != session_id:
                self._attachments.supersede(before, before.session, record.incarnation)
            elif before.session is not None and self._attachments.sessions[before.session].shared:
                # The older agent is another one of the same process, and must stop.
                self._outgoing.send(before.session, SupersededBy(spec.service_id, record.incarnation))
            self._directory.remove(before)
            self._facts.undefer(before)
        elif tombstone is not None and tombstone.judgement is not None:
            record.judgement, record.judged_at = tombstone.judgement, 0.0
        self._directory.add(record)
        self._delivery.registered(record)
        if before is None and not is_lost(record.judgement):
            self._withdraw_what_is_over(record, now)
        if before is not None and before.spec.name != spec.name:
            self._delivery.name_released(before.spec.name)
        return record

    def is_alive(self, service_id: str) -> bool:
        """Return whether a service is registered and ALIVE."""
        record = self._directory.records.get(service_id)
        return record is not None and record.judgement.liveness is Liveness.ALIVE

    def _refuse_children(self, record: Record, now: Instant) -> None:
        """Apply the refusals of a new incarnation: withdraw the alerts for it about refused children, and send
        observers the parents of its children again."""
        self._delivery.refuse(record, lambda child: self._parents.refuses(record, child), now)
        for child in self._directory.children_of(record):
            self._facts.changed_beside_judgement(child)

    def _withdraw_what_is_over(self, record: Record, now: Instant) -> None:
        """Withdraw alerts about the previous registration of a service that left on purpose and registers again."""
        service_id = record.spec.service_id
        about = self._delivery.mailboxes.about(service_id)
        if not about:
            return
        over = overtaken.over_once_alive(about, service_id, self.is_alive)
        if not overtaken.reports_death(about, service_id):
            self._delivery.withdraw(over, now)
            return
        over += overtaken.earlier_returns(about, service_id)
        self._delivery.withdraw(over, now)
        missed = overtaken.missed_deaths(over, service_id)
        deaths = overtaken.missed_deaths(about, service_id)
        back = overtaken.registered_again(service_id, record.spec.name, record.incarnation, now.wall)
        back = overtaken.with_both_times(back, max(each.last_down_at for each in deaths.values()))
        for recipient in overtaken.expects_return(about, service_id):
            summed = missed.get(recipient, overtaken.MissedDeaths())
            self._delivery.publish(overtaken.summary(back, recipient, summed), now)
        if overtaken.reports_death(self._delivery.mailboxes.about(service_id), service_id):
            record.judgement = replace(record.judgement, returned=back)
