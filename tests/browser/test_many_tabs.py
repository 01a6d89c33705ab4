"""More tabs than a browser has connections: all of them show the fleet, over one stream, whichever of them closes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from tests.browser.conftest import row
from tests.support.canned_gateway import CannedGateway, canned_gateway
from tests.support.synthetic import service
from tests.support.waiting import wait_until

TABS = 7
"""A browser opens six connections to one address."""

Tabs = list[Page]


@dataclass
class Window:
    """A browser, and the tabs of it that show the page."""

    context: BrowserContext
    pages: Tabs = field(default_factory=list)


@pytest.fixture(scope="module")
def canned() -> Iterator[CannedGateway]:
    """The gateway of all tests here, because its tabs are shared."""
    with canned_gateway() as gateway:
        gateway.services = [service("a"), service("b")]
        yield gateway


@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Window]:
    """One browser whose tabs the tests share, because loading them all takes seconds."""
    with browser.new_context(viewport={"width": 1280, "height": 1600}) as context:  # all rows are in sight
        yield Window(context)


@pytest.fixture
def tabs(window: Window, canned: CannedGateway) -> Tabs:
    """As many tabs of one browser, all of them loaded; one of them leads. A test may close some, and open none."""
    added = [window.context.new_page() for _ in range(TABS - len(window.pages))]
    for page in added:
        page.goto(canned.url, wait_until="commit")
    for page in added:
        page.wait_for_selector("html[data-ready]")
    window.pages += added
    _wait_for_one_leader(window.pages, canned)
    return window.pages


def _leaders(pages: Tabs) -> Tabs:
    return [page for page in pages if page.evaluate("document.documentElement.dataset.stream") == "leading"]


def _wait_for_one_leader(pages: Tabs, canned: CannedGateway) -> Page:
    """Wait until one tab leads and all others follow; return it."""

    def one() -> Page | None:
        leaders = _leaders(pages)
        roles = {page.evaluate("document.documentElement.dataset.stream") for page in pages}
        return leaders[0] if len(leaders) == 1 and roles <= {"leading", "following"} else None

    leader = wait_until(one, 15, "one tab leads")
    assert leader is not None
    wait_until(lambda: canned.streams == 1, 10, "one stream is open")
    return leader


_numbers = itertools.count(1)


def _register(canned: CannedGateway, pages: Tabs) -> str:
    """A service registers; every tab shows it. Return its service_id."""
    service_id = f"new-{next(_numbers)}"
    canned.services.append(service(service_id))
    canned.revision += 1
    canned.push("services", {"revision": canned.revision, "upserted": [service(service_id)], "removed": []})
    for page in pages:
        expect(page.locator(row(service_id))).to_be_visible(timeout=15_000)
        expect(page.locator("#pulse-text")).to_have_text("Live", timeout=15_000)
    return service_id


def test_all_tabs_show_the_fleet_over_one_stream(tabs: Tabs, canned: CannedGateway) -> None:
    before = _register(canned, tabs)
    leader = _wait_for_one_leader(tabs, canned)
    late = leader.context.new_page()
    late.goto(canned.url)
    expect(late.locator(row(before))).to_be_visible(timeout=15_000)
    _register(canned, [*tabs, late])
    wait_until(lambda: canned.streams == 1, 5, "one stream is open, and stays")
    late.close()


def test_another_tab_leads_when_the_leader_is_closed(tabs: Tabs, canned: CannedGateway) -> None:
    for _ in range(2):
        leader = _wait_for_one_leader(tabs, canned)
        _register(canned, tabs)  # each tab knows a place to go on from
        asked = len(canned.cursors)
        tabs.remove(leader)
        leader.close()
        # Until the gateway notices that the stream of the closed tab has ended, that stream is counted as the one.
        wait_until(lambda asked=asked: len(canned.cursors) > asked, 15, "another tab opens a stream")  # type: ignore[misc]
        _wait_for_one_leader(tabs, canned)
        assert "" not in canned.cursors[asked:], "it goes on where the one before was"
        _register(canned, tabs)


def test_another_tab_leads_when_the_leader_dies(tabs: Tabs, canned: CannedGateway) -> None:
    tabs.remove(leader := _wait_for_one_leader(tabs, canned))
    with pytest.raises(Error):
        leader.goto("chrome://crash")
    _wait_for_one_leader(tabs, canned)
    _register(canned, tabs)
    leader.close()


def test_a_tab_that_nobody_looks_at_lets_go_and_catches_up(tabs: Tabs, canned: CannedGateway) -> None:
    def look(page: Page, visible: bool) -> None:
        page.evaluate(
            """(visible) => {
              Object.defineProperty(document, 'hidden', { configurable: true, get: () => !visible });
              document.dispatchEvent(new Event('visibilitychange'));
            }""",
            visible,
        )

    hidden = _wait_for_one_leader(tabs, canned)
    look(hidden, False)
    others = [page for page in tabs if page is not hidden]
    _wait_for_one_leader(others, canned)
    unseen = _register(canned, others)
    assert hidden.locator(row(unseen)).count() == 0
    look(hidden, True)
    _register(canned, tabs)
    expect(hidden.locator(row(unseen))).to_be_visible()
    for page in tabs:
        look(page, False)
    wait_until(lambda: canned.streams == 0, 15, "nobody looks, and nothing is open")
    look(tabs[0], True)
    _register(canned, tabs[:1])
    for page in tabs[1:]:
        look(page, True)


def test_what_breaks_is_said_on_every_tab_and_heals(tabs: Tabs, canned: CannedGateway) -> None:
    leader = _wait_for_one_leader(tabs, canned)
    follower = next(page for page in tabs if page is not leader)
    canned.say(live=False, stale_for=60)
    for page in (leader, follower):
        expect(page.locator("#headline-text")).to_have_text("Not live: the registry is unreachable", timeout=15_000)
    canned.say()
    canned.drop()
    _register(canned, tabs)
