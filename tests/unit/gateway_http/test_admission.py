"""The layer around every port: what it refuses, and the headers of every answer. One part speaks to a real socket, with
requests that no HTTP library sends."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from gateway_http.http.admission import Admission
from gateway_http.http.prompt_requests import PromptProtocol
from grid_hosting.http_hosts import HostNames
from grid_hosting.http_rules import HttpRules

RULES = HttpRules(HostNames((), any_address=False))
FOREIGN = {"origin": "http://evil.test"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the path and the host that it was asked for; a WebSocket says nothing."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    while (await receive()).get("more_body"):
        pass
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    body = json.dumps([scope["method"], scope["path"], host]).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    if scope["path"] == "/page":
        headers.append((b"content-security-policy", b"script-src 'self'"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def client() -> httpx.AsyncClient:
    """A client of the application behind the layer."""
    transport = httpx.ASGITransport(Admission(application, RULES))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_every_answer_restricts_what_a_browser_may_do_with_it() -> None:
    async with client() as http:
        for answer in (await http.get("/"), await http.get("/", headers={"host": "evil.test"})):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        page = await http.get("/page")
        assert page.headers.get_list("content-security-policy") == ["script-src 'self'"]


async def test_a_refusal_is_a_problem_that_names_the_setting() -> None:
    async with client() as http:
        answer = await http.get("/", headers={"host": "evil.test"})
    assert (answer.status_code, answer.headers["content-type"]) == (421, "application/problem+json")
    problem = answer.json()
    assert (problem["title"], problem["reason"]) == ("Misdirected Request", "HOST_NOT_ALLOWED")
    assert "http_hosts" in problem["detail"]


@pytest.mark.parametrize(
    ("method", "path", "acts"),
    [
        *(("POST", "/", True), ("PUT", "/heartbeat", True), ("PATCH", "/", True), ("DELETE", "/", True)),
        *(("PROPFIND", "/", True), ("GET", "/", False), ("HEAD", "/", False), ("OPTIONS", "/broadcast", False)),
        *(("GET", "/v1/stream", True), ("GET", "/v1/stream/", True), ("GET", "/a/prefix/v1/stream", True)),
        *(("GET", "/v1/strea%6d", True), ("HEAD", "/v1/stream", True), ("GET", "/events/stream", True)),
        *(("GET", "/socket.io/", True), ("GET", "/socket.io", True), ("GET", "/tron/socket%2eio/", True)),
        *(("OPTIONS", "/socket.io/", False), ("GET", "/v1/services", False)),
    ],
)
async def test_a_page_of_another_site_changes_nothing_and_opens_no_stream(method: str, path: str, acts: bool) -> None:
    async with client() as http:
        assert (await http.request(method, path, headers=FOREIGN)).status_code == (403 if acts else 200)
        assert (await http.request(method, path)).status_code == 200


# --- on a socket ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def connection() -> AsyncIterator[Any]:
    """`say(bytes)`: what a server with this layer answers on a connection of its own, until it closes it."""
    config = uvicorn.Config(
        Admission(application, RULES),
        http=PromptProtocol,
        ws="websockets-sansio",
        port=0,
        lifespan="off",
        log_config=None,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it by this alone
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    async def say(request: bytes, *, ends: bool = True) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request)
        if ends:
            writer.write_eof()
        try:
            async with asyncio.timeout(10):
                return (await reader.read()).decode("latin-1")
        finally:
            writer.close()

    try:
        yield say
    finally:
        server.should_exit = server.force_exit = True
        await serving


GOOD = b"Host: localhost\r\nConnection: close\r\n"


async def test_requests_that_no_library_sends() -> None:
    asked = {
        b"GET / HTTP/1.1\r\n" + GOOD: "200",
        b"GET / HTTP/1.1\r\nhOsT: localhost\r\nConnection: close\r\n": "200",
        b"GET / HTTP/1.0\r\n": "200",
        b"GET / HTTP/1.0\r\nHost: evil.test\r\n": "421",
        b"GET / HTTP/1.1\r\nConnection: close\r\n": "400",
        b"GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n": "400",
        b"GET / HTTP/1.1\r\nHost: evil.test\r\n" + GOOD: "400",
        b"GET / HTTP/1.1\r\n" + GOOD + b"HOST: localhost\r\n": "400",
        b"GET / HTTP/1.1\r\n" + GOOD + b"Host : evil.test\r\n": "400",
        b"GET / HTTP/1.1\r\nHost: local\r\n host\r\nConnection: close\r\n": "400",
        b"GET / HTTP/1.1\r\nHost: localhost\x00\r\nConnection: close\r\n": "400",
        # A target in absolute form names the host, whatever the header says.
        b"GET http://evil.test/ HTTP/1.1\r\n" + GOOD: "421",
        b"GET HTTP://evil.test:6121 HTTP/1.1\r\n" + GOOD: "421",
        b"GET http://localhost@evil.test/ HTTP/1.1\r\n" + GOOD: "421",
        b"GET http://localhost/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n": "200",
        b"GET http://u:p@localhost:1?q#f HTTP/1.1\r\n" + GOOD: "200",
        b"GET //evil.test/ HTTP/1.1\r\n" + GOOD: "200",  # a path
        b"CONNECT evil.test:443 HTTP/1.1\r\n" + GOOD: "400",
        # Two lengths, or a length and chunks: where the next request begins would depend on the reader.
        b"POST / HTTP/1.1\r\n" + GOOD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n": "400",
        b"POST / HTTP/1.1\r\n" + GOOD + b"Content-Length: 4\r\nContent-Length: 5\r\n": "400",
        b"POST / HTTP/1.1\r\n" + GOOD + b"Transfer-Encoding: xchunked\r\n": "400",
        b"POST / HTTP/1.1\r\n" + GOOD + b"Origin: http://evil.test\r\nContent-Length: 0\r\n": "403",
        b"POST / HTTP/1.1\r\n" + GOOD + b"Origin: http://localhost\r\norigin: http://evil.test\r\n": "403",
        b"POST / HTTP/1.1\r\n" + GOOD + b"SEC-FETCH-SITE: cross-site\r\nContent-Length: 0\r\n": "403",
    }
    async with connection() as say:
        for request, status in asked.items():
            answer = await say(request + b"\r\n")
            assert answer.split(" ")[1:2] == [status], (request, answer)


async def test_the_application_sees_the_host_and_the_path_of_an_absolute_target() -> None:
    async with connection() as say:
        answer = await say(b"GET http://localhost:7/a%20b?x HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n")
        assert answer.endswith('["GET", "/a b", "localhost:7"]')


async def test_a_second_request_of_a_connection_is_checked_too() -> None:
    first = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    second = b"GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n"
    async with connection() as say:
        answers = await say(first + second, ends=False)
    assert re.findall(r"HTTP/1.1 (\d+)", answers) == ["200", "421"]


@pytest.mark.parametrize(
    ("headers", "target", "status"),
    [
        (b"Host: localhost\r\n", b"/socket.io/", "101"),
        (b"Host: evil.test\r\n", b"/socket.io/", "421"),
        (b"Host: localhost\r\nHost: evil.test\r\n", b"/socket.io/", "400"),
        (b"Host: localhost\r\n", b"http://evil.test/socket.io/", "421"),
        (b"Host: localhost\r\nOrigin: http://evil.test\r\n", b"/socket.io/", "403"),
        (b"Host: localhost\r\nOrigin: http://localhost\r\n", b"/socket.io/", "101"),
        (b"Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", b"/anything", "403"),
    ],
)
async def test_the_handshake_of_a_websocket_is_checked_as_well(headers: bytes, target: bytes, status: str) -> None:
    upgrade = (
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    async with connection() as say:
        answer = await say(b"GET " + target + b" HTTP/1.1\r\n" + headers + upgrade)
    assert answer.split(" ")[1] == status, answer
