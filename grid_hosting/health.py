"""The gRPC service grpc.health.v1, with which probes ask a server for its health.

Each watch reads the state and waits on its own: the servicer of the library writes to its watchers under one lock, so
that one client that does not read delays all others, and the end of the program.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import grpc
from grid_model.errors import Draining, QuotaExceeded, ServiceNotFound
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid_hosting.watermark import Watermark

Context = grpc.aio.ServicerContext[Any, Any]
Status = health_pb2.HealthCheckResponse
StatusOf = Callable[[str], int | None]
"""Returns the health of a name; None if nothing has this name."""

MAX_WATCHES = 5000


class HealthState(Protocol):
    """What a server knows about health."""

    @property
    def changes(self) -> Watermark:
        """Rises when any health may have changed."""
        ...

    @property
    def draining(self) -> bool:
        """True once the server stops; `changes` was woken after that."""
        ...

    def seen_by(self, context: Context) -> StatusOf:
        """Return what the caller of the handler that runs now may know."""
        ...


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """Answers from the state of the server; keeps no copy that could become stale."""

    def __init__(self, state: HealthState) -> None:
        self._state = state
        self.watches = 0
        """The number of open watches."""

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Return the current health; NOT_FOUND for an unknown name, and for a service that the caller may not read."""
        status = self._state.seen_by(context)(request.service)
        if status is None:
            raise ServiceNotFound(f"no gRPC service and no registered service has the id {request.service!r}")
        return Status(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yield the health now, and at each change; SERVICE_UNKNOWN for a name that is not registered (yet). A slow
        reader misses what was between two reads."""
        if self.watches >= MAX_WATCHES:
            raise QuotaExceeded(f"{MAX_WATCHES} probes watch; no more are allowed")
        state = self._state
        status_of = state.seen_by(context)
        self.watches += 1
        last: int | None = None
        try:
            while True:
                seen = state.changes.value
                status = status_of(request.service)
                if status is None:
                    status = Status.SERVICE_UNKNOWN
                if status != last:
                    last = status
                    yield Status(status=status)
                if state.draining:
                    raise Draining("the server is going away")
                await state.changes.beyond(seen)
        finally:
            self.watches -= 1
