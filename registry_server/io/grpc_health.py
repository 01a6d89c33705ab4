"""The gRPC service grpc.health.v1: for the server, for each gRPC service, and for each registered agent by its
service_id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grid_model.errors import Draining, QuotaExceeded, ServiceNotFound
from grid_model.liveness import Liveness
from grid_model.service import ServiceStatus
from grpc_health.v1 import health_pb2, health_pb2_grpc

from registry_server.core.reading_rights import Access, ReadingRights
from registry_server.io.callers import Callers
from registry_server.io.loop import RegistryLoop

Context = grpc.aio.ServicerContext[Any, Any]
Status = health_pb2.HealthCheckResponse

OWN_SERVICES = frozenset(
    {"", "grid.registry.v1.RegistryService", "grid.events.v1.EventService", "grid.access.v1.AccessService"}
)
TRON_SERVICE = "grid.tron.v1.TronService"
MAX_WATCHERS = 5000

_SICK = frozenset({ServiceStatus.DOWN, ServiceStatus.ERROR})


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers from the registry's state; keeps no copy that could become stale."""

    def __init__(self, loop: RegistryLoop, callers: Callers) -> None:
        self._loop = loop
        self._callers = callers
        self._watchers = 0

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Return the current health; NOT_FOUND for an unknown name, and for a service that the caller may not read."""
        status = self._status(request.service, self._callers.reading(context))
        if status is None:
            raise ServiceNotFound(f"no gRPC service and no registered service has the id {request.service!r}")
        return Status(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yield the health now, and at each change; SERVICE_UNKNOWN for a name that is not registered (yet)."""
        if self._watchers >= MAX_WATCHERS:
            raise QuotaExceeded(f"{MAX_WATCHERS} probes watch; no more are allowed")
        reading = self._callers.reading(context)
        self._watchers += 1
        last: int | None = None
        try:
            while True:
                revision = self._loop.revisions.value
                status = self._status(request.service, reading)
                if status is None:
                    status = Status.SERVICE_UNKNOWN
                if status != last:
                    last = status
                    yield Status(status=status)
                if self._loop.draining:
                    raise Draining("the registry is going away")
                await self._loop.revisions.beyond(revision)
        finally:
            self._watchers -= 1

    def _status(self, name: str, reading: ReadingRights | None) -> int | None:
        loop = self._loop
        if name in OWN_SERVICES:
            return int(Status.NOT_SERVING if loop.draining else Status.SERVING)
        if name == TRON_SERVICE:
            return int(Status.SERVING if loop.registry.watched else Status.NOT_SERVING)
        record = loop.registry.records.get(name)
        if record is None or (reading is not None and reading.access(name) is Access.NONE):
            return None
        liveness = loop.registry.view(record).liveness
        if liveness is Liveness.UNKNOWN:
            return int(Status.UNKNOWN)
        well = liveness is Liveness.ALIVE and record.report.status not in _SICK
        return int(Status.SERVING if well else Status.NOT_SERVING)
