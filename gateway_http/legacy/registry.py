"""The legacy Registry REST API on port 6121: reads are answered from the replica, writes go to the registry over
gRPC."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, FastAPI, Query, Response
from starlette.exceptions import HTTPException
from tron_client import InvalidRequest, Service, ServiceNotFound, TronError

from gateway_http.gateway import Gateway
from gateway_http.http.api_docs import add_docs
from gateway_http.http.asgi import JSON_TYPE, Message, Receive, Scope, Send, is_json, read_small, replay, send_bytes
from gateway_http.http.openapi import describe
from gateway_http.http.problems import Refused, headers_of, install_errors
from gateway_http.http.problems import status_of as error_status
from gateway_http.legacy import bodies
from gateway_http.legacy.declarations import declared, wrong_fields
from gateway_http.legacy.plain_beats import MOST_MESSAGE, plain_beat
from gateway_http.legacy.rows import (
    DISCOVERED,
    LISTED,
    WHOLE,
    Listing,
    Rows,
    iso,
    row,
    some_items,
    sql_time,
    status_of,
    to_json,
)
from gateway_http.legacy.status_counts import StatusCounts
from gateway_http.replica.entry import Reported

BEAT_BYTES = 64 << 10
"""Maximum size of a heartbeat that is handled without FastAPI, in bytes."""

ENDPOINTS = {
    "health": "/health",
    "register": "POST /register",
    "heartbeat": "PUT /heartbeat",
    "discover": "GET /discover",
    "promote": "POST /promote",
    "deregister": "POST /deregister",
    "list_all": "GET /services",
    "get_service": "GET /services/{service_id}",
}

AWAY: dict[int | str, dict[str, Any]] = {
    503: {"model": bodies.Detail, "description": "The registry is unreachable; try again after `Retry-After` seconds"}
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": bodies.Detail, "description": "There is no such service"}}
TOO_LARGE: dict[int | str, dict[str, Any]] = {413: {"model": bodies.Detail, "description": "The body is too large"}}
UNREADABLE: dict[int | str, dict[str, Any]] = {
    400: {"model": bodies.Detail, "description": "The body is not valid JSON"}
}
BODY = {**TOO_LARGE, **UNREADABLE, **AWAY}


class RegistryPort:
    """The application of the registry port. It handles frequent reads and heartbeats directly, and passes all other
    requests, such as those for /docs, to FastAPI."""

    def __init__(self, gateway: Gateway, port: int, mounted: Sequence[APIRouter] = ()) -> None:
        """`mounted`: further routes of this port."""
        self._gateway = gateway
        self._replica = gateway.replica
        self._actions = gateway.actions
        self._port = port
        self._listing = Listing(gateway.replica.mirror)
        self._whole = Rows(WHOLE)
        self._status_counts = StatusCounts(gateway.replica.mirror)
        self.app = self._build(mounted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            if method == "PUT" and path == "/heartbeat":
                await self._put_heartbeat(scope, receive, send)
                return
            if method == "GET" and self._replica.loaded:
                if path == "/services" and self._gateway.shows_everything():
                    await send_bytes(send, self._listing.body(), (JSON_TYPE, *self._gateway.freshness()))
                    return
                raw: bytes = scope["raw_path"]
                if raw.startswith(b"/services/") and (word := raw[10:]) and b"/" not in word:
                    # The raw path tells a slash that is part of an id (%2F) from one that divides the path.
                    await self._send_service(unquote(word.decode("latin-1")), send)
                    return
        await self.app(scope, receive, send)

    # --- heartbeats -------------------------------------------------------------------------------------------------

    async def _put_heartbeat(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body, messages = await read_small(receive, BEAT_BYTES)
        except HTTPException as error:
            await self.app(scope, _failing(error), send)  # a body that cannot be read; the long way says why
            return
        plain = is_json(scope) and len(body) <= BEAT_BYTES
        beat = plain_beat(body) if plain else None
        if beat is None:
            # Not an ordinary heartbeat: what is wrong with it, if anything, is said in the long form.
            await self.app(scope, replay(messages, receive), send)
            return
        try:
            done = await self._beat(*beat)
        except (ServiceNotFound, InvalidRequest):  # an id that cannot be registered is not there either
            await send_bytes(send, to_json({"detail": _not_found(beat[0])}), status=404)
        except TronError as error:
            await _send_error(send, error)
        else:
            await send_bytes(send, done)

    async def _beat(self, service_id: str, reported: Reported) -> bytes:
        acknowledged = await self._actions.beat(service_id, reported)
        now = max(acknowledged.heard_at, datetime.now(UTC))
        return b'{"success":true,"ts":"%s"}' % (iso(now) or "").encode()

    # --- reads ------------------------------------------------------------------------------------------------------

    async def _send_service(self, service_id: str, send: Send) -> None:
        try:
            found = await self._find(service_id)
        except TronError as error:
            await _send_error(send, error)
            return
        headers = (JSON_TYPE, *self._gateway.freshness())
        if found is None:
            await send_bytes(send, to_json({"detail": _not_found(service_id)}), headers, 404)
        else:
            await send_bytes(send, found, headers)

    async def _find(self, service_id: str) -> bytes | None:
        """Return the row of a service that the caller may read; None if there is none. Raises TronError."""
        if self._gateway.shows_everything():
            entry = self._replica.mirror.entries.get(service_id)
            return None if entry is None else self._whole.of(entry)
        try:
            columns = row(await self._gateway.registry.get_service(service_id))
        except (ServiceNotFound, InvalidRequest):
            return None
        return to_json({key: columns[key] for key in WHOLE})

    def _read(self, body: bytes) -> Response:
        return Response(body, media_type="application/json", headers=self._gateway.freshness_as_text())

    def _counts(self) -> tuple[int, int]:
        healthy = self._status_counts.read()["ok"]
        return self._status_counts.total, healthy

    # --- FastAPI ----------------------------------------------------------------------------------------------------

    def _build(self, mounted: Sequence[APIRouter]) -> FastAPI:
        app = FastAPI(
            docs_url=None,
            redoc_url=None,
            title="PAS Service Registry",
            version="1.0.0",
            summary="The legacy contract of the registry (port 6121), and the JSON API under /v1.",
            strict_content_type=False,
            max_body_size=self._gateway.max_body_bytes,
        )
        install_errors(app)
        for router in mounted:
            app.include_router(router)
        describe(app)
        add_docs(app)

        @app.get("/", responses=AWAY)
        async def about() -> dict[str, Any]:
            """Return the name and the routes of this API, and the number of services."""
            self._gateway.need_snapshot()
            registered, healthy = self._counts()
            return {
                "service": "PAS Service Registry",
                "version": "1.0.0",
                "port": self._port,
                "status": "running",
                "registered_services": registered,
                "healthy_services": healthy,
                "endpoints": ENDPOINTS,
                "docs": "/docs",
            }

        @app.get("/health", responses=AWAY)
        async def health() -> Response:
            """Return the status of this port, which is `degraded` while the registry is unreachable. `healthy` is the
            number of services with the status `ok`."""
            self._gateway.need_snapshot()
            registered, healthy = self._counts()
            status = "ok" if self._replica.live else "degraded"
            counts = {"registered": registered, "healthy": healthy, "total_events": self._actions.counted}
            return self._read(to_json({"status": status, **counts}))

        @app.post("/register", responses=BODY)
        async def register(body: bodies.Registration) -> bodies.Registered:
            """Register a service, or register it again. A registration counts as a heartbeat."""
            try:
                service = await self._actions.register(declared(body))
            except InvalidRequest as error:
                raise Refused(422, wrong_fields(error, body)) from error
            return bodies.Registered(service_id=service.service_id, registered_at=sql_time(service.registered_at) or "")

        @app.put("/heartbeat", responses={**BODY, **NOT_FOUND})
        async def heartbeat(body: bodies.Heartbeat) -> bodies.Done:
            """Send a heartbeat. The status 200 means that the registry has received it."""
            message = None if body.message is None else body.message[:MOST_MESSAGE]
            reported = Reported(body.status, body.p95_ms, body.queue_depth, body.load, message)
            with _named(body.service_id):
                return bodies.Done(**json.loads(await self._beat(body.service_id, reported)))

        @app.get("/services", response_model=bodies.ServiceList, responses=AWAY)
        async def list_services() -> Response:
            """List all services; with authentication, only those that the caller may read."""
            if not self._gateway.shows_everything():
                return self._read(some_items((await self._gateway.registry.list_services()).services, LISTED))
            self._gateway.need_snapshot()
            return self._read(self._listing.body())

        @app.get("/services/{service_id}", response_model=bodies.WholeService, responses={**AWAY, **NOT_FOUND})
        async def get_service(service_id: str) -> Response:
            """Return one service. A slash in its id must be written as %2F."""
            if self._gateway.shows_everything():
                self._gateway.need_snapshot()
            found = await self._find(service_id)
            if found is None:
                raise Refused(404, _not_found(service_id))
            return self._read(found)

        @app.get("/discover", response_model=bodies.DiscoveredList, responses=AWAY)
        async def discover(
            type: Annotated[str | None, Query(pattern="^(model|tool|agent)$")] = None,  # noqa: A002
            role: Annotated[str | None, Query(pattern="^(production|staging|canary|experimental)$")] = None,
            cap: str | None = None,
            name: str | None = None,
            status: str | None = None,
        ) -> Response:
            """List the services that match all given filters exactly. An empty cap, name or status is ignored."""

            def wanted(service: Service) -> bool:
                return (
                    (not type or service.type == type)
                    and (not role or service.role == role)
                    and (not cap or cap in service.caps)
                    and (not name or service.name == name)
                    and (not status or status_of(service) == status)
                )

            if not self._gateway.shows_everything():
                services = (await self._gateway.registry.list_services()).services
                return self._read(some_items(filter(wanted, services), DISCOVERED))
            self._gateway.need_snapshot()
            return self._read(self._listing.discover(wanted))

        @app.post("/deregister", responses={**BODY, **NOT_FOUND})
        async def deregister(body: bodies.ServiceId) -> bodies.Done:
            """Remove a service intentionally; no alert is sent."""
            with _named(body.service_id):
                await self._actions.deregister(body.service_id, "deregistered over REST")
            return bodies.Done(success=True, ts=iso(datetime.now(UTC)) or "")

        @app.post("/promote", responses={**BODY, **NOT_FOUND})
        async def promote(body: bodies.Promotion) -> bodies.Promoted:
            """Change the role of every service that has this name and the role `from_role`."""
            try:
                count = await self._actions.promote(body.name, body.from_role, body.to_role)
            except (ServiceNotFound, InvalidRequest) as error:
                detail = f"No services found with name='{body.name}' and role='{body.from_role}'"
                raise Refused(404, detail) from error
            return bodies.Promoted(updated_instances=count, ts=iso(datetime.now(UTC)) or "")

        return app


class _named:  # noqa: N801 - reads as a word
    """Answers with the legacy 404 if an id is unknown or cannot be registered."""

    def __init__(self, service_id: str) -> None:
        self._service_id = service_id

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ServiceNotFound | InvalidRequest):
            raise Refused(404, _not_found(self._service_id)) from error


async def _send_error(send: Send, error: TronError) -> None:
    status = error_status(error)
    retry = tuple((name.lower().encode(), value.encode()) for name, value in headers_of(status).items())
    await send_bytes(send, to_json({"detail": error.message or error.reason}), (JSON_TYPE, *retry), status)


def _not_found(service_id: str) -> str:
    return f"Service {service_id} not found"


def _failing(error: HTTPException) -> Receive:
    async def fail() -> Message:
        raise error

    return fail
