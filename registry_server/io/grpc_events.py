"""The gRPC service EventService, which serves the event log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grid.events.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc
from grid_model import event_codec, wire
from grid_model.errors import AlertNotFound, Draining, FieldError, InvalidRequest
from grid_model.event import Event

from grid_hosting.authentication import current_principal
from grid_hosting.shares import Places
from grid_hosting.turns import Turn
from registry_server.core.event_log import EventFilter
from registry_server.core.readers import PAGE, EventReader
from registry_server.core.validation import MAX_NAME, MAX_SERVICE_ID, check_published, check_text, too_many_elements
from registry_server.io import answers, translate
from registry_server.io.callers import Callers
from registry_server.io.loop import RegistryLoop

Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_TYPES = 64
MAX_SUBSCRIBERS = 5000


class EventService(event_service_pb2_grpc.EventServiceServicer):
    """Serves the calls about events: appends, streams, lists and acknowledges events."""

    def __init__(self, loop: RegistryLoop, callers: Callers) -> None:
        self._loop = loop
        self._callers = callers
        self.readers: set[EventReader] = set()
        """The readers of all open subscriptions."""
        self._places = Places(MAX_SUBSCRIBERS, "subscriptions are open")

    async def PublishEvent(
        self, request: event_service_pb2.PublishEventRequest, context: Context
    ) -> event_service_pb2.PublishEventResponse:
        """Append an event, and answer when it is on disk."""
        self._loop.commits.admit()
        translate.check_values("event.details", request.event.details)
        wall = self._loop.now().wall
        event = event_codec.decode(request.event, wall)
        check_published(event, wall)
        rights = self._callers.rights(context)
        if rights is not None:
            event = rights.check_publish(event, self._loop.now().attentive)
        event, _ = self._loop.registry.publish(event, self._loop.now())
        await self._loop.flushed()
        return event_service_pb2.PublishEventResponse(event=event_codec.encode(event))

    async def AcknowledgeEvent(
        self, request: event_service_pb2.AcknowledgeEventRequest, context: Context
    ) -> event_service_pb2.AcknowledgeEventResponse:
        """Acknowledge an alert, and answer when the acknowledgement is on disk."""
        errors = [
            *check_text("alert_id", request.alert_id, 1, MAX_NAME),
            *check_text("recipient", request.recipient, 0, MAX_SERVICE_ID),
        ]
        if errors:
            raise InvalidRequest.of(*errors)
        registry, now = self._loop.registry, self._loop.now()
        unknown = AlertNotFound(f"no alert {request.alert_id!r} was sent to {request.recipient or 'anyone'!r}")
        if not self._may_acknowledge(request.recipient, context):
            raise unknown
        count = registry.acknowledge(request.alert_id, request.recipient, now)
        lost = 0 if request.recipient else registry.acknowledge_loss(request.alert_id, now)
        await self._loop.flushed()
        if not count and not await self._loop.was_sent(request.alert_id, request.recipient):
            raise unknown
        return event_service_pb2.AcknowledgeEventResponse(acknowledged=count, lost_services=lost)

    async def AcknowledgeEvents(
        self, request: event_service_pb2.AcknowledgeEventsRequest, context: Context
    ) -> event_service_pb2.AcknowledgeEventsResponse:
        """Acknowledge all matching alerts, and answer when the acknowledgements are on disk."""
        errors = [
            *check_text("service_id", request.service_id, 0, MAX_SERVICE_ID),
            *check_text("recipient", request.recipient, 0, MAX_SERVICE_ID),
        ]
        if not (request.all or request.service_id or request.recipient):
            errors.append(
                FieldError("all", "is false, and neither service_id nor recipient is set; set one of the three")
            )
        elif request.all and (request.service_id or request.recipient):
            errors.append(FieldError("all", "cannot be combined with service_id or recipient"))
        if errors:
            raise InvalidRequest.of(*errors)
        loop = self._loop
        if not self._may_acknowledge(request.recipient, context):
            return event_service_pb2.AcknowledgeEventsResponse()
        count, lost = loop.registry.acknowledge_matching(request.service_id, request.recipient, loop.now())
        await loop.flushed()
        return event_service_pb2.AcknowledgeEventsResponse(acknowledged=count, lost_services=lost)

    async def ListEvents(
        self, request: event_service_pb2.ListEventsRequest, context: Context
    ) -> event_service_pb2.ListEventsResponse:
        """Return a page of the event log, from events that are on disk."""
        if request.limit > MAX_LIMIT:
            raise InvalidRequest.of(FieldError("limit", f"is {request.limit}; it must be at most {MAX_LIMIT}"))
        wanted = _filter(request.recipient, request.service_id, request.types)
        registry = self._loop.registry
        last = registry.last_event  # what arrives while we read is not missed by a reader that continues from here
        await self._loop.flushed()
        after = min(request.after_sequence, last)
        limit = request.limit or DEFAULT_LIMIT
        events = await self._loop.read_events(
            after,
            limit + (not request.newest),
            wanted,
            unacknowledged=request.unacknowledged,
            newest=request.newest,
        )
        if after and not request.newest:
            registry.check_event(after)  # afterwards, for old ones may have been let go of while we read
        reading, turn = self._callers.reading(context), Turn("list")

        def encode(event: Event) -> event_pb2.Event | None:
            return event_codec.encode(event) if reading is None or reading.admits(event) else None

        page = events[:limit]
        found = await answers.encoded(reversed(page) if request.newest else page, encode, turn)
        following = page[len(found) - 1].sequence if len(found) < len(events) and not request.newest else 0
        if request.newest:
            found.reverse()
        response = event_service_pb2.ListEventsResponse(next_after_sequence=following)
        await answers.add(response.events, found, turn)
        turn.end()
        last = max(last, response.events[-1].sequence if response.events else 0)
        response.first_sequence = registry.first_event if last >= registry.first_event else 0
        response.last_sequence = last
        response.observed_at.CopyFrom(wire.timestamp_at(self._loop.now().wall))
        return response

    async def SubscribeEvents(
        self, request: event_service_pb2.SubscribeEventsRequest, context: Context
    ) -> AsyncIterator[event_service_pb2.SubscribeEventsResponse]:
        """Yield events as they become durable; see `core.readers`."""
        if request.only_new and request.after_sequence:
            raise InvalidRequest.of(FieldError("only_new", "cannot be combined with after_sequence"))
        wanted = _filter(request.recipient, request.service_id, request.types)
        loop = self._loop
        after = loop.commits.sequence if request.only_new else request.after_sequence
        reading = self._callers.reading(context)
        may_read = None if reading is None else reading.admits
        with self._places.one(current_principal()):
            reader = EventReader(loop.registry, loop.commits, after, wanted, may_read)
            self.readers.add(reader)
            try:
                # Headers tell the reader that it is subscribed, before the first event.
                await context.send_initial_metadata(())
                while True:
                    if loop.draining:
                        raise Draining("the registry is shutting down")
                    if not reader.is_behind:
                        await loop.sequences.beyond(reader.sequence)
                        continue
                    page = reader.recent()
                    if page is None:
                        visible = loop.commits.sequence
                        page = reader.stored(await loop.read_events(reader.sequence, PAGE, wanted), visible)
                    if not page:
                        await asyncio.sleep(0)  # thousands of events that the reader does not want may follow
                    for event in page:
                        yield event_service_pb2.SubscribeEventsResponse(event=event_codec.encode(event))
            finally:
                self.readers.discard(reader)

    def _may_acknowledge(self, recipient: str, context: Context) -> bool:
        rights = self._callers.rights(context)
        return rights is None or rights.may_acknowledge(recipient)


def _filter(recipient: str, service_id: str, types: Any) -> EventFilter:
    if len(types) > MAX_TYPES:
        raise InvalidRequest.of(too_many_elements("types", len(types), MAX_TYPES))
    return EventFilter(recipient, service_id, frozenset(types))
