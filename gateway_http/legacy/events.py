"""The legacy Event Stream on port 6102. It records broadcasts in the durable event log, and sends all events over
Socket.IO to legacy clients and as Server-Sent Events to new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from tron_client import Event, InvalidRequest, TronError

from gateway_http.gateway import Gateway
from gateway_http.http.api_docs import add_docs
from gateway_http.http.asgi import App, Receive, Scope, Send
from gateway_http.http.cors import AnyOrigin
from gateway_http.http.event_streams import EventStream
from gateway_http.http.json_bounds import check_object, check_text
from gateway_http.http.openapi import describe
from gateway_http.http.problems import SafeJSONResponse, headers_of, shown_errors, status_of, what_is_wrong
from gateway_http.legacy.alerts import BROADCAST
from gateway_http.legacy.broadcasts import local_iso
from gateway_http.legacy.event_buffer import EventBuffer
from gateway_http.legacy.rows import to_json
from gateway_http.legacy.socket_io import SocketIoClients
from gateway_http.replica.reader import Gap, Reader
from gateway_http.replica.tail import KEPT

log = structlog.get_logger("gateway")


class Broadcast(BaseModel):
    """The body of POST /broadcast."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"minProperties": 1, "example": {"event_type": "task_started", "data": {"task_id": "t1"}}},
    )

    event_type: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_text)] = "unknown"
    data: Annotated[dict[str, Any], AfterValidator(check_object)] = Field(default_factory=dict)
    """Any JSON object, at most 16 KiB, 1000 values and 16 levels deep. A missing `timestamp` is added."""


class Broadcasted(BaseModel):
    """The answer to POST /broadcast."""

    status: str
    event_type: str
    clients: int


class Health(BaseModel):
    """The answer to GET /health."""

    status: str
    service: str
    port: int
    connected_clients: int
    buffered_events: int
    timestamp: str


class Recent(BaseModel):
    """The answer to GET /events/recent: the newest events, oldest first."""

    events: list[dict[str, Any]]


class Refusal(BaseModel):
    """The body of an error response on this port."""

    error: str


