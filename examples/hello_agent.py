"""An agent in ten lines: registers, sends heartbeats, and receives alerts about its children. Needs `make up`."""

import asyncio
import contextlib

from tron_client import Agent


async def main() -> None:
    async with Agent("director", name="Director", heartbeat_interval=5) as agent:
        print(f"{agent.service_id} is {agent.state}, incarnation {agent.incarnation}; Ctrl-C ends it")
        async for alert in agent.alerts():  # beats go on by themselves; leaving the block says goodbye
            print(alert.type, alert.service_id, alert.message)
            alert.acknowledge()


with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C: the block is left, with a goodbye
    asyncio.run(main())
