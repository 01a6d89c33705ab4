"""The gRPC service TronService: verdicts, their reasons, and the thresholds."""

from __future__ import annotations

from collections.abc import Awaitable, Container
from typing import Any, TypeVar

import grpc
import structlog
from grid.events.v1 import event_service_pb2, event_service_pb2_grpc
from grid.registry.v1 import registry_service_pb2, registry_service_pb2_grpc, service_pb2
from grid.tron.v1 import tron_service_pb2, tron_service_pb2_grpc
from grid_model.access import Role
from grid_model.errors import FieldError, InvalidRequest, PermissionDenied, TronError
from grid_model.liveness import Liveness
from grid_model.wire import duration, timestamp_at

from grid_hosting.authentication import current_principal
from grid_hosting.sinks.dispatcher import Dispatcher
from grid_hosting.status import to_error
from tron import messages
from tron.alert_book import ALERT_TYPES
from tron.explanation import explain
from tron.live_policy import LivePolicy
from tron.monitor import Monitor
from tron.policy import POLICY_FIELDS
from tron.policy_layers import PolicyLayers
from tron.rpc.policy import from_changes, from_policy, to_changes

log = structlog.get_logger("tron")
R = TypeVar("R")

Context = grpc.aio.ServicerContext[Any, Any]

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100
CALL_TIMEOUT = 5.0
MAX_SERVICE_ID = 512


class RegistryAway(TronError):
    """TRON cannot answer because the registry does not answer."""

    reason = "ERROR_REASON_DRAINING"


