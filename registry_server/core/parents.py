"""Decides which service is the parent of which service. A service may refuse services of other owners as its children.
Pure.

For TRON, a refused child is a service without a parent, so alerts about it go to the operators. Without authentication
no id has an owner, so nothing is refused.
"""

from __future__ import annotations

from grid_model.access import pattern_matches

from registry_server.core.directory import Directory
from registry_server.core.ownership import Ownership
from registry_server.core.record import Record


class Parents:
    """The parents of the registered services."""

    def __init__(self, directory: Directory, ownership: Ownership) -> None:
        self._directory = directory
        self._ownership = ownership

    def parent_of(self, record: Record) -> str:
        """Return the parent that a service declares; empty if it declares none, or if that parent refuses the service
        as its child."""
        declared = record.spec.parent
        if not declared or not self._directory.refusing:
            return declared
        parent = self._directory.resolve(declared)
        return "" if parent is not None and self.refuses(parent, record.spec.service_id) else declared

    def refuses(self, parent: Record, service_id: str, owner: str | None = None) -> bool:
        """Return whether `parent` refuses the service with this id as its child. `owner` is the owner of the child;
        None means the owner that its id has now."""
        if not parent.spec.refused_children:
            return False
        owner = self._ownership.owner_of(service_id) if owner is None else owner
        if owner == self._ownership.owner_of(parent.spec.service_id):
            return False
        return any(pattern_matches(pattern, service_id) for pattern in parent.spec.refused_children)
