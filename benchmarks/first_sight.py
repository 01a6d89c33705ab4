"""From typing `tron up` in an empty data directory until a browser shows TRON under Core Services as ok, with its age.

Headless Chromium is ready. The page is opened once its port takes connections, as a person does who waits for the
prompt; a browser that reloads until then would itself take a processor from what is measured.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, expect, sync_playwright

from benchmarks._ports import answers, free_ports
from benchmarks._report import Figure, arguments, conclude, distribution, table
from benchmarks.dashboard import FLAGS
from tests.support.binaries import find_binary
from tests.support.waiting import wait_until

LISTENS = ("--registry-listen", "--tron-listen", "--registry-http-listen", "--tron-http-listen", "--events-http-listen")
ROW = '.row[data-key="tron-heartbeat-monitor"]'
ABOVE = """(row) => {
  const groups = [...document.querySelectorAll('.rows .line.group')];
  const above = groups.filter((each) => each.getBoundingClientRect().top < row.getBoundingClientRect().top);
  return above.sort((one, other) => other.getBoundingClientRect().top - one.getBoundingClientRect().top)[0].innerText;
}"""
GOAL_SECONDS = 2.0


def trial(browser: Browser, folder: Path) -> dict[str, Any]:
    """One start; seconds."""
    *others, hmi = free_ports(len(LISTENS) + 1)
    command = [sys.executable, "-P", "-m", "tron_cli", "up", "--data-dir", str(folder / "data")]
    for flag, port in zip(LISTENS, others, strict=True):
        command += [flag, f"127.0.0.1:{port}"]
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto("about:blank")
    typed = time.monotonic()
    system = subprocess.Popen([*command, "--hmi-listen", f"127.0.0.1:{hmi}"], stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: answers(hmi), 30, "the port of the page is open")
        opened = time.monotonic() - typed
        page.goto(f"http://127.0.0.1:{hmi}/", wait_until="commit")
        row = page.locator(ROW)
        expect(row.locator(".word")).to_have_text("ok", timeout=30_000)
        seen = time.monotonic() - typed
        assert "Core Services" in row.evaluate(ABOVE)
        ages: set[str] = set()

        def ticks() -> bool:
            ages.add(row.locator(".c-beat").inner_text())
            return len(ages) >= 3

        wait_until(ticks, 10, "the age ticks")
    finally:
        system.terminate()
        system.wait()
        page.close()
    return {"open": opened, "seen": seen, "ages": sorted(ages)}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=10)
    chosen = parser.parse_args()
    trials = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_binary("chromium"), args=FLAGS)
        for _ in range(chosen.trials):
            with tempfile.TemporaryDirectory() as folder:
                trials.append(trial(browser, Path(folder)))
            print(f"seen after {trials[-1]['seen']:.2f} s, ages {', '.join(trials[-1]['ages'])}", flush=True)
        browser.close()
    rows = {
        "typed -> the page's port is open [ms]": distribution([each["open"] * 1000 for each in trials]),
        "typed -> TRON is shown as ok [ms]": distribution([each["seen"] * 1000 for each in trials]),
    }
    table(f"{chosen.trials} starts of `tron up`", rows)
    slowest = max(each["seen"] for each in trials)
    figures = [Figure("start: TRON is shown as ok, max", slowest, "s", goal=GOAL_SECONDS, at_least=False)]
    conclude("first_sight", chosen.out, figures, {"distributions_ms": rows, "trials": trials})


if __name__ == "__main__":
    main()
