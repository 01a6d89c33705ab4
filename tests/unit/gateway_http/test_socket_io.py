"""Socket.IO clients that send what cannot be read get an answer. Nothing is logged, and nobody else is disturbed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any

import pytest

from gateway_http.legacy import socket_io
from gateway_http.legacy.event_buffer import EventBuffer
from gateway_http.legacy.socket_io import INVALID_DATA, SocketIoClients
from gateway_http.replica.replica import Replica
from tests.support.waiting import eventually

Message = MutableMapping[str, Any]

UPGRADE = ((b"connection", b"upgrade"), (b"upgrade", b"websocket"))


@pytest.fixture
def clients() -> SocketIoClients:
    return SocketIoClients(EventBuffer(Replica(time.monotonic)))


def scope_of(kind: str, query: str, method: str = "GET") -> Message:
    return {
        "type": kind,
        "method": method,
        "path": "/socket.io/",
        "raw_path": b"/socket.io/",
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost"), *(UPGRADE if kind == "websocket" else ())],
        "asgi": {"version": "3.0"},
    }


async def ask(clients: SocketIoClients, method: str, query: str, body: bytes = b"") -> tuple[int, bytes]:
    """Send one request; return the status and the body of the answer."""
    scope, sent = scope_of("http", query, method), list[Message]()
    scope["headers"].append((b"content-length", b"%d" % len(body)))

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await clients(scope, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


async def opened(clients: SocketIoClients) -> str:
    """Open a session by polling; return the rest of its queries."""
    _, body = await ask(clients, "GET", "EIO=4&transport=polling")
    sid = json.loads(body[1:])["sid"]
    assert (await ask(clients, "POST", f"EIO=4&transport=polling&sid={sid}", b"40"))[0] == 200
    return f"EIO=4&transport=polling&sid={sid}"


@pytest.mark.parametrize(
    "body",
    [b"1\x1e1", b"1\x1e40", b"4\x1e" * 17 + b"4", b"bAAAAAA", b"x", b"", b"\x1e", b"d=", b"\xff", b"42[\x1e1\x1e2"],
)
async def test_a_body_that_cannot_be_read_is_answered(
    body: bytes, clients: SocketIoClients, caplog: pytest.LogCaptureFixture
) -> None:
    other, session = await opened(clients), await opened(clients)
    with caplog.at_level(logging.ERROR):
        status, answer = await ask(clients, "POST", session, body)
    assert status in (200, 400)
    assert answer
    assert not caplog.records
    assert (await ask(clients, "POST", other, b'42["ping"]'))[0] == 200


async def test_a_request_of_a_session_that_its_client_has_closed_is_answered_with_an_error(
    clients: SocketIoClients,
) -> None:
    session = await opened(clients)
    assert (await ask(clients, "POST", session, b"1"))[0] == 200
    status, answer = await ask(clients, "POST", session, b"2")
    assert (status, json.loads(answer)) == (400, {"error": "the request is not valid Socket.IO"})
    assert (await ask(clients, "GET", session))[0] == 400


@pytest.mark.parametrize("text", ["bAAAAAA", "x", ""])
async def test_a_websocket_whose_data_cannot_be_read_is_closed(text: str, clients: SocketIoClients) -> None:
    sent: list[Message] = []
    told: asyncio.Queue[Message] = asyncio.Queue()
    for each in ({"type": "websocket.connect"}, {"type": "websocket.receive", "text": text}):
        told.put_nowait(each)

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(10):
        await clients(scope_of("websocket", "EIO=4&transport=websocket"), told.get, send)
    assert sent[0]["type"] == "websocket.accept"
    assert {"type": "websocket.close", "code": INVALID_DATA} in sent


@pytest.mark.parametrize("text", ["7", "8m", "9", "6", "5", "3", "2", "0{}", "4", "42[]"])
async def test_a_packet_of_an_unknown_kind_on_a_websocket_is_not_logged(
    text: str, clients: SocketIoClients, caplog: pytest.LogCaptureFixture
) -> None:
    told: asyncio.Queue[Message] = asyncio.Queue()
    for each in (
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": text},
        {"type": "websocket.receive", "text": text},
        {"type": "websocket.disconnect", "code": 1000},
    ):
        told.put_nowait(each)

    async def send(_: Message) -> None:
        pass

    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(10):
            await clients(scope_of("websocket", "EIO=4&transport=websocket"), told.get, send)
    assert not caplog.records


async def test_an_error_of_our_own_is_not_hidden(clients: SocketIoClients, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    session = await opened(clients)
    monkeypatch.setattr("gateway_http.legacy.socket_io.replay", broken)
    with pytest.raises(ZeroDivisionError):
        await ask(clients, "POST", session, b"2")


async def test_an_error_of_our_own_in_a_handler_is_logged(
    clients: SocketIoClients, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError

    session = await opened(clients)
    monkeypatch.setattr("gateway_http.legacy.socket_io.local_iso", broken)
    with caplog.at_level(logging.ERROR):
        await ask(clients, "POST", session, b'42["ping"]')
        for _ in range(5):
            await asyncio.sleep(0)  # the library starts a task for it
    assert "ZeroDivisionError" in caplog.text


async def test_one_history_waits_for_a_client_that_does_not_read(clients: SocketIoClients) -> None:
    session = await opened(clients)
    await ask(clients, "GET", session)
    for _ in range(20):
        assert (await ask(clients, "POST", session, b"\x1e".join([b'42["request_history"]'] * 16)))[0] == 200
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)  # the library starts tasks for them
    assert clients.waiting == [1]
    assert b"event_history" in (await ask(clients, "GET", session))[1]
    await ask(clients, "POST", session, b'42["request_history"]')
    await eventually(lambda: clients.waiting == [1])


async def test_a_client_that_asks_without_reading_is_ended_before_a_new_event_comes(
    clients: SocketIoClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_io, "MOST_QUEUED", 50)
    session = await opened(clients)
    for _ in range(20):
        await ask(clients, "POST", session, b"\x1e".join([b'42["ping"]'] * 16))
        for _ in range(5):
            await asyncio.sleep(0)  # the library starts tasks for them
    assert all(each <= 50 + 16 for each in clients.waiting)
    assert clients.count == 0


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("http", "EIO=4&transport=polling"),
        ("http", "EIO=4&transport=polling&xsid=1"),
        ("http", "EIO=4&transport=polling&sid="),
        ("websocket", "EIO=4&transport=websocket"),
    ],
)
async def test_sessions_of_all_transports_count(
    kind: str, query: str, clients: SocketIoClients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_io, "MOST_CLIENTS", 2)
    sessions = [await opened(clients) for _ in range(2)]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect" if kind == "websocket" else "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = scope_of(kind, query)
    scope["extensions"] = {"websocket.http.response": {}}
    async with asyncio.timeout(10):
        await clients(scope, receive, send)
    assert sent[0]["status"] == 503
    assert len(clients.waiting) == 2
    assert (await ask(clients, "POST", sessions[0], b'42["ping"]'))[0] == 200
