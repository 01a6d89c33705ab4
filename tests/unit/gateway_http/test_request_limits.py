"""One connection can make a port keep only a few requests, and only small heads, whatever its client sends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http import httptools_impl

from gateway_http.http import prompt_requests
from gateway_http.http.prompt_requests import (
    HEADER_COST,
    MOST_HEAD,
    MOST_PIPELINED,
    PART,
    STRANGER_LINES,
    PromptProtocol,
    limit_stranger_lines,
)
from grid_hosting.rare_lines import RareTexts
from tests.support.waiting import eventually

GET = b"GET / HTTP/1.1\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
MUCH = 4 << 20
"""Bytes that a client tries to send: far above all limits."""


MOST_HEADERS = (MOST_HEAD + PART) // HEADER_COST + PART // len(b"a:\r\n")
"""One part may exceed the limit."""


class Application:
    """Answers each request once `let_go` is set. Records the bodies, and the requests whose clients left before."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()
        self.begun = 0
        self.left = 0
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun += 1
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        left = asyncio.create_task(self._wait_until_left(receive))
        await self.let_go.wait()
        left.cancel()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async def _wait_until_left(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1
        self.let_go.set()


class Served:
    """A server with one client."""

    def __init__(self, app: Application, server: uvicorn.Server, reader: asyncio.StreamReader, writer: Any) -> None:
        self.app = app
        self.reader = reader
        self.writer = writer
        self._server = server

    @property
    def port(self) -> int:
        """The port of the server."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def connections(self) -> set[Any]:
        """The protocols of all open connections."""
        return self._server.server_state.connections

    async def protocol(self) -> PromptProtocol:
        """The protocol of the connection."""
        await eventually(lambda: self.connections)
        return next(iter(self.connections))  # type: ignore[no-any-return]

    async def send(self, piece: bytes, times: int = 1) -> None:
        """Send bytes until the server closes the connection."""
        with suppress(OSError):
            for _ in range(times):
                self.writer.write(piece)
                await self.writer.drain()

    async def rest(self) -> bytes:
        """All that the server sends until it closes the connection."""
        received = b""
        with suppress(OSError):
            while piece := await self.reader.read(1 << 16):
                received += piece
        return received


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[Served]:
    app = Application()
    config = uvicorn.Config(
        app, http=PromptProtocol, ws="websockets-sansio", port=0, lifespan="off", log_config=None, **settings
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(20):
            yield Served(app, server, reader, writer)
    finally:
        app.let_go.set()
        writer.close()
        server.should_exit = server.force_exit = True
        await serving


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The number of requests that were kept for an answer, of all connections."""
    made: list[object] = []

    class Cycle(httptools_impl.RequestResponseCycle):
        def __init__(self, *given: Any, **fields: Any) -> None:
            made.append(None)
            super().__init__(*given, **fields)

    monkeypatch.setattr(httptools_impl, "RequestResponseCycle", Cycle)
    return lambda: len(made)


async def test_requests_without_end_are_not_kept(kept: Callable[[], int]) -> None:
    async with served() as one:
        await one.send(GET * 1000, 200)
        await one.rest()
        await eventually(lambda: not one.connections)
    assert kept() <= 1 + MOST_PIPELINED


async def test_waiting_requests_are_answered_and_no_further_ones_are_read_before() -> None:
    async with served() as one:
        protocol = await one.protocol()
        await one.send(GET * (1 + MOST_PIPELINED))
        await eventually(lambda: one.app.begun == 1 and len(protocol.pipeline) == MOST_PIPELINED)
        assert protocol.flow.read_paused
        protocol.flow.resume_reading()  # as each answer and each `receive` does
        assert protocol.flow.read_paused
        one.app.let_go.set()
        for _ in range(1 + MOST_PIPELINED):
            assert (await one.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert not protocol.flow.read_paused
        await one.send(GET)
        assert (await one.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_large_heads_that_wait_count_together(kept: Callable[[], int]) -> None:
    async with served() as one:
        large = b"GET / HTTP/1.1\r\nA: %s\r\n\r\n" % (b"a" * (MOST_HEAD // 3))
        await one.send(GET + large * 3)
        await one.rest()
    assert kept() == 3


async def test_bodies_that_wait_count_together() -> None:
    async with served() as one:
        protocol = await one.protocol()
        await one.send(GET + b"POST / HTTP/1.1\r\nContent-Length: 8000000\r\n\r\n")
        await eventually(lambda: len(protocol.pipeline) == 1)
        protocol.flow.resume_reading()
        one.writer.write(bytes(8_000_000))
        await eventually(lambda: len(protocol.cycle.body) > 1 << 16 and protocol.flow.read_paused)
        protocol.flow.resume_reading()  # as each answer and each `receive` does
        assert protocol.flow.read_paused
        one.app.let_go.set()
        await one.writer.drain()
        await eventually(lambda: len(one.app.bodies) == 2)
        assert [len(each) for each in one.app.bodies] == [0, 8_000_000]


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"GET /", b"a" * 4096),
        (b"GET / HTTP/1.1\r\nA: ", b"a" * 4096),
        (b"GET / HTTP/1.1\r\n", b"a" * 4096),
        (b"GET / HTTP/1.1\r\n", b"a:\r\n" * 1024),
    ],
    ids=["URL", "value", "name", "headers"],
)
async def test_a_head_without_end_is_refused(begin: bytes, piece: bytes) -> None:
    async with served() as one:
        protocol = await one.protocol()
        await one.send(begin)
        await one.send(piece, MUCH // len(piece))
        answer = await one.rest()
        await eventually(lambda: not one.connections)
        assert answer.startswith(b"HTTP/1.1 431 ") or not answer  # a reset may overtake the answer
        assert len(protocol.url) + sum(map(len, sum(protocol.headers, ()))) < 2 * MOST_HEAD
        assert len(protocol.headers) <= MOST_HEADERS


@pytest.mark.parametrize(
    ("begin", "piece"),
    [(b"1\r\na\r\n0\r\n", b"a:\r\n" * 1024), (b"1\r\na\r\n0\r\nA: ", b"a" * 4096), (b"1;", b"a" * 4096)],
    ids=["trailers", "trailer", "extension of a chunk"],
)
async def test_what_is_no_body_is_refused_after_the_head_too(begin: bytes, piece: bytes) -> None:
    async with served() as one:
        protocol = await one.protocol()
        await one.send(POST + begin)
        await one.send(piece, MUCH // len(piece))
        await one.rest()
        await eventually(lambda: not one.connections)
        assert len(protocol.headers) <= MOST_HEADERS


async def test_a_body_in_tiny_chunks_is_read() -> None:
    async with served() as one:
        one.app.let_go.set()
        await one.send(POST + b"1\r\na\r\n" * MOST_HEAD + b"0\r\n\r\n")
        assert (await one.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        assert [len(each) for each in one.app.bodies] == [MOST_HEAD]


async def test_a_complete_head_of_too_many_headers_is_refused(kept: Callable[[], int]) -> None:
    async with served() as one:
        await one.send(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * (1 + MOST_HEAD // HEADER_COST) + b"\r\n")
        assert (await one.rest()).startswith(b"HTTP/1.1 431 ")
    assert kept() == 0


async def test_a_large_head_below_the_limit_is_answered() -> None:
    async with served() as one:
        one.app.let_go.set()
        lines = b"".join(b"X-%d: %s\r\n" % (each, b"v" * 400) for each in range(100))
        await one.send(b"GET / HTTP/1.1\r\n" + lines + b"\r\n")
        assert (await one.reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")


async def test_a_request_is_told_that_its_client_left_although_another_one_waits() -> None:
    async with served() as one:
        protocol = await one.protocol()
        await one.send(GET + GET)
        await eventually(lambda: one.app.begun == 1 and len(protocol.pipeline) == 1)
        protocol.transport.abort()
        await eventually(lambda: one.app.left == 1)
        assert not protocol.pipeline


async def test_a_connection_with_an_empty_line_after_an_answer_ends_like_a_silent_one() -> None:
    async with served(timeout_keep_alive=1) as one:
        one.app.let_go.set()
        await one.send(GET)
        await one.reader.readuntil(b"ok")
        await one.send(b"\r\n")
        assert await one.rest() == b""


async def test_what_a_stranger_sends_is_logged_once_in_a_minute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_requests, "_RARE_TEXTS", RareTexts(STRANGER_LINES))
    log = logging.getLogger("uvicorn.error")
    monkeypatch.setattr(log, "filters", [])  # without those that other tests added
    limit_stranger_lines()
    requests = [b"\0\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", GET]
    with caplog.at_level(logging.WARNING, logger="uvicorn.error"):
        for limit in (None, 1):
            async with served(limit_concurrency=limit) as one:
                one.app.let_go.set()
                await one.send(requests[0] if limit is None else GET)
                await one.rest()
                for _ in range(3):
                    for request in requests:
                        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
                        writer.write(request)
                        await reader.readline()
                        writer.close()
    assert sorted(each.getMessage() for each in caplog.records) == sorted(STRANGER_LINES)
