"""The login of the dashboard, and pages of other origins that are listed: the real routes behind the real layers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from grid_model.access import Grant, Principal, Role
from grid_model.errors import Draining

from gateway_http.http.admission import Admission
from gateway_http.http.asgi import App
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.cors import ListedOrigins
from gateway_http.http.problems import install_errors, refusal_body
from gateway_http.http.route_table import RouteTable
from gateway_http.http.sessions import MOST_OF_PRINCIPAL
from gateway_http.page import session
from gateway_http.route_roles import READ, ROUTE_ROLES
from grid_hosting.http_hosts import HostNames
from grid_hosting.http_rules import HttpRules
from tests.support.known import Known

OWN = {"sec-fetch-site": "same-origin"}
LISTED = "https://hmi.example:8443"


class Rig:
    """The dashboard's port, with two of its routes."""

    def __init__(self, *, tls: bool = True) -> None:
        self.known = Known()
        self.refused: list[Any] = []
        self.authentication = HttpAuthentication(self.known, (), (LISTED,), self.refused.append)
        rules = HttpRules(HostNames((), any_address=False), tls=tls, origins=(LISTED,))
        routes = APIRouter()

        @routes.get("/v1/status")
        async def status() -> dict[str, Any]:
            return {"live": True}

        @routes.post("/v1/alerts/acknowledge")
        async def acknowledge() -> dict[str, Any]:
            return {"acknowledged": 1}

        app = FastAPI()
        install_errors(app)
        app.include_router(session.router(self.authentication, rules, READ))
        app.include_router(routes)
        layer = self.authentication.around(app, RouteTable(ROUTE_ROLES["hmi_http"]), rules, refusal_body)
        self.app: App = Admission(ListedOrigins(layer, (LISTED,)), rules)
        self.scheme = "https" if tls else "http"

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that keeps cookies."""
        transport = httpx.ASGITransport(self.app, client=("10.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url=f"{self.scheme}://localhost") as http:
            yield http


async def log_in(http: httpx.AsyncClient, token: Any = "reader", **headers: str) -> httpx.Response:
    """Log in as the page does."""
    return await http.post("/session", json={"token": token}, headers={**OWN, **headers})


@pytest.mark.parametrize("tls", [True, False])
async def test_a_person_logs_in_reads_and_logs_out(tls: bool) -> None:
    rig = Rig(tls=tls)
    async with rig.browser() as http:
        assert (await http.get("/v1/status")).status_code == 401
        answer = await log_in(http)
        shown = {"principal": "token:reader", "roles": ["observer"], "session": True}
        assert (answer.status_code, answer.json()) == (200, shown)
        cookie = answer.headers["set-cookie"]
        assert ("Secure" in cookie, cookie.startswith("__Host-")) == (tls, tls)
        assert "reader" not in cookie
        assert (await http.get("/v1/status")).json() == {"live": True}
        assert (await http.get("/session")).json() == shown
        stolen = {"cookie": cookie.partition(";")[0]}
        answer = await http.delete("/session", headers=OWN)
        assert (answer.status_code, len(http.cookies)) == (204, 0)
        assert (await http.get("/v1/status", headers=stolen)).status_code == 401


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (OWN, {"token": "wrong"}, 401),
        (OWN, {"token": ""}, 401),
        (OWN, {"token": "reader\n"}, 401),
        (OWN, {"token": "reader reader"}, 401),
        (OWN, {"token": "réader"}, 401),
        (OWN, {"token": "worker"}, 403),
        (OWN, {"token": "x" * 8193}, 422),
        (OWN, {"token": 1}, 422),
        (OWN, {}, 422),
        (OWN, [], 422),
        ({}, {"token": "reader"}, 403),
        ({"sec-fetch-site": "none"}, {"token": "reader"}, 403),
        ({"sec-fetch-site": "same-site"}, {"token": "reader"}, 403),
        ({"origin": LISTED}, {"token": "reader"}, 403),
        ({"origin": LISTED, "sec-fetch-site": "cross-site"}, {"token": "reader"}, 403),
        ({"origin": "https://evil.test"}, {"token": "reader"}, 403),
    ],
    ids=str,
)
async def test_a_login_that_is_refused_opens_no_session(headers: dict[str, str], body: Any, status: int) -> None:
    rig = Rig()
    async with rig.browser() as http:
        answer = await http.post("/session", json=body, headers=headers)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (status, None)
        assert len(rig.authentication.callers.sessions) == 0
    if body == {"token": "worker"}:
        assert answer.json() == {
            "detail": "the dashboard needs the role observer for all ids (pattern *), which token:worker does not have"
        }


async def test_a_login_while_the_registry_is_away_may_be_tried_again() -> None:
    rig = Rig()
    rig.known.fails = Draining("the registry does not answer")
    async with rig.browser() as http:
        assert (await log_in(http)).status_code == 503
    assert rig.refused == []


async def test_refused_logins_are_reported_for_the_audit_log_without_the_token() -> None:
    rig = Rig()
    async with rig.browser() as http:
        await log_in(http, "tron_wrong")
    (record,) = rig.refused
    assert (record.actor, record.method, record.outcome) == ("network:10.0.0.0/24", "POST /session", "UNAUTHENTICATED")
    assert "tron_wrong" not in repr(record)


async def test_a_login_too_many_ends_the_oldest_session_of_the_principal() -> None:
    rig = Rig()
    async with rig.browser() as first:
        await log_in(first)
        for _ in range(MOST_OF_PRINCIPAL):
            async with rig.browser() as http:
                await log_in(http)
        assert (await first.get("/session")).status_code == 401
        assert (await log_in(first)).status_code == 200


async def test_a_login_ends_the_former_session_of_the_browser() -> None:
    rig = Rig()
    rig.known.tokens["other"] = Principal("token:other", (Grant(Role.OBSERVER, "*"),))
    async with rig.browser() as http, rig.browser() as elsewhere:
        await log_in(elsewhere)
        former = {"cookie": (await log_in(http)).headers["set-cookie"].partition(";")[0]}
        assert (await log_in(http, "wrong")).status_code == 401
        assert (await http.get("/session")).status_code == 200, "a login that fails ends nothing"
        assert (await http.post("/session", json={"token": "other"})).status_code == 403
        assert (await http.get("/session")).status_code == 200, "and neither does one of another page"
        assert (await log_in(http, "other")).json()["principal"] == "token:other"
        assert (await http.get("/session")).json()["principal"] == "token:other"
        assert (await elsewhere.get("/session")).status_code == 200
        assert len(rig.authentication.callers.sessions) == 2
    async with rig.browser() as thief:
        assert (await thief.get("/session", headers=former)).status_code == 401


async def test_a_session_changes_something_only_from_its_own_page() -> None:
    rig = Rig()
    rig.known.tokens["reader"] = Principal("token:boss", (Grant(Role.OPERATOR, "*"),))
    async with rig.browser() as http:
        await log_in(http)
        for headers, status in (
            (OWN, 200),
            ({}, 403),
            ({"origin": LISTED}, 403),
            ({"origin": "https://localhost"}, 200),
        ):
            answer = await http.post("/v1/alerts/acknowledge", headers=headers)
            assert answer.status_code == status, headers
        assert (await http.delete("/session")).status_code == 403
        assert (await http.get("/session")).status_code == 200


async def test_a_program_sees_who_it_is_and_has_no_session() -> None:
    rig = Rig()
    async with rig.browser() as http:
        headers = {"authorization": "Bearer worker"}
        shown = {"principal": "token:worker", "roles": ["agent"], "session": False}
        assert (await http.get("/session", headers=headers)).json() == shown
        assert (await http.delete("/session", headers=headers)).status_code == 204
        assert (await http.get("/session", headers=headers)).status_code == 200


# --- pages of other origins -------------------------------------------------------------------------------------------

ASK = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_pages_of_listed_origins_may_send_a_token() -> None:
    rig = Rig()
    rig.known.tokens["boss"] = Principal("token:boss", (Grant(Role.OPERATOR, "*"),))
    page = {"origin": LISTED, "sec-fetch-site": "cross-site"}
    async with rig.browser() as http:
        asked = await http.options("/v1/alerts/acknowledge", headers={**page, **ASK})
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == LISTED
        assert "authorization" in asked.headers["access-control-allow-headers"]
        token = {"authorization": "Bearer boss"}
        for method, path in (("GET", "/v1/status"), ("POST", "/v1/alerts/acknowledge")):
            answer = await http.request(method, path, headers={**page, **token})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, LISTED)
            assert "access-control-allow-credentials" not in answer.headers
        answer = await http.get("/v1/status", headers=page)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, LISTED)


async def test_pages_of_other_origins_may_not_even_read() -> None:
    rig = Rig()
    async with rig.browser() as http:
        for origin in ("https://evil.test", "null", "https://hmi.example", "https://HMI.example:8443"):
            asked = await http.options("/v1/alerts/acknowledge", headers={"origin": origin, **ASK})
            assert asked.status_code == 401
            token = {"authorization": "Bearer reader", "origin": origin}
            answer = await http.get("/v1/status", headers=token)
            for each in (asked, answer):
                assert not [name for name in each.headers if name.startswith("access-control-")], origin
            assert (await http.post("/v1/alerts/acknowledge", headers=token)).status_code == 403


async def test_the_body_of_a_login_that_no_page_of_this_port_sent_is_not_read() -> None:
    rig, sent = Rig(), list[Any]()
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/session", "raw_path": b"/session", "query_string": b""}

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    await rig.app({**scope, "headers": headers, "http_version": "1.1", "scheme": "https"}, receive, send)
    assert sent[0]["status"] == 403
    assert len(rig.refused) == 1


async def test_a_login_that_is_larger_than_a_token_is_refused() -> None:
    async with Rig().browser() as http:
        answer = await http.post("/session", json={"token": "x" * session.MOST_BODY}, headers=OWN)
        assert answer.status_code == 413
