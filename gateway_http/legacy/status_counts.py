"""Counts the services by status for GET /health, which anybody may ask at any rate. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from gateway_http.replica.entry import Entry
from gateway_http.replica.mirror import Mirror


class StatusCounts:
    """The number of services with each status of the legacy contract. Only services that changed since the last reading
    are looked at."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._version = -1
        self._listing = -1
        self._statuses: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """The number of all services, as of the last call of `read`."""
        return len(self._statuses)

    def read(self) -> Mapping[str, int]:
        """Return the current number of services with each status; 0 for a status that no service has."""
        mirror = self._mirror
        if mirror.version == self._version:
            return self._counts
        seen, self._version = self._version, mirror.version
        if mirror.listing != self._listing:
            self._listing = mirror.listing
            for service_id in self._statuses.keys() - mirror.entries.keys():
                self._counts[self._statuses.pop(service_id)] -= 1
        for service_id in mirror.changed_after(seen):
            self._count(service_id, _status_of(mirror.entries[service_id]))
        return self._counts

    def _count(self, service_id: str, status: str) -> None:
        before = self._statuses.get(service_id)
        if before == status:
            return
        if before is not None:
            self._counts[before] -= 1
        self._counts[status] += 1
        self._statuses[service_id] = status


def _status_of(entry: Entry) -> str:
    """Return the same as `rows.status_of(entry.as_heard())`, without the record that this creates."""
    return "down" if entry.is_down() else entry.service.status
