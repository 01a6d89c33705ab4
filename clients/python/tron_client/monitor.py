"""The client of TRON itself: what it thinks and why, by which thresholds, and an operator's word to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from grid.tron.v1 import policy_pb2, tron_service_pb2, tron_service_pb2_grpc

from tron_client import arguments, wire
from tron_client.channel import open_channel, resolve_monitor_address
from tron_client.errors import FieldError, InvalidRequest, from_rpc_error
from tron_client.models import Event, Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ORPHAN_POLICIES = wire.Words("orphan_policy", policy_pb2.OrphanPolicy, "ORPHAN_POLICY_", lower=True)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SinkStats:
    """How one way to operators goes: what waits, what went out, what failed and was dropped."""

    name: str
    queued: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts by judgement, and whether TRON watches at all."""

    total_services: int
    healthy_services: int
    degraded_services: int
    suspect_services: int
    down_services: int
    stalled_services: int
    maintained_services: int
    damped_services: int
    alerts_issued: int
    open_alerts: int
    guard_active: bool
    watching: bool
    last_check: datetime | None
    sinks: tuple[SinkStats, ...] = ()


@dataclass(frozen=True, slots=True)
class Deadline:
    """What happens in so many seconds unless a sign of life comes."""

    what: str
    due_in: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a service is judged as it is."""

    service: Service
    verdict: str
    rule: str
    deadlines: tuple[Deadline, ...]
    evidence: dict[str, Any]


class MonitorClient:
    """TRON, for threads. Safe from any thread; a context manager. Every call has a deadline and raises a TronError."""

    def __init__(self, address: str | None = None, *, timeout: float = 5.0) -> None:
        """`timeout` is the deadline of each call, in seconds. Raises ValueError for what is no address."""
        self._timeout = arguments.seconds("timeout", timeout)
        self._address = resolve_monitor_address(arguments.optional_text("address", address))
        self._channel = open_channel(self._address)
        self._stub = tron_service_pb2_grpc.TronServiceStub(self._channel)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get_stats(self) -> Stats:
        """Counts now."""
        answer = self._do(self._stub.GetStats, tron_service_pb2.GetStatsRequest())
        counts = {each.name: getattr(answer, each.name) for each in fields(Stats) if each.name not in _STATS_BY_HAND}
        return Stats(
            **counts,
            last_check=wire.moment(answer.last_check) if answer.HasField("last_check") else None,
            sinks=tuple(
                SinkStats(**{each.name: getattr(sink, each.name) for each in fields(SinkStats)})
                for sink in answer.sinks
            ),
        )

    def list_alerts(self, *, after_sequence: int = 0, limit: int = 100, service_id: str = "") -> tuple[Event, ...]:
        """One page of the alerts that TRON issued, oldest first."""
        request = tron_service_pb2.ListAlertsRequest(
            after_sequence=arguments.whole("after_sequence", after_sequence),
            limit=arguments.whole("limit", limit, at_most=2**31 - 1),
            service_id=arguments.text("service_id", service_id),
        )
        return tuple(Event.from_proto(each) for each in self._do(self._stub.ListAlerts, request).alerts)

    def get_policy(self, service_id: str = "") -> dict[str, Any]:
        """The thresholds in force, by name; times in seconds."""
        request = tron_service_pb2.GetPolicyRequest(service_id=arguments.text("service_id", service_id))
        return _from_policy(self._do(self._stub.GetPolicy, request).policy)

    def set_policy(self, service_id: str = "", **thresholds: Any) -> dict[str, Any]:
        """Change thresholds, for everyone or one service; times in seconds. Returns all that are in force then.

        Raises InvalidRequest, naming what is wrong; then nothing was changed.
        """
        service_id = arguments.text("service_id", service_id)
        request = tron_service_pb2.SetPolicyRequest(service_id=service_id, policy=_to_policy(thresholds))
        return _from_policy(self._do(self._stub.SetPolicy, request).policy)

    def set_maintenance(
        self, service_id: str, enabled: bool, *, duration: float | None = None, reason: str = ""
    ) -> Service:
        """Hold notices about a service, for `duration` seconds or until that is ended; or end it. Raises
        ServiceNotFound."""
        request = tron_service_pb2.SetMaintenanceRequest(
            service_id=arguments.text("service_id", service_id),
            enabled=arguments.flag("enabled", enabled),
            duration=wire.duration(arguments.optional_seconds("duration", duration)),
            reason=arguments.text("reason", reason),
        )
        return Service.from_proto(self._do(self._stub.SetMaintenance, request).service)

    def explain(self, service_id: str) -> Explanation:
        """What is known of a service, which deadlines stand, which rule fired, why. Raises ServiceNotFound."""
        request = tron_service_pb2.ExplainRequest(service_id=arguments.text("service_id", service_id))
        answer = self._do(self._stub.Explain, request)
        return Explanation(
            service=Service.from_proto(answer.service),
            verdict=answer.verdict,
            rule=answer.rule,
            deadlines=tuple(Deadline(each.what, wire.seconds(each.due_in)) for each in answer.deadlines),
            evidence=wire.json_object(answer.evidence),
        )

    def _do(self, method: Callable[..., R], request: Any) -> R:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._address) from error


_STATS_BY_HAND = frozenset({"last_check", "sinks"})


def _from_policy(policy: policy_pb2.Policy) -> dict[str, Any]:
    thresholds: dict[str, Any] = {}
    for each in policy.DESCRIPTOR.fields:
        value = getattr(policy, each.name)
        if each.message_type is not None:
            value = wire.seconds(value)
        elif each.enum_type is not None:
            value = ORPHAN_POLICIES.word(value)
        thresholds[each.name] = value
    return thresholds


def _to_policy(thresholds: dict[str, Any]) -> policy_pb2.Policy:
    policy = policy_pb2.Policy()
    known = policy.DESCRIPTOR.fields_by_name
    for name, value in thresholds.items():
        field = known.get(name)
        try:
            if field is None:
                raise ValueError(f"is no threshold; the thresholds are {', '.join(sorted(known))}")
            if field.message_type is not None:
                getattr(policy, name).CopyFrom(
                    wire.duration(arguments.seconds(f"policy.{name}", value, positive=False))
                )
            else:
                setattr(policy, name, ORPHAN_POLICIES.number(value) if field.enum_type is not None else value)
        except InvalidRequest:
            raise
        except (ValueError, TypeError, OverflowError) as error:
            wrong = FieldError(f"policy.{name}", str(error))
            raise InvalidRequest(f"{wrong.field}: {wrong.description}", fields=(wrong,)) from error
    return policy
