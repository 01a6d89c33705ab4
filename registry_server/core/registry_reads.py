"""The queries of the registry's state, which change nothing. Pure; `Registry` inherits them."""

from __future__ import annotations

from collections.abc import Iterable

from grid_model.access import Principal
from grid_model.event import OPERATORS, Event
from grid_model.observation import Delivery
from grid_model.service import Maintenance

from grid_hosting.shares import check_share
from registry_server.core.changes import Change, ChangeLog
from registry_server.core.directory import Directory
from registry_server.core.event_log import EventLog
from registry_server.core.liveness_facts import LivenessFacts
from registry_server.core.mailbox import FOR_OPERATORS, Mailboxes
from registry_server.core.maintenance import HeldNotices
from registry_server.core.observers import MAX_OBSERVERS, Observers
from registry_server.core.ownership import Ownership
from registry_server.core.parents import Parents
from registry_server.core.published import Published
from registry_server.core.record import Record
from registry_server.core.registrations import MAX_SERVICES, Registrations
from registry_server.core.searches import Searches
from registry_server.core.service import Service, Tombstone
from registry_server.core.unacknowledged import Unacknowledged


class RegistryReads:
    """The queries of the registry's state. `Registry` inherits them, and adds the commands."""

    records: dict[str, Record]
    searches: Searches
    """The searches for what callers may read, which are kept until `kinship` grows."""
    _changes: ChangeLog
    _directory: Directory
    _events: EventLog
    _facts: LivenessFacts
    _mailboxes: Mailboxes
    _maintenance: HeldNotices
    _observers: Observers
    _ownership: Ownership
    _parents: Parents
    _published: Published
    _registrations: Registrations

    @property
    def tombstones(self) -> dict[str, Tombstone]:
        """The services that are no longer registered, by id, oldest removal first; do not change them."""
        return self._registrations.tombstones

    @property
    def watched(self) -> bool:
        """Whether TRON is watching; if not, the liveness of all services is UNKNOWN."""
        return self._published.watched

    @property
    def revision(self) -> int:
        """The newest revision."""
        return self._changes.revision

    @property
    def first_event(self) -> int:
        """The number of the oldest event that is kept."""
        return self._events.first

    @property
    def last_event(self) -> int:
        """The number of the newest event."""
        return self._events.last

    def get(self, service_id: str) -> Record:
        """Return the record of a service. Raises ServiceNotFound if it is not registered."""
        return self._directory.get(service_id)

    def resolve(self, id_or_name: str) -> Record | None:
        """Return the service that is meant by the id or name of a parent or recipient; see `Directory.resolve`."""
        return self._directory.resolve(id_or_name)

    def parent_of(self, record: Record) -> str:
        """Return the parent of a service; empty if it declares none, or if that parent refuses it. See `parents`."""
        return self._parents.parent_of(record)

    def refuses_child(self, parent: Record, service_id: str, owner: str) -> bool:
        """Return whether `parent` refuses the service with this id and owner as its child."""
        return self._parents.refuses(parent, service_id, owner)

    def owner_of(self, service_id: str) -> str:
        """Return the owner of an id; empty if it has none. See `ownership`."""
        return self._ownership.owner_of(service_id)

    def ids_of(self, owner: str) -> Iterable[str]:
        """Return the ids of an owner, including those of services that are no longer registered."""
        return self._ownership.ids_of(owner)

    def check_share(self, principal: Principal) -> None:
        """Check that a principal may register one more service. Raises QuotaExceeded if too many services are
        registered, in all or for its owner; see `shares`."""
        held = self._ownership.count_registered(principal.owner)
        check_share(principal, MAX_SERVICES, "services are registered", held=held, total=len(self.records))

    def child_ids_of(self, record: Record) -> list[str]:
        """Return the ids of the services whose parent is this one, in any order; see `Registry.follow_parents`."""
        return self._directory.child_ids_of(record)

    @property
    def kinship(self) -> int:
        """A number that grows whenever a service is registered or removed, and whenever the owner of an id changes.
        While it stays the same, so do the parents, the names and the owners of all services."""
        return self._directory.version + self._ownership.version

    def newest_change(self, service_id: str) -> Change | None:
        """Return the newest change of a service; None if no change of it is kept."""
        return self._changes.newest_change(service_id)

    def view(self, record: Record) -> Service:
        """Return a service as readers see it; see `Published.view`."""
        return self._published.view(record)

    def as_heard(self, shown: Service) -> Service:
        """Return a service as readers last saw it, with newer values that cause no revision; see
        `Published.as_heard`."""
        return self._published.as_heard(shown)

    def shown(self) -> list[Service]:
        """Return all services as readers last saw them."""
        return self._changes.services()

    def changes_since(self, revision: int) -> list[Change]:
        """Return the changes after a revision; see `ChangeLog.since`. Raises RevisionCompacted."""
        return self._changes.since(revision)

    def check_event(self, after: int) -> None:
        """Raise RevisionCompacted if events after this sequence number are no longer kept; see `EventLog.check`."""
        self._events.check(after)

    def recent_events(self, after: int, limit: int) -> list[Event] | None:
        """Return the next events from memory; see `EventLog.recent_after`."""
        return self._events.recent_after(after, limit)

    def copy(self, alert_id: str, recipient: str) -> Delivery | None:
        """Return the copy of an alert that waits for this recipient; None if no such copy waits."""
        return self._mailboxes.get(alert_id, recipient)

    def waiting_for(self, recipient: str) -> list[Delivery]:
        """Return the copies of alerts that wait for this recipient, oldest first."""
        return self._mailboxes.waiting_for(recipient)

    def all_waiting(self) -> list[Delivery]:
        """Return all waiting copies of alerts."""
        return self._mailboxes.all_waiting()

    @property
    def unacknowledged(self) -> Unacknowledged:
        """The alert copies that wait for an acknowledgement: how many wait, and how long the oldest has been
        waiting."""
        return self._mailboxes.unacknowledged

    def queues(self) -> dict[str, tuple[int, int]]:
        """Return the queues of the registry by name, each with its current length and its bound."""
        return {
            "services": (len(self.records), MAX_SERVICES),
            "observers": (len(self._observers), MAX_OBSERVERS),
            "alerts_for_operators": (self._mailboxes.count_waiting_for(OPERATORS), FOR_OPERATORS),
        }

    def maintenance_of(self, service_id: str) -> Maintenance | None:
        """Return the maintenance of a service; None if it is not under maintenance."""
        return self._maintenance.by_id.get(service_id)

    def all_maintenance(self) -> list[Maintenance]:
        """Return the maintenance of all services, in the order of their ids."""
        return self._maintenance.all()

    def heard_after(self, observation: int) -> tuple[list[tuple[int, float]], int]:
        """Return the services with heartbeats after an observation; see `LivenessFacts.heard_after`."""
        return self._facts.heard_after(observation)
