"""The legacy Event Stream, port 6102: broadcasts into the durable log; Socket.IO for old clients, SSE for new ones."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import socketio
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from tron_client import Event, InvalidRequest, TronError

from gateway_http.gateway import Gateway
from gateway_http.http.api_docs import add_docs
from gateway_http.http.asgi import App, Receive, Scope, Send, send_bytes
from gateway_http.http.cors import AnyOrigin
from gateway_http.http.event_streams import EventStream
from gateway_http.http.json_bounds import check_object, check_text
from gateway_http.http.openapi import describe
from gateway_http.http.problems import SafeJSONResponse, headers_of, shown_errors, status_of, what_is_wrong
from gateway_http.legacy.alerts import BROADCAST
from gateway_http.legacy.broadcasts import Envelope, Translator, flat, local_iso
from gateway_http.legacy.rows import to_json
from gateway_http.replica.reader import Gap, Reader
from gateway_http.replica.tail import KEPT

HISTORY = 100
"""Events that a new Socket.IO client gets, as the legacy buffer held."""

MOST_QUEUED = 1000
"""Messages that wait for one Socket.IO client. Overflow rule: the client is disconnected; it has the history when it
comes again."""

MOST_CLIENTS = 1000
"""Socket.IO sessions. Overflow rule: the next is answered 503."""

MOST_PACKET = 64 << 10
"""Bytes of one packet from a Socket.IO client; they only ever ask."""

LIVE = "live"


class Broadcast(BaseModel):
    """What POST /broadcast takes."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={"minProperties": 1, "example": {"event_type": "task_started", "data": {"task_id": "t1"}}},
    )

    event_type: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_text)] = "unknown"
    data: Annotated[dict[str, Any], AfterValidator(check_object)] = Field(default_factory=dict)
    """Any JSON object, at most 16 KiB and 16 levels deep. Without a `timestamp` one is inserted."""


class Broadcasted(BaseModel):
    """The answer to POST /broadcast."""

    status: str
    event_type: str
    clients: int


class Health(BaseModel):
    """GET /health."""

    status: str
    service: str
    port: int
    connected_clients: int
    buffered_events: int
    timestamp: str


class Recent(BaseModel):
    """GET /events/recent, oldest first."""

    events: list[dict[str, Any]]


class Refusal(BaseModel):
    """What went wrong."""

    error: str


class EventsPort:
    """What was broadcast, as far as it is kept in memory, and the clients that listen."""

    def __init__(self, gateway: Gateway, port: int) -> None:
        self._gateway = gateway
        self._port = port
        self._reader = Reader(gateway.replica)
        self._translator = Translator(gateway.replica.mirror.last_seen)
        self._loaded = 0
        self._made: OrderedDict[int, list[Envelope]] = OrderedDict()
        self._history: deque[Envelope] = deque(maxlen=HISTORY)
        # Overflow rule: the oldest is dropped; clients see it in the history. It is emptied at each turn of the pump.
        self._pending: deque[Envelope] = deque(maxlen=KEPT)
        self._sids: set[str] = set()
        self.sio: Any = socketio.AsyncServer(
            async_mode="asgi",
            cors_allowed_origins="*",
            cors_credentials=False,
            ping_interval=25,
            ping_timeout=20,
            max_http_buffer_size=MOST_PACKET,
            always_connect=True,
            logger=False,
            engineio_logger=False,
        )
        self.sio.on("connect", self._connected)
        self.sio.on("disconnect", self._disconnected)
        self.sio.on("ping", self._ping)
        self.sio.on("request_history", self._request_history)

    # --- events -----------------------------------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Translate what came to the log since the last call."""
        tail = self._gateway.replica.tail
        if tail.epoch and not self._loaded:
            self._loaded = tail.epoch
            self._reader.events()
            for known in tail.newest(KEPT):
                self._translate(known)
            self._pending.clear()
            return
        for event in self._reader.events():
            if not isinstance(event, Gap):
                self._translate(event)

    def _translate(self, event: Event) -> None:
        envelopes = self._translator.envelopes(event)
        self._made[event.sequence] = envelopes
        if len(self._made) > KEPT:
            self._made.popitem(last=False)
        self._history.extend(envelopes)
        self._pending.extend(envelopes)

    def recent(self, limit: int) -> list[dict[str, Any]]:
        """The newest events, flat, oldest first."""
        self.catch_up()
        return [flat(each) for envelopes in self._made.values() for each in envelopes][-limit:]

    def health(self) -> dict[str, Any]:
        """The body of /health."""
        self.catch_up()
        return {
            "status": "ok" if self._gateway.replica.live else "degraded",
            "service": "event_stream",
            "port": self._port,
            "connected_clients": len(self._sids),
            "buffered_events": len(self._history),
            "timestamp": local_iso(datetime.now(UTC)),
        }

    async def broadcast(self, event_type: str, data: dict[str, Any]) -> dict[str, Any]:
        """Record an event and send it to all clients. Raises TronError."""
        data = {**data} if "timestamp" in data else {**data, "timestamp": local_iso(datetime.now(UTC))}
        about = data.get("service_id")
        known = isinstance(about, str) and 0 < len(about) <= 512 and about.isprintable() and about == about.strip()
        await self._gateway.actions.publish(event_type, data, service_id=about if known else "", action=BROADCAST)
        self.catch_up()
        await self.send_pending()
        return {"status": "broadcasted", "event_type": event_type, "clients": len(self._sids)}

    # --- Socket.IO --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Tell Socket.IO clients of events until cancelled."""
        while True:
            self.catch_up()
            await self.send_pending()
            await self._reader.wait()

    async def send_pending(self) -> None:
        """Send what waits to all clients that listen."""
        while self._pending:
            await self.sio.emit("event", self._pending.popleft(), room=LIVE)
        for sid in list(self._sids):
            await self._disconnect_if_slow(sid)

    async def _disconnect_if_slow(self, sid: str) -> None:
        session = self.sio.eio.sockets.get(self.sio.manager.eio_sid_from_sid(sid, "/"))
        if session is None or session.queue.qsize() <= MOST_QUEUED:
            return
        self._sids.discard(sid)
        while not session.queue.empty():
            session.queue.get_nowait()
            session.queue.task_done()
        await self.sio.disconnect(sid)

    async def _connected(self, sid: str, _environ: Any, _auth: Any = None) -> None:
        self.catch_up()
        await self.send_pending()
        now = local_iso(datetime.now(UTC))
        hello = {"status": "connected", "server_time": now, "buffered_events": len(self._history)}
        await self.sio.emit("connected", hello, to=sid)
        if self._history:
            await self.sio.emit("event_history", list(self._history), to=sid)
        await self.sio.enter_room(sid, LIVE)
        self._sids.add(sid)

    async def _disconnected(self, sid: str, _reason: Any = None) -> None:
        self._sids.discard(sid)

    async def _ping(self, sid: str, *_: Any) -> None:
        await self.sio.emit("pong", {"timestamp": local_iso(datetime.now(UTC))}, to=sid)

    async def _request_history(self, sid: str, *_: Any) -> None:
        self.catch_up()
        await self.sio.emit("event_history", list(self._history), to=sid)

    # --- SSE --------------------------------------------------------------------------------------------------------

    async def follow(self, after: int | None) -> AsyncIterator[bytes]:
        """Events as Server-Sent Events: what came after a sequence, then new ones."""
        reader = Reader(self._gateway.replica, None, after)
        yield b"retry: 1000\n\n"
        while True:
            events = reader.events()
            self.catch_up()
            for event in events:
                if isinstance(event, Gap):
                    yield b"id: %d\nevent: gap\ndata: {}\n\n" % event.last
                    continue
                envelopes = self._made.get(event.sequence, [])
                for place, envelope in enumerate(envelopes):
                    # Only the last one moves the cursor: a client that is cut off before it gets all of them again.
                    number = b"id: %d\n" % event.sequence if place == len(envelopes) - 1 else b""
                    yield number + b"data: " + to_json(envelope) + b"\n\n"
            if not events:
                yield b": still here\n\n"
            await reader.wait(15.0)


