"""SIGSTOP of the registry, and of TRON, under a fleet that beats every second: nobody is accused."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from tron_client import RegistryClient

from benchmarks._fleet import Fleet
from benchmarks._report import Figure, arguments, conclude, table
from benchmarks.restart import _all_attached
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until


def pause(system: System, fleet: Fleet, name: str, seconds: float, watch: float) -> dict[str, Any]:
    """Stop one process for so long, watch for so long afterwards; count the alarms."""
    client = RegistryClient(system.registry_address, timeout=10.0)
    before = client.list_events(newest=True, limit=1).last_sequence
    pid = system.child_pid(name)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(pid, signal.SIGCONT)
    resumed = time.monotonic()
    wait_until(lambda: _all_attached(client, set(fleet.service_ids)), 60, "all attached")
    back = time.monotonic() - resumed
    time.sleep(watch)
    alarms: dict[str, int] = {}
    after = before
    while True:
        page = client.list_events(after_sequence=after, limit=1000)
        for event in page.events:
            alarms[event.type] = alarms.get(event.type, 0) + 1
        if not page.next_after_sequence:
            break
        after = page.next_after_sequence
    return {
        "paused [s]": seconds,
        "all alive after [s]": round(back, 2),
        "service_down": alarms.get("service_down", 0),
        "service_suspect": alarms.get("service_suspect", 0),
        "heartbeat_miss": alarms.get("heartbeat_miss", 0),
        "same process": system.child_pid(name) == pid,
    }


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--watch", type=float, default=15.0)
    parser.add_argument("--agents", type=int, default=500)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_system(Path(folder)) as system:
        fleet = Fleet(system.registry_address, chosen.agents, 5, 1.0)
        rows = {name: pause(system, fleet, name, chosen.seconds, chosen.watch) for name in ("registry", "monitor")}
        states = fleet.states()
        fleet.close()
    table(f"SIGSTOP under {chosen.agents} agents, interval 1 s", rows)
    print(f"agents afterwards: {dict(states)}")
    figures = [
        Figure(f"pause of {name}: service_down", row["service_down"], "events", goal=0, at_least=False)
        for name, row in rows.items()
    ]
    conclude("pause", chosen.out, figures, {"pauses": rows, "agents_afterwards": dict(states)})


if __name__ == "__main__":
    main()
