"""The gateway's copy of the registry's data, from which every answer is read: services, the newest events, and the
frames that subscribers follow. Pure.

Upstream writes the registry's changes and acknowledgements to it. Consumers read it, each with its own cursor
(`reader.Reader`), and change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from tron_client.models import Event, Service

from gateway_http.replica.entry import Reported
from gateway_http.replica.frames import FrameLog, PendingFrame, Update
from gateway_http.replica.freshness import Freshness
from gateway_http.replica.mirror import Mirror
from gateway_http.replica.tail import KEPT, EventTail
from grid_hosting.watermark import Watermark


class Replica:
    """The gateway's copy of the registry's data. Reading the copy never waits and never fails."""

    def __init__(self, monotonic: Callable[[], float], alert_types: Sequence[str] = ()) -> None:
        """`monotonic`: a clock that returns seconds. `alert_types`: the types of events that are also kept separately,
        so that many other events do not displace them."""
        self.alert_types = tuple(alert_types)
        self.mirror = Mirror()
        self.tail = EventTail()
        self.alerts = EventTail()
        self.frames = FrameLog()
        self.freshness = Freshness(monotonic)
        self.news = Watermark()
        """Grows when readers may find something new."""
        self.unframed = Watermark()
        """Grows when a change is recorded that no frame contains yet."""
        self._pending = PendingFrame()
        self._framed_live = False
        self._services: tuple[int, Mapping[str, Service]] = (-1, MappingProxyType({}))
        self._as_heard: tuple[int, Mapping[str, Service]] = (-1, MappingProxyType({}))

    # --- readers ----------------------------------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether the first snapshot is complete. Until then the replica has no data, which does not mean that there
        are no services."""
        return self.mirror.loaded

    @property
    def live(self) -> bool:
        """Whether the replica is current: the registry's changes arrive as they happen."""
        return self.freshness.live

    @property
    def stale_for(self) -> float:
        """The seconds since the replica was last known to be current; 0 if it is current now."""
        return self.freshness.stale_for

    def now(self) -> datetime:
        """Return the current time by the registry's clock."""
        return self.freshness.now()

    @property
    def revision(self) -> int:
        """The revision of the registry up to which the replica contains all changes."""
        return self.mirror.revision

    @property
    def services(self) -> Mapping[str, Service]:
        """Return all services by id, with their newest `last_heartbeat_at`; the mapping does not change while a reader
        uses it."""
        version = self.mirror.version
        if self._services[0] != version:
            entries = self.mirror.entries
            found = {service_id: entry.current() for service_id, entry in entries.items()}
            self._services = (version, MappingProxyType(found))
        return self._services[1]

    @property
    def services_as_heard(self) -> Mapping[str, Service]:
        """Return all services by id, for the legacy ports. A DOWN that an acknowledged heartbeat has made obsolete is
        replaced by UNKNOWN."""
        version = self.mirror.version
        if self._as_heard[0] != version:
            found = {service_id: entry.as_heard() for service_id, entry in self.mirror.entries.items()}
            self._as_heard = (version, MappingProxyType(found))
        return self._as_heard[1]

    def service(self, service_id: str) -> Service | None:
        """Return one service; None if it is not registered."""
        entry = self.mirror.entries.get(service_id)
        return None if entry is None else entry.current()

    def record(self, service_id: str) -> Service | None:
        """Return one service, perhaps without the newest reported values and the time of the newest heartbeat; None if
        it is not registered. This takes less time than `service`."""
        entry = self.mirror.entries.get(service_id)
        return None if entry is None else entry.record

    @property
    def events(self) -> Sequence[Event]:
        """Return the newest events of the event log, oldest first; at most 1000."""
        return self.tail.newest(KEPT)

    def since(self, revision: int | None) -> Update:
        """Return the changes after a revision as one update: a snapshot if `revision` is None or too old, and an empty
        update if no snapshot has been received yet."""
        changes = self.mirror.since(revision) if self.loaded else None
        if changes is None:
            return Update(0, live=False, stale_for=self.stale_for)
        return Update(
            changes.revision,
            snapshot=changes.snapshot,
            upserted=changes.upserted,
            removed=changes.removed,
            live=self.live,
            stale_for=self.stale_for,
        )

    # --- what the watch delivers------------------------------------------------------------------------------------

    def begin_snapshot(self) -> None:
        """Begin to receive a snapshot. Until it is complete, readers see the previous copy."""
        self.mirror.begin_snapshot()

    def upserted(self, revision: int, service: Service) -> None:
        """Record a state that the watch delivered: a service, and the revision of its change."""
        self.mirror.upsert(revision, service)
        self._changed(service.service_id)

    def removed(self, revision: int, service_id: str) -> None:
        """Record a removal that the watch delivered: the id of a service, and the revision of the removal."""
        self.mirror.remove(revision, service_id)
        self._changed(service_id)

    def heard(self, incarnations: Iterable[int], micros: Iterable[int]) -> None:
        """Record the times of the last heartbeats of these incarnations, in microseconds since the epoch."""
        for service_id in self.mirror.heard(incarnations, micros):
            self._pending.heard(service_id)

    def completed(self, revision: int) -> None:
        """Record that the watch has delivered all changes up to a revision; from now on it delivers changes as they
        happen."""
        mirror = self.mirror
        before, epoch, is_snapshot = mirror.revision, mirror.epoch, mirror.in_snapshot
        mirror.complete(revision)
        self.freshness.caught_up()
        if is_snapshot:
            changes = mirror.since(before if epoch == mirror.epoch else None)
            if changes.snapshot:
                self._pending.start_over()
            for service in changes.upserted:
                self._changed(service.service_id)
            for service_id in changes.removed:
                self._changed(service_id)
        self.unframed.step()
        self.news.step()

    def lost(self) -> None:
        """Record that the watch of the registry was interrupted."""
        self.freshness.lost()
        self.unframed.step()

    # --- what the event log delivers--------------------------------------------------------------------------------

    def log_read(self, events: Sequence[Event], alerts: Iterable[Event], last: int, first: int = 0) -> None:
        """Replace all events, because the event log was read again. `events`: its newest events; `alerts`: the newest
        alerts of the whole log; `last` and `first`: the sequence numbers of the newest and of the oldest event of the
        log."""
        self.alerts.restart((each for each in alerts if each.sequence <= last), last)
        self.tail.restart(events, last, whole=not events or not first or events[0].sequence <= first)
        self.news.step()

    def logged(self, event: Event) -> None:
        """Record the next event of the event log, which the subscription delivered."""
        self.tail.append(event)
        if event.type in self.alert_types:
            self.alerts.append(event)
        self.news.step()

    # --- what we know before the watch does -------------------------------------------------------------------------

    def beaten(self, before: Service, reported: Reported, heard_at: datetime, revision: int) -> None:
        """Record that the registry acknowledged a relayed heartbeat at a revision. `before`: the service as it was
        known when the heartbeat was sent; `reported`: the values that the heartbeat reported."""
        self.mirror.beaten(before, reported, heard_at, revision)
        self._pending.heard(before.service_id)

    def registered(self, service: Service, revision: int) -> None:
        """Record that the registry acknowledged a registration. `service`: the record of the service at `revision`."""
        self.mirror.registered(service, revision)
        self._changed(service.service_id)

    def known(self, service: Service, revision: int) -> None:
        """Record a service that was read directly from the registry at a revision."""
        self.mirror.known(service, revision)
        self._changed(service.service_id)

    def deregistered(self, service_id: str, revision: int) -> None:
        """Record that the registry acknowledged the removal of a service at a revision."""
        self.mirror.deregistered(service_id, revision)
        self._changed(service_id)

    def promoted(self, name: str, from_role: str, to_role: str, revision: int) -> None:
        """Record that the registry acknowledged a promotion: all services with this name and the role `from_role` now
        have the role `to_role`."""
        for service_id in self.mirror.promoted(name, from_role, to_role, revision):
            self._changed(service_id)

    # --- frames -----------------------------------------------------------------------------------------------------

    @property
    def is_liveness_framed(self) -> bool:
        """Whether the newest frame contains the current value of `live`."""
        return self.live == self._framed_live

    @property
    def has_heard(self) -> bool:
        """Whether heartbeats arrived since the last frame."""
        return self._pending.has_heard

    def make_frame(self) -> None:
        """Put all changes since the last frame into one frame. Does nothing if no snapshot has been received yet."""
        if not self.loaded:
            return
        self._framed_live = self.live
        frame = self._pending.take(self.mirror.entries, self.revision, live=self._framed_live, stale_for=self.stale_for)
        self.frames.append(frame)
        self.news.step()

    def _changed(self, service_id: str) -> None:
        self._pending.changed(service_id, is_there=service_id in self.mirror.entries)
        self.unframed.step()
