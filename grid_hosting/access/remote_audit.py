"""Sends the audit records of a server that is not the registry to the registry, which keeps the audit log."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grid.access.v1 import access_service_pb2, access_service_pb2_grpc
from tron_client.errors import from_rpc_error

from grid_hosting.access import audit_codec
from grid_hosting.access.audit import AuditRecord

ANSWER_WITHIN = 3.0
"""Timeout for one call, in seconds."""


class RemoteAudit:
    """Writes to the audit log of the registry. The channel sends the credential of this program."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = access_service_pb2_grpc.AccessServiceStub(channel)

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Send records to the registry, and return once the acts among them are on disk. Raises TronError."""
        request = access_service_pb2.AppendAuditRecordsRequest(records=map(audit_codec.encode, records))
        try:
            await self._stub.AppendAuditRecords(request, timeout=ANSWER_WITHIN)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
