"""The interface of a store. The core does not depend on any store, and a store applies no rules of the core."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from grid_model.event import Event
from grid_model.observation import Delivery
from grid_model.service import Maintenance

from registry_server.core.effects import Write
from registry_server.core.event_log import EventFilter
from registry_server.core.service import Intent, OwnedId, StoredService, Tombstone


@dataclass(frozen=True, slots=True)
class Stored:
    """All data that a registry needs to continue after it was killed."""

    services: list[StoredService] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    owned: list[OwnedId] = field(default_factory=list)
    """The ids that have an owner; the ids of removed services are in the order of their removals."""
    maintenance: list[Maintenance] = field(default_factory=list)
    waiting: list[Delivery] = field(default_factory=list)
    """The copies of alerts that were not acknowledged, oldest first; the time at which each was added is not stored."""
    revision: int = 0
    """The upper bound of all revisions that were ever used."""
    compacted_revision: int = 0
    incarnation: int = 0
    """The highest incarnation that was ever used."""
    first_sequence: int = 1
    last_sequence: int = 0
    events: int = 0
    """The number of stored events. Their sequence numbers may have a gap if a backup was restored."""


class Store(Protocol):
    """Durable storage. Its methods block, are called by one thread at a time, and raise StoreError."""

    def load(self) -> Stored:
        """Return all stored data. For an empty store, this is the data of a new system."""
        ...

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes in one transaction; when it returns they survive a power cut."""
        ...

    def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """Return up to `limit` matching events after the sequence number `after`, oldest first. `newest`: return the
        last ones instead of the first."""
        ...

    def was_sent(self, alert_id: str, recipient: str) -> bool:
        """Return whether this alert was ever addressed to `recipient` (empty: to any recipient)."""
        ...

    def first_event_since(self, recorded_at: float) -> int:
        """Return the number that follows the sequence number of the last event that was recorded before `recorded_at`
        (seconds since the epoch). All events from that number on were recorded at `recorded_at` or later."""
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class StoreError(Exception):
    """The store cannot work: the disk is full, the file is damaged, or another registry uses it."""
