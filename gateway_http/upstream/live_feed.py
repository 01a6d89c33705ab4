"""What the registry says, live, once for all requests and browsers: one watch, one event subscription."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType

import grpc
import structlog
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc
from tron_client import AsyncRegistryClient, Event, RevisionCompacted, Service, TronError, wire
from tron_client.errors import from_rpc_error
from tron_client.schedule import Backoff
from tron_client.server_clock import ServerClock

from gateway_http.replica.frames import FrameLog, Update
from gateway_http.replica.mirror import Mirror, Reported
from gateway_http.replica.reader import Bell, Gap, Reader
from gateway_http.replica.tail import KEPT, EventTail

__all__ = ["Gap", "LiveFeed", "Reader", "Update"]

log = structlog.get_logger("gateway")

PULSE_LOST = 3.0
"""Seconds without a word on the watch, which brings one a second, until the copy no longer counts as live."""

FLUSH_EVERY = 0.05
"""Seconds between two frames for subscribers, so that a storm of changes is one frame and not thousands."""

HEARD_EVERY = 1.0
"""The same for frames that only tell who was heard."""

LOOK_EVERY = 0.25
"""Seconds between two looks whether the copy is still live."""


class LiveFeed:
    """The copy and its state. Reads never wait and never fail; `run` keeps it current."""

    def __init__(self, channel: grpc.aio.Channel, client: AsyncRegistryClient, alert_types: Sequence[str]) -> None:
        """`alert_types`: events of which the newest are kept apart, so that a flood of others does not bury them."""
        self._stub = registry_service_pb2_grpc.RegistryServiceStub(channel)
        self._client = client
        self._alert_types = tuple(alert_types)
        self.mirror = Mirror()
        self.tail = EventTail()
        self.alerts = EventTail()
        self.frames = FrameLog()
        self.bell = Bell()
        """Rings when readers have something to look at."""
        self._upserted: dict[str, None] = {}
        self._removed: dict[str, None] = {}
        self._heard: dict[str, None] = {}
        self._resnapshot = False
        self._dirty = asyncio.Event()
        self._following = False
        self._current_at: float | None = None
        self._started_at = time.monotonic()
        self._told_live = False
        self._needs_snapshot = True
        self._services: tuple[int, Mapping[str, Service]] = (-1, MappingProxyType({}))
        self._as_heard: tuple[int, Mapping[str, Service]] = (-1, MappingProxyType({}))
        self._registry_clock = ServerClock()

    # --- readers ----------------------------------------------------------------------------------------------------

    @property
    def loaded(self) -> bool:
        """Whether a first snapshot was complete; before it there is nothing to show, which is not an empty fleet."""
        return self.mirror.loaded

    def now(self) -> datetime:
        """The registry's time, by which everything in the copy is stamped; ours may differ on another machine."""
        return self._registry_clock.now(time.monotonic()) or datetime.now(UTC)

    @property
    def live(self) -> bool:
        """Whether the copy follows the registry now."""
        at = self._current_at
        return self._following and at is not None and time.monotonic() - at < PULSE_LOST

    @property
    def stale_for(self) -> float:
        """Seconds since the copy was last known to be current; 0 while live."""
        if self.live:
            return 0.0
        return time.monotonic() - (self._started_at if self._current_at is None else self._current_at)

    @property
    def revision(self) -> int:
        """The registry's revision that the copy is true at."""
        return self.mirror.revision

    @property
    def services(self) -> Mapping[str, Service]:
        """All services by id, with their newest `last_heartbeat_at`; the mapping does not change under the reader."""
        version = self.mirror.version
        if self._services[0] != version:
            entries = self.mirror.entries
            found = {service_id: entry.current() for service_id, entry in entries.items()}
            self._services = (version, MappingProxyType(found))
        return self._services[1]

    @property
    def services_as_heard(self) -> Mapping[str, Service]:
        """The same for the legacy ports: without a DOWN that an acknowledged sign of life has overtaken."""
        version = self.mirror.version
        if self._as_heard[0] != version:
            found = {service_id: entry.as_heard() for service_id, entry in self.mirror.entries.items()}
            self._as_heard = (version, MappingProxyType(found))
        return self._as_heard[1]

    def service(self, service_id: str) -> Service | None:
        """One service; None where there is none."""
        entry = self.mirror.entries.get(service_id)
        return None if entry is None else entry.current()

    @property
    def events(self) -> Sequence[Event]:
        """The newest events of the log, oldest first; at most 1000."""
        return self.tail.newest(KEPT)

    def reader(self, revision: int | None = None, sequence: int | None = None) -> Reader:
        """Somebody who follows from there: changes after a revision (None: a snapshot first), events after a sequence
        (None: only new ones)."""
        return Reader(self, revision, sequence)

    async def subscribe(self, after: int | None = None) -> AsyncIterator[Update]:
        """What changed after a revision (None, or one that is no longer kept: a snapshot first), then live.

        Also yields when `live` changes. Overflow rule: nothing queues; a slow reader gets the newest state.
        """
        reader = self.reader(after)
        while True:
            for update in reader.updates():
                yield update
            await reader.wait()

    async def subscribe_events(self, after: int | None = None) -> AsyncIterator[Event | Gap]:
        """Events after a sequence (None: only new ones), then live ones; a Gap where some are no longer kept."""
        reader = self.reader(None, after)
        while True:
            for event in reader.events():
                yield event
            await reader.wait()

    def nudge(self) -> None:
        """Wake all readers: something that they look at beside the feed has changed."""
        self.bell.ring()

    async def until_event(self, sequence: int, timeout: float) -> bool:
        """Wait until the subscription told of an event; False where it did not in so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self.tail.last < sequence:
                    await self.bell.wait()
        except TimeoutError:
            return False
        return True

    # --- what the gateway knows before the watch does ---------------------------------------------------------------

    def beaten(self, before: Service, reported: Reported, heard_at: datetime, revision: int) -> None:
        """The registry acknowledged a beat that was relayed; `before` is what was known when it was sent."""
        self.mirror.beaten(before, reported, heard_at, revision)
        self._heard[before.service_id] = None

    def registered(self, service: Service, revision: int) -> None:
        """The registry acknowledged a registration; the record as it was at that revision."""
        self.mirror.registered(service, revision)
        self._changed(service.service_id)

    def known(self, service: Service, revision: int) -> None:
        """A record that was read past the copy, as it was at that revision."""
        self.mirror.known(service, revision)
        self._changed(service.service_id)

    def deregistered(self, service_id: str, revision: int) -> None:
        """The registry acknowledged a removal."""
        self.mirror.deregistered(service_id, revision)
        self._changed(service_id)

    def promoted(self, name: str, from_role: str, to_role: str, revision: int) -> None:
        """The registry acknowledged a promotion."""
        for service_id in self.mirror.promoted(name, from_role, to_role, revision):
            self._changed(service_id)

    # --- upstream ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Follow the registry until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_services())
            tasks.create_task(self._follow_events())
            tasks.create_task(self._flush_for_ever())
            tasks.create_task(self._look_for_ever())

    async def wait_loaded(self, timeout: float) -> bool:
        """Wait for the first snapshot and the tail of the log; False where they did not come in so many seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not (self.loaded and self.tail.life):
                    await self.bell.wait()
        except TimeoutError:
            return False
        return True

    async def _follow_services(self) -> None:
        backoff = Backoff(cap=1.0)
        while True:
            why = "the stream ended"
            request = registry_service_pb2.WatchServicesRequest(heartbeats=True)
            if self._needs_snapshot:
                self.mirror.begin_snapshot()
            else:
                request.start_revision = self.revision
            call = self._stub.WatchServices(request, wait_for_ready=True)
            try:
                async for answer in call:
                    self._take(answer)
                    if self._following:
                        backoff.reset()
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                self._needs_snapshot = self._needs_snapshot or isinstance(failure, RevisionCompacted)
                why = failure.message
            finally:
                call.cancel()
                was_following, self._following = self._following, False
                self._dirty.set()
            if was_following:
                log.warning("registry_watch_broken", why=why, revision=self.revision)
            await asyncio.sleep(backoff.next_delay(random.random()))

    def _take(self, answer: registry_service_pb2.WatchServicesResponse) -> None:
        kind = answer.WhichOneof("change")
        if kind == "upserted":
            service_id = answer.upserted.service_id
            self.mirror.upsert(answer.revision, Service.from_proto(answer.upserted))
            self._changed(service_id)
        elif kind == "removed":
            self.mirror.remove(answer.revision, answer.removed.service_id)
            self._changed(answer.removed.service_id)
        elif kind == "heard":
            self._keep_time(answer.heard)
            for service_id in self.mirror.heard(answer.heard.incarnations, answer.heard.heard_at_micros):
                self._heard[service_id] = None
        elif kind == "snapshot_complete":
            self._keep_time(answer.snapshot_complete)
            self._complete(answer.revision)
        if self._following:
            self._current_at = time.monotonic()

    def _keep_time(self, told: registry_service_pb2.Heard | registry_service_pb2.SnapshotComplete) -> None:
        if told.HasField("observed_at"):
            self._registry_clock.observed(wire.moment(told.observed_at), time.monotonic())

    def _complete(self, revision: int) -> None:
        before, life = self.mirror.revision, self.mirror.life
        self.mirror.complete(revision)
        self._following = True
        if self._needs_snapshot:
            self._needs_snapshot = False
            changes = self.mirror.since(before if life == self.mirror.life else None)
            self._resnapshot = self._resnapshot or changes.snapshot
            for service in changes.upserted:
                self._changed(service.service_id)
            for service_id in changes.removed:
                self._changed(service_id)
        self._dirty.set()
        self.bell.ring()
        log.info("registry_watched", revision=revision, services=len(self.mirror.entries))

    def _changed(self, service_id: str) -> None:
        if service_id in self.mirror.entries:
            self._removed.pop(service_id, None)
            self._upserted[service_id] = None
        else:
            self._upserted.pop(service_id, None)
            self._removed[service_id] = None
        self._dirty.set()

    async def _follow_events(self) -> None:
        backoff = Backoff()
        while True:
            try:
                page = await self._client.list_events(newest=True, limit=KEPT)
                alerts = await self._client.list_events(newest=True, limit=KEPT, types=self._alert_types)
                last = page.last_sequence
                self.alerts.restart((each for each in alerts.events if each.sequence <= last), last)
                self.tail.restart(page.events, last)
                self.bell.ring()
                async for event in self._client.subscribe_events(last):
                    backoff.reset()
                    self.tail.append(event)
                    if event.type in self._alert_types:
                        self.alerts.append(event)
                    self.bell.ring()
            except RevisionCompacted as error:
                log.warning("events_compacted", why=error.message)
            except TronError as error:
                log.info("events_not_read", why=error.message)
            await asyncio.sleep(backoff.next_delay(random.random()))

    # --- subscribers ------------------------------------------------------------------------------------------------

    def since(self, revision: int | None) -> Update:
        """What changed after a revision, or a snapshot, in one; nothing while nothing is known."""
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

    async def _look_for_ever(self) -> None:
        """Notice when the registry falls silent, and tell readers who was heard."""
        heard_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            if self.live != self._told_live or (self._heard and now - heard_at >= HEARD_EVERY):
                heard_at = now
                self._dirty.set()

    async def _flush_for_ever(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self._flush()
            await asyncio.sleep(FLUSH_EVERY)

    def _flush(self) -> None:
        if not self.loaded:
            return
        services = self.mirror.entries
        resnapshot, self._resnapshot = self._resnapshot, False
        ids = services if resnapshot else self._upserted
        upserted = tuple(services[each].current() for each in ids if each in services)
        heard = {
            each: services[each].heard_at for each in self._heard if each in services and each not in self._upserted
        }
        self._told_live = self.live
        self.frames.append(
            Update(
                self.revision,
                snapshot=resnapshot,
                upserted=upserted,
                removed=() if resnapshot else tuple(self._removed),
                heard={} if resnapshot else heard,
                live=self._told_live,
                stale_for=self.stale_for,
            )
        )
        self._upserted, self._removed, self._heard = {}, {}, {}
        self.bell.ring()
