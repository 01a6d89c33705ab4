"""A connection on which no request comes, or only a part of one, is closed; responses take as long as they like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from gateway_http.http import prompt_requests
from gateway_http.http.prompt_requests import PromptProtocol

WITHIN = 0.3
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def slow_application(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and answers later than a request may take; a WebSocket says a word that late."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(3 * WITHIN)
        await send({"type": "websocket.send", "text": "late"})
        await asyncio.sleep(60)
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(3 * WITHIN)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"late"})


@asynccontextmanager
async def connection(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[asyncio.StreamReader, Any]]:
    """A connection to a server with this protocol."""
    monkeypatch.setattr(prompt_requests, "REQUEST_WITHIN", WITHIN)
    config = uvicorn.Config(
        slow_application, http=PromptProtocol, ws="websockets-sansio", port=0, lifespan="off", log_config=None
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it by this alone
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = server.force_exit = True
        await serving


@pytest.mark.parametrize("said", [b"", b"GET / HT", POST, POST + b"ab"], ids=["nothing", "a part", "no body", "half"])
async def test_a_request_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    async with connection(monkeypatch) as (reader, writer), asyncio.timeout(10):
        writer.write(said)
        assert await reader.read() == b""


async def test_a_second_request_must_come_whole_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(monkeypatch) as (reader, writer), asyncio.timeout(10):
        writer.write(GET)
        assert (await reader.readuntil(b"late")).startswith(b"HTTP/1.1 200")
        writer.write(GET[:10])
        assert await reader.read() == b""


async def test_a_response_may_take_longer_than_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(monkeypatch) as (reader, writer), asyncio.timeout(10):
        for request in (GET, POST + b"abcd"):
            writer.write(request)
            assert (await reader.readuntil(b"late")).startswith(b"HTTP/1.1 200")


async def test_a_websocket_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connection(monkeypatch) as (reader, writer), asyncio.timeout(10):
        writer.write(UPGRADE)
        assert b"101" in await reader.readline()
        assert (await reader.readuntil(b"late")).endswith(b"late")
