"""Agents on the real SDK, in processes of their own: `python -m tests.support.fleet ADDRESS JSON`."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


@contextmanager
def agents(address: str, services: Sequence[dict[str, Any]]) -> Iterator[subprocess.Popen[str]]:
    """Run one process that carries these agents (the arguments of `Agent`); yields when all are registered.

    Agents take alerts only with `"hears": true`; they acknowledge what they take. The process is killed at the end.
    """
    command = [sys.executable, "-m", "tests.support.fleet", address, json.dumps(services)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "registered\n"
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def main() -> None:
    """Run the agents until stdin ends, or somebody kills us."""
    from tron_client import Agent

    address, services = sys.argv[1], json.loads(sys.argv[2])
    running = []
    for each in services:
        hears, report = each.pop("hears", False), each.pop("report", {})
        agent = Agent(**each, registry=address, on_alert=(lambda _: None) if hears else None)
        agent.start()
        if report:
            agent.report(**report)
        running.append(agent)
    for agent in running:
        agent.wait_registered(10)
    print("registered", flush=True)
    sys.stdin.read()
    threading.Event().wait()


if __name__ == "__main__":
    main()
