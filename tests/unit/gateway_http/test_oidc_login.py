"""The login of the dashboard at an issuer (OpenID Connect): the real routes behind the real layers, the real
verification of tokens, and an issuer in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from grid_model.access import Principal
from grid_model.errors import Draining
from pydantic import ValidationError
from structlog.testing import capture_logs

from gateway_http.http.admission import Admission
from gateway_http.http.asgi import App
from gateway_http.http.authentication import HttpAuthentication
from gateway_http.http.problems import install_errors, refusal_body
from gateway_http.http.route_table import RouteTable
from gateway_http.page import flow_cookies, messages, oidc_login, session
from gateway_http.page.files import POLICY, load_page
from gateway_http.page.flow_cookies import FlowCookies
from gateway_http.page.oidc_flow import Flow, LoginRefused, read_provider
from gateway_http.page.oidc_issuer import KEPT_FOR, OidcIssuer
from gateway_http.route_roles import READ, ROUTE_ROLES
from grid_hosting.http_hosts import HostNames
from grid_hosting.http_rules import HttpRules
from grid_hosting.issuer_http import IssuerHttp, IssuerUnreachableError
from grid_hosting.oidc_settings import OidcSettings
from grid_hosting.security import SecuritySettings, problems_of
from grid_hosting.start import StartError
from registry_server.io.access import Access
from registry_server.io.jwt_verification import JwtVerification
from tests.support.issuer import URL, ec_key, key_set, settings
from tests.support.known import READER, Known
from tests.support.oidc_provider import CLIENT, SECRET, OidcProvider, ProviderHttp, serving

OWN = {"sec-fetch-site": "same-origin"}
FROM_ISSUER = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
ALICE = f"jwt:{URL}#alice"
BEGIN, ANSWER = "/session/oidc", "GET /session/oidc"


class Rig:
    """The dashboard's port."""

    def __init__(self, authority: Any, provider: OidcProvider, given: OidcSettings, root_path: str = "") -> None:
        self.provider = provider
        self.refused: list[Any] = []
        self.now = 1_000_000.0
        self.authentication = HttpAuthentication(authority, refused=self.refused.append)
        rules = HttpRules(HostNames(("tron.example",), any_address=False), tls=True)
        self.issuer = OidcIssuer(given, lambda: self.now, ProviderHttp(provider))
        routes = APIRouter()

        @routes.get("/v1/status")
        async def status() -> dict[str, Any]:
            return {"live": True}

        app = FastAPI()
        install_errors(app)
        login = oidc_login.OidcLogin(self.authentication, rules, READ, self.issuer, root_path, lambda: self.now)
        for each in (session.router(self.authentication, rules, READ), oidc_login.router(login), routes):
            app.include_router(each)
        layer = self.authentication.around(app, RouteTable(ROUTE_ROLES["hmi_http"]), rules, refusal_body)
        self.app: App = Admission(layer, rules)

    @asynccontextmanager
    async def browser(self) -> AsyncIterator[httpx.AsyncClient]:
        """A client that keeps cookies."""
        transport = httpx.ASGITransport(self.app, client=("10.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="https://tron.example:6101") as http:
            yield http

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """The refusals for the audit log."""
        return [(each.method, each.outcome) for each in self.refused]


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    """What a registry knows of the issuer."""
    keys = tmp_path / "keys.json"
    keys.write_bytes(key_set(ec_key()))
    found = Access(tmp_path / "data", JwtVerification([settings(audience=CLIENT, keys_file=keys)]))
    (tmp_path / "data").mkdir()
    await found.open()
    running = asyncio.create_task(found.run())
    yield found
    running.cancel()
    await asyncio.wait({running})


@pytest.fixture
async def rig(access: Access) -> Rig:
    """A gateway that knows what the issuer says of itself."""
    made = Rig(access, OidcProvider(), oidc())
    assert await made.issuer.fetch()
    return made


def oidc(**more: Any) -> OidcSettings:
    """The settings of the login."""
    return OidcSettings.model_validate({"issuer": URL, "client_id": CLIENT, **more})


async def begin(http: httpx.AsyncClient, **headers: str) -> str:
    """Press the button; return the address at the issuer."""
    answer = await http.post(BEGIN, json={}, headers={**OWN, **headers})
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["url"]
    return url


async def come_back(http: httpx.AsyncClient, url: str) -> httpx.Response:
    """Follow the issuer back, as a browser does: without the Strict cookie of a session."""
    kept = [each for each in http.cookies.jar if each.name == "__Host-tron-session"]
    for each in kept:
        http.cookies.jar.clear(each.domain, each.path, each.name)
    answer = await http.get(url, headers=FROM_ISSUER)
    if "__Host-tron-session" not in http.cookies:
        for each in kept:
            http.cookies.jar.set_cookie(each)
    return answer


async def log_in(rig: Rig, http: httpx.AsyncClient) -> httpx.Response:
    """Log in at the issuer."""
    return await come_back(http, rig.provider.authorize(await begin(http)))


def said(answer: httpx.Response) -> str:
    """What the page says to the person."""
    return unescape(answer.text.partition('id="login-answer">')[2].partition("</p>")[0])


def refused(answer: httpx.Response, why: str, status: int = 403) -> None:
    """The login was refused with this sentence, and there is no session."""
    assert (answer.status_code, said(answer)) == (status, why)
    assert "You are not logged in" in answer.text
    assert not any("tron-session" in each for each in answer.headers.get_list("set-cookie"))
    assert "http-equiv" not in answer.text
    assert "script" not in answer.text


# --- logins that succeed ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["", "client_secret_basic", "client_secret_post"])
async def test_a_person_logs_in_at_the_issuer_and_acts_with_the_rights_of_its_claims(
    access: Access, tmp_path: Path, method: str
) -> None:
    secret = tmp_path / "client.secret"
    secret.write_text(f"{SECRET}\n")
    secret.chmod(0o600)
    given = oidc(scopes=["openid", "groups"], **({"client_secret_file": secret} if method else {}))
    provider = OidcProvider(secret=SECRET if method else "")
    if method:
        provider.document = {"token_endpoint_auth_methods_supported": [method]}
    rig = Rig(access, provider, given)
    assert await rig.issuer.fetch()
    async with rig.browser() as http:
        url = await begin(http)
        asked = parse_qs(urlsplit(url).query)
        assert url.startswith(f"{URL}/authorize?")
        assert (asked["redirect_uri"], asked["scope"]) == (
            ["https://tron.example:6101/session/oidc"],
            ["openid groups"],
        )
        (kept,) = http.cookies.jar
        assert (kept.name, kept.secure, kept.path) == ("__Host-tron-login", True, "/")
        assert not {asked["state"][0], asked["nonce"][0]} & {kept.value}
        answer = await come_back(http, provider.authorize(url))
        assert (answer.status_code, said(answer), "You are logged in" in answer.text) == (200, "", True)
        assert '<meta http-equiv="refresh" content="0; url=../" />' in answer.text
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"] == POLICY
        cookies = answer.headers.get_list("set-cookie")
        assert "__Host-tron-login=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure" in cookies
        assert [each for each in cookies if each.startswith("__Host-tron-session=") and "SameSite=Strict" in each]
        assert (await http.get("/session")).json() == {"principal": ALICE, "roles": ["observer"], "session": True}
        assert (await http.get("/v1/status")).json() == {"live": True}
        assert rig.refused == []
        assert (await http.delete("/session", headers=OWN)).status_code == 204
        assert (await http.get("/v1/status")).status_code == 401
    (form,) = provider.asked
    assert form.get("client_secret") == (SECRET if method == "client_secret_post" else None)


async def test_a_session_ends_with_its_id_token() -> None:
    known, tokens = Known(), list[str]()

    def issued(token: str) -> None:
        tokens.append(token)
        known.tokens[token] = READER

    rig = Rig(known, OidcProvider(issued=issued), oidc())
    await rig.issuer.fetch()
    async with rig.browser() as http:
        assert (await log_in(rig, http)).status_code == 200
        assert (await http.get("/v1/status")).status_code == 200
        known.change(tokens[0], Principal(ALICE, READER.grants, ends_at=datetime.now(UTC)))
        assert (await http.get("/v1/status")).status_code == 401


async def test_a_prefix_of_a_proxy_is_in_the_address_to_which_the_issuer_returns(access: Access) -> None:
    rig = Rig(access, OidcProvider(), oidc(), "/tron")
    await rig.issuer.fetch()
    async with rig.browser() as http:
        asked = parse_qs(urlsplit(await begin(http)).query)
        assert asked["redirect_uri"] == ["https://tron.example:6101/tron/session/oidc"]


async def test_a_login_ends_the_former_session_of_the_browser_and_one_that_fails_ends_nothing(rig: Rig) -> None:
    async with rig.browser() as http, rig.browser() as elsewhere:
        await log_in(rig, elsewhere)
        await log_in(rig, http)
        former = {"cookie": f"__Host-tron-session={http.cookies['__Host-tron-session']}"}
        rig.provider.claims["nonce"] = "other"
        refused(await log_in(rig, http), messages.OTHER_NONCE)
        assert (await http.get("/session")).status_code == 200
        del rig.provider.claims["nonce"]
        await log_in(rig, http)
        assert (await http.get("/session")).status_code == 200
        async with rig.browser() as thief:
            assert (await thief.get("/session", headers=former)).status_code == 401
        assert (await elsewhere.get("/session")).status_code == 200


# --- who may begin ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "none"}, {"sec-fetch-site": "same-site"}, {"sec-fetch-site": "cross-site"},
     {"origin": "https://evil.test"}],
    ids=str,
)  # fmt: skip
async def test_only_the_page_itself_begins_a_login(rig: Rig, headers: dict[str, str]) -> None:
    async with rig.browser() as http:
        answer = await http.post(BEGIN, json={}, headers=headers)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    of_the_login = headers in ({}, {"sec-fetch-site": "none"})  # the others are refused before they reach it
    assert rig.outcomes == ([(f"POST {BEGIN}", "PERMISSION_DENIED")] if of_the_login else [])


