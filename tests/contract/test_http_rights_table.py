"""The table of rights over HTTP: every route of every port, for each role.

The applications are the real ones, behind the real layers; the registry is away, because only who is served counts
here. A new route without a row fails, and is served to nobody. `pytest -s` prints the outcomes.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from grid_model.access import Grant, Principal, Role
from starlette.routing import Mount

from gateway_http.config import Config
from gateway_http.http.asgi import App
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.callers import LEGACY
from gateway_http.metrics import router as metrics_router
from gateway_http.page.oidc_issuer import OidcIssuer
from gateway_http.route_roles import ROUTE_ROLES
from gateway_http.runtime import connected
from gateway_http.server import Listener, applications
from grid_hosting.http_rules import parse_network
from grid_hosting.oidc_settings import OidcSettings
from grid_hosting.transport_security import TransportSecurity
from tests.support.known import Known

# ok: the application answers. who: UNAUTHENTICATED. denied: PERMISSION_DENIED. `some` is an observer and `team` an
# operator of own-* only, and `old` an old client in a network of legacy_open_to, whose principal has the roles agent
# and observer. A login (POST /session, and /session/oidc at an issuer) is only for the page in a browser.
TABLE = """
                                                  nobody agent  observer some   relay  judge  operator team   admin  old
registry GET    /docs                             who    ok     ok       ok     ok     ok     ok       ok     ok     ok
registry GET    /redoc                            who    ok     ok       ok     ok     ok     ok       ok     ok     ok
registry GET    /openapi.json                     who    ok     ok       ok     ok     ok     ok       ok     ok     ok
registry GET    /docs-assets/{file}               ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
registry GET    /v1/status                        who    denied ok       denied denied denied ok       denied ok     who
registry GET    /v1/services                      who    ok     ok       ok     denied denied ok       ok     ok     who
registry GET    /v1/services/{service_id}/explain who    denied ok       ok     denied denied ok       ok     ok     who
registry GET    /v1/services/{service_id}         who    ok     ok       ok     denied denied ok       ok     ok     who
registry GET    /v1/events                        who    ok     ok       ok     denied denied ok       ok     ok     who
registry GET    /v1/alerts                        who    ok     ok       ok     denied denied ok       ok     ok     who
registry POST   /v1/alerts/{alert_id}/acknowledge who    ok     denied   denied denied denied ok       ok     ok     who
registry POST   /v1/alerts/acknowledge            who    ok     denied   denied denied denied ok       ok     ok     who
registry GET    /v1/history                       who    denied ok       denied denied denied ok       denied ok     who
registry GET    /v1/explain                       who    denied ok       denied denied denied ok       denied ok     who
registry GET    /v1/stream                        who    denied ok       denied denied denied ok       denied ok     who
registry GET    /v1/sd/prometheus                 who    denied ok       denied denied denied ok       denied ok     who
registry GET    /                                 who    ok     ok       ok     ok     ok     ok       ok     ok     ok
registry GET    /health                           ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
registry POST   /register                         who    ok     denied   denied denied denied denied   denied denied ok
registry PUT    /heartbeat                        who    ok     denied   denied denied denied denied   denied denied ok
registry GET    /services                         who    ok     ok       ok     denied denied ok       ok     ok     ok
registry GET    /services/{service_id}            who    ok     ok       ok     denied denied ok       ok     ok     ok
registry GET    /discover                         who    ok     ok       ok     denied denied ok       ok     ok     ok
registry POST   /deregister                       who    ok     denied   denied denied denied ok       ok     ok     ok
registry POST   /promote                          who    denied denied   denied denied denied ok       ok     ok     denied
registry GET    /metrics                          who    denied ok       ok     denied denied ok       ok     ok     who
tron     GET    /docs                             who    ok     ok       ok     ok     ok     ok       ok     ok     ok
tron     GET    /redoc                            who    ok     ok       ok     ok     ok     ok       ok     ok     ok
tron     GET    /openapi.json                     who    ok     ok       ok     ok     ok     ok       ok     ok     ok
tron     GET    /docs-assets/{file}               ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
tron     GET    /                                 who    ok     ok       ok     ok     ok     ok       ok     ok     ok
tron     GET    /health                           ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
tron     GET    /stats                            who    denied ok       denied denied denied ok       denied ok     ok
tron     GET    /alerts                           who    denied ok       denied denied denied ok       denied ok     ok
events   GET    /docs                             who    ok     ok       ok     ok     ok     ok       ok     ok     ok
events   GET    /redoc                            who    ok     ok       ok     ok     ok     ok       ok     ok     ok
events   GET    /openapi.json                     who    ok     ok       ok     ok     ok     ok       ok     ok     ok
events   GET    /docs-assets/{file}               ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
events   GET    /health                           ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
events   POST   /broadcast                        who    ok     denied   denied denied denied denied   denied denied ok
events   GET    /events/recent                    who    denied ok       denied denied denied ok       denied ok     ok
events   GET    /events/stream                    who    denied ok       denied denied denied ok       denied ok     ok
events   GET    /socket.io/{rest}                 who    denied ok       denied denied denied ok       denied ok     ok
events   POST   /socket.io/{rest}                 who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /docs                             who    ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /redoc                            who    ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /openapi.json                     who    ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /docs-assets/{file}               ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /v1/status                        who    denied ok       denied denied denied ok       denied ok     who
hmi      GET    /v1/services                      who    ok     ok       ok     denied denied ok       ok     ok     who
hmi      GET    /v1/services/{service_id}/explain who    denied ok       ok     denied denied ok       ok     ok     who
hmi      GET    /v1/services/{service_id}         who    ok     ok       ok     denied denied ok       ok     ok     who
hmi      GET    /v1/events                        who    ok     ok       ok     denied denied ok       ok     ok     who
hmi      GET    /v1/alerts                        who    ok     ok       ok     denied denied ok       ok     ok     who
hmi      POST   /v1/alerts/{alert_id}/acknowledge who    ok     denied   denied denied denied ok       ok     ok     who
hmi      POST   /v1/alerts/acknowledge            who    ok     denied   denied denied denied ok       ok     ok     who
hmi      GET    /v1/history                       who    denied ok       denied denied denied ok       denied ok     who
hmi      GET    /v1/explain                       who    denied ok       denied denied denied ok       denied ok     who
hmi      GET    /v1/stream                        who    denied ok       denied denied denied ok       denied ok     who
hmi      GET    /v1/sd/prometheus                 who    denied ok       denied denied denied ok       denied ok     who
hmi      GET    /                                 ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /dashboard/{file}                 ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /session                          who    ok     ok       ok     ok     ok     ok       ok     ok     who
hmi      POST   /session                          denied denied denied   denied denied denied denied   denied denied denied
hmi      DELETE /session                          who    ok     ok       ok     ok     ok     ok       ok     ok     who
hmi      POST   /session/oidc                     denied denied denied   denied denied denied denied   denied denied denied
hmi      GET    /session/oidc                     denied denied denied   denied denied denied denied   denied denied denied
hmi      GET    /health                           ok     ok     ok       ok     ok     ok     ok       ok     ok     ok
hmi      GET    /api/services                     who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /api/tree                         who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /api/alerts                       who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /api/agents                       who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /api/metrics                      who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /api/system/status                who    denied ok       denied denied denied ok       denied ok     ok
hmi      GET    /api/settings/hhmrs               who    denied ok       denied denied denied ok       denied ok     ok
hmi      POST   /api/settings/hhmrs               who    denied denied   denied denied denied ok       denied ok     denied
hmi      GET    /api/history                      who    denied ok       denied denied denied ok       denied ok     who
hmi      GET    /api/explain                      who    denied ok       denied denied denied ok       denied ok     who
hmi      POST   /api/alerts/acknowledge           who    ok     denied   denied denied denied ok       ok     ok     who
"""  # noqa: E501 - a table

CALLERS = {
    "agent": (Role.AGENT, "*"),
    "observer": (Role.OBSERVER, "*"),
    "some": (Role.OBSERVER, "own-*"),
    "relay": (Role.RELAY, "*"),
    "judge": (Role.JUDGE, "*"),
    "operator": (Role.OPERATOR, "*"),
    "team": (Role.OPERATOR, "own-*"),
    "admin": (Role.ADMIN, "*"),
}
NOBODY, OLD = "nobody", "old"
EVERYBODY = (NOBODY, *CALLERS, OLD)
OLD_ADDRESS = "10.1.2.3"


def principals() -> Known:
    """An authority whose tokens are the names of the callers."""
    tokens = {name: Principal(f"token:{name}", (Grant(*grant),)) for name, grant in CALLERS.items()}
    old = Principal(LEGACY, (Grant(Role.AGENT, "*"), Grant(Role.OBSERVER, "*")))
    return Known(tokens, named={LEGACY: old})


@asynccontextmanager
async def ports(folder: Path) -> AsyncIterator[dict[str, App]]:
    """The applications of a gateway with authentication, by port."""
    config = Config(registry="127.0.0.1:9", tron="127.0.0.1:9", data_dir=folder, self_register=False)
    listeners = [Listener(key, socket.socket(), f"127.0.0.1:{number}") for number, key in enumerate(ROUTE_ROLES, 1)]
    for each in listeners:
        each.socket.close()
    authentication = HttpAuthentication(principals(), [parse_network("10.1.0.0/16")])
    issuer = OidcIssuer(OidcSettings(issuer="https://issuer.test", client_id="page"))
    async with connected(config) as gateway:
        apps = applications(
            gateway, TransportSecurity("the gateway", config), listeners, metrics_router(list), authentication, issuer
        )
        yield {listener.key: app for listener, app in apps.items()}


def routes_of(app: Any) -> set[str]:
    """All routes of a port, as the table of the port names them."""
    found = {"GET /socket.io/{rest}", "POST /socket.io/{rest}"} if hasattr(app, "_clients") else set()
    if not isinstance(app, FastAPI):
        return found | routes_of(app.app if hasattr(app, "app") else app._app)  # noqa: SLF001 - the layers around it
    for route in flat(app.routes):
        path = re.sub(r":\w+}", "}", route.path)
        path = re.sub(r"^/(dashboard|docs-assets)/.*", r"/\1/{file}", path)
        if isinstance(route, Mount):
            found.add(f"GET {path}/{{file}}")
        else:
            found |= {f"{method} {path}" for method in route.methods - {"HEAD"}}
    return found


def flat(routes: Iterable[Any]) -> Iterator[Any]:
    """All routes, those of included routers too."""
    for each in routes:
        if hasattr(each, "original_router"):
            yield from flat(each.original_router.routes)
        else:
            yield each


async def outcome(app: App, row: str, who: str) -> str:
    """Call a route; return the outcome in the words of the table."""
    method, _, path = row.partition(" ")
    path = re.sub(r"\{\w+\}", "x", path)
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    if who in CALLERS:
        headers.append((b"authorization", f"Bearer {who}".encode()))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"EIO=4&transport=polling" if "socket.io" in path else b"",
        "root_path": "",
        "scheme": "http",
        "headers": headers,
        "client": (OLD_ADDRESS if who == OLD else "10.9.9.9", 1),
        "server": ("localhost", 1),
    }
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": b"{}" if method in ("POST", "PUT") else b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.set_result(message["status"])

    serving: asyncio.Future[None] = asyncio.ensure_future(app(scope, receive, send))
    waited: set[asyncio.Future[Any]] = {started, serving}
    await asyncio.wait(waited, timeout=20, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.wait({serving})
    assert started.done(), (row, who, serving)
    return {401: "who", 403: "denied"}.get(started.result(), "ok")


async def test_every_route_serves_exactly_the_roles_of_its_row(tmp_path: Path) -> None:
    head, *expected = (line.split() for line in TABLE.strip().splitlines() or ["x"])
    found = []
    async with ports(tmp_path) as apps:
        for port, app in apps.items():
            for row in ROUTE_ROLES[port]:
                outcomes = [await outcome(app, row, who) for who in EVERYBODY]
                found.append([port.removesuffix("_http"), *row.split(" "), *outcomes])
    print(f"\n{'':50}" + " ".join(f"{who:8}" for who in EVERYBODY))
    for port, method, path, *outcomes in found:
        print(f"{port:8} {method:6} {path:33} " + " ".join(f"{each:8}" for each in outcomes))
    assert (tuple(head), found) == (EVERYBODY, expected)


async def test_every_route_has_a_row_and_every_row_a_route(tmp_path: Path) -> None:
    async with ports(tmp_path) as apps:
        for port, app in apps.items():
            assert routes_of(app) == set(ROUTE_ROLES[port]), port


async def test_a_route_without_a_row_is_served_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {row: need for row, need in ROUTE_ROLES["registry_http"].items() if row != "GET /services"}
    monkeypatch.setattr("gateway_http.server.ROUTE_ROLES", {**ROUTE_ROLES, "registry_http": rows})
    async with ports(tmp_path) as apps:
        statuses = [await outcome(apps["registry_http"], "GET /services", who) for who in EVERYBODY]
    assert statuses == ["who", *(["ok"] * len(CALLERS)), "who"]  # ok: 404


CHANGES = {
    "POST /v1/alerts/{alert_id}/acknowledge": "registry",
    "POST /v1/alerts/acknowledge": "registry",
    "POST /api/alerts/acknowledge": "registry",
    "POST /register": "registry",
    "PUT /heartbeat": "registry",
    "POST /deregister": "registry",
    "POST /promote": "registry",
    "POST /broadcast": "registry",
    "POST /api/settings/hhmrs": "gateway",
    "POST /session": "a session of the caller itself",
    "DELETE /session": "a session of the caller itself",
    "POST /session/oidc": "a login of the caller itself",
    "POST /socket.io/{rest}": "nothing: it is how a client reads",
}
"""Where each change is decided about and recorded: at the registry in the name of the caller, or at the gateway."""


def test_every_route_that_changes_something_is_recorded_in_the_audit_log() -> None:
    rows = {row: need for port in ROUTE_ROLES.values() for row, need in port.items()}
    changing = {row for row in rows if not row.startswith("GET ")}
    assert changing == set(CHANGES)
    assert {row for row, need in rows.items() if need.recorded} == {
        row for row, place in CHANGES.items() if place == "gateway"
    }
    for row, need in rows.items():
        if need.recorded:
            assert need.roles == {Role.OPERATOR}, row
            assert need.everywhere, row


@pytest.mark.parametrize("port", ROUTE_ROLES)
async def test_pages_of_other_origins_and_rebound_names_get_nothing_even_with_a_token(
    tmp_path: Path, port: str
) -> None:
    token = {"authorization": "Bearer admin"}
    async with ports(tmp_path) as apps:
        transport = httpx.ASGITransport(apps[port], client=("10.9.9.9", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:1") as http:
            for row in ROUTE_ROLES[port]:
                method, _, path = row.partition(" ")
                path = re.sub(r"\{\w+\}", "x", path)
                rebound = await http.request(method, path, headers={**token, "host": "rebound.test"})
                assert rebound.status_code == 421, row
                for page in ({"origin": "http://localhost:2"}, {"origin": "null"}, {"sec-fetch-site": "same-site"}):
                    if method != "GET" or ROUTE_ROLES[port][row].stream:
                        answer = await http.request(method, path, headers={**token, **page})
                        assert (answer.status_code, answer.json()["reason"]) == (403, "FOREIGN_PAGE"), row
                        assert not [name for name in answer.headers if name.startswith("access-control-")]
