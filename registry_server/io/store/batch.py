"""Reduces a batch of lines to the rows of each table: for each row, the last line about it counts. Pure.

Running a statement for each line would be slow: for each statement the driver releases the interpreter lock, and waits
up to 5 ms to get it back from a busy event loop. A few statements for the whole batch wait only a few times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from registry_server.core.service import Intent, OwnedId, StoredService, Tombstone


@dataclass(slots=True)
class Batch:
    """The rows to write, by key. A value of None means that the row is deleted."""

    services: dict[str, StoredService | None] = field(default_factory=dict)
    heard: dict[str, float] = field(default_factory=dict)
    """When services were last heard, in seconds since the epoch; for rows that are in the store already, or in this
    batch."""
    tombstones: dict[str, Tombstone | None] = field(default_factory=dict)
    intents: dict[str, Intent | None] = field(default_factory=dict)
    owners: dict[str, OwnedId | None] = field(default_factory=dict)
    maintenance: dict[str, Maintenance | None] = field(default_factory=dict)
    appended: list[AppendEvent] = field(default_factory=list)
    escalated: dict[tuple[str, str], None] = field(default_factory=dict)
    """The copies that do not escalate, as (alert_id, recipient)."""
    ended: dict[tuple[str, str], float] = field(default_factory=dict)
    """When copies were acknowledged or withdrawn, in seconds since the epoch, by (alert_id, recipient). The first time
    counts."""
    incarnation: int = 0
    """The highest incarnation that was started; 0 if none was."""
    revisions: int = 0
    """The new upper bound of revisions; 0 if it does not change."""
    compact_before: int = 0
    """Events with a smaller sequence number are deleted at the end."""

    @classmethod
    def of(cls, writes: Sequence[Write]) -> Batch:
        """Return the rows that result from these lines, applied in this order."""
        batch = cls()
        for write in writes:
            _ADD[type(write)](batch, write)
        return batch


def _put_service(batch: Batch, write: PutService) -> None:
    service_id = write.service.spec.service_id
    batch.services[service_id] = write.service
    batch.heard.pop(service_id, None)
    if write.fresh:
        batch.tombstones[service_id] = None
        batch.incarnation = max(batch.incarnation, write.service.incarnation)


def _remove_service(batch: Batch, write: RemoveService) -> None:
    service_id = write.tombstone.service_id
    batch.services[service_id] = None
    batch.heard.pop(service_id, None)
    batch.tombstones[service_id] = write.tombstone


def _put_heartbeats(batch: Batch, write: PutHeartbeats) -> None:
    batch.heard.update(write.heard)


def _put_intent(batch: Batch, write: PutIntent) -> None:
    batch.intents[write.intent.service_id] = write.intent


def _drop_intent(batch: Batch, write: DropIntent) -> None:
    batch.intents[write.service_id] = None


def _put_owner(batch: Batch, write: PutOwner) -> None:
    batch.owners[write.owned.service_id] = write.owned


def _drop_owner(batch: Batch, write: DropOwner) -> None:
    batch.owners[write.service_id] = None


def _put_maintenance(batch: Batch, write: PutMaintenance) -> None:
    batch.maintenance[write.maintenance.service_id] = write.maintenance


def _drop_maintenance(batch: Batch, write: DropMaintenance) -> None:
    batch.maintenance[write.service_id] = None


def _append_event(batch: Batch, write: AppendEvent) -> None:
    batch.appended.append(write)


def _stop_escalation(batch: Batch, write: StopEscalation) -> None:
    batch.escalated[write.alert_id, write.recipient] = None


def _end_copy(batch: Batch, write: Acknowledge | WithdrawCopy) -> None:
    batch.ended.setdefault((write.alert_id, write.recipient), write.at)


def _reserve_revisions(batch: Batch, write: ReserveRevisions) -> None:
    batch.revisions = write.ceiling


def _compact_events(batch: Batch, write: CompactEvents) -> None:
    batch.compact_before = max(batch.compact_before, write.first)


_ADD: dict[type, Callable[[Batch, Any], None]] = {
    PutService: _put_service,
    RemoveService: _remove_service,
    PutHeartbeats: _put_heartbeats,
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
    ReserveRevisions: _reserve_revisions,
    CompactEvents: _compact_events,
}
