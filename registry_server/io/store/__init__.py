"""The storage port: what a store must do. The core knows no store; a store knows no rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from grid_model.event import Event
from grid_model.observation import Delivery
from grid_model.service import Maintenance

from registry_server.core.effects import Write
from registry_server.core.event_log import EventFilter
from registry_server.core.service import Intent, StoredService, Tombstone


@dataclass(frozen=True, slots=True)
class Stored:
    """Everything that a registry needs to continue after it was killed."""

    services: list[StoredService] = field(default_factory=list)
    tombstones: list[Tombstone] = field(default_factory=list)
    intents: list[Intent] = field(default_factory=list)
    maintenance: list[Maintenance] = field(default_factory=list)
    waiting: list[Delivery] = field(default_factory=list)
    """Copies of alerts that were not acknowledged, oldest first; when they were put is not stored."""
    revision: int = 0
    """No revision above this was ever given out."""
    compacted_revision: int = 0
    incarnation: int = 0
    """The highest that was ever given out."""
    first_sequence: int = 1
    last_sequence: int = 0
    events: int = 0
    """How many are kept. Their numbers may leap where a backup was restored."""


class Store(Protocol):
    """Durable memory. Calls block, come from one thread at a time, and raise StoreError."""

    def load(self) -> Stored:
        """Read everything; an empty store is a fresh system."""
        ...

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all writes in one transaction; when it returns they survive a power cut."""
        ...

    def read_events(
        self, after: int, limit: int, wanted: EventFilter, *, unacknowledged: bool = False, newest: bool = False
    ) -> list[Event]:
        """Up to `limit` events after the number `after`, oldest first; `newest`: the last ones instead of the first."""
        ...

    def was_sent(self, alert_id: str, recipient: str) -> bool:
        """Whether such an alert was ever addressed to `recipient` (empty: to anyone)."""
        ...

    def first_event_since(self, occurred_at: float) -> int:
        """The number of the oldest event that is not older than `occurred_at` (seconds since the epoch)."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...


class StoreError(Exception):
    """The store cannot keep its promise: disk full, file damaged, or in use by another registry."""
