"""The client of TRON itself: it reads statistics, alerts, thresholds and the reasons of verdicts, changes thresholds,
and starts or ends maintenance."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc
from grid.tron.v1 import policy_pb2, tron_service_pb2, tron_service_pb2_grpc
from grid_model import wire
from grid_model.policy import OrphanPolicy, PolicySource

from tron_client import arguments
from tron_client.channel import resolve_address, resolve_monitor_address
from tron_client.connection import Connection
from tron_client.discovery import MONITOR_SERVICE_ID, monitor_address
from tron_client.endpoint import Endpoint
from tron_client.errors import FieldError, InvalidRequest, from_rpc_error
from tron_client.models import Event, Maintenance, Service
from tron_client.thresholds import checked
from tron_client.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from tron_client.address import Address

SOURCES = Words("source", PolicySource.__members__, lower=True)
ORPHAN_POLICIES = Words("orphan_policy", OrphanPolicy.__members__, lower=True)

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SinkStats:
    """The state of one sink of the operators: how many notices wait, were delivered, failed, and were dropped."""

    name: str
    queued: int = 0
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Stats:
    """The number of services in each state of liveness, TRON's other counts, and whether TRON is watching."""

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
    observed_at: datetime | None = None
    """The time of the answer on TRON's clock; subtract `last_check` from it to get the age of the last check."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A deadline of a service: unless a heartbeat arrives, the event `what` follows in `due_in` seconds."""

    what: str
    due_in: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a service has its current liveness."""

    service: Service
    verdict: str
    rule: str
    deadlines: tuple[Deadline, ...]
    evidence: dict[str, Any]
    margin: str = ""
    """A sentence about the longest gap between heartbeats: how much of the allowed silence it used, and which timeout
    TRON suggests. Empty from an older TRON."""


@dataclass(frozen=True, slots=True)
class PolicyInForce:
    """All thresholds by name (times are in seconds), and the source of each: `built_in`, `settings`, `runtime`,
    `service_settings` or `service_runtime`. An older TRON sends no sources; `sources` is then empty."""

    thresholds: dict[str, Any]
    sources: dict[str, str]


@dataclass(frozen=True, slots=True)
class PolicyOverride:
    """The thresholds that are set for one service only. `watched` is True if TRON currently watches a service with this
    id."""

    service_id: str
    thresholds: dict[str, Any]
    sources: dict[str, str]
    watched: bool


@dataclass(frozen=True, slots=True)
class HeldNotices:
    """A service under maintenance, about which alerts are held. `name` is empty if the service is not registered
    now."""

    service_id: str
    name: str
    maintenance: Maintenance


class MonitorClient:
    """A client of TRON for programs with threads. It is thread-safe, and a context manager. Every call has a deadline,
    and raises a TronError if it fails."""

    def __init__(
        self,
        address: Endpoint | str | None = None,
        *,
        registry: Endpoint | str | None = None,
        timeout: float = 5.0,
    ) -> None:
        """Create a client; `timeout` is the deadline of each call, in seconds. Raises ValueError for an invalid
        address.

        If `registry` is given and `address` is not, the client asks that registry for TRON's address. It then raises a
        TronError if the registry does not answer or TRON is not registered, and Unreachable, which is a ValueError, if
        this client cannot use TRON's URL.
        """
        self._timeout = arguments.seconds("timeout", timeout)
        given = arguments.optional_address("address", address)
        known = arguments.optional_address("registry", registry)
        if given or known is None:
            self._address = resolve_monitor_address(given)
        else:
            self._address = find_monitor(known, timeout=timeout)
        self._connection = Connection(self._address, tron=tron_service_pb2_grpc.TronServiceStub)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    @property
    def _stub(self) -> Any:
        return self._connection.stub("tron")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get_stats(self) -> Stats:
        """Return the number of services in each state, and TRON's other counts."""
        answer = self._do(self._stub.GetStats, tron_service_pb2.GetStatsRequest())
        counts = {each.name: getattr(answer, each.name) for each in fields(Stats) if each.name not in _STATS_BY_HAND}
        return Stats(
            **counts,
            last_check=wire.moment(answer.last_check) if answer.HasField("last_check") else None,
            observed_at=wire.moment(answer.observed_at) if answer.HasField("observed_at") else None,
            sinks=tuple(
                SinkStats(**{each.name: getattr(sink, each.name) for each in fields(SinkStats)})
                for sink in answer.sinks
            ),
        )

    def list_alerts(self, *, after_sequence: int = 0, limit: int = 100, service_id: str = "") -> tuple[Event, ...]:
        """Return one page of the alerts that TRON issued, oldest alert first."""
        request = tron_service_pb2.ListAlertsRequest(
            after_sequence=arguments.whole("after_sequence", after_sequence),
            limit=arguments.whole("limit", limit, at_most=2**31 - 1),
            service_id=arguments.text("service_id", service_id),
        )
        return tuple(Event.from_proto(each) for each in self._do(self._stub.ListAlerts, request).alerts)

    def get_policy(self, service_id: str = "") -> dict[str, Any]:
        """Return the thresholds in force for a service, or for all services if `service_id` is empty; times are in
        seconds. Raises ServiceNotFound for an unknown service id."""
        return self.read_policy(service_id).thresholds

    def read_policy(self, service_id: str = "") -> PolicyInForce:
        """Return the thresholds in force for a service, or for all services if `service_id` is empty, with the source
        of each. Raises ServiceNotFound for an unknown service id."""
        request = tron_service_pb2.GetPolicyRequest(service_id=arguments.text("service_id", service_id))
        return _in_force(self._do(self._stub.GetPolicy, request))

    def set_policy(self, service_id: str = "", **thresholds: Any) -> dict[str, Any]:
        """Change thresholds for one service, or for all services if `service_id` is empty; times are in seconds. Return
        all thresholds that are then in force.

        Raises InvalidRequest, which says what is wrong, for an unknown threshold or an invalid value, and
        ServiceNotFound for an unknown service id; nothing is changed then.
        """
        return self.change_policy(service_id, thresholds).thresholds

    def change_policy(
        self,
        service_id: str = "",
        thresholds: Mapping[str, Any] | None = None,
        *,
        unset: Iterable[str] = (),
        allow_unknown: bool = False,
    ) -> PolicyInForce:
        """Change thresholds as `set_policy` does. `unset` lists thresholds whose change at run time is removed, so that
        the value from the settings or the built-in value applies again. With `allow_unknown`, the service id need not
        be registered."""
        request = tron_service_pb2.SetPolicyRequest(
            service_id=arguments.text("service_id", service_id),
            policy=_to_policy(thresholds or {}),
            unset=[_known(name, "unset") for name in unset],
            allow_unknown=allow_unknown,
        )
        return _in_force(self._do(self._stub.SetPolicy, request))

    def list_overrides(self) -> tuple[PolicyOverride, ...]:
        """Return the services that have thresholds of their own, with these thresholds, sorted by service id."""
        found = self._do(self._stub.ListPolicyOverrides, tron_service_pb2.ListPolicyOverridesRequest()).overrides
        return tuple(
            PolicyOverride(
                service_id=each.service_id,
                thresholds={name: value for name, value in _from_policy(each.policy).items() if name in each.sources},
                sources={name: SOURCES.word(source) for name, source in each.sources.items()},
                watched=each.watched,
            )
            for each in found
        )

    def list_maintenance(self) -> tuple[HeldNotices, ...]:
        """Return the services under maintenance, sorted by service id, including those that are not registered."""
        found = self._do(self._stub.ListMaintenance, tron_service_pb2.ListMaintenanceRequest()).held
        return tuple(
            HeldNotices(each.service_id, each.name, Maintenance.from_proto(each.maintenance)) for each in found
        )

    def set_maintenance(
        self, service_id: str, enabled: bool, *, duration: float | None = None, reason: str = ""
    ) -> Service:
        """Put a service under maintenance for `duration` seconds, or until it is ended; with `enabled` False, end its
        maintenance. During maintenance, alerts about the service are held back. Raises ServiceNotFound."""
        request = tron_service_pb2.SetMaintenanceRequest(
            service_id=arguments.text("service_id", service_id),
            enabled=arguments.flag("enabled", enabled),
            duration=wire.duration(arguments.optional_seconds("duration", duration)),
            reason=arguments.text("reason", reason),
        )
        return Service.from_proto(self._do(self._stub.SetMaintenance, request).service)

    def explain(self, service_id: str) -> Explanation:
        """Return why a service has its current liveness: the evidence, the rule that applied, and the open deadlines.
        Raises ServiceNotFound."""
        request = tron_service_pb2.ExplainRequest(service_id=arguments.text("service_id", service_id))
        answer = self._do(self._stub.Explain, request)
        return Explanation(
            service=Service.from_proto(answer.service),
            verdict=answer.verdict,
            rule=answer.rule,
            deadlines=tuple(Deadline(each.what, wire.seconds(each.due_in)) for each in answer.deadlines),
            evidence=wire.json_object(answer.evidence),
            margin=answer.margin,
        )

    def _do(self, method: Callable[..., R], request: Any) -> R:
        try:
            return method(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._address) from error


