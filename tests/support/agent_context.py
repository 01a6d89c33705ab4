"""The context of a Heartbeat stream of an agent, as a handler sees it, without a network."""

from __future__ import annotations

import asyncio
from typing import Any


class AgentContext:
    """What the agent sends is put into `up`."""

    def __init__(self) -> None:
        self.up: asyncio.Queue[Any] = asyncio.Queue()

    def peer(self) -> str:
        """The address of the agent."""
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[()]:
        """No metadata."""
        return ()

    async def send_initial_metadata(self, _: Any) -> None:
        """Do nothing."""

    async def read(self) -> Any:
        """The next message of the agent."""
        return await self.up.get()
