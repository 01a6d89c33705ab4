"""Records which owner each service id belongs to: the group, or the principal, that first registered it. Pure.

An owner outlives every registration: it stays for 30 days (`upkeep`) after the service was removed, so that no other
principal can register the id and receive the alerts that wait for it. Ids that were only ever registered without
authentication have no owner; the first authenticated principal that registers such an id, or sends its heartbeats,
becomes the owner.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from registry_server.core.effects import DropOwner, PutOwner
from registry_server.core.outgoing import Outgoing
from registry_server.core.service import OwnedId

V = TypeVar("V")

MOST_REMOVED = 10_000
"""Maximum number of ids of removed services that are kept for one owner. Overflow rule: the id whose service was
removed first no longer has an owner. So an owner can lose only ids of its own."""

RELEASED = 500
"""Maximum number of ids that are released together when their time is over; the others follow at the next check."""


class Ownership:
    """Stores the owner of each service id."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self.version = 0
        """A number that grows with each id that gets another owner or none."""
        self._owners: dict[str, str] = {}
        self._ids: dict[str, dict[str, None]] = {}
        """All ids of each owner."""
        self._removed: dict[str, dict[str, float]] = {}
        """For each owner: the ids of removed services, and when they were removed, in seconds since the epoch; the
        earliest removal comes first."""

    def __len__(self) -> int:
        return len(self._owners)

    def restore(self, owned: Iterable[OwnedId]) -> None:
        """Restore the stored owners; `owned` must be in the order of the removals."""
        for each in owned:
            self._put(each)

    def owner_of(self, service_id: str) -> str:
        """Return the owner of an id; empty if it has none."""
        return self._owners.get(service_id, "")

    def ids_of(self, owner: str) -> Iterable[str]:
        """Return the ids of an owner, including those of services that are no longer registered."""
        return self._ids.get(owner, {}).keys()

    def count_registered(self, owner: str) -> int:
        """Return how many registered services have ids of an owner."""
        return len(self._ids.get(owner, ())) - len(self._removed.get(owner, ()))

    def registered(self, service_id: str, owner: str) -> None:
        """Record that `owner` registers a service; the caller has checked that the id has no other owner. If `owner` is
        empty, the owner of the id does not change."""
        owner = owner or self._owners.get(service_id, "")
        if owner and (self._owners.get(service_id) != owner or service_id in self._removed.get(owner, ())):
            self._write(OwnedId(service_id, owner))

    def removed(self, service_id: str, at: float) -> None:
        """Record that a service was removed at this time, in seconds since the epoch. Do nothing if its id has no
        owner."""
        owner = self._owners.get(service_id)
        if owner is None:
            return
        self._write(OwnedId(service_id, owner, at))
        removed = self._removed[owner]
        while len(removed) > MOST_REMOVED:
            self.release(next(iter(removed)))

    def release(self, service_id: str) -> str:
        """End the ownership of an id. Return the owner; empty if it had none."""
        owner = self._owners.pop(service_id, "")
        if owner:
            self.version += 1
            _drop(self._ids, owner, service_id)
            _drop(self._removed, owner, service_id)
            self._outgoing.write(DropOwner(service_id))
        return owner

    def removed_before(self, oldest: float) -> list[str]:
        """Return at most RELEASED ids of services that were removed before `oldest`, in seconds since the epoch."""
        found: list[str] = []
        for removed in self._removed.values():
            for service_id, at in removed.items():
                if at >= oldest or len(found) >= RELEASED:
                    break
                found.append(service_id)
        return found

    def _write(self, owned: OwnedId) -> None:
        self._put(owned)
        self._outgoing.write(PutOwner(owned))

    def _put(self, owned: OwnedId) -> None:
        service_id, owner = owned.service_id, owned.owner
        before = self._owners.get(service_id)
        if before != owner:
            self.version += 1
        if before is not None and before != owner:
            _drop(self._ids, before, service_id)
        if before is not None:
            _drop(self._removed, before, service_id)
        self._owners[service_id] = owner
        self._ids.setdefault(owner, {})[service_id] = None
        if owned.removed_at is not None:
            self._removed.setdefault(owner, {})[service_id] = owned.removed_at


def _drop(table: dict[str, dict[str, V]], owner: str, service_id: str) -> None:
    ids = table.get(owner)
    if ids is not None:
        ids.pop(service_id, None)
        if not ids:
            del table[owner]
