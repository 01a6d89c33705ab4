"""The legacy HMI, port 6101: the System Status page, what it reads beside /v1, and `/api/*` about service status."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Query, Response
from pydantic import AfterValidator, BaseModel, Field, model_validator
from tron_client import NotImplementedYet, RegistryUnavailable, ServiceNotFound, TronError, wire

from gateway_http.gateway import Gateway
from gateway_http.http.api_docs import add_docs
from gateway_http.http.json_bounds import check_object
from gateway_http.http.openapi import describe
from gateway_http.http.problems import Refused, install_errors, own_pages_only
from gateway_http.legacy import hhmrs_settings as hhmrs
from gateway_http.legacy.alerts import distinct
from gateway_http.legacy.hmi_views import DIRECT_CHAT, agents_of, alerts_of, tree_of
from gateway_http.legacy.port_check import SystemStatus, ask_health
from gateway_http.legacy.rows import LISTED, iso, row, to_json
from gateway_http.replica.tail import KEPT

NEIGHBOURS: Mapping[str, int] = {"registry": 6121, "heartbeat_monitor": 6109, "event_stream": 6102}
FOREIGN: Mapping[str, int] = {"resource_manager": 6104, "token_governor": 6105}
"""Ports of /api/metrics: those that the gateway serves itself, and those of other programs."""

METRICS = ("registry", "heartbeat_monitor", "resource_manager", "token_governor", "event_stream")
MOST_ALERTS = 100
MOST_OPEN = 1000
MOST_LOST = 100
OPEN_KEPT_FOR = 0.5
"""Seconds for which the list of open alerts is good for everybody who asks."""

ServiceId = Annotated[str, Query(min_length=1, max_length=512)]


class Acknowledgement(BaseModel):
    """What POST /api/alerts/acknowledge takes: one of the three."""

    alert_id: Annotated[str, Field(max_length=512)] = ""
    service_id: Annotated[str, Field(max_length=512)] = ""
    all: bool = False

    @model_validator(mode="after")
    def _one(self) -> Acknowledgement:
        if bool(self.alert_id) + bool(self.service_id) + self.all != 1:
            raise ValueError("give one of alert_id, service_id and all")
        return self


class HhmrsSettings(BaseModel):
    """What POST /api/settings/hhmrs takes."""

    hhmrs: Annotated[dict[str, Any], AfterValidator(check_object)]
    """At most 16 KiB."""


class Hmi:
    """What the routes answer from."""

    def __init__(self, gateway: Gateway, port: int, neighbours: Mapping[str, int]) -> None:
        self._gateway = gateway
        self._replica = gateway.replica
        self._port = port
        self._neighbours = {**neighbours, **FOREIGN}
        self._system = SystemStatus(gateway.data_dir)
        self._started = time.monotonic()
        self._started_at = time.time()
        self._asking = asyncio.Lock()
        self._open: list[str] = []
        self._lost: list[dict[str, Any]] = []
        self._open_at = float("-inf")

    # --- the legacy /api ----------------------------------------------------------------------------------------------

    @property
    def is_away(self) -> bool:
        """Whether the legacy HMI would have found no registry."""
        return not (self._replica.loaded and self._replica.live)

    def health(self) -> dict[str, Any]:
        """GET /health."""
        return {"status": "ok", "service": "hmi_app", "port": self._port, "timestamp": _now(), **self._uptime()}

    def services(self) -> list[dict[str, Any]]:
        """The items of the registry's GET /services, in their order."""
        ordered = sorted(
            self._replica.services_as_heard.values(), key=lambda each: (each.name, each.role, each.service_id)
        )
        rows = map(row, ordered)
        return [{key: each[key] for key in LISTED} for each in rows]

    def tree(self) -> dict[str, Any]:
        """GET /api/tree."""
        return tree_of(self._replica.services_as_heard)

    def agents(self) -> dict[str, Any]:
        """GET /api/agents."""
        agents = [] if self.is_away else agents_of(self._replica.services_as_heard.values())
        if len(agents) > 1:
            return {"status": "ok", "agents": agents, "count": len(agents)}
        return {"status": "ok", "agents": [DIRECT_CHAT], "count": 1, "fallback": True}

    def alerts(self) -> list[dict[str, Any]]:
        """The newest alerts of the four legacy types, oldest first."""
        newest = distinct(self._replica.alerts.newest(KEPT))[-MOST_ALERTS:]
        known = [self._replica.mirror.last_seen(event.service_id) for event in newest]
        return alerts_of(newest, {each.service_id: each for each in known if each is not None})

    async def metrics(self) -> dict[str, Any]:
        """GET /api/metrics: always these five, asked all at once."""
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
        """GET /api/system/status."""
        return await self._system.read(registry_live=self._replica.live)

    # --- what the page reads beside /v1 -------------------------------------------------------------------------------

    async def history(self, *, with_events: bool) -> dict[str, Any]:
        """What happened, since when that is known, when nobody watched, and which alerts wait."""
        watched = self._gateway.watched
        events = self._replica.events if with_events else []
        # Fewer than are kept: that is all there is, however long ago.
        covered = events[0].occurred_at if len(events) >= KEPT else None
        known = [moment for moment in (covered, watched.forgotten_until) if moment is not None]
        return {
            "now": wire.rfc3339(self._replica.now()),
            "events": [each.to_dict() for each in events],
            "covered": wire.rfc3339(max(known, default=datetime.fromtimestamp(0, UTC))),
            "gaps": [[wire.rfc3339(gap.since), wire.rfc3339(gap.until)] for gap in watched.gaps],
            **await self._unacknowledged(),
        }

    async def explain(self, service_id: str) -> dict[str, Any]:
        """All that is known of a service, and why TRON judges it so; `note` says why where TRON does not say."""
        service = self._replica.service(service_id)
        explanation: dict[str, Any] | None = None
        note = ""
        try:
            explained = await self._gateway.tron.explain(service_id)
        except NotImplementedYet:
            note = "This TRON does not explain its verdicts; the facts below are all there is."
        except ServiceNotFound:
            note = "TRON does not judge this service now."
        except TronError as error:
            note = f"TRON can not be asked now: {error.message or error.reason}"
        else:
            deadlines = [{"what": each["what"], "due_in": _seconds(each["due_in"])} for each in explained["deadlines"]]
            explanation = {
                "verdict": explained["verdict"],
                "rule": explained["rule"],
                "deadlines": deadlines,
                "evidence": explained.get("evidence", {}),
            }
        if service is None and explanation is None:
            raise Refused(404, f"no service has the id {service_id!r}")
        return {"service": None if service is None else service.to_dict(), "explanation": explanation, "note": note}

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _unacknowledged(self) -> dict[str, Any]:
        """The ids of alerts that wait, and who was lost; as known before, where the registry can not be asked."""
        async with self._asking:
            if time.monotonic() - self._open_at > OPEN_KEPT_FOR:
                try:
                    page = await self._gateway.registry.list_events(limit=MOST_OPEN, unacknowledged=True, newest=True)
                    lost = await self._gateway.registry.list_gone_services(limit=MOST_LOST, unacknowledged=True)
                    self._open = list(dict.fromkeys(event.alert_id for event in page.events))
                    self._lost = [each.to_dict() for each in lost]
                    self._open_at = time.monotonic()
                except TronError:
                    pass  # shown as it was; the page says by itself that the registry is away
        return {"open": self._open, "lost": self._lost}

    def forget_open(self) -> None:
        """Somebody acknowledged: the next who asks must not be told what was before."""
        self._open_at = float("-inf")

    async def _ask(self, name: str) -> dict[str, Any]:
        answer = await ask_health(self._neighbours[name])
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
    """The application; `port` is the one that it is served on, `neighbours` are those of the gateway's other ports,
    `mounted` is what else this port serves."""
    hmi = Hmi(gateway, port, neighbours)
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        title="PAS HMI",
        version="1.0.0",
        summary="The System Status page, and the legacy contract of the HMI about service status (port 6101).",
        dependencies=[Depends(own_pages_only)],
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
        return answer({"error": "the registry is away", **empty}, 500)

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the HMI works."""
        return hmi.health()

    @app.get("/api/services", responses={500: {"description": "The registry is away; `services` is empty"}})
    async def services() -> Response:
        """The services, as the registry's GET /services has them."""
        return away(services=[]) if hmi.is_away else answer({"services": hmi.services()})

    @app.get("/api/tree", responses={500: {"description": "The registry is away; `children` is empty"}})
    async def tree() -> Response:
        """The services as a tree."""
        return away(name="Root", children=[]) if hmi.is_away else answer(hmi.tree())

    @app.get("/api/alerts", responses={500: {"description": "The registry is away; `alerts` is empty"}})
    async def alerts() -> Response:
        """The newest alerts of the four legacy types, oldest first."""
        return away(alerts=[]) if hmi.is_away else answer({"alerts": hmi.alerts()})

    @app.get("/api/agents")
    async def agents() -> Response:
        """The agents, by tier and name, after an entry for a direct chat."""
        return answer(hmi.agents())

    @app.get("/api/metrics")
    async def metrics() -> Response:
        """How healthy the five core programs call themselves."""
        return answer(await hmi.metrics())

    @app.get("/api/system/status")
    async def system_status() -> Response:
        """Which legacy ports of this machine are open, and six checks."""
        return answer(await hmi.system_status())

    @app.get("/api/settings/hhmrs")
    async def hhmrs_settings() -> dict[str, Any]:
        """Settings that are kept for whoever reads them; nothing here acts by them."""
        return await asyncio.to_thread(hhmrs.read, gateway.data_dir)

    @app.post(
        "/api/settings/hhmrs",
        responses={400: {"description": "A key is missing or out of range"}, 500: {"description": "Not written"}},
    )
    async def set_hhmrs_settings(body: HhmrsSettings) -> Response:
        """Replace the section `hhmrs`; all else that is kept stays."""
        if wrong := hhmrs.check(body.hhmrs):
            return answer({"status": "error", "error": wrong}, 400)
        try:
            await asyncio.to_thread(hhmrs.write, gateway.data_dir, body.hhmrs)
        except OSError as error:
            return answer({"status": "error", "error": str(error)}, 500)
        return answer({"status": "ok", "message": "HHMRS settings saved"})

    @app.get("/api/history")
    async def history(events: bool = True) -> Response:
        """For the page: the newest events, when nobody watched, and which alerts wait. `events=0`: without events."""
        return answer(await hmi.history(with_events=events))

    @app.get("/api/explain", responses={404: {"description": "There is no such service"}})
    async def explain(service_id: ServiceId) -> Response:
        """For the page: all that is known of a service, and why it is judged so."""
        return answer(await hmi.explain(service_id))

    @app.post(
        "/api/alerts/acknowledge",
        responses={
            400: {"description": "The body is no JSON"},
            403: {"description": "Asked by a page of another site"},
            404: {"description": "There is no such alert"},
            503: {"description": "The registry is away; try again after `Retry-After` seconds"},
        },
    )
    async def acknowledge(body: Acknowledgement) -> Response:
        """Acknowledge an alert for all its recipients, all about a service, or all that waits; and what was lost."""
        if not gateway.replica.live:
            raise RegistryUnavailable("the registry is away")
        if body.alert_id:
            done: dict[str, int] = {"acknowledged": await gateway.actions.acknowledge(body.alert_id)}
        else:
            found = await gateway.actions.acknowledge_all(body.service_id)
            done = {"acknowledged": found.copies, "lost_services": found.lost_services}
        hmi.forget_open()
        return answer(done)

    return app


def _now() -> str:
    return iso(datetime.now(UTC)) or ""


def _seconds(duration: str) -> float:
    """A Duration as protobuf writes it in JSON (`12.5s`), in seconds."""
    return float(duration.removesuffix("s"))
