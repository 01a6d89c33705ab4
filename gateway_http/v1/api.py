"""The JSON API, version 1: timestamps with a zone, the field names of the gRPC contract, problem+json errors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import RedirectResponse, Response
from grid_model.event_types import EVENT_TYPES
from tron_client import Event, RegistryUnavailable, Service

from gateway_http.gateway import Gateway
from gateway_http.http.event_streams import EventStream
from gateway_http.http.openapi import problem
from gateway_http.http.problems import Refused
from gateway_http.v1 import views
from gateway_http.v1.documents import encoded
from gateway_http.v1.prometheus import target_groups
from gateway_http.v1.stream import ServiceStreams, state_of, to_json

MOST_EVENTS = 1000

Sequence = Annotated[int, Query(ge=0, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=MOST_EVENTS)]
Word = Annotated[str, Query(max_length=512)]


AWAY = problem(503, "The registry or TRON is unreachable; try again after `Retry-After` seconds")
MISSING = problem(404, "There is no service or alert with this id")
WRONG = problem(422, "A parameter is invalid; `errors` lists which")
UPSTREAM = problem(501, "This version of TRON cannot explain its verdicts")


def router(gateway: Gateway) -> APIRouter:
    """Return the routes for services, events, alerts and the stream, all below /v1."""
    routes = APIRouter(prefix="/v1", tags=["v1"], responses={**WRONG, **AWAY})
    replica = gateway.replica
    streams = ServiceStreams(gateway)

    def answer(document: Any) -> Response:
        return Response(to_json(document), media_type="application/json", headers=gateway.freshness_as_text())

    async def long_answer(document: dict[str, Any]) -> Response:
        content = await encoded(document)
        return Response(content, media_type="application/json", headers=gateway.freshness_as_text())

    @routes.get("/status", response_model=views.Status)
    async def status() -> Response:
        """Return whether the gateway follows the registry, and whether TRON is watching."""
        return answer(state_of(gateway))

    @routes.get("/services", response_model=views.Services)
    async def list_services(
        type: Word = "",  # noqa: A002 - the word of the contract
        role: Word = "",
        cap: Word = "",
        name: Word = "",
        status: Word = "",
        liveness: Word = "",
    ) -> Response:
        """List the services that match all given filters exactly, ordered by name, role and id. With authentication,
        only those that the caller may read are listed."""

        def wanted(service: Service) -> bool:
            return (
                type in ("", service.type)
                and role in ("", service.role)
                and name in ("", service.name)
                and status in ("", service.status)
                and liveness.upper() in ("", service.liveness)
                and (not cap or cap in service.caps)
            )

        services: Iterable[Service]
        if gateway.shows_everything():
            gateway.need_snapshot()
            services = replica.services.values()
            state = {"revision": replica.revision, "live": replica.live, "stale_for": round(replica.stale_for, 3)}
        else:
            readable = await gateway.registry.list_services()
            services = readable.services
            state = {"revision": readable.revision, "live": True, "stale_for": 0.0}
        found = sorted(filter(wanted, services), key=lambda each: (each.name, each.role, each.service_id))
        return await long_answer({**state, "services": found})

    @routes.get("/services/{service_id:path}/explain", responses={**MISSING, **UPSTREAM})
    async def explain(service_id: str) -> dict[str, Any]:
        """Return why the service is in its state: the facts that TRON has, the pending deadlines, and the rule that
        applied."""
        return await gateway.tron.explain(service_id)

    @routes.get("/services/{service_id:path}", response_model=Service, responses=MISSING)
    async def get_service(service_id: str) -> Response:
        """Return one service. Its id may contain slashes."""
        if not service_id:
            return RedirectResponse("/v1/services", 307)  # a slash too many; the front makes the address relative
        if not gateway.shows_everything():
            return answer((await gateway.registry.get_service(service_id)).to_dict())
        gateway.need_snapshot()
        service = replica.service(service_id)
        if service is None:
            raise Refused(404, f"no service has the id {service_id!r}")
        return answer(service.to_dict())

    @routes.get("/events", response_model=views.Events)
    async def list_events(
        after: Sequence = 0,
        limit: Limit = 100,
        service_id: Word = "",
        recipient: Word = "",
        types: Annotated[str, Query(max_length=4000, description="Types of events, separated by commas")] = "",
        newest: bool = False,
    ) -> Response:
        """Return one page of the event log, oldest event first. With `newest`, the page contains the newest events."""
        wanted = [word for word in types.split(",") if word]
        page = await _page(
            gateway, after=after, limit=limit, service_id=service_id, recipient=recipient, types=wanted, newest=newest
        )
        return await long_answer(page)

    @routes.get("/alerts", response_model=views.Alerts)
    async def list_alerts(
        after: Sequence = 0,
        limit: Limit = 100,
        service_id: Word = "",
        recipient: Word = "",
        unacknowledged: bool = False,
        newest: bool = False,
    ) -> Response:
        """List TRON's alerts, oldest first. With `unacknowledged`, only those that no recipient has acknowledged."""
        page = await _page(
            gateway,
            after=after,
            limit=limit,
            service_id=service_id,
            recipient=recipient,
            types=tuple(EVENT_TYPES),
            newest=newest,
            unacknowledged=unacknowledged,
        )
        return await long_answer({"alerts": page["events"], "next_after": page["next_after"]})

    @routes.post(
        "/alerts/{alert_id}/acknowledge",
        responses={**MISSING, **problem(403, "The request comes from a page of another site")},
    )
    async def acknowledge(alert_id: str, recipient: Word = "") -> views.Acknowledged:
        """Acknowledge an alert for one recipient, or for all recipients if `recipient` is empty. Acknowledging it again
        does nothing."""
        return views.Acknowledged(acknowledged=await gateway.actions.acknowledge(alert_id, recipient))

    @routes.get(
        "/stream",
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events"}},
    )
    async def stream(last_event_id: Annotated[str, Header()] = "", cursor: Word = "") -> Response:
        """Stream Server-Sent Events: `state`, `snapshot`, `services`, `heard`, `event`, `gap`. See docs/gateway.md.

        `cursor` is the id of the last message that the client received. Use it if the client cannot set the header
        `Last-Event-ID`, such as a page that opens a new EventSource.
        """
        if not gateway.streams.admit():
            raise Refused(503, "too many streams are open, or the gateway is shutting down")
        return EventStream(gateway.streams, streams.follow(last_event_id or cursor))

    @routes.get("/sd/prometheus", response_model=list[views.TargetGroup])
    async def prometheus(request: Request) -> Response:
        """Return the targets for the http_sd_config of Prometheus: all services that are not down and have a host and a
        port in their URL."""
        gateway.need_snapshot()
        return answer(target_groups(replica.services.values()))

    return routes


