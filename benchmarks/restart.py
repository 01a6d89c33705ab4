"""Kill -9 of the registry, then of TRON, under a fleet: is anybody accused, is anything acknowledged lost?

While the registry is killed again and again, a client registers services and publishes events without a pause and notes
what was acknowledged; a watcher follows the list; afterwards everything noted must be there. While TRON is killed, a
child is killed too, and its parent must hear of it after TRON's return.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tron_client import RegistryClient, TronError

from benchmarks._fleet import Fleet
from benchmarks._report import Figure, arguments, conclude, distribution, table
from benchmarks.kill_to_parent import Parent
from tests.support.processes import System, start_system
from tests.support.waiting import wait_until
from tests.support.writer import Writer, sequences


class Watcher(threading.Thread):
    """Follows the list over every reconnect, and notes who vanished from it."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._client = RegistryClient(address)
        self.known: set[str] = set()
        self.vanished: list[str] = []
        self.resets = 0

    def run(self) -> None:
        """Follow forever."""
        fresh: set[str] | None = None
        for change in self._client.watch_services():
            if change.kind == "reset":
                self.resets += 1
                fresh = set()
            elif change.kind == "upserted":
                self.known.add(change.service_id)
                if fresh is not None:
                    fresh.add(change.service_id)
            elif change.kind == "removed":
                self.vanished.append(change.service_id)
            elif change.kind == "snapshot_complete" and fresh is not None:
                self.vanished += sorted(self.known - fresh)
                fresh = None


def _all_attached(client: RegistryClient, expected: set[str]) -> bool:
    try:
        listed = client.list_services().services
    except TronError:
        return False
    return expected <= {service.service_id for service in listed if service.connected and service.liveness == "ALIVE"}


def registry_rounds(system: System, fleet: Fleet, rounds: int) -> dict[str, Any]:
    """Kill the registry, wait until everyone is attached and alive again; seconds for each round."""
    client = RegistryClient(system.registry_address)
    expected = set(fleet.service_ids)
    writer, watcher = Writer(system.registry_address), Watcher(system.registry_address)
    watcher.start()
    writer.start()
    took = []
    for number in range(rounds):
        writer.wait_for_more(100)
        old = system.kill_child("registry")
        killed_at = time.monotonic()
        system.wait_restarted("registry", old)
        wait_until(lambda: _all_attached(client, expected), 60, "all attached")
        took.append(time.monotonic() - killed_at)
        print(f"registry round {number + 1}: all attached after {took[-1]:.2f} s", flush=True)
    writer.stop()
    registrations_lost, events_lost = writer.lost(client)
    kept = sequences(client)
    gaps = sorted(set(range(1, max(kept) + 1)) - kept)
    return {
        "seconds": took,
        "registrations_acknowledged": len(writer.services),
        "registrations_lost": registrations_lost,
        "events_acknowledged": len(writer.events),
        "events_lost": events_lost,
        "sequence_gaps": gaps,
        "vanished_from_watch": sorted(set(watcher.vanished)),
        "watch_resets": watcher.resets,
    }


def tron_rounds(system: System, rounds: int) -> dict[str, Any]:
    """Kill TRON and, while it is away, a child; seconds until its parent knows it is down."""
    address = system.registry_address
    parent = Parent(address)
    took = []
    for number in range(rounds):
        service_id = f"orphaned-{number}"
        child = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._child", address, service_id, "bench-parent", "1.0"],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "registered"
        old = system.kill_child("monitor")
        child.kill()
        child.wait()
        killed_at = time.monotonic()
        system.wait_restarted("monitor", old)
        took.append(parent.wait(service_id, "service_down", 30)[0] - killed_at)
        print(f"TRON round {number + 1}: parent knew after {took[-1]:.2f} s", flush=True)
    parent.stop()
    return {"seconds": took}


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--agents", type=int, default=500)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_system(Path(folder)) as system:
        fleet = Fleet(system.registry_address, chosen.agents, 5, 1.0)
        registry = registry_rounds(system, fleet, chosen.rounds)
        tron = tron_rounds(system, chosen.rounds)
        client = RegistryClient(system.registry_address)
        false = [
            event.to_dict()
            for kind in ("service_down", "service_deregistered")
            for event in client.list_events(types=(kind,), limit=1000).events
            if not event.service_id.startswith("orphaned-")
        ]
        states = fleet.states()
        fleet.close()
    rows = {
        "registry killed -> all attached [ms]": distribution([each * 1000 for each in registry["seconds"]]),
        "TRON and child killed -> parent knows down [ms]": distribution([each * 1000 for each in tron["seconds"]]),
    }
    table(f"{chosen.rounds} kills of each under {chosen.agents} agents", rows)
    never = {
        "false service_down": len(false) + states["declared_down"],
        "acknowledged registrations lost": len(registry["registrations_lost"]),
        "acknowledged events lost, and gaps": len(registry["events_lost"]) + len(registry["sequence_gaps"]),
        "services that vanished for a watcher": len(registry["vanished_from_watch"]),
    }
    figures = [
        *(Figure(f"restart: {what}", count, "", goal=0, at_least=False) for what, count in never.items()),
        Figure("restart: agents connected afterwards", states["connected"], "", goal=len(fleet.service_ids)),
        Figure("restart: all attached, max", max(registry["seconds"]), "s", goal=10, at_least=False),
        Figure("restart: deaths while TRON was away, reported", len(tron["seconds"]), "", goal=chosen.rounds),
    ]
    registrations, events = registry["registrations_acknowledged"], registry["events_acknowledged"]
    print(f"acknowledged: {registrations} registrations, {events} events")
    print(f"agents afterwards: {dict(states)}; watch resets: {registry['watch_resets']}")
    for event in false:
        print("false:", event["service_id"], event["type"], event["cause"], event["occurred_at"], event["details"])
    result = {"distributions_ms": rows, "registry": registry, "tron": tron, "false_downs": false}
    conclude("restart", chosen.out, figures, result)


if __name__ == "__main__":
    main()
