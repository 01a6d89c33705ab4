"""Serves ListServices: the lists are computed in parts, between other work of the event loop."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace

from grid.registry.v1 import registry_service_pb2, service_pb2
from grid_model import wire
from grid_model.errors import FieldError, InvalidRequest
from grid_model.liveness import Liveness
from grid_model.service import ServiceRole, ServiceStatus, ServiceType

from grid_hosting.turns import Turn
from registry_server.core.queries import Listings, ServiceFilter
from registry_server.core.reading_rights import ReadingRights
from registry_server.core.service import Service
from registry_server.core.validation import check_object
from registry_server.io import answers, translate
from registry_server.io.loop import RegistryLoop

MAX_PAGE = 10_000
DEFAULT_PAGE = 1000


class ServiceLists:
    """Answers ListServices. One list is computed at a time, one part in each turn of the loop."""

    def __init__(self, loop: RegistryLoop) -> None:
        self._loop = loop
        self._listings = Listings(secrets.token_hex(4))
        self._turn = asyncio.Lock()
        self._purge: asyncio.TimerHandle | None = None

    async def page(
        self, request: registry_service_pb2.ListServicesRequest, reading: ReadingRights | None = None
    ) -> registry_service_pb2.ListServicesResponse:
        """Return one page of the services, once their state is durable. `reading` limits them to the services that the
        caller may read; None means that it may read all. Raises InvalidRequest and PageTokenExpired."""
        if request.page_size > MAX_PAGE:
            raise InvalidRequest.of(FieldError("page_size", f"is {request.page_size}; it must be at most {MAX_PAGE}"))
        wanted, registry = to_filter(request), self._loop.registry
        if reading is not None:
            wanted = replace(wanted, reader=reading.reader)
        ancestors = None if reading is None else await answers.ancestors(reading)
        if request.page_token:
            listing, start = self._listings.resume(request.page_token, wanted, time.monotonic())
        else:
            see = None if reading is None or ancestors is None else lambda each: reading.seen(each, ancestors)
            listing, start = self._listings.first(wanted, registry.revision, registry.shown, see), 0
            await self._loop.flushed()  # what is shown must survive, so it waits for the disk
            async with self._turn:
                while not listing.work():  # noqa: ASYNC110 - this gives way to others; it waits for nothing
                    await asyncio.sleep(0)

        def encode(service: Service) -> service_pb2.Service | None:
            heard = registry.as_heard(service)
            seen = heard if reading is None or ancestors is None else reading.seen(heard, ancestors)
            return None if seen is None else translate.from_service(seen)

        turn = Turn("list")
        found = await answers.encoded(listing.part(start, request.page_size or DEFAULT_PAGE), encode, turn)
        response = registry_service_pb2.ListServicesResponse(revision=listing.revision, total_size=listing.total)
        await answers.add(response.services, found, turn)
        turn.end()
        response.next_page_token = self._listings.page(listing, start, len(found), time.monotonic()).token
        if response.next_page_token:
            self._purge_later()
        response.observed_at.CopyFrom(wire.timestamp_at(time.time()))
        return response

    def _purge_later(self) -> None:
        """Discard expired lists later, even if no other call arrives."""
        if self._purge is None:
            self._purge_at(self._listings.expire(time.monotonic()))

    def _purge_at(self, due: float | None) -> None:
        now = time.monotonic()
        self._purge = None if due is None else asyncio.get_running_loop().call_later(max(0.0, due - now), self._expire)

    def _expire(self) -> None:
        self._purge_at(self._listings.expire(time.monotonic()))


def to_filter(request: registry_service_pb2.ListServicesRequest) -> ServiceFilter:
    """Return the filter that a request contains. Raises InvalidRequest for unknown values."""
    translate.check_values("label_selector", request.label_selector)
    labels = wire.json_object(request.label_selector)
    errors = check_object("label_selector", labels)
    if errors:
        raise InvalidRequest.of(*errors)
    return ServiceFilter.with_labels(
        labels,
        type=wire.known("type", ServiceType, request.type) if request.type else None,
        role=wire.known("role", ServiceRole, request.role) if request.role else None,
        status=wire.known("status", ServiceStatus, request.status) if request.status else None,
        liveness=wire.known("liveness", Liveness, request.liveness) if request.liveness else None,
        cap=request.cap,
        name=request.name,
    )
