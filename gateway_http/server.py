"""Binds the four ports, serves requests until the program is asked to stop, and shuts down in order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from fastapi import APIRouter

from gateway_http.config import Config
from gateway_http.gateway import Gateway
from gateway_http.http.admission import Admission
from gateway_http.http.asgi import App
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.cors import ListedOrigins
from gateway_http.http.front import Front
from gateway_http.http.problems import refusal_body
from gateway_http.http.prompt_requests import PromptProtocol, limit_stranger_lines
from gateway_http.http.prompt_websockets import PromptWebSocket
from gateway_http.http.route_table import RouteTable
from gateway_http.legacy import events, hmi, registry, tron
from gateway_http.legacy.socket_io import MOST_PACKET
from gateway_http.metrics import PortState, gateway_metrics
from gateway_http.metrics import router as metrics_router
from gateway_http.page import oidc_login, session
from gateway_http.page import routes as page
from gateway_http.page.oidc_issuer import OidcIssuer
from gateway_http.route_roles import READ, ROUTE_ROLES
from gateway_http.runtime import authenticating, connected
from gateway_http.v1 import api, overview
from grid_hosting.identity import end_own_agent, own_agent
from grid_hosting.listening import bind_socket
from grid_hosting.program import write_ready
from grid_hosting.telemetry.program_metrics import tls_metrics
from grid_hosting.telemetry.telemetry import Telemetry, read_all
from grid_hosting.transport_security import TransportSecurity

log = structlog.get_logger("gateway")

LOAD_WITHIN = 5.0
"""Seconds to wait for the first snapshot; after that the gateway serves without it, and reads answer 503."""

DRAIN_SECONDS = 3
"""Seconds within which open requests must finish when the gateway stops."""


class Port(uvicorn.Server):
    """The uvicorn server of one port. It does not handle signals, and wakes only once a second. The main loop of
    uvicorn would check ten times a second whether it must exit, so that four idle ports would wake the gateway very
    often."""

    def __init__(self, config: uvicorn.Config) -> None:
        self._exiting = asyncio.Event()
        super().__init__(config)

    @property
    def should_exit(self) -> bool:
        """Whether the server of this port must stop. Setting it to True stops the server at once."""
        return self._exiting.is_set()

    @should_exit.setter
    def should_exit(self, exits: bool) -> None:
        if exits:
            self._exiting.set()
        else:
            self._exiting.clear()

    async def main_loop(self) -> None:
        """Update the Date header at each full second until the server must stop. The servers of all ports wake at the
        same time."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 - time.time() % 1.0):
                    await self._exiting.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing, because the program itself stops the servers of its ports."""
        yield


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, and the address to which it is really bound."""

    key: str
    socket: socket.socket
    address: str

    @property
    def port(self) -> int:
        """The port number to which the socket is really bound."""
        return int(self.address.rpartition(":")[2])


def bind(key: str, listen: str) -> Listener:
    """Bind a socket to a listen address, and return its listener. Raises StartError with the address if that is not
    possible."""
    bound, address = bind_socket(listen)
    bound.setblocking(False)
    return Listener(key, bound, address)


def port_of(app: Any, gateway: Gateway, tls: ssl.SSLContext | None) -> Port:
    """Return the server for the application of one port. Without a TLS context, it serves plaintext."""
    limit_stranger_lines()
    return Port(
        uvicorn.Config(
            app,
            http=PromptProtocol,
            ws=PromptWebSocket,
            ws_max_size=MOST_PACKET,
            # Compressed, 80 bytes of a client that nobody has identified could become a message of MOST_PACKET.
            ws_per_message_deflate=False,
            loop="none",
            lifespan="auto",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            limit_concurrency=gateway.config.max_connections,
            ssl_context_factory=None if tls is None else lambda _, __: tls,
        )
    )


