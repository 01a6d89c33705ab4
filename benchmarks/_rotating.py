"""Agents whose certificates are renewed: `python -m benchmarks._rotating ADDRESS PREFIX SHARED ALONE INTERVAL`.

SHARED agents share streams, ALONE have one each. For each line on stdin it prints what happened so far, as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter

from tron_client import Agent

from benchmarks._fleet import SWITCH_EVERY


class Notes(logging.Handler):
    """Counts the lines of the SDK's log by their first word; those of warnings are kept."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.moved_at: list[float] = []
        self.moved = 0
        self.words: Counter[str] = Counter()
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line."""
        text = record.getMessage()
        word = text.partition(" ")[0]
        self.words[word] += 1
        if word == "stream_moved":
            self.moved += int(text.rpartition("services=")[2])
            self.moved_at.append(time.time())
        if record.levelno >= logging.WARNING and len(self.warnings) < 20:
            self.warnings.append(text)


def main() -> None:
    """Run one process until stdin ends."""
    sys.setswitchinterval(SWITCH_EVERY)
    notes = Notes()
    logger = logging.getLogger("tron_client")
    logger.setLevel(logging.INFO)
    logger.addHandler(notes)
    logger.propagate = False
    address, prefix, shared, alone, interval = sys.argv[1], sys.argv[2], *map(float, sys.argv[3:])
    agents = [
        Agent(
            f"{prefix}-{number}",
            registry=address,
            heartbeat_interval=interval,
            register_timeout=0.0,
            own_stream=number >= shared,
        )
        for number in range(int(shared + alone))
    ]
    for agent in agents:
        agent.start()
    for agent in agents:
        agent.wait_registered(60)
    print(json.dumps({"started": len(agents)}), flush=True)
    notes.warnings.clear()  # that many connect at once here is no news
    for _ in sys.stdin:
        found = {
            "states": Counter(agent.state for agent in agents),
            "moved": notes.moved,
            "moved_at": notes.moved_at,
            "words": notes.words,
            "warnings": notes.warnings,
        }
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
