"""Many agents in one process: `python -m benchmarks._fleet ADDRESS PREFIX COUNT INTERVAL`; answers lines on stdin."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections import Counter
from typing import Any

from tron_client import Agent


class Fleet:
    """Agents spread over several processes, as real SDK agents on real streams."""

    def __init__(self, address: str, agents: int, processes: int, interval: float) -> None:
        each = agents // processes
        self.service_ids = [f"fleet-{number}-{index}" for number in range(processes) for index in range(each)]
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks._fleet", address, f"fleet-{number}", str(each), str(interval)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(processes)
        ]
        for process in self._processes:
            _read(process)

    def states(self) -> Counter[str]:
        """How many agents believe themselves in which state; key `superseded` or `declared_down` must not appear."""
        total: Counter[str] = Counter()
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("states\n")
            process.stdin.flush()
        for process in self._processes:
            total.update(_read(process))
        return total

    def close(self) -> None:
        """End all of it, without goodbye."""
        for process in self._processes:
            process.kill()
            process.wait()


def _read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


SWITCH_EVERY = 0.05
"""Seconds after which a thread that waits for the interpreter asks for it, 5 ms by default. A hundred agents here share
one interpreter, which those that are measured do not: with 5 ms the threads that wait wake 200 times a second each,
that takes both cores of a small machine when all connect again at once, and the agents, not the registry, are late."""


def main() -> None:
    """Run one process of a fleet until stdin ends."""
    sys.setswitchinterval(SWITCH_EVERY)
    logging.getLogger("tron_client").setLevel(logging.ERROR)  # a broken stream is what is measured, not news
    address, prefix, count, interval = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    declared_down: list[str] = []
    agents = [
        Agent(
            f"{prefix}-{index}",
            heartbeat_interval=interval,
            registry=address,
            register_timeout=0.0,
            on_declared_down=lambda event: declared_down.append(event.service_id),
        )
        for index in range(count)
    ]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_registered(60)
    print(json.dumps({"started": count}), flush=True)
    for _ in sys.stdin:
        states = Counter(agent.state for agent in agents)
        print(json.dumps({**states, "declared_down": len(declared_down)}), flush=True)


if __name__ == "__main__":
    main()
