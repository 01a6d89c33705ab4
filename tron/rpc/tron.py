"""TronService: what TRON thinks, and by which thresholds."""

from __future__ import annotations

from typing import Any

import grpc
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc, service_pb2
from grid.tron.v1 import policy_pb2, tron_service_pb2, tron_service_pb2_grpc

from grid_hosting.errors import DomainError, FieldError, InvalidRequest, NotImplementedYet
from tron.alert_book import ALERT_TYPES
from tron.detector import State
from tron.monitor import Monitor
from tron.policy import Policies, Policy

Context = grpc.aio.ServicerContext[Any, Any]

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
CALL_TIMEOUT = 5.0


class RegistryAway(DomainError):
    """TRON can not answer because it can not reach the registry."""

    reason = "ERROR_REASON_DRAINING"


class TronService(tron_service_pb2_grpc.TronServiceServicer):
    """Answers from the monitor's own state, and from the registry's log."""

    def __init__(self, monitor: Monitor, policies: Policies, channel: grpc.aio.Channel) -> None:
        self._monitor = monitor
        self._policies = policies
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._registry = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def GetStats(
        self, request: tron_service_pb2.GetStatsRequest, context: Context
    ) -> tron_service_pb2.GetStatsResponse:
        """Counts by judgement."""
        states, stats = self._monitor.states(), self._monitor.stats
        response = tron_service_pb2.GetStatsResponse(
            total_services=sum(states.values()),
            healthy_services=states[State.ALIVE],
            degraded_services=await self._count_degraded() if stats.watching else 0,
            down_services=states[State.DOWN],
            suspect_services=states[State.SUSPECT],
            alerts_issued=stats.alerts_issued,
            watching=stats.watching,
        )
        if stats.last_check is not None:
            response.last_check.FromMicroseconds(int(stats.last_check * 1e6))
        return response

    async def ListAlerts(
        self, request: tron_service_pb2.ListAlertsRequest, context: Context
    ) -> tron_service_pb2.ListAlertsResponse:
        """One page of the alerts in the registry's log."""
        if request.limit > MAX_LIMIT:
            raise InvalidRequest(FieldError("limit", f"is {request.limit}; at most {MAX_LIMIT} are allowed"))
        query = event_service_pb2.ListEventsRequest(
            after_sequence=request.after_sequence,
            limit=request.limit or DEFAULT_LIMIT,
            service_id=request.service_id,
            types=ALERT_TYPES,
        )
        try:
            page = await self._events.ListEvents(query, timeout=CALL_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            raise RegistryAway(f"the registry does not answer: {error.code().name}") from error
        return tron_service_pb2.ListAlertsResponse(alerts=page.events, next_after_sequence=page.next_after_sequence)

    async def GetPolicy(
        self, request: tron_service_pb2.GetPolicyRequest, context: Context
    ) -> tron_service_pb2.GetPolicyResponse:
        """The thresholds in force."""
        policy = self._policies.of(request.service_id) if request.service_id else self._policies.default
        return tron_service_pb2.GetPolicyResponse(policy=_from_policy(policy))

    async def SetPolicy(
        self, request: tron_service_pb2.SetPolicyRequest, context: Context
    ) -> tron_service_pb2.SetPolicyResponse:
        """Not yet: thresholds are settings."""
        raise NotImplementedYet("SetPolicy is not available in this version; set [monitor.policy] in tron.toml")

    async def SetMaintenance(
        self, request: tron_service_pb2.SetMaintenanceRequest, context: Context
    ) -> tron_service_pb2.SetMaintenanceResponse:
        """Not yet."""
        raise NotImplementedYet("SetMaintenance is not available in this version")

    async def Explain(
        self, request: tron_service_pb2.ExplainRequest, context: Context
    ) -> tron_service_pb2.ExplainResponse:
        """Not yet."""
        raise NotImplementedYet("Explain is not available in this version; ListAlerts has the evidence of each verdict")

    async def _count_degraded(self) -> int:
        query = registry_service_pb2.ListServicesRequest(
            status=service_pb2.SERVICE_STATUS_DEGRADED, page_size=MAX_LIMIT
        )
        try:
            return len((await self._registry.ListServices(query, timeout=CALL_TIMEOUT)).services)
        except grpc.aio.AioRpcError as error:
            raise RegistryAway(f"the registry does not answer: {error.code().name}") from error


def _from_policy(policy: Policy) -> policy_pb2.Policy:
    message = policy_pb2.Policy(
        tolerance_ratio=policy.tolerance_ratio,
        misses_before_warning=policy.misses_before_warning,
        misses_before_down=policy.misses_before_down,
        misses_before_deregister=policy.misses_before_deregister,
    )
    for name in ("tolerance_min", "reconnect_grace", "reattach_window", "escalate_after"):
        getattr(message, name).FromNanoseconds(int(getattr(policy, name) * 1e9))
    return message
