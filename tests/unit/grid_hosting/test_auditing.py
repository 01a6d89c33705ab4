"""An act and its record are one: a call that its client cancels leaves both, or neither."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grid_model.access import Grant, Principal, Role
from grid_model.errors import PermissionDenied, QuotaExceeded

from grid_hosting import uninterrupted
from grid_hosting.access.audit import AuditKind, AuditRecord
from grid_hosting.access.trail import AuditTrail
from grid_hosting.auditing import Auditing
from grid_hosting.open_calls import act_as

METHOD = "/test/Change"
OPERATOR = Principal("token:operator", (Grant(Role.OPERATOR, "*"),))
CALL: Any = SimpleNamespace(peer=lambda: "ipv4:10.0.0.1:1", invocation_metadata=lambda: ())


class Audited:
    """A method that changes something at once, and returns when that is on disk."""

    def __init__(self) -> None:
        self.changed: list[str] = []
        self.records: list[AuditRecord] = []
        self.began, self.on_disk, self.recordable = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.recordable.set()
        self.trail = AuditTrail(self._append)
        self._interceptor = Auditing(self.trail, {METHOD: str})
        self._handler: Any = grpc.unary_unary_rpc_method_handler(self._change)

    async def _change(self, request: str, context: Any) -> str:
        if request == "denied":
            self.began.set()
            await self.on_disk.wait()
            raise PermissionDenied("no")
        self.changed.append(request)
        self.began.set()
        await self.on_disk.wait()
        return "done"

    async def _append(self, records: Sequence[AuditRecord]) -> None:
        await self.recordable.wait()
        self.records += records

    async def call(self, request: str, principal: Principal = OPERATOR) -> str:
        """Call the method."""
        act_as(principal)

        async def found(_: Any) -> Any:
            return self._handler

        method: Any = await self._interceptor.intercept_service(found, SimpleNamespace(method=METHOD))
        return str(await method.unary_unary(request, CALL))


@asynccontextmanager
async def audited() -> AsyncIterator[Audited]:
    """Run one; its records are written when this ends."""
    system = Audited()
    running = asyncio.create_task(system.trail.run())
    await asyncio.sleep(0)
    yield system
    running.cancel()
    await asyncio.wait({running})


async def cancelled(call: asyncio.Task[str]) -> None:
    """Cancel a call, as gRPC does if its client has cancelled it."""
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_a_change_whose_call_is_cancelled_has_its_record() -> None:
    async with audited() as system:
        call = asyncio.create_task(system.call("one"))
        await system.began.wait()
        await cancelled(call)
        system.on_disk.set()
    assert [(each.kind, each.actor, each.target) for each in system.records] == [
        (AuditKind.ACT, OPERATOR.name, "one")
    ], "also if the program ends at once"


async def test_a_call_that_is_cancelled_while_its_record_is_written_has_it_once() -> None:
    async with audited() as system:
        system.on_disk.set()
        system.recordable.clear()
        call = asyncio.create_task(system.call("one"))
        await system.began.wait()
        await cancelled(call)
        system.recordable.set()
    assert [each.target for each in system.records] == ["one"]


async def test_a_refusal_counts_although_its_caller_has_left() -> None:
    async with audited() as system:
        call = asyncio.create_task(system.call("denied"))
        await system.began.wait()
        await cancelled(call)
        system.on_disk.set()
    assert [(each.kind, each.target) for each in system.records] == [(AuditKind.REFUSAL, "denied")]


async def test_cancelled_calls_cannot_pile_up_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uninterrupted, "MOST_UNDER_WAY", 2)
    async with audited() as system:
        for name in ("one", "two"):
            system.began.clear()
            call = asyncio.create_task(system.call(name))
            await system.began.wait()
            await cancelled(call)
        with pytest.raises(QuotaExceeded, match="2 changes are already running"):
            await system.call("three")
        assert system.changed == ["one", "two"]
        system.on_disk.set()
    assert sorted(each.target for each in system.records) == ["one", "two"]
