"""What the page does in states that a real system takes long to reach; and that everybody can use it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, line, row, shoot
from tests.support.canned_gateway import CannedGateway
from tests.support.synthetic import event, fleet, moment, service
from tests.support.waiting import wait_until

CORE = {"tier": "core"}
SMALL = [
    service("tron-heartbeat-monitor", name="TRON Heartbeat Monitor", labels=CORE),
    service("Architect"),
    service("Dir-Code", "Architect"),
    service("Dir-Docs", "Architect"),
    service("Prog-1", "Dir-Code", status="running", message="refactoring", progress=0.5),
    service("Prog-2", "Dir-Code", status="waiting_approval"),
]
TROUBLE = [
    *SMALL[:2],
    service("Dir-Code", "Architect", liveness="DOWN", liveness_cause="DISCONNECTED", liveness_since=moment(-12)),
    service("Dir-Docs", "Architect", liveness="SUSPECT", liveness_cause="SILENT", liveness_since=moment(-2)),
    *SMALL[4:],
]
ALERTS = [
    event(1, "heartbeat_restored", "Prog-1", "Dir-Code", severity="INFO"),
    event(2, "service_down", "Dir-Code", "Architect"),
    event(3, "service_deregistered", "Prog-gone", "Dir-Code"),
]


@pytest.fixture
def small(canned: CannedGateway) -> CannedGateway:
    """A small fleet in trouble."""
    canned.services = TROUBLE
    canned.history = {"events": ALERTS, "covered": moment(-90_000), "gaps": [], "open": ["alert-2"]}
    return canned


# Every visible text must stand out from what is behind it: 4.5:1, or 3:1 if it is large (WCAG 2.2 AA).
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => top.slice(0, 3).map((each, at) => each * top[3] + under[at] * (1 - top[3]));
  const light = (color) => {
    const [r, g, b] = color.map((each) => {
      const share = each / 255; return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim();
    const element = walker.currentNode.parentElement;
    const box = element.getBoundingClientRect();
    if (!text || box.width < 2 || !element.checkVisibility({checkOpacity: true, checkVisibilityCSS: true})) continue;
    if (element.closest('.sr-only, noscript, .skip')) continue;
    const style = getComputedStyle(element);
    const back = behind(element);
    const [one, other] = [light(over(rgba(style.color), back)), light(back)].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) weak.push(`${text.slice(0, 40)} (${element.className}): ${ratio.toFixed(2)}`);
  }
  return weak;
}"""

# Everything that can be used says what it is; ids are used once; roles have the parents that they need.
NAMES = """() => {
  const wrong = [];
  const shown = (each) => each.checkVisibility();
  for (const each of document.querySelectorAll('button, input, select, a, [role=dialog], [role=tree], [role=treegrid]')) {
    if (!shown(each)) continue;
    const label = each.getAttribute('aria-label') || each.closest('label')?.textContent ||
      (each.getAttribute('aria-labelledby') ?? '').split(' ').map((id) => document.getElementById(id)?.textContent ?? '').join('') ||
      each.textContent;
    if (!label.trim()) wrong.push(`no name: ${each.outerHTML.slice(0, 90)}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);
  wrong.push(...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `twice: ${id}`));
  const needs = {gridcell: '[role=row]', columnheader: '[role=row]', row: '[role=treegrid], [role=rowgroup]', treeitem: '[role=tree]'};
  for (const [role, parent] of Object.entries(needs)) {
    for (const each of document.querySelectorAll(`[role=${role}]`)) if (!each.parentElement.closest(parent)) wrong.push(`${role} alone`);
  }
  for (const each of document.querySelectorAll('[role=treegrid], [role=tree]')) {
    const stops = [...each.querySelectorAll('[tabindex="0"]')].filter(shown);
    if (shown(each) && stops.length !== 1) wrong.push(`${each.getAttribute('aria-label')}: ${stops.length} tab stops`);
  }
  for (const svg of document.querySelectorAll('svg')) {
    if (!svg.closest('[hidden]') && svg.getAttribute('aria-hidden') !== 'true' && !svg.getAttribute('aria-label')) wrong.push('an image without a name');
  }
  return wrong;
}"""  # noqa: E501


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("state", ["trouble", "tron away", "lost", "detail"])
def test_every_text_can_be_read_and_everything_has_a_name(
    small: CannedGateway, open_page: OpenPage, state: str, dark: bool
) -> None:
    small.explanations["Dir-Code"] = {
        "service": TROUBLE[2],
        "explanation": {"verdict": "It is down.", "rule": "r", "deadlines": [], "evidence": {"missed": 2}},
        "note": "",
    }
    if state == "tron away":
        small.state = {"tron": {"reachable": False, "watching": False}}
        small.services = [{**each, "liveness": "UNKNOWN"} for each in TROUBLE]
    if state == "lost":
        small.state = {"live": False, "stale_for": 60}
    page = open_page(small.url, dark=dark)
    expect(page.locator(".alert").first).to_be_visible()
    if state == "detail":
        page.locator(row("Dir-Code")).click()
        expect(page.locator(".verdict")).to_have_text("It is down.")
    expect(page.locator("#headline-text")).not_to_have_text("Waiting for data from the gateway")
    shoot(page, f"state-{state.replace(' ', '-')}-{'dark' if dark else 'light'}")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMES) == []


