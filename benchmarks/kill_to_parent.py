"""How soon a parent knows: kill -9 and SIGSTOP of a child, to the callback in the parent's SDK.

Kill: from the moment before kill(2) to the callback with service_suspect; and to service_down, less reconnect_grace.
The kernel closes a killed process's sockets only after it has freed its memory, so the first is shown in two parts too.
Stop: from the deadline (last beat seen + 2 intervals + tolerance) to the callback with service_down.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tron_client import Agent, Alert

from benchmarks._report import Figure, arguments, conclude, distribution, table
from tests.support.processes import start_system
from tests.support.waiting import wait_until

RECONNECT_GRACE = 2.0
INTERVAL = 1.0
DEADLINE = 2 * INTERVAL + 0.25


class Parent:
    """An agent that notes its alerts, on both clocks."""

    def __init__(self, address: str) -> None:
        self.heard: dict[tuple[str, str], tuple[float, float, Alert]] = {}
        self._agent = Agent("bench-parent", registry=address, heartbeat_interval=5.0, on_alert=self._note)
        self._agent.start()

    def _note(self, alert: Alert) -> None:
        self.heard.setdefault((alert.service_id, alert.type), (time.monotonic(), time.time(), alert))

    def wait(self, service_id: str, kind: str, timeout: float = 15.0) -> tuple[float, float, Alert]:
        """When and what it received."""
        wait_until(lambda: (service_id, kind) in self.heard, timeout, f"{kind} of {service_id}")
        return self.heard[service_id, kind]

    def stop(self) -> None:
        """Say goodbye."""
        self._agent.stop()


def _children(address: str, prefix: str, count: int) -> dict[str, subprocess.Popen[str]]:
    children = {
        f"{prefix}-{index}": subprocess.Popen(
            [sys.executable, "-m", "benchmarks._child", address, f"{prefix}-{index}", "bench-parent", str(INTERVAL)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    }
    for child in children.values():
        assert child.stdout is not None
        assert child.stdout.readline().strip() == "registered"
    return children


def kills(address: str, parent: Parent, count: int) -> dict[str, Any]:
    """Kill children one by one; milliseconds to suspect, and to down beyond the grace."""
    suspect, down, closed, ours = [], [], [], []
    for start in range(0, count, 10):
        children = _children(address, f"kill-{start}", min(10, count - start))
        killed_at = {}
        time.sleep(1.0)  # the cost of starting them is not what is measured
        for service_id, child in children.items():
            killed_at[service_id] = time.monotonic()
            child.kill()
            assert child.stdout is not None
            child.stdout.read()
            files_closed_at = time.monotonic()
            child.wait()
            told_at = parent.wait(service_id, "service_suspect")[0]
            closed.append((files_closed_at - killed_at[service_id]) * 1000)
            ours.append((told_at - files_closed_at) * 1000)
            # Not five within a second: in so small a fleet that would be a mass failure, whose notices are held.
            time.sleep(random.uniform(0.25, 0.5))
        for service_id, at in killed_at.items():
            suspect.append((parent.wait(service_id, "service_suspect")[0] - at) * 1000)
            down.append((parent.wait(service_id, "service_down")[0] - at - RECONNECT_GRACE) * 1000)
    return {
        "kill -> service_suspect [ms]": suspect,
        "  of which: kill -> files closed by the kernel [ms]": closed,
        "  of which: files closed -> service_suspect [ms]": ours,
        "kill -> service_down, beyond the grace [ms]": down,
    }


def stops(address: str, parent: Parent, count: int) -> tuple[dict[str, Any], list[str]]:
    """Stop children one by one; milliseconds from the deadline to down, and the causes that were named."""
    late, causes = [], []
    for start in range(0, count, 10):
        children = _children(address, f"stop-{start}", min(10, count - start))
        for child in children.values():
            time.sleep(random.uniform(0.26, 0.5))  # as above
            child.send_signal(19)
        for service_id, child in children.items():
            _, wall, alert = parent.wait(service_id, "service_down")
            assert alert.event.last_seen_at is not None
            late.append((wall - alert.event.last_seen_at.timestamp() - DEADLINE) * 1000)
            causes.append(alert.event.cause)
            child.kill()
            child.wait()
    return {"stop -> service_down, beyond the deadline [ms]": late}, causes


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, start_system(Path(folder)) as system:
        parent = Parent(system.registry_address)
        killed = kills(system.registry_address, parent, chosen.kills)
        stopped, causes = stops(system.registry_address, parent, chosen.stops)
        parent.stop()
    rows = {name: distribution(values) for name, values in {**killed, **stopped}.items()}
    table("How soon a parent knows", rows)
    print("causes of the stopped:", {cause: causes.count(cause) for cause in set(causes)})
    suspect, _, _, down, late = rows.values()
    others = sum(cause != "SILENT" for cause in causes)
    figures = [
        Figure("kill -> service_suspect, p50", suspect["p50"], "ms", goal=5, at_least=False),
        Figure("kill -> service_suspect, p99", suspect["p99"], "ms", goal=50, at_least=False),
        Figure("kill -> service_down beyond the grace, max", down["max"], "ms", goal=200, at_least=False),
        Figure("stop -> service_down beyond the deadline, max", late["max"], "ms", goal=200, at_least=False),
        Figure("stopped, with another cause than SILENT", others, "", goal=0, at_least=False),
    ]
    samples = {name: [round(value, 3) for value in values] for name, values in {**killed, **stopped}.items()}
    conclude("kill_to_parent", chosen.out, figures, {"distributions_ms": rows, "samples_ms": samples})


if __name__ == "__main__":
    main()
