"""Agents on the real SDK, in processes of their own: `python -m tests.support.fleet ADDRESS JSON`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.support.warm import Piped, Process


@contextmanager
def agents(address: str, services: Sequence[dict[str, Any]]) -> Iterator[Process]:
    """Run one process that carries these agents (the arguments of `Agent`); yields when all are registered.

    Agents take alerts only with `"hears": true`; they acknowledge what they take. The process is killed at the end.
    """
    running = Piped("tests.support.fleet", [address, json.dumps(services)])
    try:
        assert running.stdout.readline() == "registered\n"
        yield running.process
    finally:
        running.kill()


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
