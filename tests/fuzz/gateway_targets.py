"""The four ports of the gateway: the real applications behind the real HTTP parser, on a real registry and TRON in the
same process."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import APIRouter
from hypothesis import strategies as st

from gateway_http.config import Config
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.runtime import connected
from gateway_http.server import Listener, Port, applications, port_of
from grid_hosting.transport_security import TransportSecurity
from tests.fuzz.alarms import Alarms, raised
from tests.fuzz.cases import Case, Step
from tests.fuzz.http_bytes import UPGRADE, frames, polls, requests
from tests.fuzz.memory_transport import Connection
from tests.fuzz.registry_targets import BYSTANDER, memory_folder
from tests.fuzz.targets import Target, sequences, step
from tests.fuzz.tron_targets import TronRig
from tests.support.known import Known
from tests.support.zones import zone

KEYS = ("registry_http", "tron_http", "events_http", "hmi_http")
FAR_EAST = "Pacific/Kiritimati"
"""A time zone 14 hours ahead: local times at the end of the year 9999 are in the year 10000 there."""

HOST = b"host: localhost\r\n"

_SID = re.compile(rb'"sid":"([^"]+)"')

V1: Mapping[str, Sequence[str]] = {
    "GET": (
        "/v1/status",
        "/v1/services",
        "/v1/services?type={}&role={}&cap={}&name={}&status={}&liveness={}",
        "/v1/services/{}",
        "/v1/services/{}/explain",
        "/v1/events?after={}&limit={}&newest={}",
        "/v1/events?types={}&service_id={}&recipient={}",
        "/v1/alerts?unacknowledged={}&after={}",
        "/v1/stream?cursor={}",
        "/v1/sd/prometheus",
        "/v1/history?events={}",
        "/v1/explain?service_id={}",
    ),
    "POST": ("/v1/alerts/{}/acknowledge?recipient={}", "/v1/alerts/acknowledge"),
}
DOCS = ("/docs", "/redoc", "/openapi.json", "/static-offline-docs/{}")
ROUTES: Mapping[str, Mapping[str, Sequence[str]]] = {
    "registry_http": {
        "GET": (
            "/",
            "/health",
            "/services",
            "/services/",
            "/services/{}",
            "/discover",
            "/metrics",
            *DOCS,
            *V1["GET"],
            "/discover?type={}&role={}&cap={}&name={}&status={}",
            "//{}",
            "/{}",
        ),
        "POST": ("/register", "/deregister", "/promote", *V1["POST"]),
        "PUT": ("/heartbeat", "/heartbeat/"),
    },
    "tron_http": {"GET": ("/", "/health", "/stats", "/alerts", "/alerts?limit={}", *DOCS)},
    "events_http": {
        "GET": ("/health", "/events/recent?limit={}", "/events/stream", *DOCS),
        "POST": ("/broadcast",),
    },
    "hmi_http": {
        "GET": (
            "/",
            "/dashboard/{}",
            "/session",
            "/health",
            "/api/services",
            "/api/tree",
            "/api/alerts",
            "/api/agents",
            "/api/metrics",
            "/api/system/status",
            "/api/settings/hhmrs",
            "/api/history",
            "/api/explain?service_id={}",
            *DOCS,
            *V1["GET"],
        ),
        "POST": ("/api/settings/hhmrs", "/api/alerts/acknowledge", "/session", *V1["POST"]),
        "DELETE": ("/session",),
    },
}
BODIES: Mapping[str, Mapping[str, str]] = {
    "/register": {
        "service_id": '"a"',
        "name": '"a"',
        "type": '"agent"',
        "role": '"production"',
        "url": '"u"',
        "caps": '["work"]',
        "labels": '{"parent":"b"}',
        "ctx_limit": "1",
        "cost_hint": '{"usd_per_1k":0.5}',
        "heartbeat_interval_s": "60",
        "ttl_s": "90",
    },
    "/heartbeat": {
        "service_id": '"a"',
        "status": '"ok"',
        "p95_ms": "1",
        "queue_depth": "1",
        "load": "0.5",
        "message": '"m"',
    },
    "/heartbeat/": {"service_id": '"a"'},
    "/deregister": {"service_id": '"a"'},
    "/promote": {"name": '"a"', "from_role": '"production"', "to_role": '"canary"'},
    "/broadcast": {"event_type": '"task"', "data": '{"service_id":"a","timestamp":"now","alert_type":"service_down"}'},
    "/api/settings/hhmrs": {
        "hhmrs": '{"heartbeat_interval_s":30,"timeout_threshold_s":60,"max_restarts":3,"max_llm_retries":3,"x":null}'
    },
    "/v1/alerts/acknowledge": {"alert_id": '"1"'},
    "/api/alerts/acknowledge": {"all": "true"},
    "/session": {"token": '"reader"'},
}


class GatewayRig(TronRig):
    """A gateway without sockets, with its registry and TRON."""

    CREDENTIAL = b""
    """The header that a request needs."""

    def __init__(self, runner: asyncio.Runner, folder: Path, alarms: Alarms) -> None:
        super().__init__(runner, folder, alarms)
        self._sids: list[bytes] = []
        runner.run(self._start_gateway(folder / "gateway"))

    async def run_case(self, case: Case) -> None:
        """Send the bytes; connections that the case opens end with it. A step is named `port#connection`."""
        connections: dict[str, Connection] = {}
        try:
            for name, data in case:
                if name not in connections:
                    connections[name] = Connection(self._ports[name.partition("#")[0]])
                await connections[name].send(self._with_sid(data))
                self._sids += _SID.findall(connections[name].received)[-1:]
        finally:
            for each in connections.values():
                each.close()
            await asyncio.sleep(0)
        for name, connection in connections.items():
            self._check(name, connection)
        await self.check_bystander()
        await self._check_listed()

    def _check(self, name: str, connection: Connection) -> None:
        crowded = 503 if b"too many clients" in connection.received else None
        wrong = [status for status in connection.statuses if status >= 500 and status != crowded]
        assert not wrong, f"{name}: {connection.received[:2000]!r}"

    async def _check_listed(self) -> None:
        """The gateway still answers, by what the registry has now."""
        connection = Connection(self._ports["registry_http"])
        await connection.send(b"GET /services HTTP/1.1\r\nhost: localhost\r\n" + self.CREDENTIAL + b"\r\n")
        connection.close()
        assert connection.statuses == [200], connection.received[:500]
        assert BYSTANDER.encode() in connection.received, "the bystander is not listed"

    def _with_sid(self, data: bytes) -> bytes:
        sid = self._sids[-1] if self._sids else b"none"
        del self._sids[:-1]
        return data.replace(b"{sid}", sid)

    async def _start_gateway(self, folder: Path) -> None:
        config = Config(registry=self.registry_address, tron=self.tron_address, data_dir=folder, self_register=False)
        self._gateway_ends = AsyncExitStack()
        gateway = await self._gateway_ends.enter_async_context(connected(config))
        # Never served: what the gateway says about its own ports needs addresses.
        listeners = [Listener(key, socket.socket(), f"127.0.0.1:{number}") for number, key in enumerate(KEYS, start=1)]
        security = TransportSecurity("the gateway", config)
        apps = applications(gateway, security, listeners, APIRouter(), self._authentication())
        self._ports: dict[str, Port] = {}
        for listener, app in apps.items():
            listener.socket.close()
            self._ports[listener.key] = port = port_of(app, gateway, None)
            port.config.load()
            port.lifespan = port.config.lifespan_class(port.config)
            await port.lifespan.startup()
        async with asyncio.timeout(20):
            while not (gateway.replica.loaded and gateway.replica.live and gateway.replica.tail.epoch):
                await asyncio.sleep(0.01)
            while not gateway.tron.status.watching:
                await asyncio.sleep(0.01)
        self._gateway = gateway

    def _authentication(self) -> HttpAuthentication | None:
        return None

    async def stop(self) -> None:
        """End the gateway, then the others."""
        self._gateway.closing.set()
        for port in self._ports.values():
            await port.lifespan.shutdown()
        tasks = [task for port in self._ports.values() for task in port.server_state.tasks]
        if tasks:
            await asyncio.wait(tasks, timeout=1.0)
        await self._gateway_ends.aclose()
        await super().stop()
        self.alarms.over = True
        for task in tasks:  # polls of Socket.IO, whose clients have left, end much later
            task.cancel()
        await asyncio.sleep(0)


class SecuredGatewayRig(GatewayRig):
    """The same with authentication: nobody without a credential learns anything of the fleet."""

    CREDENTIAL = b"authorization: Bearer reader\r\n"

    async def run_case(self, case: Case) -> None:
        """Send the bytes, on connections whose names say whether the client is known."""
        header = HOST + self.CREDENTIAL

        def completed(each: Step) -> Step:
            return each._replace(data=each.data.replace(HOST, header)) if each.name.endswith("known") else each

        sent = tuple(map(completed, case))
        # A client that sends the token itself is known as well.
        self._strangers = {each.name for each in sent} - {each.name for each in sent if b"reader" in each.data.lower()}
        await super().run_case(sent)

    def _check(self, name: str, connection: Connection) -> None:
        super()._check(name, connection)
        if name in self._strangers:
            assert BYSTANDER.encode() not in connection.received, f"{name}: {connection.received[:2000]!r}"

    def _authentication(self) -> HttpAuthentication:
        return HttpAuthentication(Known())


def open_secured_gateway() -> AbstractContextManager[GatewayRig]:
    """Run them with authentication."""
    return open_gateway(SecuredGatewayRig)


@contextmanager
def open_gateway(kind: type[GatewayRig] = GatewayRig) -> Iterator[GatewayRig]:
    """Run a registry, a TRON and a gateway in a time zone far from UTC until the block ends."""
    with (
        zone(FAR_EAST),
        raised() as alarms,
        TemporaryDirectory(prefix="fuzz-", dir=memory_folder()) as folder,
        asyncio.Runner() as runner,
    ):
        alarms.watch_loop(runner.get_loop())
        rig = kind(runner, Path(folder), alarms)
        try:
            yield rig
        finally:
            runner.run(rig.stop())
        alarms.check()


def _steps(key: str, connections: Sequence[str] = ("0", "1")) -> list[st.SearchStrategy[Step]]:
    sent = requests(ROUTES[key], BODIES)
    # Two requests on one connection, and one in two parts, are what proxies and slow clients send.
    return [step(f"{key}#{name}", sent) for name in connections]


HTTP_TARGET = Target(
    "gateway http", sequences(*(each for key in KEYS for each in _steps(key)), most=5), open_gateway, renewed_after=300
)
SECURED_TARGET = Target(
    "gateway with authentication",
    sequences(*(each for key in KEYS for each in _steps(key, ("known", "stranger"))), most=5),
    open_secured_gateway,
    renewed_after=300,
)
_OPENED = st.just((Step("events_http#ws", UPGRADE),))
SOCKET_TARGET = Target(
    "gateway socket.io",
    sequences(step("events_http#poll", polls()), step("events_http#other", polls()), most=5)
    | st.builds(tuple.__add__, _OPENED, sequences(step("events_http#ws", frames()), most=5)),
    open_gateway,
    renewed_after=300,
)
