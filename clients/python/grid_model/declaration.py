"""The data that a program declares about a service when it registers the service. This module does no I/O.

To add a declared field, add a line to both classes here, and extend both functions of `declaration_codec`. Add the
bounds of the field to the registry's `core/validation`, and the field itself to the SDK's `models.Service`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from grid_model.service import ServiceRole, ServiceType

DEFAULT_INTERVAL = 30.0
DEFAULT_TTL_INTERVALS = 3


@dataclass(frozen=True, slots=True)
class Declaration:
    """The data that a client declares about a service at registration. Intervals are in seconds; None means that the
    client did not declare the field."""

    service_id: str
    name: str
    type: ServiceType = ServiceType.AGENT
    role: ServiceRole = ServiceRole.PRODUCTION
    url: str = ""
    caps: tuple[str, ...] = ()
    labels: dict[str, Any] = field(default_factory=dict)
    parent: str = ""
    ctx_limit: int | None = None
    cost_hint: dict[str, float] = field(default_factory=dict)
    heartbeat_interval: float = DEFAULT_INTERVAL
    ttl: float = DEFAULT_TTL_INTERVALS * DEFAULT_INTERVAL
    reconnect_grace: float | None = None
    stall_after: float | None = None
    refused_children: tuple[str, ...] = ()
    """Services of other owners may not declare this service as their parent if their id is in this list. An entry that
    ends with `*` matches every id with that prefix."""


class Declared(TypedDict, total=False):
    """The keyword arguments with which a program declares a service in the SDK; the id and the name of the service are
    separate arguments."""

    type: str
    role: str
    url: str
    caps: Iterable[str]
    labels: Mapping[str, Any] | None
    parent: str
    ctx_limit: int | None
    cost_hint: Mapping[str, float] | None
    heartbeat_interval: float | None
    ttl: float | None
    reconnect_grace: float | None
    stall_after: float | None
    refused_children: Iterable[str]
