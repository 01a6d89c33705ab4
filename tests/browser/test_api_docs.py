"""The documentation of the HTTP ports appears in a browser that reaches the gateway and nothing else; and pages of
other sites, opened in the same browser, cannot act on any port."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.processes import GATEWAY_FLAGS, Gateway, start_gateway

COLLECT = (
    "addEventListener('securitypolicyviolation', (event) => (window.refused ??= []).push(event.violatedDirective))"
)
"""Collects what the page's own policy forbids it to do."""

ATTACK = """async ([http, paths]) => {
  const outcome = {};
  for (const [method, path] of paths) {
    try {
      const options = {mode: 'no-cors', body: method === 'GET' ? undefined : '{}'};
      const answer = await fetch(http + path, {method, ...options});
      outcome[path] = answer.type === 'opaque' ? 'not readable' : String(answer.status);
    } catch (error) { outcome[path] = 'not readable'; }
  }
  outcome.socket = await new Promise((done) => {
    const socket = new WebSocket(http.replace('http', 'ws') + '/socket.io/?EIO=4&transport=websocket');
    socket.onopen = () => done('open');
    socket.onerror = () => done('refused');
  });
  return outcome;
}"""
PATHS = [["POST", "/register"], ["POST", "/broadcast"], ["POST", "/v1/alerts/acknowledge"], ["GET", "/v1/stream"]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway without a registry. It serves after some seconds in which it waited for one."""
    nowhere = "127.0.0.1:1"
    with start_gateway(tmp_path_factory.mktemp("data"), nowhere, nowhere, "--no-self-register") as running:
        yield running


@pytest.mark.parametrize("path", ["docs", "redoc"])
def test_it_appears_without_the_internet(gateway: Gateway, browser: Browser, path: str) -> None:
    with browser.new_context() as context:
        here = gateway.url("tron_http")
        elsewhere: list[str] = []

        def only_here(route: Route) -> None:
            if route.request.url.startswith((here, "data:", "blob:")):
                route.continue_()
            else:
                elsewhere.append(route.request.url)
                route.abort()

        page = context.new_page()
        page.add_init_script(COLLECT)
        page.route("**/*", only_here)
        page.goto(f"{here}/{path}")
        expect(page.get_by_text("PAS Heartbeat Monitor").first).to_be_visible()
        expect(page.get_by_text("/health").first).to_be_visible()
        assert elsewhere == []
        # Redoc asks for its maker's logo, which the policy forbids.
        assert set(page.evaluate("window.refused ?? []")) <= ({"img-src"} if path == "redoc" else set())


@pytest.mark.parametrize("key", GATEWAY_FLAGS)
def test_a_page_of_another_site_cannot_act(gateway: Gateway, browser: Browser, key: str) -> None:
    here, answers = gateway.url(key), dict[str, int]()
    page = browser.new_context().new_page()
    page.on("response", lambda answer: answers.__setitem__(answer.url.removeprefix(here), answer.status))
    page.route("http://evil.test/", lambda route: route.fulfill(body="<p>a page", content_type="text/html"))
    page.goto("http://evil.test/")
    outcome: dict[str, Any] = page.evaluate(ATTACK, [here, PATHS])
    assert outcome == {path: "not readable" for _, path in PATHS} | {"socket": "refused"}
    assert {answers.get(path) for _, path in PATHS} == {403}, answers
    page.context.close()


@pytest.mark.parametrize("key", GATEWAY_FLAGS)
def test_a_page_with_a_rebound_name_gets_no_answer(gateway: Gateway, browser: Browser, key: str) -> None:
    """The browser resolves the name to 127.0.0.1, as a name server of an attacker would."""
    here = gateway.url(key).replace("127.0.0.1", "rebound.test")
    page = browser.new_context().new_page()
    page.route(f"{here}/attack", lambda route: route.fulfill(body="<p>before the name moved", content_type="text/html"))
    page.goto(f"{here}/attack")
    outcome: dict[str, Any] = page.evaluate(ATTACK, [here, PATHS])
    assert outcome == {path: "421" for _, path in PATHS} | {"socket": "refused"}
    page.context.close()
