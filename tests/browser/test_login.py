"""The page of a gateway with authentication, in a real browser: the login, what it shows, and how a session ends."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from grid_model.access import Grant, Principal, Role
from playwright.sync_api import Page, expect

from grid_hosting.oidc_settings import OidcSettings
from tests.browser.conftest import OpenPage, row, shoot
from tests.support.known import READER, WORKER, Known
from tests.support.oidc_provider import CLIENT, OidcProvider, serving
from tests.support.processes import start_monitor, start_registry
from tests.support.secured_gateway import SecuredGateway, secured_gateway

OPERATOR = Principal("token:operator", (Grant(Role.OPERATOR, "*"),))
WITHIN = 15_000


@dataclass
class Secured:
    """A gateway, how a program reads it, and the issuer at which people log in."""

    gateway: SecuredGateway
    provider: OidcProvider

    @property
    def page(self) -> str:
        """The address of the page."""
        return self.gateway.url("hmi_http")

    def get(self, path: str, cookie: str = "", **headers: str) -> int:
        """The status of a request that a program sends, with a cookie or without."""
        context = ssl.create_default_context(cafile=str(self.gateway.ca))
        sent = {**headers, **({"cookie": cookie} if cookie else {})}
        return httpx.get(f"{self.page}{path}", headers=sent, verify=context).status_code


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A registry, a TRON, and a gateway with authentication."""
    folder = tmp_path_factory.mktemp("secured")
    provider = OidcProvider()
    with (
        serving(provider, folder) as ca,
        start_registry(folder / "registry") as registry,
        start_monitor(folder / "monitor", registry.address) as monitor,
        secured_gateway(
            folder / "gateway",
            registry.address,
            monitor.address,
            Known(),
            OidcSettings(issuer=provider.url, client_id=CLIENT, ca=ca),
        ) as gateway,
    ):
        yield Secured(gateway, provider)


@pytest.fixture(autouse=True)
def tokens(secured: Secured) -> None:
    """The tokens are as they were."""
    for token, principal in (("reader", READER), ("worker", WORKER), ("operator", OPERATOR)):
        secured.gateway.change(token, principal)


def log_in(page: Page, token: str) -> None:
    """Fill in the form."""
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Log in", exact=True).click()


def open_form(open_page: OpenPage, secured: Secured) -> Page:
    """The page before the login."""
    page = open_page(secured.page, wait=False, insecure=True)
    expect(page.get_by_label("Token")).to_be_focused(timeout=WITHIN)
    return page


def session_of(page: Page) -> str:
    """The cookie of the session, which scripts cannot read."""
    found = [each for each in page.context.cookies() if "tron-session" in each["name"]]
    return f"{found[0]['name']}={found[0]['value']}" if found else ""


def test_a_person_logs_in_sees_the_fleet_and_logs_out(secured: Secured, open_page: OpenPage) -> None:
    page = open_form(open_page, secured)
    assert page.locator(row("service-registry")).count() == 0
    shoot(page, "login")
    for token, said in (
        ("wrong", "This token is not valid."),
        ("worker", "The dashboard needs the role observer for all ids (pattern *), which token:worker does not have."),
    ):
        log_in(page, token)
        expect(page.locator("#login-problem")).to_have_text(said)
    log_in(page, "reader")
    expect(page.locator(row("service-registry"))).to_be_visible(timeout=WITHIN)
    expect(page.locator("#login")).to_be_hidden()
    expect(page.locator("#caller-name")).to_have_text("token:reader")
    expect(page.locator("#pulse-text")).to_have_text("Live")
    shoot(page, "logged-in")
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360

    cookie = session_of(page)
    assert cookie.startswith("__Host-")
    assert (
        page.evaluate("document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)").count("reader")
        == 0
    )
    assert secured.get("/v1/status", cookie) == 200
    page.reload()
    expect(page.locator(row("service-registry"))).to_be_visible(timeout=WITHIN)

    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_focused(timeout=WITHIN)
    assert page.locator(row("service-registry")).count() == 0
    assert session_of(page) == ""
    assert secured.get("/v1/status", cookie) == 401


def test_a_person_logs_in_at_an_issuer_of_another_site_and_reads_what_is_missing(
    secured: Secured, open_page: OpenPage
) -> None:
    page = open_form(open_page, secured)
    page.evaluate("history.replaceState(null, '', '#service=tron-heartbeat-monitor')")
    button = page.get_by_role("button", name=f"Log in with {secured.provider.url.removeprefix('https://')}")
    shoot(page, "login-issuer")
    secured.provider.issued = lambda token: secured.gateway.change(token, WORKER)
    button.click()
    expect(page.locator("#login-answer")).to_contain_text("which token:worker does not have", timeout=WITHIN)
    shoot(page, "login-refused")
    assert session_of(page) == ""
    page.get_by_role("link", name="Back to the login").click()

    secured.provider.issued = lambda token: secured.gateway.change(token, READER)
    button.click()
    expect(page.locator(row("service-registry"))).to_be_visible(timeout=WITHIN)
    expect(page.locator("#caller-name")).to_have_text("token:reader")
    assert page.url == f"{secured.page}/#service=tron-heartbeat-monitor"
    assert page.evaluate("sessionStorage.length") == 0
    expect(page.locator("#detail-name")).to_have_text("TRON Heartbeat Monitor")
    page.keyboard.press("Escape")
    (cookie,) = page.context.cookies()
    assert (cookie["name"], cookie["sameSite"]) == ("__Host-tron-session", "Strict")
    page.get_by_role("button", name="Log out").click()
    expect(button).to_be_visible(timeout=WITHIN)


def test_a_revoked_token_ends_the_page_in_all_tabs(secured: Secured, open_page: OpenPage) -> None:
    page = open_form(open_page, secured)
    log_in(page, "reader")
    expect(page.locator(row("service-registry"))).to_be_visible(timeout=WITHIN)
    second = page.context.new_page()
    second.goto(secured.page)
    expect(second.locator(row("service-registry"))).to_be_visible(timeout=WITHIN)
    secured.gateway.change("reader", None)
    for each in (page, second):
        expect(each.get_by_label("Token")).to_be_visible(timeout=WITHIN)
        assert each.locator(row("service-registry")).count() == 0
    secured.gateway.change("reader", READER)
    log_in(second, "reader")
    for each in (page, second):
        expect(each.locator(row("service-registry"))).to_be_visible(timeout=WITHIN)


def test_another_port_of_the_same_host_has_the_cookie_and_can_do_nothing_with_it(
    secured: Secured, open_page: OpenPage
) -> None:
    page = open_form(open_page, secured)
    log_in(page, "operator")
    expect(page.locator("#caller-name")).to_have_text("token:operator", timeout=WITHIN)
    other = page.context.new_page()
    address = f"{secured.gateway.url('registry_http')}/other"
    other.route(address, lambda route: route.fulfill(content_type="text/html", body="<title>other</title>"))
    other.goto(address)
    act = "url => fetch(url, {method: 'POST', credentials: 'include', mode: 'no-cors', body: '{}'}).then(() => 1)"
    with other.expect_response(lambda answer: answer.url.endswith("acknowledge")) as answered:
        other.evaluate(act, f"{secured.page}/v1/alerts/acknowledge")
    assert "tron-session" in answered.value.request.all_headers()["cookie"]
    assert answered.value.status == 403
    read = "url => fetch(url, {credentials: 'include'}).then(() => 'read', () => 'refused')"
    assert other.evaluate(read, f"{secured.page}/v1/services") == "refused"