async def test_no_login_begins_before_the_issuer_was_reached(access: Access) -> None:
    rig = Rig(access, OidcProvider(), oidc())
    async with rig.browser() as http:
        for fetched, status in ((False, 503), (True, 200)):
            if fetched:
                assert await rig.issuer.fetch()
            answer = await http.post(BEGIN, json={}, headers=OWN)
            assert answer.status_code == status
        rig.now += KEPT_FOR + 1
        answer = await http.post(BEGIN, json={}, headers=OWN)
        assert (answer.status_code, answer.json()) == (503, {"detail": messages.ISSUER_AWAY})


# --- answers that belong to no login ----------------------------------------------------------------------------------


async def test_an_answer_to_another_login_is_refused_and_does_not_end_the_one_under_way(rig: Rig) -> None:
    async with rig.browser() as http, rig.browser() as attacker:
        foreign = rig.provider.authorize(await begin(attacker))
        refused(await come_back(http, foreign), messages.NO_LOGIN)
        own = rig.provider.authorize(await begin(http))
        for wrong in (foreign, BEGIN, f"{BEGIN}?state=", f"{BEGIN}?state=é&code=x", f"{BEGIN}?error=access_denied"):
            answer = await come_back(http, wrong)
            refused(answer, messages.OTHER_LOGIN)
            assert "set-cookie" not in answer.headers
        assert rig.provider.asked == [], "no code was used"
        assert (await come_back(http, own)).status_code == 200
    assert set(rig.outcomes) == {(ANSWER, "UNAUTHENTICATED")}


