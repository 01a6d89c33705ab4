"""Writes to the registry. Each returns the revision of its change, so that the replica can recognize older changes."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc, service_pb2
from tron_client import Service, words
from tron_client.errors import from_rpc_error

CALL_TIMEOUT = 5.0
"""Timeout of one call in seconds; legacy clients wait this long, too."""


class RegistryWrites:
    """The calls with which the gateway changes data in the registry. Each call raises the errors of the SDK. A returned
    revision is 0 if the registry does not send it."""

    def __init__(self, callers: grpc.aio.Channel, own: grpc.aio.Channel) -> None:
        """`callers`: the channel for calls in the name of the caller; `own`: the channel for calls in the name of the
        gateway."""
        self._callers = registry_service_pb2_grpc.RegistryServiceStub(callers)
        self._own = registry_service_pb2_grpc.RegistryServiceStub(own)

    async def register(self, declared: service_pb2.Service) -> tuple[Service, int]:
        """Register a service as a legacy client declared it; return its record, and the revision of that record."""
        # With an instance id, a retry by the transport is the same registration.
        word = uuid.uuid4().hex
        request = registry_service_pb2.RegisterRequest(service=declared, instance_id=word, as_sent=True)
        answer = await self._call(self._callers.Register, request)
        return Service.from_proto(answer.service), answer.revision

    async def get_service(self, service_id: str) -> tuple[Service, int]:
        """Read a service directly from the registry; return its record, and the revision of that record. Raises
        ServiceNotFound."""
        # For the replica, which must not keep the part that a caller may see.
        wanted = registry_service_pb2.GetServiceRequest(service_id=service_id)
        answer = await self._call(self._own.GetService, wanted)
        return Service.from_proto(answer.service), answer.revision

    async def deregister(self, service_id: str, reason: str) -> int:
        """Deregister a service; return the revision of its removal. Raises ServiceNotFound."""
        request = registry_service_pb2.DeregisterRequest(service_id=service_id, reason=reason, with_revision=True)
        revision: int = (await self._call(self._callers.Deregister, request)).revision
        return revision

    async def promote(self, name: str, from_role: str, to_role: str) -> tuple[int, int]:
        """Change the role of all services with this name and the role `from_role`; return their number, and the
        revision of the change. Raises ServiceNotFound if there are none."""
        request = registry_service_pb2.PromoteRequest(
            name=name,
            from_role=words.ROLES.number(from_role),
            to_role=words.ROLES.number(to_role),
            with_revision=True,
        )
        answer = await self._call(self._callers.Promote, request)
        return answer.updated_instances, answer.revision

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=CALL_TIMEOUT)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
