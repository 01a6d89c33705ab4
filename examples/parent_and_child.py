"""A parent is notified that its child crashed, and that it is back. Needs `make up`; ends after a few seconds."""

import asyncio
import contextlib

from tron_client import Agent


def worker() -> Agent:
    """An agent that is down half a second after its stream broke, rather than after the policy's two."""
    return Agent("example-worker", parent="example-director", heartbeat_interval=1, reconnect_grace=0.5)


async def main() -> None:
    async with Agent("example-director", heartbeat_interval=5) as director:
        child = worker()
        await asyncio.to_thread(child.start)
        await asyncio.to_thread(child.abandon)  # ends it as kill -9 would: no goodbye
        async for alert in director.alerts():
            print(f"{alert.type:20} {alert.severity:8} {alert.cause or '-':12} {alert.message}")
            alert.acknowledge()
            if alert.type == "service_down":
                child = worker()  # a new incarnation of the same service
                await asyncio.to_thread(child.start)
            if alert.type == "heartbeat_restored":
                break
        await asyncio.to_thread(child.stop)  # says goodbye: nobody is alarmed


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