class TronService(tron_service_pb2_grpc.TronServiceServicer):
    """Answers from the monitor's own state, and from the registry's event log."""

    def __init__(self, monitor: Monitor, policy: LivePolicy, channel: grpc.aio.Channel, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._monitor = monitor
        self._policy = policy
        self._events = event_service_pb2_grpc.EventServiceStub(channel)
        self._registry = registry_service_pb2_grpc.RegistryServiceStub(channel)

    async def GetStats(
        self, request: tron_service_pb2.GetStatsRequest, context: Context
    ) -> tron_service_pb2.GetStatsResponse:
        """Return the number of services in each state, and the state of TRON and its sinks."""
        judge, stats = self._monitor.judge, self._monitor.stats
        tally, counts = judge.detector.tally, judge.detector.counts()
        response = tron_service_pb2.GetStatsResponse(
            total_services=sum(counts.values()),
            healthy_services=counts[Liveness.ALIVE],
            degraded_services=await self._count_degraded() if stats.watching else 0,
            down_services=counts[Liveness.DOWN],
            suspect_services=counts[Liveness.SUSPECT],
            alerts_issued=stats.alerts_issued,
            watching=stats.watching,
            guard_active=judge.guard.active,
            stalled_services=tally.stalled,
            maintained_services=tally.maintained,
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
        response.observed_at.GetCurrentTime()
        if stats.last_check is not None:
            response.last_check.CopyFrom(timestamp_at(stats.last_check))
        return response

    async def ListAlerts(
        self, request: tron_service_pb2.ListAlertsRequest, context: Context
    ) -> tron_service_pb2.ListAlertsResponse:
        """Return one page of TRON's alerts, read from the registry's event log."""
        if request.limit > MAX_LIMIT:
            raise InvalidRequest.of(FieldError("limit", messages.limit_too_large(request.limit, MAX_LIMIT)))
        check_may(Role.OBSERVER, request.service_id)
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
        """Return the thresholds in force for all services, or for one service."""
        if request.service_id:
            check_may(Role.OBSERVER, request.service_id)
        await self._must_be_known(request.service_id)
        policies, layers = self._monitor.policies, self._policy.layers
        return tron_service_pb2.GetPolicyResponse(
            policy=from_policy(policies.of(request.service_id)), sources=_sources(layers, request.service_id)
        )

    async def SetPolicy(
        self, request: tron_service_pb2.SetPolicyRequest, context: Context
    ) -> tron_service_pb2.SetPolicyResponse:
        """Change thresholds: check them, write them to disk, and apply them from the next frame on."""
        service_id = request.service_id
        check_id(service_id)
        check_may(Role.OPERATOR, service_id)
        if not request.allow_unknown:
            await self._must_be_known(service_id)
        self._policy.change(service_id, to_changes(request.policy), request.unset)
        policies, layers = self._monitor.policies, self._policy.layers
        return tron_service_pb2.SetPolicyResponse(
            policy=from_policy(policies.of(service_id)), sources=_sources(layers, service_id)
        )

    async def ListPolicyOverrides(
        self, request: tron_service_pb2.ListPolicyOverridesRequest, context: Context
    ) -> tron_service_pb2.ListPolicyOverridesResponse:
        """Return the services that have thresholds of their own, and these thresholds."""
        layers = self._policy.layers
        watched = {each.facts.service_id for each in self._monitor.judge.detector.leases()}
        overrides = [
            tron_service_pb2.PolicyOverride(
                service_id=each,
                policy=from_changes(layers.own(each)),
                sources=_sources(layers, each, layers.own(each)),
                watched=each in watched,
            )
            for each in layers.overridden()
            if current_principal().may(Role.OBSERVER, each)
        ]
        return tron_service_pb2.ListPolicyOverridesResponse(overrides=overrides)

    async def SetMaintenance(
        self, request: tron_service_pb2.SetMaintenanceRequest, context: Context
    ) -> tron_service_pb2.SetMaintenanceResponse:
        """Start or end the maintenance of a service, during which alerts about it are held. The registry stores the
        maintenance by service_id."""
        check_may(Role.OPERATOR, request.service_id)
        record = registry_service_pb2.RecordMaintenanceRequest(
            service_id=request.service_id, enabled=request.enabled, reason=request.reason
        )
        if request.HasField("duration"):
            record.duration.CopyFrom(request.duration)
        answer = await self._ask(self._registry.RecordMaintenance(record, timeout=CALL_TIMEOUT))
        return tron_service_pb2.SetMaintenanceResponse(service=answer.service)

    async def ListMaintenance(
        self, request: tron_service_pb2.ListMaintenanceRequest, context: Context
    ) -> tron_service_pb2.ListMaintenanceResponse:
        """Return the services under maintenance, as the registry stores them."""
        wanted = registry_service_pb2.ListMaintenanceRequest()
        answer = await self._ask(self._registry.ListMaintenance(wanted, timeout=CALL_TIMEOUT))
        held = [each for each in answer.held if current_principal().may(Role.OBSERVER, each.service_id)]
        return tron_service_pb2.ListMaintenanceResponse(held=held)

    async def Explain(
        self, request: tron_service_pb2.ExplainRequest, context: Context
    ) -> tron_service_pb2.ExplainResponse:
        """Return why a service has its current liveness: the facts, the open deadlines, and the rule that applied."""
        if not request.service_id:
            raise InvalidRequest.of(FieldError("service_id", messages.EMPTY))
        check_may(Role.OBSERVER, request.service_id)
        wanted = registry_service_pb2.GetServiceRequest(service_id=request.service_id)
        service = (await self._ask(self._registry.GetService(wanted, timeout=CALL_TIMEOUT))).service
        await self._monitor.refresh(request.service_id)
        explanation = explain(self._monitor.judge, request.service_id) if self._monitor.stats.watching else None
        if explanation is None:
            return tron_service_pb2.ExplainResponse(service=service, verdict=messages.NOT_WATCHED, rule="not_watched")
        response = tron_service_pb2.ExplainResponse(service=service, verdict=explanation.verdict, rule=explanation.rule)
        for what, due_in in explanation.deadlines:
            response.deadlines.add(what=what, due_in=duration(due_in))
        response.evidence.update(explanation.evidence)
        response.margin = explanation.margin
        return response

    async def _must_be_known(self, service_id: str) -> None:
        """Raise the registry's ServiceNotFound if no service has the id and the id has no override."""
        if service_id and service_id not in self._policy.layers.overridden():
            wanted = registry_service_pb2.GetServiceRequest(service_id=service_id)
            await self._ask(self._registry.GetService(wanted, timeout=CALL_TIMEOUT))

    async def _ask(self, call: Awaitable[R]) -> R:
        """Return the registry's answer; an error of the registry is passed on, with its reason and fields."""
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            refusal = to_error(error)
            if refusal is not None:
                raise refusal from error
            raise RegistryAway(messages.registry_away(error.code().name)) from error

    async def _count_degraded(self) -> int:
        query = registry_service_pb2.ListServicesRequest(status=service_pb2.SERVICE_STATUS_DEGRADED, page_size=1)
        return (await self._ask(self._registry.ListServices(query, timeout=CALL_TIMEOUT))).total_size


def check_may(role: Role, service_id: str) -> None:
    """Raise PermissionDenied unless the caller has this role for a service (for an empty id: for all services)."""
    caller = current_principal()
    if not (caller.may(role, service_id) if service_id else caller.may_everywhere(role)):
        raise PermissionDenied(messages.no_grant(caller.name, role.name.lower(), service_id))


def check_id(service_id: str) -> None:
    """Raise InvalidRequest if an id is too long, is not printable, or begins or ends with a blank. The empty id is
    accepted: it means all services."""
    if len(service_id) > MAX_SERVICE_ID or service_id != service_id.strip() or not service_id.isprintable():
        why = messages.not_a_service_id(MAX_SERVICE_ID)
        raise InvalidRequest.of(FieldError("service_id", why))


def _sources(layers: PolicyLayers, service_id: str, names: Container[str] = POLICY_FIELDS) -> dict[str, Any]:
    return {name: source.value for name, source in layers.sources(service_id).items() if name in names}
