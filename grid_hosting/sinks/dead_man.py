"""Sends a sign of life to an external monitor, which raises an alarm when the signs stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
import structlog

from grid_hosting.sinks import SinkRefused, SinkUnavailable
from grid_hosting.sinks.http_client import request

log = structlog.get_logger("operator")


@dataclass(slots=True)
class DeadMan:
    """Requests `url` every `every` seconds while `healthy` returns true. Each change of the outcome is logged once."""

    url: str
    every: float
    method: str
    healthy: Callable[[], bool]
    timeout: float
    client: httpx2.AsyncClient
    _state: str = "dead_man_heard"

    async def run(self) -> None:
        """Send signs of life until cancelled. A failed sign is not repeated, because the next one is due soon."""
        while True:
            state, why = await self._sign()
            if state != self._state:
                level = log.info if state == "dead_man_heard" else log.warning
                level(state, why=why or None)
            self._state = state
            await asyncio.sleep(self.every)

    async def _sign(self) -> tuple[str, str]:
        """Send one sign; return its outcome and the reason."""
        if not self._is_healthy():
            return "dead_man_withheld", "not healthy"
        try:
            async with asyncio.timeout(self.timeout):
                await request(self.client, self.method, self.url)
        except (SinkUnavailable, SinkRefused) as error:
            return "dead_man_not_heard", str(error)
        except TimeoutError:
            return "dead_man_not_heard", f"no answer within {self.timeout:g} s"
        return "dead_man_heard", ""

    def _is_healthy(self) -> bool:
        try:
            return self.healthy()
        except Exception:
            # A program that cannot tell that it is healthy is not; and a sign of life must not end the program.
            if self._state != "dead_man_withheld":
                log.exception("dead_man_broken")
            return False
