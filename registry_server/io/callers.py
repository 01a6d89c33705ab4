"""Finds the rights of the caller whose call is being handled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from grid_model.access import LOCAL, ON_BEHALF_OF, Principal
from grid_model.errors import PermissionDenied

from grid_hosting.access.audit import AuditKind, AuditRecord
from grid_hosting.auditing import record_of
from grid_hosting.open_calls import current_principal, current_relay
from registry_server.core.publish_rate import PublishRate
from registry_server.core.reading_rights import ReadingRights, reading_rights
from registry_server.core.rights import Rights
from registry_server.io.loop import RegistryLoop

Context = grpc.aio.ServicerContext[Any, Any]

HEARTBEAT = "/grid.registry.v1.RegistryService/Heartbeat"


class Callers:
    """Finds the rights of each caller of one registry."""

    def __init__(
        self,
        loop: RegistryLoop,
        find: Callable[[str], Principal | None] = lambda name: None,
        refused: Callable[[AuditRecord], None] | None = None,
    ) -> None:
        """`find` returns the principal with a name, with its current grants; None if there is no such principal or it
        may not act. `refused` receives the audit record of each refusal."""
        self._loop = loop
        self._refused = refused
        self._find = find
        self._rate = PublishRate()

    def refused(self, context: Context, service_id: str, error: str, on_behalf_of: str = "") -> None:
        """Record in the audit log that an agent was refused on the current stream; do nothing without authentication.
        `error` is the error reason. `on_behalf_of` is the principal for which a relay sent the message."""
        if self._refused is not None and current_principal() is not LOCAL:
            outcome = error.removeprefix("ERROR_REASON_")
            record = record_of(
                AuditKind.REFUSAL, HEARTBEAT, context, service_id, outcome, named=on_behalf_of, find=self._find
            )
            self._refused(record)

    def rights(self, context: Context) -> Rights | None:
        """Return the rights of the caller; None if it may do everything. Raises PermissionDenied if the caller is not
        allowed to speak for the principal for which it makes the call."""
        principal = current_principal()
        if principal is LOCAL:
            return None
        registry, relay = self._loop.registry, current_relay()
        rights = Rights(registry, principal, find=self._find, rate=self._rate, forwarded_by=relay)
        named = [value for name, value in context.invocation_metadata() or () if name == ON_BEHALF_OF]
        if len(named) > 1:
            raise PermissionDenied(f"the metadata contains {ON_BEHALF_OF} {len(named)} times; only one is allowed")
        for value in named:
            rights = rights.speaking_for(value if isinstance(value, str) else value.decode("utf-8", "replace"))
        return rights

    def reading(self, context: Context) -> ReadingRights | None:
        """Return what the caller may read; None if it may read everything."""
        return reading_rights(self._loop.registry, self.rights(context))
