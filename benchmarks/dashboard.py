"""How fast the System Status page shows 5,000 services, and a change among them, in headless Chromium.

    python -m benchmarks.dashboard [--services 5000] [--rounds 5]

The data come from a script on loopback, so that only the page is measured. "First useful paint" counts from the
arrival of the snapshot to its drawing; an update from the arrival of its message to the frame after it was drawn.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks._report import Figure, arguments, conclude, distribution, table
from tests.support.binaries import find_binary
from tests.support.canned_gateway import canned_gateway
from tests.support.synthetic import fleet, service
from tests.support.waiting import wait_until

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

# Notes when messages arrive, before the page's own listeners see them.
LISTEN = """
  const real = EventSource.prototype.addEventListener;
  window.arrived = {};
  EventSource.prototype.addEventListener = function (kind, listener) {
    return real.call(this, kind, (event) => {
      window.arrived[kind] = performance.now();
      if (event.type === 'snapshot') window.arrived.first ??= performance.now();
      listener(event);
    });
  };
"""

WATCH = """() => {
  window.shown = null;
  const row = document.querySelector('.row[data-key="agent-00003"]');
  const before = row.dataset.look;
  new MutationObserver((_, self) => {
    if (row.dataset.look === before) return;
    self.disconnect();
    requestAnimationFrame(() => setTimeout(() => { window.shown = performance.now(); }));
  }).observe(row, {attributes: true});
}"""

PAINT = "performance.getEntriesByName('tron:first-useful-paint')[0].startTime"


def measure(page: Page, url: str, gateway: Any, updates: int) -> dict[str, Any]:
    """One page: its first paint, and some updates. Milliseconds."""
    page.add_init_script(LISTEN)
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    after_last = page.evaluate(f"{PAINT} - window.arrived.snapshot")
    after_first = page.evaluate(f"{PAINT} - window.arrived.first")
    took = []
    for number in range(updates):
        page.evaluate(WATCH)
        liveness = "SUSPECT" if number % 2 == 0 else "ALIVE"
        changed = service("agent-00003", "agent-00000", liveness=liveness)
        gateway.push("services", {"revision": number + 2, "upserted": [changed], "removed": []})
        wait_until(lambda: page.evaluate("window.shown !== null"), 10, "the update is shown")
        took.append(page.evaluate("window.shown - window.arrived.services"))
    heap = page.context.new_cdp_session(page).send("Runtime.getHeapUsage")["usedSize"] / 1e6
    elements = page.evaluate("document.getElementsByTagName('*').length")
    return {
        "after_last": after_last,
        "after_first": after_first,
        "updates": took,
        "heap_mb": heap,
        "elements": elements,
    }


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with canned_gateway() as gateway, sync_playwright() as playwright:
        gateway.services = fleet(options.services)
        browser = playwright.chromium.launch(executable_path=find_binary("chromium"), args=FLAGS)
        found = []
        for _ in range(options.rounds):
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            found.append(measure(page, gateway.url, gateway, 10))
            page.close()
        version = browser.version
        browser.close()
    rows = {
        "first useful paint, ms after the whole snapshot": distribution([each["after_last"] for each in found]),
        "first useful paint, ms after its first part": distribution([each["after_first"] for each in found]),
        "an update visible, ms": distribution([took for each in found for took in each["updates"]]),
    }
    table(f"{options.services} services in Chromium {version}", rows)
    heap, elements = max(each["heap_mb"] for each in found), max(each["elements"] for each in found)
    print(f"heap {heap:.1f} MB, {elements} elements")
    result = {
        "services": options.services,
        "chromium": version,
        "heap_mb": round(heap, 1),
        "elements": elements,
        **rows,
    }
    paint = max(each["after_last"] for each in found)
    update = max(took for each in found for took in each["updates"])
    figures = [
        Figure("dashboard: first useful paint, max", paint, "ms", goal=1000, at_least=False),
        Figure("dashboard: an update visible, max", update, "ms", goal=500, at_least=False),
    ]
    conclude("dashboard", options.out, figures, result)


if __name__ == "__main__":
    main()