class _Entry:
    """Socket.IO beside the application; a flood of new sessions is turned away before it costs anything."""

    def __init__(self, events: EventsPort, app: App) -> None:
        self._events = events
        self._socket_io = socketio.ASGIApp(events.sio)
        self._app = AnyOrigin(app, always=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not scope["path"].startswith("/socket.io/"):
            await self._app(scope, receive, send)
        elif (
            scope["type"] == "http"
            and b"sid=" not in scope["query_string"]
            and len(self._events.sio.eio.sockets) >= MOST_CLIENTS
        ):
            await send_bytes(send, to_json({"error": "too many clients"}), status=503)
        else:
            await self._socket_io(scope, receive, send)


def build(gateway: Gateway, port: int) -> App:
    """The application; `port` is the one that it is served on. Its lifespan runs the pump."""
    events = EventsPort(gateway, port)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        pump = asyncio.create_task(events.run())
        try:
            yield
        finally:
            pump.cancel()
            await asyncio.wait({pump})

    # Pages of any origin may broadcast: that is the contract of the Event Stream.
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
        400: {"model": Refusal, "description": "The body is not what it should be"},
        413: {"model": Refusal, "description": "The body is too large"},
        503: {"model": Refusal, "description": "The registry is away; try again after `Retry-After` seconds"},
    }

    @app.post("/broadcast", response_model=Broadcasted, responses=refusals)
    async def broadcast(body: Broadcast) -> Response:
        """Record an event, and send it to all clients. It is on disk when this answers."""
        if not body.model_fields_set and not body.model_extra:
            return SafeJSONResponse({"error": "No JSON payload"}, 400)
        return SafeJSONResponse(await events.broadcast(body.event_type, body.data))

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """Whether it works, how many clients listen, and how many events a new one gets."""
        return SafeJSONResponse(events.health(), headers=gateway.freshness_as_text())

    @app.get("/events/recent", response_model=Recent, responses={400: refusals[400]})
    async def recent(limit: Annotated[int, Query(ge=1, le=KEPT)] = 50) -> Response:
        """The newest events, flat, oldest first."""
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
        """Server-Sent Events: each `data` is one event as Socket.IO clients get it; resumes by `Last-Event-ID`."""
        if not gateway.streams.admit():
            return SafeJSONResponse({"error": "too many streams are open"}, 503, headers_of(503))
        after = int(last_event_id) if last_event_id.isdecimal() and len(last_event_id) < 19 else None
        return EventStream(gateway.streams, events.follow(after))

    return _Entry(events, app)


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
