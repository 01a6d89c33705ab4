"""The current verdict about each service: on its record while it is registered, on its tombstone afterwards. Pure.

This is the only place that changes a verdict. Each change is stored, and readers and observers are notified of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from grid_model.event import Event
from grid_model.liveness import Liveness

from registry_server.core.attachments import Attachments
from registry_server.core.directory import Directory
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.losses import is_lost
from registry_server.core.published import Published
from registry_server.core.record import Record
from registry_server.core.registrations import Registrations
from registry_server.core.service import Instant, Judgement


class Judgements:
    """Keeps the verdict about each service, whether it is registered or has been removed."""

    def __init__(
        self,
        directory: Directory,
        registrations: Registrations,
        attachments: Attachments,
        facts: LivenessFacts,
        published: Published,
    ) -> None:
        self._directory = directory
        self._registrations = registrations
        self._attachments = attachments
        self._facts = facts
        self._published = published

    def put(self, record: Record, judgement: Judgement, now: Instant, *, removed: bool) -> None:
        """Set the verdict about a service. `removed`: the service is deregistered because of this verdict."""
        service_id = record.spec.service_id
        self._registrations.loss_alerts.remove(record.judgement)
        self._registrations.loss_alerts.put(service_id, judgement)
        record.judgement = judgement
        record.judged_at = now.attentive
        record.told_down = False
        if removed:
            self._registrations.remove(record, "judged", judgement, now)
            return
        self._registrations.keep(record)
        self._published.show(record)
        if judgement.liveness is Liveness.DOWN and record.session is not None:
            # Perhaps no service speaks on its stream any more.
            self._attachments.sessions.recheck(record.session)

    def is_alive(self, service_id: str) -> bool:
        """Return whether a service is registered and ALIVE."""
        return self._registrations.is_alive(service_id)

    def show_again(self, record: Record) -> None:
        """Send observers the verdict about a service again, because an observer may assume a different verdict."""
        self._facts.changed_beside_judgement(record)

    def decided_beforehand(self, record: Record) -> None:
        """Record that the newest change of a service needs no decision by the observer, because the registry has
        already applied the observer's preauthorized suspicion to the service."""
        self._facts.decided(record)

    def notified(self, service_id: str, alert_id: str, recipient: str) -> bool:
        """Record that one more recipient is notified of the current death of a service. The service may have been
        deregistered meanwhile. Return False if `alert_id` is not the alert of the current death, or if the recipient
        was notified before."""
        judgement = self._of(service_id)
        if judgement is None or judgement.down_event is None or judgement.down_event.alert_id != alert_id:
            return False
        if recipient in judgement.told_to:
            return False
        record = self._change(service_id, replace(judgement, told_to=(*judgement.told_to, recipient)))
        if record is not None:
            self._facts.changed_beside_judgement(record)
        return True

    def return_after(self, service_id: str, recipient: str) -> Event | None:
        """Handle a recipient that is notified of a death late, when the service may have returned already. Return the
        alert of the return, which must be sent to the recipient next. Return None if the service is down again or
        removed: the recipient is then notified of the next return of the service."""
        judgement = self._of(service_id)
        if judgement is None:
            return None
        if judgement.down_event is None:
            return judgement.returned
        if judgement.told_to:  # else that death is held
            self.notified(service_id, judgement.down_event.alert_id, recipient)
        return None

    def listed(self, service_ids: Iterable[str], alert_id: str) -> None:
        """Record in the verdicts about these services that this alert lists their failures. The alert is about another
        service, which failed together with them."""
        for service_id in service_ids:
            record = self._directory.records.get(service_id)
            if record is not None:
                self._change(service_id, replace(record.judgement, folded_into=alert_id))
                self._facts.changed_beside_judgement(record)

    def acknowledge_lost(self, service_id: str, now: Instant) -> int:
        """Record that an operator acknowledges the loss of a service. Return 1 if it was lost and not acknowledged,
        else 0."""
        judgement = self._of(service_id)
        if judgement is None or not is_lost(judgement) or judgement.acknowledged_at is not None:
            return 0
        self._change(service_id, replace(judgement, acknowledged_at=now.wall))
        return 1

    def acknowledge_loss(self, alert_id: str, now: Instant) -> int:
        """Record that an operator acknowledges the loss that this alert reported. Return 1 if that loss was open and
        not acknowledged, else 0."""
        service_id = self._registrations.loss_alerts.find(alert_id)
        return 0 if service_id is None else self.acknowledge_lost(service_id, now)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _of(self, service_id: str) -> Judgement | None:
        record = self._directory.records.get(service_id)
        if record is not None:
            return record.judgement
        tombstone = self._registrations.tombstones.get(service_id)
        return None if tombstone is None else tombstone.judgement

    def _change(self, service_id: str, judgement: Judgement) -> Record | None:
        """Store a change of a verdict. Return the record; None for a service that is no longer registered."""
        record = self._directory.records.get(service_id)
        if record is not None:
            record.judgement = judgement
            self._registrations.keep(record)
        else:
            self._registrations.rewrite(replace(self._registrations.tombstones[service_id], judgement=judgement))
        return record
