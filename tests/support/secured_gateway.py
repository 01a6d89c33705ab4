"""A gateway with authentication over TLS, in a thread of this process, with callers that the test names."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter
from grid_model.access import Principal

from gateway_http.config import Config
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.page.oidc_issuer import OidcIssuer
from gateway_http.runtime import connected
from gateway_http.server import applications, bind, port_of
from grid_hosting.oidc_settings import OidcSettings
from grid_hosting.transport_security import TransportSecurity
from tests.support.authority import Authority
from tests.support.known import Known
from tests.support.waiting import wait_until

KEYS = ("registry_http", "tron_http", "events_http", "hmi_http")


@dataclass
class SecuredGateway:
    """A running one."""

    addresses: dict[str, str]
    known: Known
    ca: Path
    _loop: asyncio.AbstractEventLoop

    def url(self, key: str) -> str:
        """The base address of a port."""
        return f"https://{self.addresses[key]}"

    def change(self, token: str, principal: Principal | None) -> None:
        """Replace or revoke a token."""
        self._loop.call_soon_threadsafe(self.known.change, token, principal)


@contextmanager
def secured_gateway(
    folder: Path, registry: str, tron: str, known: Known, oidc: OidcSettings | None = None
) -> Iterator[SecuredGateway]:
    """Run one until the block ends. `oidc`: the issuer at which people log in."""
    ca = Authority()
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = ca.issue().write(folder)
    bundle = ca.write(folder)
    config = Config(registry=registry, tron=tron, data_dir=folder, self_register=False, cert=cert, key=key, ca=bundle)
    started: list[SecuredGateway] = []
    stop: list[asyncio.Event] = []

    async def serve() -> None:
        listeners = [bind(each, "127.0.0.1:0") for each in KEYS]
        security = TransportSecurity("the gateway", config)
        authentication = HttpAuthentication(known)
        issuer = None if oidc is None else OidcIssuer(oidc)
        assert issuer is None or await issuer.fetch()
        async with connected(config) as gateway, asyncio.TaskGroup() as tasks:
            checking = tasks.create_task(authentication.run())
            apps = applications(gateway, security, listeners, APIRouter(), authentication, issuer)
            ports = {each: port_of(app, gateway, security.ssl_context()) for each, app in apps.items()}
            for listener, port in ports.items():
                tasks.create_task(port.serve(sockets=[listener.socket]))
            while not all(port.started for port in ports.values()):  # noqa: ASYNC110 - uvicorn says it by this alone
                await asyncio.sleep(0.01)
            stop.append(asyncio.Event())
            addresses = {each.key: each.address for each in listeners}
            started.append(SecuredGateway(addresses, known, bundle, asyncio.get_running_loop()))
            await stop[0].wait()
            gateway.closing.set()
            for port in ports.values():
                port.should_exit = True
            checking.cancel()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway")
    thread.start()
    try:
        wait_until(lambda: bool(started) or not thread.is_alive(), 20, "the gateway serves")
        yield started[0]
    finally:
        if stop:
            started[0]._loop.call_soon_threadsafe(stop[0].set)  # noqa: SLF001
        thread.join(20)
