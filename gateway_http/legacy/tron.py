"""The legacy TRON REST API on port 6109: TRON's status, the counts of services from the replica, and alerts from the
event log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel
from tron_client import Event

from gateway_http.gateway import NOTHING_HEARD, Gateway
from gateway_http.http.api_docs import add_docs
from gateway_http.http.cors import AnyOrigin
from gateway_http.http.openapi import describe
from gateway_http.http.problems import Refused, headers_of, install_errors
from gateway_http.legacy.alerts import distinct, legacy_alert
from gateway_http.legacy.bodies import Detail
from gateway_http.legacy.rows import iso, to_json
from gateway_http.legacy.status_counts import StatusCounts
from gateway_http.replica.tail import KEPT

CHECK_INTERVAL_S = 30
"""The check interval that the legacy TRON reported. TRON no longer works in intervals; legacy clients expect this value
as an upper bound."""

DEFAULT_LIMIT = 50

AWAY: dict[int | str, dict[str, Any]] = {503: {"model": Detail, "description": "The registry is unreachable"}}


class Health(BaseModel):
    """The answer to GET /health."""

    status: str
    """The status: `ok`; `degraded` while TRON cannot reach the registry; `unavailable` (503) while TRON does not
    answer."""
    check_interval_s: int
    max_misses_before_down: int
    max_misses_before_deregister: int
    total_events: int
    """The number of alerts since TRON started."""


class Stats(BaseModel):
    """The answer to GET /stats."""

    total_services: int
    healthy_services: int
    degraded_services: int
    down_services: int
    last_check: str | None
    """When TRON last evaluated liveness; UTC, without a zone."""


class Alert(BaseModel):
    """One alert in the format of the legacy TRON."""

    alert_type: str
    service_id: str
    service_name: str
    missed_beats: int
    last_seen: str
    action: str
    ts: str
    parent: str
    """The parent of the service; empty if it has none."""


class Alerts(BaseModel):
    """The answer to GET /alerts: the newest alerts, oldest first."""

    alerts: list[Alert]


class TronPort:
    """Produces the answers of the routes, from TRON's status and the replica."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self._gateway = gateway
        self._status_counts = StatusCounts(gateway.replica.mirror)
        self._replica = gateway.replica
        self._port = port
        self._seen: tuple[int, int] = (-1, -1)
        self._alerts: list[Event] = []

    def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the body of the answer to GET /health."""
        tron = self._gateway.tron.status
        status = "unavailable" if not tron.reachable else "ok" if tron.watching else "degraded"
        body = {
            "status": status,
            "check_interval_s": CHECK_INTERVAL_S,
            "max_misses_before_down": tron.misses_before_down,
            "max_misses_before_deregister": tron.misses_before_deregister,
            "total_events": tron.alerts_issued,
        }
        return (200 if tron.reachable else 503), body

    def counts(self) -> dict[str, int]:
        """Return the number of all services, and of those with the status `ok`, `degraded` and `down`. Raises Refused
        (503) if no snapshot has been received yet."""
        self._gateway.need_snapshot()
        statuses = self._status_counts.read()
        return {
            "total": self._status_counts.total,
            "healthy": statuses["ok"],
            "degraded": statuses["degraded"],
            "down": statuses["down"],
        }

    def about(self) -> dict[str, Any]:
        """Return the body of the answer to GET /. Raises Refused (503) if no snapshot has been received yet."""
        counts, tron = self.counts(), self._gateway.tron.status
        return {
            "service": "PAS Heartbeat Monitor",
            "version": "1.0.0",
            "port": self._port,
            "status": "running",
            "check_interval_s": CHECK_INTERVAL_S,
            "monitoring": {
                "total_services": counts["total"],
                "healthy": counts["healthy"],
                "down": counts["down"],
            },
            "thresholds": {
                "misses_before_down": tron.misses_before_down,
                "misses_before_deregister": tron.misses_before_deregister,
            },
            "endpoints": {"health": "/health", "stats": "/stats", "alerts": "/alerts"},
            "docs": "/docs",
        }

    def alerts(self, limit: int) -> list[dict[str, Any]]:
        """Return at most `limit` of the newest alerts, oldest first. Raises Refused (503) if the event log has not been
        read yet."""
        tail = self._replica.alerts
        if not tail.epoch:
            raise Refused(503, NOTHING_HEARD)
        if self._seen != (tail.epoch, tail.last):
            self._seen = (tail.epoch, tail.last)
            self._alerts = distinct(tail.newest(KEPT))
        newest = self._alerts[-limit:] if limit else []
        return [legacy_alert(event, self._replica.mirror.last_seen(event.service_id)) for event in newest]


def build(gateway: Gateway, port: int, *, open_to_pages: bool = True) -> FastAPI:
    """Return the application of the TRON port; `port` is the port on which it is served. `open_to_pages`: whether web
    pages of any origin may read the port, as in the legacy contract."""
    answers = TronPort(gateway, port)
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        title="PAS Heartbeat Monitor",
        version="1.0.0",
        summary="The legacy contract of TRON (port 6109).",
        max_body_size=gateway.max_body_bytes,
    )
    if open_to_pages:
        app.add_middleware(AnyOrigin)
    install_errors(app)
    describe(app)
    add_docs(app)

    def answer(document: Any, status: int = 200) -> Response:
        headers = {**gateway.freshness_as_text(), **headers_of(status)}
        return Response(to_json(document), status, headers, "application/json")

    @app.get("/", responses=AWAY)
    async def about() -> dict[str, Any]:
        """Return the name and the routes of this API, the number of services, and the thresholds."""
        return answers.about()

    @app.get(
        "/health", response_model=Health, responses={503: {"model": Health, "description": "TRON does not answer"}}
    )
    async def health() -> Response:
        """Return whether TRON answers and is watching the services."""
        status, body = answers.health()
        return answer(body, status)

    @app.get("/stats", response_model=Stats, responses=AWAY)
    async def stats() -> Response:
        """Return how many services there are, and how many have each status."""
        counts = answers.counts()
        body = {f"{name}_services": count for name, count in counts.items()}
        return answer({**body, "last_check": iso(gateway.tron.status.last_check)})

    @app.get("/alerts", response_model=Alerts, responses=AWAY)
    async def alerts(limit: Annotated[int, Query(ge=0)] = DEFAULT_LIMIT) -> Response:
        """Return the newest alerts of the four legacy types, oldest first. At most the newest thousand are
        available."""
        return answer({"alerts": answers.alerts(limit)})

    return app
