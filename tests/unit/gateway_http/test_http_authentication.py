"""The layer that needs a caller for each request: credentials, cookies, old clients, and how streams end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import Draining

from gateway_http.http.admission import Admission
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.callers import LEGACY, cookie
from gateway_http.http.problems import refusal_body
from gateway_http.http.route_table import Need, RouteTable
from gateway_http.http.sessions import IDLE, LONGEST
from grid_hosting.access.audit import AuditKind, AuditRecord
from grid_hosting.http_hosts import HostNames
from grid_hosting.http_rules import HttpRules, parse_network
from grid_hosting.open_calls import current_credential, current_principal
from tests.support.known import READER, WORKER, Known

READ = Need(frozenset({Role.OBSERVER}), everywhere=True)
ROUTES = RouteTable(
    {
        "GET /open": Need(authenticated=False),
        "GET /read": READ,
        "POST /act": Need(frozenset({Role.AGENT, Role.OBSERVER})),
        "POST /change": Need(frozenset({Role.OPERATOR}), everywhere=True, recorded=True),
        "GET /v1/new": Need(frozenset({Role.AGENT}), legacy=False),
        "GET /v1/stream": Need(frozenset({Role.OBSERVER}), everywhere=True, stream=True),
        "GET /socket.io/{rest}": Need(frozenset({Role.OBSERVER}), everywhere=True, stream=True),
    }
)
BEARER = {"authorization": "Bearer reader"}
OWN = {"sec-fetch-site": "same-origin"}
NAMED = "token:legacy"


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer who calls; a stream goes on, and a WebSocket says again what it hears."""
    credential = current_credential()
    who = json.dumps([current_principal().name, None if credential is None else credential.token]).encode()
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        scope["left"] = True
        return
    status = 400 if scope["query_string"] == b"wrong" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    if scope["path"] != "/v1/stream":
        await send({"type": "http.response.body", "body": who})
        return
    await send({"type": "http.response.body", "body": who, "more_body": True})
    await asyncio.Event().wait()


