"""Decides what a caller may read: which services, how much of each, and which events. Pure.

| caller                | services                                        | events                                 |
|-----------------------|-------------------------------------------------|----------------------------------------|
| TRON, observer of `*` | all                                             | all                                    |
| observer of other ids | those ids                                       | about those ids                        |
| agent                 | its own services, and their children; of the    | for its own services; about its own    |
|                       | ancestors of its own services only the liveness | services, and about their children     |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from enum import IntEnum
from itertools import islice
from typing import TypeVar

from grid_model.access import Principal, Role
from grid_model.declaration import Declaration
from grid_model.event import Event

from registry_server.core.registry import Registry
from registry_server.core.rights import Rights, ancestors
from registry_server.core.searches import Search
from registry_server.core.service import Report, Service
from registry_server.core.validation import MAX_ANCESTORS

V = TypeVar("V")

PART = 250
"""Number of ids that one part of a search visits."""


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
        owner of its id, and on the parent that it had last. If `ancestors()` is current and over, this takes a
        constant time, else the search is finished first."""
        ancestors = self.ancestors()
        ancestors.result()
        return self.access_by(ancestors, service_id)

    def access_by(self, ancestors: Search[str], service_id: str) -> Access:
        """Return how much of a service the caller may read now. `ancestors` is a search of `ancestors()` that is over.
        A right that ended since the search began is not granted; one that began since then may be missing."""
        if self.reads(service_id):
            return Access.ALL
        own = ancestors.found.get(service_id)
        if own is not None and (ancestors.is_current or self._is_above(service_id, own)):
            return Access.LIVENESS
        return Access.NONE

    def reads(self, service_id: str) -> bool:
        """Return whether the caller may read all of a service: as an observer, or because the service is its own or a
        child of its own."""
        if self._observed(service_id) or self._owns(service_id):
            return True
        record, tombstone = self._registry.records.get(service_id), self._registry.tombstones.get(service_id)
        parent = record.spec.parent if record is not None else tombstone.parent if tombstone is not None else ""
        return self._is_own(parent)

    def ancestors(self) -> Search[str]:
        """Return the search for the ancestors of the caller's own services: the result maps the id of each ancestor to
        the own service below it from which it was found."""
        return self._search("ancestors", self._find_ancestors)

    def scope(self) -> Search[Access]:
        """Return the search for the registered services that the caller may read as an agent: its own services, their
        children and their ancestors. Services that it may read only as an observer are not included."""
        return self._search("scope", self._find_scope)

    def access_in(self, scope: Mapping[str, Access], service_id: str) -> Access:
        """Return how much of a registered service the caller may read. `scope` is the result of `scope()`."""
        return Access.ALL if self._observed(service_id) else scope.get(service_id, Access.NONE)

    def seen(self, service: Service, ancestors: Search[str]) -> Service | None:
        """Return a service as the caller may see it; None if the caller may not see it at all. See `access_by`."""
        return as_seen(service, self.access_by(ancestors, service.spec.service_id))

    # --- events -----------------------------------------------------------------------------------------------------

    def admits(self, event: Event) -> bool:
        """Return whether the caller may read an event."""
        about, recipient = event.service_id, event.recipient
        if self._observed(about or recipient):
            return True
        return bool((recipient and self._owns(recipient)) or (about and self.reads(about)))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _search(self, what: str, find: Callable[[dict[str, V]], Iterator[None]]) -> Search[V]:
        principal, via = self._principal, self._rights.via
        question = what, principal.owner, principal.grants, None if via is None else via.grants
        registry = self._registry
        return registry.searches.get(question, find, lambda: registry.kinship)

    def _find_ancestors(self, found: dict[str, str]) -> Iterator[None]:
        """Find the ancestors in parts. Siblings share their ancestors, so a group with thousands of services is walked
        once, and each parent once."""
        records, parents, visited = self._registry.records, set[str](), 0
        for service_id in self._own_ids():
            visited += 1
            if visited % PART == 0:
                yield
            record = records.get(service_id)
            parent = "" if record is None else record.spec.parent
            if not parent or parent in parents or not self._rights.owns(service_id):
                continue
            parents.add(parent)
            for ancestor in ancestors(self._registry, service_id):
                if ancestor.spec.service_id in found:
                    break  # so are its own
                found[ancestor.spec.service_id] = service_id
                visited += 1
                if visited % PART == 0:
                    yield

    def _find_scope(self, found: dict[str, Access]) -> Iterator[None]:
        records, visited = self._registry.records, 0
        for service_id in self._own_ids():
            record = records.get(service_id)
            readable = [] if record is None or not self._rights.owns(service_id) else [service_id]
            if record is not None and readable:
                readable += self._registry.child_ids_of(record)
            for each in readable:
                found[each] = Access.ALL
                visited += 1
                if visited % PART == 0:
                    yield
            visited += 1
            if visited % PART == 0:
                yield
        above = self.ancestors()
        while not above.work():
            yield
        for number, ancestor in enumerate(list(above.found), 1):
            found.setdefault(ancestor, Access.LIVENESS)
            if number % PART == 0:
                yield

    def _own_ids(self) -> list[str]:
        """Return the ids of the caller's owner, if the caller may be an agent. They may change during a search."""
        return list(self._registry.ids_of(self._principal.owner)) if self.depends_on_services else []

    def _is_above(self, ancestor: str, service_id: str) -> bool:
        """Return whether one of the nearest ancestors of an own service is now the service `ancestor`."""
        nearest = islice(ancestors(self._registry, service_id), MAX_ANCESTORS)
        return self._owns(service_id) and any(each.spec.service_id == ancestor for each in nearest)

    def _observed(self, service_id: str) -> bool:
        return self._observes and bool(service_id) and self._principal.may(Role.OBSERVER, service_id)

    def _owns(self, service_id: str) -> bool:
        return self._rights.owns(service_id)

    def _is_own(self, id_or_name: str) -> bool:
        record = self._registry.resolve(id_or_name) if id_or_name else None
        return record is not None and self._owns(record.spec.service_id)


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
