"""TronService: what TRON thinks, and by which thresholds."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc
import structlog
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc, service_pb2
from grid.tron.v1 import tron_service_pb2, tron_service_pb2_grpc
from tron_client.wire import duration, timestamp_at

from grid_hosting.errors import DomainError, FieldError, InvalidRequest
from grid_hosting.sinks.dispatcher import Dispatcher
from grid_hosting.status import to_domain_error
from tron.alert_book import ALERT_TYPES
from tron.explanation import explain
from tron.facts import Cause, State
from tron.monitor import Monitor
from tron.policy_store import PolicyStore
from tron.rpc.policy import from_policy, to_changes

log = structlog.get_logger("tron")
R = TypeVar("R")

Context = grpc.aio.ServicerContext[Any, Any]

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
CALL_TIMEOUT = 5.0


class RegistryAway(DomainError):
    """TRON can not answer because it can not reach the registry."""

    reason = "ERROR_REASON_DRAINING"


class TronService(tron_service_pb2_grpc.TronServiceServicer):
    """Answers from the monitor's own state, and from the registry's log."""

    def __init__(self, monitor: Monitor, store: PolicyStore, channel: grpc.aio.Channel, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._monitor = monitor
        self._store = store
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._registry = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def GetStats(
        self, request: tron_service_pb2.GetStatsRequest, context: Context
    ) -> tron_service_pb2.GetStatsResponse:
        """Counts by judgement."""
        judge, stats = self._monitor.judge, self._monitor.stats
        leases, states = judge.detector.leases(), judge.detector.states()
        response = tron_service_pb2.GetStatsResponse(
            total_services=sum(states.values()),
            healthy_services=states[State.ALIVE],
            degraded_services=await self._count_degraded() if stats.watching else 0,
            down_services=states[State.DOWN],
            suspect_services=states[State.SUSPECT],
            alerts_issued=stats.alerts_issued,
            watching=stats.watching,
            guard_active=judge.guard.active,
            stalled_services=sum(1 for each in leases if each.cause is Cause.STALLED),
            maintained_services=sum(1 for each in leases if each.facts.maintained),
            damped_services=len(judge.damping.damped(judge.now)),
            open_alerts=len(judge.escalations),
            sinks=[
                tron_service_pb2.SinkStats(
                    name=name,
                    queued=sink.queued,
                    delivered=sink.delivered,
                    failed=sink.failed_attempts,
                    dropped=sink.dropped + sink.refused,
                    last_error=sink.last_error,
                )
                for name, sink in self._dispatcher.stats().items()
            ],
        )
        if stats.last_check is not None:
            response.last_check.CopyFrom(timestamp_at(stats.last_check))
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
        page = await self._ask(self._events.ListEvents(query, timeout=CALL_TIMEOUT))
        return tron_service_pb2.ListAlertsResponse(alerts=page.events, next_after_sequence=page.next_after_sequence)

    async def GetPolicy(
        self, request: tron_service_pb2.GetPolicyRequest, context: Context
    ) -> tron_service_pb2.GetPolicyResponse:
        """The thresholds in force."""
        return tron_service_pb2.GetPolicyResponse(policy=from_policy(self._monitor.policies.of(request.service_id)))

    async def SetPolicy(
        self, request: tron_service_pb2.SetPolicyRequest, context: Context
    ) -> tron_service_pb2.SetPolicyResponse:
        """Change thresholds: checked, kept on disk, then in force from the next frame on."""
        changes = to_changes(request.policy)
        if not changes:
            raise InvalidRequest(FieldError("policy", "changes nothing: set at least one field"))
        try:
            policies = self._monitor.policies.changed(request.service_id, changes)
        except ValueError as error:
            field, _, why = str(error).partition(": ")
            raise InvalidRequest(FieldError(f"policy.{field}", why or str(error))) from None
        policy = policies.of(request.service_id)
        reckless = [FieldError(f"policy.{each.field}", each.description) for each in policy.reckless()]
        if reckless:
            raise InvalidRequest(*reckless)
        try:
            self._store.save(request.service_id, changes)
        except OSError as error:
            log.error("policy_not_saved", why=str(error))
            raise DomainError("the policy could not be written to disk; nothing was changed") from error
        self._monitor.set_policies(policies)
        log.info("policy_set", service_id=request.service_id or None, **{k: str(v) for k, v in changes.items()})
        return tron_service_pb2.SetPolicyResponse(policy=from_policy(policy))

    async def SetMaintenance(
        self, request: tron_service_pb2.SetMaintenanceRequest, context: Context
    ) -> tron_service_pb2.SetMaintenanceResponse:
        """Hold notices about a service: an operator's word, which the registry keeps with the service_id."""
        record = registry_service_pb2.RecordMaintenanceRequest(
            service_id=request.service_id, enabled=request.enabled, reason=request.reason
        )
        if request.HasField("duration"):
            record.duration.CopyFrom(request.duration)
        answer = await self._ask(self._registry.RecordMaintenance(record, timeout=CALL_TIMEOUT))
        return tron_service_pb2.SetMaintenanceResponse(service=answer.service)

    async def Explain(
        self, request: tron_service_pb2.ExplainRequest, context: Context
    ) -> tron_service_pb2.ExplainResponse:
        """What is known of a service, which deadlines stand, which rule fired."""
        if not request.service_id:
            raise InvalidRequest(FieldError("service_id", "must not be empty"))
        wanted = registry_service_pb2.GetServiceRequest(service_id=request.service_id)
        service = (await self._ask(self._registry.GetService(wanted, timeout=CALL_TIMEOUT))).service
        explanation = explain(self._monitor.judge, request.service_id) if self._monitor.stats.watching else None
        if explanation is None:
            return tron_service_pb2.ExplainResponse(
                service=service, verdict="TRON does not watch this service yet.", rule="not_watched"
            )
        response = tron_service_pb2.ExplainResponse(service=service, verdict=explanation.verdict, rule=explanation.rule)
        for what, due_in in explanation.deadlines:
            response.deadlines.add(what=what, due_in=duration(due_in))
        response.evidence.update(explanation.evidence)
        return response

    async def _ask(self, call: Awaitable[R]) -> R:
        """The registry's answer; its refusals are passed on, with its reason and fields."""
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            refusal = to_domain_error(error)
            if refusal is not None:
                raise refusal from error
            raise RegistryAway(f"the registry does not answer: {error.code().name}") from error

    async def _count_degraded(self) -> int:
        query = registry_service_pb2.ListServicesRequest(status=service_pb2.SERVICE_STATUS_DEGRADED, page_size=1)
        return (await self._ask(self._registry.ListServices(query, timeout=CALL_TIMEOUT))).total_size
