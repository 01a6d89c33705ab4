"""The copy of the registry's services: the changes that the watch delivered, and the writes that the registry
acknowledged. Pure.

A client must see an acknowledged change at once, and a change that the watch delivers late must not undo it. So each
acknowledged write enters the copy with its revision, and older changes from the watch are recognized and ignored. A
heartbeat has no revision of its own. So the copy keeps the values that an acknowledged heartbeat reported until a
change arrives that is known to contain them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from grid_model import wire
from tron_client.models import Service

from gateway_http.replica.entry import Entry, Reported, merged, overtake

MOST_REMOVED = 10_000
"""Maximum number of removed services that are remembered. Overflow rule: the oldest is forgotten, and a reader that has
not seen its removal gets a snapshot instead."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that a reader has not seen: all services if `snapshot` is True, and otherwise only the changed and
    the removed ones."""

    revision: int
    snapshot: bool
    upserted: tuple[Service, ...]
    removed: tuple[str, ...]


class Mirror:
    """The gateway's copy of all services, by id. It contains all changes up to `revision`. A snapshot replaces the copy
    only when it is complete."""

    def __init__(self) -> None:
        self.revision = 0
        self.loaded = False
        self.entries: dict[str, Entry] = {}
        self.epoch = 0
        """Grows when the registry starts its revisions over: revisions from different epochs cannot be compared."""
        self.version = 0
        """Grows with every change that a reader can see."""
        self.listing = 0
        """Grows when the set of services, or their order, may have changed."""
        self._changed_at: dict[str, int] = {}
        """The version of the last change of each service, oldest change first."""
        self._by_incarnation: dict[int, Entry] = {}
        self._incoming: dict[str, Service] | None = None
        self._removed: deque[tuple[int, Service]] = deque()
        self._last_seen: dict[str, tuple[int, Service]] = {}
        self._compacted = 0
        self._ahead: dict[str, int] = {}
        """Services that are known as of a revision that the watch has not reached yet: older changes from the watch are
        ignored."""
        self._promotions: list[tuple[int, str, str, str]] = []
        """Promotions that the watch has not delivered yet: revision, name, from and to."""

    # --- what the watch delivers------------------------------------------------------------------------------------

    @property
    def in_snapshot(self) -> bool:
        """Whether a snapshot is being received."""
        return self._incoming is not None

    def begin_snapshot(self) -> None:
        """Begin to receive a snapshot. Until it is complete, readers see the previous copy."""
        self._incoming = {}

    def upsert(self, revision: int, service: Service) -> None:
        """Record a state that the watch delivered: a service, and the revision of its change. The state is ignored if a
        newer one is known."""
        if self._incoming is not None:
            self._incoming[service.service_id] = service
            return
        if self._is_old(revision, service.service_id):
            self._advance(revision)
            return
        service = self._with_promotions(revision, service)
        before = self.entries.get(service.service_id)
        if before is None or (before.record.name, before.record.role) != (service.name, service.role):
            self.listing += 1
        self._put(merged(revision, service, before))
        self._advance(revision)

    def remove(self, revision: int, service_id: str) -> None:
        """Record a removal that the watch delivered: the id of a service, and the revision of the removal. The removal
        is ignored if a newer state of the service is known."""
        if self._incoming is not None:
            self._incoming.pop(service_id, None)
            return
        if not self._is_old(revision, service_id):
            self._drop(revision, service_id)
        self._advance(revision)

    def complete(self, revision: int) -> None:
        """Record that the snapshot is complete, and remove the services that it did not contain."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            self._replace(revision, incoming)
        self.loaded = True
        self._advance(revision)

    def heard(self, incarnations: Iterable[int], micros: Iterable[int]) -> list[str]:
        """Record the times of the last heartbeats of these incarnations, in microseconds since the epoch. Return the
        ids of the services whose time became newer."""
        news: list[str] = []
        for incarnation, at in zip(incarnations, micros, strict=True):
            entry = self._by_incarnation.get(incarnation)
            if entry is None:
                continue
            moment = wire.moment_at_micros(at)
            if moment > entry.heard_at:
                entry.heard_at = moment
                self._touch(entry.record.service_id)
                news.append(entry.record.service_id)
        if news:
            self.version += 1
        return news

    # --- what we know before the watch does -------------------------------------------------------------------------

    def beaten(self, before: Service, reported: Reported, heard_at: datetime, revision: int) -> None:
        """Record that the registry acknowledged a heartbeat at a revision. `before`: the service as it was known when
        the heartbeat was sent; `reported`: the values that the heartbeat reported."""
        entry = self.entries.get(before.service_id)
        if entry is None:
            return
        entry.beaten(reported, heard_at, revision)
        if before.liveness == "DOWN":
            entry.overtaken = before.liveness_since
        overtake(entry)
        self._touch(before.service_id)
        self.version += 1

    def registered(self, service: Service, revision: int) -> None:
        """Record that the registry acknowledged a registration. `service`: the record of the service at `revision`."""
        self.known(service, revision)
        entry = self.entries.get(service.service_id)
        if entry is not None and entry.record.incarnation == service.incarnation and service.liveness == "DOWN":
            entry.overtaken = service.liveness_since
            self._touch(service.service_id)
            self.version += 1

    def known(self, service: Service, revision: int) -> None:
        """Record a service that was read from the registry at a revision. The record is ignored if this incarnation or
        a newer one is already known, or if the removal of the service at this revision or a later one is known."""
        before = self.entries.get(service.service_id)
        removed_at = self._last_seen[service.service_id][0] if service.service_id in self._last_seen else -1
        if (before is not None and before.record.incarnation >= service.incarnation) or 0 < revision <= removed_at:
            return
        self._ahead[service.service_id] = revision
        self._put(merged(revision or self.revision, service, before))
        self.listing += 1
        self.version += 1

    def deregistered(self, service_id: str, revision: int) -> None:
        """Record that the registry acknowledged the removal of a service at a revision."""
        entry = self.entries.get(service_id)
        if entry is not None and entry.revision > revision > 0:
            return  # it came back, as the watch has already delivered
        self._ahead[service_id] = revision
        if entry is not None:
            self._drop(revision or self.revision, service_id)
            self.version += 1

    def promoted(self, name: str, from_role: str, to_role: str, revision: int) -> list[str]:
        """Record that the registry acknowledged a promotion: all services with this name and the role `from_role` now
        have the role `to_role`. Return the ids of the services that changed in the copy."""
        if revision > self.revision:
            self._promotions.append((revision, name, from_role, to_role))
        found = [
            entry
            for entry in self.entries.values()
            if (entry.record.name, entry.record.role) == (name, from_role) and entry.revision <= revision
        ]
        for entry in found:
            entry.service = replace(entry.service, role=to_role)
            self._touch(entry.record.service_id)
        if found:
            self.listing += 1
            self.version += 1
        return [entry.record.service_id for entry in found]

    # --- readers ----------------------------------------------------------------------------------------------------

    def last_seen(self, service_id: str) -> Service | None:
        """Return the last known record of a service, even if the service was removed recently; None if it is not
        known."""
        entry = self.entries.get(service_id)
        if entry is not None:
            return entry.current()
        return self._last_seen[service_id][1] if service_id in self._last_seen else None

    def changed_after(self, version: int) -> list[str]:
        """Return the ids of the existing services that changed after `version` of this mirror, in any order. Each
        consumer remembers the version that it saw last."""
        found: list[str] = []
        for service_id in reversed(self._changed_at):
            if self._changed_at[service_id] <= version:
                break
            found.append(service_id)
        return found

    def since(self, revision: int | None) -> Changes:
        """Return the changes after a revision of the registry. Return a snapshot if `revision` is None, or if the
        changes are no longer known."""
        if revision is None or not self._compacted <= revision <= self.revision:
            return Changes(self.revision, True, tuple(each.current() for each in self.entries.values()), ())
        upserted = tuple(each.current() for each in self.entries.values() if each.revision > revision)
        removed = {service.service_id: None for at, service in self._removed if at > revision}
        gone = tuple(service_id for service_id in removed if service_id not in self.entries)
        return Changes(self.revision, False, upserted, gone)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _replace(self, revision: int, incoming: dict[str, Service]) -> None:
        is_new_epoch = revision < self.revision
        if not is_new_epoch:
            # The snapshot is older than what was acknowledged.
            self._ahead = {service_id: at for service_id, at in self._ahead.items() if at > revision}
            for service_id in self._ahead:
                incoming.pop(service_id, None)
        for service_id in [each for each in self.entries if is_new_epoch or each not in incoming]:
            if is_new_epoch or service_id not in self._ahead:
                self._drop(revision, service_id)
        if is_new_epoch:
            self.epoch += 1
            self.revision = 0
            self._removed.clear()
            self._ahead.clear()
            self._promotions.clear()
        if is_new_epoch or not self.loaded:
            self._compacted = revision
        for service_id, service in incoming.items():
            before = self.entries.get(service_id)
            after = merged(revision, self._with_promotions(revision, service), before)
            if before is not None and before.current() == after.current():
                after.revision = before.revision  # nothing changed about it, so no reader needs it
            self._put(after)
        self.listing += 1

    def _touch(self, service_id: str) -> None:
        """Record that a service changed; the caller then assigns the version that contains the change."""
        self._changed_at.pop(service_id, None)
        self._changed_at[service_id] = self.version + 1

    def _put(self, entry: Entry) -> None:
        service = entry.record
        before = self.entries.get(service.service_id)
        if before is not None and before.record.incarnation != service.incarnation:
            self._by_incarnation.pop(before.record.incarnation, None)
        self.entries[service.service_id] = entry
        self._touch(service.service_id)
        self._by_incarnation[service.incarnation] = entry
        self._last_seen.pop(service.service_id, None)

    def _drop(self, revision: int, service_id: str) -> None:
        entry = self.entries.pop(service_id, None)
        if entry is None:
            return
        self._by_incarnation.pop(entry.record.incarnation, None)
        self._changed_at.pop(service_id, None)
        self.listing += 1
        self._removed.append((revision, entry.current()))
        self._last_seen[service_id] = (revision, entry.service)
        while len(self._removed) > MOST_REMOVED:
            at, oldest = self._removed.popleft()
            self._compacted = max(self._compacted, at)
            if oldest.service_id in self._last_seen and self._last_seen[oldest.service_id][1] is oldest:
                del self._last_seen[oldest.service_id]

    def _is_old(self, revision: int, service_id: str) -> bool:
        """Return whether a change from the watch is older than the known state of the service."""
        known_at = self._ahead.get(service_id)
        if known_at is None:
            return False
        if revision < known_at:
            return True
        del self._ahead[service_id]
        return False

    def _with_promotions(self, revision: int, service: Service) -> Service:
        """Return the service with the promotions that this revision does not contain yet."""
        for at, name, from_role, to_role in self._promotions:
            if revision < at and (service.name, service.role) == (name, from_role):
                service = replace(service, role=to_role)
        return service

    def _advance(self, revision: int) -> None:
        self.revision = max(self.revision, revision)
        if self._promotions:
            self._promotions = [each for each in self._promotions if each[0] > self.revision]
        self.version += 1
