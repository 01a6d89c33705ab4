"""A Heartbeat stream whose credential was revoked: the agent does nothing more on it, also one that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grid.registry.v1 import heartbeat_pb2, service_pb2
from grid_model.access import LOCAL
from grid_model.errors import CredentialExpired

from grid_hosting import status
from grid_hosting.open_calls import OpenCall, OpenCalls
from registry_server.config import Config
from registry_server.io import grpc_heartbeat
from registry_server.io.callers import Callers
from registry_server.io.grpc_heartbeat import HeartbeatStreams
from registry_server.io.loop import RegistryLoop
from registry_server.io.store.sqlite import SqliteStore
from tests.support.agent_context import AgentContext
from tests.support.waiting import eventually

H = heartbeat_pb2


class SilentAgent(AgentContext):
    """The context of a stream: what the agent sends is read, and what is written to it waits until it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = asyncio.Event()
        self.code: grpc.StatusCode | None = None

    async def write(self, _: Any) -> None:
        """Wait until the agent reads."""
        await self.reads.wait()

    async def abort(self, code: grpc.StatusCode, *_: Any) -> None:
        """End the call, once the agent reads."""
        self.code = code
        await self.reads.wait()
        raise grpc.aio.AbortError


class Revocable:
    """A registry with one stream of an agent `a` that does not read."""

    def __init__(self, loop: RegistryLoop) -> None:
        self.loop = loop
        self.agent = SilentAgent()
        self.calls: list[OpenCall] = []
        self._streams = HeartbeatStreams(loop, Config(), Callers(loop))
        self.served = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        with OpenCalls().opened(LOCAL, None, "") as call:
            self.calls.append(call)
            await self._streams.serve(self.agent)  # type: ignore[arg-type]

    async def registered(self) -> None:
        """The agent registers, and does not read the answer."""
        register = H.Register(service=service_pb2.Service(service_id="a", name="a"))
        self.agent.up.put_nowait(H.HeartbeatRequest(register=register))
        await eventually(lambda: "a" in self.loop.registry.records, what="the registration")

    def revoke(self) -> None:
        """The credential of the agent is revoked."""
        self.calls[0].stop(CredentialExpired("revoked"))


@asynccontextmanager
async def revocable(folder: Path) -> AsyncIterator[Revocable]:
    """Run one."""
    loop = RegistryLoop(SqliteStore(folder), event_retention=60)
    await loop.start()
    keeper = asyncio.create_task(loop.run())
    system = Revocable(loop)
    await system.registered()
    yield system
    system.served.cancel()
    await asyncio.wait({system.served})
    keeper.cancel()
    await asyncio.wait({keeper})
    await loop.close()


async def ended(call: asyncio.Task[None]) -> None:
    """Wait for the end of the handler."""
    done, _ = await asyncio.wait({call}, timeout=10)
    assert done, "the stream is still open"


async def test_what_a_revoked_agent_sends_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpc_heartbeat, "FAREWELL", 0.05)
    monkeypatch.setattr(status, "ABORT_WITHIN", 0.05)
    async with revocable(tmp_path) as system:
        system.revoke()
        system.agent.up.put_nowait(H.HeartbeatRequest(goodbye=H.Goodbye(service_id="a", reason="mine")))
        register = H.Register(service=service_pb2.Service(service_id="b", name="b"))
        system.agent.up.put_nowait(H.HeartbeatRequest(register=register))
        await ended(system.served)
        assert set(system.loop.registry.records) == {"a"}
        assert system.agent.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_revoked_agent_that_neither_reads_nor_sends_keeps_no_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_heartbeat, "FAREWELL", 0.05)
    monkeypatch.setattr(status, "ABORT_WITHIN", 0.05)
    async with revocable(tmp_path) as system:
        system.revoke()
        await ended(system.served)
        assert system.agent.code is grpc.StatusCode.UNAUTHENTICATED
        assert system.loop.registry.records["a"].session is None