async def test_an_answer_counts_once_also_with_its_cookie(rig: Rig) -> None:
    async with rig.browser() as http:
        back = rig.provider.authorize(await begin(http))
        cookie = {"cookie": f"__Host-tron-login={http.cookies['__Host-tron-login']}"}
        assert (await come_back(http, back)).status_code == 200
        refused(await come_back(http, back), messages.NO_LOGIN)
    async with rig.browser() as thief:
        refused(await thief.get(back, headers=cookie), messages.NO_LOGIN)
    assert len(rig.provider.asked) == 1


async def test_an_answer_after_ten_minutes_is_refused(rig: Rig) -> None:
    async with rig.browser() as http:
        back = rig.provider.authorize(await begin(http))
        rig.now += flow_cookies.WITHIN + 1
        refused(await come_back(http, back), messages.NO_LOGIN)


@pytest.mark.parametrize("cookie", ["x", "", "é", "a.b.c"])
async def test_a_forged_cookie_is_refused(rig: Rig, cookie: str) -> None:
    async with rig.browser() as http:
        headers = {"cookie": f"__Host-tron-login={cookie}".encode()}
        refused(await http.get(f"{BEGIN}?state=x&code=y", headers=headers), messages.NO_LOGIN)  # type: ignore[arg-type]


def test_the_cookies_of_answered_logins_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_cookies, "MOST_USED", 2)
    cookies = FlowCookies()
    sealed = [cookies.seal(Flow(str(number), "n", "v", ("key",)), 0.0) for number in range(3)]
    assert cookies.take([sealed[0]], "0", 0.0) == Flow("0", "n", "v", ("key",))
    for number in (1, 2):
        cookies.take([sealed[number]], str(number), 0.0)
    for wrong in ([], [sealed[2], sealed[2]], [sealed[2]]):
        with pytest.raises(LoginRefused):
            cookies.take(wrong, "2", 0.0)
    assert cookies.take([sealed[0]], "0", 1.0).state == "0", "forgotten: the issuer accepts the code only once"