def find_monitor(registry: Address | str, *, timeout: float = 5.0) -> Address:
    """Return TRON's address, which the registry knows because TRON is registered there. Raises ServiceNotFound if TRON
    is not registered, another TronError if the registry does not answer, and Unreachable if this client cannot use
    TRON's URL.

    The credentials and interceptors of an Endpoint are used for TRON only if TRON is on a host of that Endpoint: any
    client of the registry may have declared TRON's URL, so another host must not receive the tokens. Its `ca`, `cert`
    and `key` are used on any host, because TLS proves the host's name, and no key leaves this machine.
    """
    from tron_client.client import RegistryClient  # who knows TRON's address needs no registry

    where = resolve_address(registry)
    with RegistryClient(where, timeout=timeout) as client:
        found = monitor_address(client.get_service(MONITOR_SERVICE_ID).url, where)
    if isinstance(where, Endpoint):
        return where.elsewhere(found)
    same_hosts = {host for host, _ in found.endpoints} <= {host for host, _ in where.endpoints}
    return found if same_hosts else Endpoint(where.text).elsewhere(found)


_STATS_BY_HAND = frozenset({"last_check", "sinks", "observed_at"})


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


def _in_force(answer: Any) -> PolicyInForce:
    sources = {name: SOURCES.word(source) for name, source in answer.sources.items()}
    return PolicyInForce(_from_policy(answer.policy), sources)


def _to_policy(thresholds: Mapping[str, Any]) -> policy_pb2.Policy:
    policy = policy_pb2.Policy()
    for name, value in thresholds.items():
        field = policy.DESCRIPTOR.fields_by_name[_known(name, f"policy.{name}")]
        try:
            read = checked(name, value)
            if field.message_type is not None:
                getattr(policy, name).CopyFrom(wire.duration(read))
            else:
                setattr(policy, name, ORPHAN_POLICIES.number(read) if field.enum_type is not None else read)
        except (ValueError, TypeError) as error:
            raise _wrong(f"policy.{name}", str(error)) from error
    return policy


def _known(name: str, field: str) -> str:
    known = policy_pb2.Policy.DESCRIPTOR.fields_by_name
    if name not in known:
        raise _wrong(field, f"{name!r} is not a threshold; the thresholds are {', '.join(sorted(known))}")
    return name


def _wrong(field: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{field}: {why}", fields=(FieldError(field, why),))
