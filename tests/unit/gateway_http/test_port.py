"""A port of the gateway that serves nobody wakes at full seconds only, and ends at once when it is to end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import uvicorn

from gateway_http.server import Port

WAITS = asyncio.timeout
"""The real one; `Waits` takes its place in the module of asyncio."""


async def _app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


class Waits:
    """Ends waits at once, and records their lengths; the one of number `endless` lasts."""

    def __init__(self, endless: int) -> None:
        self.lengths: list[float] = []
        self.reached = asyncio.Event()
        self._endless = endless

    def __call__(self, seconds: float) -> asyncio.Timeout:
        self.lengths.append(seconds)
        if len(self.lengths) < self._endless:
            return WAITS(0.0)
        self.reached.set()
        return WAITS(None)


def test_it_wakes_at_each_full_second_and_ends_without_waiting_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Waits(endless=3)

    async def story() -> None:
        port = Port(uvicorn.Config(_app))
        monkeypatch.setattr("gateway_http.server.time.time", lambda: 1_000.75)
        monkeypatch.setattr("gateway_http.server.asyncio.timeout", waits)
        serving = asyncio.create_task(port.main_loop())
        await waits.reached.wait()
        assert not serving.done()
        assert (b"date", b"Thu, 01 Jan 1970 00:16:40 GMT") in port.server_state.default_headers
        port.should_exit = True
        await serving
        assert port.should_exit

    asyncio.run(asyncio.wait_for(story(), 10))
    assert waits.lengths == [0.25, 0.25, 0.25]
