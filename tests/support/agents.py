"""Agents in a process of their own, to be killed and stopped: `python -m tests.support.agents REGISTRY JSON`.

The JSON is a list of what each agent declares, as keywords of `tron_client.Agent`. When all are registered the process
says so; then it obeys lines on stdin: `freeze` stops the activity counters, `busy SECONDS` announces to be busy, `beat
WORD` beats at once and says the word, `spin`
does nothing but compute.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tron_client import Agent

from tests.support.warm import Piped


class Agents(Piped):
    """A process with agents in it."""

    def __init__(self, registry: str, declared: Sequence[dict[str, Any]], under: Sequence[str] = ()) -> None:
        super().__init__("tests.support.agents", [registry, json.dumps(list(declared))], under)

    def wait(self) -> None:
        """Wait until all are registered."""
        assert self.stdout.readline().strip() == "registered"

    def say(self, line: str) -> None:
        """Have it do something."""
        self.stdin.write(line + "\n")
        self.stdin.flush()


@contextmanager
def agents(registry: str, *declared: dict[str, Any], under: Sequence[str] = ()) -> Iterator[Agents]:
    """Agents that are registered, in one process, until the block ends; `under`: a command that runs the process."""
    process = Agents(registry, declared, under)
    try:
        process.wait()
        yield process
    finally:
        process.kill()


def main() -> None:
    """Run the agents until stdin ends."""
    registry, declared = sys.argv[1], json.loads(sys.argv[2])
    running = [Agent(registry=registry, register_timeout=0.0, **each) for each in declared]
    for agent in running:
        agent.start()
    for agent in running:
        assert agent.wait_registered(30), agent.service_id
    frozen = threading.Event()

    def work() -> None:
        while not frozen.wait(0.05):
            for agent in running:
                agent.advance()

    threading.Thread(target=work, daemon=True).start()
    print("registered", flush=True)
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        if word == "freeze":
            frozen.set()
        elif word == "spin":
            frozen.set()
            while True:
                sum(range(10_000))
        elif word == "beat":
            for agent in running:
                agent.report(message=argument)
        elif word == "busy":
            for agent in running:
                agent.report(busy_for=float(argument), message="busy")


if __name__ == "__main__":
    main()
