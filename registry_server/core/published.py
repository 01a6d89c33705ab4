"""Decides what readers see of each service, and when: at once, or in parts between other work. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from grid_model.liveness import Liveness, LivenessCause
from grid_model.service import Maintenance

from registry_server.core.changes import ChangeLog
from registry_server.core.record import Record
from registry_server.core.service import Service

PART = 250
"""Number of services in one part of the work over all services, which takes 1 to 2 ms."""


class Backlog:
    """Services that wait to be handled in parts, each once, oldest first."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, service_id: str) -> None:
        """Add a service."""
        self._ids[service_id] = None

    def add_all(self, service_ids: Iterable[str]) -> None:
        """Discard the services that wait, and let the services with these ids wait instead."""
        self._ids = dict.fromkeys(service_ids)

    def discard(self, service_id: str) -> None:
        """Remove a service."""
        if self._ids:
            self._ids.pop(service_id, None)

    def take(self, limit: int) -> list[str]:
        """Remove and return up to `limit` services."""
        taken = list(islice(self._ids, limit))
        for service_id in taken:
            del self._ids[service_id]
        return taken


class Published:
    """The services as readers see them."""

    def __init__(
        self, changes: ChangeLog, records: Mapping[str, Record], maintenance: Mapping[str, Maintenance]
    ) -> None:
        self.watched = False
        """Whether TRON is watching; if not, the liveness of all services is UNKNOWN."""
        self._changes = changes
        self._records = records
        self._maintenance = maintenance
        self._liveness = Backlog()
        self._figures = Backlog()

    def view(self, record: Record) -> Service:
        """Return a service as readers see it. While TRON is not watching, the last verdict is not shown."""
        judgement = record.judgement
        known = self.watched
        return Service(
            spec=record.spec,
            incarnation=record.incarnation,
            registered_at=record.registered_at,
            last_heartbeat_at=record.last_heartbeat_at,
            connected=record.session is not None,
            report=record.report,
            liveness=judgement.liveness if known else Liveness.UNKNOWN,
            cause=judgement.cause if known else LivenessCause.NONE,
            since=judgement.since,
            maintenance=self._maintenance.get(record.spec.service_id),
        )

    def as_heard(self, shown: Service) -> Service:
        """Return a service as readers last saw it (`shown`), with newer values that cause no revision: the time of its
        last heartbeat, and its newest figures. Return `shown` itself if its incarnation is no longer the current
        one."""
        record = self._records.get(shown.spec.service_id)
        if record is None or record.incarnation != shown.incarnation:
            return shown
        if self._changes.newest(shown.spec.service_id) is shown:
            return self.view(record)
        said = shown.report
        report = replace(record.report, status=said.status, message=said.message, busy_until=said.busy_until)
        return replace(shown, last_heartbeat_at=record.last_heartbeat_at, report=report)

    def show(self, record: Record) -> Service:
        """Show readers the current state of a service; return the service as they see it."""
        service_id = record.spec.service_id
        self._liveness.discard(service_id)
        self._figures.discard(service_id)
        shown = self.view(record)
        self._changes.upsert(service_id, shown)
        return shown

    def show_later(self, service_id: str) -> None:
        """Show readers the service at the next `show_figures`, because only its load figures changed."""
        self._figures.add(service_id)

    def set_watched(self, watched: bool) -> None:
        """Record whether TRON is watching. If that changed, the liveness of all services changes for readers."""
        if watched != self.watched:
            self.watched = watched
            self._liveness.add_all(self._records)
            self.show_liveness()

    def show_liveness(self, limit: int = PART) -> bool:
        """Show readers up to `limit` services whose liveness became known or unknown, because TRON started or stopped
        watching. Return whether more services wait."""
        return self._show(self._liveness, limit)

    def show_figures(self, limit: int = PART) -> bool:
        """Show readers up to `limit` services with new load figures. Each service changes once, however many heartbeats
        arrived. Return whether more services wait."""
        return self._show(self._figures, limit)

    def _show(self, waiting: Backlog, limit: int) -> bool:
        for service_id in waiting.take(limit):
            record = self._records.get(service_id)
            if record is not None:
                self.show(record)
        return bool(waiting)
