"""Answers the standard health service: the health of the registry, of its gRPC services, of TRON, and of each
registered service by its service_id."""

from __future__ import annotations

from grid_model.liveness import Liveness
from grid_model.service import ServiceStatus

from grid_hosting.health import Context, Status, StatusOf
from grid_hosting.watermark import Watermark
from registry_server.core.reading_rights import Access, ReadingRights
from registry_server.io import answers
from registry_server.io.callers import Callers
from registry_server.io.loop import RegistryLoop

OWN_SERVICES = frozenset(
    {"", "grid.registry.v1.RegistryService", "grid.events.v1.EventService", "grid.access.v1.AccessService"}
)
TRON_SERVICE = "grid.tron.v1.TronService"

_SICK = frozenset({ServiceStatus.DOWN, ServiceStatus.ERROR})


class RegistryHealth:
    """Provides the state of the registry and of its services to the health service."""

    def __init__(self, loop: RegistryLoop, callers: Callers) -> None:
        self._loop = loop
        self._callers = callers

    @property
    def changes(self) -> Watermark:
        """A counter that rises when the state of any service has changed."""
        return self._loop.revisions

    @property
    def draining(self) -> bool:
        """Whether the registry is shutting down."""
        return self._loop.draining

    def seen_by(self, context: Context) -> StatusOf:
        """Return a function that returns the health of a service for this caller. For a service that the caller may not
        read, it returns None."""
        reading = self._callers.reading(context)
        return lambda name: self._status(name, reading)

    async def _status(self, name: str, reading: ReadingRights | None) -> int | None:
        loop = self._loop
        if name in OWN_SERVICES:
            return int(Status.NOT_SERVING if loop.draining else Status.SERVING)
        if name == TRON_SERVICE:
            return int(Status.SERVING if loop.registry.watched else Status.NOT_SERVING)
        if reading is not None and reading.access_by(await answers.ancestors(reading), name) is Access.NONE:
            return None
        record = loop.registry.records.get(name)
        if record is None:
            return None
        liveness = loop.registry.view(record).liveness
        if liveness is Liveness.UNKNOWN:
            return int(Status.UNKNOWN)
        well = liveness is Liveness.ALIVE and record.report.status not in _SICK
        return int(Status.SERVING if well else Status.NOT_SERVING)