@dataclass
class Rig:
    """A port with the layer, and what it needs."""

    known: Known = field(default_factory=Known)
    networks: tuple[str, ...] = ()
    tls: bool = True
    refused: list[AuditRecord] = field(default_factory=list)
    acts: list[AuditRecord] = field(default_factory=list)
    act_fails: Draining | None = None
    now: float = 0.0

    def __post_init__(self) -> None:
        self.rules = HttpRules(HostNames((), any_address=False), tls=self.tls)
        self.authentication = HttpAuthentication(
            self.known, map(parse_network, self.networks), (), self.refused.append, lambda: self.now, self.act
        )
        layer = self.authentication.around(application, ROUTES, self.rules, refusal_body)
        self.app = Admission(layer, self.rules)

    async def act(self, record: AuditRecord) -> None:
        """Store a record, unless that fails now."""
        if self.act_fails is not None:
            raise self.act_fails
        self.acts.append(record)

    @asynccontextmanager
    async def client(self, address: str = "10.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
        """A client at an address."""
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as http:
            yield http

    async def get(
        self, path: str, headers: Any = None, method: str = "GET", address: str = "10.0.0.1"
    ) -> httpx.Response:
        """Send one request."""
        async with self.client(address) as http:
            return await http.request(method, path, headers=headers)

    async def log_in(self, token: str = "reader") -> dict[str, str]:
        """Open a session; return the header with its cookie."""
        number, _, ended = await self.authentication.callers.log_in(token, "ipv4:10.0.0.1:1", READ)
        self.authentication.end(*ended)
        return {"cookie": cookie(number, tls=self.tls).partition(";")[0]}


@pytest.fixture
def rig() -> Rig:
    """A port over TLS."""
    return Rig()


async def test_the_application_runs_in_the_name_of_its_caller(rig: Rig) -> None:
    assert (await rig.get("/read", BEARER)).json() == ["token:reader", "reader"]
    assert (await rig.get("/read", {"authorization": "bEaReR reader"})).json() == ["token:reader", "reader"]
    assert (await rig.get("/open")).json() == ["anonymous", None]
    assert (await rig.get("/open", {"authorization": "Bearer wrong"})).json() == ["anonymous", None]


async def test_no_cache_keeps_an_answer_to_a_caller(rig: Rig) -> None:
    assert (await rig.get("/read", BEARER)).headers["cache-control"] == "no-store"
    assert "cache-control" not in (await rig.get("/open", BEARER)).headers


async def test_a_credential_that_has_ended_is_refused_whatever_the_authority_remembers(rig: Rig) -> None:
    rig.known.tokens["reader"] = replace(READER, ends_at=datetime.now(UTC) - timedelta(seconds=1))
    assert (await rig.get("/read", BEARER)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"authorization": "Basic cmVhZGVy"},
        {"authorization": "Bearer reader, Bearer reader"},
        {"authorization": "Bearer read\ter"},
        {"authorization": "Bearer " + "x" * 9000},
        [("authorization", "Bearer reader"), ("authorization", "Bearer reader")],
        [("authorization", "Bearer reader"), ("Authorization", "Bearer worker")],
        {"cookie": "__Host-tron-session=wrong", "sec-fetch-site": "same-origin"},
        {"cookie": "__Host-tron-session=", "sec-fetch-site": "same-origin"},
        {"cookie": "reader"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/read", "/v1/new", "/v1/stream", "/nothing", "/act"])
async def test_without_a_valid_credential_every_path_is_refused_and_no_reason_given(
    rig: Rig, headers: Any, path: str
) -> None:
    answer = await rig.get(path, headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    if path.startswith("/v1/"):
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.json()["reason"], answer.json()["title"]) == ("UNAUTHENTICATED", "Unauthorized")
    else:
        assert answer.json() == {"detail": "a valid credential is required"}
    assert answer.json()["detail"] == "a valid credential is required"


async def test_a_caller_without_the_role_is_refused_by_its_name(rig: Rig) -> None:
    answer = await rig.get("/read", {"authorization": "Bearer worker"})
    text = "GET /read needs the role observer for all ids (pattern *), which token:worker does not have"
    assert (answer.status_code, answer.json()) == (403, {"detail": text})
    assert "www-authenticate" not in answer.headers
    rig.known.tokens["some"] = Principal("token:some", (Grant(Role.OBSERVER, "own-*"),))
    assert (await rig.get("/read", {"authorization": "Bearer some"})).status_code == 403


async def test_a_path_without_a_row_does_not_reach_the_application(rig: Rig) -> None:
    answer = await rig.get("/nothing", BEARER)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = await rig.get("/act", BEARER)
    assert (answer.status_code, answer.json(), answer.headers["allow"]) == (
        405,
        {"detail": "Method Not Allowed"},
        "POST",
    )


async def test_a_caller_who_cannot_be_known_now_may_try_again(rig: Rig) -> None:
    rig.known.fails = Draining("the registry does not answer")
    answer = await rig.get("/read", BEARER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert rig.refused == []
    assert (await rig.get("/open", BEARER)).status_code == 200


async def test_refusals_are_reported_for_the_audit_log(rig: Rig) -> None:
    await rig.get("/read", {"authorization": "Bearer wrong"})
    await rig.get("/read", {"authorization": "Bearer worker"})
    await rig.get("/whatever/an/attacker/writes")
    told = [(each.actor, each.method, each.outcome) for each in rig.refused]
    assert told == [
        ("network:10.0.0.0/24", "GET /read", "UNAUTHENTICATED"),
        ("token:worker", "GET /read", "PERMISSION_DENIED"),
        ("network:10.0.0.0/24", "HTTP", "UNAUTHENTICATED"),
    ]


async def test_a_change_at_the_gateway_is_recorded_before_it_is_answered(rig: Rig) -> None:
    rig.known.tokens["boss"] = Principal("token:boss", (Grant(Role.OPERATOR, "*"),))
    rig.known.tokens["team"] = Principal("token:team", (Grant(Role.OPERATOR, "own-*"),))
    boss, team = ({"authorization": f"Bearer {name}"} for name in ("boss", "team"))
    assert (await rig.get("/change", team, "POST")).status_code == 403
    assert (await rig.get("/change?wrong", boss, "POST")).status_code == 400
    assert rig.acts == [], "nothing has changed"
    assert (await rig.get("/change", boss, "POST")).json() == ["token:boss", "boss"]
    (record,) = rig.acts
    assert (record.kind, record.actor, record.method, record.outcome, record.peer) == (
        AuditKind.ACT,
        "token:boss",
        "POST /change",
        "OK",
        "ipv4:10.0.0.1:1",
    )
    rig.act_fails = Draining("done, but the audit log cannot be written now")
    answer = await rig.get("/change", boss, "POST")
    assert (answer.status_code, answer.json()) == (503, {"detail": "done, but the audit log cannot be written now"})
    assert len(rig.refused) == 1


async def test_refusals_behind_a_trusted_proxy_are_those_of_its_clients(rig: Rig) -> None:
    rig.rules = HttpRules(HostNames((), any_address=False), tls=True, trusted_proxies=[parse_network("10.0.0.1")])
    rig.app = Admission(rig.authentication.around(application, ROUTES, rig.rules, refusal_body), rig.rules)
    await rig.get("/read", {"x-forwarded-for": "192.0.2.7"})
    await rig.get("/read", {"x-forwarded-for": "192.0.2.7"}, address="10.0.0.2")
    assert [(each.actor, each.peer) for each in rig.refused] == [
        ("network:192.0.2.0/24", "ipv4:192.0.2.7:0"),
        ("network:10.0.0.0/24", "ipv4:10.0.0.2:1"),
    ]


# --- sessions ---------------------------------------------------------------------------------------------------------


async def test_a_session_acts_with_the_credential_of_its_login(rig: Rig) -> None:
    session = await rig.log_in()
    assert (await rig.get("/read", session)).json() == ["token:reader", "reader"]
    other = {"cookie": f"other=1; {session['cookie']};more=2"}
    assert (await rig.get("/read", other)).json() == ["token:reader", "reader"]


async def test_a_session_and_a_token_are_two_credentials(rig: Rig) -> None:
    session = await rig.log_in()
    assert (await rig.get("/read", {**session, **BEARER})).status_code == 401
    assert (await rig.get("/read", {"cookie": f"{session['cookie']}; {session['cookie']}"})).status_code == 401
    assert (await rig.get("/read", [("cookie", session["cookie"]), ("cookie", session["cookie"])])).status_code == 401


@pytest.mark.parametrize(("method", "path"), [("POST", "/act"), ("GET", "/v1/stream"), ("GET", "/socket.io/")])
@pytest.mark.parametrize(
    ("headers", "admitted"),
    [
        ({}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "https://localhost"}, True),
        ({"origin": "https://localhost:443"}, True),
        ({"origin": "https://localhost:6101"}, False),
        ({"origin": "http://localhost"}, False),
        ({"origin": "https://evil.test"}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://localhost", "sec-fetch-site": "same-site"}, False),
    ],
)
async def test_a_session_acts_only_from_the_page_of_the_port(
    rig: Rig, method: str, path: str, headers: dict[str, str], admitted: bool
) -> None:
    session = await rig.log_in()
    if path == "/socket.io/" and admitted:
        return  # the answer of the real program never ends; the rule is the same one
    if path == "/v1/stream" and admitted:
        async with running(rig), stream(rig, {**session, **headers}) as opened:
            assert json.loads(await opened.part()) == ["token:reader", "reader"]
        return
    answer = await rig.get(path, {**session, **headers}, method)
    assert answer.status_code == (200 if admitted else 403)


async def test_a_program_with_a_token_needs_no_origin(rig: Rig) -> None:
    assert (await rig.get("/act", BEARER, "POST")).status_code == 200


async def test_a_session_ends_with_its_token_after_idleness_and_after_its_longest_time(rig: Rig) -> None:
    session = await rig.log_in()
    rig.now += IDLE - 1
    assert (await rig.get("/read", session)).status_code == 200
    rig.now += IDLE
    assert (await rig.get("/read", session)).status_code == 401

    session, began = await rig.log_in(), rig.now
    while rig.now - began < LONGEST - IDLE:
        rig.now += IDLE - 1
        assert (await rig.get("/read", session)).status_code == 200
    rig.now = began + LONGEST
    assert (await rig.get("/read", session)).status_code == 401

    session = await rig.log_in()
    rig.known.change("reader", None)
    assert (await rig.get("/read", session)).status_code == 401
    rig.known.change("reader", READER)
    assert (await rig.get("/read", session)).status_code == 401, "the session has ended with its token"


async def test_the_cookie_of_a_session_is_for_this_host_and_no_script(rig: Rig) -> None:
    assert cookie("n", tls=True) == (
        f"__Host-tron-session=n; Path=/; Max-Age={int(LONGEST)}; HttpOnly; SameSite=Strict; Secure"
    )
    assert cookie("", tls=True) == "__Host-tron-session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
    plain = Rig(tls=False)
    session = await plain.log_in()
    assert session["cookie"].startswith("tron-session=")
    assert (await plain.get("/read", session)).status_code == 200
    assert (await rig.get("/read", await plain.log_in())).status_code == 401


# --- old clients ------------------------------------------------------------------------------------------------------

OLD = Principal(NAMED, (Grant(Role.AGENT, "*"), Grant(Role.OBSERVER, "*")))


def legacy_rig(*networks: str, tls: bool = True) -> Rig:
    """A port that is open to old clients in these networks."""
    return Rig(Known(named={LEGACY: OLD}), networks or ("10.1.0.0/16", "fd00::/8"), tls=tls)


async def test_old_clients_of_listed_networks_act_as_one_principal() -> None:
    rig = legacy_rig()
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert (await rig.get("/read", address=address)).json() == [NAMED, ""]
        assert (await rig.get("/act", method="POST", address=address)).status_code == 200
    for address in ("10.2.0.1", "127.0.0.1", "fe80::1", "testclient"):
        assert (await rig.get("/read", address=address)).status_code == 401
    assert (await rig.get("/v1/new", address="10.1.2.3")).status_code == 401, "no part of the legacy contract"
    assert (await rig.get("/nothing", address="10.1.2.3")).status_code == 401
    rig.known.named.clear()
    assert (await rig.get("/read", address="10.1.2.3")).status_code == 401, "nobody has granted anything"


@pytest.mark.parametrize(
    "headers",
    [
        {"forwarded": "for=10.1.2.3"},
        {"x-forwarded-for": "10.1.2.3"},
        {"X-Forwarded-Proto": "https"},
        {"x-forwarded-anything": ""},
        {"x-real-ip": "10.1.2.3"},
        {"Via": "1.1 proxy"},
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"origin": "https://localhost:6101"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"authorization": "Bearer wrong"},
        {"cookie": "__Host-tron-session=wrong"},
    ],
    ids=str,
)
async def test_a_request_of_a_proxy_or_a_foreign_page_is_none_of_an_old_client(headers: dict[str, str]) -> None:
    rig = legacy_rig()
    assert (await rig.get("/read", headers, address="10.1.2.3")).status_code == 401
    assert (await rig.get("/act", headers, "POST", address="10.1.2.3")).status_code in (401, 403)


async def test_a_trusted_proxy_is_no_old_client_even_if_it_adds_no_header() -> None:
    rig = legacy_rig()
    rig.rules = HttpRules(HostNames((), any_address=False), tls=True, trusted_proxies=[parse_network("10.1.2.3")])
    rig.app = Admission(rig.authentication.around(application, ROUTES, rig.rules, refusal_body), rig.rules)
    assert (await rig.get("/read", address="10.1.2.3")).status_code == 401
    assert (await rig.get("/read", address="10.1.2.4")).status_code == 200


async def test_a_token_of_an_old_clients_network_is_the_one_that_counts() -> None:
    rig = legacy_rig()
    assert (await rig.get("/read", BEARER, address="10.1.2.3")).json() == ["token:reader", "reader"]


# --- streams ----------------------------------------------------------------------------------------------------------


@dataclass
class Stream:
    """One open request."""

    parts: asyncio.Queue[dict[str, Any]]
    heard: asyncio.Queue[dict[str, Any]]
    scope: dict[str, Any]
    done: asyncio.Task[None]

    async def message(self) -> dict[str, Any]:
        """The next message of the server."""
        async with asyncio.timeout(10):
            return await self.parts.get()

    async def part(self) -> bytes:
        """The next part of the body, after the head."""
        while (message := await self.message())["type"] != "http.response.body":
            assert message["status"] == 200
        body: bytes = message["body"]
        return body


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[None]:
    """Run the checks of the layer."""
    task = asyncio.create_task(rig.authentication.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def stream(
    rig: Rig, headers: Mapping[str, str], path: str = "/v1/stream", kind: str = "http", address: str = "10.0.0.1"
) -> AsyncIterator[Stream]:
    """Open a request that goes on, until the block ends."""
    scope = {
        "type": kind,
        "method": "GET",
        "http_version": "1.1",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), *((name.encode(), value.encode()) for name, value in headers.items())],
        "client": (address, 1),
        "extensions": {"websocket.http.response": {}},
    }
    parts: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    heard.put_nowait({"type": "websocket.connect"} if kind == "websocket" else {"type": "http.request", "body": b""})

    async def send(message: Any) -> None:
        parts.put_nowait(message)

    done = asyncio.ensure_future(rig.app(scope, heard.get, send))
    try:
        yield Stream(parts, heard, scope, done)
    finally:
        done.cancel()
        await asyncio.wait({done})


ENDINGS = ("revoked", "rights", "logout", "longest")
"""The ways in which a stream ends."""


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_stream_ends_with_its_credential_and_others_go_on(kind: str, how: str) -> None:
    rig = Rig()
    rig.known.tokens["other"] = READER
    session, other = await rig.log_in(), await rig.log_in("other")
    path = "/v1/stream" if kind == "http" else "/socket.io/"
    async with (
        running(rig),
        stream(rig, {**session, **OWN}, path, kind) as ends,
        stream(rig, {**other, **OWN}, path, kind) as goes_on,
    ):
        for each in (ends, goes_on):
            assert (await each.message())["type"] in ("http.response.start", "websocket.accept")
        if how == "revoked":
            rig.known.change("reader", None)
        elif how == "rights":
            rig.known.change("reader", WORKER)
        else:
            sessions = rig.authentication.callers.sessions
            found = sessions.find(session["cookie"].partition("=")[2], rig.now)
            assert found is not None
            if how == "logout":
                rig.authentication.end(found)
            else:
                found.began_at = -LONGEST
        async with asyncio.timeout(10):
            await ends.done
        assert goes_on.done.done() is False
        last = None
        while not ends.parts.empty():
            last = ends.parts.get_nowait()
        assert last is not None
        if kind == "http":
            assert last == {"type": "http.response.body", "body": b""}
        else:
            assert (last["type"], last["code"]) == ("websocket.close", 1008)
            assert ends.scope["left"], "the application has noticed"


async def test_a_web_socket_hears_what_its_client_says(rig: Rig) -> None:
    async with running(rig), stream(rig, BEARER, "/socket.io/", "websocket") as opened:
        assert (await opened.message())["type"] == "websocket.accept"
        for word in ("a", "b"):
            opened.heard.put_nowait({"type": "websocket.receive", "text": word})
            assert (await opened.message())["text"] == word
        opened.heard.put_nowait({"type": "websocket.disconnect", "code": 1005})
        async with asyncio.timeout(10):
            await opened.done


async def test_the_handshake_of_a_web_socket_needs_a_caller_too(rig: Rig) -> None:
    async with stream(rig, {}, "/socket.io/", "websocket") as opened:
        message = await opened.message()
    assert (message["type"], message["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b"Bearer") in message["headers"]


@pytest.mark.parametrize(
    ("kind", "path"), [("http", "/v1/stream"), ("websocket", "/socket.io/"), ("http", "/read")], ids=str
)
@pytest.mark.parametrize("how", ["logout", "expiry"])
async def test_a_request_that_arrives_during_the_end_of_its_session_is_refused(
    rig: Rig, kind: str, path: str, how: str
) -> None:
    session = await rig.log_in()
    rig.known.answering = asyncio.Event()
    async with stream(rig, {**session, **OWN}, path, kind) as opening:
        await rig.known.asking.beyond(0, 10)
        sessions = rig.authentication.callers.sessions
        if how == "logout":
            found = sessions.find(session["cookie"].partition("=")[2], rig.now)
            assert found is not None
            rig.authentication.end(found)
        else:
            rig.now += LONGEST
        rig.known.answering.set()
        message = await opening.message()
        assert message["status"] == 401
        await asyncio.wait_for(opening.done, 10)
    assert rig.authentication.streaming_sessions() == []


async def test_an_open_stream_keeps_its_session(rig: Rig) -> None:
    session = await rig.log_in()
    async with stream(rig, {**session, **OWN}) as opened:
        await opened.part()
        rig.now = IDLE - 1
        assert rig.authentication.callers.expire(rig.authentication.streaming_sessions()) == []
        rig.now = 2 * IDLE - 2
        assert rig.authentication.callers.expire(rig.authentication.streaming_sessions()) == []
    assert rig.authentication.streaming_sessions() == []
    rig.now = 3 * IDLE
    assert len(rig.authentication.callers.expire(())) == 1


async def test_an_old_client_streams_as_its_principal_until_its_rights_change() -> None:
    rig = legacy_rig()
    async with running(rig), stream(rig, {}, address="10.1.2.3") as opened:
        assert json.loads(await opened.part()) == [NAMED, ""]
        rig.known.named[LEGACY] = Principal(NAMED, (Grant(Role.OBSERVER, "*"),))
        rig.known.revisions.step()
        async with asyncio.timeout(10):
            await opened.done
