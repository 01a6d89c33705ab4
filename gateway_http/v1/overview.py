"""The routes that a web page uses in addition to the stream: history, explanations, and acknowledgement of several
alerts.

The routes are served below /v1, and also below /api, where earlier versions of the dashboard expect them.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, model_validator
from tron_client import RegistryUnavailable

from gateway_http.gateway import Gateway
from gateway_http.http.openapi import problem
from gateway_http.v1 import views
from gateway_http.v1.documents import encoded
from gateway_http.v1.explanation import explain
from gateway_http.v1.history import History
from gateway_http.v1.stream import to_json

ServiceId = Annotated[str, Query(min_length=1, max_length=512)]


class Acknowledgement(BaseModel):
    """The body of POST /v1/alerts/acknowledge. Exactly one of the three fields must be set."""

    alert_id: Annotated[str, Field(max_length=512)] = ""
    service_id: Annotated[str, Field(max_length=512)] = ""
    all: bool = False

    @model_validator(mode="after")
    def _one(self) -> Acknowledgement:
        if bool(self.alert_id) + bool(self.service_id) + self.all != 1:
            raise ValueError("exactly one of alert_id, service_id and all must be set")
        return self


def routers(gateway: Gateway) -> tuple[APIRouter, APIRouter]:
    """Return the routes below /v1, and the same routes below /api. Both share their cached data."""
    history = History(gateway)
    now = APIRouter(
        prefix="/v1", tags=["v1"], responses={**problem(422, "A parameter is invalid; `errors` lists which")}
    )
    before = APIRouter(prefix="/api")
    _add(now, gateway, history, problem)
    _add(before, gateway, history, lambda status, description: {status: {"description": description}})
    return now, before


def _add(routes: APIRouter, gateway: Gateway, history: History, error: Any) -> None:
    """Add the routes; `error` describes an error response."""

    def answer(document: Any) -> Response:
        return Response(to_json(document), media_type="application/json", headers=gateway.freshness_as_text())

    @routes.get("/history", response_model=views.History)
    async def read_history(events: bool = True) -> Response:
        """Return the newest events, the periods in which liveness was not observed, the open alerts, and the lost
        services. Use `events=0` to leave out the events."""
        content = await encoded(await history.read(with_events=events))
        return Response(content, media_type="application/json", headers=gateway.freshness_as_text())

    @routes.get("/explain", response_model=views.Explained, responses=error(404, "There is no such service"))
    async def explain_service(service_id: ServiceId) -> Response:
        """Return all known data about a service, and why it is in its state. The id may contain characters that a path
        cannot carry."""
        return answer(await explain(gateway, service_id))

    @routes.post(
        "/alerts/acknowledge",
        response_model=views.AcknowledgedMany,
        responses={
            **error(400, "The body is not valid JSON"),
            **error(403, "The request comes from a page of another site"),
            **error(404, "There is no such alert"),
            **error(503, "The registry is unreachable; try again after `Retry-After` seconds"),
        },
    )
    async def acknowledge(body: Acknowledgement) -> Response:
        """Acknowledge an alert for all its recipients, all alerts about a service, or all open alerts. The losses that
        these alerts report are acknowledged, too."""
        if not gateway.replica.live:
            raise RegistryUnavailable("the registry is unreachable")
        if body.alert_id:
            done: dict[str, int] = {"acknowledged": await gateway.actions.acknowledge(body.alert_id)}
        else:
            found = await gateway.actions.acknowledge_all(body.service_id)
            done = {"acknowledged": found.copies, "lost_services": found.lost_services}
        history.forget_open()
        return answer(done)
