"""The audit log of the registry: its own acts and refusals, and those that other servers report."""

from __future__ import annotations

from grid_hosting.access.trail import AuditTrail as Trail
from registry_server.io.access import Access


class AuditTrail(Trail):
    """Stores records in access.db. Acts wait for the disk, refusals never do."""

    def __init__(self, access: Access) -> None:
        super().__init__(access.append_audit)