class EventsPort:
    """The state of the Event Stream port: its connected clients, and the gateway whose events it sends."""

    def __init__(self, gateway: Gateway, port: int, *, open_to_pages: bool) -> None:
        self._gateway = gateway
        self._port = port
        self._buffer = EventBuffer(gateway.replica, log_not_translated)
        self.clients = SocketIoClients(self._buffer, open_to_pages=open_to_pages)

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """Return at most `limit` of the newest events in the format of /events/recent, oldest first."""
        self._buffer.catch_up()
        return self._buffer.recent(limit)

    def health(self) -> dict[str, Any]:
        """Return the body of the answer to GET /health."""
        self._buffer.catch_up()
        return {
            "status": "ok" if self._gateway.replica.live else "degraded",
            "service": "event_stream",
            "port": self._port,
            "connected_clients": self.clients.count,
            "buffered_events": len(self._buffer.history),
            "timestamp": local_iso(datetime.now(UTC)),
        }

    async def broadcast(self, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
        """Record an event in the event log, and send it to all clients. Return the body of the answer to POST
        /broadcast. Raises TronError."""
        data = {**data} if "timestamp" in data else {**data, "timestamp": local_iso(datetime.now(UTC))}
        about = data.get("service_id")
        known = isinstance(about, str) and 0 < len(about) <= 512 and about.isprintable() and about == about.strip()
        await self._gateway.actions.publish(event_type, data, service_id=about if known else "", action=BROADCAST)
        self._buffer.catch_up()
        await self.clients.send_pending()
        return {"status": "broadcasted", "event_type": event_type, "clients": self.clients.count}

    async def follow(self, after: int | None) -> AsyncIterator[bytes]:
        """Yield events as Server-Sent Events, without end: the events after the sequence number `after`, then new ones.
        None means only new events."""
        reader = Reader(self._gateway.replica, None, after)
        yield b"retry: 1000\n\n"
        while True:
            events = reader.events()
            self._buffer.catch_up()
            for event in events:
                if isinstance(event, Gap):
                    yield b"id: %d\nevent: gap\ndata: {}\n\n" % event.last
                    continue
                envelopes = self._buffer.envelopes_of(event)
                for place, envelope in enumerate(envelopes):
                    # Only the last one moves the cursor: a client that is cut off before it gets all of them again.
                    number = b"id: %d\n" % event.sequence if place == len(envelopes) - 1 else b""
                    yield number + b"data: " + to_json(envelope) + b"\n\n"
            if not events:
                yield b": still here\n\n"
            await reader.wait(15.0)


def log_not_translated(event: Event, error: Exception) -> None:
    """Log that an event could not be converted to the legacy format."""
    why = f"{type(error).__name__}: {error}"
    log.error("event_not_translated", sequence=event.sequence, type=event.type, why=why)


class _Entry:
    """Passes requests below /socket.io/ to the Socket.IO server, and all others to the application."""

    def __init__(self, clients: SocketIoClients, app: App, *, open_to_pages: bool) -> None:
        self._clients = clients
        self._app: App = AnyOrigin(app, always=True) if open_to_pages else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not scope["path"].startswith("/socket.io/"):
            await self._app(scope, receive, send)
        else:
            await self._clients(scope, receive, send)


def build(gateway: Gateway, port: int, *, open_to_pages: bool = True) -> App:
    """Return the application of the Event Stream; `port` is the port on which it is served. From its startup to its
    shutdown, the application sends new events to the Socket.IO clients. `open_to_pages`: whether web pages of any
    origin may read the port, as in the legacy contract."""
    events = EventsPort(gateway, port, open_to_pages=open_to_pages)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pump = asyncio.create_task(events.clients.run())
        try:
            yield
        finally:
            pump.cancel()
            await asyncio.wait({pump})

    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        title="Event Stream",
        version="1.0.0",
        summary="The legacy contract of the Event Stream (port 6102); Socket.IO is at /socket.io/.",
        lifespan=lifespan,
        max_body_size=gateway.max_body_bytes,
    )
    describe(app)
    add_docs(app)
    _install_errors(app)
    refusals: dict[int | str, dict[str, Any]] = {
        400: {"model": Refusal, "description": "The body is invalid"},
        413: {"model": Refusal, "description": "The body is too large"},
        503: {"model": Refusal, "description": "The registry is unreachable; try again after `Retry-After` seconds"},
    }

    @app.post("/broadcast", response_model=Broadcasted, responses=refusals)
    async def broadcast(body: Broadcast) -> Response:
        """Record an event, and send it to all clients. The answer is sent once the event is on disk."""
        if not body.model_fields_set and not body.model_extra:
            return SafeJSONResponse({"error": "No JSON payload"}, 400)
        return SafeJSONResponse(await events.broadcast(body.event_type, body.data))

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Return whether the port works, the number of connected clients, and the number of events that a new client
        receives."""
        return SafeJSONResponse(events.health(), headers=gateway.freshness_as_text())

    @app.get("/events/recent", response_model=Recent, responses={400: refusals[400]})
    async def recent(limit: Annotated[int, Query(ge=1, le=KEPT)] = 50) -> Response:
        """Return the newest events, oldest first. Each event is one flat JSON object."""
        return SafeJSONResponse({"events": events.recent(limit)}, headers=gateway.freshness_as_text())

    @app.get(
        "/events/stream",
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Events"},
            503: refusals[503],
        },
    )
    async def stream(last_event_id: Annotated[str, Header()] = "") -> Response:
        """Stream events as Server-Sent Events. The `data` of each message is one event in the format that Socket.IO
        clients receive. With the header `Last-Event-ID`, the stream continues after the event with this id."""
        if not gateway.streams.admit():
            return SafeJSONResponse({"error": "too many streams are open"}, 503, headers_of(503))
        after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 19 else None
        return EventStream(gateway.streams, events.follow(after))

    return _Entry(events.clients, app, open_to_pages=open_to_pages)


def refusal_body(_path: str, _status: int, text: str, _reason: str) -> tuple[bytes, bytes]:
    """Return the body and the content type of a refusal, in the format of the Event Stream port."""
    return to_json({"error": text}), b"application/json"


def _install_errors(app: FastAPI) -> None:
    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        if error.body is not None and not error.body:
            return SafeJSONResponse({"error": "No JSON payload"}, 400)
        wrong = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in shown_errors(error)]
        return SafeJSONResponse({"error": "; ".join(wrong)}, 400)

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, TronError)
        status = 400 if isinstance(error, InvalidRequest) else status_of(error)
        return SafeJSONResponse({"error": error.message or error.reason}, status, headers_of(status))

    async def http_error(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return SafeJSONResponse({"error": what_is_wrong(error)}, error.status_code, error.headers)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(TronError, failed)
    app.add_exception_handler(HTTPException, http_error)
