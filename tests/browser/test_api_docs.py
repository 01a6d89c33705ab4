"""The documentation of the HTTP ports appears in a browser that reaches the gateway and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.support.processes import Gateway, start_gateway


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
        page.route("**/*", only_here)
        page.goto(f"{here}/{path}")
        expect(page.get_by_text("PAS Heartbeat Monitor").first).to_be_visible()
        expect(page.get_by_text("/health").first).to_be_visible()
        assert elsewhere == []
