"""Builds the requests of both clients, and converts the answers to values of the SDK."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from grid.events.v1 import event_service_pb2
from grid.registry.v1 import registry_service_pb2, service_pb2
from grid_model import wire

from tron_client import arguments, words
from tron_client.errors import PageTokenExpired
from tron_client.models import Acknowledged, Event, EventPage, GoneService, Service, ServiceList

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


T = TypeVar("T")


def _texts(**fields: object) -> dict[str, str]:
    return {name: arguments.text(name, value) for name, value in fields.items()}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call: the service of the contract (`registry` or `events`), the name of the RPC, the request, and the
    function that converts the answer."""

    service: str
    method: str
    request: Any
    read: Callable[[Any], T]
    read_in_parts: Callable[[Any], Generator[None, None, T]] | None = None
    """The same as `read` for an answer with many elements: yields after each element, so that other work can run."""


def _long_call(
    service: str, method: str, request: Any, read_in_parts: Callable[[Any], Generator[None, None, T]]
) -> Call[T]:
    """Return a call whose answer may have many elements. `read_in_parts` converts it."""

    def read(answer: Any) -> T:
        parts = read_in_parts(answer)
        while True:
            try:
                next(parts)
            except StopIteration as end:
                return cast("T", end.value)

    return Call(service, method, request, read, read_in_parts)


def register(service: service_pb2.Service) -> Call[Service]:
    """Return the call that registers a service. The request contains a random instance_id. If the transport sends the
    request twice, the registry recognizes by this id that both are the same registration."""
    request = registry_service_pb2.RegisterRequest(service=service, instance_id=uuid.uuid4().hex)
    return Call("registry", "Register", request, lambda answer: Service.from_proto(answer.service))


def deregister(service_id: str, reason: str) -> Call[None]:
    """Return the call that deregisters a service."""
    texts = _texts(service_id=service_id, reason=reason)
    request = registry_service_pb2.DeregisterRequest(service_id=texts["service_id"], reason=texts["reason"])
    return Call("registry", "Deregister", request, lambda _: None)


def release_owner(service_id: str) -> Call[str]:
    """Return the call that ends the ownership of a service id. The result of the call is the former owner."""
    request = registry_service_pb2.ReleaseOwnerRequest(**_texts(service_id=service_id))
    return Call("registry", "ReleaseOwner", request, lambda answer: str(answer.owner))


def get_service(service_id: str) -> Call[Service]:
    """Return the call that reads one service."""
    request = registry_service_pb2.GetServiceRequest(**_texts(service_id=service_id))
    return Call("registry", "GetService", request, lambda answer: Service.from_proto(answer.service))


def promote(name: str, from_role: str, to_role: str) -> Call[int]:
    """Return the call that changes the role of all services with this name and the role `from_role`."""
    request = registry_service_pb2.PromoteRequest(
        name=arguments.text("name", name),
        from_role=words.ROLES.number(from_role, "from_role"),
        to_role=words.ROLES.number(to_role, "to_role"),
    )
    return Call("registry", "Promote", request, lambda answer: int(answer.updated_instances))


LISTED_AGAIN_AT_MOST = 3
"""How often a list may be read again from its first page because the registry dropped it between two pages."""


class ServicePages:
    """Reads a list of services page by page. Make each call that `next_call` returns; when `next_call` returns None,
    read `result`.

    If a call raises PageTokenExpired, call `start_over` and continue.
    """

    def __init__(
        self,
        *,
        type: str = "",  # noqa: A002 - the word of the contract
        role: str = "",
        cap: str = "",
        name: str = "",
        status: str = "",
        liveness: str = "",
        label_selector: Mapping[str, Any] | None = None,
    ) -> None:
        self._request = registry_service_pb2.ListServicesRequest(
            type=words.TYPES.number(type),
            role=words.ROLES.number(role),
            cap=arguments.text("cap", cap),
            name=arguments.text("name", name),
            status=words.STATUSES.number(status),
            liveness=words.LIVENESS.number(liveness),
            label_selector=wire.struct(arguments.json_object("label_selector", label_selector)),
        )
        self._services: list[Service] = []
        self._observed_at: datetime | None = None
        self._revision = 0
        self._more = True
        self._begun_anew = 0

    def next_call(self) -> Call[None] | None:
        """Return the call for the next page; None after the last page."""
        if not self._more:
            return None
        return _long_call("registry", "ListServices", self._request, self._take)

    def start_over(self, error: PageTokenExpired) -> None:
        """Begin again with the first page, because the registry no longer keeps the list. Raises `error` after too many
        attempts."""
        if self._begun_anew >= LISTED_AGAIN_AT_MOST:
            raise error
        self._begun_anew += 1
        self._services.clear()
        self._request.page_token = ""

    @property
    def result(self) -> ServiceList:
        """The services of all pages as one list, as of one revision."""
        return ServiceList(tuple(self._services), self._revision, self._observed_at)

    def _take(self, page: registry_service_pb2.ListServicesResponse) -> Generator[None, None, None]:
        if not self._services:
            self._revision = page.revision  # of the first page: a watch from there misses nothing in any case
        for service in page.services:
            self._services.append(Service.from_proto(service))
            yield
        self._observed_at = wire.moment(page.observed_at) if page.HasField("observed_at") else None
        self._request.page_token = page.next_page_token
        self._more = bool(page.next_page_token)


