"""How the requests of the contract are built, in one place for the agent and both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grid.registry.v1 import service_pb2
from tron_client import wire
from tron_client.errors import FieldError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def declare(
    service_id: str,
    *,
    name: str = "",
    type: str = "agent",  # noqa: A002 - the word of the contract
    role: str = "production",
    url: str = "",
    caps: Iterable[str] = (),
    labels: Mapping[str, Any] | None = None,
    parent: str = "",
    ctx_limit: int | None = None,
    cost_hint: Mapping[str, float] | None = None,
    heartbeat_interval: float | None = None,
    ttl: float | None = None,
    reconnect_grace: float | None = None,
    stall_after: float | None = None,
) -> service_pb2.Service:
    """The half of a Service that the client sets. Raises InvalidRequest for what the contract can not say."""
    return service_pb2.Service(
        service_id=service_id,
        name=name,
        type=wire.TYPES.number(type),
        role=wire.ROLES.number(role),
        url=url,
        caps=tuple(caps),
        labels=_struct("labels", labels),
        parent=parent,
        ctx_limit=ctx_limit,
        cost_hint=cost_hint,
        heartbeat_interval=wire.duration(heartbeat_interval),
        ttl=wire.duration(ttl),
        reconnect_grace=wire.duration(reconnect_grace),
        stall_after=wire.duration(stall_after),
    )


def _struct(field: str, value: Mapping[str, Any] | None) -> Any:
    try:
        return wire.struct(value)
    except (ValueError, TypeError) as error:
        wrong = FieldError(field, f"not a JSON object: {error}")
        raise InvalidRequest(f"{field}: {wrong.description}", fields=(wrong,)) from error