async def serve(config: Config, stop: asyncio.Event) -> None:
    """Run one gateway until `stop` is set. Raises StartError if an address cannot be bound, or must not be open to
    other machines."""
    security = TransportSecurity("the gateway", config)
    listeners = [
        bind("registry_http", config.registry_http_listen),
        bind("tron_http", config.tron_http_listen),
        bind("events_http", config.events_http_listen),
        bind("hmi_http", config.hmi_listen),
    ]
    addresses = {each.key: each.address for each in listeners}
    issuer = None if config.oidc is None else OidcIssuer(config.oidc)
    security.admit(*addresses.values())
    security.log_mode()
    async with (
        authenticating(config) as authentication,
        connected(config, authentication=config.authentication) as gateway,
        asyncio.TaskGroup() as tasks,
    ):
        states: dict[str, PortState] = {}
        metrics = [*gateway_metrics(gateway, states, authentication), *tls_metrics(security.tls)]
        telemetry = Telemetry("gateway", metrics, otlp_endpoint=config.otlp_endpoint)
        router = metrics_router(lambda: read_all(metrics))
        apps = applications(gateway, security, listeners, router, authentication, issuer)
        ports = {listener: port_of(app, gateway, security.ssl_context()) for listener, app in apps.items()}
        states |= {listener.key: port.server_state for listener, port in ports.items()}
        serving = [tasks.create_task(port.serve(sockets=[listener.socket])) for listener, port in ports.items()]
        agents = _agents(config, listeners, security.scheme()) if config.self_register else []
        securing = [tasks.create_task(each.run()) for each in (security, issuer) if each is not None]
        loop = asyncio.get_running_loop()
        try:
            replica = gateway.replica
            await replica.news.until(lambda: replica.loaded and replica.tail.epoch > 0, LOAD_WITHIN)
            log.info("gateway_serving", registry=config.registry, tron=config.tron, **addresses)
            for agent in agents:
                await loop.run_in_executor(None, agent.start)
            write_ready(config.ready_file, dict(addresses))
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait({stopping, *serving}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        finally:  # also if one of the tasks failed: threads of gRPC would keep the process alive
            if stop.is_set():
                log.info("gateway_draining")
            gateway.closing.set()
            telemetry.close()
            for task in securing:
                task.cancel()
            for port in ports.values():
                port.should_exit = True
            await asyncio.gather(*(end_own_agent(each, leaves=stop.is_set()) for each in agents))
    log.info("gateway_stopped")


def applications(
    gateway: Gateway,
    security: TransportSecurity,
    listeners: list[Listener],
    metrics: APIRouter,
    authentication: HttpAuthentication | None = None,
    issuer: OidcIssuer | None = None,
) -> dict[Listener, App]:
    """Return the application of each port: its legacy contract; on 6121 also /v1 and /metrics, and on 6101 also /v1 and
    the dashboard. `authentication`: the authentication of callers; without it, every caller may do everything.
    `issuer`: the issuer at which people can log in, or None."""
    config = gateway.config
    registry_http, tron_http, events_http, hmi_http = listeners
    names = ("registry", "heartbeat_monitor", "event_stream")
    neighbours = {name: listener.port for name, listener in zip(names, listeners, strict=False)}
    v1, (below_v1, below_api) = api.router(gateway), overview.routers(gateway)
    # Pages of the legacy HMI, which is another port of the same host, read and act on two ports by the legacy contract.
    open_to_pages = (tron_http, events_http) if authentication is None else ()
    origins = () if authentication is None else authentication.origins
    rules = {
        each: security.http_rules(each.address, same_host=each in open_to_pages, origins=origins) for each in listeners
    }
    issuer_name = "" if issuer is None else issuer.name
    dashboard = [page.router(config.root_path, secured=authentication is not None, issuer=issuer_name)]
    if authentication is not None:
        dashboard.append(session.router(authentication, rules[hmi_http], READ))
        if issuer is not None:
            login = oidc_login.OidcLogin(authentication, rules[hmi_http], READ, issuer, config.root_path)
            dashboard.append(oidc_login.router(login))
    apps: dict[Listener, App] = {
        registry_http: registry.RegistryPort(gateway, registry_http.port, [v1, below_v1, metrics]),
        tron_http: tron.build(gateway, tron_http.port, open_to_pages=tron_http in open_to_pages),
        events_http: events.build(gateway, events_http.port, open_to_pages=events_http in open_to_pages),
        hmi_http: hmi.build(gateway, hmi_http.port, neighbours, [v1, below_v1, below_api, *dashboard]),
    }

    def around(listener: Listener, app: App) -> App:
        if authentication is not None:
            routes = RouteTable(ROUTE_ROLES[listener.key])
            refusals = events.refusal_body if listener is events_http else refusal_body
            app = authentication.around(app, routes, rules[listener], refusals)
            app = ListedOrigins(app, origins)
        return Admission(Front(app, config.max_body_bytes, config.root_path), rules[listener])

    return {listener: around(listener, app) for listener, app in apps.items()}


def _agents(config: Config, listeners: list[Listener], scheme: str) -> list[Any]:
    at = {each.key: each.address for each in listeners}
    return [
        own_agent(
            "service-gateway", "Gateway", at["registry_http"], config.registry, ("legacy_rest", "json_api"), scheme
        ),
        own_agent(
            "service-event-stream",
            "Event Stream",
            at["events_http"],
            config.registry,
            ("event_broadcasting", "sse_streaming", "real_time_updates"),
            scheme,
        ),
        own_agent("service-hmi", "HMI Dashboard", at["hmi_http"], config.registry, ("dashboard",), scheme),
    ]
