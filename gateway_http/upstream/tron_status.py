"""Polls TRON once a second for all requests and browsers: whether it is watching, and its counters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import grpc
from google.protobuf import json_format
from grid.tron.v1 import tron_service_pb2, tron_service_pb2_grpc
from grid_model import wire
from tron_client.errors import from_rpc_error

ASK_EVERY = 1.0
POLICY_EVERY = 5
"""Every how many polls TRON is asked for its policy too, which seldom changes."""
CALL_TIMEOUT = 2.0


@dataclass(frozen=True, slots=True)
class TronStatus:
    """TRON's last answer about itself. `reachable`: TRON answered the last poll."""

    reachable: bool = False
    watching: bool = False
    """Whether TRON receives the registry's facts, so that liveness is evaluated."""
    guard_active: bool = False
    """Whether the mass-failure guard of TRON is active."""
    alerts_issued: int = 0
    """The number of alerts since this TRON process started."""
    last_check: datetime | None = None
    """When TRON last evaluated liveness; None if it never did, or was never reached."""
    misses_before_down: int = 2
    misses_before_deregister: int = 3

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON object; times are RFC 3339 texts."""
        return {
            "reachable": self.reachable,
            "watching": self.watching,
            "guard_active": self.guard_active,
            "alerts_issued": self.alerts_issued,
            "last_check": wire.rfc3339(self.last_check),
            "misses_before_down": self.misses_before_down,
            "misses_before_deregister": self.misses_before_deregister,
        }


class TronStatusPoller:
    """While `run` runs, polls TRON once a second, and keeps the last answer in `status`."""

    def __init__(self, channel: grpc.aio.Channel, on_change: Callable[[], None]) -> None:
        """`on_change` is called when `reachable`, `watching` or `guard_active` changes."""
        self._on_change = on_change
        self._stub = tron_service_pb2_grpc.TronServiceStub(channel)
        self._policy_in = 0
        self.status = TronStatus()

    async def run(self) -> None:
        """Poll TRON until cancelled."""
        while True:
            before = self.status
            self.status = await self._ask()
            known = (before.reachable, before.watching, before.guard_active)
            if known != (self.status.reachable, self.status.watching, self.status.guard_active):
                self._on_change()
            await asyncio.sleep(ASK_EVERY)

    async def explain(self, service_id: str) -> dict[str, Any]:
        """Return TRON's explanation of why the service is in its state, with the field names of
        grid.tron.v1.ExplainResponse. Raises TronError."""
        request = tron_service_pb2.ExplainRequest(service_id=service_id)
        try:
            answer = await self._stub.Explain(request, timeout=CALL_TIMEOUT)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        explained: dict[str, Any] = json_format.MessageToDict(
            answer, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        return explained

    async def _ask(self) -> TronStatus:
        before = self.status
        misses = before.misses_before_down, before.misses_before_deregister
        try:
            stats = await self._stub.GetStats(tron_service_pb2.GetStatsRequest(), timeout=CALL_TIMEOUT)
            if self._policy_in == 0:
                policy = (await self._stub.GetPolicy(tron_service_pb2.GetPolicyRequest(), timeout=CALL_TIMEOUT)).policy
                misses = policy.misses_before_down, policy.misses_before_deregister
        except grpc.RpcError:
            self._policy_in = 0
            return replace(before, reachable=False, watching=False, guard_active=False)
        self._policy_in = (self._policy_in + 1) % POLICY_EVERY
        return TronStatus(
            reachable=True,
            watching=stats.watching,
            guard_active=stats.guard_active,
            alerts_issued=stats.alerts_issued,
            last_check=wire.moment(stats.last_check) if stats.HasField("last_check") else None,
            misses_before_down=misses[0],
            misses_before_deregister=misses[1],
        )
