"""The maintenance of services. While a service is under maintenance, alerts about it are held back. Maintenance is kept
by service id, even while the service is not registered. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grid_model.service import Maintenance

from registry_server.core.effects import DropMaintenance, PutMaintenance
from registry_server.core.outgoing import Outgoing
from registry_server.core.record import Record
from registry_server.core.service import Instant


class HeldNotices:
    """The services under maintenance. Its methods call `changed` with the record of an affected service, if the service
    is registered."""

    def __init__(self, records: Mapping[str, Record], outgoing: Outgoing) -> None:
        self.by_id: dict[str, Maintenance] = {}
        self._records = records
        self._outgoing = outgoing

    def hold(self, maintenance: Maintenance, changed: Callable[[Record], None]) -> None:
        """Put a service under maintenance."""
        self.by_id[maintenance.service_id] = maintenance
        self._outgoing.write(PutMaintenance(maintenance))
        self._notify(maintenance.service_id, changed)

    def release(self, service_id: str, changed: Callable[[Record], None]) -> None:
        """End the maintenance of a service; do nothing if it is not under maintenance."""
        if self.by_id.pop(service_id, None) is not None:
            self._outgoing.write(DropMaintenance(service_id))
            self._notify(service_id, changed)

    def release_due(self, now: Instant, changed: Callable[[Record], None]) -> None:
        """End each maintenance whose end (`until`) has passed."""
        for each in list(self.by_id.values()):
            if each.until is not None and each.until <= now.wall:
                self.release(each.service_id, changed)

    def all(self) -> list[Maintenance]:
        """Return the maintenance of all services, in the order of their ids."""
        return [self.by_id[each] for each in sorted(self.by_id)]

    def _notify(self, service_id: str, changed: Callable[[Record], None]) -> None:
        record = self._records.get(service_id)
        if record is not None:
            changed(record)
