"""Authenticates the callers of a gRPC server that is not the registry, and reports to the audit log of the registry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import grpc
from grid_model.access import Role

from grid_hosting.access.remote import RemoteAuthority
from grid_hosting.access.remote_audit import RemoteAudit
from grid_hosting.access.trail import AuditTrail
from grid_hosting.auditing import Auditing, TargetOf
from grid_hosting.authentication import Authentication
from grid_hosting.credential import CertificateRules


class RemoteAccess:
    """The interceptors for a gRPC server that is not the registry, and the task that keeps them current. The channel
    connects to the registry, and sends the credential of this program."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        roles: Mapping[str, frozenset[Role]],
        acts: Mapping[str, TargetOf],
        rules: CertificateRules,
        longest: timedelta | None = None,
    ) -> None:
        """For `roles`, `rules` and `longest`, see `Authentication`; for `acts`, see `Auditing`."""
        self.authority = RemoteAuthority(channel)
        self.trail = AuditTrail(RemoteAudit(channel).append)
        self.authentication = Authentication(self.authority, roles, rules, refused=self.trail.refused, longest=longest)
        self.auditing = Auditing(self.trail, acts)

    async def run(self) -> None:
        """Follow changes of principals, end streams whose credential is no longer valid, and write audit records, until
        cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in (self.authority, self.authentication, self.trail):
                tasks.create_task(each.run())