async def _page(gateway: Gateway, *, newest: bool, limit: int, **wanted: Any) -> dict[str, Any]:
    """Return a page of the event log. If the registry is unreachable and the newest events are wanted, they come from
    memory."""
    try:
        page = await gateway.registry.list_events(
            after_sequence=wanted["after"],
            limit=limit,
            recipient=wanted["recipient"],
            service_id=wanted["service_id"],
            types=wanted["types"],
            unacknowledged=wanted.get("unacknowledged", False),
            newest=newest,
        )
    except RegistryUnavailable:
        tail = gateway.replica.tail
        if not newest or wanted.get("unacknowledged") or not tail.epoch or not gateway.shows_everything():
            raise
        found = [each for each in gateway.replica.events if _admits(each, **wanted)][-limit:]
        return _document(found, 0, 0, tail.last)
    return _document(page.events, page.next_after_sequence, page.first_sequence, page.last_sequence)


def _document(events: Iterable[Event], next_after: int, first: int, last: int) -> dict[str, Any]:
    """Return a page for `encoded`."""
    return {"events": list(events), "next_after": next_after, "first": first, "last": last}


def _admits(event: Event, *, after: int, recipient: str, service_id: str, types: Iterable[str], **_: object) -> bool:
    return (
        event.sequence > after
        and recipient in ("", event.recipient)
        and service_id in ("", event.service_id)
        and (not types or event.type in types)
    )
