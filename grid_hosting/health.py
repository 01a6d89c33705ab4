"""The gRPC service grpc.health.v1, with which probes ask a server for its health.

Each watch reads the state and waits independently of all others. The servicer of the grpc library writes to all
watchers under one lock, so one client that does not read would delay the others, and the end of the program.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import grpc
from grid_model.errors import Draining, FieldError, InvalidRequest, ServiceNotFound
from grpc_health.v1 import health_pb2, health_pb2_grpc

from grid_hosting.open_calls import current_principal
from grid_hosting.shares import Places
from grid_hosting.watermark import Watermark

Context = grpc.aio.ServicerContext[Any, Any]
Status = health_pb2.HealthCheckResponse
StatusOf = Callable[[str], Awaitable[int | None]]
"""A function that returns the health of the service with a name; None if nothing has this name."""

MAX_WATCHES = 5000

MOST_NAME = 512
"""Maximum number of characters in the name of a service. Anyone may ask without a credential, and a watch keeps the
name."""


class HealthState(Protocol):
    """Reports the health of a server and of its services."""

    @property
    def changes(self) -> Watermark:
        """A number that grows when any health may have changed."""
        ...

    @property
    def draining(self) -> bool:
        """Whether the server is shutting down. Readers that wait for `changes` are woken after this becomes true."""
        ...

    def seen_by(self, context: Context) -> StatusOf:
        """Return a function that gives the health of the services that the current caller may read."""
        ...


class HealthService(health_pb2_grpc.HealthServicer):  # type: ignore[misc]
    """The health service. It answers from the current state of the server, and keeps no copy that could become
    stale."""

    def __init__(self, state: HealthState) -> None:
        self._state = state
        self._places = Places(MAX_WATCHES, "health watches are open")

    @property
    def watches(self) -> int:
        """The number of open watches."""
        return self._places.taken

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        """Return the current health of a service. The answer is NOT_FOUND if the name is unknown, or if the caller may
        not read the service. Raises InvalidRequest if the name is too long to be one."""
        _check_name(request.service)
        status = await self._state.seen_by(context)(request.service)
        if status is None:
            raise ServiceNotFound(f"no gRPC service and no registered service has the id {request.service!r}")
        return Status(status=status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yield the health of a service now, and again at each change; SERVICE_UNKNOWN as long as the name is not
        registered. A slow reader misses changes that happen between two reads. Raises InvalidRequest, QuotaExceeded."""
        _check_name(request.service)
        state = self._state
        status_of = state.seen_by(context)
        last: int | None = None
        with self._places.one(current_principal()):
            while True:
                seen = state.changes.value
                status = await status_of(request.service)
                if status is None:
                    status = Status.SERVICE_UNKNOWN
                if status != last:
                    last = status
                    yield Status(status=status)
                if state.draining:
                    raise Draining("the server is shutting down")
                await state.changes.beyond(seen)


def _check_name(name: str) -> None:
    """Raise InvalidRequest if no service can have this name. The message does not contain the name."""
    if len(name) > MOST_NAME:
        raise InvalidRequest.of(FieldError("service", f"has {len(name)} characters; at most {MOST_NAME} are allowed"))
