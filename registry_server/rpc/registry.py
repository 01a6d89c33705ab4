"""RegistryService: the unary calls, and the streams that readers and TRON hold."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
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
from tron_client import wire

from registry_server.changes import Change
from registry_server.engine import Engine
from registry_server.errors import Draining, FieldError, InvalidRequest, QuotaExceeded, Superseded
from registry_server.record import Record
from registry_server.rpc import translate
from registry_server.rpc.heartbeat import HeartbeatStreams
from registry_server.rpc.observer import ObserverDoors
from registry_server.service import Liveness, Maintenance, ServiceRole, ServiceStatus, ServiceType
from registry_server.validation import (
    MAX_INSTANCE_ID,
    MAX_MESSAGE,
    check_id,
    check_object,
    check_spec,
    check_text,
)

Context = grpc.aio.ServicerContext[Any, Any]

MAX_PAGE = 10_000
DEFAULT_PAGE = 1000
MAX_WATCHERS = 5000
MAX_MAINTENANCE = 7 * 86_400
"""Seconds for which notices may be held; for longer they must be held until that is ended."""

HEARD_EVERY = 1.0
"""Seconds between two words to a watcher about who was heard."""


class RegistryService(registry_service_pb2_grpc.RegistryServiceServicer):
    """The registry on the wire. Decides nothing: it translates, asks the catalogue, and waits for the disk."""

    def __init__(self, engine: Engine, streams: HeartbeatStreams) -> None:
        self._engine = engine
        self._streams = streams
        self._doors = ObserverDoors(engine)
        self._watchers = 0

    async def Register(
        self, request: registry_service_pb2.RegisterRequest, context: Context
    ) -> registry_service_pb2.RegisterResponse:
        """Register, and answer when it is on disk."""
        self._engine.admit_write()
        errors = check_text("instance_id", request.instance_id, 0, MAX_INSTANCE_ID)
        if errors:
            raise InvalidRequest(*errors)
        spec = check_spec(translate.to_spec(request.service))
        engine, incarnation = self._engine, request.service.incarnation
        try:
            service = engine.catalogue.register(spec, incarnation, request.instance_id, None, engine.now())
        except Superseded:
            await engine.settled()  # once the newer one is on disk, for the older one stops
            raise
        engine.catalogue.wait_for_answers([service])
        try:
            await engine.settled()
        finally:  # also where the caller has gone meanwhile
            engine.catalogue.answered(None, service, engine.now())
        return registry_service_pb2.RegisterResponse(service=translate.from_service(service))

    async def Deregister(
        self, request: registry_service_pb2.DeregisterRequest, context: Context
    ) -> registry_service_pb2.DeregisterResponse:
        """Remove, and answer when it is on disk."""
        check_id("service_id", request.service_id)
        errors = check_text("reason", request.reason, 0, MAX_MESSAGE)
        if errors:
            raise InvalidRequest(*errors)
        self._engine.catalogue.deregister(request.service_id, request.reason, self._engine.now())
        await self._engine.settled()
        return registry_service_pb2.DeregisterResponse()

    async def GetService(
        self, request: registry_service_pb2.GetServiceRequest, context: Context
    ) -> registry_service_pb2.GetServiceResponse:
        """Read one, as it is on disk."""
        check_id("service_id", request.service_id)
        catalogue = self._engine.catalogue
        service = translate.from_service(catalogue.view(catalogue.get(request.service_id)))
        await self._engine.settled()  # what is shown must survive, so it waits for the disk too
        return registry_service_pb2.GetServiceResponse(service=service)

    async def ListServices(
        self, request: registry_service_pb2.ListServicesRequest, context: Context
    ) -> registry_service_pb2.ListServicesResponse:
        """Read a page, as it is on disk, ordered by name, role, service_id."""
        if request.page_size > MAX_PAGE:
            raise InvalidRequest(FieldError("page_size", f"is {request.page_size}; at most {MAX_PAGE} are allowed"))
        wanted = _filter(request)
        after = _read_token(request.page_token)
        catalogue = self._engine.catalogue
        liveness = translate.to_liveness(request.liveness)
        found = sorted((_key(record), record) for record in catalogue.records.values() if wanted(record))
        services: list[service_pb2.Service] = []
        token = ""
        size = request.page_size or DEFAULT_PAGE
        last: tuple[str, int, str] | None = None
        for key, record in found:
            if after is not None and key <= after:
                continue
            service = catalogue.view(record)
            if liveness is not None and service.liveness is not liveness:
                continue
            if len(services) == size:
                token = base64.urlsafe_b64encode(json.dumps(last).encode()).decode()
                break
            services.append(translate.from_service(service))
            last = key
        revision = catalogue.changes.revision
        await self._engine.settled()
        return registry_service_pb2.ListServicesResponse(services=services, next_page_token=token, revision=revision)

    async def Promote(
        self, request: registry_service_pb2.PromoteRequest, context: Context
    ) -> registry_service_pb2.PromoteResponse:
        """Change roles, and answer when it is on disk."""
        errors = check_text("name", request.name, 1, 100)
        if errors:
            raise InvalidRequest(*errors)
        from_role = translate.enum("from_role", ServiceRole, request.from_role)
        to_role = translate.enum("to_role", ServiceRole, request.to_role)
        self._engine.admit_write()
        count = self._engine.catalogue.promote(request.name, from_role, to_role)
        await self._engine.settled()
        return registry_service_pb2.PromoteResponse(updated_instances=count)

    async def Heartbeat(  # type: ignore[override]  # grpc.aio lets a handler read and write by itself; the stub does not
        self, request_iterator: AsyncIterator[heartbeat_pb2.HeartbeatRequest], context: Context
    ) -> None:
        """The stream of an agent; see `rpc/heartbeat.py`."""
        await self._streams.serve(context)

    async def WatchServices(
        self, request: registry_service_pb2.WatchServicesRequest, context: Context
    ) -> AsyncIterator[registry_service_pb2.WatchServicesResponse]:
        """A cursor over revisions: no queue, so a slow reader costs nothing and finds the newest state."""
        if self._watchers >= MAX_WATCHERS:
            raise QuotaExceeded(f"{MAX_WATCHERS} readers watch; no more are allowed")
        self._watchers += 1
        try:
            engine = self._engine
            catalogue = engine.catalogue
            cursor = catalogue.changes.revision
            if request.start_revision:
                changes = catalogue.changes.since(request.start_revision)
            else:
                snapshot = ((record.spec.service_id, catalogue.view(record)) for record in catalogue.records.values())
                changes = [Change(cursor, service_id, service) for service_id, service in snapshot]
            await engine.settled()
            for change in changes:
                yield _change(change)
            yield registry_service_pb2.WatchServicesResponse(
                revision=cursor, snapshot_complete=registry_service_pb2.SnapshotComplete()
            )
            seen, heard_at = 0, time.monotonic()
            while True:
                if request.heartbeats:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(heard_at + HEARD_EVERY - time.monotonic()):
                            await engine.revisions.beyond(cursor)
                else:
                    await engine.revisions.beyond(cursor)
                if engine.draining:
                    raise Draining("the registry is going away")
                if request.heartbeats and time.monotonic() >= heard_at + HEARD_EVERY:
                    heard, seen = catalogue.heard_after(seen)
                    heard_at = time.monotonic()
                    yield _heard(cursor, heard)
                visible = engine.revisions.value
                for change in catalogue.changes.since(cursor):
                    if change.revision > visible:
                        break  # not on disk yet
                    yield _change(change)
                cursor = visible
        finally:
            self._watchers -= 1

    async def ObserveLiveness(
        self, request: observation_pb2.ObserveLivenessRequest, context: Context
    ) -> AsyncIterator[observation_pb2.ObserveLivenessResponse]:
        """Facts for TRON; see `rpc/observer.py`."""
        async with aclosing(self._doors.observe(request)) as frames:
            async for frame in frames:
                yield frame

    async def ApplyVerdicts(
        self, request: observation_pb2.ApplyVerdictsRequest, context: Context
    ) -> observation_pb2.ApplyVerdictsResponse:
        """Judgement from TRON; see `rpc/observer.py`."""
        return await self._doors.apply(request)

    async def RecordMaintenance(
        self, request: registry_service_pb2.RecordMaintenanceRequest, context: Context
    ) -> registry_service_pb2.RecordMaintenanceResponse:
        """Record an operator's word, and answer when it is on disk."""
        check_id("service_id", request.service_id)
        errors = check_text("reason", request.reason, 0, MAX_MESSAGE)
        if errors:
            raise InvalidRequest(*errors)
        catalogue, now = self._engine.catalogue, self._engine.now()
        until = None
        if request.HasField("duration"):
            seconds = translate.seconds("duration", request.duration)
            if not 0 < seconds <= MAX_MAINTENANCE:
                why = f"is {seconds:g} s; it must be above 0 and at most {MAX_MAINTENANCE} s (7 days)"
                raise InvalidRequest(FieldError("duration", why))
            until = now.wall + seconds
        self._engine.admit_write()
        record: Record | None
        if request.enabled:
            record = catalogue.hold_notices(Maintenance(request.service_id, now.wall, until, request.reason))
        else:
            record = catalogue.release_notices(request.service_id)
        gone = service_pb2.Service(service_id=request.service_id)
        service = gone if record is None else translate.from_service(catalogue.view(record))
        await self._engine.settled()
        return registry_service_pb2.RecordMaintenanceResponse(service=service)


