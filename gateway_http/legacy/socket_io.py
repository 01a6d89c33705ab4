"""Serves the Socket.IO clients of the Event Stream: each client receives a greeting, the history, and then each new
event."""

from __future__ import annotations

import asyncio
import logging
import traceback
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import socketio
import structlog
from socketio.packet import CONNECT, DISCONNECT, EVENT, Packet

from gateway_http.http.asgi import JSON_TYPE, App, Message, Receive, Scope, Send, refuse, replay, send_bytes
from gateway_http.legacy.broadcasts import local_iso
from gateway_http.legacy.event_buffer import EventBuffer
from gateway_http.legacy.rows import to_json

log = structlog.get_logger("gateway")

RETRY_DELAY = 1.0
"""Seconds before sending continues after an error."""

MOST_QUEUED = 1000
"""Maximum number of messages that wait for one Socket.IO client. Overflow rule: the client is disconnected; it receives
the history when it reconnects."""

MOST_CLIENTS = 1000
"""Maximum number of Socket.IO sessions, of all transports. Overflow rule: a further session is refused with status
503."""

MOST_PACKET = 64 << 10
"""Maximum size of one packet from a Socket.IO client, in bytes; clients only send short requests."""

LIVE = "live"

INVALID_DATA = 1007
"""The code with which a WebSocket is closed whose client sent data that cannot be read (RFC 6455, section 7.4.1)."""

LIBRARIES = ("engineio.", "socketio.")

CLIENT_EVENTS = ("ping", "request_history")
"""The events that Socket.IO clients may send."""


def _is_not_about_a_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and not _raised_by_library(error):
        return True
    return record.getMessage() not in _ABOUT_REQUESTS


