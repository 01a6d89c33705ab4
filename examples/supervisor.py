"""A parent that restarts its child when it crashes. Needs `make up`; ends after a few seconds."""

import asyncio
import contextlib

from tron_client import Agent, AsyncRegistryClient, FailedChild, Supervisor

workers: list[Agent] = []


async def start_worker() -> Agent:
    """Real ones are processes: end what is left of the old one, start a new one."""
    worker = Agent("example-supervised", parent="example-supervisor", heartbeat_interval=1, reconnect_grace=0.5)
    await asyncio.to_thread(worker.start)
    return worker


async def restart(failed: FailedChild) -> None:
    print(f"restart {failed.attempt} of {failed.max_restarts}: {failed.alert.message}")
    workers.append(await start_worker())


async def main() -> None:
    async with (
        AsyncRegistryClient() as client,
        Agent("example-supervisor", heartbeat_interval=5) as agent,
        Supervisor(agent, restart, first_delay=0.1),
    ):
        workers.append(await start_worker())
        log = await client.list_events(limit=1)
        await asyncio.to_thread(workers[-1].abandon)  # ends it as kill -9 would: no goodbye
        async for event in client.subscribe_events(log.last_sequence, service_id="example-supervised"):
            print(f"{event.type:20} {event.message}")
            if event.type == "restart_succeeded" and len(workers) < 3:
                await asyncio.to_thread(workers[-1].abandon)
            elif event.type in ("restart_succeeded", "child_escalated"):  # it was restarted too often, run after run
                break
        await asyncio.to_thread(workers[-1].stop)  # says goodbye: nobody is alarmed


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