def _change(change: Change) -> registry_service_pb2.WatchServicesResponse:
    if change.service is None:
        return registry_service_pb2.WatchServicesResponse(
            revision=change.revision, removed=registry_service_pb2.Removed(service_id=change.service_id)
        )
    return registry_service_pb2.WatchServicesResponse(
        revision=change.revision, upserted=translate.from_service(change.service)
    )


def _heard(revision: int, heard: list[tuple[int, float]]) -> registry_service_pb2.WatchServicesResponse:
    message = registry_service_pb2.Heard(
        incarnations=[incarnation for incarnation, _ in heard],
        heard_at_micros=[max(0, round(at * 1e6)) for _, at in heard],
    )
    return registry_service_pb2.WatchServicesResponse(revision=revision, heard=message)


def _key(record: Record) -> tuple[str, int, str]:
    return record.spec.name, record.spec.role, record.spec.service_id


def _filter(request: registry_service_pb2.ListServicesRequest) -> Callable[[Record], bool]:
    """What a record must be. Raises InvalidRequest for words that are not known."""
    kind = translate.enum("type", ServiceType, request.type) if request.type else None
    role = translate.enum("role", ServiceRole, request.role) if request.role else None
    status = translate.enum("status", ServiceStatus, request.status) if request.status else None
    translate.enum("liveness", Liveness, request.liveness, Liveness.UNKNOWN)
    labels = wire.json_object(request.label_selector)
    errors = check_object("label_selector", labels)
    if errors:
        raise InvalidRequest(*errors)

    def admits(record: Record) -> bool:
        spec = record.spec
        return (
            (kind is None or spec.type is kind)
            and (role is None or spec.role is role)
            and (not request.cap or request.cap in spec.caps)
            and (not request.name or spec.name == request.name)
            and (status is None or record.report.status is status)
            and all(key in spec.labels and spec.labels[key] == value for key, value in labels.items())
        )

    return admits


def _read_token(token: str) -> tuple[str, int, str] | None:
    if not token:
        return None
    try:
        name, role, service_id = json.loads(base64.urlsafe_b64decode(token))
        return str(name), int(role), str(service_id)
    except (ValueError, TypeError):
        raise InvalidRequest(FieldError("page_token", "is not one that this registry gave out")) from None
