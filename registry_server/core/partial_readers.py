"""A reader that follows only the services that its caller may read. Pure.

The services that an agent may read depend on other services: an ancestor becomes visible when a service of the agent
registers, and is no longer visible when that service leaves. So such a reader is also sent services that did not change
themselves, and it cannot resume: it begins with a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from grid_model.errors import RevisionCompacted

from registry_server.core.changes import Change
from registry_server.core.commits import Commits
from registry_server.core.readers import ServiceReader
from registry_server.core.reading_rights import Access, ReadingRights, as_seen
from registry_server.core.registry import Registry


class PartialReader:
    """Follows the services that the caller may read, beginning with a snapshot. Raises RevisionCompacted if
    `start_revision` is set, because such a reader cannot resume."""

    def __init__(self, registry: Registry, commits: Commits, start_revision: int, rights: ReadingRights) -> None:
        if start_revision:
            raise RevisionCompacted(
                "only a caller that may read all services can set start_revision; start from a snapshot"
            )
        self._registry = registry
        self._commits = commits
        self._rights = rights
        self._reader = ServiceReader(registry, commits, 0)
        self._scope: Mapping[str, Access] = {}
        self._newest = 0
        """The highest incarnation that was seen: a higher one is a registration."""
        self._shown: dict[str, tuple[int, Access]] = {}
        """What the caller was shown, by id: the incarnation, and how much of the service."""

    @property
    def revision(self) -> int:
        """The revision up to which everything was read."""
        return self._reader.revision

    def beginning(self) -> list[Change]:
        """Return the snapshot. Call this once, when all of it is durable."""
        return self._visible(self._reader.beginning())

    def next(self) -> list[Change]:
        """Return the changes that became visible since the last call. Raises RevisionCompacted for a reader that fell
        too far behind."""
        return self._visible(self._reader.next())

    def heard(self, heard: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
        """Return those of the given heartbeats that are of services that the caller was shown. Each heartbeat is a
        tuple (incarnation, seconds since the epoch)."""
        shown = {incarnation for incarnation, _ in self._shown.values()}
        return [each for each in heard if each[0] in shown]

    def _visible(self, changes: list[Change]) -> list[Change]:
        moved = self._rights.depends_on_services and self._moves(changes)
        if moved:
            self._scope = self._rights.scope()
        found: list[Change] = []
        for change in changes:
            found += self._as_seen(change)
        if moved:
            changed = {change.service_id for change in changes}
            found += self._entered(changed)
            found += self._left(changed)
        return found

    def _moves(self, changes: Iterable[Change]) -> bool:
        """Return whether a service was registered or removed, so that other services may be visible now."""
        moved = False
        for change in changes:
            if change.service is None:
                moved = True
            elif change.service.incarnation > self._newest:
                self._newest, moved = change.service.incarnation, True
        return moved

    def _as_seen(self, change: Change) -> Iterable[Change]:
        service_id = change.service_id
        access = Access.NONE
        if change.service is not None:
            access = self._rights.access_in(self._scope, service_id)
        seen = None if change.service is None else as_seen(change.service, access)
        if seen is not None:
            self._shown[service_id] = seen.incarnation, access
            yield Change(change.revision, service_id, seen)
        elif self._shown.pop(service_id, None) is not None:
            yield Change(change.revision, service_id, None)

    def _entered(self, changed: set[str]) -> Iterable[Change]:
        """Yield the services that did not change, but of which the caller may read more than it was shown."""
        for service_id, access in self._scope.items():
            if service_id in changed or self._shown.get(service_id, (0, Access.NONE))[1] >= access:
                continue
            newest = self._registry.newest_change(service_id)
            # A change that is not visible yet comes when it is.
            if newest is not None and newest.service is not None and newest.revision <= self.revision:
                seen = as_seen(newest.service, access)
                if seen is not None:
                    self._shown[service_id] = seen.incarnation, access
                    yield Change(self.revision, service_id, seen)

    def _left(self, changed: set[str]) -> Iterable[Change]:
        """Yield the services that did not change, but of which the caller may read less than it was shown."""
        for service_id, (_, before) in list(self._shown.items()):
            access = self._rights.access_in(self._scope, service_id)
            if service_id in changed or access >= before:
                continue
            newest = self._registry.newest_change(service_id)
            if newest is not None and newest.revision > self.revision:
                continue
            service = None if newest is None or newest.service is None else as_seen(newest.service, access)
            if service is None:
                del self._shown[service_id]
            else:
                self._shown[service_id] = service.incarnation, access
            yield Change(self.revision, service_id, service)
