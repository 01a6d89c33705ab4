"""A reader that follows only the services that its caller may read. Pure.

The services that an agent may read depend on other services: an ancestor becomes visible when a service of the agent
registers, and is no longer visible when that service leaves. So such a reader is also sent services that did not change
themselves, and it cannot resume: it begins with a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from grid_model.errors import RevisionCompacted

from registry_server.core.changes import Change
from registry_server.core.commits import Commits
from registry_server.core.readers import ServiceReader, in_parts
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
        self._shown: dict[str, tuple[int, Access]] = {}
        """What the caller was shown, by id: the incarnation, and how much of the service."""

    @property
    def revision(self) -> int:
        """The revision up to which everything was read."""
        return self._reader.revision

    def beginning(self) -> Iterator[Sequence[Change]]:
        """Yield the snapshot in parts, which may be empty. Call this once, when all of it is durable."""
        return self._visible(self._reader.beginning())

    def next(self) -> Iterator[Sequence[Change]]:
        """Return the changes that became visible since the last call, in parts, which may be empty. All of them must be
        read before the next call. Raises RevisionCompacted for a reader that fell too far behind."""
        return self._visible(self._reader.next())

    def heard(self, heard: Iterable[tuple[int, float]]) -> list[tuple[int, float]]:
        """Return those of the given heartbeats that are of services that the caller was shown. Each heartbeat is a
        tuple (incarnation, seconds since the epoch)."""
        shown = {incarnation for incarnation, _ in self._shown.values()}
        return [each for each in heard if each[0] in shown]

    def _visible(self, parts: Iterator[Sequence[Change]]) -> Iterator[Sequence[Change]]:
        # The changes were taken before the search begins, so that it finds all the rights that they give.
        moved, changed = False, set[str]()
        for number, part in enumerate(parts):
            if number == 0 and self._rights.depends_on_services:
                search = self._rights.scope()
                while not search.work():
                    yield ()
                before, self._scope = self._scope, search.found
                moved = before is not self._scope and before != self._scope
            if moved:
                changed.update(change.service_id for change in part)
            yield [seen for change in part for seen in self._as_seen(change)]
        if moved:
            yield from self._entered(changed)
            yield from self._left(changed)

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

    def _entered(self, changed: set[str]) -> Iterator[Sequence[Change]]:
        """Yield the services that did not change, but of which the caller may read more than it was shown."""
        scope = self._scope
        for ids in in_parts(list(scope)):
            found: list[Change] = []
            for service_id in ids:
                access = scope[service_id]
                if service_id in changed or self._shown.get(service_id, (0, Access.NONE))[1] >= access:
                    continue
                newest = self._registry.newest_change(service_id)
                # A change that is not visible yet comes when it is.
                if newest is not None and newest.service is not None and newest.revision <= self.revision:
                    seen = as_seen(newest.service, access)
                    if seen is not None:
                        self._shown[service_id] = seen.incarnation, access
                        found.append(Change(self.revision, service_id, seen))
            yield found

    def _left(self, changed: set[str]) -> Iterator[Sequence[Change]]:
        """Yield the services that did not change, but of which the caller may read less than it was shown."""
        for ids in in_parts(list(self._shown)):
            found: list[Change] = []
            for service_id in ids:
                access = self._rights.access_in(self._scope, service_id)
                if service_id in changed or access >= self._shown[service_id][1]:
                    continue
                newest = self._registry.newest_change(service_id)
                if newest is not None and newest.revision > self.revision:
                    continue
                service = None if newest is None or newest.service is None else as_seen(newest.service, access)
                if service is None:
                    del self._shown[service_id]
                else:
                    self._shown[service_id] = service.incarnation, access
                found.append(Change(self.revision, service_id, service))
            yield found
