"""Revisions: records which services changed, so that a reader can resume from any revision that it has seen.

No reader has a queue. A reader is a cursor into two structures of bounded size: all recent changes, for a reader that
keeps up; and the newest state of each service in order of change, for a reader that does not.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from itertools import islice

from grid_model.errors import RevisionCompacted

from registry_server.core.service import Service


@dataclass(frozen=True, slots=True)
class Change:
    """The state of a service at `revision`; `service` is None if the service was removed."""

    revision: int
    service_id: str
    service: Service | None


class ChangeLog:
    """The changes of the services. Each change gets the next revision, without gaps while the process runs."""

    def __init__(self, revision: int = 0, recent: int = 4096, tombstones: int = 10_000) -> None:
        self.revision = revision
        self.compacted = 0
        """The newest revision whose removal is forgotten: readers that have not seen this revision cannot resume."""
        self._recent: deque[Change] = deque(maxlen=recent)
        self._latest: OrderedDict[str, Change] = OrderedDict()
        self._removed: deque[Change] = deque()
        self._max_tombstones = tombstones

    def restore_removed(self, service_id: str, revision: int) -> None:
        """Restore a removal that happened before the start. Call this in the order of the revisions, before any other
        change is recorded."""
        self._forget_oldest_removal()
        change = Change(revision, service_id, None)
        self._latest[service_id] = change
        self._removed.append(change)

    def upsert(self, service_id: str, service: Service) -> int:
        """Record the new state of a service; return its revision."""
        return self._append(service_id, service).revision

    def remove(self, service_id: str) -> int:
        """Record the removal of a service; return the revision of this change. Only a limited number of removals is
        kept; the oldest is forgotten to make room (see `compacted`)."""
        self._forget_oldest_removal()
        change = self._append(service_id, None)
        self._removed.append(change)
        return change.revision

    def since(self, revision: int) -> list[Change]:
        """Return every change after `revision`, in order, if all of them are kept; otherwise the newest change of each
        service that has changed.

        Raises RevisionCompacted if a removal after `revision` has been forgotten. Also raises it if `revision` is
        higher than the newest revision, because such a number belongs to another epoch of this registry.
        """
        if revision > self.revision:
            raise RevisionCompacted(f"revision {revision} does not exist; the newest is {self.revision}")
        if revision < self.compacted:
            why = f"changes after revision {revision} are no longer kept; the oldest to resume from is {self.compacted}"
            raise RevisionCompacted(why)
        if self._recent and self._recent[0].revision <= revision + 1:
            return list(islice(self._recent, revision + 1 - self._recent[0].revision, None))
        newest: list[Change] = []
        for change in reversed(self._latest.values()):
            if change.revision <= revision:
                break
            newest.append(change)
        newest.reverse()
        return newest

    def services(self) -> list[Service]:
        """Return all registered services, as readers last saw them."""
        return [change.service for change in self._latest.values() if change.service is not None]

    def newest(self, service_id: str) -> Service | None:
        """Return a service as readers last saw it; None if it is not registered."""
        change = self._latest.get(service_id)
        return None if change is None else change.service

    def newest_change(self, service_id: str) -> Change | None:
        """Return the newest change of a service; None if no change of it is kept."""
        return self._latest.get(service_id)

    def _append(self, service_id: str, service: Service | None) -> Change:
        self.revision += 1
        change = Change(self.revision, service_id, service)
        self._recent.append(change)
        self._latest[service_id] = change
        self._latest.move_to_end(service_id)
        return change

    def _forget_oldest_removal(self) -> None:
        while len(self._removed) >= self._max_tombstones:
            oldest = self._removed.popleft()
            self.compacted = max(self.compacted, oldest.revision)
            if self._latest.get(oldest.service_id) is oldest:
                del self._latest[oldest.service_id]
