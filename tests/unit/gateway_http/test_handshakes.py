"""A WebSocket whose handshake is refused or not answered ends, and WebSockets count against the limit of a port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from gateway_http.http import prompt_websockets
from gateway_http.http.prompt_requests import MOST_UNANSWERED, PromptProtocol
from gateway_http.http.prompt_websockets import MOST_FRAMES, PART, PromptWebSocket
from gateway_http.server import port_of
from tests.support.waiting import eventually

HEAD = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
GET = b"GET / HTTP/1.1\r\n\r\n"


class Rig:
    """A server whose application accepts WebSockets if `accepts`, and answers nothing else."""

    def __init__(self, *, accepts: bool, limit: int | None) -> None:
        self.left = 0
        self.writers: list[asyncio.StreamWriter] = []
        self._accepts = accepts
        self.server = uvicorn.Server(
            uvicorn.Config(
                self._app,
                http=PromptProtocol,
                ws=PromptWebSocket,
                port=0,
                interface="asgi3",
                lifespan="off",
                log_config=None,
                limit_concurrency=limit,
            )
        )

    @property
    def open(self) -> int:
        """The number of open connections."""
        return len(self.server.server_state.connections)

    async def connect(self, said: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a connection and send bytes."""
        port = self.server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self.writers.append(writer)
        writer.write(said)
        return reader, writer

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket" and self._accepts:
            await send({"type": "websocket.accept"})
        while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
            pass
        self.left += 1


@asynccontextmanager
async def serving(*, accepts: bool = True, limit: int | None = None) -> AsyncIterator[Rig]:
    rig = Rig(accepts=accepts, limit=limit)
    task = asyncio.create_task(rig.server.serve())
    await eventually(lambda: rig.server.started)
    try:
        async with asyncio.timeout(20):
            yield rig
    finally:
        for each in rig.writers:
            each.close()
        rig.server.should_exit = rig.server.force_exit = True
        await task


@pytest.mark.parametrize("frame", [b"\x81\x80mask", b"\x89\x80mask"], ids=["message", "ping"])
@pytest.mark.parametrize("accepts", [True, False])
async def test_many_frames_at_once_end_a_web_socket(
    frame: bytes, accepts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    handled: list[None] = []
    for name in ("handle_text", "handle_ping"):
        original = getattr(PromptWebSocket, name)

        def noted(protocol: PromptWebSocket, *given: Any, original: Any = original) -> None:
            handled.append(None)
            original(protocol, *given)

        monkeypatch.setattr(PromptWebSocket, name, noted)
    async with serving(accepts=accepts) as rig:
        _, writer = await rig.connect(HEAD + b"\r\n")
        await eventually(lambda: any(isinstance(each, PromptWebSocket) for each in rig.server.server_state.connections))
        writer.write(frame * 40_000)
        await eventually(lambda: rig.open == 0)
    assert len(handled) <= MOST_FRAMES + PART // len(frame) + 1


def test_the_ports_do_not_compress_web_sockets() -> None:
    port = port_of(None, SimpleNamespace(config=SimpleNamespace(max_connections=10)), None)  # type: ignore[arg-type]
    assert not port.config.ws_per_message_deflate


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"".join(b"X-%d: 1\r\n" % each for each in range(130)), b"431"),
        (b"X: %s\r\n" % (b"a" * 9000), b"431"),
        (b"X: a\xffb\r\n", b""),
        (b"", b"101"),
    ],
    ids=["headers", "line", "bytes", "valid"],
)
async def test_a_handshake_that_the_library_refuses_ends_its_connection(lines: bytes, status: bytes) -> None:
    async with serving() as rig:
        reader, _ = await rig.connect(HEAD + lines + b"\r\n")
        answer = await reader.readline()
        assert status in answer
        if b"101" not in answer:
            await reader.read()
            await eventually(lambda: rig.open == 0)


async def test_a_handshake_that_the_application_does_not_answer_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_websockets, "HANDSHAKE_WITHIN", 0.3)
    async with serving(accepts=False) as rig:
        await rig.connect(HEAD + b"\r\n")
        await eventually(lambda: rig.left == 1 and rig.open == 0)


async def test_web_sockets_count_against_the_limit() -> None:
    async with serving(limit=3) as rig:
        answers = []
        for _ in range(4):
            reader, _ = await rig.connect(HEAD + b"\r\n")
            answers.append((await reader.readline()).split()[1])
        assert answers == [b"101", b"101", b"503", b"503"]


async def test_connections_far_beyond_the_limit_are_closed() -> None:
    async with serving(limit=3) as rig:
        most = 3 * MOST_UNANSWERED
        for _ in range(most):
            await rig.connect(b"")
        await eventually(lambda: rig.open == most)
        reader, _ = await rig.connect(b"")
        assert await reader.read() == b""
        assert rig.open == most
        rig.writers[0].close()
        await eventually(lambda: rig.open == most - 1)


async def test_a_web_socket_does_not_begin_before_the_answer_to_an_earlier_request() -> None:
    async with serving() as rig:
        await rig.connect(GET + HEAD + b"\r\n")
        await eventually(lambda: rig.left == 1 and rig.open == 0)
