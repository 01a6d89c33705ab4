"""One agent in a process of its own: `python -m benchmarks._child ADDRESS ID PARENT INTERVAL`."""

from __future__ import annotations

import signal
import sys

from tron_client import Agent


def main() -> None:
    """Register, say so on stdout, and beat until the process ends."""
    address, service_id, parent, interval = sys.argv[1:5]
    agent = Agent(service_id, parent=parent, heartbeat_interval=float(interval), registry=address)
    agent.start()
    print("registered" if agent.wait_registered(20) else "away", flush=True)
    signal.pause()  # stdout stays open: its end tells when the kernel closed the files of a killed child


if __name__ == "__main__":
    main()
