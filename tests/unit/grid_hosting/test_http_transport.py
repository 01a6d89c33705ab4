"""HTTP to this machine never goes through a proxy; elsewhere the error names it."""

from __future__ import annotations

import asyncio

import pytest

from grid_hosting.http_transport import spare_loopback
from grid_hosting.sinks import SinkUnavailable
from grid_hosting.sinks.http_client import open_client, request

CLOSED = "http://user:secret@127.0.0.1:9"


async def _answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    writer.close()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
async def test_a_receiver_on_this_machine_is_reached_directly(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, CLOSED)
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_client(5) as client:
        for host in ("127.0.0.1", "localhost"):
            await request(client, "GET", f"http://{host}:{port}/")


async def test_elsewhere_the_error_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", CLOSED)
    async with open_client(5) as client:
        named = r"through the proxy http://127\.0\.0\.1:9 \(from http_proxy\)"
        with pytest.raises(SinkUnavailable, match=named) as failed:
            await request(client, "GET", "http://receiver.example/")
    assert "secret" not in str(failed.value)


def test_libraries_that_read_the_environment_are_kept_off_loopback() -> None:
    for before, after in (
        ({}, {"no_proxy": "localhost,127.0.0.1,127.0.0.0/8,::1"}),
        ({"no_proxy": "*"}, {"no_proxy": "*"}),
        ({"NO_PROXY": "a.example, localhost"}, {"NO_PROXY": "a.example,localhost,127.0.0.1,127.0.0.0/8,::1"}),
    ):
        environ: dict[str, str] = dict(before)
        spare_loopback(environ)
        spare_loopback(environ)
        assert environ == after
