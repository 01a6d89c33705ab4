"""A real Chromium, and pages in it that must not complain."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import TimeoutError as PageTimeout

from tests.support.binaries import find_binary
from tests.support.canned_gateway import CannedGateway, canned_gateway

SHOTS = Path(__file__).parent / "shots"
"""Where tests leave pictures for people to look at; not committed."""

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-precise-memory-info",
    # Names of an attacker lead here, and the browser does not ask a person whether a page may: the ports must refuse.
    "--host-resolver-rules=MAP *.test 127.0.0.1",
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
]

# What a browser prints when a server is away or refuses something, which is what some tests are about.
EXPECTED = re.compile(r"Failed to load resource: (net::ERR_|the server responded with a status of (40[134]|50\d))")

OpenPage = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this needs the browser that the set-up installs."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.needs("chromium"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests here, and no longer: while it is there an event loop runs in this very thread."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=find_binary("chromium"), args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """`open_page(url, width=…, height=…, dark=…)`: a page of its own, loaded. No error may be printed on it."""
    contexts = []
    complaints: list[str] = []

    def notice(message: Any) -> None:
        if message.type in ("error", "warning") and not EXPECTED.match(message.text):
            complaints.append(message.text)

    def open_one(
        url: str,
        *,
        width: int = 1440,
        height: int = 900,
        dark: bool = False,
        calm: bool = True,
        wait: bool = True,
        prepare: Callable[[Page], None] | None = None,
        insecure: bool = False,
    ) -> Page:
        context = browser.new_context(
            ignore_https_errors=insecure,  # of the certificate of a test
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce" if calm else "no-preference",
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", notice)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        if prepare is not None:
            prepare(page)
        under_way: set[str] = set()
        page.on("request", lambda request: under_way.add(request.url))
        page.on("requestfinished", lambda request: under_way.discard(request.url))
        page.on("requestfailed", lambda request: under_way.discard(request.url))
        page.goto(url)
        if wait:
            try:
                page.wait_for_selector("html[data-ready]")
            except PageTimeout as error:
                shown = page.inner_text("body")[:500]
                raise AssertionError(f"{error}\nwaits for {under_way}\nprinted {complaints}\nshows {shown!r}") from None
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def canned() -> Iterator[CannedGateway]:
    """A gateway that says what the test tells it."""
    with canned_gateway() as gateway:
        yield gateway


def shoot(page: Page, name: str) -> None:
    """Leave a picture of a page, if somebody wants to look at it: SHOTS is set. Drawing all of them takes seconds."""
    if not os.environ.get("SHOTS"):
        return
    SHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png")


def row(service_id: str) -> str:
    """The selector of a service's row in the list."""
    return f'.row[data-key="{service_id}"]'


def node(service_id: str) -> str:
    """The selector of a service's node in the tree."""
    return f'.node[data-id="{service_id}"]'


def line(target: str) -> str:
    """The selector of TRON's orange line to a service."""
    return f'.alarm-line[data-target="{target}"]'