# --- what the issuer answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returns", "why"),
    [
        ({"error": "access_denied", "error_description": "<script>"}, "The issuer refused the login: access_denied."),
        ({"error": "<script>é\n"}, "The issuer refused the login: <script>??."),
        ({"none": ""}, messages.NO_CODE),
        ({"code": ""}, messages.NO_CODE),
        ({"code": "x" * 5000}, messages.NO_CODE),
        ({"code": "x", "iss": "https://evil.test"}, messages.OTHER_LOGIN),
        ({"code": "unknown"}, messages.CODE_REFUSED),
    ],
    ids=str,
)
async def test_what_the_issuer_sends_back_in_place_of_a_code_is_explained(
    rig: Rig, returns: dict[str, str], why: str
) -> None:
    rig.provider.returns = returns
    async with rig.browser() as http:
        answer = await come_back(http, rig.provider.authorize(await begin(http)))
    assert "<script>" not in answer.text
    assert said(answer) == why
    assert answer.status_code == 403
    assert rig.outcomes == [(ANSWER, "UNAUTHENTICATED")]


DASHBOARD = "the dashboard needs the role observer for all ids (pattern *), which"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"nonce": "other"}, messages.OTHER_NONCE),
        ({"nonce": None}, messages.OTHER_NONCE),
        ({"nonce": "\ud800"}, messages.OTHER_NONCE),
        ({"nonce": 1}, messages.OTHER_NONCE),
        ({"aud": "other"}, messages.OTHER_AUDIENCE),
        ({"aud": None}, messages.OTHER_AUDIENCE),
        ({"aud": [CLIENT, "other"]}, messages.OTHER_AUDIENCE),
        ({"aud": [CLIENT, "other"], "azp": "other"}, messages.OTHER_AUDIENCE),
        ({"azp": "other"}, messages.OTHER_AUDIENCE),
        ({"iss": "https://evil.test"}, messages.OTHER_AUDIENCE),
        ({"exp": None}, messages.TOKEN_REFUSED),
        ({"exp": 1}, messages.TOKEN_REFUSED),
        ({"groups": []}, messages.may_nothing(f"{DASHBOARD} {ALICE} does not have")),
        ({"groups": ["workers"]}, messages.may_nothing(f"{DASHBOARD} {ALICE} does not have")),
    ],
    ids=str,
)
async def test_a_token_that_opens_no_session_is_explained(rig: Rig, claims: dict[str, Any], why: str) -> None:
    rig.provider.claims = {"groups": ["readers"], **claims}
    async with rig.browser() as http:
        refused(await log_in(rig, http), why)
    assert len(rig.authentication.callers.sessions) == 0
    assert len(rig.outcomes) == 1