async def _answered(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Handle one request with the library. If the library raises an error about what the client sent, such as binary
    data that is not base64 or a packet after the last one, answer with status 400, or close the WebSocket."""
    sent: list[str] = []

    async def noted(message: Message) -> None:
        sent.append(message["type"])
        await send(message)

    try:
        await app(scope, receive, noted)
    except Exception as error:
        if not _raised_by_library(error):
            raise
        if scope["type"] == "websocket" and "websocket.close" not in sent:
            await send({"type": "websocket.close", "code": INVALID_DATA})
        elif scope["type"] == "http" and not sent:
            await send_bytes(send, to_json({"error": "the request is not valid Socket.IO"}), status=400)


def _raised_by_library(error: BaseException) -> bool:
    """Return whether the error comes from the library or from the web server, and not from this module."""
    names = [str(frame.f_globals.get("__name__", "")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    ours_or_theirs = [name for name in names if name == __name__ or name.startswith(LIBRARIES)]
    return not ours_or_theirs or ours_or_theirs[-1].startswith(LIBRARIES)


_ABOUT_REQUESTS = (
    "post request handler error",
    "message async handler error",
    "Unknown receive error",
    "Invalid UTF-8 sequence received from client.",
)


class CheckedPacket(Packet):  # type: ignore[misc]
    """A packet from a Socket.IO client. A packet that is invalid, or contains none of CLIENT_EVENTS, is replaced by an
    event without a handler. Without this replacement, the library would log a traceback, or accept the names of its own
    internal events."""

    def __init__(self, *given: Any, encoded_packet: str | bytes | None = None, **fields: Any) -> None:
        super().__init__(*given, **fields)
        if encoded_packet is not None:
            self._read(encoded_packet)

    def _read(self, received: str | bytes) -> None:
        try:
            self.decode(received)
        except Exception:  # the library raises what its parsers raise
            self._ignore()
        if self.packet_type not in (CONNECT, DISCONNECT):
            named = isinstance(self.data, list) and bool(self.data) and self.data[0] in CLIENT_EVENTS
            if self.packet_type != EVENT or not named:
                self._ignore()

    def _ignore(self) -> None:
        self.packet_type, self.namespace, self.id, self.data = EVENT, None, None, [""]


class SessionQueue(asyncio.Queue[Any]):
    """The packets that wait for one Socket.IO session, and how many histories are among them."""

    histories = 0

    def _put(self, item: Any) -> None:
        self.histories += _is_history(item)
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self.histories -= _is_history(item)
        return item


def _is_history(item: Any) -> bool:
    """Return whether a packet of Engine.IO, or None at the end of a session, is a history."""
    text = getattr(item, "data", None)
    return isinstance(text, str) and text.startswith(_HISTORY)


_HISTORY = Packet(EVENT, data=["event_history"]).encode().rstrip("]")
"""The first characters of each history."""


class SocketIoClients:
    """All connected Socket.IO clients. New events are sent to them while `run` runs."""

    def __init__(self, buffer: EventBuffer, *, open_to_pages: bool = True) -> None:
        """`open_to_pages`: whether pages of any origin may read the answers. The layers around this application decide
        which clients may connect."""
        self._buffer = buffer
        self._sids: set[str] = set()
        self._told_history: set[str] = set()
        self._sio: Any = socketio.AsyncServer(
            async_mode="asgi",
            # An empty list disables the headers and the check of the library: the layers around it have both.
            cors_allowed_origins="*" if open_to_pages else [],
            cors_credentials=False,
            ping_interval=25,
            ping_timeout=20,
            max_http_buffer_size=MOST_PACKET,
            always_connect=True,
            serializer=CheckedPacket,
            logger=False,
            engineio_logger=False,
        )
        self._sio.eio.create_queue = SessionQueue
        # The libraries log a traceback for each request or message that they cannot read, beside their answer.
        for name in ("engineio.server", "uvicorn.error"):
            logging.getLogger(name).addFilter(_is_not_about_a_request)
        self._sio.on("connect", self._connected)
        self._sio.on("disconnect", self._disconnected)
        self._sio.on("ping", self._ping)
        self._sio.on("request_history", self._request_history)
        self._app: App = socketio.ASGIApp(self._sio)

    @property
    def count(self) -> int:
        """The number of clients that receive events."""
        return len(self._sids)

    @property
    def waiting(self) -> list[int]:
        """The number of messages that wait for each session."""
        return [each.queue.qsize() for each in self._sio.eio.sockets.values()]

    async def run(self) -> None:
        """Send new events to all clients until cancelled. An error is logged, and sending continues: nobody else would
        notice that this task has ended, and the clients would receive nothing more."""
        while True:
            try:
                await self._send_new()
            except Exception:
                log.exception("socket_io_failed")
                await asyncio.sleep(RETRY_DELAY)

    async def _send_new(self) -> None:
        while True:
            self._buffer.catch_up()
            await self.send_pending()
            await self._buffer.wait()

    async def send_pending(self) -> None:
        """Send all waiting events to all connected clients."""
        while (envelope := self._buffer.next_pending()) is not None:
            await self._sio.emit("event", envelope, room=LIVE)
        for sid in list(self._sids):
            await self._disconnect_if_slow(sid)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request below /socket.io/. A session beyond the limit is refused before it uses resources."""
        first = await receive()
        if first["type"] in ("http.disconnect", "websocket.disconnect"):  # the library expects a client that stays
            return
        receive = replay([first], receive)
        # Nothing waits between this check and the creation of the session, so that many at once do not pass it.
        if (
            "sid" not in parse_qs(scope["query_string"].decode("latin-1"))
            and len(self._sio.eio.sockets) >= MOST_CLIENTS
        ):
            error = "too many clients are connected"
            await refuse(scope, receive, send, to_json({"error": error}), (JSON_TYPE,), 503, reason=error)
            return
        await _answered(self._app, scope, receive, send)

    def _session_of(self, sid: str) -> Any:
        """Return the session of Engine.IO that a client uses; None if it has ended."""
        return self._sio.eio.sockets.get(self._sio.manager.eio_sid_from_sid(sid, "/"))

    async def _disconnect_if_slow(self, sid: str) -> None:
        session = self._session_of(sid)
        if session is None or session.queue.qsize() <= MOST_QUEUED:
            return
        self._sids.discard(sid)
        while not session.queue.empty():
            session.queue.get_nowait()
            session.queue.task_done()
        await self._sio.disconnect(sid)

    async def _connected(self, sid: str, _environ: Any, _auth: Any = None) -> None:
        self._buffer.catch_up()
        await self.send_pending()
        now = local_iso(datetime.now(UTC))
        hello = {"status": "connected", "server_time": now, "buffered_events": len(self._buffer.history)}
        await self._sio.emit("connected", hello, to=sid)
        if self._buffer.history:
            await self._send_history(sid)
        await self._sio.enter_room(sid, LIVE)
        self._sids.add(sid)
        await self._disconnect_if_slow(sid)

    async def _disconnected(self, sid: str, _reason: Any = None) -> None:
        self._sids.discard(sid)

    async def _ping(self, sid: str, *_: Any) -> None:
        await self._sio.emit("pong", {"timestamp": local_iso(datetime.now(UTC))}, to=sid)
        await self._disconnect_if_slow(sid)

    async def _request_history(self, sid: str, *_: Any) -> None:
        self._buffer.catch_up()
        await self._send_history(sid)
        await self._disconnect_if_slow(sid)

    async def _send_history(self, sid: str) -> None:
        """Send the history, unless one is waiting for this client already: a history is large, and the later events
        wait behind it."""
        session = self._session_of(sid)
        if session is None or session.queue.histories or session.sid in self._told_history:
            return
        self._told_history.add(session.sid)  # until the history is in the queue
        try:
            await self._sio.emit("event_history", self._buffer.history, to=sid)
        finally:
            self._told_history.discard(session.sid)
