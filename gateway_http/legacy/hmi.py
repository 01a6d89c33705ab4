"""The legacy HMI on port 6101: the routes `/api/*` about service status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Response
from pydantic import AfterValidator, BaseModel

from gateway_http.gateway import Gateway
from gateway_http.http.api_docs import add_docs
from gateway_http.http.json_bounds import check_object
from gateway_http.http.openapi import describe
from gateway_http.http.problems import install_errors
from gateway_http.legacy import hhmrs_settings as hhmrs
from gateway_http.legacy.alerts import distinct
from gateway_http.legacy.hmi_views import DIRECT_CHAT, agents_of, alerts_of, tree_of
from gateway_http.legacy.port_check import SystemStatus, ask_health
from gateway_http.legacy.rows import LISTED, iso, row, to_json
from gateway_http.replica.tail import KEPT

NEIGHBOURS: Mapping[str, int] = {"registry": 6121, "heartbeat_monitor": 6109, "event_stream": 6102}
FOREIGN: Mapping[str, int] = {"resource_manager": 6104, "token_governor": 6105}
"""Ports of the programs in /api/metrics that do not belong to the gateway. NEIGHBOURS has the ports of the gateway
itself."""

METRICS = ("registry", "heartbeat_monitor", "resource_manager", "token_governor", "event_stream")
MOST_ALERTS = 100


class HhmrsSettings(BaseModel):
    """The body of POST /api/settings/hhmrs."""

    hhmrs: Annotated[dict[str, Any], AfterValidator(check_object)]
    """The new content of the section `hhmrs`, at most 16 KiB."""


class Hmi:
    """Produces the answers of the routes, from the replica and from checks of this machine."""

    def __init__(self, gateway: Gateway, port: int, neighbours: Mapping[str, int]) -> None:
        self._gateway = gateway
        self._replica = gateway.replica
        self._port = port
        self._neighbours = {**neighbours, **FOREIGN}
        self._system = SystemStatus(gateway.data_dir)
        self._started = time.monotonic()
        self._started_at = time.time()

    @property
    def is_away(self) -> bool:
        """Whether the registry is unreachable, or has not sent a snapshot yet. The legacy HMI answers some requests
        with status 500 then."""
        return not (self._replica.loaded and self._replica.live)

    def health(self) -> dict[str, Any]:
        """Return the body of the answer to GET /health."""
        return {"status": "ok", "service": "hmi_app", "port": self._port, "timestamp": _now(), **self._uptime()}

    def services(self) -> list[dict[str, Any]]:
        """Return all services in the format and the order of GET /services of the legacy registry."""
        ordered = sorted(
            self._replica.services_as_heard.values(), key=lambda each: (each.name, each.role, each.service_id)
        )
        rows = map(row, ordered)
        return [{key: each[key] for key in LISTED} for each in rows]

    def tree(self) -> dict[str, Any]:
        """Return the body of the answer to GET /api/tree."""
        return tree_of(self._replica.services_as_heard)

    def agents(self) -> dict[str, Any]:
        """Return the body of the answer to GET /api/agents."""
        agents = [] if self.is_away else agents_of(self._replica.services_as_heard.values())
        if len(agents) > 1:
            return {"status": "ok", "agents": agents, "count": len(agents)}
        return {"status": "ok", "agents": [DIRECT_CHAT], "count": 1, "fallback": True}

    def alerts(self) -> list[dict[str, Any]]:
        """Return the newest alerts of the four legacy types, oldest first."""
        newest = distinct(self._replica.alerts.newest(KEPT))[-MOST_ALERTS:]
        known = [self._replica.mirror.last_seen(event.service_id) for event in newest]
        return alerts_of(newest, {each.service_id: each for each in known if each is not None})

    async def metrics(self) -> dict[str, Any]:
        """Return the body of the answer to GET /api/metrics: the health of five fixed programs, which are asked
        concurrently."""
        answers = await asyncio.gather(*(self._ask(name) for name in METRICS))
        services = dict(zip(METRICS, answers, strict=True))
        healthy = sum(each.get("status") == "ok" for each in answers)
        agents = sum(each.type == "agent" for each in self._replica.services_as_heard.values())
        summary = {
            "total_services": len(METRICS),
            "healthy_services": healthy,
            "health_percentage": healthy / len(METRICS) * 100,
            "total_agents": agents,
            **self._uptime(),
        }
        return {"timestamp": _now(), "services": services, "summary": summary}

    async def system_status(self) -> dict[str, Any]:
        """Return the body of the answer to GET /api/system/status."""
        return await self._system.read(registry_live=self._replica.live)

    async def _ask(self, name: str) -> dict[str, Any]:
        ours = name not in FOREIGN
        answer = await ask_health(self._neighbours[name], tls=ours and self._gateway.config.cert is not None)
        return {"status": "error"} if answer is None else answer

    def _uptime(self) -> dict[str, Any]:
        uptime = round(time.monotonic() - self._started, 1)
        return {"uptime_seconds": uptime, "server_start_time": self._started_at}


def build(
    gateway: Gateway,
    port: int,
    neighbours: Mapping[str, int] = NEIGHBOURS,
    mounted: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application of the HMI. `port`: the port on which it is served; `neighbours`: the other ports of the
    same gateway, by name; `mounted`: further routes to serve on this port."""
    hmi = Hmi(gateway, port, neighbours)
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        title="PAS HMI",
        version="1.0.0",
        summary="The System Status page, and the legacy contract of the HMI about service status (port 6101).",
        max_body_size=gateway.max_body_bytes,
    )
    install_errors(app)
    for router in mounted:
        app.include_router(router)
    describe(app)
    add_docs(app)

    def answer(document: Any, status: int = 200) -> Response:
        return Response(to_json(document), status, gateway.freshness_as_text(), "application/json")

    def away(**empty: Any) -> Response:
        return answer({"error": "the registry is unreachable", **empty}, 500)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Return whether the HMI works."""
        return hmi.health()

    @app.get("/api/services", responses={500: {"description": "The registry is unreachable; `services` is empty"}})
    async def services() -> Response:
        """Return all services, in the format of the legacy registry's GET /services."""
        return away(services=[]) if hmi.is_away else answer({"services": hmi.services()})

    @app.get("/api/tree", responses={500: {"description": "The registry is unreachable; `children` is empty"}})
    async def tree() -> Response:
        """Return the services as a tree of parents and children."""
        return away(name="Root", children=[]) if hmi.is_away else answer(hmi.tree())

    @app.get("/api/alerts", responses={500: {"description": "The registry is unreachable; `alerts` is empty"}})
    async def alerts() -> Response:
        """Return the newest alerts of the four legacy types, oldest first."""
        return away(alerts=[]) if hmi.is_away else answer({"alerts": hmi.alerts()})

    @app.get("/api/agents")
    async def agents() -> Response:
        """Return all agents, ordered by tier and name. The first entry is not an agent, but the direct chat of the
        legacy HMI."""
        return answer(hmi.agents())

    @app.get("/api/metrics")
    async def metrics() -> Response:
        """Return the health that the five core programs report about themselves."""
        return answer(await hmi.metrics())

    @app.get("/api/system/status")
    async def system_status() -> Response:
        """Return which ports of the legacy programs are open on this machine, and the results of six checks."""
        return answer(await hmi.system_status())

    @app.get("/api/settings/hhmrs")
    async def hhmrs_settings() -> dict[str, Any]:
        """Return the stored HHMRS settings. They are kept for programs that read them, and have no effect on TRON."""
        return await asyncio.to_thread(hhmrs.read, gateway.data_dir)

    @app.post(
        "/api/settings/hhmrs",
        responses={
            400: {"description": "A key is missing or out of range"},
            500: {"description": "The settings could not be written"},
        },
    )
    async def set_hhmrs_settings(body: HhmrsSettings) -> Response:
        """Replace the section `hhmrs` of the stored settings, and keep all other sections."""
        if wrong := hhmrs.check(body.hhmrs):
            return answer({"status": "error", "error": wrong}, 400)
        try:
            await asyncio.to_thread(hhmrs.write, gateway.data_dir, body.hhmrs)
        except OSError as error:
            return answer({"status": "error", "error": str(error)}, 500)
        return answer({"status": "ok", "message": "HHMRS settings saved"})

    return app


def _now() -> str:
    return iso(datetime.now(UTC)) or ""