async def test_a_token_for_several_audiences_names_this_client(rig: Rig) -> None:
    rig.provider.claims = {"groups": ["readers"], "aud": [CLIENT, "other"], "azp": CLIENT}
    async with rig.browser() as http:
        assert (await log_in(rig, http)).status_code == 200


@pytest.mark.parametrize(
    ("status", "body", "why"),
    [
        (401, b'{"error": "invalid_client"}', "answers 401 invalid_client"),
        (503, b"<html>", "answers 503"),
        (302, b"", "answers 302"),
        (200, b"<html>", "the answer of"),
        (200, b'{"id_token": 1}', "has no id_token"),
        (200, b'{"id_token": "a.b.c"}', "id_token: "),
        (200, b'{"id_token": "' + b"x" * 9000 + b'"}', "is longer than 8192"),
        (200, b"\xff", "the answer of"),
    ],
    ids=lambda each: str(each)[:30],
)
async def test_an_issuer_that_does_not_do_as_it_must_is_in_the_log_once(
    rig: Rig, status: int, body: bytes, why: str
) -> None:
    rig.provider.token_answer = (status, {"location": "https://evil.test"}, body)
    with capture_logs() as logs:
        async with rig.browser() as http:
            for _ in range(2):
                refused(await log_in(rig, http), messages.ISSUER_AWAY, 502)
    (entry,) = logs
    assert (entry["event"], entry["issuer"]) == ("oidc_login_failed", URL)
    assert why in entry["why"]
    assert rig.refused == [], "it is no fault of the person"


async def test_a_registry_that_is_away_is_named() -> None:
    known = Known(fails=Draining("the registry does not answer"))
    rig = Rig(known, OidcProvider(), oidc())
    await rig.issuer.fetch()
    async with rig.browser() as http:
        refused(await log_in(rig, http), messages.REGISTRY_AWAY, 503)


async def test_logins_that_wait_for_a_slow_issuer_are_bounded_for_each_address() -> None:
    known = Known(answering=asyncio.Event())
    provider = OidcProvider(issued=lambda token: known.tokens.update({token: READER}))
    rig = Rig(known, provider, oidc())
    await rig.issuer.fetch()
    async with rig.browser() as http:
        waiting = []
        for _ in range(oidc_login.MOST_OF_CLIENT):
            back = provider.authorize(await begin(http))
            waiting.append(asyncio.create_task(come_back(http, back)))
            await known.asking.until(lambda: len(provider.asked) == len(waiting), 5.0)
        refused(await come_back(http, provider.authorize(await begin(http))), messages.BUSY, 503)
        assert known.answering is not None
        known.answering.set()
        assert [(await each).status_code for each in waiting] == [200] * len(waiting)


# --- what the issuer says of itself -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": "https://evil.test"}, "has the issuer https://evil.test, which differs"),
        ({"issuer": f"{URL}/"}, "which differs from [security.oidc] issuer"),
        ({"authorization_endpoint": "http://issuer.test/authorize"}, "authorization_endpoint: "),
        ({"authorization_endpoint": "javascript:alert(1)"}, "authorization_endpoint: "),
        ({"token_endpoint": None}, "has no valid token_endpoint"),
        ({"token_endpoint": "https://user@issuer.test/token"}, "token_endpoint: "),
    ],
    ids=str,
)
async def test_a_document_that_cannot_be_used_leaves_the_earlier_one_in_use(
    rig: Rig, document: dict[str, Any], why: str
) -> None:
    rig.provider.document = document
    with capture_logs() as logs:
        assert not await rig.issuer.fetch()
        assert not await rig.issuer.fetch()
    (entry,) = logs
    assert (entry["event"], why in entry["why"]) == ("oidc_issuer_failed", True), entry
    async with rig.browser() as http:
        assert (await log_in(rig, http)).status_code == 200


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"issuer": "a", "issuer": "b"}', b"[" * 100_000])
def test_a_document_that_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_provider(content, URL)