def publish_event(type: str, details: Mapping[str, Any] | None, **fields: str) -> Call[Event]:  # noqa: A002
    """Return the call that appends one event to the event log."""
    event = Event(**_texts(type=type, **fields)).to_proto()  # type: ignore[arg-type]
    plain = wire.struct(arguments.json_object("details", details))
    if plain is not None:
        event.details.CopyFrom(plain)
    request = event_service_pb2.PublishEventRequest(event=event)
    return Call("events", "PublishEvent", request, lambda answer: Event.from_proto(answer.event))


def list_events(**asked: Any) -> Call[EventPage]:
    """Return the call that reads one page of the event log."""

    def read(answer: event_service_pb2.ListEventsResponse) -> Generator[None, None, EventPage]:
        events: list[Event] = []
        for event in answer.events:
            events.append(Event.from_proto(event))
            yield
        observed_at = wire.moment(answer.observed_at) if answer.HasField("observed_at") else None
        first, last = answer.first_sequence, answer.last_sequence
        return EventPage(tuple(events), answer.next_after_sequence, first, last, observed_at)

    return _long_call("events", "ListEvents", event_service_pb2.ListEventsRequest(**_checked(asked)), read)


def subscription(**asked: Any) -> event_service_pb2.SubscribeEventsRequest:
    """Return the request that starts a subscription to the event log."""
    return event_service_pb2.SubscribeEventsRequest(**_checked(asked))


def _checked(asked: dict[str, Any]) -> dict[str, Any]:
    """Return the filters of a request to the event log, each checked by its type."""
    checks: dict[str, Callable[[str, object], Any]] = {
        "after_sequence": arguments.whole,
        "limit": partial(arguments.whole, at_most=2**31 - 1),
        "types": arguments.texts,
        "unacknowledged": arguments.flag,
        "newest": arguments.flag,
        "only_new": arguments.flag,
    }
    return {name: checks.get(name, arguments.text)(name, value) for name, value in asked.items()}


def acknowledge(alert_id: str, recipient: str) -> Call[int]:
    """Return the call that acknowledges an alert for a recipient, or for all recipients if `recipient` is empty."""
    request = event_service_pb2.AcknowledgeEventRequest(**_texts(alert_id=alert_id, recipient=recipient))
    return Call("events", "AcknowledgeEvent", request, lambda answer: int(answer.acknowledged))


def acknowledge_event(alert_id: str) -> Call[Acknowledged]:
    """Return the call that acknowledges an alert for all recipients, on behalf of the operators, together with the loss
    that the alert reports."""
    request = event_service_pb2.AcknowledgeEventRequest(alert_id=alert_id)
    return Call("events", "AcknowledgeEvent", request, _acknowledged)


def acknowledge_all(service_id: str, recipient: str) -> Call[Acknowledged]:
    """Return the call that acknowledges all waiting alerts, or only those about one service, or only those for one
    recipient."""
    everything = not (service_id or recipient)
    request = event_service_pb2.AcknowledgeEventsRequest(all=everything, service_id=service_id, recipient=recipient)
    return Call("events", "AcknowledgeEvents", request, _acknowledged)


def list_gone_services(limit: int, *, unacknowledged: bool) -> Call[tuple[GoneService, ...]]:
    """Return the call that reads the services that are no longer registered."""

    def read(answer: registry_service_pb2.ListGoneServicesResponse) -> tuple[GoneService, ...]:
        return tuple(GoneService.from_proto(each) for each in answer.services)

    request = registry_service_pb2.ListGoneServicesRequest(limit=limit, unacknowledged=unacknowledged)
    return Call("registry", "ListGoneServices", request, read)


def _acknowledged(
    answer: event_service_pb2.AcknowledgeEventResponse | event_service_pb2.AcknowledgeEventsResponse,
) -> Acknowledged:
    return Acknowledged(answer.acknowledged, answer.lost_services)
