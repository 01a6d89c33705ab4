"""Half a minute of time.sleep in a coroutine of an agent that is down after 2.25 s of silence: it stays alive."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path

from tron_client import Agent, RegistryClient, ServiceNotFound

from benchmarks._report import Figure, arguments, conclude, table
from tests.support.processes import start_system

SERVICE_ID = "blocked-loop"


async def _work(address: str, seconds: float) -> None:
    async with Agent(SERVICE_ID, heartbeat_interval=1.0, registry=address):
        time.sleep(seconds)  # noqa: ASYNC251  # what careless code does is what is measured
        await asyncio.sleep(3.0)


def main() -> None:
    """Measure, print, write."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    chosen = parser.parse_args()
    seen: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, start_system(Path(folder)) as system:
        client = RegistryClient(system.registry_address)
        worker = threading.Thread(target=lambda: asyncio.run(_work(system.registry_address, chosen.seconds)))
        worker.start()
        while worker.is_alive():
            try:
                service = client.get_service(SERVICE_ID)
                seen.append((service.liveness, service.loop_lag or 0.0))
            except ServiceNotFound:
                pass  # before its registration, and after its goodbye
            worker.join(0.1)
        alarms = [event.type for event in client.list_events(service_id=SERVICE_ID).events]
    row = {
        "blocked [s]": chosen.seconds,
        "looked": len(seen),
        "states seen": ", ".join(sorted({liveness for liveness, _ in seen})),
        "greatest lag [s]": round(max(lag for _, lag in seen), 2),
        "last lag [s]": round(seen[-1][1], 3),
        "alarms": len(alarms),
    }
    table("A blocked event loop", {"agent": row})
    others = sum(liveness != "ALIVE" for liveness, _ in seen)
    figures = [
        Figure("blocked loop: states seen other than ALIVE", others, "", goal=0, at_least=False),
        Figure("blocked loop: alarms", len(alarms), "events", goal=0, at_least=False),
        # It is seen up to a heartbeat late.
        Figure("blocked loop: greatest lag seen", max(lag for _, lag in seen), "s", goal=chosen.seconds - 1.5),
    ]
    conclude("blocked_loop", chosen.out, figures, {"result": row})


if __name__ == "__main__":
    main()