async def test_requests_to_an_issuer_follow_no_redirect_and_are_bounded(tmp_path: Path) -> None:
    provider = OidcProvider(token_answer=(302, {"location": "/authorize"}, b""))
    with serving(provider, tmp_path) as ca:
        http = IssuerHttp(ca, "ca")
        try:
            url = f"{provider.url}/token"
            assert await http.post(url, {"a": "b c&"}, 10, ("name", "pass:word")) == (302, b"")
            assert provider.asked == [{"a": "b c&"}]
            provider.token_answer = (200, {}, b"x" * 11)
            with pytest.raises(IssuerUnreachableError, match="longer than 10 bytes"):
                await http.post(url, {}, 10)
            with pytest.raises(IssuerUnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
                await IssuerHttp(None, "ca").post(url, {}, 10)
        finally:
            await http.close()
    with pytest.raises(IssuerUnreachableError, match="Connect"):
        await IssuerHttp(ca, "ca").post(url, {}, 10)


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "mode", "said_of_it"),
    [
        (None, 0, "No such file"),
        ("0123456789", 0o640, "is accessible to users other than its owner"),
        ("", 0o600, "does not have one secret"),
        ("two\nlines", 0o600, "does not have one secret"),
        ("é", 0o600, "does not have one secret"),
        ("x" * 2000, 0o600, "does not have one secret"),
    ],
    ids=str,
)
def test_a_secret_that_cannot_be_used_stops_the_start(
    tmp_path: Path, content: str | None, mode: int, said_of_it: str
) -> None:
    path = tmp_path / "client.secret"
    if content is not None:
        path.write_text(content)
        path.chmod(mode)
    with pytest.raises(StartError, match=rf"\[security.oidc\] client_secret_file: .*{said_of_it}") as error:
        OidcIssuer(oidc(client_secret_file=path))
    assert content is None or content == "" or content not in str(error.value)


def test_a_bundle_of_cas_that_cannot_be_used_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"\[security.oidc\] ca: .*No such file"):
        OidcIssuer(oidc(ca=tmp_path / "ca.pem"))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"issuer": "http://issuer.test"}, "issuer"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": "é"}, "client_id"),
        ({"scopes": ["groups"]}, "scopes"),
        ({"scopes": ["openid", "two words"]}, "scopes"),
        ({"scope": ["openid"]}, "scope"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named(given: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=rf"(?m)^{field}"):
        oidc(**given)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"jwt": []}, f"[security.oidc] issuer: {URL} has no table [[security.jwt]]"),
        ({"jwt": [settings(issuer="https://other.test")]}, f"[security.oidc] issuer: {URL} has no table"),
        ({"jwt": [settings(audience="other")]}, f"[security.oidc] client_id: is '{CLIENT}', but the audience"),
        ({"authentication": False, "jwt": []}, "[security] authentication: is false; `oidc`"),
        ({"oidc": "{"}, "oidc: is not JSON"),
        ({"oidc": {"issuer": URL}}, "oidc.client_id: Field required"),
    ],
    ids=str,
)
def test_a_login_whose_tokens_the_registry_would_refuse_stops_the_start(given: dict[str, Any], problem: str) -> None:
    usual = {"authentication": True, "oidc": {"issuer": URL, "client_id": CLIENT}, "jwt": [settings(audience=CLIENT)]}
    assert SecuritySettings.model_validate(usual).oidc == oidc()
    with pytest.raises(ValidationError) as error:
        SecuritySettings.model_validate({**usual, **given})
    assert problem in "; ".join(problems_of(error.value))


def test_the_page_names_the_issuer_only_if_there_is_one() -> None:
    assert b"data-issuer" not in load_page(secured=True)["index.html"].body
    page = load_page(secured=True, issuer='login.example"<')["index.html"].body
    assert b'data-secured="true" data-issuer="login.example&quot;&lt;"' in page