def test_a_state_is_never_told_by_colour_alone(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url)
    for service_id, word, symbol in (
        ("Architect", "ok", "#s-ok"),
        ("Dir-Code", "down, stream broke", "#s-down"),
        ("Dir-Docs", "suspect, silent", "#s-suspect"),
        ("Prog-2", "waiting approval", "#s-attention"),
        ("Prog-gone", "deregistered", "#s-gone"),
    ):
        expect(page.locator(row(service_id)).locator(".word")).to_have_text(word)
        expect(page.locator(row(service_id)).locator(".c-name use")).to_have_attribute("href", symbol)


def test_the_keyboard_reaches_everything(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    for stop in ("search", "theme", "window", "alerts"):
        assert any(stop in each for each in reached) or stop == "alerts", (stop, reached)
    assert any("line" in each for each in reached)
    assert any("node" in each for each in reached)
    page.locator(".line.group").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    focused = page.evaluate("document.activeElement.dataset.key")
    assert focused == "Architect"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "focus is visible"
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Architect")).to_be_visible()
    assert page.evaluate("document.activeElement.closest('#detail') !== null")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.dataset.key") == "Architect", "focus comes back"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(row("Architect"))).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(page.locator(row("Architect"))).to_be_visible()
    page.locator('.node[tabindex="0"]').focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    expect(page.locator('.node[data-id="Dir-Code"]')).to_have_count(0)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.id") == "Dir-Code"


def test_one_live_region_speaks_and_does_not_chatter(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url)
    page.evaluate(
        """() => {
          window.said = [];
          const region = document.getElementById('announcer');
          new MutationObserver(() => window.said.push(region.textContent)).observe(region, {childList: true});
        }"""
    )
    assert page.locator("[aria-live]").count() == 1
    for number in range(30):
        changed = service("Prog-1", "Dir-Code", liveness="DOWN" if number % 2 else "ALIVE", load=number / 30)
        small.push("services", {"revision": number, "upserted": [changed], "removed": []})
    expect(page.locator(row("Prog-1"))).to_have_attribute("data-look", "down")
    assert len(page.evaluate("window.said")) <= 1


def test_a_small_screen_shows_all_of_it_without_sideways_scrolling(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url, width=360, height=640)
    for view in ("Services", "Tree", "Alerts"):
        page.get_by_role("button", name=re.compile(f"^{view}")).first.click()
        assert page.evaluate("document.documentElement.scrollWidth <= 360 && document.body.scrollWidth <= 360"), view
        shoot(page, f"phone-{view.lower()}")
        assert page.evaluate(CONTRAST) == []
    page.get_by_role("button", name=re.compile("^Services")).first.click()
    page.locator(row("Dir-Code")).click()
    assert page.locator("#detail").evaluate("each => each.getBoundingClientRect().width") <= 360


def test_the_guard_is_said_and_draws_no_lines(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url)
    expect(page.locator(line("Architect"))).to_have_count(1)
    small.say(tron={"guard_active": True})
    expect(page.locator("#headline-text")).to_have_text("Many services fell silent at once")
    expect(page.locator("#tron-text")).to_have_text("mass-failure guard active: alerts are held")
    expect(page.locator(".alarm-line")).to_have_count(0)
    shoot(page, "state-guard")


def test_nothing_moves_for_those_who_want_it_still(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url, calm=True)
    changed = service("Architect", liveness="SUSPECT")
    small.push("services", {"revision": 2, "upserted": [changed], "removed": []})
    expect(page.locator(row("Architect"))).to_have_attribute("data-look", "suspect")
    assert page.evaluate("document.getAnimations().length") == 0


def test_a_tab_that_slept_for_an_hour_recovers_by_itself(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url, prepare=lambda each: each.clock.install())
    opened = small.opened
    small.frozen = True  # the connection stays open, as after a sleep, and nothing arrives any more
    page.clock.fast_forward("01:00:00")
    expect(page.locator("#headline-text")).to_contain_text("Not live")
    small.services = [*SMALL, service("Newcomer")]
    small.frozen = False

    def reconnected() -> bool:
        page.clock.run_for(1000)
        return small.opened > opened and page.locator("#pulse-text").inner_text() == "Live"

    wait_until(reconnected, 15, "the page is live again")
    expect(page.locator(row("Newcomer"))).to_be_visible()


def test_the_theme_can_be_chosen_and_is_remembered(small: CannedGateway, open_page: OpenPage) -> None:
    page = open_page(small.url)

    def ground() -> Any:
        return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")

    light = ground()
    button = page.get_by_role("button", name=re.compile("^Theme"))
    button.click()
    button.click()
    expect(button).to_have_text("Theme: dark")
    assert ground() != light
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def count_elements(page: Page) -> int:
    """How many elements the document has."""
    return int(page.evaluate("document.getElementsByTagName('*').length"))


def test_of_five_thousand_services_only_those_in_sight_are_elements(canned: CannedGateway, open_page: OpenPage) -> None:
    canned.services = fleet(5000)
    page = open_page(canned.url, width=1920, height=1080)
    expect(page.locator("#headline-text")).to_have_text("All 5,000 services are alive")
    assert count_elements(page) < 6000
    page.locator("#scroller").evaluate("each => each.scrollTo(0, each.scrollHeight)")
    expect(page.locator(row("agent-04999"))).to_be_visible()
    assert count_elements(page) < 6000
    shoot(page, "five-thousand")


def test_an_update_among_five_thousand_is_seen_within_half_a_second(canned: CannedGateway, open_page: OpenPage) -> None:
    canned.services = fleet(5000)
    page = open_page(canned.url)
    watch = """() => {
      window.seen = null;
      const row = document.querySelector('.row[data-key="agent-00003"]');
      new MutationObserver(() => { if (row.dataset.look === 'down') window.seen ??= Date.now(); })
        .observe(row, {attributes: true});
      return Date.now();
    }"""
    began = page.evaluate(watch)
    changed = service("agent-00003", "agent-00000", liveness="DOWN", liveness_cause="SILENT")
    canned.push("services", {"revision": 2, "upserted": [changed], "removed": []})
    wait_until(lambda: page.evaluate("window.seen !== null"), 5, "the update is seen")
    assert page.evaluate("window.seen") - began < 500


def test_memory_stays_flat_under_a_storm(canned: CannedGateway, open_page: OpenPage) -> None:
    services = canned.services = fleet(500)
    page = open_page(canned.url)
    session = page.context.new_cdp_session(page)

    def used() -> float:
        session.send("HeapProfiler.collectGarbage")
        return float(session.send("Runtime.getHeapUsage")["usedSize"])

    def storm(rounds: int, base: int) -> None:
        for number in range(rounds):
            changed = [{**each, "load": number / rounds, "last_heartbeat_at": moment(0)} for each in services]
            canned.push("services", {"revision": base + number, "upserted": changed, "removed": []})
            canned.push("event", event(base + number, "note", f"agent-{number:05}", details={"n": number}))
        final = f"storm {base}"
        last = service("agent-00001", "agent-00000", message=final)
        canned.push("services", {"revision": base + rounds, "upserted": [last], "removed": []})
        expect(page.locator(row("agent-00001")).locator(".message")).to_have_text(final, timeout=20_000)

    page.set_viewport_size({"width": 1920, "height": 1080})
    storm(25, 1000)
    before = used()
    storm(50, 2000)
    assert used() < before * 1.25 + 1_000_000
