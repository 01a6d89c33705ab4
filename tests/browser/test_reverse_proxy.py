"""Behind a real nginx under a path prefix, configured as the documents say: page, calls and redirects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, row
from tests.support.nginx import nginx
from tests.support.processes import Gateway, start_gateway, start_monitor, start_registry
from tests.support.snippets import ROOT, snippets_of

pytestmark = pytest.mark.needs("nginx")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A whole system; the gateway knows its prefix."""
    folder = tmp_path_factory.mktemp("proxied")
    with (
        start_registry(folder / "registry") as registry,
        start_monitor(folder / "monitor", registry.address) as monitor,
        start_gateway(folder / "gateway", registry.address, monitor.address, "--root-path", "/tron") as running,
    ):
        yield running


def documented(gateway: Gateway, *, strips: bool) -> str:
    """The snippet of docs/gateway.md for this gateway; or without the slash by which nginx takes the prefix off."""
    (snippet,) = [each for each in snippets_of(ROOT / "docs" / "gateway.md") if each.language == "nginx"]
    target = gateway.url("hmi_http") + ("/" if strips else "")
    text, count = re.subn(r"proxy_pass http://127\.0\.0\.1:6101/;", f"proxy_pass {target};", snippet.text)
    assert count == 1
    return text if strips else text.replace("location /tron/ {", "location /tron {")


@pytest.mark.parametrize("strips", [True, False])
@pytest.mark.parametrize("slash", ["/", ""])
def test_the_page_shows_the_fleet_below_a_prefix(
    gateway: Gateway, open_page: OpenPage, tmp_path: Path, strips: bool, slash: str
) -> None:
    with nginx(documented(gateway, strips=strips), tmp_path) as proxy:
        page = open_page(f"{proxy}/tron{slash}")
        expect(page.locator(row("service-gateway"))).to_have_attribute("data-look", "ok", timeout=15_000)
        page.locator(row("service-gateway")).click()
        expect(page.locator("#detail .verdict")).to_be_visible()
        assert page.url.startswith(f"{proxy}/tron/")
        with httpx.Client(base_url=proxy, timeout=10) as client:
            redirected = client.get("/tron/api/services/", headers={"x-forwarded-proto": "https"})
            assert (redirected.status_code, redirected.headers["location"]) == (307, "../services")
            assert client.get("/tron/api/services/", follow_redirects=True).status_code == 200
            assert client.head("/tron/health").status_code == 200
            assert client.get("/tron/v1/status").json()["live"]
            assert client.get("/tron/openapi.json").status_code == 200
