"""More tabs than a browser has connections: all of them show the fleet, over one stream, whichever of them closes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.browser.conftest import row
from tests.support.canned_gateway import CannedGateway
from tests.support.synthetic import service
from tests.support.waiting import wait_until

TABS = 9
"""A browser opens six connections to one address."""

Tabs = list[Page]


@pytest.fixture
def tabs(browser: Browser, canned: CannedGateway) -> Iterator[Tabs]:
    """As many tabs of one browser, all of them loaded; one of them leads."""
    canned.services = [service("a"), service("b")]
    context = browser.new_context()
    pages = [context.new_page() for _ in range(TABS)]
    for page in pages:
        page.goto(canned.url, wait_until="commit")
    for page in pages:
        page.wait_for_selector("html[data-ready]")
    _wait_for_one_leader(pages, canned)
    yield pages
    context.close()


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


def _tell(canned: CannedGateway, pages: Tabs, service_id: str) -> None:
    """A service registers; every tab shows it."""
    canned.services.append(service(service_id))
    canned.revision += 1
    canned.push("services", {"revision": canned.revision, "upserted": [service(service_id)], "removed": []})
    for page in pages:
        expect(page.locator(row(service_id))).to_be_visible(timeout=10_000)
        expect(page.locator("#pulse-text")).to_have_text("Live", timeout=10_000)


def test_all_tabs_show_the_fleet_over_one_stream(tabs: Tabs, canned: CannedGateway) -> None:
    _tell(canned, tabs, "c")
    leader = _wait_for_one_leader(tabs, canned)
    late = leader.context.new_page()
    late.goto(canned.url)
    expect(late.locator(row("c"))).to_be_visible()
    _tell(canned, [*tabs, late], "d")
    assert canned.streams == 1


def test_another_tab_leads_when_the_leader_is_closed(tabs: Tabs, canned: CannedGateway) -> None:
    for name in ("c", "d"):
        leader = _wait_for_one_leader(tabs, canned)
        _tell(canned, tabs, f"before-{name}")  # each tab knows a place to go on from
        tabs.remove(leader)
        leader.close()
        _wait_for_one_leader(tabs, canned)
        assert canned.cursors[-1] != "", "it goes on where the one before was"
        _tell(canned, tabs, name)


def test_another_tab_leads_when_the_leader_dies(tabs: Tabs, canned: CannedGateway) -> None:
    tabs.remove(leader := _wait_for_one_leader(tabs, canned))
    with pytest.raises(Error):
        leader.goto("chrome://crash")
    _wait_for_one_leader(tabs, canned)
    _tell(canned, tabs, "c")


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
    _tell(canned, others, "c")
    assert hidden.locator(row("c")).count() == 0
    look(hidden, True)
    _tell(canned, tabs, "d")
    expect(hidden.locator(row("c"))).to_be_visible()
    for page in tabs:
        look(page, False)
    wait_until(lambda: canned.streams == 0, 15, "nobody looks, and nothing is open")
    look(tabs[0], True)
    _tell(canned, tabs[:1], "e")


def test_what_breaks_is_said_on_every_tab_and_heals(tabs: Tabs, canned: CannedGateway) -> None:
    leader = _wait_for_one_leader(tabs, canned)
    follower = next(page for page in tabs if page is not leader)
    canned.say(live=False, stale_for=60)
    for page in (leader, follower):
        expect(page.locator("#headline-text")).to_have_text("Not live: the registry is unreachable")
    canned.say()
    canned.drop()
    _tell(canned, tabs, "c")
