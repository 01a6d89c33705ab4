"""A store in memory that keeps what `SqliteStore` keeps: a commit is all or nothing, and outlives every crash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grid_model import observation
from grid_model.event import Event
from grid_model.service import Maintenance

from registry_server.core.effects import (
    Acknowledge,
    AppendEvent,
    CompactEvents,
    DropIntent,
    DropMaintenance,
    DropOwner,
    PutHeartbeats,
    PutIntent,
    PutMaintenance,
    PutOwner,
    PutService,
    RemoveService,
    ReserveRevisions,
    StopEscalation,
    WithdrawCopy,
    Write,
)
from registry_server.core.event_log import EventFilter
from registry_server.core.service import Intent, OwnedId, StoredService, Tombstone
from registry_server.io.store import Stored, StoreError


@dataclass(slots=True)
class Delivery:
    """A copy of an alert, whether its recipient has acknowledged it, and whether it is settled for the way up."""

    sequence: int
    escalated: bool
    acknowledged_at: float | None = None


@dataclass(slots=True)
class SimStore:
    """What is on the disk. The disk survives; who writes to it does not."""

    services: dict[str, StoredService] = field(default_factory=dict)
    tombstones: dict[str, Tombstone] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    owners: dict[str, OwnedId] = field(default_factory=dict)
    maintenance: dict[str, Maintenance] = field(default_factory=dict)
    events: dict[int, Event] = field(default_factory=dict)
    recorded_at: dict[int, float] = field(default_factory=dict)
    """When the event with each number was recorded."""
    deliveries: dict[tuple[str, str], Delivery] = field(default_factory=dict)
    revision: int = 0
    incarnation: int = 0
    sequence: int = 0
    commits: int = 0

    def load(self) -> Stored:
        """As `SqliteStore.load`."""
        waiting = sorted(
            (each for each in self.deliveries.values() if each.acknowledged_at is None), key=lambda each: each.sequence
        )
        return Stored(
            services=[self.services[service_id] for service_id in sorted(self.services)],
            tombstones=sorted(self.tombstones.values(), key=lambda tombstone: -tombstone.revision),
            intents=[self.intents[service_id] for service_id in sorted(self.intents)],
            owned=sorted(self.owners.values(), key=lambda owned: (owned.removed_at or 0.0, owned.service_id)),
            maintenance=[self.maintenance[service_id] for service_id in sorted(self.maintenance)],
            waiting=[observation.Delivery(self.events[each.sequence], 0.0, each.escalated) for each in waiting],
            revision=self.revision,
            incarnation=self.incarnation,
            first_sequence=min(self.events, default=self.sequence + 1),
            last_sequence=max(self.events, default=self.sequence),
            events=len(self.events),
        )

    def commit(self, writes: Sequence[Write]) -> None:
        """As `SqliteStore.commit`. Raises StoreError for a number that is there already, before anything is changed."""
        fresh = [write.event.sequence for write in writes if type(write) is AppendEvent]
        if len(set(fresh)) != len(fresh) or any(number in self.events for number in fresh):
            raise StoreError(f"an event with a number of {fresh} is there already")
        self.commits += 1
        for write in writes:
            _APPLY[type(write)](self, write)

    def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """As `SqliteStore.read_events`."""
        open_ones = {each.sequence for each in self.deliveries.values() if each.acknowledged_at is None}
        found = [
            self.events[number]
            for number in sorted(self.events)
            if number > after and wanted.admits(self.events[number]) and (number in open_ones or not unacknowledged)
        ]
        return found[-limit:] if newest else found[:limit]

    def was_sent(self, alert_id: str, recipient: str) -> bool:
        """As `SqliteStore.was_sent`."""
        return any(key == (alert_id, recipient or key[1]) for key in self.deliveries)

    def close(self) -> None:
        """As `SqliteStore.close`; the disk stays."""

    def first_event_since(self, recorded_at: float) -> int:
        """As `SqliteStore.first_event_since`."""
        return max((number for number in self.events if self.recorded_at[number] < recorded_at), default=0) + 1


def _put_service(store: SimStore, write: PutService) -> None:
    service = write.service
    store.services[service.spec.service_id] = service
    if write.fresh:
        store.tombstones.pop(service.spec.service_id, None)
        store.incarnation = max(store.incarnation, service.incarnation)


def _remove_service(store: SimStore, write: RemoveService) -> None:
    store.services.pop(write.tombstone.service_id, None)
    store.tombstones[write.tombstone.service_id] = write.tombstone


def _put_intent(store: SimStore, write: PutIntent) -> None:
    store.intents[write.intent.service_id] = write.intent


def _drop_intent(store: SimStore, write: DropIntent) -> None:
    store.intents.pop(write.service_id, None)


def _put_owner(store: SimStore, write: PutOwner) -> None:
    store.owners[write.owned.service_id] = write.owned


def _drop_owner(store: SimStore, write: DropOwner) -> None:
    store.owners.pop(write.service_id, None)


def _put_maintenance(store: SimStore, write: PutMaintenance) -> None:
    store.maintenance[write.maintenance.service_id] = write.maintenance


def _drop_maintenance(store: SimStore, write: DropMaintenance) -> None:
    store.maintenance.pop(write.service_id, None)


def _append_event(store: SimStore, write: AppendEvent) -> None:
    event = write.event
    store.events[event.sequence] = event
    store.recorded_at[event.sequence] = event.occurred_at if write.recorded_at is None else write.recorded_at
    if event.recipient:
        store.deliveries.setdefault((event.alert_id, event.recipient), Delivery(event.sequence, write.escalated))


def _stop_escalation(store: SimStore, write: StopEscalation) -> None:
    delivery = store.deliveries.get((write.alert_id, write.recipient))
    if delivery is not None:
        delivery.escalated = True


def _end_copy(store: SimStore, write: Acknowledge | WithdrawCopy) -> None:
    delivery = store.deliveries.get((write.alert_id, write.recipient))
    if delivery is not None and delivery.acknowledged_at is None:
        delivery.acknowledged_at = write.at


def _put_heartbeats(store: SimStore, write: PutHeartbeats) -> None:
    for service_id, at in write.heard:
        if service_id in store.services:
            store.services[service_id] = replace(store.services[service_id], last_heartbeat_at=at)


def _reserve_revisions(store: SimStore, write: ReserveRevisions) -> None:
    store.revision = write.ceiling


def _compact_events(store: SimStore, write: CompactEvents) -> None:
    if store.events:
        store.sequence = max(store.events)
    store.deliveries = {key: each for key, each in store.deliveries.items() if each.sequence >= write.first}
    store.events = {number: event for number, event in store.events.items() if number >= write.first}
    store.recorded_at = {number: store.recorded_at[number] for number in store.events}


_APPLY: dict[type, Callable[[SimStore, Any], None]] = {
    PutService: _put_service,
    RemoveService: _remove_service,
    PutIntent: _put_intent,
    DropIntent: _drop_intent,
    PutOwner: _put_owner,
    DropOwner: _drop_owner,
    PutMaintenance: _put_maintenance,
    DropMaintenance: _drop_maintenance,
    AppendEvent: _append_event,
    StopEscalation: _stop_escalation,
    Acknowledge: _end_copy,
    WithdrawCopy: _end_copy,
    PutHeartbeats: _put_heartbeats,
    ReserveRevisions: _reserve_revisions,
    CompactEvents: _compact_events,
}
