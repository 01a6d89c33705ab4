"""`tron up --demo` on an empty data directory: how long until every row of the catalogue is ALIVE, and what it costs.

Then one agent is killed with every restart of it, and one once: how long until that is escalated, and until it is back.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tron_cli.fleet_file import load
from tron_client import RegistryClient, TronError

from benchmarks._report import Figure, arguments, conclude, distribution, table
from tests.support.processes import start_system
from tests.support.waiting import wait_until

ROWS = {row.service_id for row in load("pas").rows}
GOAL_SECONDS = 10.0


def _memory_of(parent: int) -> list[float]:
    """MB that each child process of a process has of its own share."""
    shares = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                if int((folder / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                    share = next(
                        line for line in (folder / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:")
                    )
                    shares.append(int(share.split()[1]) / 1024)
            except (OSError, StopIteration):
                continue  # it ended while we looked
    return shares


def trial(folder: Path) -> dict[str, Any]:
    """One start, one crash loop, one crash; seconds and MB."""
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    began = time.monotonic()
    with (
        start_system(folder / "system", "--demo", env=env) as system,
        RegistryClient(system.registry_address) as client,
    ):

        def alive() -> set[str]:
            try:
                return {each.service_id for each in client.list_services(liveness="ALIVE").services}
            except TronError:
                return set()

        def story(service_id: str, kind: str) -> bool:
            return bool(client.list_events(service_id=service_id, types=(kind,)).events)

        def play(what: str, service_id: str) -> float:
            command = [sys.executable, "-m", "tron_cli", "demo", what, service_id]
            done = subprocess.run([*command, "--registry", system.registry_address], env=env, check=True, text=True)
            assert done.returncode == 0
            return time.monotonic()

        wait_until(lambda: alive() >= ROWS, 60, "every row is alive")
        started = time.monotonic() - began
        megabytes = _memory_of(system.child_pid("demo"))
        once = play("--kill-once", "Prog-001")
        wait_until(lambda: story("Prog-001", "restart_succeeded"), 60, "it is back")
        back = time.monotonic() - once
        again = play("--kill", "Dir-Code")
        wait_until(lambda: story("Dir-Code", "child_escalated"), 60, "it is escalated")
        escalated = time.monotonic() - again
    return {"alive": started, "back": back, "escalated": escalated, "megabytes": megabytes, "load": os.getloadavg()[0]}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=5)
    chosen = parser.parse_args()
    trials = []
    for number in range(chosen.trials):
        # The path of a socket must be short.
        with tempfile.TemporaryDirectory(prefix="tron-") as folder:
            trials.append(trial(Path(folder)))
        print(f"trial {number + 1}: {trials[-1]['alive']:.2f} s, load {trials[-1]['load']:.1f}", flush=True)
    rows = {
        f"command -> {len(ROWS)} rows ALIVE [ms]": distribution([each["alive"] * 1000 for each in trials]),
        "killed once -> restarted, ALIVE [ms]": distribution([each["back"] * 1000 for each in trials]),
        "killed at each restart -> escalated [ms]": distribution([each["escalated"] * 1000 for each in trials]),
        "memory of one agent [MB, shared pages by share]": distribution(
            [share for each in trials for share in each["megabytes"]]
        ),
    }
    table(f"{chosen.trials} starts of the demo", rows)
    slowest = max(each["alive"] for each in trials)
    figures = [Figure("demo: every row ALIVE, max", slowest, "s", goal=GOAL_SECONDS, at_least=False)]
    conclude("demo_start", chosen.out, figures, {"distributions": rows, "trials": trials})


if __name__ == "__main__":
    main()
