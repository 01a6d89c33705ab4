"""Decides what a caller may read: which services, how much of each, and which events. Pure.

| caller                | services                                        | events                                 |
|-----------------------|-------------------------------------------------|----------------------------------------|
| TRON, observer of `*` | all                                             | all                                    |
| observer of other ids | those ids                                       | about those ids                        |
| agent                 | its own services, and their children; of the    | for its own services; about its own    |
|                       | ancestors of its own services only the liveness | services, and about their children     |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import IntEnum

from grid_model.access import Principal, Role
from grid_model.declaration import Declaration
from grid_model.event import Event

from registry_server.core.record import Record
from registry_server.core.registry import Registry
from registry_server.core.rights import Rights, ancestors
from registry_server.core.service import Report, Service, Tombstone


class Access(IntEnum):
    """How much of a service a caller may read."""

    NONE = 0
    LIVENESS = 1
    """Only the id, name, type, role and parent of the service, whether it is connected, and its liveness."""
    ALL = 2


class ReadingRights:
    """What a caller may read, for callers that may not read everything; see `reading_rights`."""

    def __init__(self, registry: Registry, rights: Rights) -> None:
        self._registry = registry
        self._rights = rights
        self._principal = rights.principal
        self._observes = Role.OBSERVER in self._principal.roles and rights.via is None

    @property
    def reader(self) -> Principal:
        """The principal of the caller. Callers with different principals do not share lists of services."""
        return self._principal

    @property
    def depends_on_services(self) -> bool:
        """Whether the services that the caller may read depend on which other services are registered."""
        return Role.AGENT in self._principal.roles

    # --- services ---------------------------------------------------------------------------------------------------

    def access(self, service_id: str) -> Access:
        """Return how much of a service the caller may read. For a service that is not registered, this depends on the
        owner of its id, and on the parent that it had last."""
        if self._reads(service_id):
            return Access.ALL
        return Access.LIVENESS if service_id in self._ancestors() else Access.NONE

    def scope(self) -> Mapping[str, Access]:
        """Return the registered services that the caller may read as an agent: its own services, their children and
        their ancestors. Services that it may read only as an observer are not included."""
        found: dict[str, Access] = {}
        for own in self._own():
            found[own.spec.service_id] = Access.ALL
            for child in self._registry.children_of(own):
                found[child.spec.service_id] = Access.ALL
        for service_id in self._ancestors():
            found.setdefault(service_id, Access.LIVENESS)
        return found

    def access_in(self, scope: Mapping[str, Access], service_id: str) -> Access:
        """Return how much of a registered service the caller may read. `scope` is a result of `scope()`."""
        return Access.ALL if self._observed(service_id) else scope.get(service_id, Access.NONE)

    def seen(self, service: Service) -> Service | None:
        """Return a service as the caller may see it; None if the caller may not see it at all."""
        return as_seen(service, self.access(service.spec.service_id))

    def seen_of(self, services: Iterable[Service]) -> list[Service]:
        """Return these services as the caller may see them, without those that it may not see."""
        return [seen for each in services if (seen := self.seen(each)) is not None]

    def shown(self) -> list[Service]:
        """Return all services that the caller may see, each as readers last saw it, and as far as the caller may see
        it."""
        scope = self.scope() if self.depends_on_services else {}
        found = (as_seen(each, self.access_in(scope, each.spec.service_id)) for each in self._registry.shown())
        return [each for each in found if each is not None]

    def tombstones(self, tombstones: Iterable[Tombstone]) -> Iterable[Tombstone]:
        """Return only the tombstones of services that the caller may read."""
        return (each for each in tombstones if self._reads(each.service_id))

    # --- events -----------------------------------------------------------------------------------------------------

    def admits(self, event: Event) -> bool:
        """Return whether the caller may read an event."""
        about, recipient = event.service_id, event.recipient
        if self._observed(about or recipient):
            return True
        return bool((recipient and self._owns(recipient)) or (about and self._reads(about)))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _reads(self, service_id: str) -> bool:
        """Return whether the caller may read all of a service: as an observer, or because the service is its own or a
        child of its own."""
        if self._observed(service_id) or self._owns(service_id):
            return True
        record, tombstone = self._registry.records.get(service_id), self._registry.tombstones.get(service_id)
        parent = record.spec.parent if record is not None else tombstone.parent if tombstone is not None else ""
        return self._is_own(parent)

    def _ancestors(self) -> set[str]:
        """Return the ids of all ancestors of the caller's own services. Siblings share their ancestors, so a group with
        thousands of services is walked once, and each parent once."""
        records, found = self._registry.records, set[str]()
        parents: set[str] = set()
        for service_id in self._registry.ids_of(self._principal.owner):
            record = records.get(service_id)
            parent = "" if record is None else record.spec.parent
            if not parent or parent in parents or not self._rights.matches(service_id):
                continue
            parents.add(parent)
            for ancestor in ancestors(self._registry, service_id):
                if ancestor.spec.service_id in found:
                    break  # so are its own
                found.add(ancestor.spec.service_id)
        return found

    def _observed(self, service_id: str) -> bool:
        return self._observes and bool(service_id) and self._principal.may(Role.OBSERVER, service_id)

    def _owns(self, service_id: str) -> bool:
        return self._rights.owns(service_id)

    def _is_own(self, id_or_name: str) -> bool:
        record = self._registry.resolve(id_or_name) if id_or_name else None
        return record is not None and self._owns(record.spec.service_id)

    def _own(self) -> Iterable[Record]:
        records = self._registry.records
        for service_id in self._registry.ids_of(self._principal.owner):
            record = records.get(service_id)
            if record is not None and self._rights.matches(service_id):
                yield record


def reading_rights(registry: Registry, rights: Rights | None) -> ReadingRights | None:
    """Return what a caller may read; None if it may read everything."""
    if rights is None:
        return None
    principal = rights.principal
    if rights.via is None and (Role.JUDGE in principal.roles or principal.may_everywhere(Role.OBSERVER)):
        return None
    return ReadingRights(registry, rights)


def as_seen(service: Service, access: Access) -> Service | None:
    """Return a service as a caller with this access sees it; None if the caller may not see the service."""
    if access is Access.ALL:
        return service
    if access is Access.NONE:
        return None
    spec = service.spec
    declared = Declaration(spec.service_id, spec.name, spec.type, spec.role, parent=spec.parent)
    return replace(service, spec=declared, report=Report(), maintenance=None)
