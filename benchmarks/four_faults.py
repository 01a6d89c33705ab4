"""Is the cause named right? kill -9, SIGSTOP, a silent cut of the link, and a busy loop whose counter does not change.

Each child is a process of its own, with an interval of 1 s and a stall_after of 2 s. What counts is the first alert by
which its parent is notified that it is down, or stalled. A fleet of bystanders keeps it from being a mass failure.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tron_client import Agent, Alert

from benchmarks._report import Figure, arguments, conclude, table
from tests.support.agents import Agents
from tests.support.processes import start_system
from tests.support.waiting import wait_until

AT_ONCE = 4
EXPECTED = {"kill": "DISCONNECTED", "stop": "SILENT", "cut": "SILENT", "busy loop": "STALLED"}


def start_link(target: str) -> tuple[subprocess.Popen[str], str]:
    """A link to the registry that can be cut without a word, by stopping its process. Return it and its address."""
    link = subprocess.Popen([sys.executable, "-m", "benchmarks._link", target], stdout=subprocess.PIPE, text=True)
    assert link.stdout is not None
    return link, link.stdout.readline().strip()


def trial(fault: str, registry: str, service_ids: list[str], heard: dict[str, Alert]) -> list[str]:
    """Let children suffer one fault, all at the same time; return the causes that were named."""
    links = [start_link(registry) if fault == "cut" else None for _ in service_ids]
    declared = {"parent": "bench-parent", "heartbeat_interval": 1.0, "stall_after": 2.0}
    children = [
        Agents(registry if link is None else link[1], [{"service_id": service_id, **declared}])
        for service_id, link in zip(service_ids, links, strict=True)
    ]
    for child in children:
        child.wait()
    time.sleep(1.2)  # at least one beat was heard
    for child, link in zip(children, links, strict=True):
        if fault == "kill":
            child.process.kill()
        elif fault == "stop":
            child.process.send_signal(signal.SIGSTOP)
        elif link is not None:
            link[0].send_signal(signal.SIGSTOP)
        else:
            child.say("spin")
    wait_until(lambda: all(each in heard for each in service_ids), 20, f"alerts about {service_ids}")
    for child, link in zip(children, links, strict=True):
        child.kill()
        if link is not None:
            link[0].kill()
            link[0].communicate()
    return [heard[each].cause for each in service_ids]


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=25)
    chosen = parser.parse_args()
    named: dict[str, Counter[str]] = {}
    heard: dict[str, Alert] = {}

    def note(alert: Alert) -> None:
        if alert.type in ("service_down", "service_stalled"):
            heard.setdefault(alert.service_id, alert)

    with tempfile.TemporaryDirectory() as folder, start_system(Path(folder)) as system:
        registry = system.registry_address
        bystanders = Agents(registry, [{"service_id": f"bystander-{n}", "heartbeat_interval": 1.0} for n in range(40)])
        bystanders.wait()
        parent = Agent("bench-parent", registry=registry, heartbeat_interval=5.0, on_alert=note)
        parent.start()
        for fault in EXPECTED:
            named[fault] = Counter()
            ids = [f"{fault.replace(' ', '-')}-{n}" for n in range(chosen.trials)]
            for start in range(0, len(ids), AT_ONCE):
                named[fault].update(trial(fault, registry, ids[start : start + AT_ONCE], heard))
            print(f"{fault}: {dict(named[fault])}", flush=True)
        accused = sorted(each for each in heard if each.startswith("bystander"))
        parent.stop()
        bystanders.kill()
    right = sum(named[fault][cause] for fault, cause in EXPECTED.items())
    total = sum(sum(counts.values()) for counts in named.values())
    rows = {
        fault: {"n": sum(counts.values()), "expected": EXPECTED[fault], "right": counts[EXPECTED[fault]]}
        for fault, counts in named.items()
    }
    table("Which cause was named", rows)
    result = {
        "named": {fault: dict(counts) for fault, counts in named.items()},
        "right": right,
        "total": total,
        "bystanders_accused": accused,
    }
    figures = [
        Figure("four faults: causes named right", right / total, "of all", goal=0.99),
        Figure("four faults: bystanders accused", len(accused), "", goal=0, at_least=False),
    ]
    conclude("four_faults", chosen.out, figures, result)


if __name__ == "__main__":
    main()
