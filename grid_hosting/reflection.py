"""Server reflection with a feature that grpcio's own lacks: a method can be described by its full name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from grpc_reflection.v1alpha import reflection

SERVICE_NAME: str = reflection.SERVICE_NAME


class MethodAwarePool:
    """The default descriptor pool, which also finds the file of `package.Service.Method`."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> Any:
        """Return the file of a message, enum, service, or method. Raises KeyError if there is none."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service_name, _, method = symbol.rpartition(".")
            service = self._pool.FindServiceByName(service_name)
            if method not in service.methods_by_name:
                raise
            return service.file


def enable_reflection(services: Iterable[str], server: grpc.aio.Server) -> None:
    """Enable reflection on `server` for these gRPC services, and for reflection itself."""
    reflection.enable_server_reflection((*services, SERVICE_NAME), server, pool=MethodAwarePool())
