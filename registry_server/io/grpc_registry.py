"""The gRPC service RegistryService: the unary calls, and the streams of agents, of readers and of TRON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

import grpc
from grid.registry.v1 import (
    heartbeat_pb2,
    observation_pb2,
    registry_service_pb2,
    registry_service_pb2_grpc,
    service_pb2,
)
from grid_model import wire
from grid_model.errors import Draining, FieldError, InvalidRequest, ServiceNotFound, Superseded
from grid_model.service import Maintenance, ServiceRole

from grid_hosting.authentication import current_principal
from grid_hosting.shares import Places
from grid_hosting.turns import Turn
from registry_server.core.partial_readers import PartialReader
from registry_server.core.readers import ServiceReader
from registry_server.core.record import Record
from registry_server.core.validation import (
    MAX_INSTANCE_ID,
    MAX_MESSAGE,
    check_id,
    check_spec,
    check_text,
)
from registry_server.io import answers, translate
from registry_server.io.callers import Callers
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.grpc_listing import ServiceLists
from registry_server.io.grpc_observer import ObserverService
from registry_server.io.loop import RegistryLoop

Context = grpc.aio.ServicerContext[Any, Any]

MOST_GONE = 10_000
DEFAULT_GONE = 1000
MAX_WATCHERS = 5000
MAX_MAINTENANCE = 7 * 86_400
"""Maximum duration of a maintenance in seconds. A longer maintenance must have no duration; it then continues until an
operator ends it."""

HEARD_EVERY = 1.0
"""Seconds between two messages to a watcher with the times of the last heartbeats."""


class RegistryService(registry_service_pb2_grpc.RegistryServiceServicer):
    """Serves the calls about services: converts requests, calls the registry, and waits for the disk. It makes no
    decisions."""

    def __init__(self, loop: RegistryLoop, streams: HeartbeatStreams, callers: Callers) -> None:
        self._loop = loop
        self._streams = streams
        self._callers = callers
        self._observers = ObserverService(loop)
        self._lists = ServiceLists(loop)
        self.readers: set[ServiceReader | PartialReader] = set()
        """The readers of all open watches."""
        self._places = Places(MAX_WATCHERS, "watches are open")

    async def Register(
        self, request: registry_service_pb2.RegisterRequest, context: Context
    ) -> registry_service_pb2.RegisterResponse:
        """Register a service, and answer when the registration is on disk."""
        self._loop.commits.admit()
        errors = check_text("instance_id", request.instance_id, 0, MAX_INSTANCE_ID)
        if errors:
            raise InvalidRequest.of(*errors)
        spec = check_spec(translate.to_declaration(request.service), as_sent=request.as_sent)
        loop, incarnation, rights = self._loop, request.service.incarnation, self._callers.rights(context)
        owner = "" if rights is None else rights.check_registration(spec, incarnation, request.instance_id)
        try:
            service = loop.registry.register(spec, incarnation, request.instance_id, None, loop.now(), owner=owner)
        except Superseded:
            await loop.flushed()  # once the newer one is on disk, for the older one stops
            raise
        revision = loop.registry.revision
        loop.registry.wait_for_answers([service])
        try:
            await loop.flushed()
        finally:  # also where the caller has gone meanwhile
            loop.registry.answered(None, service, loop.now())
        return registry_service_pb2.RegisterResponse(service=translate.from_service(service), revision=revision)

    async def Deregister(
        self, request: registry_service_pb2.DeregisterRequest, context: Context
    ) -> registry_service_pb2.DeregisterResponse:
        """Remove a service, and answer when the removal is on disk."""
        check_id("service_id", request.service_id)
        errors = check_text("reason", request.reason, 0, MAX_MESSAGE)
        if errors:
            raise InvalidRequest.of(*errors)
        rights = self._callers.rights(context)
        if rights is not None:
            rights.check_deregister(request.service_id)
        self._loop.registry.deregister(request.service_id, request.reason, self._loop.now())
        revision = self._loop.registry.revision
        await self._loop.flushed()
        return registry_service_pb2.DeregisterResponse(revision=revision if request.with_revision else 0)

    async def GetService(
        self, request: registry_service_pb2.GetServiceRequest, context: Context
    ) -> registry_service_pb2.GetServiceResponse:
        """Return one service, once its state is on disk."""
        check_id("service_id", request.service_id)
        registry, reading = self._loop.registry, self._callers.reading(context)
        ancestors = None if reading is None else await answers.ancestors(reading)
        view = registry.view(registry.get(request.service_id))
        seen = view if reading is None or ancestors is None else reading.seen(view, ancestors)
        if seen is None:
            raise ServiceNotFound.of(request.service_id)
        service = translate.from_service(seen)
        revision = registry.revision
        await self._loop.flushed()  # what is shown must survive, so it waits for the disk too
        observed_at = wire.timestamp_at(self._loop.now().wall)
        return registry_service_pb2.GetServiceResponse(service=service, observed_at=observed_at, revision=revision)

    async def ListServices(
        self, request: registry_service_pb2.ListServicesRequest, context: Context
    ) -> registry_service_pb2.ListServicesResponse:
        """Return a page of services; see `grpc_listing`."""
        return await self._lists.page(request, self._callers.reading(context))

    async def ListGoneServices(
        self, request: registry_service_pb2.ListGoneServicesRequest, context: Context
    ) -> registry_service_pb2.ListGoneServicesResponse:
        """Return the services that are no longer registered, newest removal first."""
        if request.limit > MOST_GONE:
            raise InvalidRequest.of(FieldError("limit", f"is {request.limit}; it must be at most {MOST_GONE}"))
        await self._loop.flushed()
        reading, turn = self._callers.reading(context), Turn("list")
        response, limit = registry_service_pb2.ListGoneServicesResponse(), request.limit or DEFAULT_GONE
        async for each in turn.each(list(reversed(self._loop.registry.tombstones.values()))):
            if request.unacknowledged and (not each.judgement or each.judgement.acknowledged_at is not None):
                continue
            if reading is None or reading.reads(each.service_id):
                response.services.append(translate.from_gone(each))
                if len(response.services) >= limit:
                    break
        turn.end()
        return response

    async def Promote(
        self, request: registry_service_pb2.PromoteRequest, context: Context
    ) -> registry_service_pb2.PromoteResponse:
        """Change the role of services, and answer when the change is on disk."""
        errors = check_text("name", request.name, 1, 100)
        if errors:
            raise InvalidRequest.of(*errors)
        from_role = wire.known("from_role", ServiceRole, request.from_role)
        to_role = wire.known("to_role", ServiceRole, request.to_role)
        rights = self._callers.rights(context)
        if rights is not None:
            rights.check_operator(request.name)
        self._loop.commits.admit()
        registry = self._loop.registry
        count = (
            registry.promote(request.name, from_role, to_role)
            if rights is None
            else registry.promote(request.name, from_role, to_role, may=rights.operates)
        )
        revision = self._loop.registry.revision
        await self._loop.flushed()
        return registry_service_pb2.PromoteResponse(
            updated_instances=count, revision=revision if request.with_revision else 0
        )

    async def Heartbeat(  # type: ignore[override]  # grpc.aio lets a handler read and write on its own; the stub does not
        self, request_iterator: AsyncIterator[heartbeat_pb2.HeartbeatRequest], context: Context
    ) -> None:
        """Serve the stream of an agent; see `grpc_heartbeat`."""
        await self._streams.serve(context)

    async def WatchServices(
        self, request: registry_service_pb2.WatchServicesRequest, context: Context
    ) -> AsyncIterator[registry_service_pb2.WatchServicesResponse]:
        """Yield the services, then each change as it becomes durable; see `core.readers`."""
        loop, reading = self._loop, self._callers.reading(context)
        with self._places.one(current_principal()):
            reader: ServiceReader | PartialReader = (
                ServiceReader(loop.registry, loop.commits, request.start_revision)
                if reading is None
                else PartialReader(loop.registry, loop.commits, request.start_revision, reading)
            )
            self.readers.add(reader)
            try:
                await loop.flushed()
                async with aclosing(answers.watch_messages(reader.beginning(), batches=request.batches)) as messages:
                    async for message in messages:
                        yield message
                marker = registry_service_pb2.SnapshotComplete()
                if request.heartbeats:
                    marker.observed_at.CopyFrom(wire.timestamp_at(loop.now().wall))
                yield registry_service_pb2.WatchServicesResponse(revision=reader.revision, snapshot_complete=marker)
                seen, heard_at = 0, time.monotonic()
                while True:
                    if request.heartbeats:
                        with suppress(TimeoutError):
                            async with asyncio.timeout(heard_at + HEARD_EVERY - time.monotonic()):
                                await loop.revisions.beyond(reader.revision)
                    else:
                        await loop.revisions.beyond(reader.revision)
                    if loop.draining:
                        raise Draining("the registry is shutting down")
                    if request.heartbeats and time.monotonic() >= heard_at + HEARD_EVERY:
                        heard, seen = loop.registry.heard_after(seen)
                        if isinstance(reader, PartialReader):
                            heard = reader.heard(heard)
                        heard_at = time.monotonic()
                        yield _heard(reader.revision, heard)
                    async with aclosing(answers.watch_messages(reader.next(), batches=request.batches)) as messages:
                        async for message in messages:
                            yield message
            finally:
                self.readers.discard(reader)

    async def ObserveLiveness(
        self, request: observation_pb2.ObserveLivenessRequest, context: Context
    ) -> AsyncIterator[observation_pb2.ObserveLivenessResponse]:
        """Yield facts to TRON; see `grpc_observer`."""
        self._check_observer(request.observer, context)
        async with aclosing(self._observers.observe(request)) as frames:
            async for frame in frames:
                yield frame

    async def GetObservation(
        self, request: observation_pb2.GetObservationRequest, context: Context
    ) -> observation_pb2.GetObservationResponse:
        """Return the facts about one service, as observers receive them; see `grpc_observer`."""
        check_id("service_id", request.service_id)
        return self._observers.get(request.service_id)

    async def ApplyVerdicts(
        self, request: observation_pb2.ApplyVerdictsRequest, context: Context
    ) -> observation_pb2.ApplyVerdictsResponse:
        """Apply verdicts of TRON; see `grpc_observer`."""
        self._check_observer(request.observer, context)
        return await self._observers.apply(request)

    async def RecordMaintenance(
        self, request: registry_service_pb2.RecordMaintenanceRequest, context: Context
    ) -> registry_service_pb2.RecordMaintenanceResponse:
        """Put a service under maintenance or end its maintenance, and answer when the change is on disk."""
        check_id("service_id", request.service_id)
        errors = check_text("reason", request.reason, 0, MAX_MESSAGE)
        if errors:
            raise InvalidRequest.of(*errors)
        rights = self._callers.rights(context)
        if rights is not None:
            rights.check_maintenance(request.service_id)
        registry, now = self._loop.registry, self._loop.now()
        until = None
        if request.HasField("duration"):
            seconds = wire.checked_seconds("duration", request.duration)
            if not 0 < seconds <= MAX_MAINTENANCE:
                why = f"is {seconds:g} s; it must be above 0 and at most {MAX_MAINTENANCE} s (7 days)"
                raise InvalidRequest.of(FieldError("duration", why))
            until = now.wall + seconds
        self._loop.commits.admit()
        record: Record | None
        if request.enabled:
            record = registry.hold_notices(Maintenance(request.service_id, now.wall, until, request.reason))
        else:
            record = registry.release_notices(request.service_id)
        gone = service_pb2.Service(service_id=request.service_id)
        service = gone if record is None else translate.from_service(registry.view(record))
        await self._loop.flushed()
        return registry_service_pb2.RecordMaintenanceResponse(service=service)

    async def ListMaintenance(
        self, request: registry_service_pb2.ListMaintenanceRequest, context: Context
    ) -> registry_service_pb2.ListMaintenanceResponse:
        """Return the services under maintenance, once this state is on disk."""
        registry, reading, turn = self._loop.registry, self._callers.reading(context), Turn("list")
        response = registry_service_pb2.ListMaintenanceResponse()
        async for each in turn.each(registry.all_maintenance()):
            if reading is None or reading.reads(each.service_id):
                response.held.append(translate.from_held(each, registry.records.get(each.service_id)))
        turn.end()
        await self._loop.flushed()
        return response

    async def ReleaseOwner(
        self, request: registry_service_pb2.ReleaseOwnerRequest, context: Context
    ) -> registry_service_pb2.ReleaseOwnerResponse:
        """End the ownership of an id, and answer when the change is on disk."""
        check_id("service_id", request.service_id)
        rights = self._callers.rights(context)
        if rights is not None:
            rights.check_operator(request.service_id)
        owner = self._loop.registry.release_owner(request.service_id, self._loop.now())
        await self._loop.flushed()
        return registry_service_pb2.ReleaseOwnerResponse(owner=owner)

    def _check_observer(self, observer: str, context: Context) -> None:
        rights = self._callers.rights(context)
        if rights is not None:
            rights.check_observer(observer)


def _heard(revision: int, heard: list[tuple[int, float]]) -> registry_service_pb2.WatchServicesResponse:
    message = registry_service_pb2.Heard(
        incarnations=[incarnation for incarnation, _ in heard],
        heard_at_micros=[max(0, round(at * 1e6)) for _, at in heard],
        observed_at=wire.timestamp_at(time.time()),
    )
    return registry_service_pb2.WatchServicesResponse(revision=revision, heard=message)
