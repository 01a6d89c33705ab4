"""A denied client certificate is refused at every route of an HTTP port, whatever else the request brings."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from cryptography.x509 import load_pem_x509_certificate
from grid_model.errors import Draining

from gateway_http.http.prompt_requests import PromptProtocol
from tests.support.authority import Authority
from tests.unit.gateway_http.test_http_authentication import BEARER, OWN, Rig, running

CA = Authority()
SERVER, CLIENT = CA.issue(), CA.issue("host-1")
SERIAL = f"{load_pem_x509_certificate(CLIENT.cert).serial_number:x}"
UPGRADE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def context(kind: int, folder: Path, name: str) -> ssl.SSLContext:
    """The context of the server, or of the client, with its certificate."""
    made = ssl.SSLContext(kind)
    issued = SERVER if name == "server" else CLIENT
    made.load_cert_chain(*issued.write(folder, name))
    made.load_verify_locations(cadata=CA.pem.decode())
    made.verify_mode = ssl.CERT_REQUIRED
    return made


@asynccontextmanager
async def served(rig: Rig, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client, with a certificate, of the port over mutual TLS."""
    tls = context(ssl.PROTOCOL_TLS_SERVER, folder, "server")
    config = uvicorn.Config(
        rig.app,
        http=PromptProtocol,
        ws="websockets-sansio",
        port=0,
        lifespan="off",
        log_config=None,
        ssl_context_factory=lambda _, __: tls,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn says it by this alone
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    trust = context(ssl.PROTOCOL_TLS_CLIENT, folder, "client")
    try:
        async with httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=trust, timeout=10) as http:
            yield http
    finally:
        server.should_exit = server.force_exit = True
        await serving


@pytest.mark.parametrize("by", ["token", "session"])
async def test_a_denied_certificate_is_refused_at_every_route_and_its_streams_end(by: str, tmp_path: Path) -> None:
    rig = Rig()
    async with running(rig), served(rig, tmp_path) as http:
        headers = BEARER if by == "token" else {**await rig.log_in(), **OWN}
        rig.known.deny("abc")
        assert (await http.get("/read", headers=headers)).status_code == 200
        assert (await http.get("/open")).status_code == 200
        async with http.stream("GET", "/v1/stream", headers=headers) as opened:
            parts = opened.aiter_raw()
            await anext(parts)
            rig.known.deny(SERIAL)
            async with asyncio.timeout(10):
                assert not [each async for each in parts], "it ends"
        for path in ("/open", "/read", "/v1/stream", "/unknown"):
            assert (await http.get(path, headers=headers)).status_code == 401, path
        assert (await http.get("/socket.io/", headers={**headers, **UPGRADE})).status_code == 401
        assert (await http.get("/read", headers=BEARER)).status_code == 401
        rig.known.fails = Draining("the registry does not answer")
        assert (await http.get("/open")).status_code == 200, "open routes work without the registry"
