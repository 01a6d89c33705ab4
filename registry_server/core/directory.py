"""Finds services by id and by name, and so resolves parents and recipients. Pure."""

from __future__ import annotations

from collections import OrderedDict

from grid_model.declaration import Declaration
from grid_model.errors import FieldError, InvalidRequest, ServiceNotFound
from grid_model.event import OPERATORS

from registry_server.core.record import Record
from registry_server.core.validation import MAX_ANCESTORS

MOST_PAST = 100_000
"""Maximum number of ended incarnations whose service ids are remembered. Overflow rule: the oldest is forgotten."""


class Directory:
    """The registered services, by id and by name."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        """The services by id. Only `add` and `remove` may change it."""
        self.by_incarnation: dict[int, Record] = {}
        """The services by incarnation. Only `add` and `remove` may change it."""
        self.version = 0
        """A number that grows with each service that is added or removed."""
        self.refusing: set[str] = set()
        """The ids of services that refuse children."""
        self._past: OrderedDict[int, str] = OrderedDict()
        self._by_name: dict[str, set[str]] = {}
        self._by_parent: dict[str, set[str]] | None = None
        """The ids of the services that declare a parent, by the id or name that they declare; None until
        `follow_parents` is called."""

    def follow_parents(self) -> None:
        """Start to record which services declare which parent. A registry without authentication rarely needs this."""
        self._by_parent = {}
        for record in self.records.values():
            self._link(record)

    def children_of(self, record: Record) -> list[Record]:
        """Return the services whose parent is this one, in the order of their ids."""
        return [self.records[each] for each in sorted(self.child_ids_of(record))]

    def child_ids_of(self, record: Record) -> list[str]:
        """Return the ids of the services whose parent is this one, in any order."""
        if self._by_parent is None:
            self.follow_parents()
        by_parent = self._by_parent or {}
        return [each for text in self.names_of(record) for each in by_parent.get(text, ())]

    def get(self, service_id: str) -> Record:
        """Return the record of a service. Raises ServiceNotFound if it is not registered."""
        record = self.records.get(service_id)
        if record is None:
            raise ServiceNotFound.of(service_id)
        return record

    def named(self, name: str) -> list[Record]:
        """Return all services with this name, in the order of their ids."""
        return [self.records[service_id] for service_id in sorted(self._by_name.get(name, ()))]

    def matching(self, id_or_name: str) -> list[Record]:
        """Return all services whose id or name is this text."""
        own = self.records.get(id_or_name)
        return self.named(id_or_name) if own is None else [own, *self.named(id_or_name)]

    def resolve(self, id_or_name: str) -> Record | None:
        """Return the service with this id, or else the only service with this name; None if there is none. A parent and
        a recipient may be given by id or by name."""
        record = self.records.get(id_or_name)
        if record is None and id_or_name != OPERATORS:
            named = self._by_name.get(id_or_name, ())
            if len(named) == 1:
                record = self.records[next(iter(named))]
        return record

    def id_of(self, id_or_name: str) -> str:
        """Return the id of the service to which this id or name refers now; `id_or_name` itself if it refers to none.
        Alerts are kept under the result."""
        record = self.resolve(id_or_name)
        return id_or_name if record is None else record.spec.service_id

    def names_of(self, record: Record) -> list[str]:
        """Return the recipients under which alerts for a service may be kept: its id, and its name while no other
        service has that name."""
        service_id, name = record.spec.service_id, record.spec.name
        return [service_id, name] if name != service_id and self.resolve(name) is record else [service_id]

    def add(self, record: Record) -> None:
        """Add a service. No other registered service may have its id."""
        self.version += 1
        self.records[record.spec.service_id] = self.by_incarnation[record.incarnation] = record
        self._by_name.setdefault(record.spec.name, set()).add(record.spec.service_id)
        if record.spec.refused_children:
            self.refusing.add(record.spec.service_id)
        if self._by_parent is not None:
            self._link(record)

    def remove(self, record: Record) -> None:
        """Remove a service."""
        self.version += 1
        del self.records[record.spec.service_id]
        del self.by_incarnation[record.incarnation]
        self.refusing.discard(record.spec.service_id)
        self.remember(record.incarnation, record.spec.service_id)
        named = self._by_name[record.spec.name]
        named.discard(record.spec.service_id)
        if not named:
            del self._by_name[record.spec.name]
        if self._by_parent is not None and record.spec.parent:
            children = self._by_parent[record.spec.parent]
            children.discard(record.spec.service_id)
            if not children:
                del self._by_parent[record.spec.parent]

    def remember(self, incarnation: int, service_id: str) -> None:
        """Record that an incarnation of the service has ended."""
        self._past[incarnation] = service_id
        while len(self._past) > MOST_PAST:
            self._past.popitem(last=False)

    def past_owner(self, incarnation: int) -> str:
        """Return the id of the service to which an ended incarnation belonged; empty if the incarnation is not
        remembered."""
        return self._past.get(incarnation, "")

    def _link(self, record: Record) -> None:
        if self._by_parent is not None and record.spec.parent:
            self._by_parent.setdefault(record.spec.parent, set()).add(record.spec.service_id)

    def refuse_cycle(self, spec: Declaration) -> None:
        """Raise InvalidRequest if the declared parent of a service, its parent, and so on, lead back to the service
        itself, or if they are more than MAX_ANCESTORS."""
        seen = {spec.service_id}
        id_or_name = spec.parent
        while id_or_name:
            own_name = id_or_name == spec.name and self.resolve(id_or_name) in (None, self.records.get(spec.service_id))
            if id_or_name == spec.service_id or own_name:
                why = (
                    "a service cannot be its own parent"
                    if id_or_name == spec.parent
                    else "would create a cycle of parents"
                )
                raise InvalidRequest.of(FieldError("service.parent", why))
            parent = self.resolve(id_or_name)
            if parent is None:
                return
            if parent.spec.service_id == spec.service_id:
                raise InvalidRequest.of(FieldError("service.parent", "would create a cycle of parents"))
            if parent.spec.service_id in seen:
                return  # a cycle of others, which arose when a name changed its meaning
            seen.add(parent.spec.service_id)
            if len(seen) > MAX_ANCESTORS + 1:
                why = f"a service may have at most {MAX_ANCESTORS} ancestors"
                raise InvalidRequest.of(FieldError("service.parent", why))
            id_or_name = parent.spec.parent
