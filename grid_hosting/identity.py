"""Registers the programs of the system as agents, so that they send heartbeats and are listed like every other
service."""

from __future__ import annotations

import asyncio

from tron_client.agent import Agent
from tron_client.endpoint import Endpoint

BEAT_EVERY = 5.0
"""Seconds between two heartbeats of each of our own programs."""


def own_agent(
    service_id: str, name: str, address: str, registry: str | Endpoint, caps: tuple[str, ...], scheme: str = "grpc"
) -> Agent:
    """Return an agent, not yet started, for a program of the system that serves on `address`."""
    port = int(address.rsplit(":", 1)[1])
    return Agent(
        service_id,
        name=name,
        type="agent",
        role="production",
        url=f"{scheme}://{address}",
        caps=caps,
        labels={"tier": "core", "category": "infrastructure", "agent_role": "infrastructure", "port": port},
        heartbeat_interval=BEAT_EVERY,
        registry=registry,
        register_timeout=1.0,
        handle_sigterm=False,  # our programs drain
    )


async def end_own_agent(agent: Agent, *, leaves: bool) -> None:
    """End the agent of a program. If the program `leaves` on purpose, send a goodbye, so that nobody is alerted.
    Otherwise send no goodbye, as if the program had crashed. Returns within a few seconds, even if the registry does
    not answer."""
    end = agent.stop if leaves else agent.abandon
    await asyncio.get_running_loop().run_in_executor(None, end)
