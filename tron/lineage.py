"""The tree of parents: resolves an id or a name to a service, and finds its ancestors and descendants. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

from grid_model.event import OPERATORS
from grid_model.observation import Forebear

MAX_FOREBEARS = 10_000
"""How many removed services are remembered. Overflow rule: the oldest is forgotten; its alerts go to operators."""

MAX_ANCESTORS = 256
"""How many ancestors of a service are found at most, as many as the registry accepts of a service that registers. An
alert of which none of them can be notified goes to operators. It bounds the time of a walk up a chain of parents."""


class Lineage:
    """The tree of parents as declared; a parent is named by service_id, or by a name that exactly one service has."""

    def __init__(self) -> None:
        self._live: dict[str, Forebear] = {}
        self._named: dict[str, dict[str, None]] = {}
        self._children: dict[str, dict[str, None]] = {}
        self._gone: OrderedDict[str, Forebear] = OrderedDict()
        self._gone_named: dict[str, str] = {}
        """By name: the id of the removed service that had this name last."""
        self.version = 0
        """Grows when a service leaves its place in the tree: it was removed, or has another name or parent."""

    def put(self, service: Forebear) -> None:
        """Add a registered service, or replace its name and parent."""
        if self._live.get(service.service_id) == service:
            return
        self._drop(service.service_id)
        self._forget_gone(service.service_id)
        self._live[service.service_id] = service
        self._named.setdefault(service.name, {})[service.service_id] = None
        if service.parent:
            self._children.setdefault(service.parent, {})[service.service_id] = None

    def remove(self, service_id: str) -> None:
        """Remove a service, but keep the record of its parent: the ancestors of its children must still be found."""
        gone = self._drop(service_id)
        if gone is not None:
            self.remember(gone)

    def remember(self, forebear: Forebear) -> None:
        """Record a service that is no longer registered."""
        if forebear.service_id in self._live:
            return
        self._forget_gone(forebear.service_id)
        self._gone[forebear.service_id] = forebear
        self._gone_named[forebear.name] = forebear.service_id
        while len(self._gone) > MAX_FOREBEARS:
            self._forget_gone(next(iter(self._gone)))

    def resolve(self, id_or_name: str) -> str | None:
        """Return the service_id for an id, or for a name that exactly one registered service has; else None."""
        if id_or_name in self._live:
            return id_or_name
        named = {} if id_or_name == OPERATORS else self._named.get(id_or_name, {})
        return next(iter(named)) if len(named) == 1 else None

    def ancestors(self, id_or_name: str) -> Iterator[str]:
        """Yield the ancestors of a service, nearest first, each by the id or name that its child declares. Removed
        services are included as long as they are remembered. There are at most MAX_ANCESTORS."""
        seen = {id_or_name}
        while len(seen) <= MAX_ANCESTORS:
            service = self._live.get(self.resolve(id_or_name) or id_or_name) or self._gone_service(id_or_name)
            if service is None or not service.parent or service.parent in seen:
                return
            id_or_name = service.parent
            seen.add(id_or_name)
            yield id_or_name

    def children(self, service_id: str) -> list[str]:
        """Return the services that declare this one as their parent."""
        service = self._live.get(service_id)
        names = [service_id]
        if service is not None and service.name != service_id and self.resolve(service.name) == service_id:
            names.append(service.name)
        return [child for id_or_name in names for child in self._children.get(id_or_name, ()) if child != service_id]

    def descendants(self, service_id: str) -> list[str]:
        """Return all services below this one, nearest first."""
        found: dict[str, None] = {}
        todo = deque(self.children(service_id))
        while todo:
            each = todo.popleft()
            if each not in found and each != service_id:
                found[each] = None
                todo += self.children(each)
        return list(found)

    def _gone_service(self, id_or_name: str) -> Forebear | None:
        """Return the removed service that an id meant, or that a name meant which no service has any more."""
        if id_or_name in self._gone or id_or_name in self._named:
            return self._gone.get(id_or_name)
        return self._gone.get(self._gone_named.get(id_or_name, ""))

    def _forget_gone(self, service_id: str) -> None:
        gone = self._gone.pop(service_id, None)
        if gone is not None and self._gone_named.get(gone.name) == service_id:
            del self._gone_named[gone.name]

    def _drop(self, service_id: str) -> Forebear | None:
        service = self._live.pop(service_id, None)
        if service is None:
            return None
        self.version += 1
        for index, id_or_name in ((self._named, service.name), (self._children, service.parent)):
            group = index.get(id_or_name)
            if group is not None:
                group.pop(service_id, None)
                if not group:
                    del index[id_or_name]
        return service
